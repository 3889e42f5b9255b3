/**
 * The routed lane: a request whose body says where it goes. The only file that loops: it tries one target after the other,
 * and holds each answer's beginning until it is worth something. What each step needs is beside it: the request
 * (`routed-request.ts`), its first target (`routed-start.ts`), the way through the plan (`routed-walk.ts`), the times
 * (`routed-clock.ts`), what an answer amounts to (`routed-judgement.ts`), what became of it (`routed-trail.ts`), the bytes
 * that leave (`routed-flow.ts`), and what another target goes on with (`routed-rest.ts`). ARCHITECTURE.md, "The routed
 * lane", has its states and its failures.
 */

import type { Routed } from '../admit/admission.ts';
import { isOfMoney, isOverBudget } from '../budget/budget-refusals.ts';
import { FAILURES, type Failed } from '../plan/failover.ts';
import type { Trial } from '../plan/planner.ts';
import {
  ROUTE_DEFAULTS,
  type Route,
  type RouteSettings,
  type Target,
} from '../plan/route-table.ts';
import { REJECTIONS, type Rejection, rejection } from '../rejection.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { Deadlines } from '../ticker.ts';
import { failureDetail, POOL_KEY_INBAND, type UpstreamFailure } from '../upstream/failure.ts';
import { type ResponseHead, withHead } from '../wire/response-head.ts';
import type { Attempt, AttemptEnd, AttemptSink, Verdict } from './attempt.ts';
import type { Asked } from './attempt-terms.ts';
import { DoubtfulUpload, type UploadTaker } from './doubtful-upload.ts';
import { EarlierAnswer } from './earlier-answer.ts';
import { HeldAnswer, type Holding, type HoldMode } from './held-answer.ts';
import type { Answer, Lane } from './lane.ts';
import { NOTHING_READ, type RequestReading } from './request-reading.ts';
import { RoutedClock, type Timed } from './routed-clock.ts';
import { type ConversationContext, keepConversation } from './routed-conversation.ts';
import { RoutedFlow } from './routed-flow.ts';
import {
  failureOfEnd,
  failureOfUnread,
  holdModeOf,
  TIMED_OUT,
  waitAskedFor,
  wordOf,
} from './routed-judgement.ts';
import { noTarget } from './routed-refusals.ts';
import {
  type Continuing,
  type RequestContext,
  RoutedRequest,
  type Said,
} from './routed-request.ts';
import { type RestContext, type RestOwner, RoutedRest } from './routed-rest.ts';
import type { RoutedStart } from './routed-start.ts';
import { nextRoutedState, type RoutedEvent, type RoutedState } from './routed-state.ts';
import { NO_TRAIL, toldHead } from './routed-trail.ts';
import type { RoutedWalk } from './routed-walk.ts';
import { type CountedTokens, countAnswer } from './token-count.ts';

const COMPLETE: AttemptEnd = { failure: null };

/** What the routed requests of a worker share. */
export interface RoutedContext extends RequestContext, RestContext, ConversationContext {
  readonly deadlines: Deadlines;
  readonly holdMs: number;
}

export class RoutedLane implements Lane, AttemptSink, Timed, RestOwner, UploadTaker {
  dueSlot = -1;
  readonly #context: RoutedContext;
  readonly #request: RoutedRequest;
  /** While its fleet is asked of what the body names. */
  #doubtful: DoubtfulUpload | null = null;
  readonly #answer: Answer;
  /** Only of a name that has a plan. */
  #walk: RoutedWalk | null = null;
  #clock: RoutedClock;
  #trail = NO_TRAIL;
  readonly #flow: RoutedFlow;
  #state: RoutedState = 'gathering';
  /** The body's beginning has left, and its rest streams behind it: behind the answer's beginning too. */
  #isStreamedUp = false;
  #route: Route | null = null;
  #settings: RouteSettings = ROUTE_DEFAULTS;
  #reading: RequestReading = NOTHING_READ;
  #trial: Trial | null = null;
  #attempt: Attempt | null = null;
  /** Whose failure was told: one attempt counts once. */
  #failedTrial: Trial | null = null;
  #head: ResponseHead | null = null;
  #held: HeldAnswer | null = null;
  /** What the attempt before the live one came to, until that one has an answer. */
  #earlier: EarlierAnswer | null = null;
  /** Behind the commit, of an answer that another target may go on with, or went on with. */
  #rest: RoutedRest | null = null;
  /** The attempt ended while its beginning was still on its way to the client. */
  #ended: AttemptEnd | null = null;

  constructor(context: RoutedContext, asked: Asked, routed: Routed, answer: Answer, said: Said) {
    this.#context = context;
    this.#request = new RoutedRequest(context, asked, routed, said);
    this.#answer = answer;
    this.#clock = new RoutedClock(context.deadlines, context.holdMs, this);
    this.#flow = new RoutedFlow(answer);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  begin(): void {
    this.#refuse(rejection('invalid_body', 'It is empty.'));
  }

  body(piece: Buffer, last: boolean): void {
    if (this.#doubtful?.isHolding === true) {
      this.#doubtful.hold(piece, last);
      return;
    }
    const doubted = this.#request.read(piece);
    if (doubted !== null) {
      this.#doubtful = new DoubtfulUpload(doubted, this.#answer, this);
      if (this.#doubtful.asks(piece, last)) return;
    }
    this.goOn(piece, last);
  }

  goOn(piece: Buffer, last: boolean): void {
    if (this.#state === 'gathering') {
      const came = this.#request.gather(piece, last);
      if (came === null) return;
      if ('code' in came) this.#refuse(came);
      else if ('trial' in came) this.#begin(came);
      else this.#tellCount(came);
    } else if (this.#isStreamedUp && this.#state !== 'over') this.#passOn(piece, last);
  }

  /** The rest of a body whose beginning has left. */
  #passOn(piece: Buffer, last: boolean): void {
    const request = this.#request;
    const fault = request.faultOfRest(piece, last, this.#trial);
    if (fault !== null) {
      this.#refuse(fault);
      return;
    }
    if (last && request.leavesContainers) this.#attempt?.expectContainers();
    this.#attempt?.body(piece, last);
    if (last) request.ended();
  }

  /** Nobody is asked: the answer is the gateway's own. */
  #tellCount(counted: CountedTokens): void {
    const { head, body } = countAnswer(counted);
    this.#step('end');
    this.#release();
    this.#answer.head(head, true);
    this.#answer.piece(body, true);
    this.#answer.answered();
  }

  /** The model is known: the first attempt. */
  #begin(start: RoutedStart): void {
    this.#step(start.isWhole ? 'last' : 'full');
    this.#follow(start);
  }

  #follow({ trial, route, walk, reading }: RoutedStart): void {
    this.#walk = walk;
    this.#reading = reading;
    if (route !== null) {
      const { settings } = route;
      this.#route = route;
      this.#settings = settings;
      // A whole answer has no first content: its head comes when it is written, however long that takes.
      this.#clock.begin(
        settings.deadlineMs,
        this.#request.body?.isStreamAsked === true ? settings.firstContentTimeoutMs : 0,
        settings.stallTimeoutMs,
      );
    }
    this.#try(trial);
  }

  /** Whether anything but the current attempt could still answer: only then is its answer held. */
  get #hasAlternative(): boolean {
    return this.#walk?.hasAlternative === true;
  }

  /** The least wait that remains among what was planned, in milliseconds; 0 when none of it waits. */
  get #leastWaitMs(): number {
    return this.#walk?.leastWaitMs ?? 0;
  }

  // ---- one attempt after the other ---------------------------------------------------------------------------------

  #try(trial: Trial, continuing: Continuing | null = null): void {
    const { target, key } = trial;
    const request = this.#request;
    const fault = request.faultAt(target.provider, key);
    if (fault !== null) {
      this.#context.planner.left(trial);
      this.#refuse(fault);
      return;
    }
    const played = this.playedModel(target);
    const content = continuing?.body ?? request.leavingFor(trial, played);
    if (content === null) return;
    this.#trial = trial;
    trial.isRehearsal = played !== null;
    if (!trial.isRehearsal) this.#context.metrics.attempted(target.provider.index);
    this.#held = null;
    this.#head = null;
    this.#clock.attemptBegan();
    const isWhole = this.#state !== 'pinned';
    this.#isStreamedUp = !isWhole;
    const number = this.#walk?.begun(trial) ?? 1;
    const attempt = request.attemptAt(trial, played, content, continuing, number, isWhole, this);
    if (attempt === null) return;
    this.#attempt = attempt;
    if (request.leavesContainers) attempt.expectContainers();
    if (this.#clock.limitsContent && (continuing !== null || this.#hasAlternative))
      this.#clock.awaitContent();
    if (continuing === null) request.send(attempt, trial, played, content, isWhole);
    else attempt.body(content, true);
  }

  playedModel(target: Target): string | null {
    const { rehearsal } = this.#context;
    const { rehearsed } = this.#request;
    return rehearsal === null || rehearsed === null ? null : rehearsal.modelFor(target, rehearsed);
  }

  /**
   * An attempt came to nothing: another one follows where one may.
   * @param word for the answer's fields: a status, or what it was
   * @returns false when this is what the caller gets
   */
  #goOn(failed: Failed, word: string): boolean {
    const trial = this.#trial;
    if (trial === null) return false;
    if (this.#head?.asksInstead !== undefined) failed = FAILURES.unreadable;
    const waitMs = this.waitMs();
    this.#tellPlanner(failed);
    const walk = this.#walk;
    if (walk?.mayRepeat !== true) return false;
    if (!this.#settings.fallbackOn.includes(failed.reason)) return false;
    const next = walk.follower(failed, waitMs);
    if (next === null) return false;
    this.#close(word, failed);
    if (next === 'wait') {
      this.#step('waits');
      this.#clock.awaitRest(waitMs ?? 0);
    } else {
      this.#try(next);
    }
    return true;
  }

  waitMs(): number | null {
    const head = this.#head;
    return head === null ? null : waitAskedFor(head, this.#held?.text ?? '');
  }

  /** Ends the current attempt, of which nothing reaches the client: its fact is kept. */
  #close(word: string, failed: Failed | null): void {
    const attempt = this.#attempt;
    const trial = this.#trial;
    this.#clock.attemptOver();
    if (attempt === null || trial === null) return;
    if (failed === null) this.#held?.drop();
    else {
      this.#forgetEarlier();
      this.#earlier = EarlierAnswer.of(attempt, trial, failed, this.#head, this.#held);
    }
    attempt.abort();
    if (!trial.isRehearsal && failed !== null) this.#context.metrics.failedOver(failed.reason);
    const outcome = failed?.reason === 'timeout' ? 'timeout' : this.#outcomeOfBroken;
    const told = attempt.fact(this.#request.settlementOf(outcome, this.#clock.elapsedMs), false);
    // What was played reached no provider.
    const fact = trial.isRehearsal ? null : told;
    this.#trail = this.#trail.with(trial.target.name, word, fact);
    this.#attempt = null;
    this.#trial = null;
    this.#held = null;
    this.#head = null;
  }

  #forgetEarlier(): void {
    this.#earlier?.drop();
    this.#earlier = null;
  }

  get #outcomeOfBroken(): 'upstream_cut' | 'upstream_error' {
    return this.#state === 'committed' ? 'upstream_cut' : 'upstream_error';
  }

  // ---- the attempt -------------------------------------------------------------------------------------------------

  uploadFull(attempt: Attempt): void {
    if (attempt === this.#attempt && this.#isStreamedUp) this.#answer.uploadFull();
  }

  uploadDrained(attempt: Attempt): void {
    if (attempt === this.#attempt && this.#isStreamedUp) this.#answer.uploadDrained();
  }

  head(attempt: Attempt, head: ResponseHead, followed: boolean): Verdict {
    const { wire } = this.#request;
    if (attempt !== this.#attempt || wire === null) return 'next';
    this.#forgetEarlier();
    this.#head = head;
    if (attempt.spentMs > 0 && this.#trial !== null)
      this.#context.planner.spent(this.#trial, attempt.spentMs);
    if (this.#rest !== null && this.#state === 'resuming') return this.#rest.head(head);
    const { streamSafety } = this.#settings;
    const isHeld = this.#hasAlternative && head.asksInstead !== 'nobody';
    const mode = isHeld ? holdModeOf(head, streamSafety) : null;
    if (mode === null) {
      const failed = failureOfUnread(head);
      // No other target, but the same one may be asked once more.
      if (failed?.again === true) {
        if (this.#goOn(failed, String(head.status))) return 'next';
      } else if (failed !== null) this.#tellPlanner(failed);
      const isOfTarget = head.asksInstead === undefined;
      this.#commit(followed, failed === null && head.status < 400 && isOfTarget);
      return 'commit';
    }
    const streamMode = streamSafety === 'hold' ? 'stream-to-end' : 'stream';
    this.#held = new HeldAnswer(mode, wire, head.status, this.#context.held, streamMode);
    this.#clock.holdBegan();
    if (mode === 'stream') this.#clock.awaitOpening();
    return 'hold';
  }

  #tellPlanner(failed: Failed): void {
    const trial = this.#trial;
    if (trial === null || trial === this.#failedTrial) return;
    this.#failedTrial = trial;
    this.#context.planner.failed(trial, failed, this.waitMs());
  }

  piece(attempt: Attempt, piece: Buffer, last: boolean): boolean {
    if (attempt !== this.#attempt) return true;
    const held = this.#held;
    if (this.#rest !== null) return this.#rest.pass(piece, last);
    if (held === null) return this.#flow.pass(piece, last);
    const { mode } = held;
    const came = held.push(piece, last);
    if (held.mode !== mode) this.#turnedOut(held.mode);
    return this.#judged(came, held, last);
  }

  /** Its first byte says that it is not what its type said. */
  #turnedOut(mode: HoldMode): void {
    // A whole answer has neither an opening nor a first content.
    if (mode === 'whole') this.#clock.attemptOver();
    else if (mode === 'stream') this.#clock.awaitOpening();
  }

  refused(attempt: Attempt, why: Rejection): void {
    if (attempt !== this.#attempt) return;
    if (this.#rest !== null && this.#state === 'resuming') this.#rest.failed(null, why.code);
    else if (!this.#isPassedOver(why) && !this.#tellsEarlier(why))
      this.#refuse(this.#request.waitsInstead(why) ?? why);
  }

  /**
   * Whoever was to follow may not be asked: what came before it is what the caller gets. That a budget has no room is told
   * as that: it is the caller's own, and no second try helps.
   */
  #tellsEarlier(why: Rejection): boolean {
    const earlier = this.#earlier;
    const refused = this.#trial;
    if (earlier === null || refused === null || isOverBudget(why)) return false;
    const { trial, whole, failure } = earlier;
    this.#context.planner.left(refused);
    this.#close(String(REJECTIONS[why.code].status), null);
    this.#earlier = null;
    this.#trial = this.#failedTrial = trial;
    if (whole === null) {
      this.#step('end');
      this.#tellFailure(failure);
      return true;
    }
    this.#head = whole.head;
    this.#held = whole.held;
    this.#commitAndEnd(COMPLETE, false);
    return true;
  }

  /** What the target may cost is not there, or is not known: another one may be cheaper. */
  #isPassedOver(why: Rejection): boolean {
    const walk = this.#walk;
    const trial = this.#trial;
    if (!isOfMoney(why) || trial === null || walk?.mayRepeat !== true) return false;
    const next = walk.next();
    const instead = next === null && isOverBudget(why) ? this.#request.instead() : null;
    if (next === null && instead === null) return false;
    this.#context.planner.left(trial);
    this.#close(String(REJECTIONS[why.code].status), null);
    if (next !== null) this.#try(next);
    else if (instead !== null) this.#follow(instead);
    return true;
  }

  onBroken(_attempt: Attempt, error: unknown): void {
    this.#answer.onBroken(error);
  }

  onDueBroken(error: unknown): void {
    this.#answer.onBroken(error);
  }

  over(attempt: Attempt, end: AttemptEnd): void {
    if (attempt !== this.#attempt) return;
    const held = this.#held;
    if (this.#rest?.isGoneOnWith(end) === true) return;
    if (this.#state === 'committed') {
      this.#finish(end);
      return;
    }
    if (held !== null && end.failure === null) {
      const came = held.end(attempt.isOneText);
      const isSound = typeof came === 'string';
      if (!isSound && this.#goOn(came, wordOf(came, held, this.#head))) return;
      if (isSound || !this.#isOurKeyRefused(came)) this.#commitAndEnd(end, isSound);
      return;
    }
    const failed = failureOfEnd(end.failure);
    const word = end.failure?.code ?? 'CUT';
    if (failed !== null && this.#goOn(failed, word)) return;
    if (failed === null) this.#leave();
    if (held === null) this.#tellFailure(end.failure ?? TIMED_OUT);
    else this.#commitAndEnd(end, false);
  }

  /**
   * @param last the answer's end follows in this turn
   * @returns false when the client takes no more for now
   */
  #judged(came: Holding, held: HeldAnswer, last: boolean): boolean {
    if (came === 'hold') {
      if (held.broughtContent) this.#clock.contentCame();
      return true;
    }
    if (came !== 'commit') {
      if (this.#goOn(came, wordOf(came, held, this.#head))) return true;
      if (this.#isOurKeyRefused(came)) return true;
    }
    this.#commit(true, came === 'commit');
    const takesMore = this.#flush(last);
    this.#rest?.afterOpening();
    return takesMore;
  }

  /**
   * An error inside a 200 says that the pool key was refused, and nothing else is left to try: to the caller it would read
   * as a fault of its own key.
   */
  #isOurKeyRefused(came: Failed): boolean {
    const status = this.#head?.status ?? 0;
    if (came !== FAILURES.key_refused || status >= 300) return false;
    this.#attempt?.abort();
    this.#step('end');
    this.#tellFailure(POOL_KEY_INBAND);
    return true;
  }

  /** @param isSound as far as its content says */
  #commitAndEnd(end: AttemptEnd, isSound: boolean): void {
    const isWhole = end.failure === null && (this.#head?.status ?? 0) < 400;
    // What an answer cost is known when it is whole, and can be told in its head if that is before it leaves.
    const costUsd = isWhole ? (this.#attempt?.costOfWhole(this.#clock.elapsedMs) ?? null) : null;
    this.#ended = end;
    this.#commit(true, isWhole && isSound, costUsd);
    this.#flush();
  }

  // ---- the answer --------------------------------------------------------------------------------------------------

  /**
   * The answer is the client's from here on, whatever it is.
   * @param isGood it says well of its target
   * @param costUsd of the whole answer, where that is known already
   */
  #commit(followed: boolean, isGood: boolean, costUsd: string | null = null): void {
    const head = this.#head;
    const trial = this.#trial;
    if (head === null || trial === null || this.#state === 'committed') return;
    const { planner, metrics } = this.#context;
    const rest = this.#restOf(head);
    this.#clock.stop();
    this.#request.isLast();
    if (rest === null) this.#request.body?.drop();
    if (isGood) planner.succeeded(trial, this.#clock.firstContentAfterMs);
    else planner.left(trial);
    const held = this.#held;
    if (held !== null) {
      metrics.held(held.bytes, this.#clock.heldMs / 1_000);
      if (held.isOver) metrics.holdCutShort();
      this.#flow.begin(rest === null ? held.take() : rest.opened(held.take()));
    }
    const isFollowed = held === null ? followed : !this.#flow.isEmpty;
    this.#held = null;
    this.#step('content');
    const lines =
      this.#route === null
        ? ''
        : this.#attempt === null
          ? this.#trail.linesOfEarlier(trial.target.name)
          : this.#trail.ownLines(trial.target.name, head.status, costUsd) + this.#request.lossLines;
    const mayWait = head.status === 429 || head.status === 503;
    const told = toldHead(head, lines, mayWait ? this.#leastWaitMs : 0);
    this.#rest = rest;
    if (rest === null) this.forgetRequest();
    else this.#clock.watchRest();
    // What another one adds is in no length that this one told.
    const isOpen = rest !== null && typeof head.size === 'number';
    const isAsItIs = told === head.head && !isOpen;
    this.#answer.head(
      isAsItIs ? head : withHead(head, told, isOpen ? 'chunked' : head.size),
      isFollowed,
    );
  }

  #restOf(head: ResponseHead): RoutedRest | null {
    if (this.#ended !== null) return null;
    return RoutedRest.of(
      this.#context,
      this,
      this.#settings,
      this.#walk,
      this.#clock,
      this.#flow,
      this.#request,
      head,
      this.#held,
    );
  }

  // ---- an answer that breaks behind its commit, and goes on elsewhere ------------------------------------------------

  get isResuming(): boolean {
    return this.#state === 'resuming';
  }

  get trial(): Trial | null {
    return this.#trial;
  }

  forgetRequest(): void {
    this.#request.forget();
    this.#clock = RoutedClock.STOPPED;
    this.#walk = null;
    this.#head = null;
  }

  restLetGo(): void {
    this.#rest = null;
  }

  askForRest(word: string, failed: Failed | null, trial: Trial, continuing: Continuing): void {
    this.#close(word, failed);
    this.#step('breaks');
    this.#try(trial, continuing);
  }

  restBegan(): void {
    this.#step('content');
  }

  restEnds(cut: UpstreamFailure, failed: Failed | null): void {
    if (failed === null) this.#leave();
    else this.#tellPlanner(failed);
    this.#attempt?.abort();
    this.#clock.stop();
    this.#finish({ failure: cut });
  }

  /**
   * Passes on what was held.
   * @param last the answer's end follows in this turn
   * @returns false when the client takes no more for now
   */
  #flush(last = false): boolean {
    this.#flow.flush(
      this.#ended === null ? last && this.#rest === null : this.#ended.failure === null,
    );
    const ended = this.#ended;
    if (!this.#flow.isEmpty || ended === null) return !this.#flow.isBlocked;
    this.#ended = null;
    this.#finish(ended);
    return true;
  }

  #finish(end: AttemptEnd): void {
    if (!this.#flow.isEmpty) {
      this.#ended = end;
      return;
    }
    // Of whoever was asked for a rest and told none of it, that is told already.
    const isTold = this.#state === 'resuming';
    this.#step('end');
    if (end.failure === null) this.#answer.answered();
    else {
      const failed = failureOfEnd(end.failure);
      if (failed !== null && !isTold) this.#tellPlanner(failed);
      this.#tellFailure(end.failure);
    }
  }

  #tellFailure(failure: UpstreamFailure): void {
    this.#release();
    this.#answer.failed(failure, failureDetail(failure, this.#trial?.target.provider.name ?? null));
  }

  writerDrained(): void {
    this.#flow.drained();
    if (this.#rest !== null && this.#state === 'committed') this.#clock.restCame();
    if (this.#flush() && this.#flow.isEmpty) this.#attempt?.resume();
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  /** What was waited for is due: a wait is over, an opening was held for long enough, or no content came. */
  onDue(): void {
    if (this.#state === 'waiting') this.#again();
    else if (this.#state === 'resuming') this.#rest?.failed(FAILURES.timeout, 'SILENT');
    else if (this.#state === 'committed') this.#rest?.judgeSilence();
    else if (this.#state !== 'trying') return;
    else if (this.#held?.hasContent === true) this.#judgeStall();
    else if (this.#held?.mode === 'stream' && !this.#clock.isLate) this.#letGo();
    else this.#replaceSilent('SILENT');
  }

  #judgeStall(): void {
    if (this.#clock.hasStalled()) this.#replaceSilent('STALLED');
  }

  /** Nothing came for too long: another attempt takes its place, or what there is of it is the client's. */
  #replaceSilent(word: string): void {
    if (!this.#goOn(FAILURES.timeout, word) && this.#held !== null) this.#letGo();
  }

  /** What is held is the client's, although nothing is known of it. */
  #letGo(): void {
    this.#commit(true, false);
    this.#flush();
    this.#rest?.afterOpening();
  }

  #again(): void {
    this.#step('due');
    const trial = this.#walk?.afterWait() ?? null;
    if (trial === null)
      this.#refuse(noTarget({ targets: [], leftOut: [], waitMs: this.#leastWaitMs }));
    else this.#try(trial);
  }

  /** All attempts together took longer than the route allows. */
  onDeadline(): void {
    if (this.#state === 'committed' || this.#state === 'over') return;
    if (this.#held !== null && this.#held.bytes > 0) {
      this.#letGo();
      return;
    }
    this.#attempt?.abort();
    this.#leave();
    this.#step('end');
    this.#tellFailure(TIMED_OUT);
  }

  uploadStalled(): void {
    this.#attempt?.uploadStalled();
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  clientLeft(): boolean {
    // What waits for the client is its answer's beginning: no end sign was shown.
    if (this.#state !== 'committed' || !this.#flow.isEmpty) return false;
    if (this.#rest?.mayBreak === true) return false;
    return this.#attempt?.readOn() ?? false;
  }

  abort(): void {
    this.#step('gone');
    this.#release();
    this.#attempt?.abort();
    this.#leave();
  }

  takeBack(): void {
    this.#attempt?.takeBack();
    this.abort();
  }

  /** Nothing is said of the target: who probes it, probes no more. */
  #leave(): void {
    if (this.#trial !== null) this.#context.planner.left(this.#trial);
  }

  giveBack(durationMs: number): void {
    this.#attempt?.giveBack(durationMs);
  }

  account(settlement: Settlement): Account {
    this.#release();
    const attempt = this.#attempt;
    const told = attempt?.fact(settlement, true) ?? null;
    const fact = this.#trial?.isRehearsal === true ? null : told;
    if (this.#trial !== null && fact !== null)
      keepConversation(this.#context, this.#reading, this.#trial, fact);
    return {
      provider: this.#trial?.target.provider ?? this.#request.routed?.provider ?? null,
      failure: attempt?.failure?.code ?? null,
      facts: this.#trail.facts(fact, attempt?.isFollowed === true),
    };
  }

  #refuse(rejected: Rejection): void {
    this.#step('refused');
    this.#release();
    // Whoever refuses has not let go its last piece: no provider could begin to work.
    this.#attempt?.takeBack();
    this.#answer.refused(rejected);
  }

  /** Nothing is waited for and nothing is kept any more. */
  #release(): void {
    this.#doubtful?.drop();
    this.#clock.stop();
    this.#request.drop();
    this.#held?.drop();
    this.#forgetEarlier();
    this.#rest?.drop();
    this.#flow.drop();
  }

  #step(event: RoutedEvent): void {
    this.#state = nextRoutedState(this.#state, event);
  }
}
