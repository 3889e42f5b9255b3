import { type MeteredUsage, Metering } from '../meter/metering.ts';
import { FAILURES, failureOfInband } from '../plan/failover.ts';
import { spentForMs } from '../plan/spent-limits.ts';
import { countsEveryModel } from '../policy/policy-table.ts';
import type { Cost } from '../prices/cost.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Rejection } from '../rejection.ts';
import type { Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { Due } from '../ticker.ts';
import { POOL_KEY_INBAND, stoppedByBudget, type UpstreamFailure } from '../upstream/failure.ts';
import { followable } from '../upstream/references.ts';
import type { FirstContent } from '../upstream/transport.ts';
import { AnswerIds } from '../wire/answer-ids.ts';
import { inbandErrorIn } from '../wire/first-content.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import type { RequestScan } from '../wire/request-scan.ts';
import type { Audience, ResponseHead } from '../wire/response-head.ts';
import { SecretFilter } from '../wire/secret-filter.ts';
import { ANSWER_ID } from '../wire/state-places.ts';
import type { ErrorJudge, ToldErrors } from '../wire/told-errors.ts';
import {
  type Showing,
  shownHead,
  successFilter,
  withLimits,
  withoutCoding,
} from './answer-filters.ts';
import { attemptCost, attemptFact, attemptUsage, settleLimits } from './attempt-fact.ts';
import { settleFollowed, settleSpending } from './attempt-spending.ts';
import type { Asked, AttemptContext, AttemptTarget } from './attempt-terms.ts';
import { DoubtfulRefusal, refusalOf } from './doubtful-refusal.ts';
import { OutgoingRequest, type Sending } from './outgoing-request.ts';
import { type Running, RunningCost, type StreamParts } from './running-cost.ts';
import { UNSEEN_BYTES } from './unseen-answers.ts';

/**
 * What a lane says to an answer's head. `commit`: it is the client's. `hold`: the lane keeps what comes until it knows.
 * `next`: another attempt takes its place, and this one ends here.
 */
export type Verdict = 'commit' | 'hold' | 'next';

/** @property failure null when the answer is complete */
export interface AttemptEnd {
  readonly failure: UpstreamFailure | null;
}

/** Where an attempt's answer goes: its lane. Nothing is told behind `over`, behind `next`, or once it was aborted. */
export interface AttemptSink {
  /** The attempt takes no more of the upload until `uploadDrained`. */
  uploadFull(attempt: Attempt): void;
  uploadDrained(attempt: Attempt): void;
  head(attempt: Attempt, head: ResponseHead, followed: boolean): Verdict;
  /**
   * @param piece lent: it dies with the turn
   * @param last `over` follows in the same turn
   * @returns false for no more until `resume()`
   */
  piece(attempt: Attempt, piece: Buffer, last: boolean): boolean;
  over(attempt: Attempt, end: AttemptEnd): void;
  /** The request is known, is none that may proceed, and was not sent whole. Nothing follows. */
  refused(attempt: Attempt, why: Rejection): void;
  /** A bug was met: by the attempt, which ends with it, or in one of these methods. Must not throw. */
  onBroken(attempt: Attempt, error: unknown): void;
}

/** An id that can stand in a path as it is. */
const PLAIN_ID = /^[A-Za-z0-9_-]{1,256}$/;
/** RFC 9110 §15.5.4. */
const COMPLETE: AttemptEnd = { failure: null };
const STALLED: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'UPLOAD_STALLED',
};

/**
 * One try of one target with one key: its call, its metering, its failure and its fact. It is what the upstream calls,
 * so that what comes late for an attempt that was dropped ends here, and cannot reach its successor.
 */
export class Attempt implements Sending, PieceSink, Audience, Showing, ErrorJudge, Due, Running {
  dueSlot = -1;
  readonly #context: AttemptContext;
  readonly #request: OutgoingRequest;
  readonly #sink: AttemptSink;
  /** Only with a pool key. */
  readonly #metering: Metering | null;
  #isOver = false;
  #status: number | null = null;
  #isEventStream = false;
  /** The answer's end follows in this turn. */
  #endFollows = false;
  /** Only for what is no success and came for a pool key. */
  #filter: SecretFilter | null = null;
  /** Only for a success that came for a pool key. */
  #told: ToldErrors | null = null;
  /** The lane holds nothing of the answer, and so judges nothing of it. */
  #isTold = false;
  /** An error inside a 200 said that the pool key was refused. */
  #isKeyRefused = false;
  /** A 403 whose body says whom it means, until it has. */
  #doubt: DoubtfulRefusal | null = null;
  /** Only of a stream whose key has a budget that ends what passes it. */
  #running: RunningCost | null = null;
  /** Only of an answer that may name what the provider has stored. */
  #ids: AnswerIds | null = null;
  /** What the provider has stored it as; null when nothing told. */
  #storedId: string | null = null;
  #mayHaveContainers = false;
  /** Read since the client left, of an answer that is read on; else -1. */
  #unseenBytes = -1;
  /** Of an answer that was whole before it was told. */
  #billed: MeteredUsage | null = null;
  #cost: Cost | null = null;
  #isSettled = false;
  failure: UpstreamFailure | null = null;
  /** In the routed lane, with its answer's head: milliseconds for which its key has nothing left of a limit; 0 = it has. */
  spentMs = 0;
  /** Its fact comes by itself, minutes later. */
  isFollowed = false;

  constructor(context: AttemptContext, asked: Asked, target: AttemptTarget, sink: AttemptSink) {
    this.#context = context;
    this.#sink = sink;
    const { managed, provider } = target;
    this.#metering =
      managed === null
        ? null
        : new Metering(
            context.scanner,
            context.ratios,
            managed.metering,
            provider,
            countsEveryModel(managed.policy),
            managed.policy.spending !== null,
            managed.pathModel,
          );
    this.#request = new OutgoingRequest(context, asked, target, this.#metering, this);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  /** Sends a request that is whole with its head. */
  begin(): void {
    this.#request.begin();
  }

  /** The content's next piece, lent; the request leaves with the first one. */
  body(piece: Buffer, last: boolean): void {
    if (!this.#isOver) this.#request.body(piece, last);
  }

  /** As `OutgoingRequest` has it. */
  goOnWith(
    scan: RequestScan,
    model: string | null,
    content: FirstContent,
    bytes: number,
    last: boolean,
  ): void {
    this.#request.goOnWith(scan, model, content, bytes, last);
  }

  /** Before anything of it is sent: the account that it goes to. */
  useKey(poolKey: PoolKey): void {
    this.#request.useKey(poolKey);
  }

  /** Before its answer: the request offers a tool that leaves containers. */
  expectContainers(): void {
    this.#mayHaveContainers = true;
  }

  /** The request must not become whole: what was sent of it is aborted, and no fact tells of it. */
  takeBack(): void {
    this.#request.wasRefused = true;
    this.abort();
  }

  uploadFull(): void {
    this.#sink.uploadFull(this);
  }

  refused(why: Rejection): void {
    this.takeBack();
    this.#sink.refused(this, why);
  }

  /** The lane takes more of the answer. */
  resume(): void {
    this.#request.call?.resume();
  }

  /** A provider that has begun to answer need not read the rest of an upload: then only its silence is a fault. */
  uploadStalled(): void {
    if (this.#status !== null || this.#isOver) return;
    this.#request.call?.abort();
    this.onUpstreamFailure(STALLED);
  }

  /**
   * The client has left. Behind an end sign of a stream whose bill has not come, the answer is read on for it: nothing is
   * told of it but `over`, which may be in this turn.
   * @returns false when nothing is to be waited for, or too many are waited for already
   */
  readOn(): boolean {
    if (this.#isOver || !this.#request.isWhole || this.#metering?.awaitsBill !== true) return false;
    if (!this.#context.unseen.enter(this)) {
      this.#context.metrics.billUnread();
      return false;
    }
    this.#unseenBytes = 0;
    // The client may have been slow.
    this.#request.call?.resume();
    return true;
  }

  /** The time of an answer that is read on is over. */
  onDue(): void {
    if (!this.#isOver) this.#endUnseen();
  }

  onDueBroken(error: unknown): void {
    this.#break(error);
  }

  #readUnseen(chunk: Buffer, last: boolean): void {
    const room = UNSEEN_BYTES - this.#unseenBytes;
    this.#unseenBytes += chunk.length;
    const isFull = chunk.length >= room;
    this.#metering?.response(isFull ? chunk.subarray(0, room) : chunk, this, last && !isFull);
    // Its own end leaves the connection for others.
    if (isFull || (!last && this.#metering?.awaitsBill !== true)) this.#endUnseen();
  }

  #endUnseen(): void {
    this.#isOver = true;
    this.#request.call?.abort();
    this.#sink.over(this, COMPLETE);
  }

  /** Ends the upstream work in this turn; what still comes of it is nobody's. */
  abort(): void {
    this.#isOver = true;
    this.#request.call?.abort();
  }

  // ---- the upstream ------------------------------------------------------------------------------------------------
  // Each is an entry from outside, by any transport: what it throws ends this exchange and no other.

  onRequestRetried(): void {
    if (this.#isOver) return;
    this.#context.metrics.retried(this.#request.target.provider.index);
  }

  onUploadDrained(): void {
    if (this.#isOver) return;
    try {
      this.#sink.uploadDrained(this);
    } catch (error) {
      this.#break(error);
    }
  }

  onResponseHead(
    status: number,
    reason: string,
    fields: readonly string[],
    followed: boolean,
  ): void {
    if (this.#isOver) return;
    try {
      this.#begun(status, reason, fields, followed);
    } catch (error) {
      this.#break(error);
    }
  }

  #begun(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    this.#status = status;
    this.#context.metrics.responded(this.#request.target.provider.index, status);
    const { managed, routing, provider } = this.#request.target;
    const poolKey = managed?.poolKey;
    if (routing !== null) this.spentMs = spentForMs(fields, Date.now);
    // A provider that takes no key has none to quote.
    const isGiven = poolKey !== undefined && poolKey.field !== null;
    const mayQuote = isGiven && status >= 300;
    const refusal = mayQuote ? refusalOf(status, provider.authScheme, poolKey.hasOthers) : null;
    if (refusal === null) {
      this.#answerBegan(status, reason, fields, followed);
      return;
    }
    this.#metering?.responseBegan(status, null);
    if (DoubtfulRefusal.isDoubtful(status))
      this.#doubt = new DoubtfulRefusal(status, reason, fields, refusal);
    else this.#poolKeyRefused(refusal);
  }

  #answerBegan(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    const poolKey = this.#request.target.managed?.poolKey;
    const isGiven = poolKey !== undefined && poolKey.field !== null;
    const mayQuote = isGiven && status >= 300;
    let head = this.#shown(status, reason, fields);
    this.#isEventStream = head.eventStream;
    if (status < 300) {
      this.#ids = this.#idsOfAnswer();
      this.#running = this.#runningCostOf(head);
    }
    const shrinks = this.#metering?.responseBegan(status, head.format) ?? false;
    if (mayQuote) {
      const isPacked = head.format === null;
      // Nothing can be found in what is packed, although that was refused: it keeps its status and loses its content.
      if (isPacked) head = this.#shown(status, reason, withoutCoding(fields));
      this.#filter = new SecretFilter(poolKey.traces, {
        push: (piece) => isPacked || this.#sink.piece(this, piece, false),
      });
    } else if (isGiven && head.size !== 'none') {
      this.#told = successFilter(poolKey, head.format, this);
    }
    const isOpen = shrinks || mayQuote;
    const shown: ResponseHead =
      isOpen && typeof head.size === 'number' ? { ...head, size: 'chunked' } : head;
    const verdict = this.#sink.head(this, shown, followed);
    this.#isTold = verdict === 'commit';
    if (verdict === 'next') this.abort();
  }

  #runningCostOf(head: ResponseHead): RunningCost | null {
    const { reservation, target } = this.#request;
    const spending = target.managed?.policy.spending ?? null;
    const metering = this.#metering;
    if (reservation === null || spending?.stops !== true || metering === null) return null;
    const parts = partsOf(head, target.path);
    return parts === null ? null : new RunningCost(spending, reservation, metering, this, parts);
  }

  get requestBytes(): number {
    return this.#request.bytes;
  }

  costSoFar(usage: MeteredUsage): Cost {
    return this.#costOf(usage, Date.now());
  }

  /** @returns whether nothing more of the answer is passed on */
  #isStopped(running: RunningCost, last: boolean): boolean {
    // What has come to its end anyway is told to it.
    if (last || this.#isOver) return false;
    running.look();
    const { why } = running;
    if (why === null || !running.isOver) return false;
    this.#request.call?.abort();
    this.onUpstreamFailure(stoppedByBudget(why));
    return true;
  }

  #idsOfAnswer(): AnswerIds | null {
    const { managed, provider } = this.#request.target;
    if (managed === null) return null;
    const keeps = managed.keepsState && this.#metering?.storesNothing !== true;
    const mayHaveContainers = this.#mayHaveContainers;
    if (!keeps && !mayHaveContainers) return null;
    const { identity, poolKey: key } = managed;
    const { stored } = this.#context;
    return new AnswerIds((id, place) => {
      if (place === ANSWER_ID) this.#storedId = id;
      // An answer that is not stored has an id as well.
      if (keeps || place !== ANSWER_ID)
        stored.remember(id, identity.tenantWords, { provider, key });
    }, mayHaveContainers);
  }

  /**
   * As much of a doubtful answer is there as will be looked at.
   * @param isOfKey it means the pool key
   * @param last it is all of it
   * @returns false when nothing more of it is the caller's
   */
  #isAnswer(doubt: DoubtfulRefusal, isOfKey: boolean, last: boolean): boolean {
    this.#doubt = null;
    if (isOfKey) {
      this.#poolKeyRefused(doubt.refusal);
      return false;
    }
    this.#answerBegan(doubt.status, doubt.reason, doubt.fields, true);
    if (!this.#isOver) this.onResponseChunk(doubt.body, last);
    return !this.#isOver;
  }

  /** Nothing of such an answer is the caller's: it speaks of a key that is not its own. */
  #poolKeyRefused(refusal: UpstreamFailure): void {
    this.#doubt = null;
    this.#context.metrics.poolKeyRefused(this.#request.target.provider.index);
    this.#request.call?.abort();
    this.onUpstreamFailure(refusal);
  }

  onResponseChunk(chunk: Buffer, last: boolean): void {
    if (this.#isOver) return;
    this.#endFollows = last;
    try {
      if (this.#doubt !== null) {
        const doubt = this.#doubt;
        if (!doubt.add(chunk)) this.#isAnswer(doubt, doubt.isOfKeyUnread, last);
        return;
      }
      if (this.#unseenBytes >= 0) {
        this.#readUnseen(chunk, last);
        return;
      }
      // Before the caller can have read it.
      if (this.#ids?.push(chunk) === false) this.#ids = null;
      const more = this.#metering?.response(chunk, this, last) ?? this.push(chunk);
      if (this.#isKeyRefused) this.#poolKeyRefused(POOL_KEY_INBAND);
      else if (this.#running !== null && this.#isStopped(this.#running, last)) return;
      else if (!more) this.#request.call?.pause();
    } catch (error) {
      this.#break(error);
    }
  }

  onResponseEnd(byConnection = false): void {
    if (this.#isOver) return;
    try {
      const doubt = this.#doubt;
      if (doubt !== null && !this.#isAnswer(doubt, doubt.isOfKey, true)) return;
      this.#request.isWhole = true;
      this.#metering?.responseEnded(this, byConnection);
      this.#filter?.end();
      if (this.#unseenBytes < 0) this.#told?.end();
      if (this.#isOver) return;
      if (this.#isKeyRefused) {
        this.#poolKeyRefused(POOL_KEY_INBAND);
        return;
      }
      this.#isOver = true;
      this.#sink.over(this, COMPLETE);
    } catch (error) {
      this.#break(error);
    }
  }

  onUpstreamFailure(failure: UpstreamFailure): void {
    if (this.#isOver) return;
    if (this.#doubt !== null && !this.#isCutAnswer(this.#doubt)) return;
    this.#isOver = true;
    this.failure = failure;
    try {
      if (failure.kind === 'connect')
        this.#context.metrics.connectFailed(this.#request.target.provider.index);
      // Of a success, what came before its cut is the client's.
      if (this.#unseenBytes < 0) this.#told?.end();
      this.#sink.over(this, { failure });
    } catch (error) {
      this.#break(error);
    }
  }

  /**
   * What would have told is not there: the status is what counts.
   * @returns false when nothing of it is the caller's
   */
  #isCutAnswer(doubt: DoubtfulRefusal): boolean {
    try {
      return this.#isAnswer(doubt, doubt.isOfKeyUnread, false);
    } catch (error) {
      this.#break(error);
      return false;
    }
  }

  #break(error: unknown): void {
    this.#isOver = true;
    // The lane aborts what it has left: this one too.
    this.#sink.onBroken(this, error);
  }

  /** What the metering passes on of the answer: an error, and a success with a pool key, by way of its filter. */
  push(piece: Buffer): boolean {
    if (this.#unseenBytes >= 0) return true;
    if (this.#told !== null)
      return this.#told.push(piece, this.#metering?.mayTell ?? true, this.#endFollows);
    if (this.#filter !== null) return this.#filter.push(piece);
    return this.show(piece);
  }

  /** For its own filters alone: whether an error inside a success speaks of what is the client's. */
  mayTell(text: string): boolean {
    const error = this.#isTold ? inbandErrorIn(text) : null;
    if (error === null) return true;
    const failed = failureOfInband(error.status, error.code, text);
    this.#isKeyRefused ||= failed === FAILURES.key_refused;
    return !this.#isKeyRefused;
  }

  /** For its own filters alone: what is left for the client. */
  show(piece: Buffer): boolean {
    if (this.#isKeyRefused) return true;
    if (this.#running === null || this.#endFollows)
      return this.#sink.piece(this, piece, this.#endFollows);
    const passed = this.#running.passed(piece);
    return passed.length === 0 || this.#sink.piece(this, passed, false);
  }

  #shown(status: number, reason: string, fields: readonly string[]): ResponseHead {
    const { method, target, grant } = this.#request;
    const poolKey = target.managed?.poolKey ?? null;
    const head = shownHead(method, status, reason, fields, poolKey, this);
    return grant === null ? head : withLimits(head, grant, target.dialect);
  }

  get isManaged(): boolean {
    return this.#request.target.managed !== null;
  }

  get asksForStream(): boolean {
    return this.#metering?.asksForStream ?? this.#request.asksForStream;
  }

  get ownsCors(): boolean {
    return this.#context.ownsCors;
  }

  followable(reference: string): string | null {
    return followable(reference, this.#request.target.provider, this.#request.target.target);
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /**
   * Releases everything, and says what is to be billed: null for a caller's own key, and for a request that never
   * reached its provider, or was taken back before it was whole. Called once.
   * @param final no other attempt follows
   */
  fact(settlement: Settlement, final = true): UsageFact | null {
    const { target, call, grant, reservation, wasRefused } = this.#request;
    const { managed } = target;
    if (this.#unseenBytes >= 0) this.#context.unseen.leave(this);
    if (this.#metering === null || managed === null) return null;
    const usage = this.#billed ?? this.#used(this.#metering);
    if (call?.reached !== true || wasRefused) {
      grant?.settle(0);
      reservation?.settle(0);
      return null;
    }
    const answered = { status: this.#status, isEventStream: this.#isEventStream };
    const atMs = Date.now() - settlement.durationMs;
    const fact = attemptFact(
      target,
      managed.identity,
      managed.policy,
      usage,
      answered,
      settlement,
      final,
      this.#cost ?? this.#costOf(usage, atMs),
    );
    this.isFollowed = usage.source !== 'reported' && this.#isFollowed(fact, usage, atMs);
    if (this.isFollowed) return null;
    this.#settle(usage, fact.cost, settlement.durationMs);
    return fact;
  }

  /**
   * It is over: limits and budgets get back what it did not use, before the answer's end is told. The fact of it comes
   * later and says the same. An answer that may be written on behind its response holds what it has until that is known.
   * @param durationMs since the request came
   */
  giveBack(durationMs: number): void {
    const { call, grant, reservation, wasRefused } = this.#request;
    const metering = this.#metering;
    if (metering === null || (grant === null && reservation === null)) return;
    if (call?.reached !== true || wasRefused) {
      grant?.settle(0);
      reservation?.settle(0);
      return;
    }
    if (metering.isBackground) return;
    this.#billed ??= this.#used(metering);
    this.#cost ??= this.#costOf(this.#billed, Date.now() - durationMs);
    this.#settle(this.#billed, this.#cost, durationMs);
  }

  #settle(usage: MeteredUsage, cost: Cost, durationMs: number): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const { target, grant, reservation } = this.#request;
    settleLimits(grant, usage, target.provider.dialect);
    if (reservation === null) return;
    const highCost = (high: MeteredUsage): Cost => this.#costOf(high, Date.now() - durationMs);
    settleSpending(reservation, usage, cost, durationMs, highCost);
  }

  /** An answer that is written behind its response has its fact when it has ended. */
  #isFollowed(fact: UsageFact, { requestedModel }: MeteredUsage, atMs: number): boolean {
    const { target, grant, reservation } = this.#request;
    const { managed, provider, path } = target;
    const id = this.#storedId;
    if (managed === null || id === null || this.#metering?.isBackground !== true) return false;
    if (!PLAIN_ID.test(id)) return false;
    const { identity, poolKey } = managed;
    return this.#context.background.follow({
      provider,
      poolKey,
      transports: this.#context.transports,
      target: `${path.replace(/\/$/, '')}/${id}`,
      owner: `${identity.tenantText}/${identity.vpcText}`,
      fact,
      priced: (usage) => this.#costOf({ ...usage, requestedModel }, atMs),
      requestBytes: this.#request.bytes,
      settled: (settled) => {
        settleLimits(grant, settled, settled.dialect);
        if (reservation !== null) settleFollowed(reservation, settled, settled.cost);
      },
    });
  }

  /** Its metering has read its answer as one JSON text that reports usage. */
  get isOneText(): boolean {
    return this.#metering?.isOneText === true;
  }

  /**
   * USD that an answer cost which has ended, before anything of it is told; null: unpriced, not reported, or a caller's own
   * key. Its fact says the same.
   * @param durationMs since it began
   */
  costOfWhole(durationMs: number): string | null {
    if (this.#metering === null) return null;
    const billed = this.#used(this.#metering);
    this.#billed = billed;
    if (billed.source !== 'reported') return null;
    this.#cost = this.#costOf(billed, Date.now() - durationMs);
    return this.#cost.usd;
  }

  #costOf(usage: MeteredUsage, atMs: number): Cost {
    return attemptCost(this.#context, this.#request.target, usage, atMs);
  }

  #used(metering: Metering): MeteredUsage {
    const requestBytes = this.#request.isWhole ? this.#request.bytes : 0;
    return attemptUsage(this.#context, metering, requestBytes);
  }
}

/** What a stream is made of; null: it is none, and its provider has written all of it. */
function partsOf({ eventStream, format }: ResponseHead, path: string): StreamParts | null {
  if (eventStream) return 'events';
  if (format === 'lines') return 'lines';
  return format === 'json' && path.endsWith(':streamGenerateContent') ? 'array' : null;
}
