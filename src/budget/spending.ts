/**
 * What the requests of one key may cost. Asked at a request's last byte; answered by a reservation, which is settled once, when the
 * attempt has ended.
 */

import type { PriceBook } from '../prices/price-book.ts';
import type { Rejection } from '../rejection.ts';
import type { AskedSpending } from '../wire/asked-spending.ts';
import type { BudgetCalendar, Windows } from './budget-calendar.ts';
import {
  type BudgetStatus,
  budgetExceeded,
  NO_BUDGET_ROW,
  tooDear,
  unpriced,
} from './budget-refusals.ts';
import type { BudgetLimits, BudgetScope, BudgetWindow, UnpricedWay } from './budget-settings.ts';
import { type BudgetTable, type Claim, NO_ROW, type RowName, rowName } from './budget-table.ts';
import type { DefaultRates } from './default-rate.ts';
import { highestCost } from './highest-cost.ts';
import type { OutputSizes } from './output-sizes.ts';

/** What is told of budgets; the metrics are one. */
export interface SpendingCounts {
  /** @param enforced false: it would have been refused (`mode = "warn"`) */
  budgetReached(scope: BudgetScope, window: BudgetWindow, enforced: boolean): void;
  budgetRowDropped(): void;
}

/** A budget that a worker met, or whose grant it found too small. */
export type BudgetMet = (scope: BudgetScope, name: string, window: BudgetWindow) => void;

/** What all keys of a worker share. */
export interface SpendingContext {
  readonly table: BudgetTable;
  readonly calendar: BudgetCalendar;
  readonly book: PriceBook;
  readonly defaults: DefaultRates;
  readonly sizes: OutputSizes;
  readonly counts: SpendingCounts;
  readonly met: BudgetMet;
  readonly status: BudgetStatus;
  /** Of an answer that nobody limits; 0: as was learned. */
  readonly assumedOutputTokens: number;
  readonly now: () => number;
}

/** One owner's budgets, as a policy says. */
export interface OwnBudget {
  readonly scope: BudgetScope;
  /** As in `BudgetRow`. */
  readonly name: string;
  readonly limits: BudgetLimits;
  readonly enforced: boolean;
}

/** What a policy says of what requests may cost. */
export interface SpendingRules {
  readonly keyClass: string;
  /** Nano-dollars; 0 = off. */
  readonly maxCostNano: number;
  /** False: it is counted only. */
  readonly enforced: boolean;
  readonly unpriced: UnpricedWay;
}

/** What is known of a request at its last byte. */
export interface SpendingQuestion {
  readonly provider: string;
  /** As its provider is asked for; null where that cannot be told for sure. */
  readonly model: string | null;
  /** Models that it names beside that: the dearest counts. */
  readonly further: readonly string[];
  /** Null: nobody could look. */
  readonly asked: AskedSpending | null;
  /** Of the body. */
  readonly requestBytes: number;
  readonly writes: boolean;
}

/** One budget in one kind of window. */
interface Line {
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

/** How one budget stands, for its owner. */
export interface BudgetView {
  readonly scope: BudgetScope;
  readonly window: BudgetWindow;
  readonly label: number;
  readonly limit: number;
  readonly spent: number;
  readonly reserved: number;
  readonly renewsMs: number;
  readonly enforced: boolean;
}

const NOTHING_ASKED: AskedSpending = {
  textBytes: 0,
  dataBytes: 0,
  outputTokens: null,
  choices: 1,
  serviceTier: null,
  speed: null,
  inferenceGeo: null,
  marksCache: false,
  isHour: false,
  tools: 0,
  toolUses: 0,
  named: 0,
};

/** The most that a request can cost. */
interface Priced {
  /** Nano-dollars. */
  readonly nano: number;
  /** False: its model has no price, and nothing of it counts. */
  readonly isPriced: boolean;
  /** Whose answers are as long as this one, that nobody limits; null: somebody does. */
  readonly learns: string | null;
}

/** This node's part of a budget is too small, and may grow within milliseconds: it is to be asked again then. */
export const WAITS = 'waits';

/** Between two words to whoever grants about one budget, in milliseconds: one that is spent is asked for by many. */
const ASK_MS = 4;

export class KeySpending {
  readonly #context: SpendingContext;
  readonly #rules: SpendingRules;
  readonly #lines: readonly Line[];

  constructor(context: SpendingContext, rules: SpendingRules, budgets: readonly OwnBudget[]) {
    this.#context = context;
    this.#rules = rules;
    this.#lines = budgets.flatMap(({ scope, name, limits, enforced }) =>
      (['day', 'month'] as const)
        .filter((window) => limits[window] > 0)
        .map((window): Line => {
          const print = rowName(`${scope} ${name} ${window}`);
          const limit = limits[window];
          return { scope, name, window, print, limit, enforced, row: NO_ROW, told: 0, askedMs: 0 };
        }),
    );
  }

  /**
   * Takes the most that a request can cost from every budget, or nothing from any.
   * @param mayWait false: it is refused where a moment later it might not be
   */
  reserve(question: SpendingQuestion): Reservation | Rejection;
  reserve(question: SpendingQuestion, mayWait: boolean): Reservation | Rejection | typeof WAITS;
  reserve(question: SpendingQuestion, mayWait = false): Reservation | Rejection | typeof WAITS {
    const nowMs = this.#context.now();
    const cost = this.#highest(question, nowMs);
    if ('code' in cost) return cost;
    const { maxCostNano, enforced } = this.#rules;
    if (enforced && maxCostNano > 0 && cost.nano > maxCostNano)
      return tooDear(cost.nano, maxCostNano);
    // What costs nothing needs no room: a budget that was passed refuses nobody's own machine.
    if (this.#lines.length === 0 || cost.nano === 0)
      return new Reservation(this.#context, this.#rules, [], [], cost);
    const windows = this.#context.calendar.at(nowMs);
    const lines = this.#lines;
    const claims = lines.map(
      ({ print, row, window, limit, enforced: isEnforced }): Claim => ({
        name: print,
        row,
        label: windows[window],
        limit,
        enforced: isEnforced,
      }),
    );
    const came = this.#context.table.reserve(claims, cost.nano);
    this.#placed(claims);
    if (came.kind === 'taken') {
      for (const at of came.overdrawn) this.#reached(at, false);
      return new Reservation(this.#context, this.#rules, lines, claims, cost);
    }
    if (came.kind === 'full') {
      this.#context.counts.budgetRowDropped();
      return NO_BUDGET_ROW;
    }
    if (came.of === 'grant') {
      this.#ask(came.at, nowMs);
      const mayGrow = this.#context.table.isGranting && !this.#isSpent(came.at, claims, cost.nano);
      if (mayWait && mayGrow) return WAITS;
    }
    return this.#exceeded(came.at, came.of, claims, cost.nano, windows);
  }

  /** Whoever grants is told at once. */
  #ask(at: number, nowMs: number): void {
    const line = this.#lines[at];
    if (line === undefined || Math.abs(nowMs - line.askedMs) < ASK_MS) return;
    line.askedMs = nowMs;
    this.#context.met(line.scope, line.name, line.window);
  }

  /** Other nodes have the rest of it, as far as this one knows. */
  #isSpent(at: number, claims: readonly Claim[], asked: number): boolean {
    const line = this.#lines[at];
    const claim = claims[at];
    if (line === undefined || claim === undefined) return false;
    const state = this.#context.table.read(line.print, claim.row);
    if (state === null) return false;
    return state.spent + state.reserved + state.elsewhere + asked > line.limit;
  }

  /** Rows are remembered, and whoever keeps them over a restart is told of a new window. */
  #placed(claims: readonly Claim[]): void {
    for (const [at, { row, label }] of claims.entries()) {
      const line = this.#lines[at];
      if (line === undefined) continue;
      line.row = row;
      if (line.told === label || row === NO_ROW) continue;
      line.told = label;
      this.#context.met(line.scope, line.name, line.window);
    }
  }

  #reached(at: number, enforced: boolean): void {
    const line = this.#lines[at];
    if (line !== undefined) this.#context.counts.budgetReached(line.scope, line.window, enforced);
  }

  #exceeded(
    at: number,
    of: 'limit' | 'grant',
    claims: readonly Claim[],
    asked: number,
    windows: Windows,
  ): Rejection {
    this.#reached(at, true);
    const line = this.#lines[at];
    const claim = claims[at];
    if (line === undefined || claim === undefined) return NO_BUDGET_ROW;
    const state = this.#context.table.read(line.print, claim.row);
    return budgetExceeded(this.#context.status, {
      scope: line.scope,
      window: line.window,
      label: claim.label,
      limit: line.limit,
      spent: (state?.spent ?? 0) + (state?.elsewhere ?? 0),
      reserved: state?.reserved ?? 0,
      asked,
      renewsMs: line.window === 'day' ? windows.dayEndsMs : windows.monthEndsMs,
      reason: of === 'grant' && !this.#isSpent(at, claims, asked) ? 'partition' : 'spent',
    });
  }

  /** Of several models that it names, what the dearest would cost. */
  #highest(question: SpendingQuestion, nowMs: number): Priced | Rejection {
    let dearest = this.#costOf(question, question.model, nowMs);
    for (const model of question.further) {
      if ('code' in dearest) return dearest;
      const cost = this.#costOf(question, model, nowMs);
      if ('code' in cost) return cost;
      if (cost.nano > dearest.nano) dearest = { ...cost, learns: dearest.learns };
    }
    return dearest;
  }

  #costOf(
    { provider, asked, requestBytes, writes }: SpendingQuestion,
    model: string | null,
    nowMs: number,
  ): Priced | Rejection {
    const { book, defaults, sizes, assumedOutputTokens } = this.#context;
    const { unpriced: way, keyClass } = this.#rules;
    const row = model === null ? null : book.row(provider, model, nowMs);
    const name = model === null ? null : `${provider}/${model}`;
    const priced = row ?? (way === 'default_rate' ? defaults.of(provider, nowMs) : null);
    const isLimited = asked !== null && asked.outputTokens !== null;
    const learns = isLimited ? null : name;
    if (priced !== null) {
      const nano = highestCost({
        provider,
        row: priced,
        traits: book.traits(provider, model ?? ''),
        asked: asked ?? { ...NOTHING_ASKED, textBytes: requestBytes },
        assumedOutputTokens:
          assumedOutputTokens > 0 ? assumedOutputTokens : sizes.assumed(keyClass, name ?? ''),
        writes,
        nowMs,
      });
      if (nano !== null) return { nano, isPriced: true, learns };
    }
    return way === 'deny' ? unpriced(name) : { nano: 0, isPriced: false, learns };
  }

  /** How each budget stands now. */
  views(): readonly BudgetView[] {
    const { table, calendar, now } = this.#context;
    const windows = calendar.at(now());
    return this.#lines.map(({ scope, window, print, limit, enforced }) => {
      const row = table.find(print);
      const state = row === NO_ROW ? null : table.read(print, row);
      const isNow = state !== null && state.label >= windows[window];
      return {
        scope,
        window,
        label: windows[window],
        limit,
        spent: isNow ? state.spent + state.elsewhere : 0,
        reserved: isNow ? state.reserved : 0,
        renewsMs: window === 'day' ? windows.dayEndsMs : windows.monthEndsMs,
        enforced,
      };
    });
  }

  get maxCostNano(): number {
    return this.#rules.maxCostNano;
  }
}

/** What one attempt has reserved. */
export class Reservation {
  readonly #context: SpendingContext;
  readonly #rules: SpendingRules;
  readonly #lines: readonly Line[];
  readonly #claims: readonly Claim[];
  readonly #cost: Priced;
  #isOver = false;

  constructor(
    context: SpendingContext,
    rules: SpendingRules,
    lines: readonly Line[],
    claims: readonly Claim[],
    cost: Priced,
  ) {
    this.#context = context;
    this.#rules = rules;
    this.#lines = lines;
    this.#claims = claims;
    this.#cost = cost;
  }

  /** Nano-dollars. */
  get reserved(): number {
    return this.#cost.nano;
  }

  /** What it goes by has a price: else nothing is reserved, and nothing will be spent. */
  get isPriced(): boolean {
    return this.#cost.isPriced;
  }

  /**
   * The attempt has ended. Further calls do nothing.
   * @param nano what it cost; null: nobody knows, and all that was reserved counts as spent
   */
  settle(nano: number | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const spent = nano ?? this.#cost.nano;
    for (const [at, claim] of this.#claims.entries()) {
      const line = this.#lines[at];
      if (line === undefined) continue;
      this.#context.table.settle(line.print, claim.row, claim.label, this.#cost.nano, spent);
    }
  }

  /** How long its answer was: where nobody limited it, the next one's is not a guess. */
  learn(outputTokens: number): void {
    const { learns } = this.#cost;
    if (learns !== null) this.#context.sizes.learn(this.#rules.keyClass, learns, outputTokens);
  }
}
