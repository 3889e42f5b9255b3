/** What attempts have taken of their key's budgets, until it is known what they cost. */

import type { BudgetScope, BudgetWindow } from './budget-settings.ts';
import type { BudgetTable, Claim, RowName } from './budget-table.ts';
import type { ClassSizes } from './output-sizes.ts';

/** One budget in one kind of window. */
export interface Line {
  readonly scope: BudgetScope;
  readonly name: string;
  readonly window: BudgetWindow;
  readonly print: RowName;
  readonly limit: number;
  readonly enforced: boolean;
  row: number;
  /** The window of which the main thread knows. */
  told: number;
  /** When it was told last that more is wanted; Unix time in milliseconds. */
  askedMs: number;
}

/** The most that a request can cost. */
export interface Priced {
  /** Nano-dollars. */
  readonly nano: number;
  /** False: its model has no price, and nothing of it counts. */
  readonly isPriced: boolean;
  /** Whose answers are as long as this one, that nobody limits; null: somebody does. */
  readonly learns: string | null;
}

/** Where money is reserved: rows of budgets, each in one window. */
export interface Rows {
  readonly lines: readonly Line[];
  readonly claims: readonly Claim[];
}

/** In no row: nobody asks, or it costs nothing. */
export const NO_ROWS: Rows = { lines: [], claims: [] };

/** In each row what was reserved is given back, and something is spent. */
export function settleIn(
  { lines, claims }: Rows,
  table: BudgetTable,
  reservedNano: number,
  spentNano: number,
): void {
  for (const [at, { row, label }] of claims.entries()) {
    const line = lines[at];
    if (line !== undefined) table.settle(line.print, row, label, reservedNano, spentNano);
  }
}

/** Who keeps what an attempt did not spend, for the one that follows it. */
export interface Keeper {
  /** @returns false where no attempt follows, or what is kept would be in other rows: it is to be given back */
  keeps(rows: Rows, nano: number): boolean;
}

/** What one attempt has reserved. */
export class Reservation {
  readonly #table: BudgetTable;
  readonly #sizes: ClassSizes;
  readonly #rows: Rows;
  readonly #cost: Priced;
  readonly #keeper: Keeper | null;
  /** Nano-dollars that are reserved: its own cost, or that of a dearer one that may follow it. */
  #held: number;
  #isOver = false;

  constructor(
    table: BudgetTable,
    sizes: ClassSizes,
    rows: Rows,
    cost: Priced,
    held: number,
    keeper: Keeper | null,
  ) {
    this.#table = table;
    this.#sizes = sizes;
    this.#rows = rows;
    this.#cost = cost;
    this.#held = held;
    this.#keeper = keeper;
  }

  /** Nano-dollars: the most that this attempt can cost. */
  get reserved(): number {
    return this.#cost.nano;
  }

  /** What it goes by has a price: else nothing is reserved, and nothing will be spent. */
  get isPriced(): boolean {
    return this.#cost.isPriced;
  }

  /** No other attempt follows: what is beyond its own cost is given back. */
  trim(): void {
    const excess = this.#held - this.#cost.nano;
    if (this.#isOver || excess <= 0) return;
    this.#held = this.#cost.nano;
    settleIn(this.#rows, this.#table, excess, 0);
  }

  /**
   * The attempt has ended. Further calls do nothing.
   * @param nano what it cost; null: nobody knows, and the most that it can have cost counts as spent
   */
  settle(nano: number | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const spent = nano ?? this.#cost.nano;
    const rest = Math.max(0, this.#held - spent);
    const isKept = rest > 0 && this.#keeper?.keeps(this.#rows, rest) === true;
    settleIn(this.#rows, this.#table, isKept ? this.#held - rest : this.#held, spent);
  }

  /** How long its answer was: where nobody limited it, the next one's is not a guess. */
  learn(outputTokens: number): void {
    const { learns } = this.#cost;
    if (learns !== null) this.#sizes.learn(learns, outputTokens);
  }
}
