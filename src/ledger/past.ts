/** Who can be asked what was used, and what it cost: this node's files, or the data base that the whole fleet writes to. */

import type { FactWish, FoundFact } from './day-file.ts';
import type { Dimension } from './fact-kind.ts';
import type { Span, UsageFilters, UsageRow, UsageSeries } from './usage-report.ts';

/** One fact that was found. */
export type PastFact = Omit<FoundFact, 'seq'>;

/** Some facts, the youngest first. */
export interface PastPage {
  readonly found: readonly PastFact[];
  /** Where it goes on, any JSON; null: there are no more. */
  readonly next: unknown;
  /** How far back it came, in milliseconds of the Unix epoch; null: all that was asked for was looked at. */
  readonly searchedToMs: number | null;
}

/** Whoever keeps facts and their sums. */
export interface Past {
  /** False: there is nothing yet that could be asked. */
  readonly exists: boolean;

  /**
   * Usage by some dimensions, the dearest first.
   * @param filters of each dimension that is named, facts that have one of its values
   * @throws PastAway when who keeps it does not answer, TooManyRows
   */
  by(
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters,
  ): Promise<readonly UsageRow[]>;

  /**
   * Usage over time.
   * @param dimension whose values are told apart; null: all together
   * @param starts instants at which steps begin, whole quarters of an hour, the oldest first; the last one ends at `toMs`
   * @param top how many values have a series of their own: the dearest; the others are one, behind them
   * @throws PastAway
   */
  series(
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters,
    top: number,
  ): Promise<readonly UsageSeries[]>;

  /** Whether a page of this one can go on there. */
  isPlace(value: unknown): boolean;

  /**
   * Facts one by one.
   * @param from where an earlier page ended; null: from the youngest on
   * @param limit so many facts, at most
   * @throws PastAway
   */
  page(wish: FactWish, from: unknown, limit: number): Promise<PastPage>;

  /**
   * The facts of a request's attempts.
   * @returns JSON texts
   * @throws PastAway
   */
  find(requestId: string): Promise<readonly string[]>;
}

/** Who keeps the past does not answer, or not this question; its message is a sentence that anybody may read. */
export class PastAway extends Error {}
