import { Buffer } from 'node:buffer';
import type { KeptBudget } from './kept-budget.ts';

/** The first slab of an answer, in bytes: most openings fit. Each further one is as large as all before it. */
const FIRST_SLAB_BYTES = 1_024;
/** The largest slab, in bytes: what leaves in one write. */
const SLAB_MAX_BYTES = 65_536;

/**
 * Bytes of an answer that are kept until they may leave, in slabs: a provider that writes ten bytes at a time costs no
 * Buffer for each. Counted in the node's budget until they have left.
 */
export class HeldBytes {
  readonly #budget: KeptBudget;
  #slabs: Buffer[] = [];
  /** Behind the slabs: what came last, while it need not be copied. */
  #lent: Buffer | null = null;
  /** Bytes that are written of the last slab. */
  #written = 0;
  #length = 0;
  /** What was taken for each slab; 0 for one that the node had no room for. */
  #taken: number[] = [];
  #isOver = false;

  constructor(budget: KeptBudget) {
    this.#budget = budget;
  }

  /** Bytes that are here. */
  get length(): number {
    return this.#length;
  }

  /** The node holds as much as it may: what came last is here, and no more is to be held. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * @param piece lent: not copied, since most of what is held leaves in the turn that it came in. Whoever still has it behind
   *   that turn has called `keep`
   */
  lend(piece: Buffer): void {
    this.keep();
    this.#lent = piece;
    this.#length += piece.length;
  }

  /** Copies what was lent, so that it outlives this turn. */
  keep(): void {
    const lent = this.#lent;
    if (lent === null) return;
    this.#lent = null;
    this.#length -= lent.length;
    this.append(lent);
  }

  /** @param piece lent: it is copied */
  append(piece: Buffer): void {
    this.keep();
    let from = 0;
    while (from < piece.length) {
      const slab = this.#slabWithRoom(piece.length - from);
      const copied = piece.copy(slab, this.#written, from);
      this.#written += copied;
      this.#length += copied;
      from += copied;
    }
  }

  /** The next bytes in order, which are the caller's now; null when none are left. */
  shift(): Buffer | null {
    const slab = this.#slabs.shift();
    if (slab === undefined) return this.#shiftLent();
    this.#give(this.#taken.shift() ?? 0);
    const bytes = this.#slabs.length === 0 ? slab.subarray(0, this.#written) : slab;
    this.#length -= bytes.length;
    return bytes;
  }

  #shiftLent(): Buffer | null {
    const lent = this.#lent;
    this.#lent = null;
    this.#length = 0;
    return lent;
  }

  /** Everything, in one piece: a copy, where it is in more than one. Lent, where it is. */
  joined(): Buffer {
    const lent = this.#lent;
    const last = this.#slabs.at(-1)?.subarray(0, this.#written);
    if (last === undefined) return lent ?? NOTHING;
    if (this.#slabs.length === 1 && lent === null) return last;
    return Buffer.concat([...this.#slabs.slice(0, -1), last, lent ?? NOTHING]);
  }

  /** The first bytes as text, at most `bytes` of them. */
  start(bytes: number): string {
    return this.joined().toString('utf8', 0, bytes);
  }

  /** Nothing of it is wanted any more. */
  drop(): void {
    for (const bytes of this.#taken) this.#give(bytes);
    this.#taken = [];
    this.#slabs = [];
    this.#lent = null;
    this.#length = 0;
  }

  #slabWithRoom(wanted: number): Buffer {
    const last = this.#slabs.at(-1);
    if (last !== undefined && this.#written < last.length) return last;
    const bytes = Math.min(SLAB_MAX_BYTES, Math.max(FIRST_SLAB_BYTES, wanted, this.#length));
    const isGranted = this.#budget.take(bytes);
    if (!isGranted) this.#isOver = true;
    // Small ones share a slab of Node's: a buffer of its own costs more than what it holds.
    const slab = Buffer.allocUnsafe(bytes);
    const taken = isGranted ? bytes : 0;
    // Mostly it is one: an array that grows has room for seventeen.
    if (last === undefined) {
      this.#slabs = [slab];
      this.#taken = [taken];
    } else {
      this.#slabs.push(slab);
      this.#taken.push(taken);
    }
    this.#written = 0;
    return slab;
  }

  #give(bytes: number): void {
    if (bytes > 0) this.#budget.give(bytes);
  }
}

const NOTHING = Buffer.alloc(0);
