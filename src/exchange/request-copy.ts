import { Buffer } from 'node:buffer';
import type { KeptBudget } from './kept-budget.ts';

/** Where a body begins; doubled when it is full, up to its declared length. */
const FIRST_BYTES = 16_384;

/** A request's content, kept until nobody can ask for it again: bounded by itself and by what its node may keep. */
export class RequestCopy {
  readonly #budget: KeptBudget;
  readonly #maxBytes: number;
  readonly #declaredBytes: number;
  #bytes: Buffer | null = null;
  #length = 0;
  /** What of the buffer was taken from the node's budget. */
  #takenBytes = 0;
  #isOver = false;

  /**
   * @param maxBytes 0 = no limit
   * @param declaredBytes its Content-Length, or -1
   */
  constructor(budget: KeptBudget, maxBytes: number, declaredBytes: number) {
    this.#budget = budget;
    this.#maxBytes = maxBytes;
    this.#declaredBytes = declaredBytes;
  }

  /**
   * Takes a piece.
   * @returns false when a bound is passed with it: it was taken, and is the last one that may be
   */
  append(piece: Buffer): boolean {
    const needed = this.#length + piece.length;
    if (needed > (this.#bytes?.length ?? 0)) this.#grow(needed);
    this.#length += piece.copy(this.#bytes ?? piece, this.#length);
    if (this.#maxBytes > 0 && needed > this.#maxBytes) this.#isOver = true;
    return !this.#isOver;
  }

  /** Its declared length alone is more than may be kept. */
  get isDeclaredOver(): boolean {
    return this.#maxBytes > 0 && this.#declaredBytes > this.#maxBytes;
  }

  /** It alone is more than may be kept of one, whatever the node keeps. */
  get isTooLarge(): boolean {
    return this.#maxBytes > 0 && this.#length > this.#maxBytes;
  }

  /** Everything that was taken: a view, which ends with `drop`. */
  get bytes(): Buffer {
    return this.#bytes?.subarray(0, this.#length) ?? NOTHING;
  }

  get length(): number {
    return this.#length;
  }

  drop(): void {
    if (this.#takenBytes > 0) this.#budget.give(this.#takenBytes);
    this.#takenBytes = 0;
    this.#bytes = null;
    this.#length = 0;
  }

  /** By what came, and not by what was declared: a head alone, which costs its sender nothing, must not fill the node. */
  #grow(needed: number): void {
    const wanted = Math.max(needed, (this.#bytes?.length ?? 0) * 2, FIRST_BYTES);
    const declared = this.#declaredBytes < needed ? wanted : this.#declaredBytes;
    const most = this.#maxBytes > 0 ? Math.min(declared, this.#maxBytes) : declared;
    const bounded = Math.max(needed, Math.min(wanted, most));
    const isGranted = this.#budget.grow(this.#takenBytes, bounded);
    // Above the node's budget one piece more is kept, so that what came is whole, and then no other.
    const size = isGranted ? bounded : needed;
    // Small ones share a slab: a buffer of its own costs more than what it holds.
    const grown = Buffer.allocUnsafe(size);
    this.#bytes?.copy(grown, 0, 0, this.#length);
    if (isGranted) this.#takenBytes = size;
    else this.#isOver = true;
    this.#bytes = grown;
  }
}

const NOTHING = Buffer.alloc(0);
