import type { Buffer } from 'node:buffer';

/** Where lines are gathered, as bytes. `outlet/line-batch.ts` is one. */
export interface LineRoom {
  /**
   * @param bytes that are needed, without the line's end
   * @returns where in `bytes` to write; what is written counts once it is closed
   */
  open(bytes: number): number;
  /** Behind `open`, until the next one. */
  readonly bytes: Buffer;
  /** The line is there: it ends before `end`. */
  close(end: number): void;
}

/** Up to here a loop is faster than a call into the runtime: of bytes, and of a text's. */
const NEAR_BYTES = 8;
const NEAR_TEXT_BYTES = 40;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const NULL = constant('null');
/** Beyond it a number is written by way of its text. */
const DIGITS_BELOW = 1_000_000_000;

/** What stands in every line: ASCII. */
export function constant(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/**
 * Writes a line of JSON in ASCII where it is gathered, with no text of it in between: put together of texts, a fact was 2.9 KB of
 * pieces and 0.7 KB more to write them. One at a time: whoever begins a line ends it in the same call.
 *
 * What finds no room is counted and not written; then the line is to be written again, with as much room as was counted.
 */
export class LineWriter {
  #bytes: Buffer;
  #from = 0;
  #at = 0;
  readonly #room: LineRoom;

  constructor(room: LineRoom) {
    this.#room = room;
    this.#bytes = room.bytes;
  }

  /** @param bytes that the line is thought to need */
  begin(bytes: number): void {
    this.#from = this.#room.open(bytes);
    this.#bytes = this.#room.bytes;
    this.#at = this.#from;
  }

  /** @returns 0 when the line is whole; else how many bytes it needs: it is to be begun again */
  end(): number {
    // One more for what ends it.
    if (this.#at >= this.#bytes.length) return this.#at - this.#from;
    this.#room.close(this.#at);
    return 0;
  }

  /** Where the next byte goes. */
  get at(): number {
    return this.#at;
  }

  /** @returns what was written since `from`, for other lines; null where it found no room, or is more than `maxBytes` */
  copied(from: number, maxBytes: number): Uint8Array | null {
    if (this.#at > this.#bytes.length || this.#at - from > maxBytes) return null;
    return new Uint8Array(this.#bytes.subarray(from, this.#at));
  }

  put(bytes: Uint8Array): void {
    const at = this.#at;
    this.#at += bytes.length;
    if (this.#at > this.#bytes.length) return;
    if (bytes.length > NEAR_BYTES) this.#bytes.set(bytes, at);
    else {
      for (let i = 0; i < bytes.length; i++) this.#bytes[at + i] = bytes[i] ?? 0;
    }
  }

  /** @param text ASCII, as it is to stand there */
  ascii(text: string): void {
    const at = this.#at;
    this.#at += text.length;
    if (this.#at > this.#bytes.length) return;
    if (text.length > NEAR_TEXT_BYTES) this.#bytes.write(text, at, 'latin1');
    else {
      for (let i = 0; i < text.length; i++) this.#bytes[at + i] = text.charCodeAt(i);
    }
  }

  /** A number, or `null`. */
  number(value: number | null): void {
    if (value === null) this.put(NULL);
    else if (value >= 0 && value < DIGITS_BELOW && Number.isInteger(value)) this.#digits(value | 0);
    else this.ascii(String(value));
  }

  /** A string, or `null`. @param value what needs no escape: digits, hexadecimal, names of a closed list */
  word(value: string | null): void {
    if (value === null) {
      this.put(NULL);
      return;
    }
    this.#byte(QUOTE);
    this.ascii(value);
    this.#byte(QUOTE);
  }

  /** A string. @returns false when it needs an escape, and nothing was written */
  plainText(value: string): boolean {
    const from = this.#at;
    this.#byte(QUOTE);
    if (this.plain(value, true)) {
      this.#byte(QUOTE);
      return true;
    }
    this.#at = from;
    return false;
  }

  /**
   * Text that is plain JSON as it is: ASCII without control characters and backslashes, in a string without quotes too.
   * @returns false when it is none, and nothing was written
   */
  plain(text: string, inString: boolean): boolean {
    const at = this.#at;
    const quote = inString ? QUOTE : BACKSLASH;
    const bytes = this.#bytes;
    const end = at + text.length;
    const isWritten = end <= bytes.length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < 0x20 || code > 0x7e || code === BACKSLASH || code === quote) return false;
      if (isWritten) bytes[at + i] = code;
    }
    this.#at = end;
    return true;
  }

  #byte(byte: number): void {
    if (this.#at < this.#bytes.length) this.#bytes[this.#at] = byte;
    this.#at++;
  }

  #digits(value: number): void {
    let digits = 1;
    for (let bound = 10; value >= bound; bound *= 10) digits++;
    const end = this.#at + digits;
    this.#at = end;
    if (end > this.#bytes.length) return;
    let rest = value;
    for (let at = end - 1; at >= end - digits; at--) {
      const tens = (rest / 10) | 0;
      this.#bytes[at] = ZERO + rest - tens * 10;
      rest = tens;
    }
  }
}
