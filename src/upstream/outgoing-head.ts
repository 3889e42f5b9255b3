import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { connectionOptions, endsHere } from '../wire/fields.ts';
import type { RequestCoding } from './h1/call.ts';

const CHUNKED_LINE = 'transfer-encoding: chunked\r\n';

/**
 * The head of a BYO request as it goes upstream: every end-to-end field, in order, with the provider's own Host.
 * @param target path and query
 * @param fields flat list with lower-case names, validated
 * @param host the provider's Host field value
 * @returns start line and field lines, each ended by CRLF
 */
export function byoHead(
  method: string,
  target: string,
  fields: readonly string[],
  host: string,
  coding: RequestCoding,
): string {
  const named = connectionOptions(fields);
  let head = startOf(method, target, host);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    // Set by the gateway itself, and answered by it (RFC 9110 §10.1.1: `Expect` is for the next hop's server).
    if (name === 'host' || name === 'expect' || endsHere(name)) continue;
    // A client must not be able to delete what delimits the body by naming it in Connection.
    if (named?.has(name) === true && name !== 'content-length') continue;
    head += `${name}: ${fields[i + 1] ?? ''}\r\n`;
  }
  return coding === 'chunked' ? head + CHUNKED_LINE : head;
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
 * The head of a managed request as it goes upstream: the listed fields, in order, with the provider's own Host and key.
 * @param target path and query, without credentials
 * @param fields flat list with lower-case names, validated
 * @param contentLength of the content as it is sent, which may be longer than it came; only for `sized`
 * @returns start line and field lines, each ended by CRLF
 */
export function managedHead(
  method: string,
  target: string,
  fields: readonly string[],
  host: string,
  poolKey: PoolKey,
  coding: RequestCoding,
  contentLength: number,
): string {
  const named = connectionOptions(fields);
  let head = `${startOf(method, target, host)}${poolKey.field}: ${poolKey.reveal()}\r\n`;
  // The gateway reads the response, so nobody else may have encoded it.
  head += 'accept-encoding: identity\r\n';
  if (coding === 'sized') head += `content-length: ${contentLength}\r\n`;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (!MANAGED.has(name) && !name.startsWith(SDK_PREFIX)) continue;
    if (named?.has(name) === true) continue;
    head += `${name}: ${fields[i + 1] ?? ''}\r\n`;
  }
  return coding === 'chunked' ? head + CHUNKED_LINE : head;
}

function startOf(method: string, target: string, host: string): string {
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n`;
}

/** The Host field value of a provider (RFC 9110 §7.2): the port only when it is not the scheme's own. */
export function hostField({ authority: { host, port, tls } }: Provider): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === (tls ? 443 : 80) ? name : `${name}:${port}`;
}
