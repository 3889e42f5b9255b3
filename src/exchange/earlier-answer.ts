import type { Failed } from '../plan/failover.ts';
import type { Trial } from '../plan/planner.ts';
import { CLOSED_EARLY, type UpstreamFailure } from '../upstream/failure.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import type { Attempt } from './attempt.ts';
import type { HeldAnswer } from './held-answer.ts';
import { TIMED_OUT } from './routed-judgement.ts';

/**
 * What an attempt came to in whose place another one is asked, kept until that one has an answer of its own: where it may not be
 * asked, for want of a price or by a limit, this is what the caller hears.
 */
export class EarlierAnswer {
  readonly trial: Trial;
  /** Null: it is a failure, and nothing of an answer is told. */
  readonly whole: { readonly head: ResponseHead; readonly held: HeldAnswer } | null;
  readonly failure: UpstreamFailure;

  private constructor(
    trial: Trial,
    whole: { readonly head: ResponseHead; readonly held: HeldAnswer } | null,
    failure: UpstreamFailure,
  ) {
    this.trial = trial;
    this.whole = whole;
    this.failure = failure;
  }

  /** @param held what there is of its answer, which is kept or dropped here */
  static of(
    attempt: Attempt,
    trial: Trial,
    failed: Failed,
    head: ResponseHead | null,
    held: HeldAnswer | null,
  ): EarlierAnswer {
    const isWhole = attempt.isOver && attempt.failure === null && (head?.status ?? 0) >= 300;
    const failure = attempt.failure ?? (failed.reason === 'timeout' ? TIMED_OUT : CLOSED_EARLY);
    if (isWhole && head !== null && held !== null)
      return new EarlierAnswer(trial, { head, held }, failure);
    held?.drop();
    return new EarlierAnswer(trial, null, failure);
  }

  drop(): void {
    this.whole?.held.drop();
  }
}
