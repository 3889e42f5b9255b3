/**
 * Rules about HTTP fields that hold for every message an intermediary forwards.
 *
 * Fields travel through Sluice as flat arrays `[name, value, name, value, …]`, in wire order with duplicates,
 * because an object per message cost 7 µs for 20 fields.
 * Values are Latin-1 strings: one character per byte on the wire, so nothing is lost that is not text.
 */

/** Fields that end at the next hop (RFC 9110 §7.6.1), plus the ones whose meaning does. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  // RFC 9110 §11.7: credentials for the next proxy, which is us, not for the origin.
  'proxy-authorization',
  'proxy-authenticate',
  // Announces trailers, which neither side of the gateway forwards (RFC 9110 §6.5.1 allows dropping them).
  'trailer',
]);

/**
 * By their lengths, most names need no look-up: it would bring each to lower case and hash it (0.3 us a request). Bits,
 * modulo 32.
 */
const HOP_BY_HOP_LENGTHS = [...HOP_BY_HOP].reduce((bits, { length }) => bits | (1 << length), 0);

/** `x-sluice-*` is the gateway's own name space: never forwarded in either direction. */
const OWN_PREFIX = 'x-sluice-';

/**
 * True for a field that must not be forwarded, whatever the direction.
 * @param name in any case
 */
export function endsHere(name: string): boolean {
  if (((HOP_BY_HOP_LENGTHS >>> name.length) & 1) === 1) {
    // The one that nearly all responses have is not brought to lower case for it.
    if (isNamed(name, 'connection') || HOP_BY_HOP.has(name.toLowerCase())) return true;
  }
  const first = name.charCodeAt(0);
  return (first === 0x78 || first === 0x58) && name.toLowerCase().startsWith(OWN_PREFIX);
}

/**
 * What a response says for a whole origin and beyond this exchange. The client knows the gateway's origin, for which no
 * provider may speak: HSTS would take a plaintext gateway away, Alt-Svc lead around it, NEL report its traffic elsewhere.
 */
const OF_THE_ORIGIN: ReadonlySet<string> = new Set([
  'alt-svc', // RFC 7838
  'strict-transport-security', // RFC 6797
  'public-key-pins', // RFC 7469
  'expect-ct', // RFC 9163
  'nel', // w3c.github.io/network-error-logging
  'report-to', // its endpoints
  'reporting-endpoints', // w3c.github.io/reporting
]);
const OF_THE_ORIGIN_LENGTHS = [...OF_THE_ORIGIN].reduce(
  (bits, { length }) => bits | (1 << length),
  0,
);

/** True for a field of a response that reaches no client. @param name in any case */
export function speaksForOrigin(name: string): boolean {
  return (
    ((OF_THE_ORIGIN_LENGTHS >>> name.length) & 1) === 1 && OF_THE_ORIGIN.has(name.toLowerCase())
  );
}

/**
 * What a response says about the account of the key that was used, or keeps in the client for the provider. Prefixes,
 * because every vendor has rate fields of its own: `x-ratelimit-remaining-requests`, `anthropic-ratelimit-tokens-limit`,
 * `x-ratelimitbysize-limit-minute`, `ratelimit-policy`, `x-endpoint-monthly-call-limit`. CORS fields are the
 * gateway's own to give (`cors_origins`).
 */
const OF_THE_ACCOUNT =
  /^(?:set-cookie|clear-site-data|access-control-|rate-?limit|x-rate-?limit|x-(?:organization|project|account|workspace|quota|credit|billing|trial-|endpoint-|tokenlimit)|openai-(?:organization|project)|anthropic-(?:ratelimit|priority|fast|organization|workspace))/i;

/** Their first characters and their second ones, as the bits of a letter that both cases share: few others go to the pattern. */
const OF_THE_ACCOUNT_STARTS = ['se', 'cl', 'ac', 'ra', 'x-', 'op', 'an'];
const FIRST_OF_ACCOUNT = bitsAt(0);
const SECOND_OF_ACCOUNT = bitsAt(1);

function bitsAt(at: number): number {
  return OF_THE_ACCOUNT_STARTS.reduce(
    (bits, start) => bits | (1 << (start.charCodeAt(at) & 31)),
    0,
  );
}

/** True for a field of a response that reaches no virtual key. @param name in any case */
export function speaksForAccount(name: string): boolean {
  const first = name.charCodeAt(0) & 31;
  const second = name.charCodeAt(1) & 31;
  const mayBe = ((FIRST_OF_ACCOUNT >>> first) & (SECOND_OF_ACCOUNT >>> second) & 1) === 1;
  return mayBe && OF_THE_ACCOUNT.test(name);
}

/** True for what tells a browser which pages may read a response. @param name in any case */
export function speaksOfPages(name: string): boolean {
  return /^access-control-/i.test(name);
}

const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
const TO_LOWER = 0x20;

/**
 * Compares character by character: `toLowerCase` makes a string of each name, in the runtime (0.1 us each).
 * @param name in any case
 * @param lower the name to compare with, in ASCII and in lower case
 */
export function isNamed(name: string, lower: string): boolean {
  const { length } = lower;
  if (name.length !== length) return false;
  for (let at = 0; at < length; at++) {
    const code = name.charCodeAt(at);
    const isUpper = code >= UPPER_A && code <= UPPER_Z;
    if ((isUpper ? code | TO_LOWER : code) !== lower.charCodeAt(at)) return false;
  }
  return true;
}

/**
 * The names listed in all `Connection` fields of a message (RFC 9110 §7.6.1: fields named there are hop-by-hop too).
 * @returns lower-case names, or null when no `Connection` field names anything beyond `close` and `keep-alive`
 */
export function connectionOptions(fields: readonly string[]): ReadonlySet<string> | null {
  let options: Set<string> | null = null;
  for (let i = 0; i < fields.length; i += 2) {
    if (!isNamed(fields[i] ?? '', 'connection')) continue;
    const value = fields[i + 1] ?? '';
    if (isNamed(value, 'keep-alive') || isNamed(value, 'close')) continue;
    options ??= new Set();
    for (const option of value.toLowerCase().split(',')) options.add(option.trim());
  }
  return options;
}

// RFC 9110 §5.5: visible characters, SP, HTAB and obs-text. Everything else (CR, LF, NUL, DEL, code points above
// 0xff) would split a message, or be cut to another byte.
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the range is the definition of ASCII
const ASCII = /^[\x00-\x7f]*$/;

/** True when `value` is a legal field value (RFC 9110 §5.5), one character per byte. */
export function isFieldValue(value: string): boolean {
  return FIELD_VALUE.test(value);
}

/** 15 digits stay below 2^53, and no server in the path overflows on them. */
const DIGITS_MAX = 15;
const ZERO = 0x30;
const NINE = 0x39;

/**
 * A length as a field says it. A pattern and a conversion went through the runtime twice for each of a request's three (0.3 of
 * 100 us).
 * @returns -1 for what is not 1 to 15 decimal digits
 */
export function lengthIn(value: string): number {
  const { length } = value;
  if (length === 0 || length > DIGITS_MAX) return -1;
  let number = 0;
  for (let at = 0; at < length; at++) {
    const code = value.charCodeAt(at);
    if (code < ZERO || code > NINE) return -1;
    number = number * 10 + code - ZERO;
  }
  return number;
}

/** True when every character is below 0x80, so that UTF-8 and Latin-1 agree on the bytes. */
export function isAscii(text: string): boolean {
  return ASCII.test(text);
}

/**
 * First value of a field.
 * @param name lower-case
 * @param fields flat list with lower-case names
 */
export function fieldValue(fields: readonly string[], name: string): string | null {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === name) return fields[i + 1] ?? '';
  }
  return null;
}
