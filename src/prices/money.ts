/**
 * Money as integers of pico-dollars (1e-12 USD). A price of six decimals in USD per million tokens, finer than anybody
 * publishes, is a whole number of them for each token, so that no price is ever rounded.
 *
 * A `number` holds them exactly up to 2^53, which is 9,007 USD: more than any one request costs (a million tokens at the
 * dearest published rate are 600). What goes beyond is worked out with bigint (`exactProduct`), which is slower and as exact.
 */

const PICO_PER_USD = 1_000_000_000_000;
const ZERO = 0x30;

/** Decimals of USD that a pico-dollar has. */
const USD_DECIMALS = 12;
/** USD per million tokens, as a decimal text, has so many decimals at most. */
export const RATE_DECIMALS_MAX = 6;

/** What `shortDecimalOf` and `shortRoundedOf` cannot read. */
const DECIMAL = /^(\d{1,12})(?:\.(\d{1,24}))?(?:[eE]([+-]?\d{1,2}))?$/;

/**
 * A decimal text as a whole number of 10^-decimals. An exponent is read too (`5e-7`: what JSON and TOML make of numbers).
 * @returns null when it is none, is negative, has more decimals than that, or exceeds 2^53
 */
export function decimalOf(text: string, decimals: number): number | null {
  const short = shortDecimalOf(text, decimals);
  if (short >= 0) return short;
  const scaled = scaledOf(text, decimals);
  return scaled === null || scaled.rest !== '' ? null : safe(scaled.whole);
}

/** The same, rounded half up: for what somebody else worked out with floats. */
export function roundedDecimalOf(text: string, decimals: number): number | null {
  const short = shortRoundedOf(text, decimals);
  if (short >= 0) return short;
  const scaled = scaledOf(text, decimals);
  if (scaled === null) return null;
  const up = scaled.rest !== '' && scaled.rest.charCodeAt(0) >= 0x35 ? 1n : 0n;
  return safe(scaled.whole + up);
}

/** The same of any size: for sums that somebody else made. */
export function wideDecimalOf(text: string, decimals: number): bigint | null {
  const scaled = scaledOf(text, decimals);
  if (scaled === null) return null;
  return scaled.whole + (scaled.rest !== '' && scaled.rest.charCodeAt(0) >= 0x35 ? 1n : 0n);
}

/** Decimal digits that a double holds, whatever they are. */
const EXACT_DIGITS = 15;
/** Of an amount, before its point: as many as the expression takes. */
const WHOLE_DIGITS = 12;
/** Behind it. */
const FRACTION_DIGITS = 24;
const POINT = 0x2e;
const HALF = 0x35;

/**
 * Nearly every amount is one: digits, and perhaps a point between two of them. Read where it stands (a fifth of what the
 * expression and bigint cost, measured).
 * @returns -1 where it is not so short
 */
function shortDecimalOf(text: string, decimals: number): number {
  if (text.length > EXACT_DIGITS + 1) return -1;
  let value = 0;
  let pointAt = -1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const digit = code - ZERO;
    if (digit >= 0 && digit <= 9) value = value * 10 + digit;
    else if (code === POINT && pointAt < 0) pointAt = at;
    else return -1;
  }
  const behind = pointAt < 0 ? 0 : text.length - pointAt - 1;
  const digits = text.length - (pointAt < 0 ? 0 : 1);
  const missing = decimals - behind;
  if (pointAt === 0 || digits === 0 || (pointAt > 0 && behind === 0)) return -1;
  if (digits - behind > WHOLE_DIGITS) return -1;
  return missing < 0 || digits + missing > EXACT_DIGITS ? -1 : value * 10 ** missing;
}

/** The same of who has more decimals than are wanted. @returns -1 where it is not so short, too */
function shortRoundedOf(text: string, decimals: number): number {
  const point = text.indexOf('.');
  const cut = point < 0 ? text.length : point + 1 + decimals;
  if (point <= 0 || text.length <= cut) return shortDecimalOf(text, decimals);
  if (decimals === 0 || text.length > point + 1 + FRACTION_DIGITS) return -1;
  for (let at = cut; at < text.length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return -1;
  }
  const whole = shortDecimalOf(text.slice(0, cut), decimals);
  return whole < 0 || text.charCodeAt(cut) < HALF ? whole : whole + 1;
}

function scaledOf(
  text: string,
  decimals: number,
): { readonly whole: bigint; readonly rest: string } | null {
  const match = DECIMAL.exec(text);
  if (match === null) return null;
  const [, whole = '', fraction = '', exponent = '0'] = match;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent) + decimals;
  const cut = point <= 0 ? '' : digits.slice(0, point).padEnd(point, '0');
  const behind = point <= 0 ? '0'.repeat(-point) + digits : digits.slice(point);
  return { whole: BigInt(cut === '' ? '0' : cut), rest: behind.replace(/0+$/, '') };
}

function safe(value: bigint): number | null {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(value);
}

/**
 * Pico-dollars as USD: the shortest decimal text that is exact, without an exponent.
 * @param pico a whole number, not negative
 */
export function usdText(pico: number | bigint): string {
  if (typeof pico === 'bigint' && pico > MAX_SAFE) return wideText(String(pico));
  const all = Number(pico);
  // In parts of six digits: V8 writes small integers in half the time of one text that is padded and cut (2.1 times as fast,
  // measured). The quotient may have been rounded up to the next whole number.
  let whole = Math.floor(all / PICO_PER_USD);
  let rest = all - whole * PICO_PER_USD;
  if (rest < 0) {
    whole--;
    rest += PICO_PER_USD;
  }
  if (rest === 0) return String(whole);
  const micro = Math.floor(rest / MILLION);
  const below = rest - micro * MILLION;
  return below === 0
    ? `${whole}.${sixDigits(micro, true)}`
    : `${whole}.${sixDigits(micro, false)}${sixDigits(below, true)}`;
}

const MILLION = 1_000_000;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

function sixDigits(value: number, isLast: boolean): string {
  // A leading one keeps the zeros.
  const digits = String(MILLION + value);
  let end = digits.length;
  while (isLast && digits.charCodeAt(end - 1) === ZERO) end--;
  return digits.slice(1, end);
}

function wideText(text: string): string {
  const point = text.length - USD_DECIMALS;
  let end = text.length;
  while (end > point && text.charCodeAt(end - 1) === ZERO) end--;
  const whole = text.slice(0, point);
  return end === point ? whole : `${whole}.${text.slice(point, end)}`;
}

/** Pico-dollars for each token as USD for a million of them, as price lists have it. */
export function rateText(picoPerToken: number): string {
  return usdText(picoPerToken * 1_000_000);
}

/** Half up, to the unit in which budgets are kept. */
export function nanoOf(pico: number | bigint): bigint {
  return (BigInt(pico) + 500n) / 1_000n;
}

/**
 * The sum of exact decimals of USD, exact.
 * @param texts as `usdText` writes them
 */
export function usdSum(texts: readonly string[]): string {
  return usdText(texts.reduce((sum, text) => sum + (wideDecimalOf(text, USD_DECIMALS) ?? 0n), 0n));
}
