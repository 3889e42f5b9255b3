/**
 * Finds whose key a request carries. A managed key anywhere makes the request managed; several positions are all
 * looked at, because a token in a position nobody looked at would be forwarded.
 */

/** What the credential positions of a request hold. */
export type Credential = 'none' | 'byo' | 'byo-x-api-key' | 'managed';

/** Fields that hold a key and nothing else (contracts: where a caller's key may be). */
const KEY_FIELDS: ReadonlySet<string> = new Set(['x-api-key', 'api-key', 'x-goog-api-key']);

/** Every managed token begins so, whatever its version: `bai_v9…` is a bad key, never a BYO key. */
const MANAGED = 'bai_v';

const BEARER = /^bearer[ \t]+(.+)$/i;

/**
 * @param fields flat list with lower-case names
 * @param query raw, without `?`
 */
export function findCredential(fields: readonly string[], query: string): Credential {
  let found: Credential = 'none';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (name === 'authorization') {
      // Not only behind "Bearer ": a token that a caller put there in any other way must not be forwarded either.
      if (value.includes(MANAGED)) return 'managed';
      if (found === 'none' && BEARER.test(value)) found = 'byo';
    } else if (value !== '' && KEY_FIELDS.has(name)) {
      if (value.includes(MANAGED)) return 'managed';
      if (name === 'x-api-key') found = 'byo-x-api-key';
      else if (found === 'none') found = 'byo';
    }
  }
  const key = query === '' ? '' : queryKey(query);
  if (key.includes(MANAGED)) return 'managed';
  return found === 'none' && key !== '' ? 'byo' : found;
}

/** The decoded values of every `key` parameter, however its name is spelled, joined; empty when there is none. */
function queryKey(query: string): string {
  let values = '';
  for (const pair of query.split('&')) {
    const at = pair.indexOf('=');
    if (at !== -1 && decoded(pair.slice(0, at)) === 'key') values += decoded(pair.slice(at + 1));
  }
  return values;
}

function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
