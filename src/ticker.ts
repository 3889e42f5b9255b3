/**
 * A coarse clock for everything that needs attention now and then: blocked writers, slow uploads, silent upstreams, idle
 * connections. A timer per exchange would cost a heap operation per request for something that almost never happens.
 */

export interface Ticking {
  onTick(nowMs: number): void;
}

export class Ticker {
  readonly periodMs: number;
  /** Milliseconds, monotone, at most one period old. */
  now: number = performance.now();
  readonly #members = new Set<Ticking>();
  readonly #timer: NodeJS.Timeout;

  constructor(periodMs: number) {
    this.periodMs = periodMs;
    this.#timer = setInterval(() => this.#tick(), periodMs);
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
