import { Buffer } from 'node:buffer';

const EMPTY = Buffer.alloc(0);

/** Up to here, a loop is faster than a view of the bytes and the runtime's own copy. */
const SHORT_BYTES = 128;

/** Collects the raw bytes of one JSON value over chunk cuts, up to a limit; a later value replaces an earlier one. */
export class ValueCapture {
  readonly #limitBytes: number;
  #bytes: Buffer = EMPTY;
  #length = 0;
  #isOverflowing = false;
  /** Values seen, the current one included. */
  count = 0;

  /** @param limitBytes most bytes kept of a value; what is longer is cut there and reported */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** What was kept of the last value. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** True when the last value is longer than what was kept of it. */
  get isTruncated(): boolean {
    return this.#isOverflowing;
  }

  begin(): void {
    this.#length = 0;
    this.#isOverflowing = false;
    this.count++;
  }

  /** Copies chunk bytes [from, to). */
  take(chunk: Uint8Array, from: number, to: number): void {
    const room = this.#limitBytes - this.#length;
    if (to - from > room) this.#isOverflowing = true;
    const size = Math.min(to - from, room);
    if (size <= 0) return;
    if (this.#length + size > this.#bytes.length) this.#grow(this.#length + size);
    if (size > SHORT_BYTES) this.#bytes.set(chunk.subarray(from, from + size), this.#length);
    else {
      for (let i = 0; i < size; i++) this.#bytes[this.#length + i] = chunk[from + i] ?? 0;
    }
    this.#length += size;
  }

  /** Doubling keeps a value that comes byte by byte from being copied once per byte. */
  #grow(needed: number): void {
    const larger = Buffer.allocUnsafe(
      Math.min(this.#limitBytes, Math.max(needed, this.#bytes.length * 2)),
    );
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/**
 * The string that a raw JSON string literal stands for, decoded and cut to `limitBytes` of UTF-8.
 * @param raw the literal from its opening quote on; its end may be missing when it was too long to keep
 * @returns null when the literal is no string
 */
export function decodedString(
  raw: Buffer,
  limitBytes: number,
): { readonly text: string; readonly isCut: boolean } | null {
  if (raw[0] !== QUOTE) return null;
  const literal = raw.toString();
  // Names hardly ever have escapes, and parsing one that has none costs ten times as much as cutting its quotes off.
  if (raw.length <= limitBytes && PLAIN_LITERAL.test(literal))
    return { text: literal.slice(1, -1), isCut: false };
  const whole = parsedString(literal);
  if (whole !== null && Buffer.byteLength(whole) <= limitBytes)
    return { text: whole, isCut: false };
  const text = whole ?? parsedPrefix(raw);
  return text === null ? null : { text: cutToBytes(text, limitBytes), isCut: true };
}

const QUOTE = 0x22;
const PLAIN_LITERAL = /^"[ !#-[\]-~]*"$/;

function parsedString(literal: string): string | null {
  try {
    const value: unknown = JSON.parse(literal);
    return typeof value === 'string' ? value : null;
  } catch {
    return null;
  }
}

/** The cut may have left up to five bytes of a six-byte escape. */
const ESCAPE_REST_BYTES = 5;

function parsedPrefix(raw: Buffer): string | null {
  for (let drop = 0; drop <= ESCAPE_REST_BYTES && drop < raw.length; drop++) {
    const text = parsedString(`${raw.toString('utf8', 0, raw.length - drop)}"`);
    if (text !== null) return text;
  }
  return null;
}

function cutToBytes(text: string, limitBytes: number): string {
  const bytes = Buffer.from(text);
  let end = Math.min(limitBytes, bytes.length);
  // Back to the first byte of a code point: continuation bytes are 10xxxxxx.
  while (end > 0 && end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
