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

/** Told once, when its time has come. */
export interface Due {
  onDue(): void;
  /** What `onDue` threw: it ends this one's request, and no other's. */
  onDueBroken(error: unknown): void;
}

/**
 * Times to act at, for the few who wait for a short while and exactly: a ticker of 500 ms is too coarse for them, and one
 * of 20 ms would wake an idle worker fifty times a second. It runs only while somebody waits.
 */
export class Deadlines {
  readonly #periodMs: number;
  readonly #due = new Map<Due, number>();
  #timer: NodeJS.Timeout | null = null;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** Acts in `ms` milliseconds, at most a period later. Who waits already waits for this instead. */
  set(waiter: Due, ms: number): void {
    this.#due.set(waiter, performance.now() + ms);
    this.#timer ??= setInterval(() => this.#tick(), this.#periodMs).unref();
  }

  clear(waiter: Due): void {
    if (this.#due.delete(waiter) && this.#due.size === 0) this.#rest();
  }

  get waiting(): number {
    return this.#due.size;
  }

  #tick(): void {
    const now = performance.now();
    for (const [waiter, dueMs] of this.#due) {
      if (dueMs > now) continue;
      this.#due.delete(waiter);
      try {
        waiter.onDue();
      } catch (error) {
        waiter.onDueBroken(error);
      }
    }
    if (this.#due.size === 0) this.#rest();
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
