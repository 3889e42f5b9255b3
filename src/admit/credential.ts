/**
 * Finds whose key a request carries. A managed key anywhere makes the request managed; several positions are all
 * looked at, because a token in a position nobody looked at would be forwarded.
 */

import { Secret } from '../secret.ts';
import { KEY_FIELDS, mayBeCredential } from '../wire/credential-fields.ts';

/** What the credential positions of a request hold. */
export interface Credential {
  readonly kind: 'none' | 'byo' | 'managed';
  /** The managed key as it came, without `Bearer `; empty for the others, whose keys are none of our business. */
  readonly token: Secret;
  /** A key came in `x-api-key` and none in `Authorization`: where only Anthropic's SDKs put it. */
  readonly onlyInXApiKey: boolean;
  /** Where a managed key stands that is none of the positions for keys, for the caller to read; null: nowhere. */
  readonly misplaced: string | null;
}

const NO_TOKEN = new Secret('');

/** Nobody's key. */
const NO_CREDENTIAL: Credential = {
  kind: 'none',
  token: NO_TOKEN,
  onlyInXApiKey: false,
  misplaced: null,
};
const BYO: Credential = { ...NO_CREDENTIAL, kind: 'byo' };
const BYO_X_API_KEY: Credential = { ...BYO, onlyInXApiKey: true };

/**
 * Every managed token begins so, whatever its version and in whatever case: `bai_v9…` and `BAI_V1…` are bad keys, never BYO
 * keys.
 */
const MANAGED = /bai_v/i;
const MANAGED_CHARACTERS = 5;

/** Most texts of a head have no underscore, and to look for one costs a tenth of the pattern. */
function isMarked(text: string): boolean {
  return text.includes('_') && MANAGED.test(text);
}

/** Two different managed keys: nobody can say who pays, so it stands for neither and verifies as nothing. */
const AMBIGUOUS = 'bai_v: two different keys';

const BEARER = /^bearer[ \t]+(.+)$/i;

/** The query parameter that Google's SDKs put a key into. */
const KEY_PARAMETER = 'key';

/**
 * Looks at all of a head: what stands in no position for keys would be forwarded, or end in somebody's log.
 * @param fields flat list with lower-case names
 * @param query raw, without `?`
 * @param path raw
 */
export function findCredential(fields: readonly string[], query: string, path: string): Credential {
  let token = '';
  let misplaced: string | null = holdsManagedKey(path) ? 'the path' : null;
  let inAuthorization = false;
  let inXApiKey = false;
  let elsewhere = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? '';
    const value = fields[i + 1] ?? '';
    if (name === 'authorization') {
      // Not only behind "Bearer ": a token that a caller put there in any other way must not be forwarded either.
      if (isMarked(value)) token = joined(token, BEARER.exec(value)?.[1] ?? value);
      else if (!BEARER.test(value)) {
        if (holdsManagedKey(value)) misplaced = 'the field authorization, under another scheme';
        continue;
      } else if (holdsManagedKey(value)) misplaced = 'the field authorization, encoded';
      inAuthorization = true;
    } else if (mayBeCredential(name) && KEY_FIELDS.has(name)) {
      if (value === '') continue;
      if (isMarked(value)) token = joined(token, value);
      else if (holdsManagedKey(value)) misplaced = `the field ${name}, encoded`;
      if (name === 'x-api-key') inXApiKey = true;
      else elsewhere = true;
    } else if (value.length >= MANAGED_CHARACTERS && holdsManagedKey(value)) {
      misplaced = `the field ${name}`;
    } else if (name.length >= MARKED_NAME_CHARACTERS && isMarked(name)) {
      misplaced = 'the name of a field';
    }
  }
  for (const pair of query === '' ? [] : query.split('&')) {
    const value = keyParameter(pair);
    if (isMarked(value)) token = joined(token, value);
    else if (holdsManagedKey(pair)) misplaced = 'the query';
    else if (value !== '') elsewhere = true;
  }
  const onlyInXApiKey = inXApiKey && !inAuthorization;
  if (token !== '' || misplaced !== null)
    return { kind: 'managed', token: new Secret(token), onlyInXApiKey, misplaced };
  if (onlyInXApiKey) return BYO_X_API_KEY;
  return inAuthorization || inXApiKey || elsewhere ? BYO : NO_CREDENTIAL;
}

/** No field that anybody knows has a name so long; 20 look-ups less for each request. */
const MARKED_NAME_CHARACTERS = 40;

/** A whole token has 117 characters and more, and 1.3 times as many in base64: shorter texts hold none. */
const ENCODED_MIN_CHARACTERS = 64;

/**
 * `bai_v` in base64 and in any case, by where it begins in a group of three bytes, and how many characters before that one
 * begins.
 */
const IN_BASE64: readonly (readonly [mark: RegExp, before: number])[] = [
  [/[YQ][mk]F[pJ]X[31]/g, 0],
  [/J[hB][aS]V9[2W]/g, 2],
  [/[iC][YQ][WU]lf[dV]/g, 3],
];
const ANY_IN_BASE64 = new RegExp(IN_BASE64.map(([mark]) => mark.source).join('|'));
const BASE64_LOOK_CHARACTERS = 16;

/**
 * Whether a managed key stands in a text, as it is or in a spelling that the next reader would undo: percent-encoded
 * (once or again), as JSON escapes, in base64 (Basic credentials, cookies). `npm run bench:admission` has what it costs.
 */
function holdsManagedKey(text: string): boolean {
  if (isMarked(text)) return true;
  if (text.includes('%') && isMarked(decoded(decoded(text)))) return true;
  if (text.length < ENCODED_MIN_CHARACTERS) return false;
  if (text.includes('\\u') && isMarked(unescaped(text))) return true;
  if (!ANY_IN_BASE64.test(text)) return false;
  return IN_BASE64.some(([mark, before]) => isInBase64(text, mark, before));
}

/** A path as it may be logged. */
export function loggedPath(path: string): string {
  return holdsManagedKey(path) ? '***' : path;
}

/** The mark alone is six characters, which a long random text may hold: what follows has to be a version and a kid. */
function isInBase64(text: string, mark: RegExp, before: number): boolean {
  for (const { index } of text.matchAll(mark)) {
    const from = index - before;
    if (from < 0) continue;
    const bytes = Buffer.from(text.slice(from, from + BASE64_LOOK_CHARACTERS), 'base64');
    if (/bai_v\d+\./i.test(bytes.toString('latin1'))) return true;
  }
  return false;
}

function unescaped(json: string): string {
  return json.replace(/\\u00([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** One token, also where it came twice. */
function joined(before: string, token: string): string {
  return before === '' || before === token ? token : AMBIGUOUS;
}

/** The query without its credentials, everything else verbatim. */
export function withoutCredentials(query: string): string {
  if (query === '') return '';
  return query
    .split('&')
    .filter((pair) => !isKeyParameter(pair))
    .join('&');
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
