/**
 * What a request reserves that may be tried at several targets: the most that the dearest of them can cost, so that the one that follows
 * another finds its money there, whoever else spends meanwhile. A target for which there is no room is not reached; the others are.
 * States: ARCHITECTURE.md, "Budgets".
 */

import type { BudgetTable } from './budget-table.ts';
import { type Keeper, type Reservation, type Rows, settleIn } from './reservation.ts';

/** A target that may be tried when the one before it came to nothing. */
export interface ChainTarget {
  readonly provider: { readonly name: string };
  readonly model: string;
}

/** What is reserved while no attempt runs. */
interface Kept {
  readonly rows: Rows;
  /** Nano-dollars. */
  readonly nano: number;
}

export class ChainSpending implements Keeper {
  readonly #left: () => readonly ChainTarget[];
  #table: BudgetTable | null = null;
  #current: Reservation | null = null;
  #kept: Kept | null = null;
  #isOpen = true;

  /** @param left the targets that may follow the current one */
  constructor(left: () => readonly ChainTarget[]) {
    this.#left = left;
  }

  /** Another attempt may follow the current one. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get left(): readonly ChainTarget[] {
    return this.#isOpen ? this.#left() : [];
  }

  /** An attempt has this. */
  began(reservation: Reservation, table: BudgetTable): void {
    this.#table = table;
    this.#current = reservation;
  }

  keeps(rows: Rows, nano: number): boolean {
    if (!this.#isOpen || this.#kept !== null) return false;
    this.#kept = { rows, nano };
    this.#current = null;
    return true;
  }

  /** What the attempt before left, for the one that begins: it is the caller's to reserve or to give back. */
  take(): Kept | null {
    const kept = this.#kept;
    this.#kept = null;
    return kept;
  }

  /** What the attempt before left is reserved still: the one that would have begun did not. */
  putBack(kept: Kept): void {
    this.#kept = kept;
  }

  /** No other attempt follows. Further calls do nothing. */
  close(): void {
    this.#isOpen = false;
    this.#current?.trim();
    this.#current = null;
    const kept = this.take();
    if (kept !== null && this.#table !== null) settleIn(kept.rows, this.#table, kept.nano, 0);
  }
}
