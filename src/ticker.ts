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

/** Told once, when its time has come. It waits in one `Deadlines` at most. */
export interface Due {
  /** Its place there, which that keeps; -1: it waits for nothing. */
  dueSlot: number;
  onDue(): void;
  /** What `onDue` threw: it ends this one's request, and no other's. */
  onDueBroken(error: unknown): void;
}

/**
 * Times to act at, for the few who wait for a short while and exactly: a ticker of 500 ms is too coarse for them, and one
 * of 20 ms would wake an idle worker fifty times a second. It runs only while somebody waits, and for one period longer: timers
 * are dear to make.
 *
 * Decision: two arrays, in which whoever goes leaves its place to the last one. A map that comes and goes with each request is
 * rebuilt time and again; one of its old selves that grew old holds the next one, and so every request that stood in it, until
 * all of memory is looked through (3 us a routed stream went into moving them).
 */
export class Deadlines {
  readonly #periodMs: number;
  readonly #waiters: Due[] = [];
  readonly #dueMs: number[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** Acts in `ms` milliseconds, at most a period later. Who waits already waits for this instead. */
  set(waiter: Due, ms: number): void {
    const dueMs = performance.now() + ms;
    if (waiter.dueSlot < 0) {
      waiter.dueSlot = this.#waiters.length;
      this.#waiters.push(waiter);
    }
    this.#dueMs[waiter.dueSlot] = dueMs;
    this.#timer ??= setInterval(() => this.#tick(), this.#periodMs).unref();
  }

  clear(waiter: Due): void {
    const at = waiter.dueSlot;
    if (at < 0) return;
    waiter.dueSlot = -1;
    const last = this.#waiters.pop();
    const lastMs = this.#dueMs.pop();
    if (last === undefined || lastMs === undefined || last === waiter) return;
    this.#waiters[at] = last;
    this.#dueMs[at] = lastMs;
    last.dueSlot = at;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  #tick(): void {
    if (this.#timer !== null && this.#waiters.length === 0) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    const now = performance.now();
    // From the end: whoever takes a place that was left has been looked at, or comes again at the next tick.
    for (let at = this.#waiters.length - 1; at >= 0; at--) {
      const waiter = this.#waiters[at];
      if (waiter === undefined || (this.#dueMs[at] ?? 0) > now) continue;
      this.clear(waiter);
      try {
        waiter.onDue();
      } catch (error) {
        waiter.onDueBroken(error);
      }
    }
  }
}
