import { Buffer } from 'node:buffer';

/** Int32 words of a worker's slab: one cache line, so that workers do not slow each other down. */
const SLAB_WORDS = 16;
/** Memory is counted in KiB: int32 then holds 2 TiB. */
const UNIT_BYTES = 1024;

/** The memory in which a node's workers count what they keep for another attempt; once per process. */
export function createReplayMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * SLAB_WORDS * 4);
}

/** How much of requests a node may keep for another attempt. A worker counts in its own slab, which ends with it. */
export class ReplayBudget {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #own: number;
  readonly #maxBytes: number;

  /** @param maxBytes of all workers together; 0 = no limit */
  constructor(memory: SharedArrayBuffer, worker: number, maxBytes: number) {
    this.#words = new Int32Array(memory);
    this.#own = worker * SLAB_WORDS;
    this.#maxBytes = maxBytes;
  }

  /** A worker that begins has kept nothing yet, whatever the one before it in this place had. */
  reset(): void {
    Atomics.store(this.#words, this.#own, 0);
  }

  /** @returns false when the node keeps as much as it may: nothing was taken then */
  take(bytes: number): boolean {
    const units = unitsOf(bytes);
    if (this.#maxBytes > 0 && (this.#kept() + units) * UNIT_BYTES > this.#maxBytes) return false;
    Atomics.add(this.#words, this.#own, units);
    return true;
  }

  /** @param bytes exactly as they were taken */
  give(bytes: number): void {
    Atomics.sub(this.#words, this.#own, unitsOf(bytes));
  }

  /** Bytes that the node keeps now. */
  get keptBytes(): number {
    return this.#kept() * UNIT_BYTES;
  }

  #kept(): number {
    let units = 0;
    for (let at = 0; at < this.#words.length; at += SLAB_WORDS)
      units += Atomics.load(this.#words, at);
    return units;
  }
}

function unitsOf(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES);
}

/** Where a body of unknown length begins; doubled when it is full. */
const FIRST_BYTES = 16_384;

/** A request's content, kept until nobody can ask for it again: bounded by itself and by what its node may keep. */
export class RequestCopy {
  readonly #budget: ReplayBudget;
  readonly #maxBytes: number;
  readonly #declaredBytes: number;
  #bytes: Buffer | null = null;
  #length = 0;
  /** What of the buffer was taken from the node's budget. */
  #takenBytes = 0;
  #isOver = false;

  /**
   * @param maxBytes 0 = no limit
   * @param declaredBytes its Content-Length, or -1: a known length is taken at once, in one piece
   */
  constructor(budget: ReplayBudget, maxBytes: number, declaredBytes: number) {
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

  #grow(needed: number): void {
    const room = this.#bytes?.length ?? 0;
    const wanted = Math.max(needed, this.#declaredBytes, room * 2, FIRST_BYTES);
    const bounded =
      this.#maxBytes > 0 ? Math.max(needed, Math.min(wanted, this.#maxBytes)) : wanted;
    const isGranted = this.#budget.take(bounded);
    // Above the node's budget one piece more is kept, so that what came is whole, and then no other.
    const size = isGranted ? bounded : needed;
    const grown = Buffer.allocUnsafeSlow(size);
    this.#bytes?.copy(grown, 0, 0, this.#length);
    if (this.#takenBytes > 0) this.#budget.give(this.#takenBytes);
    this.#takenBytes = isGranted ? size : 0;
    if (!isGranted) this.#isOver = true;
    this.#bytes = grown;
  }
}

const NOTHING = Buffer.alloc(0);
