/**
 * The routed lane: a request whose body says where it goes. The only file that loops: it gathers the body, has it planned,
 * tries one target after the other, and holds each answer's beginning until it is worth something. ARCHITECTURE.md, "The
 * routed lane", has its states and its failures.
 */

import { Buffer } from 'node:buffer';
import { performance } from 'node:perf_hooks';
import type { Routed } from '../admit/admit.ts';
import {
  BROKEN,
  type Failed,
  failureOfStatus,
  KEY_REFUSED,
  NO_CONTENT_IN_TIME,
  UNREACHABLE,
  UNREACHABLE_IN_TIME,
} from '../plan/failover.ts';
import type { Planned } from '../plan/plan.ts';
import type { Planner, Trial } from '../plan/planner.ts';
import { retryAfterMs, retryDelayMs } from '../plan/retry-after.ts';
import { ROUTE_DEFAULTS, type Route, type RouteSettings } from '../plan/route-table.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { Deadlines, Due } from '../ticker.ts';
import { failureDetail, type UpstreamFailure } from '../upstream/failure.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import {
  type Asked,
  Attempt,
  type AttemptContext,
  type AttemptEnd,
  type AttemptSink,
  type Verdict,
} from './attempt.ts';
import { HeldAnswer, type Holding, type HoldMode } from './held-answer.ts';
import type { Answer, Lane } from './lane.ts';
import type { ReplayBudget } from './request-copy.ts';
import { RequestGathering } from './request-gathering.ts';
import { nextRoutedState, type RoutedEvent, type RoutedState } from './routed-state.ts';

/** What the routed requests of a worker share. */
export interface RoutedContext extends AttemptContext {
  readonly planner: Planner;
  readonly deadlines: Deadlines;
  readonly replay: ReplayBudget;
  /** Bytes; 0 = no limit. */
  readonly replayMaxBytes: number;
  readonly holdMs: number;
  readonly retryAfterMaxMs: number;
}

/** What is told of one attempt that another one followed: for the answer's fields. */
interface Tried {
  readonly name: string;
  /** A status, or a word. */
  readonly came: string;
}

const TIMED_OUT: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'DEADLINE',
};

const NO_KEYS: ReadonlySet<PoolKey> = new Set();

/** Of an error's body that is not held, nothing is known: not even that it is empty. */
const UNREAD = ' ';

/** Of `x-sluice-attempts`: sixteen names of usual length. */
const ATTEMPTS_CHARACTERS = 1_024;

/** A due time comes up to a period late, and a clock may read a little less than it was set to. */
const DUE_SLACK_MS = 5;

/** Rests are counted in ticks of 10 ms: one may end that much later than it was asked for. */
const REST_SLACK_MS = 10;

const MODEL_TOO_LATE = rejection(
  'invalid_body',
  'Its "model" has to stand before the first bytes that are kept are full.',
);
/** Other bodies fill what the node may keep or read at once: no fault of this one's. */
const NODE_FULL = rejection('overloaded', '', 'retry-after: 1\r\n');

/** Attempts of one request, whatever a route says: a table of 64 targets with four keys each is a mistake. */
const ATTEMPTS_MAX = 16;

export class RoutedLane implements Lane, AttemptSink, Due {
  readonly #context: RoutedContext;
  readonly #asked: Asked;
  readonly #routed: Routed;
  readonly #answer: Answer;
  readonly #said: Pick<Settlement, 'requestId' | 'traceparent' | 'payer'>;
  #state: RoutedState = 'gathering';
  /** Made with the first piece: only then is it known how the content is delimited. */
  #gathered: RequestGathering | null = null;
  /** The body is kept, so that another attempt can have it. */
  #mayRepeat = false;
  #isBodyWhole = false;
  /** The body's beginning has left, and its rest streams behind it: behind the answer's beginning too. */
  #isStreamedUp = false;

  #route: Route | null = null;
  /** The name was a route or had a provider: else it goes as it came. */
  #isNamed = false;
  #settings: RouteSettings = ROUTE_DEFAULTS;
  #planned: readonly Planned[] = [];
  /** Where in the plan the next target is. */
  #next = 0;
  #current: Planned | null = null;
  #retriesLeft = 0;
  /** Attempts so far. */
  #count = 0;
  /** Keys of the current target that were tried. */
  readonly #triedKeys = new Set<PoolKey>();
  readonly #tried: Tried[] = [];
  readonly #facts: UsageFact[] = [];

  #trial: Trial | null = null;
  #attempt: Attempt | null = null;
  #attemptBeganMs = 0;
  #head: ResponseHead | null = null;
  #held: HeldAnswer | null = null;
  #heldSinceMs = 0;
  /** What was held and is the client's, but not taken yet. */
  #flushing: Buffer[] = [];
  #isBlocked = false;
  /** Only of a route that has one. */
  #deadline: RouteDeadline | null = null;
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
  }

  get #gathering(): RequestGathering {
    const { scanner, replay, replayMaxBytes } = this.#context;
    const { contentLength } = this.#asked.framing;
    this.#gathered ??= new RequestGathering(scanner, replay, replayMaxBytes, contentLength);
    return this.#gathered;
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  begin(): void {
    this.#refuse(rejection('invalid_body', 'It is empty.'));
  }

  body(piece: Buffer, last: boolean): void {
    if (this.#state === 'gathering') this.#gather(piece, last);
    else if (this.#isStreamedUp && this.#state !== 'over') this.#passOn(piece, last);
  }

  #gather(piece: Buffer, last: boolean): void {
    const came = this.#gathering.push(piece, last);
    if (came === 'more') return;
    const { model } = this.#gathering;
    if (came === 'foreign') {
      this.#step(last ? 'last' : 'full');
      this.#beginPlain('');
    } else if (came === 'whole') this.#begin(true);
    else if (came === 'full') {
      this.#context.metrics.replaySkipped();
      if (model === null) this.#refuse(this.#gathering.isTooLarge ? MODEL_TOO_LATE : NODE_FULL);
      else this.#begin(false);
    } else if (model !== null && this.#context.planner.resolve(model).kind === 'plain') {
      // Nothing is wished for but the default provider: no more is held, and nothing is kept.
      this.#begin(false);
    }
  }

  /** The rest of a body whose beginning has left. */
  #passOn(piece: Buffer, last: boolean): void {
    const { model: asked, modelCount } = this.#gathering;
    this.#gathering.pass(piece);
    // What stood in front was edited: another one behind it, even the same, is not what the provider was to read.
    if (this.#isNamed && this.#gathering.modelCount > modelCount) {
      this.#refuse(rejection('invalid_body', 'It names its model twice.'));
      return;
    }
    // The last one counts, and the provider reads it: it must be the one that was planned.
    if (asked !== null && this.#gathering.model !== asked && this.#gathering.model !== null) {
      this.#refuse(rejection('invalid_body', 'It names two different models.'));
      return;
    }
    this.#attempt?.body(piece, last);
    if (last) {
      this.#gathering.release();
      this.#isBodyWhole = true;
    }
  }

  /**
   * The model is known: plans, and begins the first attempt.
   * @param isWhole else the body goes on behind what is here
   * @returns false when it was refused
   */
  #begin(isWhole: boolean): boolean {
    const gathering = this.#gathering;
    if (isWhole) gathering.release();
    this.#isBodyWhole = isWhole;
    const name = gathering.model ?? '';
    const { planner } = this.#context;
    const resolved = planner.resolve(name);
    const fault = this.#faultOf(isWhole, resolved.kind === 'plain');
    if (fault !== null) return this.#refuse(fault);
    if (resolved.kind === 'unknown') return this.#refuse(unknownModel(name, resolved.nearest));
    this.#step(isWhole ? 'last' : 'full');
    if (resolved.kind === 'plain') return this.#beginPlain(name);
    return this.#beginNamed(
      resolved.kind === 'route' ? resolved.route : planner.routeOf(resolved.target),
      isWhole,
    );
  }

  /** Nothing is wished for but the default provider: one attempt, as in the relay, and nothing is kept. */
  #beginPlain(name: string): boolean {
    const { provider } = this.#routed;
    const trial = this.#context.planner.enterAnyway({
      name: `${provider.name}/${name}`,
      provider,
      model: name,
    });
    if (trial === null)
      return this.#refuse(rejection('no_pool_key', `The provider is ${provider.name}.`));
    this.#try(trial);
    return true;
  }

  #beginNamed(route: Route, isWhole: boolean): boolean {
    const { planner, metrics, deadlines } = this.#context;
    this.#route = route;
    this.#isNamed = true;
    this.#settings = route.settings;
    const made = planner.plan(route, this.#routed.wishes);
    this.#planned = made.targets;
    this.#mayRepeat = isWhole && this.#gathering.keep();
    if (isWhole && !this.#mayRepeat) metrics.replaySkipped();
    const trial = this.#nextTrial();
    if (trial === null) return this.#refuse(noTarget(made.leftOut, made.waitMs));
    if (this.#settings.deadlineMs > 0) {
      this.#deadline = new RouteDeadline(this);
      deadlines.set(this.#deadline, this.#settings.deadlineMs);
    }
    this.#try(trial);
    return true;
  }

  /** @param isPlain what is not quite JSON (Python's NaN) is then for the default provider to judge, as in the relay */
  #faultOf(isWhole: boolean, isPlain: boolean): Rejection | null {
    const { isRead, isJson, model, isOdd } = this.#gathering;
    if (!isRead) return NODE_FULL;
    const mayBeRead = isJson || (isPlain && model !== null && model !== '');
    if (isWhole && !mayBeRead) return rejection('invalid_body', 'It is not JSON.');
    if (model === null || model === '')
      return rejection('invalid_body', 'It needs a "model" that is a text.');
    return isOdd
      ? rejection('invalid_body', 'Its "model" is longer than any, or there more than once.')
      : null;
  }

  // ---- one attempt after the other ---------------------------------------------------------------------------------

  /**
   * The next target that may be tried, with one of its keys; null when none is left.
   * @param within nothing behind this group
   */
  #nextTrial(within = Number.POSITIVE_INFINITY): Trial | null {
    const { planner } = this.#context;
    const { session } = this.#routed.wishes;
    if (this.#count >= ATTEMPTS_MAX) return null;
    while (this.#next < this.#planned.length) {
      const planned = this.#planned[this.#next];
      if (planned === undefined || planned.group > within) break;
      this.#next++;
      const trial = planner.enter(planned.target, NO_KEYS, session);
      if (trial === null) continue;
      this.#triedKeys.clear();
      this.#current = planned;
      this.#retriesLeft = this.#settings.retries;
      return trial;
    }
    return null;
  }

  /** Whether anything but the current attempt could still answer: only then is its answer held. */
  get #hasAlternative(): boolean {
    if (!this.#mayRepeat || this.#count >= ATTEMPTS_MAX) return false;
    const { planner } = this.#context;
    const current = this.#current;
    if (current !== null && planner.mayEnter(current.target, this.#triedKeys)) return true;
    for (let at = this.#next; at < this.#planned.length; at++) {
      const planned = this.#planned[at];
      if (planned !== undefined && planner.mayEnter(planned.target, NO_KEYS)) return true;
    }
    return false;
  }

  #try(trial: Trial): void {
    const { target, key } = trial;
    const { identity, metering, suffix, query } = this.#routed;
    const path = (target.provider.prefixes[0] ?? '') + suffix;
    this.#trial = trial;
    this.#count++;
    this.#context.metrics.attempted(target.provider.index);
    this.#triedKeys.add(key);
    this.#held = null;
    this.#head = null;
    this.#attemptBeganMs = performance.now();
    const isWhole = this.#state !== 'pinned';
    this.#isStreamedUp = !isWhole;
    const bytes = this.#isNamed ? this.#gathering.withModel(target.model) : this.#gathering.bytes;
    const attempt = new Attempt(
      this.#context,
      { ...this.#asked, framing: this.#framing(bytes.length, isWhole) },
      {
        provider: target.provider,
        path,
        target: query === '' ? path : `${path}?${query}`,
        managed: { identity, poolKey: key, metering },
        routing: {
          requestedModel: this.#gathering.model ?? '',
          route: this.#isNamed ? (this.#route?.name ?? null) : null,
          attempt: this.#count,
          targetModel: target.name,
        },
      },
      this,
    );
    this.#attempt = attempt;
    const firstContentTimeoutMs = this.#firstContentTimeoutMs;
    if (firstContentTimeoutMs > 0 && this.#hasAlternative)
      this.#context.deadlines.set(this, firstContentTimeoutMs);
    attempt.body(bytes, isWhole);
    if (!isWhole || !this.#mayRepeat) this.#gathering.drop();
  }

  /** How the body is delimited as it leaves: the model's length may have changed it. */
  #framing(bytes: number, isWhole: boolean): Asked['framing'] {
    const { framing } = this.#asked;
    if (isWhole) return { ...framing, chunked: false, contentLength: bytes };
    if (framing.chunked) return framing;
    const grown = bytes - this.#gathering.bytes.length;
    return { ...framing, contentLength: framing.contentLength + grown };
  }

  /**
   * An attempt came to nothing: another one follows where one may.
   * @param word for the answer's fields: a status, or what it was
   * @returns false when this is what the caller gets
   */
  #goOn(failed: Failed, word: string): boolean {
    const trial = this.#trial;
    if (trial === null || !this.#mayRepeat || !this.#settings.fallbackOn.includes(failed.reason)) {
      if (trial !== null) this.#context.planner.failed(trial, failed, this.#waitMs());
      return false;
    }
    const waitMs = this.#waitMs();
    this.#context.planner.failed(trial, failed, waitMs);
    const next = this.#follower(failed, waitMs);
    if (next === null) return false;
    this.#close(word, failed);
    if (next === 'wait') {
      this.#step('waits');
      this.#context.deadlines.set(this, (waitMs ?? 0) + REST_SLACK_MS);
    } else {
      this.#try(next);
    }
    return true;
  }

  /**
   * Another key of the same provider at once, then another target of the same group at once; before a fallback, which is
   * another model than the one that is wanted, a short wait is sat out, and one failure of a server forgiven.
   */
  #follower(failed: Failed, waitMs: number | null): Trial | 'wait' | null {
    const { planner, retryAfterMaxMs } = this.#context;
    const { session } = this.#routed.wishes;
    const current = this.#current;
    if (current === null || this.#count >= ATTEMPTS_MAX) return null;
    if (failed.ofKey) {
      const sibling = planner.enter(current.target, this.#triedKeys, session);
      if (sibling !== null) return sibling;
    }
    const after = this.#planned[this.#next];
    if (after?.group === current.group) {
      const trial = this.#nextTrial(current.group);
      if (trial !== null) return trial;
    }
    if (this.#retriesLeft > 0) {
      if (failed.again) {
        this.#retriesLeft--;
        this.#triedKeys.clear();
        const trial = planner.enter(current.target, this.#triedKeys, session);
        if (trial !== null) return trial;
      }
      if (failed.reason === 'rate_limit' && waitMs !== null && waitMs <= retryAfterMaxMs) {
        this.#retriesLeft--;
        this.#triedKeys.clear();
        return 'wait';
      }
    }
    return this.#nextTrial();
  }

  #tellPlanner(failed: Failed): void {
    if (this.#trial !== null) this.#context.planner.failed(this.#trial, failed, this.#waitMs());
  }

  /** What the provider asked to be left alone for, in milliseconds; null = nothing. */
  #waitMs(): number | null {
    const head = this.#head;
    return head === null ? null : (this.#waitOf(head) ?? retryDelayMs(this.#held?.text ?? ''));
  }

  #waitOf({ head }: ResponseHead): number | null {
    const fields = head.split('\r\n').flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 1 ? [] : [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    return retryAfterMs(fields, Date.now());
  }

  /** Ends the current attempt, of which nothing reaches the client: its fact is kept. */
  #close(word: string, failed: Failed): void {
    const attempt = this.#attempt;
    const trial = this.#trial;
    this.#context.deadlines.clear(this);
    if (attempt === null || trial === null) return;
    attempt.abort();
    this.#tried.push({ name: trial.target.name, came: word });
    this.#context.metrics.failedOver(failed.reason);
    const fact = attempt.fact(
      {
        ...this.#said,
        method: this.#asked.method,
        path: '',
        status: 0,
        outcome: failed.reason === 'timeout' ? 'timeout' : 'upstream_error',
        rejection: null,
        eventStream: false,
        bytesIn: this.#gathering.bytes.length,
        bytesOut: 0,
        ttfbMs: null,
        durationMs: performance.now() - this.#attemptBeganMs,
      },
      false,
    );
    if (fact !== null) this.#facts.push(fact);
    this.#attempt = null;
    this.#trial = null;
    this.#held = null;
    this.#head = null;
  }

  // ---- the attempt -------------------------------------------------------------------------------------------------

  uploadFull(attempt: Attempt): void {
    if (attempt === this.#attempt && this.#isStreamedUp) this.#answer.uploadFull();
  }

  uploadDrained(attempt: Attempt): void {
    if (attempt === this.#attempt && this.#isStreamedUp) this.#answer.uploadDrained();
  }

  head(attempt: Attempt, head: ResponseHead, followed: boolean): Verdict {
    if (attempt !== this.#attempt) return 'next';
    this.#head = head;
    const mode = this.#modeOf(head);
    if (mode === null) {
      const failed = head.status >= 400 ? failureOfStatus(head.status, UNREAD) : null;
      // No other target, but the same one may be asked once more.
      if (failed?.again === true) {
        if (this.#goOn(failed, String(head.status))) return 'next';
      } else if (failed !== null) this.#tellPlanner(failed);
      this.#commit(followed, failed === null && head.status < 400);
      return 'commit';
    }
    this.#held = new HeldAnswer(mode, this.#routed.wire, head.status);
    this.#heldSinceMs = performance.now();
    if (mode === 'stream') this.#armHold();
    return 'hold';
  }

  /** How the answer is held; null: it is not. */
  #modeOf({ status, eventStream, format, size }: ResponseHead): HoldMode | null {
    if (!this.#hasAlternative || (status >= 300 && status < 400)) return null;
    if (status >= 400) return 'error';
    if (eventStream) return 'stream';
    return format === 'json' && size !== 'none' ? 'whole' : null;
  }

  /** An opening is held for `holdMs` behind its head, but for no longer than its first content may take. */
  #armHold(): void {
    const { deadlines, holdMs } = this.#context;
    const firstContentTimeoutMs = this.#firstContentTimeoutMs;
    const elapsedMs = performance.now() - this.#attemptBeganMs;
    const leftMs = firstContentTimeoutMs > 0 ? firstContentTimeoutMs - elapsedMs : holdMs;
    deadlines.set(this, Math.max(0, Math.min(holdMs, leftMs)));
  }

  piece(attempt: Attempt, piece: Buffer, last: boolean): boolean {
    if (attempt !== this.#attempt) return true;
    const held = this.#held;
    if (held === null) return this.#pass(piece, last);
    return this.#judged(held.push(piece), held);
  }

  refused(attempt: Attempt, why: Rejection): void {
    if (attempt === this.#attempt) this.#refuse(why);
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
    if (held === null && this.#head !== null) {
      this.#finish(end);
      return;
    }
    if (held !== null && end.failure === null) {
      const came = held.end();
      if (typeof came === 'string' || !this.#goOn(came, wordOf(came, held, this.#head)))
        this.#commitAndEnd(end);
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
    if (came === 'hold') return true;
    if (came !== 'commit' && this.#goOn(came, wordOf(came, held, this.#head))) return true;
    this.#commit(true, came === 'commit');
    return this.#flush();
  }

  #commitAndEnd(end: AttemptEnd): void {
    this.#commit(true, end.failure === null && (this.#head?.status ?? 0) < 400);
    this.#ended = end;
    this.#flush();
  }

  // ---- the answer --------------------------------------------------------------------------------------------------

  /**
   * The answer is the client's from here on, whatever it is.
   * @param isGood it says well of its target
   */
  #commit(followed: boolean, isGood: boolean): void {
    const head = this.#head;
    const trial = this.#trial;
    if (head === null || trial === null || this.#state === 'committed') return;
    const { deadlines, planner, metrics } = this.#context;
    deadlines.clear(this);
    if (this.#deadline !== null) deadlines.clear(this.#deadline);
    this.#gathering.drop();
    // A stream may stay open for an hour behind it.
    if (this.#isBodyWhole) this.#gathered = null;
    if (isGood) planner.succeeded(trial, performance.now() - this.#attemptBeganMs);
    else planner.left(trial);
    const held = this.#held;
    if (held !== null) {
      metrics.held(held.bytes, (performance.now() - this.#heldSinceMs) / 1_000);
      this.#flushing = [...held.take()];
    }
    const isFollowed = held === null ? followed : this.#flushing.length > 0;
    this.#held = null;
    this.#step('content');
    this.#answer.head({ ...head, head: this.#toldHead(trial, head) }, isFollowed);
  }

  /** Passes on what was held. @returns false when the client takes no more for now */
  #flush(): boolean {
    while (this.#flushing.length > 0 && !this.#isBlocked) {
      const piece = this.#flushing.shift();
      if (piece === undefined) break;
      const last = this.#flushing.length === 0 && this.#ended?.failure === null;
      if (!this.#answer.piece(piece, last)) this.#isBlocked = true;
    }
    const ended = this.#ended;
    if (this.#flushing.length > 0 || ended === null) return !this.#isBlocked;
    this.#ended = null;
    this.#finish(ended);
    return true;
  }

  #pass(piece: Buffer, last: boolean): boolean {
    if (this.#flushing.length > 0) {
      this.#flushing.push(Buffer.from(piece));
      return false;
    }
    const takesMore = this.#answer.piece(piece, last);
    this.#isBlocked = !takesMore;
    return takesMore;
  }

  #finish(end: AttemptEnd): void {
    if (this.#flushing.length > 0) {
      this.#ended = end;
      return;
    }
    this.#step('end');
    if (end.failure === null) this.#answer.answered();
    else {
      if (this.#trial !== null) this.#context.planner.failed(this.#trial, BROKEN, null);
      this.#tellFailure(end.failure);
    }
  }

  #tellFailure(failure: UpstreamFailure): void {
    this.#rest();
    this.#answer.failed(failure, failureDetail(failure, this.#trial?.target.provider.name ?? null));
  }

  writerDrained(): void {
    this.#isBlocked = false;
    if (this.#flush() && this.#flushing.length === 0) this.#attempt?.resume();
  }

  #toldHead(trial: Trial, head: ResponseHead): string {
    const told = head.head + this.#ownLines(trial, head);
    if (head.status !== 429 && head.status !== 503) return told;
    const leastMs = this.#leastWaitMs();
    const ownMs = this.#waitOf(head);
    // Where the provider asks for no more than that, its own word stands.
    if (leastMs === 0 || ownMs === null || ownMs <= leastMs) return told;
    return `${told.replace(WAITS, '')}${retryAfter(leastMs)}`;
  }

  /** The least wait that remains among what was planned, in milliseconds; 0 when none of it waits. */
  #leastWaitMs(): number {
    const { planner } = this.#context;
    const waits = this.#planned
      .map(({ target }) => planner.condition(target).waitMs)
      .filter((ms) => ms > 0);
    return waits.length === 0 ? 0 : Math.min(...waits);
  }

  /** What the gateway says of the way: bounded, and never a secret. */
  #ownLines({ target }: Trial, { status }: ResponseHead): string {
    if (!this.#isNamed) return '';
    const tried = [...this.#tried, { name: target.name, came: String(status) }];
    const shown = tried.map(({ name, came }) => `${legible(name)} ${came}`).join(', ');
    return `x-sluice-target: ${legible(target.name)}\r\nx-sluice-attempts: ${shown.slice(0, ATTEMPTS_CHARACTERS)}\r\n`;
  }

  // ---- time --------------------------------------------------------------------------------------------------------

  /** What was waited for is due: a wait is over, an opening was held for long enough, or no content came. */
  onDue(): void {
    if (this.#state === 'waiting') this.#again();
    else if (this.#state !== 'trying') return;
    else if (this.#held !== null && !this.#isLate) this.#letGo();
    else if (!this.#goOn(NO_CONTENT_IN_TIME, 'SILENT') && this.#held !== null) this.#letGo();
  }

  /** What is held is the client's, although nothing is known of it. */
  #letGo(): void {
    this.#commit(true, false);
    this.#flush();
  }

  /** 0 = off. A whole answer has no first content: its head comes when it is written, however long that takes. */
  get #firstContentTimeoutMs(): number {
    return this.#gathering.isStreamAsked ? this.#settings.firstContentTimeoutMs : 0;
  }

  /** The first content is later than the route allows. */
  get #isLate(): boolean {
    const firstContentTimeoutMs = this.#firstContentTimeoutMs;
    const elapsedMs = performance.now() - this.#attemptBeganMs;
    return firstContentTimeoutMs > 0 && elapsedMs >= firstContentTimeoutMs - DUE_SLACK_MS;
  }

  #again(): void {
    this.#step('due');
    const current = this.#current;
    const { session } = this.#routed.wishes;
    const trial =
      current === null
        ? null
        : (this.#context.planner.enter(current.target, this.#triedKeys, session) ??
          this.#nextTrial());
    if (trial === null) this.#refuse(noTarget([], this.#leastWaitMs()));
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
    if (this.#state !== 'committed' || this.#flushing.length > 0) return false;
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
    const fact = attempt?.fact(settlement, true) ?? null;
    return {
      provider: this.#trial?.target.provider ?? this.#routed.provider,
      failure: attempt?.failure?.code ?? null,
      facts: fact === null ? lastIsFinal(this.#facts) : [...this.#facts, fact],
    };
  }

  /** @returns false, for whoever goes no further */
  #refuse(rejected: Rejection): false {
    this.#step('refused');
    this.#rest();
    this.#attempt?.abort();
    this.#answer.refused(rejected);
    return false;
  }

  /** Nothing is waited for and nothing is kept any more. */
  #rest(): void {
    this.#context.deadlines.clear(this);
    if (this.#deadline !== null) this.#context.deadlines.clear(this.#deadline);
    this.#gathered?.release();
    this.#gathered?.drop();
    this.#flushing = [];
  }

  #step(event: RoutedEvent): void {
    this.#state = nextRoutedState(this.#state, event);
  }
}

/** The deadline of a route, apart from the waits of its attempts. */
class RouteDeadline implements Due {
  readonly #lane: RoutedLane;

  constructor(lane: RoutedLane) {
    this.#lane = lane;
  }

  onDue(): void {
    this.#lane.onDeadline();
  }

  onDueBroken(error: unknown): void {
    this.#lane.onDueBroken(error);
  }
}

/** What an attempt's end says of its target; null when it is nobody's fault but ours. */
function failureOfEnd(failure: UpstreamFailure | null): Failed | null {
  if (failure === null) return BROKEN;
  const isLate = failure.rejection === 'upstream_timeout';
  switch (failure.kind) {
    case 'refused':
      return KEY_REFUSED;
    case 'connect':
      return isLate ? UNREACHABLE_IN_TIME : UNREACHABLE;
    case 'timeout':
      return failure.code === 'UPLOAD_STALLED' ? null : NO_CONTENT_IN_TIME;
    case 'reset':
    case 'framing':
      return BROKEN;
    default:
      return null;
  }
}

/** What came last never reached a provider, or there was no further attempt: the one before it is the final one. */
function lastIsFinal(facts: readonly UsageFact[]): readonly UsageFact[] {
  const last = facts.at(-1);
  return last === undefined ? facts : [...facts.slice(0, -1), { ...last, final: true }];
}

/** A name as a field's value may hold it (RFC 9110 §5.5): callers spell models, line ends and all. */
function legible(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '_');
}

/** How an attempt is named in the answer's fields. */
function wordOf(failed: Failed, held: HeldAnswer, head: ResponseHead | null): string {
  const status = head?.status ?? 0;
  if (status >= 400) return String(status);
  return held.code === '' ? failed.reason : held.code;
}

function unknownModel(name: string, nearest: readonly string[]): Rejection {
  const shown = name.slice(0, NAME_SHOWN_CHARACTERS);
  return rejection('unknown_model', `"${shown}" is none; the nearest are ${nearest.join(', ')}.`);
}

/** Enough to recognise a typing error. */
const NAME_SHOWN_CHARACTERS = 64;

/** Why nothing can be tried: what only time keeps away says for how long. */
function noTarget(leftOut: readonly Planned[], waitMs: number): Rejection {
  if (leftOut.length > 0 && leftOut.every(({ leftOut: why }) => why === 'no_pool_key')) {
    const names = [...new Set(leftOut.map(({ target }) => target.provider.name))];
    return rejection('no_pool_key', `The provider is ${names.join(', ')}.`);
  }
  const shown = leftOut.map(({ target, leftOut: why }) => `${target.name}: ${why}`).join(', ');
  return rejection('no_target', shown === '' ? '' : `${shown}.`, retryAfter(waitMs));
}

/** The fields in which a provider says how long it wants to be left alone. */
const WAITS = /^(?:retry-after|retry-after-ms|x-ms-retry-after-ms):[^\n]*\n/gim;

function retryAfter(ms: number): string {
  return `retry-after: ${Math.max(1, Math.ceil(ms / 1_000))}\r\n`;
}
