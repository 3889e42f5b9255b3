/** Reading JSON of unknown shape, without losing a digit of it. */

export interface JsonObject {
  readonly [name: string]: unknown;
}

const BYTE_ORDER_MARK = 0xfeff;

/** A JSON text without the byte order mark that some write in front of it, and who reads may ignore (RFC 8259 §8.1). */
export function withoutMark(text: string): string {
  return text.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function objectIn(from: JsonObject, name: string): JsonObject | null {
  const value = from[name];
  return isObject(value) ? value : null;
}

export function textIn(from: JsonObject, name: string): string | null {
  const value = from[name];
  return typeof value === 'string' ? value : null;
}

export function numberIn(from: JsonObject, name: string): number | null {
  const value = from[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** An empty list where it is none. */
export function listIn(from: JsonObject, name: string): readonly unknown[] {
  const value = from[name];
  return Array.isArray(value) ? value : [];
}

/** Digits that a double may not hold: 16 of them, or an exponent. Base64 and hex may look like it, which costs time only. */
const LONG_NUMBER = /\d{16}|[\d.][eE][+-]?\d/;

/** Number text that `JSON.stringify` writes as it stands (ECMA-262, JSON.rawJSON; in Node from 21 on). */
type WithRaw = typeof JSON & { rawJSON(text: string): unknown; isRawJSON(value: unknown): boolean };
type Revive = (name: string, value: unknown, context: { readonly source?: string }) => unknown;

/** So many digits come back from a double as they went in (IEEE 754, `DBL_DIG`). */
const SAFE_DIGITS = 15;
/** A double's smallest number that has all of its digits. */
const LEAST_NORMAL = 2 ** -1022;
/** Of a number's text: one with an end of zeros takes as long to look at as it likes, and longer ones are kept as they are. */
const LOOKED_AT_MAX_CHARS = 64;

const INTEGER = /^-?\d+$/;

/** Whether a double holds what a number's text says, however it says it: `1.0` is 1, and `1e3` is 1000. */
function isHeld(value: number, source: string): boolean {
  const written = String(value);
  if (written === source) return true;
  // An integer with an exponent is a float to many readers.
  if (source.length > LOOKED_AT_MAX_CHARS || (INTEGER.test(source) && !INTEGER.test(written)))
    return false;
  const digits = source
    .replace(/[eE].*$|[.-]/g, '')
    .replace(/^0+/, '')
    .replace(/0+$/, '');
  if (digits === '') return true;
  const isNormal = Number.isFinite(value) && Math.abs(value) >= LEAST_NORMAL;
  return isNormal && digits.length <= SAFE_DIGITS;
}

const keepDigits: Revive = (_name, value, { source }) =>
  typeof value === 'number' && source !== undefined && !isHeld(value, source)
    ? (JSON as WithRaw).rawJSON(source)
    : value;

/**
 * JSON text whose numbers are written again digit by digit: those that a double cannot hold become opaque objects which
 * `JSON.stringify` writes as they stood. They are no numbers to whoever reads them.
 * @throws SyntaxError
 */
export function parseExactly(text: string): unknown {
  if (!LONG_NUMBER.test(text)) return JSON.parse(text);
  return JSON.parse(text, keepDigits as (this: unknown, name: string, value: unknown) => unknown);
}

/** What `parseExactly` kept digit by digit, as the double that is nearest; null where it is something else. */
export function rawNumber(value: unknown): number | null {
  return (JSON as WithRaw).isRawJSON(value) ? Number(JSON.stringify(value)) : null;
}

/** Numbers as doubles, whatever their digits: for what is measured. @returns null where it is no JSON object */
export function measuredObject(text: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** @returns null where it is no JSON object */
export function parsedObject(text: string): JsonObject | null {
  try {
    const value = parseExactly(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
