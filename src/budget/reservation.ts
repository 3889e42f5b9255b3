/** What attempts have taken of their key's budgets, until it is known what they cost. */

import type { Windows } from './budget-calendar.ts';
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
  /** It ends a stream that passes it. */
  readonly stops: boolean;
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
  /** The request says how long its answer may be. */
  readonly isLimited: boolean;
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
  for (let at = 0; at < claims.length; at++) {
    const line = lines[at];
    const claim = claims[at];
    if (line === undefined || claim === undefined) continue;
    table.settle(line.print, claim.row, claim.label, reservedNano, spentNano);
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
  /** Nano-dollars: the most that this attempt can cost, as far as is known. */
  #own: number;
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
    this.#own = cost.nano;
    this.#held = held;
    this.#keeper = keeper;
  }

  /** Nano-dollars: the most that this attempt can cost. */
  get reserved(): number {
    return this.#own;
  }

  get rows(): Rows {
    return this.#rows;
  }

  /** Somebody limits how long its answer may be: what was seen of it says less than that. */
  get isLimited(): boolean {
    return this.#cost.isLimited;
  }

  /**
   * The attempt costs more than was thought: the difference is reserved where it ends a stream that passes its budgets, or nothing is.
   * @param nano what it may cost now, of which a dearer target's money is a part
   * @param now the windows that count: what is over holds to nothing
   * @returns the line that has no room; null: it has, or nothing is limited any more
   */
  grow(nano: number, now: Windows): { readonly at: number; readonly of: 'limit' | 'grant' } | null {
    if (this.#isOver || nano <= this.#own) return null;
    const more = nano - this.#held;
    if (more > 0) {
      const short = this.#table.reserveMore(this.#rows.claims, more, this.#passing(now));
      if (short !== null) return short;
      this.#held = nano;
    }
    this.#own = nano;
    return null;
  }

  /** What it goes by has a price: else nothing is reserved, and nothing will be spent. */
  get isPriced(): boolean {
    return this.#cost.isPriced;
  }

  /** It costs more than there is room for: what there is is reserved. @param nano what it has cost */
  growToRest(nano: number, now: Windows): void {
    if (this.#isOver || nano <= this.#held) return;
    const more = nano - this.#held;
    this.#held += this.#table.reserveRest(this.#rows.claims, more, this.#passing(now));
    this.#own = Math.max(this.#own, this.#held);
  }

  /** Which rows end no stream: whose budget does not say so, or whose window is over, although no later request has begun the next. */
  #passing(now: Windows): (at: number) => boolean {
    const { lines, claims } = this.#rows;
    return (at) => {
      const line = lines[at];
      return line?.stops !== true || (claims[at]?.label ?? 0) < now[line.window];
    };
  }

  /** No other attempt follows: what is beyond its own cost is given back. */
  trim(): void {
    const excess = this.#held - this.#own;
    if (this.#isOver || excess <= 0) return;
    this.#held = this.#own;
    settleIn(this.#rows, this.#table, excess, 0);
  }

  /**
   * The attempt has ended. Further calls do nothing.
   * @param nano what it cost; null: nobody knows, and the most that it can have cost counts as spent
   */
  settle(nano: number | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const spent = nano ?? this.#own;
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
