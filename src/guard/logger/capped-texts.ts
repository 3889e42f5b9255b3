import type { RunKind } from '../guard.ts';
import type { LoggedPart, LoggedTexts } from './log-messages.ts';
import { OVERLAP_UNITS } from './masked-texts.ts';

/** What is kept of the beginning, and of the end, of what was said one way: UTF-8 bytes. */
export const HEAD_BYTES = 32_768;
export const TAIL_BYTES = 32_768;

/** Kept of the end in UTF-16 units, of which each has a byte at least: with what is thrown away once it was read. */
const TAIL_UNITS = TAIL_BYTES + OVERLAP_UNITS;

/** Runs of either: a call's arguments may be very many short texts. */
const RUNS_MAX = 512;

/** A stream's pieces are put together up to this, in UTF-16 units: what is thrown away goes as one. */
const PIECE_UNITS = 4_096;

interface Piece {
  readonly kind: RunKind;
  readonly run: number;
  text: string;
}

const scratch = new Uint8Array(HEAD_BYTES);
const encoder = new TextEncoder();

/** Keeps the beginning and the end of what was said one way, whatever comes between. */
export class CappedTexts {
  readonly #head: Piece[] = [];
  readonly #tail: Piece[] = [];
  #headBytes = 0;
  #isHeadFull = false;
  #tailUnits = 0;
  #isCut = false;
  #bytes = 0;
  /** What it holds, in UTF-16 units. */
  units = 0;

  /** @param run pieces of one run follow each other */
  add(kind: RunKind, run: number, text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#bytes += bytes;
    if (this.#isHeadFull) {
      this.#addTail(kind, run, text);
      return;
    }
    const room = HEAD_BYTES - this.#headBytes;
    // Ends between two characters.
    const fits =
      bytes <= room ? text.length : encoder.encodeInto(text, scratch.subarray(0, room)).read;
    this.#append(this.#head, kind, run, text.slice(0, fits), HEAD_BYTES);
    this.#headBytes += bytes <= room ? bytes : room;
    this.units += fits;
    this.#isHeadFull = fits < text.length || this.#head.length >= RUNS_MAX;
    if (fits < text.length) this.#addTail(kind, run, text.slice(fits));
  }

  #addTail(kind: RunKind, run: number, said: string): void {
    const text = said.slice(-TAIL_UNITS);
    this.#isCut ||= text.length < said.length;
    this.#append(this.#tail, kind, run, text, PIECE_UNITS);
    this.#tailUnits += text.length;
    this.units += text.length;
    let first = this.#tail[0];
    while (
      first !== undefined &&
      (this.#tailUnits - first.text.length >= TAIL_UNITS || this.#tail.length > RUNS_MAX)
    ) {
      this.#tail.shift();
      this.#tailUnits -= first.text.length;
      this.units -= first.text.length;
      this.#isCut = true;
      [first] = this.#tail;
    }
  }

  #append(to: Piece[], kind: RunKind, run: number, text: string, maxUnits: number): void {
    if (text === '') return;
    const last = to.at(-1);
    const isSame = last?.run === run && last.kind === kind;
    if (isSame && last.text.length + text.length <= maxUnits) last.text += text;
    else to.push({ kind, run, text });
  }

  /** What is there, each run's pieces put together. */
  texts(): LoggedTexts {
    if (!this.#isCut)
      return { parts: joined([...this.#head, ...this.#tail]), gap: null, bytes: this.#bytes };
    const head = joined(this.#head);
    return { parts: [...head, ...joined(this.#tail)], gap: head.length, bytes: this.#bytes };
  }
}

function joined(pieces: readonly Piece[]): readonly LoggedPart[] {
  const parts: { readonly kind: RunKind; readonly run: number; text: string }[] = [];
  for (const { kind, run, text } of pieces) {
    const last = parts.at(-1);
    if (last?.run === run && last.kind === kind) last.text += text;
    else parts.push({ kind, run, text });
  }
  return parts.map(({ kind, text }) => ({ kind, text }));
}
