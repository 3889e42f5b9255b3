import { Buffer } from 'node:buffer';
import { FAILURES, type Failed } from '../plan/failover.ts';
import type { Planner, Trial } from '../plan/planner.ts';
import type { RouteSettings, Target } from '../plan/route-table.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import { CLOSED_EARLY, type UpstreamFailure } from '../upstream/failure.ts';
import { continuedRequest } from '../wire/continued-request.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { Seam } from '../wire/seam.ts';
import type { ContinuedWire } from '../wire/text-events.ts';
import type { AttemptEnd, Verdict } from './attempt.ts';
import { continuationAt, isContinuedWire } from './continuation.ts';
import type { HeldAnswer } from './held-answer.ts';
import { HeldBytes } from './held-bytes.ts';
import type { KeptBudget } from './kept-budget.ts';
import { ResumableAnswer } from './resumable-answer.ts';
import type { RoutedClock } from './routed-clock.ts';
import type { RoutedFlow } from './routed-flow.ts';
import { failureOfEnd, failureOfUnread, TIMED_OUT } from './routed-judgement.ts';
import type { Continuing, RoutedRequest } from './routed-request.ts';
import type { RoutedWalk } from './routed-walk.ts';

/** What going on takes, for all of a worker. */
export interface RestContext {
  readonly planner: Planner;
  readonly scanner: JsonScanner;
  readonly metrics: WorkerMetrics;
  /** What is kept of requests, and of texts, for another attempt. */
  readonly replay: KeptBudget;
  /** What of answers the node may hold. */
  readonly held: KeptBudget;
}

/** Whose answer it is: the lane, which has the attempts. */
export interface RestOwner {
  /** Another target was asked for the rest, and none of that is told yet. */
  readonly isResuming: boolean;
  /** What the live attempt goes to. */
  readonly trial: Trial | null;
  /** What its provider asked to be left alone for, in milliseconds; null = nothing. */
  waitMs(): number | null;
  /** Null: the target itself is asked. */
  playedModel(target: Target): string | null;
  /** Ends the live attempt, and asks another target for the rest. */
  askForRest(word: string, failed: Failed | null, trial: Trial, continuing: Continuing): void;
  /** The first of a rest is about to be told. */
  restBegan(): void;
  /** What led to the answer is of no use any more. */
  forgetRequest(): void;
  /** It is an attempt's answer like any other from here on. */
  restLetGo(): void;
  /** Nobody goes on: it is a cut, as of the first break. @param failed what became of the last one; null: nobody is to blame */
  restEnds(cut: UpstreamFailure, failed: Failed | null): void;
}

const NOTHING = Buffer.alloc(0);
/** What ends an event (WHATWG HTML §9.2.6). */
const BLANK_LINE = Buffer.from('\n\n');

/** A stream behind its commit, as long as another target may go on with it, and behind that as the one that does tells it. */
export class RoutedRest {
  readonly #context: RestContext;
  readonly #owner: RestOwner;
  readonly #settings: RouteSettings;
  readonly #wire: ContinuedWire;
  readonly #walk: RoutedWalk;
  readonly #clock: RoutedClock;
  readonly #flow: RoutedFlow;
  readonly #request: RoutedRequest;
  readonly #answer: ResumableAnswer;
  /** How it broke first, while nobody has gone on with it yet. */
  #cut: UpstreamFailure = CLOSED_EARLY;
  /** Nothing of it is to be asked for again. */
  #isForgotten = false;

  private constructor(
    context: RestContext,
    owner: RestOwner,
    settings: RouteSettings,
    wire: ContinuedWire,
    walk: RoutedWalk,
    clock: RoutedClock,
    flow: RoutedFlow,
    request: RoutedRequest,
  ) {
    this.#context = context;
    this.#owner = owner;
    this.#settings = settings;
    this.#wire = wire;
    this.#walk = walk;
    this.#clock = clock;
    this.#flow = flow;
    this.#request = request;
    this.#answer = new ResumableAnswer(wire, context.replay);
  }

  /**
   * @param held what of the answer was held until now
   * @returns null where nobody could go on with it: then nothing is kept for that
   */
  static of(
    context: RestContext,
    owner: RestOwner,
    settings: RouteSettings,
    walk: RoutedWalk | null,
    clock: RoutedClock,
    flow: RoutedFlow,
    request: RoutedRequest,
    head: ResponseHead,
    held: HeldAnswer | null,
  ): RoutedRest | null {
    const { wire } = request;
    if (settings.streamSafety !== 'resume' || wire === null || walk === null) return null;
    if (held?.mode !== 'stream' || head.status !== 200 || !isContinuedWire(wire)) return null;
    const { planner } = context;
    const mayGoOn = walk.isLeft(
      (target) => continuationAt(target, wire, planner.continues(target)) !== null,
    );
    if (!mayGoOn) return null;
    return new RoutedRest(context, owner, settings, wire, walk, clock, flow, request);
  }

  /** It is a text that is not whole: another provider could go on with it. */
  get mayBreak(): boolean {
    return this.#answer.mayBreak;
  }

  /** @returns what of a held opening is the client's */
  opened(held: HeldBytes): HeldBytes {
    const told = new HeldBytes(this.#context.held);
    told.append(this.#answer.push(held.joined()));
    held.drop();
    return told;
  }

  /** What the opening that was held came to: it may have broken in the same piece as its first word. */
  afterOpening(): void {
    this.pass(NOTHING, false);
  }

  /** @returns false when the client takes no more for now */
  pass(piece: Buffer, last: boolean): boolean {
    const answer = this.#answer;
    const told = piece.length === 0 ? piece : answer.push(piece);
    // A rest may be nothing but its end.
    if (this.#owner.isResuming && (answer.broughtText || !answer.mayBreak)) this.#began();
    else if (answer.broughtText) this.#clock.restCame();
    const { broken } = answer;
    if (broken !== null) {
      const takesMore = this.#give(told, false);
      if (this.#owner.isResuming) {
        this.failed(broken.failed, broken.code);
        return true;
      }
      if (this.#goOnElsewhere(broken.failed, broken.code, null)) return true;
      const kept = answer.letGo();
      this.#noLonger();
      return this.#give(kept, last) && takesMore;
    }
    if (!answer.mayBreak) this.#noLonger();
    if (!last || answer.mayBreak) return this.#give(told, false);
    return this.#give(answer.isContinued ? Buffer.concat([told, answer.end()]) : told, true);
  }

  #give(piece: Buffer, last: boolean): boolean {
    return piece.length === 0 || this.#flow.pass(piece, last);
  }

  /** @returns whether an attempt's end is not the answer's */
  isGoneOnWith({ failure }: AttemptEnd): boolean {
    const answer = this.#answer;
    if (failure?.kind === 'stopped' && this.#owner.isResuming) {
      this.#owner.restEnds(failure, null);
      return true;
    }
    if (failure === null && answer.isInEvent && this.#lastEventBreaks()) return true;
    const failed = failureOfEnd(failure);
    const word = failure?.code ?? 'NO_TERMINAL';
    if (this.#owner.isResuming) {
      this.failed(failed, word);
      return true;
    }
    const { mayBreak } = answer;
    if (mayBreak && failed !== null && this.#goOnElsewhere(failed, word, failure)) return true;
    if (mayBreak && failure === null && answer.isContinued) {
      // Of the first one it would be as its provider ended it; two halves without an end are a cut.
      this.#owner.restEnds(CLOSED_EARLY, failed);
      return true;
    }
    const kept = answer.end();
    this.#noLonger();
    this.#give(kept, false);
    return false;
  }

  /**
   * Some providers end their last event with no blank line.
   * @returns whether that event was an error with which another target took over
   */
  #lastEventBreaks(): boolean {
    if (!this.#answer.isContinued) {
      this.#answer.readOpenEvent();
      return false;
    }
    const { trial } = this.#owner;
    this.pass(BLANK_LINE, false);
    return this.#owner.trial !== trial;
  }

  /** Nothing of it is to be repeated any more. */
  #noLonger(): void {
    if (this.#isForgotten) return;
    this.#isForgotten = true;
    const answer = this.#answer;
    if (answer.isOver) this.#context.metrics.resumeSkipped();
    answer.drop();
    this.#clock.stop();
    this.#request.body?.drop();
    this.#owner.forgetRequest();
    // The second provider's events are told within the first one's message to the end.
    if (!answer.isContinued) this.#owner.restLetGo();
  }

  /**
   * A stream broke behind its commit: the next target that can go on with it is asked to.
   * @param failed null: nobody is to blame
   * @param failure what it broke by, where that was its connection
   * @returns false when nobody can: it is a cut, as in the relay
   */
  #goOnElsewhere(failed: Failed | null, word: string, failure: UpstreamFailure | null): boolean {
    const answer = this.#answer;
    const broken = this.#owner.trial;
    const { isResuming } = this.#owner;
    if (this.#request.body === null || broken === null || !answer.mayBreak) return false;
    if (new Seam(answer.text, false).prefix === '') return false;
    if (failed !== null && !isResuming && !this.#settings.fallbackOn.includes(failed.reason))
      return false;
    const next = this.#nextForRest();
    if (next === null) return false;
    if (!isResuming) this.#cut = failure ?? CLOSED_EARLY;
    const { planner } = this.#context;
    if (failed === null) planner.left(broken);
    else planner.failed(broken, failed, this.#owner.waitMs());
    answer.continueWith(next.seam);
    this.#owner.askForRest(word, failed, next.trial, next.continuing);
    return true;
  }

  #nextForRest(): {
    readonly trial: Trial;
    readonly seam: Seam;
    readonly continuing: Continuing;
  } | null {
    const { planner, scanner } = this.#context;
    for (;;) {
      const trial = this.#walk.next();
      if (trial === null) return null;
      const { target } = trial;
      const continuation = continuationAt(target, this.#wire, planner.continues(target));
      if (continuation !== null) {
        const { way, prefix, echoes } = continuation;
        const seam = new Seam(this.#answer.text, echoes);
        const content = this.#request.contentFor(trial, this.#owner.playedModel(target));
        const asked =
          content === null ? null : continuedRequest(scanner, content, seam.prefix, way);
        if (asked !== null) return { trial, seam, continuing: { body: asked, prefix } };
      }
      planner.left(trial);
    }
  }

  /** The head of whoever was asked for the rest: the client has one already. */
  head(head: ResponseHead): Verdict {
    if (head.status === 200 && head.eventStream) return 'commit';
    this.failed(failureOfUnread(head), String(head.status));
    return 'next';
  }

  /** Whoever was asked for the rest has none. @param failed null: nobody is to blame */
  failed(failed: Failed | null, word: string): void {
    if (!this.#goOnElsewhere(failed, word, null)) this.#owner.restEnds(this.#cut, failed);
  }

  #began(): void {
    this.#owner.restBegan();
    this.#context.metrics.resumed();
    const { trial } = this.#owner;
    if (trial !== null) this.#context.planner.succeeded(trial, this.#clock.firstContentAfterMs);
    this.#clock.watchRest();
  }

  /** Nothing came of an answer's text for too long, unless its reader took no more. */
  judgeSilence(): void {
    const answer = this.#answer;
    // Before its first word it may think for longer, and nobody could go on with it.
    const isWaiting = answer.text === '' || !this.#flow.isEmpty || this.#flow.isBlocked;
    if (isWaiting) this.#clock.restCame();
    if (!this.#clock.hasStalled()) return;
    if (this.#goOnElsewhere(FAILURES.timeout, 'STALLED', TIMED_OUT)) return;
    const kept = answer.letGo();
    this.#noLonger();
    this.#give(kept, false);
  }

  /** Gives back what it took of the node's budget. */
  drop(): void {
    this.#answer.drop();
  }
}
