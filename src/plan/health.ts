/**
 * How providers, targets and pool keys are doing: a table in shared memory, so that all workers of a node know it at
 * once, a reload forgets nothing, and no request waits for a lock.
 *
 * A subject is a text (`openai`, `openai/gpt-4o`, `key:…`). It has a breaker (failures open it, one probe at a time closes
 * it), a rest (a provider said how long it wants to be left alone), and the time to first content (an EWMA).
 *
 * What is not counted: a caller's own 4xx, a client that left, an upload that failed, a deadline of the caller's. Counters
 * are read and written without locks: two workers that reset a window at once may lose a few failures, never more, and
 * what opens or closes a breaker is one compare-and-swap.
 */

import { createHash, randomInt } from 'node:crypto';

/** When a breaker opens and for how long; every one is a key of the configuration. */
export interface BreakerSettings {
  /** Failures within the window from which on it may open. */
  readonly failures: number;
  /** Share of failures within the window from which on it opens, 0 to 1. */
  readonly share: number;
  readonly windowMs: number;
  /** The first time open; doubled each time a probe fails. */
  readonly openMs: number;
  readonly openMaxMs: number;
}

export const BREAKER_DEFAULTS: BreakerSettings = {
  failures: 5,
  share: 0.5,
  windowMs: 10_000,
  openMs: 5_000,
  openMaxMs: 120_000,
};

export type BreakerState = 'closed' | 'open' | 'probing';

/** What a plan wants to know of a subject. */
export interface Condition {
  readonly state: BreakerState;
  /** Milliseconds until it may be tried; 0 = now. */
  readonly waitMs: number;
  /** Time to first content in milliseconds; 0 = unknown. */
  readonly ttftMs: number;
}

/** Subjects of a node: providers, targets and keys of a large configuration fit ten times. */
const SUBJECTS = 4096;
/** Neighbours that a subject may stand in; when all are taken, the one that was not touched for longest goes. */
const WAYS = 8;

// A subject in int32 words: one cache line.
const PRINT_LOW = 0;
const PRINT_HIGH = 1;
const STATE = 2;
const REOPENED = 3;
const UNTIL = 4;
const WINDOW = 5;
const FAILED = 6;
const TOTAL = 7;
const RESTS = 8;
const TTFT = 9;
const TOUCHED = 10;
const WORDS = 16;

const CLOSED = 0;
const OPEN = 1;
const PROBING = 2;
const STATES: readonly BreakerState[] = ['closed', 'open', 'probing'];

/** Times are kept in 10 ms, from a node's start: 248 days fit an int32. */
const TICK_MS = 10;
/** A probe whose worker died is not waited for longer than this. */
const PROBE_LEASE_MS = 60_000;
/** Every new measurement counts a fifth: about ten requests until an old speed is forgotten. */
const EWMA_SHARE = 0.2;
/** Milliseconds that fit; slower is not told apart. */
const TTFT_MAX_MS = 600_000;
/** Where the words begin: the node's start in milliseconds of the common clock, as a float64. */
const HEADER_BYTES = 64;

/** Makes the memory that all workers share; once per process, on the main thread. 256 KiB. */
export function createHealthTable(nowMs: number = commonClock()()): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(HEADER_BYTES + SUBJECTS * WORDS * 4);
  new Float64Array(memory, 0, 1)[0] = nowMs;
  return memory;
}

/** The system's monotonic milliseconds, the same for all threads; `performance.now()` counts from a thread's own start. */
export function commonClock(): () => number {
  const base = Number(process.hrtime.bigint()) / 1e6 - performance.now();
  return () => base + performance.now();
}

/** One thread's access to the table. */
export class Health {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #beganMs: number;
  readonly #clock: () => number;
  settings: BreakerSettings;

  constructor(
    memory: SharedArrayBuffer,
    settings: BreakerSettings = BREAKER_DEFAULTS,
    clock: () => number = commonClock(),
  ) {
    this.#words = new Int32Array(memory, HEADER_BYTES);
    this.#beganMs = new Float64Array(memory, 0, 1)[0] ?? 0;
    this.#clock = clock;
    this.settings = settings;
  }

  /**
   * Where a subject stands; looked up when a configuration is read, or once for a name that a caller spelled.
   * @param subject never a secret in clear: it is hashed, but short secrets can be guessed from a hash
   */
  place(subject: string): number {
    const digest = createHash('sha256').update(subject).digest();
    const low = digest.readInt32LE(0) || 1;
    const high = digest.readInt32LE(4);
    const first = (digest.readUInt32LE(8) & (SUBJECTS / WAYS - 1)) * WAYS;
    let oldest = first;
    for (let slot = first; slot < first + WAYS; slot++) {
      const at = slot * WORDS;
      const print = Atomics.load(this.#words, at + PRINT_LOW);
      if (print === low && Atomics.load(this.#words, at + PRINT_HIGH) === high) return at;
      if (print === 0) return this.#claim(at, 0, low, high);
      if (this.#word(at, TOUCHED) < this.#word(oldest * WORDS, TOUCHED)) oldest = slot;
    }
    const at = oldest * WORDS;
    return this.#claim(at, Atomics.load(this.#words, at + PRINT_LOW), low, high);
  }

  condition(place: number): Condition {
    const state = STATES[this.#word(place, STATE)] ?? 'closed';
    const now = this.#ticks();
    const opens = state === 'closed' ? 0 : this.#word(place, UNTIL) - now;
    const waitTicks = Math.max(opens, this.#word(place, RESTS) - now, 0);
    return { state, waitMs: waitTicks * TICK_MS, ttftMs: this.#word(place, TTFT) };
  }

  /**
   * Asks to try the subject now.
   * @returns false when its breaker is open, or when somebody else is probing
   */
  enter(place: number): boolean {
    const state = this.#word(place, STATE);
    if (state === CLOSED) return true;
    const now = this.#ticks();
    if (this.#word(place, UNTIL) > now) return false;
    // An expired lease of a probe is taken over like the end of an open time.
    if (Atomics.compareExchange(this.#words, place + STATE, state, PROBING) !== state) return false;
    Atomics.store(this.#words, place + UNTIL, now + PROBE_LEASE_MS / TICK_MS);
    return true;
  }

  /** @param ttftMs time to first content; negative = not measured */
  succeeded(place: number, ttftMs: number): void {
    this.#count(place, false);
    if (this.#word(place, STATE) !== CLOSED) {
      Atomics.store(this.#words, place + REOPENED, 0);
      Atomics.store(this.#words, place + FAILED, 0);
      Atomics.store(this.#words, place + TOTAL, 0);
      Atomics.store(this.#words, place + STATE, CLOSED);
    }
    if (ttftMs < 0) return;
    const known = this.#word(place, TTFT);
    const next = known === 0 ? ttftMs : known + (ttftMs - known) * EWMA_SHARE;
    // 0 says unknown.
    Atomics.store(this.#words, place + TTFT, Math.min(Math.max(1, Math.round(next)), TTFT_MAX_MS));
  }

  /** @returns true when this failure opened the breaker */
  failed(place: number): boolean {
    this.#count(place, true);
    const state = this.#word(place, STATE);
    const { failures, share } = this.settings;
    if (state === CLOSED) {
      const failed = this.#word(place, FAILED);
      if (failed < failures || failed < this.#word(place, TOTAL) * share) return false;
    }
    if (state === OPEN) return false;
    const again = state === PROBING ? Atomics.add(this.#words, place + REOPENED, 1) + 1 : 0;
    Atomics.store(this.#words, place + UNTIL, this.#ticks() + this.#openTicks(again));
    return Atomics.compareExchange(this.#words, place + STATE, state, OPEN) === state;
  }

  /** An attempt ended without saying anything of the subject: its client left, or the caller was at fault. */
  left(place: number): void {
    if (this.#word(place, STATE) !== PROBING) return;
    Atomics.store(this.#words, place + UNTIL, this.#ticks());
    Atomics.compareExchange(this.#words, place + STATE, PROBING, OPEN);
  }

  /** Leaves the subject alone for so long; a longer rest that is under way goes on. */
  rest(place: number, ms: number): void {
    const until = this.#ticks() + Math.ceil(ms / TICK_MS);
    let seen = this.#word(place, RESTS);
    while (seen < until) {
      const was = Atomics.compareExchange(this.#words, place + RESTS, seen, until);
      if (was === seen) return;
      seen = was;
    }
  }

  /** Forgets everything about the subject: an operator's reset. */
  reset(place: number): void {
    for (const word of [STATE, REOPENED, UNTIL, FAILED, TOTAL, RESTS])
      Atomics.store(this.#words, place + word, 0);
  }

  #count(place: number, isFailure: boolean): void {
    const now = this.#ticks();
    Atomics.store(this.#words, place + TOUCHED, now);
    if (now - this.#word(place, WINDOW) > this.settings.windowMs / TICK_MS) {
      Atomics.store(this.#words, place + WINDOW, now);
      Atomics.store(this.#words, place + FAILED, 0);
      Atomics.store(this.#words, place + TOTAL, 0);
    }
    Atomics.add(this.#words, place + TOTAL, 1);
    if (isFailure) Atomics.add(this.#words, place + FAILED, 1);
  }

  /** Jittered by a tenth, so that nodes that lost a provider together do not come back together. */
  #openTicks(again: number): number {
    const { openMs, openMaxMs } = this.settings;
    const ms = Math.min(openMaxMs, openMs * 2 ** Math.min(again, 16));
    return Math.ceil((ms * (950 + randomInt(101))) / 1_000 / TICK_MS);
  }

  #claim(at: number, seen: number, low: number, high: number): number {
    if (Atomics.compareExchange(this.#words, at + PRINT_LOW, seen, low) !== seen) return at;
    for (let word = STATE; word < WORDS; word++) Atomics.store(this.#words, at + word, 0);
    Atomics.store(this.#words, at + PRINT_HIGH, high);
    Atomics.store(this.#words, at + TOUCHED, this.#ticks());
    return at;
  }

  #word(at: number, word: number): number {
    return Atomics.load(this.#words, at + word);
  }

  #ticks(): number {
    return Math.floor((this.#clock() - this.#beganMs) / TICK_MS);
  }
}
