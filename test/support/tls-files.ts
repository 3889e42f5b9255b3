import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { selfSigned } from './tls.ts';

/** What a gateway needs to listen with TLS, and a client to trust it. */
export interface TlsFiles {
  /** Config lines; before any table. */
  readonly config: string;
  /** PEM. */
  readonly ca: string;
  remove(): void;
}

/** A fresh certificate for `localhost` and 127.0.0.1, in a folder of its own. */
export function tlsFiles(): TlsFiles {
  const { key, cert } = selfSigned(['localhost', '127.0.0.1']);
  const folder = mkdtempSync(join(tmpdir(), 'sluice-edge-tls-'));
  const certFile = join(folder, 'cert.pem');
  const keyFile = join(folder, 'key.pem');
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  return {
    config: `tls_cert_file = "${certFile}"\ntls_key_file = "${keyFile}"\n`,
    ca: cert,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
