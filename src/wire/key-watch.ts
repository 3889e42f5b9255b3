import { Buffer } from 'node:buffer';
import type { PieceSink } from './piece-sink.ts';

/** A sink that is told when no further piece follows. */
export interface EndingSink extends PieceSink {
  end(): void;
}

/** A key that is shorter may be a word (`ollama`, `EMPTY`): answers hold words. */
const KEY_MIN_CHARACTERS = 12;

/** A part of so many characters is a key's: what vendors begin all of theirs with is shorter (`sk-ant-admin01-`: 15). */
const PART_CHARACTERS = 16;

/** So many characters of a key at a piece's end are passed on: fewer would hold an end back every now and then. */
const SHOWN_CHARACTERS = 3;

/** What is looked up in a table: three characters, of each the five bits that letters of both cases share. */
const GRAM_CHARACTERS = 3;
const GRAM_BITS = 5;
const GRAM_MASK = 0x1f;
const GRAM_WORDS = 2 ** (GRAM_CHARACTERS * GRAM_BITS) / 32;
const STAR = 0x2a;
const NOTHING = Buffer.alloc(0);

/** One pool key, prepared to be watched for in answers: 4 KiB, made once. */
export class KeyPattern {
  /** In small letters: whoever reads a key in capitals knows most of it. */
  readonly #key: string;
  /** A part of so many characters is one. */
  readonly enough: number;
  /** A part of which all but `SHOWN_CHARACTERS` stand in a piece covers a gram that begins at a multiple of it. */
  readonly stride: number;
  readonly grams = new Uint32Array(GRAM_WORDS);

  private constructor(secret: string) {
    this.#key = secret.toLowerCase();
    this.enough = Math.min(PART_CHARACTERS, secret.length);
    this.stride = this.enough - SHOWN_CHARACTERS - GRAM_CHARACTERS + 1;
    const bytes = Buffer.from(secret, 'latin1');
    for (let at = 0; at + GRAM_CHARACTERS <= bytes.length; at++) {
      const gram = gramOf(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0);
      this.grams[gram >>> 5] = (this.grams[gram >>> 5] ?? 0) | (1 << (gram & 31));
    }
  }

  /**
   * @param secret visible ASCII
   * @returns null for one that is too short to be told from a word
   */
  static of(secret: string): KeyPattern | null {
    return secret.length < KEY_MIN_CHARACTERS ? null : new KeyPattern(secret);
  }

  /**
   * Whether the key, or a part of it, stands in a text that is all there.
   * @param text one character per byte
   */
  isIn(text: string): boolean {
    const step = this.enough - GRAM_CHARACTERS + 1;
    for (let at = 0; at + GRAM_CHARACTERS <= text.length; at += step) {
      const gram = gramOf(text.charCodeAt(at), text.charCodeAt(at + 1), text.charCodeAt(at + 2));
      if ((((this.grams[gram >>> 5] ?? 0) >>> (gram & 31)) & 1) === 0) continue;
      const from = Math.max(0, at - this.length);
      const near = text.slice(from, at + this.length).toLowerCase();
      const [before, behind] = this.partAround(near, at - from);
      if (before + behind >= this.enough) return true;
    }
    return false;
  }

  get length(): number {
    return this.#key.length;
  }

  /**
   * The longest part of the key around the three characters at `middle`.
   * @param text in small letters
   * @returns how many of its characters stand before them, and how many from the first of them on; none: zeros
   */
  partAround(text: string, middle: number): readonly [before: number, from: number] {
    const key = this.#key;
    const gram = text.slice(middle, middle + GRAM_CHARACTERS);
    let longest: readonly [number, number] = [0, 0];
    for (let found = key.indexOf(gram); found !== -1; found = key.indexOf(gram, found + 1)) {
      let before = 0;
      const most = Math.min(middle, found);
      while (before < most && text[middle - before - 1] === key[found - before - 1]) before++;
      let from = GRAM_CHARACTERS;
      while (middle + from < text.length && text[middle + from] === key[found + from]) from++;
      if (before + from > longest[0] + longest[1]) longest = [before, from];
    }
    return longest;
  }
}

function gramOf(a: number, b: number, c: number): number {
  return ((a & GRAM_MASK) << (2 * GRAM_BITS)) | ((b & GRAM_MASK) << GRAM_BITS) | (c & GRAM_MASK);
}

/**
 * Takes a key out of a success as it streams by: all of it, or a part of 16 characters, in any case, over any cuts. Each of
 * its characters becomes a `*`, so that lengths stay.
 *
 * Decision: not `indexOf`, which finds one spelling of one beginning and costs as much as all of this for the pieces that
 * token streams are made of: one look-up in every eleven bytes. What is held back is the end of a piece that spells four or more of the key's characters in a row, and no more than the key is long.
 */
export class KeyWatch implements EndingSink {
  readonly #pattern: KeyPattern;
  readonly #sink: PieceSink;
  #held: Buffer = NOTHING;
  /** The last three bytes that were passed on, the newest one lowest. */
  #before = 0;

  constructor(pattern: KeyPattern, sink: PieceSink) {
    this.#pattern = pattern;
    this.#sink = sink;
  }

  /** @param piece lent; a key that stands in it is overwritten there */
  push(piece: Buffer): boolean {
    if (piece.length === 0) return true;
    const isFresh = this.#held.length === 0;
    const bytes = isFresh ? piece : Buffer.concat([this.#held, piece]);
    this.#cover(bytes, false);
    const open = this.#openFrom(bytes);
    if (open === bytes.length) {
      this.#held = NOTHING;
      return this.#pass(bytes);
    }
    this.#held = isFresh ? Buffer.from(bytes.subarray(open)) : bytes.subarray(open);
    return open === 0 || this.#pass(bytes.subarray(0, open));
  }

  /** Nothing follows: what was held is the client's, where it is no part. */
  end(): void {
    const held = this.#held;
    if (held.length === 0) return;
    this.#held = NOTHING;
    this.#cover(held, true);
    this.#pass(held);
  }

  #pass(bytes: Buffer): boolean {
    const { length } = bytes;
    for (let at = Math.max(0, length - SHOWN_CHARACTERS); at < length; at++)
      this.#before = ((this.#before << 8) | (bytes[at] ?? 0)) & 0xffffff;
    return this.#sink.push(bytes);
  }

  /** @param isEnd else a part at the very end may go on, and is left to be held */
  #cover(bytes: Buffer, isEnd: boolean): void {
    const { grams, stride, enough } = this.#pattern;
    const last = bytes.length - GRAM_CHARACTERS;
    for (let at = 0; at <= last; at += stride) {
      const gram = gramOf(bytes[at] ?? 0, bytes[at + 1] ?? 0, bytes[at + 2] ?? 0);
      if ((((grams[gram >>> 5] ?? 0) >>> (gram & 31)) & 1) === 0) continue;
      const [from, to] = this.#runAt(bytes, at);
      if (to - from >= enough && (isEnd || to < bytes.length))
        bytes.fill(STAR, Math.max(0, from), to);
    }
  }

  /** From where on a piece's end may be the beginning of a part, or of its rest; its length where it is none. */
  #openFrom(bytes: Buffer): number {
    const { length } = bytes;
    const gram = gramOf(
      this.#at(bytes, length - 3),
      this.#at(bytes, length - 2),
      bytes[length - 1] ?? 0,
    );
    if ((((this.#pattern.grams[gram >>> 5] ?? 0) >>> (gram & 31)) & 1) === 0) return length;
    const [from] = this.#runAt(bytes, length - GRAM_CHARACTERS);
    return length - from > SHOWN_CHARACTERS ? Math.max(0, from) : length;
  }

  #at(bytes: Buffer, at: number): number {
    return at >= 0 ? (bytes[at] ?? 0) : (this.#before >>> (8 * (-at - 1))) & 0xff;
  }

  /**
   * The longest part of the key around the three bytes at `at`: offsets, the second one exclusive. The first one may be
   * negative: what was passed on belongs to it. Both are `at` where there is none.
   */
  #runAt(bytes: Buffer, at: number): readonly [from: number, to: number] {
    const { length } = this.#pattern;
    const begin = Math.max(-SHOWN_CHARACTERS, at - length);
    const text = this.#textFrom(bytes, begin, Math.min(bytes.length, at + length));
    const [before, from] = this.#pattern.partAround(text, at - begin);
    return [at - before, at + from];
  }

  /** One character per byte, in small letters. */
  #textFrom(bytes: Buffer, from: number, to: number): string {
    let text = '';
    for (let at = from; at < 0; at++) text += String.fromCharCode(this.#at(bytes, at));
    return (text + bytes.toString('latin1', Math.max(0, from), to)).toLowerCase();
  }
}
