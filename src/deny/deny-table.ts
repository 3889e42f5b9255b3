/**
 * Who is cut off: a table in shared memory that the main thread writes and every worker reads, without locks.
 *
 * Decision: shared memory instead of a copy for each worker, so that a change is one store that all workers see at once,
 * and a million entries are there once. What makes it safe without locks:
 * - In a half, a cell's id is written before its first state and never again; a change of an entry is one store of its
 *   state, so a reader sees the old state or the new one. Lifted entries keep their cell.
 * - Halves are rebuilt, never cleaned in place: the other half is filled, then one store makes it the one that counts.
 *   A reader that a rebuild overtook sees that the generation has changed, and looks again.
 * Sizing: 2^21 cells of 12 bytes in each half, 24 MiB, touched only where entries are. At 1,500,000 entries seven of ten
 * cells are taken, and a lookup meets three on average. Ids are compared whole, so nobody is cut off for a neighbour.
 */

/** Who an entry cuts off. */
export type DeniedKind = 'tenant' | 'key';

/** Why: a spent budget is 402, everything else is 403. */
export type DenyReason = 'spend' | 'other';

/** Cells of a half; a power of two. */
export const DENY_CELLS = 2 ** 21;

/** Share of the cells that may be taken, lifted entries included, before a half must be rebuilt. */
export const DENY_FILL = 0.75;

/** Int32 words before the halves, a cache line: generation, and which half counts. */
const HEADER_WORDS = 16;
const GENERATION = 0;
const ACTIVE = 1;

const CELL_WORDS = 3;
const STATE = 0;
const LOW = 1;
const HIGH = 2;

// A state is 0 while a cell is empty.
const TAKEN = 1;
const OF_KEY = 2;
const SPEND = 4;
const OTHER = 8;
const DENIED = SPEND | OTHER;

/** Makes the memory that the writer and all readers share; once per process. */
export function createDenyTable(cells = DENY_CELLS): SharedArrayBuffer {
  return new SharedArrayBuffer((HEADER_WORDS + 2 * cells * CELL_WORDS) * 4);
}

/** An entry as it is found when a half is gone through. */
export interface DenyEntry {
  readonly kind: DeniedKind;
  readonly low: number;
  readonly high: number;
  readonly reason: DenyReason;
  readonly cell: number;
}

/** One half of the table. */
export class DenyHalf {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #mask: number;
  /** Cells that are not empty. */
  taken = 0;
  /** Entries that deny. */
  size = 0;

  /** @param index 0 or 1 */
  constructor(memory: SharedArrayBuffer, index: number) {
    const words = (memory.byteLength / 4 - HEADER_WORDS) / 2;
    this.#words = new Int32Array(memory, (HEADER_WORDS + index * words) * 4, words);
    this.#mask = words / CELL_WORDS - 1;
  }

  get cells(): number {
    return this.#mask + 1;
  }

  /** @returns why this id is cut off, or null */
  find(kind: DeniedKind, low: number, high: number): DenyReason | null {
    const cell = this.#cellOf(kind, low, high);
    return reasonOf(Atomics.load(this.#words, cell * CELL_WORDS + STATE));
  }

  // ---- for the one writer ----------------------------------------------------------------------------------------

  /** Cuts an id off, or changes why. @returns its cell; -1 when the half is full */
  deny(kind: DeniedKind, low: number, high: number, reason: DenyReason): number {
    const cell = this.#cellOf(kind, low, high);
    const at = cell * CELL_WORDS;
    const state = Atomics.load(this.#words, at + STATE);
    if (state === 0) {
      if (this.taken >= this.cells * DENY_FILL) return -1;
      this.#words[at + LOW] = low;
      this.#words[at + HIGH] = high;
      this.taken++;
    }
    if ((state & DENIED) === 0) this.size++;
    const next = TAKEN | (kind === 'key' ? OF_KEY : 0) | (reason === 'spend' ? SPEND : OTHER);
    Atomics.store(this.#words, at + STATE, next);
    return cell;
  }

  /** Lifts the hold of an id, if there is one. @returns its cell, -1 when nothing was lifted */
  lift(kind: DeniedKind, low: number, high: number): number {
    const cell = this.#cellOf(kind, low, high);
    const at = cell * CELL_WORDS;
    const state = Atomics.load(this.#words, at + STATE);
    if ((state & DENIED) === 0) return -1;
    this.size--;
    Atomics.store(this.#words, at + STATE, state & ~DENIED);
    return cell;
  }

  /** The entry in a cell; null when it denies nothing. */
  at(cell: number): DenyEntry | null {
    const at = cell * CELL_WORDS;
    const state = this.#words[at + STATE] ?? 0;
    const reason = reasonOf(state);
    if (reason === null) return null;
    return {
      kind: (state & OF_KEY) === 0 ? 'tenant' : 'key',
      low: (this.#words[at + LOW] ?? 0) | 0,
      high: (this.#words[at + HIGH] ?? 0) | 0,
      reason,
      cell,
    };
  }

  /** Empties every cell. Writes to those that are taken alone: a page that was never written costs no memory. */
  clear(): void {
    const words = this.#words;
    for (let at = 0; this.taken > 0 && at < words.length; at += CELL_WORDS) {
      if (words[at + STATE] === 0) continue;
      words.fill(0, at, at + CELL_WORDS);
      this.taken--;
    }
    this.size = 0;
  }

  /** The cell of an id, or the empty one where it would be. There always is one: a half is never filled up. */
  #cellOf(kind: DeniedKind, low: number, high: number): number {
    const words = this.#words;
    const ofKey = kind === 'key' ? OF_KEY : 0;
    for (let cell = spread(low, high, ofKey) & this.#mask; ; cell = (cell + 1) & this.#mask) {
      const at = cell * CELL_WORDS;
      const state = Atomics.load(words, at + STATE);
      if (state === 0) return cell;
      if ((state & OF_KEY) === ofKey && words[at + LOW] === low && words[at + HIGH] === high)
        return cell;
    }
  }
}

/** What a worker may ask. */
export class DenyLookup {
  readonly #header: Int32Array<SharedArrayBuffer>;
  readonly #halves: readonly [DenyHalf, DenyHalf];

  constructor(memory: SharedArrayBuffer) {
    this.#header = new Int32Array(memory, 0, HEADER_WORDS);
    this.#halves = [new DenyHalf(memory, 0), new DenyHalf(memory, 1)];
  }

  /**
   * @param low the id's low 32 bits as int32
   * @param high its high 32 bits as int32
   * @returns why the id is cut off, or null
   */
  find(kind: DeniedKind, low: number, high: number): DenyReason | null {
    for (;;) {
      const generation = Atomics.load(this.#header, GENERATION);
      const reason = this.#halves[Atomics.load(this.#header, ACTIVE) === 0 ? 0 : 1].find(
        kind,
        low,
        high,
      );
      if (Atomics.load(this.#header, GENERATION) === generation) return reason;
    }
  }
}

/** The two halves as their one writer sees them. */
export class DenyHalves {
  readonly #header: Int32Array<SharedArrayBuffer>;
  readonly #halves: readonly [DenyHalf, DenyHalf];

  constructor(memory: SharedArrayBuffer) {
    this.#header = new Int32Array(memory, 0, HEADER_WORDS);
    this.#halves = [new DenyHalf(memory, 0), new DenyHalf(memory, 1)];
  }

  /** The half that counts. */
  get active(): DenyHalf {
    return this.#halves[Atomics.load(this.#header, ACTIVE) === 0 ? 0 : 1];
  }

  /** The other half, emptied. A reader that is still in it will notice. */
  spare(): DenyHalf {
    const spare = this.#halves[Atomics.load(this.#header, ACTIVE) === 0 ? 1 : 0];
    Atomics.add(this.#header, GENERATION, 1);
    spare.clear();
    return spare;
  }

  /** From now on the other half counts. */
  swap(): void {
    Atomics.store(this.#header, ACTIVE, Atomics.load(this.#header, ACTIVE) === 0 ? 1 : 0);
    Atomics.add(this.#header, GENERATION, 1);
  }
}

function reasonOf(state: number): DenyReason | null {
  if ((state & SPEND) !== 0) return 'spend';
  return (state & OTHER) !== 0 ? 'other' : null;
}

/** Ids are counted up by whoever hands them out, so neighbours must not land in neighbouring cells (MurmurHash3's finish). */
function spread(low: number, high: number, kind: number): number {
  let hash = low ^ Math.imul(high, 0x9e3779b1) ^ Math.imul(kind, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
