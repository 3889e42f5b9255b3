/**
 * A lane in front of another one: it tells again what the same request was answered before, or is being answered now, and else has
 * the lane behind it answer, and keeps that. States and failures: ARCHITECTURE.md, "The cache".
 */

import { Buffer } from 'node:buffer';
import type { Admitted } from '../admit/admission.ts';
import { type UnkeptReason, unkeptBecause } from '../cache/answer-judgement.ts';
import type { AnswerHead, KeptAnswer } from '../cache/answer-store.ts';
import type { CacheAsker, CacheClient, Lead, Leader } from '../cache/cache-client.ts';
import { cacheKey } from '../cache/cache-key.ts';
import { ANSWER_MAX_BYTES, type CacheTerms } from '../cache/cache-settings.ts';
import { type FollowedFlight, LAG_MAX_BYTES } from '../cache/followed-flight.ts';
import { readRequest } from '../cache/repeatable-request.ts';
import type { LimitGrant } from '../policy/limiter.ts';
import type { Rejection } from '../rejection.ts';
import type { CacheResult, WorkerMetrics } from '../settle/metrics.ts';
import { type Account, NO_ACCOUNT, type Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { Deadlines, Due } from '../ticker.ts';
import { CLOSED_EARLY, type UpstreamFailure } from '../upstream/failure.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import { type ResponseHead, withHead } from '../wire/response-head.ts';
import type { Asked } from './attempt-terms.ts';
import { type CacheWish, cacheWish } from './cache-wish.ts';
import { savedNano, type Telling, tellingFact, tellingOf } from './cached-fact.ts';
import { keptHead, toldAgainHead } from './cached-head.ts';
import type { AnswerKeeper } from './guarded-lane.ts';
import { HeldBytes } from './held-bytes.ts';
import type { KeptBudget } from './kept-budget.ts';
import type { Answer, Lane } from './lane.ts';
import { RequestCopy } from './request-copy.ts';
import { leadsElsewhere } from './stored-names.ts';

/** What the cached requests of a worker share. */
export interface CacheContext {
  /** Null: its thread is not there. */
  readonly cache: CacheClient | null;
  /** Of the configuration: of what names lead to. */
  readonly generation: string;
  readonly scanner: JsonScanner;
  readonly metrics: WorkerMetrics;
  readonly deadlines: Deadlines;
  readonly replay: KeptBudget;
  /** Bytes; 0 = no limit. */
  readonly replayMaxBytes: number;
  readonly held: KeptBudget;
}

/**
 * How long the cache's thread may take to say whether it has an answer, in milliseconds. It says so within one; a thread that
 * hangs must not hang requests.
 */
const CACHE_WAIT_MS = 1_000;

/** Of an answer that is told again: what leaves in one write. */
const PIECE_BYTES = 65_536;

/** What a request that no provider is asked for takes of limits: a request. */
const NO_TOKENS = { inputTokens: 0, outputTokens: 0 };

/** Somebody else was asked before; whether for money, the head does not say for certain. */
const FURTHER_ATTEMPT = /^x-sluice-attempts: [^\r\n]*,/m;

const RESPONSES = /\/responses\/?$/;

/** Makes the lane that answers, for whoever hears and keeps what it answers. */
type Open = (asked: Asked, keeper: Answer & AnswerKeeper) => Lane;

/**
 * - `gathering`: its body comes
 * - `asking`: the cache is asked
 * - `passing`: the lane behind answers, and nothing is kept
 * - `leading`: the same, and it is kept, and told to whoever waits for it
 * - `following`: another request is being answered
 * - `telling`: what was kept is told
 * - `over`
 */
type State = 'gathering' | 'asking' | 'passing' | 'leading' | 'following' | 'telling' | 'over';

/** A managed request whose policy has a cache; null: any other one. */
export interface CachedRequest {
  readonly admitted: Admitted;
  readonly managed: Pick<
    NonNullable<Admitted['managed'] | Admitted['routed']>,
    'identity' | 'policy' | 'namesState' | 'keepsState'
  >;
  readonly terms: CacheTerms;
}

/** @returns null where nothing is kept: of most keys, and of what bills nothing */
export function cachedRequest(admitted: Admitted, method: string): CachedRequest | null {
  const managed = admitted.managed ?? admitted.routed;
  const terms = managed?.policy.cache ?? null;
  if (managed === null || terms === null) return null;
  if (method !== 'POST' || managed.metering === 'free') return null;
  return { admitted, managed, terms };
}

export class CachedLane implements Lane, Answer, CacheAsker, Leader, AnswerKeeper, Due {
  dueSlot = -1;
  readonly #context: CacheContext;
  /** Whom it asked last: another one may have its place by now. */
  readonly #client: CacheClient | null;
  readonly #request: CachedRequest;
  readonly #asked: Asked;
  readonly #answer: Answer;
  readonly #open: Open;
  readonly #wish: CacheWish;
  #state: State = 'gathering';
  #copy: RequestCopy | null = null;
  #model: string | null = null;
  #lane: Lane | null = null;
  #result: CacheResult | null = null;
  /** Of a request that no provider is asked for. */
  #grant: LimitGrant | null = null;

  #lead: Lead | null = null;
  #head: AnswerHead | null = null;
  /** What came of the answer that is to be kept. */
  #recorded: HeldBytes | null = null;
  #hasEnded = false;
  #isGuarded = false;
  /** Its own client has gone, and others wait. */
  #isHeadless = false;
  /** Told its own client beyond what that takes, in bytes, because others wait. */
  #aheadBytes = 0;

  #kept: KeptAnswer | null = null;
  #flight: FollowedFlight | null = null;
  /** Of what is kept, in bytes. */
  #toldBytes = 0;
  #isHeadTold = false;
  #isBlocked = false;

  /** @param open makes the lane that answers what is not there */
  constructor(
    context: CacheContext,
    request: CachedRequest,
    asked: Asked,
    answer: Answer,
    open: Open,
  ) {
    this.#context = context;
    this.#client = context.cache;
    this.#request = request;
    this.#asked = asked;
    this.#answer = answer;
    this.#open = open;
    this.#wish = cacheWish(asked.fields);
    if (this.#wish === 'unknown') context.metrics.wishesDropped(1);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  begin(): void {
    this.#passTo('bypass').begin();
  }

  body(piece: Buffer, last: boolean): void {
    if (this.#state !== 'gathering') {
      this.#lane?.body(piece, last);
      return;
    }
    const { replay, replayMaxBytes } = this.#context;
    this.#copy ??= new RequestCopy(replay, replayMaxBytes, this.#asked.framing.contentLength);
    const copy = this.#copy;
    const isWanted = this.#wish !== 'off' && !copy.isDeclaredOver;
    if (!isWanted && copy.length === 0) this.#passTo('bypass').body(piece, last);
    else if (!copy.append(piece)) this.#giveTo(this.#passTo('bypass'), last);
    else if (last) this.#ask(copy.bytes);
  }

  #ask(body: Buffer): void {
    const key = this.#keyOf(body);
    if (key === null) {
      this.#giveTo(this.#passTo('bypass'), true);
      return;
    }
    this.#state = 'asking';
    this.#context.deadlines.set(this, CACHE_WAIT_MS);
    const isRefresh = this.#wish === 'refresh';
    if (this.#client?.ask(key, isRefresh, this) !== true) this.alone(true);
  }

  /** @returns null where neither what was kept may be told nor this be kept */
  #keyOf(body: Buffer): string | null {
    const { admitted, managed, terms } = this.#request;
    const read = readRequest(this.#context.scanner, body, RESPONSES.test(admitted.path));
    const isAsked = this.#wish === 'on' || this.#wish === 'refresh';
    if (read.repeatable === 'never' || (read.repeatable === 'asked' && !isAsked)) return null;
    if (managed.namesState && leadsElsewhere(body)) return null;
    this.#model = read.model;
    return cacheKey(
      terms,
      {
        identity: managed.identity,
        generation: this.#context.generation,
        provider: admitted.provider.name,
        dialect: admitted.routed?.wishes.dialect ?? admitted.dialect,
        target: admitted.target,
        fields: this.#asked.fields,
      },
      body,
    );
  }

  #passTo(result: CacheResult): Lane {
    this.#context.deadlines.clear(this);
    this.#result = result;
    this.#state = 'passing';
    const lane = this.#open(this.#asked, this);
    this.#lane = lane;
    return lane;
  }

  #giveTo(lane: Lane, last: boolean): void {
    const copy = this.#copy;
    this.#copy = null;
    if (copy === null) return;
    lane.body(copy.bytes, last);
    copy.drop();
  }

  /** The cache did not say in time whether it has an answer. */
  onDue(): void {
    this.#client?.leave(this);
    this.alone(true);
  }

  onDueBroken(error: unknown): void {
    this.onBroken(error);
  }

  uploadStalled(): void {
    this.#lane?.uploadStalled();
  }

  // ---- the cache ---------------------------------------------------------------------------------------------------

  hit(answer: KeptAnswer): void {
    this.#context.deadlines.clear(this);
    if (!this.#mayBeTold()) return;
    this.#state = 'telling';
    this.#result = 'hit';
    this.#kept = answer;
    this.#copy?.drop();
    this.#tell(answer);
  }

  leads(lead: Lead): void {
    // It waited for another one's, which came to nothing; the lane behind counts it.
    this.#grant?.withdraw();
    this.#grant = null;
    this.#flight = null;
    const lane = this.#passTo('miss');
    this.#state = 'leading';
    this.#lead = lead;
    lead.leader = this;
    this.#giveTo(lane, true);
  }

  follows(flight: FollowedFlight): void {
    this.#context.deadlines.clear(this);
    if (!this.#mayBeTold()) return;
    this.#state = 'following';
    this.#result = 'shared';
    this.#flight = flight;
    this.#follow(flight);
  }

  alone(isAway: boolean): void {
    if (this.#isHeadTold) {
      this.#break();
      return;
    }
    this.#grant?.withdraw();
    this.#grant = null;
    this.#flight = null;
    this.#giveTo(this.#passTo(isAway ? 'away' : 'miss'), true);
  }

  /** A request is a request, whoever answers it; it takes neither tokens nor money. */
  #mayBeTold(): boolean {
    const { limits } = this.#request.managed.policy;
    if (limits === null || this.#grant !== null) return true;
    const grant = limits.admit('', null, NO_TOKENS, true);
    if (!('code' in grant)) {
      this.#grant = grant;
      return true;
    }
    this.#release();
    this.#answer.refused(grant);
    return false;
  }

  // ---- an answer that is told again --------------------------------------------------------------------------------

  #tell(answer: KeptAnswer): void {
    const { head, body } = answer;
    if (!this.#isHeadTold) {
      const ageSecs = Math.max(0, Math.floor((Date.now() - answer.madeMs) / 1_000));
      this.#tellHead(head, body.length, ageSecs);
    }
    while (this.#state === 'telling' && !this.#isBlocked) {
      const from = this.#toldBytes;
      const to = Math.min(body.length, from + PIECE_BYTES);
      const isLast = to === body.length;
      this.#toldBytes = to;
      const piece = Buffer.from(body.buffer, body.byteOffset + from, to - from);
      this.#isBlocked = !this.#answer.piece(piece, isLast);
      if (isLast) this.#finish();
    }
  }

  flightCame(): void {
    if (this.#state === 'following' && this.#flight !== null) this.#follow(this.#flight);
  }

  #follow(flight: FollowedFlight): void {
    const { head, end } = flight;
    if (!this.#isHeadTold) {
      // A whole answer is of no use before its end: until then another one may take its place.
      if (head === null || (!head.isEventStream && end === null)) return;
      if (!head.isEventStream && end === 'failed') {
        this.#client?.leave(this);
        this.alone(false);
        return;
      }
      this.#tellHead(head, flight.bytes, null);
    }
    while (this.#state === 'following' && !this.#isBlocked) {
      const piece = flight.next(this);
      if (piece === null) break;
      const isLast = flight.end === 'ended' && flight.isAtEnd(this);
      this.#isBlocked = !this.#answer.piece(piece, isLast);
      if (isLast) {
        this.#finish();
        return;
      }
    }
    if (this.#state !== 'following') return;
    if (flight.isLost(this)) this.#break();
    else if (flight.end !== null && flight.isAtEnd(this)) {
      if (flight.end === 'ended') this.#finish();
      else this.#break();
    }
  }

  #tellHead(head: AnswerHead, bytes: number, ageSecs: number | null): void {
    this.#isHeadTold = true;
    // From here on nobody else is asked for it.
    this.#copy?.drop();
    this.#copy = null;
    const lines = this.#grant?.lines(this.#request.admitted.dialect) ?? '';
    this.#answer.head(toldAgainHead(head, bytes, ageSecs, lines), bytes > 0);
  }

  #finish(): void {
    this.#client?.leave(this);
    this.#state = 'over';
    this.#answer.answered();
  }

  /** Whoever made it did not make it to its end, or this one read too slowly. */
  #break(): void {
    this.#client?.leave(this);
    this.#state = 'over';
    this.#answer.failed(CLOSED_EARLY, '');
  }

  writerDrained(): void {
    this.#aheadBytes = 0;
    this.#isBlocked = false;
    if (this.#state === 'telling' && this.#kept !== null) this.#tell(this.#kept);
    else if (this.#state === 'following') this.flightCame();
    else this.#lane?.writerDrained();
  }

  // ---- an answer that is made --------------------------------------------------------------------------------------

  head(head: ResponseHead, followed: boolean): void {
    if (this.#lead !== null) this.#begin(this.#lead, head);
    const word = this.#result === 'bypass' ? 'bypass' : 'miss';
    const told = withHead(head, `${head.head}x-sluice-cache: ${word}\r\n`, head.size);
    this.#answer.head(told, followed);
  }

  #begin(lead: Lead, head: ResponseHead): void {
    const kept = keptHead(head);
    if (kept === null) {
      this.#doesNotLead(head.status === 200 ? 'unread' : 'status');
      return;
    }
    if (typeof head.size === 'number' && head.size > ANSWER_MAX_BYTES) {
      this.#doesNotLead('size');
      return;
    }
    if (this.#isInstead(head)) {
      this.#doesNotLead('instead');
      return;
    }
    this.#head = kept;
    this.#recorded = new HeldBytes(this.#context.held);
    if (lead.isShared) lead.head(kept);
  }

  /** What it asked for, its budget has no room for; whoever has room is told what it asked for. */
  #isInstead({ head }: ResponseHead): boolean {
    return this.#request.managed.policy.onExceeded !== null && FURTHER_ATTEMPT.test(head);
  }

  piece(piece: Buffer, last: boolean): boolean {
    const lead = this.#lead;
    if (lead !== null) this.#record(lead, piece);
    if (this.#isHeadless) return true;
    const takesMore = this.#answer.piece(piece, last);
    if (takesMore || this.#lead?.isWanted !== true) return takesMore;
    // Others do not wait for a slow one, as long as what it is behind fits.
    this.#aheadBytes += piece.length;
    return this.#aheadBytes <= LAG_MAX_BYTES;
  }

  #record(lead: Lead, piece: Buffer): void {
    const recorded = this.#recorded;
    if (recorded !== null) {
      const isTooLong = recorded.length + piece.length > ANSWER_MAX_BYTES;
      if (!isTooLong) recorded.append(piece);
      if (isTooLong || recorded.isOver) {
        this.#isTooMuch(lead, isTooLong ? 'size' : 'memory');
        if (this.#lead === null) return;
      }
    }
    if (!lead.isShared) return;
    const bytes = new Uint8Array(piece.length);
    bytes.set(piece);
    lead.piece(bytes);
  }

  /** Whoever follows a stream that grew too long goes on; nobody else is told it. */
  #isTooMuch(lead: Lead, why: UnkeptReason): void {
    lead.closed();
    if (!lead.isShared || this.#head?.isEventStream !== true) {
      this.#doesNotLead(why);
      return;
    }
    this.#context.metrics.answerUnkept(why);
    this.#recorded?.drop();
    this.#recorded = null;
  }

  /** Its answer is its own affair. */
  #doesNotLead(why: UnkeptReason | null): void {
    const lead = this.#lead;
    if (lead === null) return;
    this.#lead = null;
    if (why !== null) this.#context.metrics.answerUnkept(why);
    this.#recorded?.drop();
    this.#recorded = null;
    lead.failed();
  }

  shares(): void {
    const lead = this.#lead;
    if (lead === null || this.#head === null) return;
    lead.head(this.#head);
    const recorded = this.#recorded;
    if (recorded !== null && recorded.length > 0) lead.piece(copied(recorded));
    if (this.#hasEnded) lead.ended();
  }

  /** Nobody waits any more. */
  unwanted(): void {
    if (!this.#isHeadless || this.#state === 'over') return;
    this.#doesNotLead('cut');
    this.#lane?.abort();
    this.#over();
    this.#answer.answered();
  }

  notKept(): void {
    this.#isGuarded = true;
  }

  uploadFull(): void {
    // What is given to the lane behind is whole, but where it passes by.
    if (this.#state === 'passing') this.#answer.uploadFull();
  }

  uploadDrained(): void {
    if (this.#state === 'passing') this.#answer.uploadDrained();
  }

  answered(): void {
    this.#hasEnded = true;
    const lead = this.#lead;
    if (lead?.isShared === true) lead.ended();
    this.#over();
    this.#answer.answered();
  }

  failed(failure: UpstreamFailure, detail: string): void {
    this.#doesNotLead(this.#head === null ? null : 'cut');
    this.#over();
    this.#answer.failed(failure, detail);
  }

  refused(why: Rejection): void {
    this.#doesNotLead(null);
    this.#over();
    this.#answer.refused(why);
  }

  onBroken(error: unknown): void {
    this.#doesNotLead(null);
    this.#over();
    this.#answer.onBroken(error);
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  clientLeft(): boolean {
    const lead = this.#lead;
    const isAwaited = lead?.isWanted === true && this.#head !== null && !this.#hasEnded;
    if (isAwaited && this.#state === 'leading') {
      this.#isHeadless = true;
      this.#client?.headless.add(this);
      // It may have been held back for the client that has gone.
      this.#lane?.writerDrained();
      return true;
    }
    // What is read on for a bill is not told.
    this.#doesNotLead('cut');
    return this.#lane?.clientLeft() ?? false;
  }

  abort(): void {
    this.#release();
    this.#lane?.abort();
  }

  takeBack(): void {
    this.#release();
    this.#lane?.takeBack();
  }

  giveBack(durationMs: number): void {
    this.#grant?.settle(0);
    this.#lane?.giveBack(durationMs);
  }

  account(settlement: Settlement): Account {
    const telling = this.#telling();
    const made = this.#hasEnded ? this.#lead : null;
    if (made === null) this.#release();
    this.#grant?.settle(0);
    const cache = this.#result;
    if (telling !== null && cache !== null) {
      const { admitted, managed } = this.#request;
      this.#context.metrics.cacheSaved(savedNano(telling));
      const fact = tellingFact({ admitted, ...managed }, this.#model, telling, settlement);
      return { provider: null, failure: null, facts: [fact], cache };
    }
    const account = this.#lane?.account(settlement) ?? NO_ACCOUNT;
    if (made !== null) this.#settle(made, account.facts.at(-1) ?? null);
    return cache === null ? account : { ...account, cache };
  }

  /** Null: nothing was told again. */
  #telling(): Telling | null {
    if (!this.#isHeadTold) return null;
    const head = this.#kept?.head ?? this.#flight?.head ?? null;
    return tellingOf(this.#kept, head?.isEventStream === true);
  }

  #settle(lead: Lead, fact: UsageFact | null): void {
    this.#lead = null;
    const answer = this.#answerToKeep(fact);
    if (typeof answer === 'string') this.#context.metrics.answerUnkept(answer);
    else this.#context.metrics.answerKept();
    this.#recorded?.drop();
    this.#recorded = null;
    lead.settled(typeof answer === 'string' ? null : answer);
  }

  #answerToKeep(fact: UsageFact | null): KeptAnswer | UnkeptReason {
    const { terms, managed } = this.#request;
    const head = this.#head;
    const recorded = this.#recorded;
    if (head === null || recorded === null) return 'size';
    if (this.#isGuarded) return 'guarded';
    if (fact === null || fact.source !== 'reported') return 'estimated';
    if (fact.resumed) return 'cut';
    for (const _tool in fact.toolUses) return 'tools';
    const why = unkeptBecause(head, recorded.joined());
    if (why !== null) return why;
    const nowMs = Date.now();
    return {
      head,
      body: copied(recorded),
      made: {
        model: fact.model,
        targetModel: fact.targetModel,
        route: fact.route,
        costUsd: fact.cost.usd,
        tenant: managed.identity.tenantText,
        key: managed.identity.keyText,
      },
      madeMs: nowMs,
      expiresMs: nowMs + terms.ttlMs,
    };
  }

  /** Nothing more is waited for, and nothing is kept. */
  #release(): void {
    this.#context.deadlines.clear(this);
    if (this.#state === 'asking' || this.#state === 'following') this.#client?.leave(this);
    // What is whole is kept when it is settled.
    if (!this.#hasEnded) this.#doesNotLead(null);
    this.#over();
  }

  #over(): void {
    this.#state = 'over';
    this.#copy?.drop();
    this.#copy = null;
    this.#client?.headless.delete(this);
  }
}

function copied(recorded: HeldBytes): Uint8Array<ArrayBuffer> {
  const all = recorded.joined();
  const bytes = new Uint8Array(all.length);
  bytes.set(all);
  return bytes;
}
