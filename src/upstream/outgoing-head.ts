import type { PoolKey } from '../admit/pool-keys.ts';
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

/** What of a managed request goes upstream (contracts: fields). Everything else might name an account, or a person. */
const MANAGED: ReadonlySet<string> = new Set([
  'content-type',
  'accept',
  'user-agent',
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'idempotency-key',
  'traceparent',
  'tracestate',
]);

/** What the vendors' own SDKs say about themselves. */
const SDK_PREFIX = 'x-stainless-';

/**
 * The fields of a managed request as they go upstream: the listed ones, in order, with the provider's own Host and key.
 * @param fields flat list with lower-case names, validated
 * @param contentLength of the body as it is sent, which may be longer than it came; -1 to leave the field out
 */
export function managedFields(
  fields: readonly string[],
  host: string,
  poolKey: PoolKey,
  contentLength: number,
): string[] {
  const named = connectionOptions(fields);
  // The gateway reads the response, so nobody else may have encoded it.
  const outgoing: string[] = ['host', host, poolKey.field, poolKey.reveal()];
  outgoing.push('accept-encoding', 'identity');
  if (contentLength >= 0) outgoing.push('content-length', String(contentLength));
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (!MANAGED.has(name) && !name.startsWith(SDK_PREFIX)) continue;
    if (named?.has(name) === true) continue;
    outgoing.push(name, fields[i + 1] ?? '');
  }
  return outgoing;
}

/** The Host field value of a provider (RFC 9110 §7.2): the port only when it is not the scheme's own. */
export function hostField({ authority: { host, port, tls } }: Provider): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === (tls ? 443 : 80) ? name : `${name}:${port}`;
}
