import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import type { Egress } from '../providers/egress.ts';
import { Secret } from '../secret.ts';

/** What a TLS connection to a provider is made with: whom we trust, and what we show of ourselves. */
export class Trust {
  readonly #authorities: readonly string[];
  readonly #certificate: string | null;
  readonly #privateKey: Secret | null;
  #context: SecureContext | null = null;
  /** Equal for equal material, and tells nothing of it. */
  readonly digest: string;

  /** @throws Error when a file cannot be read: it could when the configuration was loaded */
  constructor({ caFiles, clientCertFile, clientKeyFile }: Egress) {
    this.#authorities = caFiles.map((path) => readFileSync(path, 'utf8'));
    this.#certificate = clientCertFile === null ? null : readFileSync(clientCertFile, 'utf8');
    this.#privateKey =
      clientKeyFile === null ? null : new Secret(readFileSync(clientKeyFile, 'utf8'));
    const material = [this.#authorities, this.#certificate, this.#privateKey?.reveal()];
    this.digest = createHash('sha256').update(JSON.stringify(material)).digest('base64');
  }

  /**
   * Made when the first connection needs it: it takes some 20 ms to read the usual authorities. Private ones are added to
   * all that Node trusts otherwise, NODE_EXTRA_CA_CERTS and --use-system-ca included: naming `ca` alone would replace them.
   */
  get context(): SecureContext {
    this.#context ??= createSecureContext({
      ...(this.#authorities.length === 0
        ? {}
        : { ca: [...getCACertificates('default'), ...this.#authorities] }),
      ...(this.#certificate === null ? {} : { cert: this.#certificate }),
      ...(this.#privateKey === null ? {} : { key: this.#privateKey.reveal() }),
    });
    return this.#context;
  }
}
