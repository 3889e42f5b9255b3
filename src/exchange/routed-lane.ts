/**
 * The routed lane: a request whose body says where it goes. The only file that loops: it gathers the body, has it planned,
 * tries one target after the other, and holds each answer's beginning until it is worth something. What each step needs is
 * beside it: the body (`routed-body.ts`), the way through the plan (`routed-walk.ts`), the times (`routed-clock.ts`), what an
 * answer amounts to (`routed-judgement.ts`), what became of it (`routed-trail.ts`), and the bytes that leave
 * (`routed-flow.ts`). ARCHITECTURE.md, "The routed lane", has its states and its failures.
 */

import type { Routed } from '../admit/admit.ts';
import { FAILURES, type Failed, failureOfStatus } from '../plan/failover.ts';
import type { Homes, Trial } from '../plan/planner.ts';
import type { PrefixWatch, WatchedTurn } from '../plan/prefix-watch.ts';
import {
  type Resolved,
  ROUTE_DEFAULTS,
  type Route,
  type RouteSettings,
  type Target,
} from '../plan/route-table.ts';
import { notAllowed } from '../policy/policy-refusals.ts';
import { usdText } from '../prices/money.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import { STATE_ELSEWHERE, StateClaim } from '../stored/state-claim.ts';
import { tenantSeed } from '../stored/state-table.ts';
import type { Deadlines } from '../ticker.ts';
import { CLOSED_EARLY, failureDetail, type UpstreamFailure } from '../upstream/failure.ts';
import { continuedRequest } from '../wire/continued-request.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { Seam } from '../wire/seam.ts';
import {
  type Asked,
  Attempt,
  type AttemptContext,
  type AttemptEnd,
  type AttemptSink,
  LEFT,
  type Verdict,
} from './attempt.ts';
import { continuationAt, isContinuedWire } from './continuation.ts';
import { HeldAnswer, type Holding } from './held-answer.ts';
import { HeldBytes } from './held-bytes.ts';
import type { KeptBudget } from './kept-budget.ts';
import type { Answer, Lane } from './lane.ts';
import type { Rehearsal, Rehearsed } from './rehearsal.ts';
import { NOTHING_READ, type RequestReading, readRequest } from './request-reading.ts';
import { ResumableAnswer } from './resumable-answer.ts';
import { type BodyContext, RoutedBody } from './routed-body.ts';
import { RoutedClock, type Timed } from './routed-clock.ts';
import { RoutedFlow } from './routed-flow.ts';
import { failureOfEnd, holdModeOf, waitAskedFor, wordOf } from './routed-judgement.ts';
import { noPoolKey, noTarget, notPaidFor, unknownModel } from './routed-refusals.ts';
import { nextRoutedState, type RoutedEvent, type RoutedState } from './routed-state.ts';
import { NO_TRAIL, toldHead } from './routed-trail.ts';
import { RoutedWalk, type WalkContext } from './routed-walk.ts';

/** What the routed requests of a worker share. */
export interface RoutedContext extends AttemptContext, BodyContext, WalkContext {
  readonly deadlines: Deadlines;
  readonly holdMs: number;
  /** What of answers the node may hold. */
  readonly held: KeptBudget;
  /** Null where no faults are played. */
  readonly rehearsal: Rehearsal | null;
  readonly prefixes: PrefixWatch;
  /** Something is to be mended, by whoever reads the log. */
  warn(event: string, fields: Readonly<Record<string, string | number | null>>): void;
}

const TIMED_OUT: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'DEADLINE',
};

const KEY_REFUSED_INBAND: UpstreamFailure = {
  kind: 'refused',
  rejection: 'pool_key_rejected',
  code: 'POOL_KEY_INBAND',
};

/** What another target is asked, where it is asked to go on with an answer. */
interface Continuing {
  readonly body: Buffer;
  readonly prefix: string | null;
}

/** Nothing more is said of attempts once the answer is the client's. */
const UNSAID = { requestId: '', traceparent: null, payer: null };

/** Of an error's body that is not held, nothing is known: not even that it is empty. */
const UNREAD = ' ';

const NOTHING = Buffer.alloc(0);

/**
 * What a status says of its target where its body is not held. A 403 that comes this far speaks of what the caller wrote:
 * one that means the key has ended its attempt.
 */
function failureOfUnread(status: number): Failed | null {
  return status === 403 ? null : failureOfStatus(status, UNREAD);
}

export class RoutedLane implements Lane, AttemptSink, Timed {
  readonly #context: RoutedContext;
  /** Until the answer is the client's, as everything that led to it: a stream may stay open for an hour behind that. */
  #asked: Asked;
  #routed: Routed | null;
  readonly #answer: Answer;
  #said: Pick<Settlement, 'requestId' | 'traceparent' | 'payer'>;
  /** Only of a name that has a plan. */
  #walk: RoutedWalk | null = null;
  #clock: RoutedClock;
  #trail = NO_TRAIL;
  readonly #flow: RoutedFlow;
  #state: RoutedState = 'gathering';
  /** From the first piece until the answer is the client's. */
  #body: RoutedBody | null = null;
  #isBodyWhole = false;
  /** The body's beginning has left, and its rest streams behind it: behind the answer's beginning too. */
  #isStreamedUp = false;
  /** Until the body is whole: what it names of what is stored. */
  #claim: StateClaim | null;

  #route: Route | null = null;
  #settings: RouteSettings = ROUTE_DEFAULTS;
  #rehearsed: Rehearsed | null = null;
  #reading: RequestReading = NOTHING_READ;
  #trial: Trial | null = null;
  #attempt: Attempt | null = null;
  #head: ResponseHead | null = null;
  #held: HeldAnswer | null = null;
  /** Behind the commit, of an answer that another target may go on with, or went on with. */
  #resumable: ResumableAnswer | null = null;
  /** How an answer broke that nobody has gone on with yet. */
  #cut: UpstreamFailure = CLOSED_EARLY;
  /** The attempt ended while its beginning was still on its way to the client. */
  #ended: AttemptEnd | null = null;

  constructor(
    context: RoutedContext,
    asked: Asked,
    routed: Routed,
    answer: Answer,
    said: Pick<Settlement, 'requestId' | 'traceparent' | 'payer'>,
  ) {
    this.#context = context;
    this.#asked = asked;
    this.#routed = routed;
    this.#answer = answer;
    this.#said = said;
    this.#claim = routed.namesState
      ? new StateClaim(context.stored, routed.identity.tenantWords, null)
      : null;
    this.#clock = new RoutedClock(context.deadlines, context.holdMs, this);
    this.#flow = new RoutedFlow(answer);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  begin(): void {
    this.#refuse(rejection('invalid_body', 'It is empty.'));
  }

  body(piece: Buffer, last: boolean): void {
    this.#claim?.push(piece);
    if (this.#state === 'gathering') this.#gather(piece, last);
    else if (this.#isStreamedUp && this.#state !== 'over') this.#passOn(piece, last);
  }

  #gather(piece: Buffer, last: boolean): void {
    const routed = this.#routed;
    if (routed === null) return;
    this.#body ??= new RoutedBody(this.#context, this.#asked.framing, routed);
    const body = this.#body;
    const came = body.push(piece, last);
    if (came === 'more') return;
    const { model } = body;
    if (came === 'foreign') {
      this.#step(last ? 'last' : 'full');
      this.#beginPlain('', body);
    } else if (came === 'whole') this.#begin(true, body);
    else if (came === 'full') {
      this.#context.metrics.replaySkipped();
      if (model === null) this.#refuse(body.tooLate);
      else this.#begin(false, body);
    } else if (model !== null && this.#resolve(model).kind === 'plain') {
      // Nothing is wished for but the default provider: no more is held, and nothing is kept.
      this.#begin(false, body);
    }
  }

  /** Why what the body names, now that all of it is read, cannot be had where it went. */
  #misplaced(last: boolean): Rejection | null {
    const trial = this.#trial;
    if (!last || trial === null) return null;
    return this.#claim?.faultAt(trial.target.provider, trial.key) ?? null;
  }

  /** The rest of a body whose beginning has left. */
  #passOn(piece: Buffer, last: boolean): void {
    const fault = this.#body?.faultOfRest(piece, this.#route !== null) ?? this.#misplaced(last);
    if (fault !== null) {
      this.#refuse(fault);
      return;
    }
    if (last && this.#claim?.leavesContainers === true) this.#attempt?.expectContainers();
    this.#attempt?.body(piece, last);
    if (last) {
      this.#body?.release();
      this.#isBodyWhole = true;
    }
  }

  /**
   * The model is known: plans, and begins the first attempt.
   * @param isWhole else the body goes on behind what is here
   */
  #begin(isWhole: boolean, body: RoutedBody): void {
    if (isWhole) body.release();
    this.#isBodyWhole = isWhole;
    const name = body.model ?? '';
    const { planner } = this.#context;
    const resolved = this.#resolve(name);
    const fault = body.faultOf(isWhole, resolved.kind === 'plain') ?? this.#claim?.fault ?? null;
    if (fault !== null) this.#refuse(fault);
    else if (resolved.kind === 'unknown') this.#refuse(unknownModel(name, resolved.nearest));
    else if (!this.#mayNotAsk(name, resolved)) {
      this.#step(isWhole ? 'last' : 'full');
      if (resolved.kind === 'plain') this.#beginPlain(name, body);
      else if (resolved.kind === 'route') this.#beginNamed(resolved.route, isWhole, body);
      else this.#beginNamed(planner.routeOf(resolved.target), isWhole, body);
    }
  }

  /** A plain name whose cost is limited is looked at like any other: the default provider's model. */
  #resolve(name: string): Resolved {
    const routed = this.#routed;
    const resolved = this.#context.planner.resolve(name);
    if (resolved.kind !== 'plain' || routed === null || routed.wishes.maxCostPico === 0)
      return resolved;
    const { provider } = routed;
    return {
      kind: 'target',
      target: { name: `${provider.name}/${name}`, provider, model: name },
    };
  }

  /** The permission is on the name that was asked for, and on every target: the plan leaves out the others. */
  #mayNotAsk(asked: string, resolved: Resolved): boolean {
    const routed = this.#routed;
    if (routed === null || routed.policy.models === null) return false;
    const { provider } = routed;
    const name =
      resolved.kind === 'plain'
        ? `${provider.name}/${asked}`
        : resolved.kind === 'target'
          ? resolved.target.name
          : asked;
    const { models } = routed.policy;
    if (models.allows(name)) return false;
    this.#refuse(notAllowed(name, models));
    return true;
  }

  /** Nothing is wished for but the default provider: one attempt, as in the relay, and nothing is kept. */
  #beginPlain(name: string, body: RoutedBody): void {
    const routed = this.#routed;
    if (routed === null) return;
    const { provider, keepsState, identity } = routed;
    const target = { name: `${provider.name}/${name}`, provider, model: name };
    const home = this.#claim?.homes?.find((one) => one.provider.index === provider.index);
    const settled = keepsState ? tenantSeed(identity.tenantWords) : null;
    const trial =
      home === undefined
        ? this.#context.planner.enterAnyway(target, settled)
        : this.#context.planner.enterAt(target, home.key);
    if (trial === null) this.#refuse(noPoolKey([provider.name]));
    else this.#try(trial, body);
  }

  #beginNamed(route: Route, isWhole: boolean, body: RoutedBody): void {
    const { planner, metrics } = this.#context;
    const { settings } = route;
    const routed = this.#routed;
    if (routed === null) return;
    this.#route = route;
    this.#settings = settings;
    const { wishes } = routed;
    const claim = this.#claim;
    const isBound = claim !== null && claim.homes !== null;
    const homes: Homes = isBound ? claim.mayGoTo.bind(claim) : null;
    this.#reading = readRequest(
      route,
      routed,
      this.#asked.fields,
      isWhole ? body.bytes(null) : null,
      Math.max(this.#asked.framing.contentLength, body.keptBytes),
      this.#context.scanner,
      planner,
      this.#context.prefixes,
    );
    const { session, needs } = this.#reading;
    const asks = { ...wishes, session, needs, permission: routed.policy.models };
    const made = planner.plan(route, asks, homes);
    const { rehearsal } = this.#context;
    this.#rehearsed =
      rehearsal === null || !routed.policy.mayRehearse ? null : rehearsal.asked(this.#asked.fields);
    if (this.#rehearsed !== null && this.#rehearsed.dropped > 0)
      metrics.wishesDropped(this.#rehearsed.dropped);
    if (wishes.order.length + wishes.only.length > 0)
      metrics.wishesDropped(planner.unknownWishes(wishes));
    const mayRepeat = isWhole && body.keep();
    if (isWhole && !mayRepeat) metrics.replaySkipped();
    // Whoever made what is sealed is not known: another target, or another key, is not asked whether it was the one.
    const isSealed = claim?.isSealed === true;
    const targets = isSealed ? made.targets.slice(0, 1) : made.targets;
    const walk = new RoutedWalk(this.#context);
    this.#walk = walk;
    walk.begin(targets, settings.retries, mayRepeat, session, homes);
    const trial = walk.next();
    if (isSealed && trial !== null) walk.stayWith(trial.key);
    if (trial === null) {
      const isElsewhere = made.leftOut.some(({ leftOut }) => leftOut === 'other_account');
      const isHomeLeft = made.leftOut.some(({ leftOut }) => leftOut !== 'other_account');
      if (isElsewhere && !isHomeLeft && targets.length === 0) this.#refuse(STATE_ELSEWHERE);
      else this.#refuse(notPaidFor(made) ?? noTarget(made.leftOut, made.waitMs));
      return;
    }
    // A whole answer has no first content: its head comes when it is written, however long that takes.
    this.#clock.begin(
      settings.deadlineMs,
      body.isStreamAsked ? settings.firstContentTimeoutMs : 0,
      settings.stallTimeoutMs,
    );
    this.#try(trial, body);
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

  #try(trial: Trial, body: RoutedBody, continuing: Continuing | null = null): void {
    const { target, key } = trial;
    const routed = this.#routed;
    if (routed === null) return;
    const { identity, policy, metering, suffix, query, keepsState } = routed;
    const fault = this.#claim?.faultAt(target.provider, key) ?? null;
    if (fault !== null) {
      this.#context.planner.left(trial);
      this.#refuse(fault);
      return;
    }
    const path = (continuing?.prefix ?? target.provider.prefixes[0] ?? '') + suffix;
    this.#trial = trial;
    const { rehearsal } = this.#context;
    const played = this.#playedModel(target);
    trial.isRehearsal = played !== null;
    if (!trial.isRehearsal) this.#context.metrics.attempted(target.provider.index);
    this.#held = null;
    this.#head = null;
    this.#clock.attemptBegan();
    const isWhole = this.#state !== 'pinned';
    this.#isStreamedUp = !isWhole;
    const bytes =
      continuing?.body ?? body.bytes(this.#route === null ? null : (played ?? target.model));
    const attempt = new Attempt(
      played === null || rehearsal === null ? this.#context : rehearsal,
      { ...this.#asked, framing: body.framing(bytes.length, isWhole) },
      {
        provider: target.provider,
        path,
        target: query === '' ? path : `${path}?${query}`,
        managed: {
          identity,
          policy,
          // What is played is no model of anybody's.
          permission: played === null ? policy.models : null,
          pathModel: null,
          poolKey: played === null || rehearsal === null ? key : rehearsal.poolKey,
          metering,
          keepsState: keepsState && played === null,
        },
        routing: {
          requestedModel: body.model ?? '',
          route: this.#route?.name ?? null,
          attempt: this.#walk?.begun(trial) ?? 1,
          targetModel: target.name,
          resumed: continuing !== null,
        },
      },
      this,
    );
    this.#attempt = attempt;
    if (this.#claim?.leavesContainers === true) attempt.expectContainers();
    if (this.#clock.limitsContent && (continuing !== null || this.#hasAlternative))
      this.#clock.awaitContent();
    if (this.#route === null) {
      const { scan, content } = body.handOver();
      attempt.goOnWith(scan, content, bytes.length, isWhole);
    } else attempt.body(bytes, isWhole);
    if (!isWhole || this.#walk?.mayRepeat !== true) body.drop();
  }

  /** Null: the target itself is asked. */
  #playedModel(target: Target): string | null {
    const { rehearsal } = this.#context;
    const rehearsed = this.#rehearsed;
    return rehearsal === null || rehearsed === null ? null : rehearsal.modelFor(target, rehearsed);
  }

  /**
   * An attempt came to nothing: another one follows where one may.
   * @param word for the answer's fields: a status, or what it was
   * @returns false when this is what the caller gets
   */
  #goOn(failed: Failed, word: string): boolean {
    const trial = this.#trial;
    const body = this.#body;
    if (trial === null) return false;
    const waitMs = this.#waitMs();
    this.#context.planner.failed(trial, failed, waitMs);
    const walk = this.#walk;
    if (body === null || walk?.mayRepeat !== true) return false;
    if (!this.#settings.fallbackOn.includes(failed.reason)) return false;
    const next = walk.follower(failed, waitMs);
    if (next === null) return false;
    this.#close(word, failed);
    if (next === 'wait') {
      this.#step('waits');
      this.#clock.awaitRest(waitMs ?? 0);
    } else {
      this.#try(next, body);
    }
    return true;
  }

  /** What the provider asked to be left alone for, in milliseconds; null = nothing. */
  #waitMs(): number | null {
    const head = this.#head;
    return head === null ? null : waitAskedFor(head, this.#held?.text ?? '');
  }

  /** Ends the current attempt, of which nothing reaches the client: its fact is kept. */
  #close(word: string, failed: Failed | null): void {
    const attempt = this.#attempt;
    const trial = this.#trial;
    this.#clock.attemptOver();
    if (attempt === null || trial === null) return;
    attempt.abort();
    if (!trial.isRehearsal && failed !== null) this.#context.metrics.failedOver(failed.reason);
    const told = attempt.fact(
      {
        ...this.#said,
        method: this.#asked.method,
        path: '',
        status: 0,
        outcome: failed?.reason === 'timeout' ? 'timeout' : this.#outcomeOfBroken,
        rejection: null,
        eventStream: false,
        bytesIn: this.#body?.keptBytes ?? 0,
        bytesOut: 0,
        ttfbMs: null,
        durationMs: this.#clock.elapsedMs,
      },
      false,
    );
    // What was played reached no provider.
    const fact = trial.isRehearsal ? null : told;
    this.#trail = this.#trail.with(trial.target.name, word, fact);
    this.#held?.drop();
    this.#attempt = null;
    this.#trial = null;
    this.#held = null;
    this.#head = null;
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
    const routed = this.#routed;
    if (attempt !== this.#attempt || routed === null) return 'next';
    this.#head = head;
    if (this.#state === 'resuming') return this.#headOfRest(head);
    const { streamSafety } = this.#settings;
    const mode = this.#hasAlternative ? holdModeOf(head, streamSafety) : null;
    if (mode === null) {
      const failed = failureOfUnread(head.status);
      // No other target, but the same one may be asked once more.
      if (failed?.again === true) {
        if (this.#goOn(failed, String(head.status))) return 'next';
      } else if (failed !== null) this.#tellPlanner(failed);
      this.#commit(followed, failed === null && head.status < 400);
      return 'commit';
    }
    this.#held = new HeldAnswer(mode, routed.wire, head.status, this.#context.held);
    this.#clock.holdBegan();
    if (mode === 'stream') this.#clock.awaitOpening();
    return 'hold';
  }

  #tellPlanner(failed: Failed): void {
    if (this.#trial !== null) this.#context.planner.failed(this.#trial, failed, this.#waitMs());
  }

  piece(attempt: Attempt, piece: Buffer, last: boolean): boolean {
    if (attempt !== this.#attempt) return true;
    const held = this.#held;
    const resumable = this.#resumable;
    if (resumable !== null) return this.#passResumable(resumable, piece, last);
    if (held === null) return this.#flow.pass(piece, last);
    return this.#judged(held.push(piece), held);
  }

  refused(attempt: Attempt, why: Rejection): void {
    if (attempt !== this.#attempt) return;
    if (this.#state === 'resuming') this.#restFailed(null, why.code);
    else this.#refuse(why);
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
    if (this.#resumable !== null && this.#isGoneOnWith(this.#resumable, end)) return;
    if (this.#state === 'committed') {
      this.#finish(end);
      return;
    }
    if (held !== null && end.failure === null) {
      const came = held.end();
      const isSound = typeof came === 'string';
      if (!isSound && this.#goOn(came, wordOf(came, held, this.#head))) return;
      if (isSound || !this.#isOurKeyRefused(came)) this.#commitAndEnd(end);
      return;
    }
    const failed = failureOfEnd(end.failure);
    const word = end.failure?.code ?? 'CUT';
    if (failed !== null && this.#goOn(failed, word)) return;
    if (failed === null) this.#leave();
    if (held === null) this.#tellFailure(end.failure ?? TIMED_OUT);
    else this.#commitAndEnd(end);
  }

  /** @returns false when the client takes no more for now */
  #judged(came: Holding, held: HeldAnswer): boolean {
    if (came === 'hold') {
      if (held.broughtContent) this.#clock.contentCame();
      return true;
    }
    if (came !== 'commit') {
      if (this.#goOn(came, wordOf(came, held, this.#head))) return true;
      if (this.#isOurKeyRefused(came)) return true;
    }
    this.#commit(true, came === 'commit');
    const takesMore = this.#flush();
    this.#afterOpening();
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
    this.#tellFailure(KEY_REFUSED_INBAND);
    return true;
  }

  #commitAndEnd(end: AttemptEnd): void {
    const isGood = end.failure === null && (this.#head?.status ?? 0) < 400;
    // What an answer cost is known when it is whole, and can be told in its head if that is before it leaves.
    const costUsd = isGood ? (this.#attempt?.costOfWhole() ?? null) : null;
    this.#ended = end;
    this.#commit(true, isGood, costUsd);
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
    const resumable = this.#resumableOf(head);
    this.#clock.stop();
    if (resumable === null) this.#body?.drop();
    if (isGood) planner.succeeded(trial, this.#clock.firstContentAfterMs);
    else planner.left(trial);
    const held = this.#held;
    if (held !== null) {
      metrics.held(held.bytes, this.#clock.heldMs / 1_000);
      if (held.isOver) metrics.holdCutShort();
      this.#flow.begin(resumable === null ? held.take() : this.#read(held.take(), resumable));
    }
    const isFollowed = held === null ? followed : !this.#flow.isEmpty;
    this.#held = null;
    this.#step('content');
    const lines =
      this.#route === null ? '' : this.#trail.ownLines(trial.target.name, head.status, costUsd);
    const mayWait = head.status === 429 || head.status === 503;
    const told = toldHead(head, lines, mayWait ? this.#leastWaitMs : 0);
    this.#resumable = resumable;
    if (resumable === null) this.#forgetRequest();
    else this.#clock.watchRest();
    // What another one adds is in no length that this one told.
    const isOpen = resumable !== null && typeof head.size === 'number';
    this.#answer.head({ ...head, head: told, size: isOpen ? 'chunked' : head.size }, isFollowed);
  }

  /** What led to the answer: a stream may stay open for an hour behind it. */
  #forgetRequest(): void {
    this.#asked = LEFT;
    this.#said = UNSAID;
    this.#clock = RoutedClock.STOPPED;
    this.#routed = null;
    this.#walk = null;
    this.#head = null;
    // A body of which more comes is read on.
    if (this.#isBodyWhole) this.#body = this.#claim = null;
  }

  // ---- an answer that breaks behind its commit, and goes on elsewhere ------------------------------------------------

  /** @returns null where nobody could go on with it: then nothing is kept for that */
  #resumableOf(head: ResponseHead): ResumableAnswer | null {
    const wire = this.#routed?.wire ?? null;
    if (this.#settings.streamSafety !== 'resume' || wire === null || this.#ended !== null)
      return null;
    if (this.#held?.mode !== 'stream' || head.status !== 200 || !isContinuedWire(wire)) return null;
    const { planner, replay } = this.#context;
    const mayGoOn = this.#walk?.isLeft(
      (target) => continuationAt(target, wire, planner.continues(target)) !== null,
    );
    return mayGoOn === true ? new ResumableAnswer(wire, replay) : null;
  }

  /** What was held of it until now. */
  #read(held: HeldBytes, resumable: ResumableAnswer): HeldBytes {
    const told = new HeldBytes(this.#context.held);
    told.append(resumable.push(held.joined()));
    held.drop();
    return told;
  }

  /** What the opening that was held came to: it may have broken in the same piece as its first word. */
  #afterOpening(): void {
    const resumable = this.#resumable;
    if (resumable !== null) this.#passResumable(resumable, NOTHING, false);
  }

  /** @returns false when the client takes no more for now */
  #passResumable(resumable: ResumableAnswer, piece: Buffer, last: boolean): boolean {
    const told = piece.length === 0 ? piece : resumable.push(piece);
    // A rest may be nothing but its end.
    if (this.#state === 'resuming' && (resumable.broughtText || !resumable.mayBreak))
      this.#restBegan();
    else if (resumable.broughtText) this.#clock.restCame();
    const { broken } = resumable;
    if (broken !== null) {
      const takesMore = this.#give(told, false);
      if (this.#state === 'resuming') {
        this.#restFailed(broken.failed, broken.code);
        return true;
      }
      if (this.#goOnElsewhere(resumable, broken.failed, broken.code, null)) return true;
      const kept = resumable.letGo();
      this.#noLonger(resumable);
      return this.#give(kept, last) && takesMore;
    }
    if (!resumable.mayBreak) this.#noLonger(resumable);
    if (!last || resumable.mayBreak) return this.#give(told, false);
    return this.#give(resumable.isContinued ? Buffer.concat([told, resumable.end()]) : told, true);
  }

  #give(piece: Buffer, last: boolean): boolean {
    return piece.length === 0 || this.#flow.pass(piece, last);
  }

  /** Whether an attempt's end is not the answer's. */
  #isGoneOnWith(resumable: ResumableAnswer, { failure }: AttemptEnd): boolean {
    const failed = failureOfEnd(failure);
    const word = failure?.code ?? 'NO_TERMINAL';
    if (this.#state === 'resuming') {
      this.#restFailed(failed, word);
      return true;
    }
    if (resumable.mayBreak && failed !== null) {
      if (this.#goOnElsewhere(resumable, failed, word, failure)) return true;
    }
    const kept = resumable.end();
    this.#noLonger(resumable);
    this.#give(kept, false);
    return false;
  }

  /** Nothing of it is to be repeated any more. */
  #noLonger(resumable: ResumableAnswer): void {
    if (this.#routed === null) return;
    if (resumable.isOver) this.#context.metrics.resumeSkipped();
    resumable.drop();
    this.#clock.stop();
    this.#body?.drop();
    this.#forgetRequest();
    // The second provider's events are told within the first one's message to the end.
    if (!resumable.isContinued) this.#resumable = null;
  }

  /**
   * A stream broke behind its commit: the next target that can go on with it is asked to.
   * @param failed null: nobody is to blame
   * @param failure what it broke by, where that was its connection
   * @returns false when nobody can: it is a cut, as in the relay
   */
  #goOnElsewhere(
    resumable: ResumableAnswer,
    failed: Failed | null,
    word: string,
    failure: UpstreamFailure | null,
  ): boolean {
    const body = this.#body;
    const broken = this.#trial;
    if (body === null || broken === null || !resumable.mayBreak) return false;
    if (new Seam(resumable.text, false).prefix === '') return false;
    if (failed !== null && this.#state === 'committed') {
      if (!this.#settings.fallbackOn.includes(failed.reason)) return false;
    }
    const next = this.#nextForRest(resumable, body);
    if (next === null) return false;
    if (this.#state === 'committed') this.#cut = failure ?? CLOSED_EARLY;
    if (failed === null) this.#context.planner.left(broken);
    else this.#context.planner.failed(broken, failed, this.#waitMs());
    this.#close(word, failed);
    resumable.continueWith(next.seam);
    this.#step('breaks');
    this.#try(next.trial, body, next.continuing);
    return true;
  }

  #nextForRest(
    resumable: ResumableAnswer,
    body: RoutedBody,
  ): { readonly trial: Trial; readonly seam: Seam; readonly continuing: Continuing } | null {
    const { planner, scanner } = this.#context;
    const wire = this.#routed?.wire ?? null;
    if (wire === null || !isContinuedWire(wire)) return null;
    for (;;) {
      const trial = this.#walk?.next() ?? null;
      if (trial === null) return null;
      const { target } = trial;
      const continuation = continuationAt(target, wire, planner.continues(target));
      if (continuation !== null) {
        const { way, prefix, echoes } = continuation;
        const seam = new Seam(resumable.text, echoes);
        const model = this.#playedModel(target) ?? target.model;
        const asked = continuedRequest(scanner, body.bytes(model), seam.prefix, way);
        if (asked !== null) return { trial, seam, continuing: { body: asked, prefix } };
      }
      planner.left(trial);
    }
  }

  /** The head of whoever was asked for the rest: the client has one already. */
  #headOfRest(head: ResponseHead): Verdict {
    if (head.status === 200 && head.eventStream) return 'commit';
    this.#restFailed(failureOfUnread(head.status), String(head.status));
    return 'next';
  }

  /** @param failed null: nobody is to blame */
  #restFailed(failed: Failed | null, word: string): void {
    const resumable = this.#resumable;
    if (resumable !== null && this.#goOnElsewhere(resumable, failed, word, null)) return;
    if (failed === null) this.#leave();
    else this.#tellPlanner(failed);
    this.#attempt?.abort();
    this.#clock.stop();
    this.#finish({ failure: this.#cut });
  }

  #restBegan(): void {
    this.#step('content');
    this.#context.metrics.resumed();
    if (this.#trial !== null)
      this.#context.planner.succeeded(this.#trial, this.#clock.firstContentAfterMs);
    this.#clock.watchRest();
  }

  /** Nothing came of an answer's text for too long, unless its reader took no more. */
  #judgeRest(resumable: ResumableAnswer): void {
    // Before its first word it may think for longer, and nobody could go on with it.
    const isWaiting = resumable.text === '' || !this.#flow.isEmpty || this.#flow.isBlocked;
    if (isWaiting) this.#clock.restCame();
    if (!this.#clock.hasStalled()) return;
    if (this.#goOnElsewhere(resumable, FAILURES.timeout, 'STALLED', TIMED_OUT)) return;
    const kept = resumable.letGo();
    this.#noLonger(resumable);
    this.#give(kept, false);
  }

  /** Passes on what was held. @returns false when the client takes no more for now */
  #flush(): boolean {
    this.#flow.flush(this.#ended?.failure === null);
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
      if (this.#trial !== null && !isTold)
        this.#context.planner.failed(this.#trial, FAILURES.server_error, null);
      this.#tellFailure(end.failure);
    }
  }

  #tellFailure(failure: UpstreamFailure): void {
    this.#rest();
    this.#answer.failed(failure, failureDetail(failure, this.#trial?.target.provider.name ?? null));
  }

  writerDrained(): void {
    this.#flow.drained();
    if (this.#resumable !== null && this.#state === 'committed') this.#clock.restCame();
    if (this.#flush() && this.#flow.isEmpty) this.#attempt?.resume();
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  /** What was waited for is due: a wait is over, an opening was held for long enough, or no content came. */
  onDue(): void {
    if (this.#state === 'waiting') this.#again();
    else if (this.#state === 'resuming') this.#restFailed(FAILURES.timeout, 'SILENT');
    else if (this.#state === 'committed' && this.#resumable !== null)
      this.#judgeRest(this.#resumable);
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
    this.#afterOpening();
  }

  #again(): void {
    this.#step('due');
    const trial = this.#walk?.afterWait() ?? null;
    if (trial === null || this.#body === null) this.#refuse(noTarget([], this.#leastWaitMs));
    else this.#try(trial, this.#body);
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
    if (this.#resumable?.mayBreak === true) return false;
    return this.#attempt?.readOn() ?? false;
  }

  abort(): void {
    this.#step('gone');
    this.#rest();
    this.#attempt?.abort();
    this.#leave();
  }

  /** Nothing is said of the target: who probes it, probes no more. */
  #leave(): void {
    if (this.#trial !== null) this.#context.planner.left(this.#trial);
  }

  account(settlement: Settlement): Account {
    this.#rest();
    const attempt = this.#attempt;
    const told = attempt?.fact(settlement, true) ?? null;
    const fact = this.#trial?.isRehearsal === true ? null : told;
    this.#keepHome(fact);
    return {
      provider: this.#trial?.target.provider ?? this.#routed?.provider ?? null,
      failure: attempt?.failure?.code ?? null,
      facts: this.#trail.facts(fact),
    };
  }

  /** Who answered and said what that used has the prompt in its cache now. */
  #keepHome(fact: UsageFact | null): void {
    const { session, lifeMs, watched } = this.#reading;
    const trial = this.#trial;
    if (trial === null || fact?.source !== 'reported') return;
    const status = fact.upstreamStatus ?? 0;
    if (status < 200 || status >= 300) return;
    const { inputTokens, cacheReadTokens, cacheWriteTokens } = fact.counts;
    const isAnthropic = fact.dialect === 'anthropic';
    const inCache = (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0);
    // Anthropic counts what its cache had, and took, beside the input.
    const tokens = (inputTokens ?? 0) + (isAnthropic ? inCache : 0);
    if (session !== 0) this.#context.planner.keep(trial, session, lifeMs, tokens);
    // Anthropic caches what is marked, others whatever is long enough.
    if (watched !== null)
      this.#comparePrefix(watched, trial.target, fact, tokens, isAnthropic ? inCache : tokens);
  }

  /** A session whose prompt begins otherwise time and again pays for all of it each time: its owner is told. */
  #comparePrefix(
    watched: WatchedTurn,
    target: Target,
    { counts, tenantId, keyId, requestedModel }: UsageFact,
    promptTokens: number,
    cachedTokens: number,
  ): void {
    const { prefixes, planner, metrics } = this.#context;
    const broken = prefixes.answered(watched, {
      target: target.name,
      lifeMs: this.#reading.lifeMs,
      promptTokens,
      readTokens: counts.cacheReadTokens ?? 0,
      cachedTokens,
      lossPico: (lost) => planner.rereadPico(target, lost, promptTokens),
    });
    if (broken === null) return;
    metrics.promptCacheBroken();
    const { part, offset, partOffset, turns, lostPico } = broken;
    this.#context.warn('prompt_cache_broken', {
      tenant_id: tenantId,
      key_id: keyId,
      model: requestedModel,
      target: target.name,
      part,
      offset,
      part_offset: partOffset,
      turns,
      lost_usd: lostPico === null ? null : usdText(lostPico),
    });
  }

  #refuse(rejected: Rejection): void {
    this.#step('refused');
    this.#rest();
    this.#attempt?.abort();
    this.#answer.refused(rejected);
  }

  /** Nothing is waited for and nothing is kept any more. */
  #rest(): void {
    this.#clock.stop();
    this.#body?.release();
    this.#body?.drop();
    this.#held?.drop();
    this.#resumable?.drop();
    this.#flow.drop();
  }

  #step(event: RoutedEvent): void {
    this.#state = nextRoutedState(this.#state, event);
  }
}
