import { Buffer } from 'node:buffer';
import { knownName } from './known-names.ts';

const EMPTY = Buffer.alloc(0);

/** Up to here, a loop is faster than a view of the bytes and the runtime's own copy. */
const SHORT_BYTES = 128;

/** Collects the raw bytes of one JSON value over chunk cuts, up to a limit; a later value replaces an earlier one. */
export class ValueCapture {
  readonly #limitBytes: number;
  #bytes: Buffer = EMPTY;
  #from = 0;
  #length = 0;
  /** The bytes are somebody else's. */
  #isLent = false;
  #isOverflowing = false;
  /** Values seen, the current one included. */
  count = 0;

  /** @param limitBytes most bytes kept of a value; what is longer is cut there and reported */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** What was kept of the last value. */
  get bytes(): Buffer {
    return this.#bytes.subarray(this.#from, this.#from + this.#length);
  }

  /** Of what was kept, in bytes. */
  get length(): number {
    return this.#length;
  }

  /** The first byte of what was kept; undefined without one. */
  get first(): number | undefined {
    return this.#length === 0 ? undefined : this.#bytes[this.#from];
  }

  /** What was kept, read as UTF-8. */
  text(): string {
    return this.#bytes.toString('utf8', this.#from, this.#from + this.#length);
  }

  /** What was kept, as a string literal without escapes says it; null where it is none, or a long one. */
  name(): string | null {
    return this.#length === 0 || this.#isOverflowing
      ? null
      : knownName(this.#bytes, this.#from, this.#from + this.#length);
  }

  /** True when the last value is longer than what was kept of it. */
  get isTruncated(): boolean {
    return this.#isOverflowing;
  }

  /** As it was made: nothing was seen, and nothing is kept of what was. */
  reset(): void {
    this.#bytes = EMPTY;
    this.#isLent = false;
    this.#from = 0;
    this.#length = 0;
    this.#isOverflowing = false;
    this.count = 0;
  }

  begin(): void {
    if (this.#isLent) this.#bytes = EMPTY;
    this.#isLent = false;
    this.#from = 0;
    this.#length = 0;
    this.#isOverflowing = false;
    this.count++;
  }

  /** Takes chunk bytes [from, to) for the whole value, without a copy: what was kept is valid as long as `chunk` is. */
  lend(chunk: Buffer, from: number, to: number): void {
    this.#bytes = chunk;
    this.#isLent = true;
    this.#from = from;
    this.#length = Math.min(to - from, this.#limitBytes);
    this.#isOverflowing = to - from > this.#limitBytes;
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
 * @param value the literal from its opening quote on; its end may be missing when it was too long to keep
 * @returns null when the literal is no string
 */
export function decodedString(
  value: Pick<ValueCapture, 'first' | 'length' | 'text' | 'bytes' | 'name'>,
  limitBytes: number,
): { readonly text: string; readonly isCut: boolean } | null {
  if (value.first !== QUOTE) return null;
  const known = value.length <= limitBytes ? value.name() : null;
  if (known !== null) return { text: known, isCut: false };
  const literal = value.text();
  // Names hardly ever have escapes, and parsing one that has none costs ten times as much as cutting its quotes off.
  if (value.length <= limitBytes && PLAIN_LITERAL.test(literal))
    return { text: literal.slice(1, -1), isCut: false };
  const whole = parsedString(literal);
  if (whole !== null && Buffer.byteLength(whole) <= limitBytes)
    return { text: whole, isCut: false };
  const text = whole ?? parsedPrefix(value.bytes);
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
