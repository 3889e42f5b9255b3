import type { Provider } from '../admit/providers.ts';
import { connectionOptions, endsHere } from '../wire/fields.ts';

/** Fields that the upstream connection sets itself, or that undici refuses (platform facts D). */
const OURS: ReadonlySet<string> = new Set(['host', 'expect']);

/**
 * The fields of a BYO request as they go upstream: every end-to-end field, in order, with the provider's own Host.
 * @param fields flat list with lower-case names, validated
 * @param host the provider's Host field value
 */
export function byoFields(fields: readonly string[], host: string): string[] {
  const named = connectionOptions(fields);
  const outgoing: string[] = ['host', host];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (endsHere(name) || OURS.has(name)) continue;
    // A client must not be able to delete what delimits the body by naming it in Connection.
    if (named?.has(name) === true && name !== 'content-length') continue;
    outgoing.push(name, fields[i + 1] ?? '');
  }
  return outgoing;
}

/** The Host field value of a provider (RFC 9110 §7.2): the port only when it is not the scheme's own. */
export function hostField({ authority: { host, port, tls } }: Provider): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === (tls ? 443 : 80) ? name : `${name}:${port}`;
}
