import { performance } from 'node:perf_hooks';
import type { Deadlines, Due } from '../ticker.ts';

/** A due time comes up to a period late, and a clock may read a little less than it was set to. */
const DUE_SLACK_MS = 5;

/** Rests are counted in ticks of 10 ms: one may end that much later than it was asked for. */
const REST_SLACK_MS = 10;

/** Who is told of the time. */
export interface Timed extends Due {
  /** All attempts together took longer than the route allows. */
  onDeadline(): void;
}

/** The times of one routed request: of an attempt, of a wait, and of all attempts together. */
export class RoutedClock {
  /** For whoever needs none any more. */
  static readonly STOPPED = new RoutedClock({ set() {}, clear() {} }, 0, {
    dueSlot: -1,
    onDue() {},
    onDueBroken() {},
    onDeadline() {},
  });

  readonly #deadlines: Pick<Deadlines, 'set' | 'clear'>;
  readonly #timed: Timed;
  readonly #holdMs: number;
  /** Only of a route that has one. */
  #deadline: RouteDeadline | null = null;
  #firstContentTimeoutMs = 0;
  #stallTimeoutMs = 0;
  #attemptBeganMs = 0;
  #heldSinceMs = 0;
  /** When content came last; 0 before the first of it. */
  #contentMs = 0;
  #firstContentAfterMs = 0;

  /** @param holdMs for how long an opening is held behind its head */
  constructor(deadlines: Pick<Deadlines, 'set' | 'clear'>, holdMs: number, timed: Timed) {
    this.#deadlines = deadlines;
    this.#holdMs = holdMs;
    this.#timed = timed;
  }

  /**
   * The first attempt of a plan is about to begin.
   * @param deadlineMs over all attempts, until commit; 0 = off
   * @param firstContentTimeoutMs of each attempt; 0 = off
   * @param stallTimeoutMs between two events of content; 0 = off
   */
  begin(deadlineMs: number, firstContentTimeoutMs: number, stallTimeoutMs: number): void {
    this.#firstContentTimeoutMs = firstContentTimeoutMs;
    this.#stallTimeoutMs = stallTimeoutMs;
    // Where a second plan follows the first one, the deadline is the request's.
    if (deadlineMs === 0 || this.#deadline !== null) return;
    this.#deadline = new RouteDeadline(this.#timed);
    this.#deadlines.set(this.#deadline, deadlineMs);
  }

  attemptBegan(): void {
    this.#attemptBeganMs = performance.now();
    this.#contentMs = 0;
  }

  /** Of the attempt, in milliseconds. */
  get elapsedMs(): number {
    return performance.now() - this.#attemptBeganMs;
  }

  /** For how long its answer has been held, in milliseconds. */
  get heldMs(): number {
    return performance.now() - this.#heldSinceMs;
  }

  /** From the attempt's beginning to its first content, in milliseconds: until now, where none was told. */
  get firstContentAfterMs(): number {
    return this.#contentMs === 0 ? this.elapsedMs : this.#firstContentAfterMs;
  }

  /** An attempt's first content may be late. */
  get limitsContent(): boolean {
    return this.#firstContentTimeoutMs > 0;
  }

  /** Wakes when the attempt's first content is late. */
  awaitContent(): void {
    this.#deadlines.set(this.#timed, this.#firstContentTimeoutMs);
  }

  holdBegan(): void {
    this.#heldSinceMs = performance.now();
  }

  /** Wakes when an opening was held for long enough behind its head, but not after its first content is late. */
  awaitOpening(): void {
    const limitMs = this.#firstContentTimeoutMs;
    const leftMs = limitMs > 0 ? limitMs - this.elapsedMs : this.#holdMs;
    this.#deadlines.set(this.#timed, Math.max(0, Math.min(this.#holdMs, leftMs)));
  }

  /** Content came, of an answer that is held to its end: wakes when no more of it comes. */
  contentCame(): void {
    const isFirst = this.#contentMs === 0;
    this.#contentMs = performance.now();
    if (!isFirst) return;
    this.#firstContentAfterMs = this.elapsedMs;
    this.#deadlines.clear(this.#timed);
    if (this.#stallTimeoutMs > 0) this.#deadlines.set(this.#timed, this.#stallTimeoutMs);
  }

  /** The answer is the client's, and may still be gone on with: wakes when no more of its text comes. */
  watchRest(): void {
    this.#contentMs = performance.now();
    this.#deadlines.clear(this.#timed);
    if (this.#stallTimeoutMs > 0) this.#deadlines.set(this.#timed, this.#stallTimeoutMs);
  }

  /** More of its text came, or none could: its reader had taken no more. */
  restCame(): void {
    this.#contentMs = performance.now();
  }

  /**
   * Woken for a stall: whether it is one. Else wakes again when it would be: a timer is not set anew with each event.
   */
  hasStalled(): boolean {
    const leftMs = this.#stallTimeoutMs - (performance.now() - this.#contentMs);
    if (leftMs <= DUE_SLACK_MS) return true;
    this.#deadlines.set(this.#timed, leftMs);
    return false;
  }

  /** Wakes when a provider's rest is over. */
  awaitRest(ms: number): void {
    this.#deadlines.set(this.#timed, ms + REST_SLACK_MS);
  }

  /** The first content is later than the route allows. */
  get isLate(): boolean {
    const limitMs = this.#firstContentTimeoutMs;
    return limitMs > 0 && this.elapsedMs >= limitMs - DUE_SLACK_MS;
  }

  /** The attempt is over: what it waited for never comes. */
  attemptOver(): void {
    this.#deadlines.clear(this.#timed);
  }

  /** Nothing is waited for any more. */
  stop(): void {
    this.#deadlines.clear(this.#timed);
    if (this.#deadline !== null) this.#deadlines.clear(this.#deadline);
  }
}

/** The deadline of a route, apart from the waits of its attempts. */
class RouteDeadline implements Due {
  dueSlot = -1;
  readonly #timed: Timed;

  constructor(timed: Timed) {
    this.#timed = timed;
  }

  onDue(): void {
    this.#timed.onDeadline();
  }

  onDueBroken(error: unknown): void {
    this.#timed.onDueBroken(error);
  }
}
