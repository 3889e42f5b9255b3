import { Buffer } from 'node:buffer';
import type { PieceSink } from '../wire/piece-sink.ts';

/** White space behind a body's last brace that is held with it: a line's end, mostly, and never as much as this. */
const HELD_MAX_BYTES = 64;

const NOTHING = Buffer.alloc(0);
const BRACE = 0x7d;

/**
 * Holds back what may be the end of a body's object, so that something can still be put in front of it when all of the body is
 * known. What comes behind it lets it go.
 */
export class HeldEnd implements PieceSink {
  readonly #sink: PieceSink;
  #held: Buffer = NOTHING;

  constructor(sink: PieceSink) {
    this.#sink = sink;
  }

  /** @param piece lent */
  push(piece: Buffer): boolean {
    // In chunks it would be the end of all.
    if (piece.length === 0) return true;
    const end = lastByte(piece);
    if (end < 0 && this.#held.length > 0 && this.#held.length + piece.length <= HELD_MAX_BYTES) {
      this.#held = Buffer.concat([this.#held, piece]);
      return true;
    }
    let takesMore = true;
    if (this.#held.length > 0) takesMore = this.#sink.push(this.take());
    if (end < 0 || piece[end] !== BRACE || piece.length - end > HELD_MAX_BYTES)
      return this.#sink.push(piece) && takesMore;
    // Copied: pieces are lent.
    this.#held = Buffer.from(piece.subarray(end));
    return end === 0 ? takesMore : this.#sink.push(piece.subarray(0, end)) && takesMore;
  }

  /** With what is held in front of it. @param pieces lent */
  before(pieces: readonly Buffer[]): readonly Buffer[] {
    return this.#held.length === 0 ? pieces : [this.take(), ...pieces];
  }

  /** What is held, which is the caller's then. */
  take(): Buffer {
    const held = this.#held;
    this.#held = NOTHING;
    return held;
  }
}

/** Where the last byte stands that is no white space of JSON; -1: it is all white space. */
export function lastByte(piece: Buffer): number {
  for (let at = piece.length - 1; at >= 0; at--) {
    const byte = piece[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
  }
  return -1;
}
