/**
 * A coarse clock for everything that needs attention now and then: blocked writers, slow uploads, silent upstreams, idle
 * connections. A timer per exchange would cost a heap operation per request for something that almost never happens.
 */

export interface Ticking {
  onTick(nowMs: number): void;
  /** Its tick threw: a bug, which the others must not notice. */
  onBroken?(error: unknown): void;
}

export class Ticker {
  readonly periodMs: number;
  /** Milliseconds, monotone, at most one period old. */
  now: number = performance.now();
  readonly #members = new Set<Ticking>();
  readonly #timer: NodeJS.Timeout;
  readonly #report: (error: unknown) => void;

  /** @param report told what the tick of a member threw that does not want to know */
  constructor(periodMs: number, report: (error: unknown) => void = rethrow) {
    this.periodMs = periodMs;
    this.#report = report;
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
    for (const member of this.#members) {
      try {
        member.onTick(this.now);
      } catch (error) {
        if (member.onBroken === undefined) this.#report(error);
        else member.onBroken(error);
      }
    }
  }
}

function rethrow(error: unknown): never {
  throw error;
}
