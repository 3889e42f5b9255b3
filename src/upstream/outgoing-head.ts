import { hash } from 'node:crypto';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { connectionOptions, endsHere } from '../wire/fields.ts';
import type { UpstreamRequest } from './transport.ts';

const CHUNKED_LINE = 'transfer-encoding: chunked\r\n';

/**
 * The head of a request as it goes upstream in HTTP/1.1, with the provider's own Host.
 * @param host the provider's Host field value
 * @returns start line and field lines, each ended by CRLF
 */
export function requestHead(request: UpstreamRequest, host: string): string {
  const { method, target, poolKey, coding } = request;
  const start = `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\n`;
  const head =
    poolKey === null ? byoHead(start, request.fields) : managedHead(start, request, poolKey);
  return coding === 'chunked' ? head + CHUNKED_LINE : head;
}

/** Every end-to-end field, in order. */
function byoHead(start: string, fields: readonly string[]): string {
  const named = connectionOptions(fields);
  let head = start;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    if (staysWithUs(name, named)) continue;
    head += `${name}: ${fields[i + 1] ?? ''}\r\n`;
  }
  return head;
}

/** Whether a field of a caller with a key of its own goes no further. */
function staysWithUs(name: string, named: ReadonlySet<string> | null): boolean {
  // Set by the gateway itself, and answered by it (RFC 9110 §10.1.1: `Expect` is for the next hop's server).
  if (name === 'host' || name === 'expect' || endsHere(name)) return true;
  // A client must not be able to delete what delimits the body by naming it in Connection.
  return named?.has(name) === true && name !== 'content-length';
}

const AS_IT_IS: readonly string[] = [
  'content-type',
  'accept',
  'user-agent',
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'traceparent',
  'tracestate',
];

/**
 * Ids that a caller made up, and that the provider remembers for the account: it keeps a prompt's cache warm by them, or
 * answers a second request with the first one's result. All tenants share that account, so each has its own of every id.
 */
const REMEMBERED: readonly string[] = [
  'idempotency-key', // what the stock SDKs call it; docs.stripe.com/api/idempotent_requests is the model
  'session-id', // Codex 0.171, with the next three; underscores in older ones
  'session_id',
  'thread-id',
  'x-codex-window-id',
  'x-client-request-id', // Codex puts the thread's id here; platform.openai.com/docs/api-reference/debugging-requests
  'conversation-id',
  'conversation_id',
  'x-claude-code-session-id', // Claude Code 2.1
  'x-session-id', // openrouter.ai/docs/guides/best-practices/prompt-caching
  'x-grok-conv-id', // docs.x.ai/docs/guides/prompt-caching
  'x-session-affinity', // docs.fireworks.ai/guides/prompt-caching
  'x-affinity', // Mistral's clients
];

/** What of a managed request goes upstream (contracts: fields). Everything else might name an account, or a person. */
const MANAGED: ReadonlyMap<string, 'as it is' | 'remembered'> = new Map([
  ...AS_IT_IS.map((name) => [name, 'as it is'] as const),
  ...REMEMBERED.map((name) => [name, 'remembered'] as const),
]);

/**
 * By their lengths, most names need no look-up, which works out the hash of each: what the front end gives is a new string
 * with each request. Bits, modulo 32.
 */
const MANAGED_LENGTHS = [...MANAGED.keys()].reduce((bits, { length }) => bits | (1 << length), 0);

/** What the vendors' own SDKs say about themselves. */
const SDK_PREFIX = 'x-stainless-';

/** The listed fields, in order, behind the provider's own key. */
function managedHead(
  start: string,
  { fields, target, coding, contentLength, owner }: UpstreamRequest,
  poolKey: PoolKey,
): string {
  const named = connectionOptions(fields);
  const field = poolKey.fieldTo(target);
  let head = field === null ? start : `${start}${field}: ${poolKey.revealTo(target)}\r\n`;
  // The gateway reads the response, so nobody else may have encoded it.
  head += 'accept-encoding: identity\r\n';
  if (coding === 'sized') head += `content-length: ${contentLength}\r\n`;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const use = useOf(name, named);
    if (use === null) continue;
    const value = fields[i + 1] ?? '';
    head += `${name}: ${use === 'remembered' ? ownedId(value, owner) : value}\r\n`;
  }
  return head;
}

/** @returns null for a field that goes no further */
function useOf(name: string, named: ReadonlySet<string> | null): 'as it is' | 'remembered' | null {
  const mayBeListed = ((MANAGED_LENGTHS >>> name.length) & 1) === 1;
  const use = mayBeListed ? MANAGED.get(name) : undefined;
  if (use === undefined && !name.startsWith(SDK_PREFIX)) return null;
  return named?.has(name) === true ? null : (use ?? 'as it is');
}

/**
 * An id as one owner's own: a UUID of version 8 (RFC 9562 §5.8), because some providers take nothing else. The same on
 * every node and with every pool key, or caches would grow cold; a digest, so that it names nobody.
 */
function ownedId(id: string, owner: string): string {
  const digest = hash('sha256', `${owner}/${id}`, 'hex');
  const variant = ((Number.parseInt(digest.slice(16, 17), 16) & 3) | 8).toString(16);
  const parts = [
    digest.slice(0, 8),
    digest.slice(8, 12),
    `8${digest.slice(13, 16)}`,
    `${variant}${digest.slice(17, 20)}`,
    digest.slice(20, 32),
  ];
  return parts.join('-');
}

/**
 * The same fields as a list, for a client that does not write text: without Host and `transfer-encoding`, which are its
 * own business.
 * @returns flat list, names in lower case
 */
export function requestFields({
  fields,
  target,
  poolKey,
  coding,
  contentLength,
  owner,
}: UpstreamRequest): string[] {
  const named = connectionOptions(fields);
  const list: string[] = [];
  if (poolKey !== null) {
    const field = poolKey.fieldTo(target);
    if (field !== null) list.push(field, poolKey.revealTo(target));
    list.push('accept-encoding', 'identity');
    if (coding === 'sized') list.push('content-length', String(contentLength));
  }
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (poolKey === null) {
      if (!staysWithUs(name, named)) list.push(name, value);
      continue;
    }
    const use = useOf(name, named);
    if (use !== null) list.push(name, use === 'remembered' ? ownedId(value, owner) : value);
  }
  return list;
}

/** The Host field value of a provider (RFC 9110 §7.2): the port only when it is not the scheme's own. */
export function hostField({ authority: { host, port, tls } }: Provider): string {
  const name = host.includes(':') ? `[${host}]` : host;
  return port === (tls ? 443 : 80) ? name : `${name}:${port}`;
}
