/**
 * The deny-set as the main thread keeps it: the only writer of the shared table, with what readers need not know (when a
 * hold ends by itself, up to which revision of which bucket the set is true).
 */

import type { DenySubject, DenyValue } from './deny-entry.ts';
import { type DenyEntry, type DenyHalf, DenyHalves } from './deny-table.ts';

/** How far a set is true: everything of this bucket up to this revision. */
export interface DenyCursor {
  /** When the bucket was created, as the server says it: a bucket that was deleted and made again is another one. */
  readonly bucketCreated: string;
  readonly revision: number;
}

/** An entry with its end; the shape in which sets are kept on disk. */
export interface DenyRecord extends DenyEntry {
  /** Unix seconds, 0 = not by itself. */
  readonly exp: number;
}

/** Share of the cells that lifted entries must hold before a full half is compacted. */
const COMPACT_FROM = 1 / 16;

/** A half, and when its holds end. */
class Side {
  readonly half: DenyHalf;
  readonly #exps: Uint32Array;
  /** No hold ends before; unix seconds. */
  #nextExp = Number.POSITIVE_INFINITY;

  constructor(half: DenyHalf) {
    this.half = half;
    this.#exps = new Uint32Array(half.cells);
  }

  /** Cells of entries that deny nothing any more. */
  get lifted(): number {
    return this.half.taken - this.half.size;
  }

  /** @returns false when the half is full */
  deny({ kind, low, high }: DenySubject, { reason, exp }: DenyValue): boolean {
    const cell = this.half.deny(kind, low, high, reason);
    if (cell < 0) return false;
    this.#exps[cell] = exp;
    if (exp > 0) this.#nextExp = Math.min(this.#nextExp, exp);
    return true;
  }

  lift({ kind, low, high }: DenySubject): void {
    const cell = this.half.lift(kind, low, high);
    if (cell >= 0) this.#exps[cell] = 0;
  }

  /** Of a half that was emptied. What is 0 is not written: see `DenyHalf.clear`. */
  forget(): void {
    if (this.#nextExp === Number.POSITIVE_INFINITY) return;
    const exps = this.#exps;
    for (let cell = 0; cell < exps.length; cell++) if (exps[cell] !== 0) exps[cell] = 0;
    this.#nextExp = Number.POSITIVE_INFINITY;
  }

  /** Lifts every hold that has ended. A whole pass takes a few milliseconds and is made only when one is due. */
  expire(nowSeconds: number): void {
    if (nowSeconds < this.#nextExp) return;
    let next = Number.POSITIVE_INFINITY;
    for (let cell = 0; cell < this.#exps.length; cell++) {
      const exp = this.#exps[cell] ?? 0;
      if (exp === 0) continue;
      if (exp > nowSeconds) next = Math.min(next, exp);
      else {
        const entry = this.half.at(cell);
        if (entry !== null) this.half.lift(entry.kind, entry.low, entry.high);
        this.#exps[cell] = 0;
      }
    }
    this.#nextExp = next;
  }

  *records(): Generator<DenyRecord> {
    for (let cell = 0; cell < this.half.cells; cell++) {
      const entry = this.half.at(cell);
      if (entry !== null) yield { ...entry, exp: this.#exps[cell] ?? 0 };
    }
  }
}

const nowSeconds = (): number => Math.floor(Date.now() / 1_000);

/** A set that is being read anew; it counts once it is committed. */
export interface DenyRescan {
  apply(subject: DenySubject, value: DenyValue | null): void;
  /** False when something else needed its memory: begin again. */
  readonly isAlive: boolean;
  /** Makes it the set that counts. */
  commit(): void;
}

export class DenySet {
  readonly #halves: DenyHalves;
  #active: Side;
  /** Kept, not made anew for each reading: 8 MiB every 30 s would be the main thread's garbage for minutes. */
  #other: Side;
  #rescan: { isAlive: boolean } | null = null;
  /** Entries that found no room, since the last rescan. */
  overflow = 0;
  /** Counts changes, so that a snapshot knows whether there is something to write. */
  changes = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#halves = new DenyHalves(memory);
    this.#active = new Side(this.#halves.active);
    this.#other = new Side(this.#halves.spare());
  }

  get size(): number {
    return this.#active.half.size;
  }

  /** @param value null lifts the hold */
  apply(subject: DenySubject, value: DenyValue | null): void {
    this.changes++;
    if (value === null || hasEnded(value)) {
      this.#active.lift(subject);
      return;
    }
    if (this.#active.deny(subject, value)) return;
    // A pass over all cells, so only where it makes room for many.
    if (this.#active.lifted > this.#active.half.cells * COMPACT_FROM) this.#compact();
    if (!this.#active.deny(subject, value)) this.overflow++;
  }

  /** Lifts holds that have ended by the clock. */
  expire(): void {
    const { size } = this;
    this.#active.expire(nowSeconds());
    if (this.size !== size) this.changes++;
  }

  /** Begins a set of its own, beside the one that counts. A rescan that was under way ends. */
  rescan(): DenyRescan {
    const side = this.#spare();
    const token = { isAlive: true };
    let overflow = 0;
    this.#rescan = token;
    return {
      get isAlive() {
        return token.isAlive;
      },
      apply: (subject, value) => {
        if (!token.isAlive) return;
        if (value === null || hasEnded(value)) side.lift(subject);
        else if (!side.deny(subject, value)) overflow++;
      },
      commit: () => {
        if (!token.isAlive) throw new Error('a rescan that has ended was committed');
        token.isAlive = false;
        this.#rescan = null;
        this.#swap(side);
        this.overflow = overflow;
      },
    };
  }

  records(): Generator<DenyRecord> {
    return this.#active.records();
  }

  /** Lifted entries keep their cells: moves the others where there is room again. */
  #compact(): void {
    const side = this.#spare();
    for (const record of this.#active.records()) side.deny(record, record);
    this.#swap(side);
  }

  #spare(): Side {
    if (this.#rescan !== null) this.#rescan.isAlive = false;
    this.#rescan = null;
    this.#halves.spare();
    this.#other.forget();
    return this.#other;
  }

  #swap(side: Side): void {
    this.#halves.swap();
    this.#other = this.#active;
    this.#active = side;
    this.changes++;
  }
}

function hasEnded({ exp }: DenyValue): boolean {
  return exp > 0 && exp <= nowSeconds();
}
