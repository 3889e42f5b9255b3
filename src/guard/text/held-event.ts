import { Buffer } from 'node:buffer';
import { quoted } from './guarded-document.ts';
import type { PieceOwner, TextPiece } from './text-piece.ts';

/** A part of an event's data, in a row: data bytes from `at` on are the event's bytes from `from` on. */
export interface DataSegment {
  readonly at: number;
  readonly from: number;
  readonly bytes: number;
}

/** A copy with memory of its own: a part of a slab keeps all of it alive, 8 KiB for each stream that holds one event. */
export function keptCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** A text within an event's data. */
export class EventPiece implements TextPiece {
  readonly original: string;
  text: string;
  isChanged = false;
  readonly owner: HeldEvent;
  /** Of the data: between its quotes. */
  readonly from: number;
  readonly to: number;
  readonly isBare: boolean;

  constructor(text: string, from: number, to: number, isBare: boolean, owner: HeldEvent) {
    this.original = this.text = text;
    this.from = from;
    this.to = to;
    this.isBare = isBare;
    this.owner = owner;
  }
}

/** An event on its way to the client: it leaves when no stage changes any text of it any more. */
export class HeldEvent implements PieceOwner {
  #raw: Buffer;
  readonly #segments: readonly DataSegment[];
  readonly #edits: EventPiece[] = [];
  #open = 0;
  #isKept = false;
  /** Of `performance.now()`: since when it waits; -1 while it does not. */
  heldSinceMs = -1;
  isChanged = false;
  /** All of its texts are known: until then it does not leave. */
  isRead = false;

  /** @param raw lent */
  constructor(raw: Buffer, segments: readonly DataSegment[]) {
    this.#raw = raw;
    this.#segments = segments;
  }

  get bytes(): number {
    return this.#raw.length;
  }

  /** What was lent is gone soon. */
  keep(): void {
    if (this.#isKept) return;
    this.#raw = keptCopy(this.#raw);
    this.#isKept = true;
    this.heldSinceMs = performance.now();
  }

  piece(text: string, from: number, to: number, isBare: boolean): EventPiece {
    this.#open++;
    return new EventPiece(text, from, to, isBare, this);
  }

  settled(piece: TextPiece): void {
    this.#open--;
    if (!(piece instanceof EventPiece) || piece.text === piece.original) return;
    this.isChanged = true;
    this.#edits.push(piece);
  }

  get isReady(): boolean {
    return this.isRead && this.#open === 0;
  }

  /** @returns its bytes, as they came where nothing was changed */
  get written(): Buffer {
    if (this.#edits.length === 0) return this.#raw;
    const pieces: Buffer[] = [];
    let at = 0;
    for (const { from, to, text, isBare } of this.#edits.sort((a, b) => a.from - b.from)) {
      const instead = isBare ? JSON.stringify(text) : quoted(text);
      pieces.push(this.#raw.subarray(at, this.#rawAt(from)), Buffer.from(instead));
      at = this.#rawAt(to);
    }
    pieces.push(this.#raw.subarray(at));
    return Buffer.concat(pieces);
  }

  /** No text has a line end in it: both of its ends stand in one segment. */
  #rawAt(at: number): number {
    for (let i = this.#segments.length - 1; i >= 0; i--) {
      const segment = this.#segments[i];
      if (segment !== undefined && segment.at <= at) return segment.from + at - segment.at;
    }
    return 0;
  }
}
