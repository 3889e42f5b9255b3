/**
 * Finds whose key a request carries. A managed key anywhere makes the request managed; several positions are all
 * looked at, because a token in a position nobody looked at would be forwarded.
 */

import { Secret } from '../secret.ts';
import { CREDENTIAL_LENGTHS, KEY_FIELDS } from '../wire/credential-fields.ts';

/** What the credential positions of a request hold. */
export interface Credential {
  readonly kind: 'none' | 'byo' | 'managed';
  /** The managed key as it came, without `Bearer `; empty for the others, whose keys are none of our business. */
  readonly token: Secret;
  /** A key of the caller's own came in `x-api-key`, where only Anthropic's SDKs put it. */
  readonly inXApiKey: boolean;
}

const NO_TOKEN = new Secret('');

/** Nobody's key. */
export const NO_CREDENTIAL: Credential = { kind: 'none', token: NO_TOKEN, inXApiKey: false };
const BYO: Credential = { kind: 'byo', token: NO_TOKEN, inXApiKey: false };
const BYO_X_API_KEY: Credential = { kind: 'byo', token: NO_TOKEN, inXApiKey: true };

/** Every managed token begins so, whatever its version: `bai_v9…` is a bad key, never a BYO key. */
const MANAGED = 'bai_v';

/** Two different managed keys: nobody can say who pays, so it stands for neither and verifies as nothing. */
const AMBIGUOUS = 'bai_v: two different keys';

const BEARER = /^bearer[ \t]+(.+)$/i;

/** The query parameter that Google's SDKs put a key into. */
const KEY_PARAMETER = 'key';

/**
 * @param fields flat list with lower-case names
 * @param query raw, without `?`
 */
export function findCredential(fields: readonly string[], query: string): Credential {
  let byo = NO_CREDENTIAL;
  let token = '';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (name === 'authorization') {
      // Not only behind "Bearer ": a token that a caller put there in any other way must not be forwarded either.
      if (value.includes(MANAGED)) token = joined(token, BEARER.exec(value)?.[1] ?? value);
      else if (byo === NO_CREDENTIAL && BEARER.test(value)) byo = BYO;
    } else if (value !== '' && CREDENTIAL_LENGTHS.has(name.length) && KEY_FIELDS.has(name)) {
      if (value.includes(MANAGED)) token = joined(token, value);
      else if (name === 'x-api-key') byo = BYO_X_API_KEY;
      else if (byo === NO_CREDENTIAL) byo = BYO;
    }
  }
  for (const pair of query === '' ? [] : query.split('&')) {
    const value = keyParameter(pair);
    if (value.includes(MANAGED)) token = joined(token, value);
    else if (value !== '' && byo === NO_CREDENTIAL) byo = BYO;
  }
  return token === '' ? byo : { kind: 'managed', token: new Secret(token), inXApiKey: false };
}

/** The query without its credentials, everything else verbatim. */
export function withoutCredentials(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .filter((pair) => !isKeyParameter(pair))
    .join('&');
}

function joined(token: string, another: string): string {
  return token === '' || token === another ? another : AMBIGUOUS;
}

/** The decoded value of a `key` parameter, however its name is spelled; empty for any other pair. */
function keyParameter(pair: string): string {
  return isKeyParameter(pair) ? decoded(pair.slice(pair.indexOf('=') + 1)) : '';
}

function isKeyParameter(pair: string): boolean {
  const at = pair.indexOf('=');
  return at !== -1 && decoded(pair.slice(0, at)) === KEY_PARAMETER;
}

/** Total, unlike decodeURIComponent: a broken escape beside a token must not hide it. */
function decoded(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
