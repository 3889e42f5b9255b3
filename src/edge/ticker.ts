/**
 * One coarse clock per worker for everything that needs attention now and then: blocked writers and slow uploads.
 * A timer per exchange would cost a heap operation per request for something that almost never happens.
 */

export const TICK_MS = 1_000;

/** The front end's timers are 8 to 12 s; what keeps one from running out re-arms it every three ticks. */
export const REARM_TICKS = 3;

export interface Ticking {
  onTick(nowMs: number): void;
}

export class Ticker {
  /** Milliseconds, monotone, at most one tick old. */
  now: number = performance.now();
  readonly #members = new Set<Ticking>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  add(member: Ticking): void {
    this.#members.add(member);
  }

  remove(member: Ticking): void {
    this.#members.delete(member);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    this.now = performance.now();
    for (const member of this.#members) member.onTick(this.now);
  }
}
