/**
 * What the requests of one key may cost. Asked at a request's last byte; answered by a reservation, which is settled once, when the
 * attempt has ended.
 */

import type { PriceDoor } from '../plan/price-door.ts';
import type { PriceBook } from '../prices/price-book.ts';
import type { Rejection } from '../rejection.ts';
import type { AskedSpending } from '../wire/asked-spending.ts';
import { type Alternative, type Candidate, cheapest, mayServe } from './alternatives.ts';
import type { BudgetCalendar, Windows } from './budget-calendar.ts';
import {
  type BudgetStatus,
  budgetExceeded,
  budgetStopped,
  type FleetShare,
  NO_BUDGET_ROW,
  type SpentBudget,
  tooDear,
  UNBOUNDED,
  unpriced,
} from './budget-refusals.ts';
import type { BudgetLimits, BudgetScope, BudgetWindow, UnpricedWay } from './budget-settings.ts';
import { type BudgetTable, type Claim, NO_ROW, type RowState, rowName } from './budget-table.ts';
import type { ChainSpending, ChainTarget } from './chain-spending.ts';
import type { DefaultRates } from './default-rate.ts';
import { highestCost, isBounded } from './highest-cost.ts';
import type { ClassSizes, OutputSizes } from './output-sizes.ts';
import {
  type Line,
  NO_ROWS,
  type Priced,
  Reservation,
  type Rows,
  settleIn,
} from './reservation.ts';

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
  /** What is known of models: the book's, and what the configuration says over it. */
  readonly models: Pick<PriceDoor, 'traits'>;
  readonly defaults: DefaultRates;
  readonly sizes: OutputSizes;
  readonly counts: SpendingCounts;
  readonly met: BudgetMet;
  readonly status: BudgetStatus;
  /** Of an answer that nobody limits; 0: as was learned. */
  readonly assumedOutputTokens: number;
  /** What a caller might ask for instead who is refused: whoever may. */
  readonly candidates: readonly Candidate[];
  readonly now: () => number;
}

/** One owner's budgets, as a policy says. */
export interface OwnBudget {
  readonly scope: BudgetScope;
  /** As in `BudgetRow`. */
  readonly name: string;
  readonly limits: BudgetLimits;
  readonly enforced: boolean;
  /** `hard_stop`: a stream ends that would pass it. */
  readonly stops: boolean;
}

/** What a policy says of what requests may cost. */
export interface SpendingRules {
  readonly keyClass: string;
  /** Nano-dollars; 0 = off. */
  readonly maxCostNano: number;
  /** False: it is counted only. */
  readonly enforced: boolean;
  readonly unpriced: UnpricedWay;
  /** What text cannot pass is reserved, and what has no bound refused. */
  readonly isStrict: boolean;
  /** What nobody limits is limited to what is reserved for it. */
  readonly capsOutput: boolean;
  /** Of the context's, those that the key may ask for. */
  readonly candidates: readonly Candidate[];
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
  /** Of a request that may be tried at several targets; null: no other one follows. */
  readonly chain: ChainSpending | null;
  /** Its caller may name another provider's model: the path names none. */
  readonly mayMove: boolean;
  /** Its answer was to be limited, and could not be: all that its model can write is reserved. */
  readonly isUncapped: boolean;
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
  /** Null: there is no fleet. */
  readonly share: FleetShare | null;
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

const NOTHING_GRANTED: FleetShare = { elsewhere: 0, granted: 0, spent: 0, reserved: 0 };

/** This node's part of a budget is too small, and may grow within milliseconds: it is to be asked again then. */
export const WAITS = 'waits';

/**
 * What a running stream takes ahead, of what it has reserved: an eighth, so that it asks rarely and keeps little from others. Where
 * that is not there, no more than it needs.
 */
const AHEAD_SHARE = 8;

/** Between two words to whoever grants about one budget, in milliseconds: one that is spent is asked for by many. */
const ASK_MS = 4;

export class KeySpending {
  readonly #context: SpendingContext;
  readonly #rules: SpendingRules;
  readonly #lines: readonly Line[];
  readonly #sizes: ClassSizes;
  /** What was asked for last, and its name: most keys ask for one model, and a text that is put together is hashed anew. */
  #lastProvider = '';
  #lastModel = '';
  #lastName = '/';

  constructor(context: SpendingContext, rules: SpendingRules, budgets: readonly OwnBudget[]) {
    this.#context = context;
    this.#rules = rules;
    this.#sizes = context.sizes.of(rules.keyClass);
    this.#lines = budgets.flatMap(({ scope, name, limits, enforced, stops }) =>
      (['day', 'month'] as const)
        .filter((window) => limits[window] > 0)
        .map((window): Line => {
          const print = rowName(`${scope} ${name} ${window}`);
          const limit = limits[window];
          return {
            scope,
            name,
            window,
            print,
            limit,
            enforced,
            stops: enforced && stops,
            row: NO_ROW,
            told: 0,
            askedMs: 0,
          };
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
    const { maxCostNano, enforced, isStrict } = this.#rules;
    if (isStrict && enforced && cost.nano > 0 && !isBounded(question.asked)) return UNBOUNDED;
    if (enforced && maxCostNano > 0 && cost.nano > maxCostNano)
      return tooDear(cost.nano, maxCostNano, this.#alternative(question, nowMs));
    const chain = question.chain?.isOpen === true ? question.chain : null;
    // What costs nothing needs no room: a budget that was passed refuses nobody's own machine.
    if (this.#lines.length === 0 || (cost.nano === 0 && chain === null))
      return this.#reserved(NO_ROWS, cost, 0, null);
    const windows = this.#context.calendar.at(nowMs);
    const kept = chain === null ? null : this.#keptNow(chain, windows);
    const before = kept?.nano ?? 0;
    const rows = kept?.rows ?? this.#rowsIn(windows);
    const amounts = chain === null ? [] : this.#amounts(question, chain.left, cost.nano, nowMs);
    if (kept !== null && before >= cost.nano) {
      const held = Math.min(before, amounts[0] ?? cost.nano);
      if (before > held) settleIn(rows, this.#context.table, before - held, 0);
      return this.#reserved(rows, cost, held, chain);
    }
    // What is dearer than there is room for will not be reached.
    for (const held of kept === null ? amounts : []) {
      const came = this.#context.table.reserve(rows.claims, held);
      if (came.kind !== 'taken') continue;
      if (came.overdrawn.length === 0) return this.#taken(rows, came.overdrawn, cost, held, chain);
      // Only counted: what nobody may ever ask for counts nowhere.
      settleIn(rows, this.#context.table, held, 0);
    }
    if (cost.nano === 0) return this.#reserved(NO_ROWS, cost, 0, chain);
    const came = this.#context.table.reserve(rows.claims, cost.nano - before);
    if (came.kind === 'taken') return this.#taken(rows, came.overdrawn, cost, cost.nano, chain);
    this.#placed(rows.claims);
    if (kept !== null) chain?.putBack(kept);
    if (came.kind === 'full') {
      this.#context.counts.budgetRowDropped();
      return NO_BUDGET_ROW;
    }
    if (came.of === 'grant') {
      this.#ask(came.at, nowMs);
      const isSpent = this.#isSpent(came.at, rows.claims, cost.nano - before);
      if (mayWait && this.#context.table.isGranting && !isSpent) return WAITS;
    }
    // What is granted to this node has no room: nobody knows what it would have for another model.
    const instead = came.of === 'grant' ? null : this.#alternative(question, nowMs, cost.nano);
    return this.#exceeded(came.at, came.of, rows.claims, cost.nano, before, windows, instead);
  }

  /** A stream ends that would pass one of its budgets. */
  get stops(): boolean {
    return this.#lines.some(({ stops }) => stops);
  }

  /**
   * A stream has cost more than is reserved for it: what is missing is taken of its budgets, and a little ahead.
   * @param nano what it has cost so far
   * @param mayWait false: it ends where a moment later it might go on
   * @returns why it ends; null: it goes on
   */
  goesOn(
    reservation: Reservation,
    nano: number,
    mayWait: boolean,
  ): Rejection | typeof WAITS | null {
    const nowMs = this.#context.now();
    const windows = this.#context.calendar.at(nowMs);
    const ahead = nano + Math.ceil(reservation.reserved / AHEAD_SHARE);
    if (reservation.grow(ahead, windows) === null) return null;
    const before = reservation.reserved;
    const short = reservation.grow(nano, windows);
    if (short === null) return null;
    const { claims } = reservation.rows;
    const { at, of } = short;
    if (of === 'grant') {
      this.#ask(at, nowMs);
      const isSpent = this.#isSpent(at, claims, nano - before);
      if (mayWait && this.#context.table.isGranting && !isSpent) return WAITS;
    }
    const stood = this.#stood(at, of, claims, nano, before, windows, null);
    // What was seen of it is booked as far as the budget goes.
    reservation.growToRest(nano, windows);
    return stood === null ? NO_BUDGET_ROW : budgetStopped(this.#context.status, stood);
  }

  #taken(
    rows: Rows,
    overdrawn: readonly number[],
    cost: Priced,
    held: number,
    chain: ChainSpending | null,
  ): Reservation {
    this.#placed(rows.claims);
    for (const at of overdrawn) this.#reached(at, false);
    return this.#reserved(rows, cost, held, chain);
  }

  #reserved(rows: Rows, cost: Priced, held: number, chain: ChainSpending | null): Reservation {
    const { table } = this.#context;
    const made = new Reservation(table, this.#sizes, rows, cost, held, chain);
    chain?.began(made, table);
    return made;
  }

  #rowsIn(windows: Windows): Rows {
    const claims = this.#lines.map(
      ({ print, row, window, limit, enforced }): Claim => ({
        name: print,
        row,
        label: windows[window],
        limit,
        enforced,
      }),
    );
    return { lines: this.#lines, claims };
  }

  /** What an earlier attempt left; of a window that is over it is worth nothing. */
  #keptNow(chain: ChainSpending, windows: Windows) {
    const kept = chain.take();
    if (kept === null) return null;
    const { lines, claims } = kept.rows;
    const isNow = lines.every(({ window }, at) => (claims[at]?.label ?? 0) >= windows[window]);
    if (isNow) return kept;
    settleIn(kept.rows, this.#context.table, kept.nano, 0);
    return null;
  }

  /**
   * What the targets can cost that may follow, the dearest first: as far as they are dearer than the one that begins, and a single
   * request may cost so much.
   */
  #amounts(
    question: SpendingQuestion,
    others: readonly ChainTarget[],
    own: number,
    nowMs: number,
  ): readonly number[] {
    const { maxCostNano, enforced } = this.#rules;
    const limit = enforced && maxCostNano > 0 ? maxCostNano : Number.POSITIVE_INFINITY;
    const amounts = new Set<number>();
    for (const { provider, model } of others) {
      const cost = this.#highest({ ...question, provider: provider.name, model }, nowMs);
      if (!('code' in cost) && cost.nano > own && cost.nano <= limit) amounts.add(cost.nano);
    }
    return amounts.size < 2 ? [...amounts] : [...amounts].sort((a, b) => b - a);
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
    for (let at = 0; at < claims.length; at++) {
      const line = this.#lines[at];
      const claim = claims[at];
      if (line === undefined || claim === undefined) continue;
      const { row, label } = claim;
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

  /** @param before what of it the request has reserved already */
  #exceeded(
    at: number,
    of: 'limit' | 'grant',
    claims: readonly Claim[],
    asked: number,
    before: number,
    windows: Windows,
    alternative: Alternative | null,
  ): Rejection {
    this.#reached(at, true);
    const stood = this.#stood(at, of, claims, asked, before, windows, alternative);
    return stood === null ? NO_BUDGET_ROW : budgetExceeded(this.#context.status, stood);
  }

  /** How the budget stands that has no room. */
  #stood(
    at: number,
    of: 'limit' | 'grant',
    claims: readonly Claim[],
    asked: number,
    before: number,
    windows: Windows,
    alternative: Alternative | null,
  ): SpentBudget | null {
    const line = this.#lines[at];
    const claim = claims[at];
    if (line === undefined || claim === undefined) return null;
    const state = this.#context.table.read(line.print, claim.row);
    return {
      scope: line.scope,
      window: line.window,
      label: claim.label,
      limit: line.limit,
      spent: (state?.spent ?? 0) + (state?.elsewhere ?? 0),
      reserved: Math.max(0, (state?.reserved ?? 0) - before),
      asked,
      renewsMs: line.window === 'day' ? windows.dayEndsMs : windows.monthEndsMs,
      share: this.#shareIn(state),
      reason: of === 'grant' && !this.#isSpent(at, claims, asked - before) ? 'partition' : 'spent',
      alternative,
    };
  }

  /**
   * What its caller may ask for instead, and there is room for now; null: nothing.
   * @param below what it costs as it was asked, which has no room
   */
  #alternative(
    question: SpendingQuestion,
    nowMs: number,
    below = Number.POSITIVE_INFINITY,
  ): Alternative | null {
    const { asked, writes, mayMove, provider } = question;
    const { candidates, maxCostNano, enforced } = this.#rules;
    // Vectors of another model are none that its caller can compare.
    if (asked === null || !writes || candidates.length === 0) return null;
    let room = below - 1;
    if (enforced && maxCostNano > 0) room = Math.min(room, maxCostNano);
    for (const { limit, spent, reserved, enforced: counts } of this.views())
      if (counts) room = Math.min(room, limit - spent - reserved);
    return cheapest(candidates, room, ({ provider: other, model }) => {
      if (!mayMove && other !== provider) return null;
      if (!mayServe(asked, this.#context.models.traits(other, model))) return null;
      const cost = this.#costOf({ ...question, provider: other }, model, nowMs);
      return 'code' in cost || !cost.isPriced ? null : cost.nano;
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
    { provider, asked, requestBytes, writes, isUncapped }: SpendingQuestion,
    model: string | null,
    nowMs: number,
  ): Priced | Rejection {
    const { book, models, defaults, assumedOutputTokens } = this.#context;
    const { unpriced: way, isStrict } = this.#rules;
    const row = model === null ? null : book.row(provider, model, nowMs);
    const name = model === null ? null : this.#nameOf(provider, model);
    const priced = row ?? (way === 'default_rate' ? defaults.of(provider, nowMs) : null);
    const isLimited = asked !== null && asked.outputTokens !== null;
    const learns = isLimited ? null : name;
    if (priced !== null) {
      const traits = models.traits(provider, model ?? '');
      const most = isUncapped ? traits.maxOutputTokens : null;
      const nano = highestCost({
        provider,
        row: priced,
        traits,
        asked: asked ?? { ...NOTHING_ASKED, textBytes: requestBytes },
        assumedOutputTokens: isLimited ? assumedOutputTokens : (most ?? this.#assumed(name ?? '')),
        writes,
        nowMs,
        isStrict,
      });
      if (nano !== null) return { nano, isPriced: true, learns, isLimited };
    }
    return way === 'deny' ? unpriced(name) : { nano: 0, isPriced: false, learns, isLimited };
  }

  /** Tokens of an answer that nobody limits. */
  #assumed(name: string): number {
    const { assumedOutputTokens } = this.#context;
    return assumedOutputTokens > 0 ? assumedOutputTokens : this.#sizes.assumed(name);
  }

  get capsOutput(): boolean {
    return this.#rules.capsOutput;
  }

  /** Tokens to which an answer of a model is limited, where nobody else limits it. */
  capOf(provider: string, model: string): number {
    const most = this.#context.models.traits(provider, model).maxOutputTokens;
    const assumed = this.#assumed(this.#nameOf(provider, model));
    return most === null ? assumed : Math.min(assumed, most);
  }

  #nameOf(provider: string, model: string): string {
    if (model !== this.#lastModel || provider !== this.#lastProvider) {
      this.#lastProvider = provider;
      this.#lastModel = model;
      this.#lastName = `${provider}/${model}`;
    }
    return this.#lastName;
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
        share: this.#shareIn(isNow ? state : null),
      };
    });
  }

  /** What this node has of a budget that it shares with others. */
  #shareIn(state: RowState | null): FleetShare | null {
    return this.#context.table.isWhole ? null : (state ?? NOTHING_GRANTED);
  }

  get maxCostNano(): number {
    return this.#rules.maxCostNano;
  }
}
