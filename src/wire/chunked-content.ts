/** Most bytes of one chunk's size line, and of all trailer fields together. Real servers send 3 to 8, and none. */
const SIZE_LINE_MAX_BYTES = 4_096;
const TRAILER_MAX_BYTES = 16_384;
/** 2^52 bytes are no chunk. */
const SIZE_MAX_DIGITS = 13;

const CR = 0x0d;
const LF = 0x0a;

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;
const OVER = 7;
const BROKEN = 8;

/** RFC 9112 §7.1.1, without the white space that it lets recipients refuse. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)+$/;
const TRAILER_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Takes the chunked transfer coding off a response's content (RFC 9112 §7.1), strictly: line ends are CRLF, sizes are
 * hexadecimal digits, a chunk ends where its size says. Extensions and trailer fields are checked and dropped.
 *
 * What one read holds of a content is moved together within the read, so that a burst of small chunks costs one write
 * towards the client instead of one each.
 */
export class ChunkedContent {
  #state = SIZE;
  #size = 0;
  #digits = 0;
  /** Bytes of the current chunk that are still to come. */
  #left = 0;
  /** An extension, or a trailer line, as far as it has come; one character per byte. */
  #line = '';
  #trailerBytes = 0;

  /** The last chunk and its trailer were read. */
  get isOver(): boolean {
    return this.#state === OVER;
  }

  /** What was read is no chunked content; nothing more is. */
  get isBroken(): boolean {
    return this.#state === BROKEN;
  }

  /** Where `read` stopped: behind the content's end, or the end of what it was given. */
  stoppedAt = 0;

  /**
   * Decodes `bytes` from `from` on, in place: the content found ends up in one piece that begins at its first byte.
   * @returns the content, a view of `bytes`; may be empty
   */
  read(bytes: Buffer, from: number): Buffer {
    let at = from;
    let begin = -1;
    let end = -1;
    while (at < bytes.length && this.#state < OVER) {
      if (this.#state !== DATA) {
        at = this.#readFraming(bytes, at);
        continue;
      }
      const size = Math.min(this.#left, bytes.length - at);
      if (begin < 0) begin = end = at;
      if (end < at) bytes.copyWithin(end, at, at + size);
      end += size;
      at += size;
      this.#left -= size;
      if (this.#left === 0) this.#state = DATA_CR;
    }
    this.stoppedAt = at;
    return bytes.subarray(Math.max(begin, 0), Math.max(end, 0));
  }

  /** Reads one byte of framing, or one line of it. @returns the offset behind it */
  #readFraming(bytes: Buffer, at: number): number {
    const byte = bytes[at] ?? 0;
    switch (this.#state) {
      case SIZE:
        this.#readSize(byte);
        return at + 1;
      case EXTENSION:
        return this.#readExtension(bytes, at);
      case SIZE_LF:
        this.#endSize(byte);
        return at + 1;
      case DATA_CR:
        this.#state = byte === CR ? DATA_LF : BROKEN;
        return at + 1;
      case DATA_LF:
        this.#state = byte === LF ? SIZE : BROKEN;
        return at + 1;
      default:
        return this.#readTrailer(bytes, at);
    }
  }

  #readSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      this.#size = this.#size * 16 + digit;
      if (++this.#digits > SIZE_MAX_DIGITS) this.#state = BROKEN;
    } else if (this.#digits === 0) this.#state = BROKEN;
    else if (byte === CR) this.#state = SIZE_LF;
    else if (byte === SEMICOLON) {
      this.#line = ';';
      this.#state = EXTENSION;
    } else this.#state = BROKEN;
  }

  #readExtension(bytes: Buffer, from: number): number {
    const at = lineEnd(bytes, from);
    this.#line += bytes.toString('latin1', from, at);
    if (this.#line.length > SIZE_LINE_MAX_BYTES) this.#state = BROKEN;
    else if (at < bytes.length) {
      this.#state = bytes[at] === CR && EXTENSIONS.test(this.#line) ? SIZE_LF : BROKEN;
      this.#line = '';
      return at + 1;
    }
    return at;
  }

  #endSize(byte: number): void {
    if (byte !== LF) {
      this.#state = BROKEN;
      return;
    }
    this.#left = this.#size;
    this.#state = this.#size === 0 ? TRAILER : DATA;
    this.#size = 0;
    this.#digits = 0;
  }

  /** Trailer lines up to the empty one. */
  #readTrailer(bytes: Buffer, from: number): number {
    const lf = bytes.indexOf(LF, from);
    const to = lf < 0 ? bytes.length : lf + 1;
    this.#trailerBytes += to - from;
    this.#line += bytes.toString('latin1', from, to);
    if (this.#trailerBytes > TRAILER_MAX_BYTES) this.#state = BROKEN;
    else if (lf >= 0) {
      const isEnd = this.#line === '\r\n';
      const isLine = this.#line.endsWith('\r\n') && TRAILER_LINE.test(this.#line.slice(0, -2));
      this.#line = '';
      if (isEnd) this.#state = OVER;
      else if (!isLine) this.#state = BROKEN;
    }
    return to;
  }
}

const SEMICOLON = 0x3b;

function lineEnd(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at++) if (bytes[at] === CR || bytes[at] === LF) return at;
  return bytes.length;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
