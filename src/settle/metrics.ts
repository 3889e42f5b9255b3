/**
 * Counters of the whole node in shared memory, so that one scrape shows every worker and no worker ever waits for
 * another: each writes a slab of its own and the scraper adds them up.
 *
 * A cell is a float64: exact to 2^53, and an aligned 64-bit store is not torn on any platform that we run on. Slabs
 * outlive their worker (a restarted worker goes on in the slab of its predecessor), so counters never fall.
 */

import {
  BUDGET_SCOPES,
  BUDGET_WINDOWS,
  type BudgetScope,
  type BudgetWindow,
} from '../budget/budget-settings.ts';
import { UNKEPT_REASONS, type UnkeptReason } from '../cache/answer-judgement.ts';
import { KEY_CLASSES, type KeyClass } from '../keys/key-class.ts';
import { FAILOVER_REASONS, type FailoverReason } from '../plan/failover.ts';
import {
  LIMIT_SCOPES,
  LIMIT_UNITS,
  type LimitScope,
  type LimitUnit,
} from '../policy/limit-settings.ts';
import { PROVIDERS_MAX } from '../providers/providers.ts';
import { REJECTION_CODES, type RejectionCode } from '../rejection.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';

export const OUTCOMES = [
  'complete',
  'rejected',
  'client_gone',
  'upstream_cut',
  'upstream_error',
  'timeout',
  'drained',
  'gateway_error',
  'budget_stopped',
  'guard_stopped',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** Where a fact's counts come from: the provider, an estimate that errs low, or nowhere because nothing was billed. */
export const USAGE_SOURCES = ['reported', 'estimated', 'none'] as const;
export type UsageSource = (typeof USAGE_SOURCES)[number];

/** What refuses requests because of their key's class: a share of what all share is taken, or the same was sent too often. */
export const CLASS_REASONS = ['share', 'loop'] as const;
export type ClassReason = (typeof CLASS_REASONS)[number];

/**
 * What the cache had to say of a request whose policy has one. `shared`: it was told an answer while another request made it;
 * `bypass`: it, or its caller, wanted none; `away`: the cache did not answer, which is a miss.
 */
export const CACHE_RESULTS = ['hit', 'shared', 'miss', 'bypass', 'away'] as const;
export type CacheResult = (typeof CACHE_RESULTS)[number];

/** Kinds of tokens; `reasoning` is a part of `output`. */
export const TOKEN_KINDS = ['input', 'output', 'cache_read', 'cache_write', 'reasoning'] as const;

export const STATUS_CLASSES = ['2xx', '3xx', '4xx', '5xx', 'other'] as const;

/** Seconds. To 600, which is the longest a provider may be silent by default. */
export const LATENCY_BUCKETS = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
] as const;

/** Seconds. Own time is tens of microseconds; what exceeds 10 ms is a stall worth seeing. */
export const OVERHEAD_BUCKETS = [
  0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1,
] as const;

/** Seconds. An opening is held for `hold_secs` (3) at most, a whole answer for as long as it takes. */
export const HOLD_BUCKETS = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 10, 60] as const;

/** Bytes. To 64 KiB of an opening, and 8 MiB of an answer that is held to its end. */
export const HOLD_BYTES_BUCKETS = [
  1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 8_388_608,
] as const;

/** What is counted of guards, in the order in which it is told. */
export const GUARD_COUNTS = [
  'requests',
  'findings',
  'failures',
  'blocked',
  'held_too_long',
  'scanned_bytes',
  'unscanned_bytes',
] as const;
export type GuardCounts = Readonly<Record<(typeof GUARD_COUNTS)[number], number>>;

const CELL_BYTES = Float64Array.BYTES_PER_ELEMENT;

/** Cells of a histogram: one per bucket, one for +Inf, the sum. */
const cellsOf = (buckets: readonly number[]): number => buckets.length + 2;

/** Where each value sits in a slab: the same in every thread, and for every provider table of a process. */
export class MetricsLayout {
  readonly providers: readonly string[];
  readonly requests = 0;
  readonly inFlight = 1;
  readonly activeStreams = 2;
  readonly unboundedBuffers = 3;
  readonly slippedBytes = 4;
  readonly billsUnread = 5;
  readonly backgroundFollowed = 6;
  readonly backgroundGivenUp = 7;
  readonly rejections = 8;
  readonly outcomes: number;
  readonly responses: number;
  readonly connectFailures: number;
  readonly retries: number;
  readonly poolKeyRefusals: number;
  readonly waiting: number;
  readonly turnedAway: number;
  readonly tokens: number;
  readonly facts: number;
  readonly overhead: number;
  readonly firstByte: number;
  readonly latency: number;
  readonly attempts: number;
  readonly failovers: number;
  readonly replaySkipped: number;
  readonly holdCutShort: number;
  readonly resumed: number;
  readonly resumesSkipped: number;
  readonly wishesDropped: number;
  readonly holdBytes: number;
  readonly hold: number;
  readonly limitRefusals: number;
  readonly limitWarnings: number;
  readonly limitRowsDropped: number;
  readonly classRefusals: number;
  readonly loopsPassed: number;
  readonly repeatRowsDropped: number;
  readonly budgetRefusals: number;
  readonly budgetWarnings: number;
  readonly budgetRowsDropped: number;
  readonly promptCacheBroken: number;
  readonly prefixesForgotten: number;
  readonly guards: number;
  readonly cacheRequests: number;
  readonly cacheUnkept: number;
  readonly cacheKept: number;
  readonly cacheSavedNano: number;
  readonly cells: number;

  /** @param providers names by index, at most PROVIDERS_MAX: there is room for all, whatever a reload adds */
  constructor(providers: readonly string[]) {
    this.providers = providers;
    const count = PROVIDERS_MAX;
    this.outcomes = this.rejections + REJECTION_CODES.length;
    this.responses = this.outcomes + OUTCOMES.length;
    this.connectFailures = this.responses + count * STATUS_CLASSES.length;
    this.retries = this.connectFailures + count;
    this.poolKeyRefusals = this.retries + count;
    this.waiting = this.poolKeyRefusals + count;
    this.turnedAway = this.waiting + count;
    this.tokens = this.turnedAway + count;
    this.facts = this.tokens + TOKEN_KINDS.length;
    this.overhead = this.facts + USAGE_SOURCES.length;
    this.firstByte = this.overhead + cellsOf(OVERHEAD_BUCKETS);
    this.latency = this.firstByte + count * cellsOf(LATENCY_BUCKETS);
    this.attempts = this.latency + count * cellsOf(LATENCY_BUCKETS);
    this.failovers = this.attempts + count;
    this.replaySkipped = this.failovers + FAILOVER_REASONS.length;
    this.holdCutShort = this.replaySkipped + 1;
    this.resumed = this.holdCutShort + 1;
    this.resumesSkipped = this.resumed + 1;
    this.wishesDropped = this.resumesSkipped + 1;
    this.holdBytes = this.wishesDropped + 1;
    this.hold = this.holdBytes + cellsOf(HOLD_BYTES_BUCKETS);
    this.limitRefusals = this.hold + cellsOf(HOLD_BUCKETS);
    this.limitWarnings = this.limitRefusals + LIMIT_SCOPES.length * LIMIT_UNITS.length;
    this.limitRowsDropped = this.limitWarnings + LIMIT_SCOPES.length * LIMIT_UNITS.length;
    this.classRefusals = this.limitRowsDropped + 1;
    this.loopsPassed = this.classRefusals + KEY_CLASSES.length * CLASS_REASONS.length;
    this.repeatRowsDropped = this.loopsPassed + KEY_CLASSES.length;
    this.budgetRefusals = this.repeatRowsDropped + 1;
    const budgets = BUDGET_SCOPES.length * BUDGET_WINDOWS.length;
    this.budgetWarnings = this.budgetRefusals + budgets;
    this.budgetRowsDropped = this.budgetWarnings + budgets;
    this.promptCacheBroken = this.budgetRowsDropped + 1;
    this.prefixesForgotten = this.promptCacheBroken + 1;
    this.guards = this.prefixesForgotten + 1;
    this.cacheRequests = this.guards + GUARD_COUNTS.length;
    this.cacheUnkept = this.cacheRequests + CACHE_RESULTS.length;
    this.cacheKept = this.cacheUnkept + UNKEPT_REASONS.length;
    this.cacheSavedNano = this.cacheKept + 1;
    this.cells = this.cacheSavedNano + 1;
  }

  /** Shared memory for the slabs of `workers` workers. */
  allocate(workers: number): SharedArrayBuffer {
    return new SharedArrayBuffer(workers * this.cells * CELL_BYTES);
  }

  slab(memory: SharedArrayBuffer, worker: number): Float64Array {
    return new Float64Array(memory, worker * this.cells * CELL_BYTES, this.cells);
  }
}

const REJECTION_AT: ReadonlyMap<RejectionCode, number> = new Map(
  REJECTION_CODES.map((code, at) => [code, at]),
);
const OUTCOME_AT: ReadonlyMap<Outcome, number> = new Map(
  OUTCOMES.map((outcome, at) => [outcome, at]),
);

/** One worker's writing end. */
export class WorkerMetrics {
  readonly #layout: MetricsLayout;
  readonly #slab: Float64Array;
  /** Every worker's in-flight cell; a limit on the node's exchanges adds them up. */
  readonly #slabs: readonly Float64Array[];

  constructor(layout: MetricsLayout, memory: SharedArrayBuffer, worker: number) {
    this.#layout = layout;
    this.#slab = layout.slab(memory, worker);
    const workers = memory.byteLength / (layout.cells * CELL_BYTES);
    this.#slabs = Array.from({ length: workers }, (_, index) => layout.slab(memory, index));
    // Gauges of a worker that died are of exchanges that died with it.
    this.#slab[layout.inFlight] = 0;
    this.#slab[layout.activeStreams] = 0;
    this.#slab[layout.unboundedBuffers] = 0;
    this.#slab.fill(0, layout.waiting, layout.turnedAway);
    this.#slab[layout.slippedBytes] = 0;
    this.#slab[layout.backgroundFollowed] = 0;
  }

  /** Exchanges running on the node: exact but for those that other workers are admitting in this very moment. */
  nodeInFlight(): number {
    return this.#nodeSum(this.#layout.inFlight);
  }

  /** Bytes that slipped in of the node's uploads while they were held back. */
  nodeSlippedBytes(): number {
    return this.#nodeSum(this.#layout.slippedBytes);
  }

  #nodeSum(cell: number): number {
    let sum = 0;
    for (const slab of this.#slabs) sum += slab[cell] ?? 0;
    return sum;
  }

  /** @param bytes negative when they are given back */
  uploadSlipped(bytes: number): void {
    this.#add(this.#layout.slippedBytes, bytes);
  }

  /** A client left behind its answer's end sign, and its bill is not waited for: too many are. */
  billUnread(): void {
    this.#add(this.#layout.billsUnread, 1);
  }

  get inFlight(): number {
    return this.#slab[this.#layout.inFlight] ?? 0;
  }

  /** The kernel's buffers of this worker's clients have no bound. */
  clientBuffersUnbounded(): void {
    this.#slab[this.#layout.unboundedBuffers] = 1;
  }

  requestBegan(): void {
    this.#add(this.#layout.requests, 1);
    this.#add(this.#layout.inFlight, 1);
  }

  requestSettled(outcome: Outcome): void {
    this.#add(this.#layout.inFlight, -1);
    this.#add(this.#layout.outcomes + (OUTCOME_AT.get(outcome) ?? 0), 1);
  }

  streamBegan(): void {
    this.#add(this.#layout.activeStreams, 1);
  }

  streamEnded(): void {
    this.#add(this.#layout.activeStreams, -1);
  }

  rejected(code: RejectionCode): void {
    this.#add(this.#layout.rejections + (REJECTION_AT.get(code) ?? 0), 1);
  }

  responded(provider: number, status: number): void {
    const statusClass =
      status >= 200 && status < 600 ? Math.floor(status / 100) - 2 : STATUS_CLASSES.length - 1;
    this.#add(this.#layout.responses + provider * STATUS_CLASSES.length + statusClass, 1);
  }

  connectFailed(provider: number): void {
    this.#add(this.#layout.connectFailures + provider, 1);
  }

  /** A provider would not have a pool key: somebody has to be told. */
  poolKeyRefused(provider: number): void {
    this.#add(this.#layout.poolKeyRefusals + provider, 1);
  }

  /** @param enforced false: it would have been refused, and was let through */
  limitReached(scope: LimitScope, unit: LimitUnit, enforced: boolean): void {
    const { limitRefusals, limitWarnings } = this.#layout;
    const at = LIMIT_SCOPES.indexOf(scope) * LIMIT_UNITS.length + LIMIT_UNITS.indexOf(unit);
    this.#add((enforced ? limitRefusals : limitWarnings) + at, 1);
  }

  /** A name has no limit of its own, because the table of limits is full. */
  limitRowDropped(): void {
    this.#add(this.#layout.limitRowsDropped, 1);
  }

  /** What all keys share has room, and the share of it that this class may use has not. */
  classShed(keyClass: KeyClass): void {
    this.#classRefused(keyClass, 'share');
  }

  /**
   * A key sent the same too often.
   * @param enforced false: it would have been refused, and was let through
   */
  looped(keyClass: KeyClass, enforced: boolean): void {
    if (enforced) this.#classRefused(keyClass, 'loop');
    else this.#add(this.#layout.loopsPassed + KEY_CLASSES.indexOf(keyClass), 1);
  }

  #classRefused(keyClass: KeyClass, reason: ClassReason): void {
    const at = KEY_CLASSES.indexOf(keyClass) * CLASS_REASONS.length + CLASS_REASONS.indexOf(reason);
    this.#add(this.#layout.classRefusals + at, 1);
  }

  /** What a key sent is forgotten before its minute is over, because too much is remembered. */
  repeatRowDropped(): void {
    this.#add(this.#layout.repeatRowsDropped, 1);
  }

  /** @param enforced false: it would have been refused, and was let through */
  budgetReached(scope: BudgetScope, window: BudgetWindow, enforced: boolean): void {
    const { budgetRefusals, budgetWarnings } = this.#layout;
    const at =
      BUDGET_SCOPES.indexOf(scope) * BUDGET_WINDOWS.length + BUDGET_WINDOWS.indexOf(window);
    this.#add((enforced ? budgetRefusals : budgetWarnings) + at, 1);
  }

  /** A request was refused because the table of budgets is full. */
  budgetRowDropped(): void {
    this.#add(this.#layout.budgetRowsDropped, 1);
  }

  /** A session's prompt began otherwise time and again. */
  promptCacheBroken(): void {
    this.#add(this.#layout.promptCacheBroken, 1);
  }

  /** A session that may go on is not watched any more, because too many are. */
  prefixesForgotten(): void {
    this.#add(this.#layout.prefixesForgotten, 1);
  }

  cacheAsked(result: CacheResult): void {
    this.#add(this.#layout.cacheRequests + CACHE_RESULTS.indexOf(result), 1);
  }

  answerKept(): void {
    this.#add(this.#layout.cacheKept, 1);
  }

  answerUnkept(why: UnkeptReason): void {
    this.#add(this.#layout.cacheUnkept + UNKEPT_REASONS.indexOf(why), 1);
  }

  /** A request was told what had cost so much. */
  cacheSaved(nanoUsd: number): void {
    this.#add(this.#layout.cacheSavedNano, nanoUsd);
  }

  retried(provider: number): void {
    this.#add(this.#layout.retries + provider, 1);
  }

  /** What waits for a connection to one provider. */
  queueOf(provider: number): { waiting(change: number): void; turnedAway(): void } {
    return {
      waiting: (change) => this.#add(this.#layout.waiting + provider, change),
      turnedAway: () => this.#add(this.#layout.turnedAway + provider, 1),
    };
  }

  /** An attempt of the routed lane begins. */
  attempted(provider: number): void {
    this.#add(this.#layout.attempts + provider, 1);
  }

  /** An attempt came to nothing, and another one takes its place. */
  failedOver(reason: FailoverReason): void {
    this.#add(this.#layout.failovers + FAILOVER_REASONS.indexOf(reason), 1);
  }

  /**
   * Answers that are written behind their responses, and followed to their end.
   * @param change of how many there are now
   * @param givenUp of whose end nobody knows
   */
  followed(change: number, givenUp: number): void {
    this.#add(this.#layout.backgroundFollowed, change);
    this.#add(this.#layout.backgroundGivenUp, givenUp);
  }

  /** What the guards of one exchange came to, when it ends. */
  guarded(counts: GuardCounts): void {
    for (const [at, name] of GUARD_COUNTS.entries())
      this.#add(this.#layout.guards + at, counts[name]);
  }

  /** A body could not be kept for another attempt. */
  replaySkipped(): void {
    this.#add(this.#layout.replaySkipped, 1);
  }

  /** An answer or its beginning was let go because it, or what the node holds, is more than may be held. */
  holdCutShort(): void {
    this.#add(this.#layout.holdCutShort, 1);
  }

  /** A stream that broke goes on at another target. */
  resumed(): void {
    this.#add(this.#layout.resumed, 1);
  }

  /** A stream became too long, or the node keeps too much, for it to go on elsewhere. */
  resumeSkipped(): void {
    this.#add(this.#layout.resumesSkipped, 1);
  }

  /** Callers wished for what nobody knows. */
  wishesDropped(count: number): void {
    this.#add(this.#layout.wishesDropped, count);
  }

  /** An answer's beginning was held and then passed on. */
  held(bytes: number, seconds: number): void {
    this.#observe(this.#layout.holdBytes, HOLD_BYTES_BUCKETS, bytes);
    this.#observe(this.#layout.hold, HOLD_BUCKETS, seconds);
  }

  metered(source: UsageSource, counts: UsageCounts): void {
    this.#add(this.#layout.facts + USAGE_SOURCES.indexOf(source), 1);
    const { tokens } = this.#layout;
    this.#add(tokens, counts.inputTokens ?? 0);
    this.#add(tokens + 1, counts.outputTokens ?? 0);
    this.#add(tokens + 2, counts.cacheReadTokens ?? 0);
    this.#add(tokens + 3, counts.cacheWriteTokens ?? 0);
    this.#add(tokens + 4, counts.reasoningTokens ?? 0);
  }

  observeOverhead(seconds: number): void {
    this.#observe(this.#layout.overhead, OVERHEAD_BUCKETS, seconds);
  }

  observeFirstByte(provider: number, seconds: number): void {
    this.#observe(
      this.#layout.firstByte + provider * cellsOf(LATENCY_BUCKETS),
      LATENCY_BUCKETS,
      seconds,
    );
  }

  observeLatency(provider: number, seconds: number): void {
    this.#observe(
      this.#layout.latency + provider * cellsOf(LATENCY_BUCKETS),
      LATENCY_BUCKETS,
      seconds,
    );
  }

  #observe(base: number, buckets: readonly number[], value: number): void {
    let at = 0;
    while (at < buckets.length && value > (buckets[at] ?? 0)) at++;
    this.#add(base + at, 1);
    this.#add(base + buckets.length + 1, value);
  }

  #add(cell: number, amount: number): void {
    this.#slab[cell] = (this.#slab[cell] ?? 0) + amount;
  }
}
