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

/** When a breaker opens, and how long what failed is left alone; every one is a key of the configuration. */
export interface BreakerSettings {
  /** Failures within the window from which on it may open; 0 = never. */
  readonly failures: number;
  /** Share of failures within the window from which on it opens, 0 to 1. */
  readonly share: number;
  /** 0: nothing that was counted is forgotten, until a probe went well. */
  readonly windowMs: number;
  /** The first time open; doubled each time a probe fails. */
  readonly openMs: number;
  readonly openMaxMs: number;
  /** How long a probe may take before another one is let through beside it. */
  readonly probeMs: number;
  /** How long a pool key that its provider refused is left alone, unless that said otherwise. */
  readonly refusedKeyMs: number;
}

export const BREAKER_DEFAULTS: BreakerSettings = {
  failures: 5,
  share: 0.5,
  windowMs: 10_000,
  openMs: 5_000,
  openMaxMs: 120_000,
  probeMs: 60_000,
  refusedKeyMs: 600_000,
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

/** What `enter` gives: no, or yes, or the lease of the one probe, which is above both. */
export const BARRED = -1;
export const FREE = 0;

/** Subjects of a node: providers, targets and keys of a large configuration fit ten times. */
const SUBJECTS = 16_384;
/** Subjects that callers named and the configuration does not: they push each other out, and none of the others. */
const GUESTS = 1024;
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
/** Every new measurement counts a fifth: about ten requests until an old speed is forgotten. */
const EWMA_SHARE = 0.2;
/** Milliseconds that fit; slower is not told apart. */
const TTFT_MAX_MS = 600_000;
/** Where the words begin: the node's start in milliseconds of the common clock, as a float64. */
const HEADER_BYTES = 64;

/** Makes the memory that all workers share; once per process, on the main thread. 1.1 MiB, touched where subjects are. */
export function createHealthTable(nowMs: number = commonClock()()): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(HEADER_BYTES + (SUBJECTS + GUESTS) * WORDS * 4);
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
   * Where a subject stands, which takes a place if it has none: looked up when a configuration is read, or for a name that
   * a caller spelled.
   * @param subject never a secret in clear: it is hashed, but short secrets can be guessed from a hash
   * @param isGuest the configuration does not name it
   */
  place(subject: string, isGuest = false): number {
    const digest = createHash('sha256').update(subject).digest();
    const low = digest.readInt32LE(0) || 1;
    const high = digest.readInt32LE(4);
    const sets = (isGuest ? GUESTS : SUBJECTS) / WAYS;
    const first = (isGuest ? SUBJECTS : 0) + (digest.readUInt32LE(8) & (sets - 1)) * WAYS;
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

  /** Tells whether a place is still the same subject's: a guest's may be another one's by now. */
  mark(place: number): number {
    return this.#word(place, PRINT_LOW);
  }

  condition(place: number): Condition {
    return { state: this.state(place), waitMs: this.waitMs(place), ttftMs: this.ttftMs(place) };
  }

  state(place: number): BreakerState {
    return STATES[this.#word(place, STATE)] ?? 'closed';
  }

  /** Time to first content in milliseconds; 0 = unknown. */
  ttftMs(place: number): number {
    return this.#word(place, TTFT);
  }

  /** Milliseconds until the subject may be tried; 0 = now. */
  waitMs(place: number): number {
    const isClosed = this.#word(place, STATE) === CLOSED;
    const rests = this.#word(place, RESTS);
    // As nearly all are: no clock is read for those.
    if (isClosed && rests === 0) return 0;
    const now = this.#ticks();
    const opens = isClosed ? 0 : this.#word(place, UNTIL) - now;
    return Math.max(opens, rests - now, 0) * TICK_MS;
  }

  /**
   * Asks to try the subject now.
   * @returns BARRED when it rests, its breaker is open, or somebody else is probing; FREE; else the lease of the one probe
   */
  enter(place: number): number {
    const rests = this.#word(place, RESTS);
    const isClosed = this.#word(place, STATE) === CLOSED;
    if (isClosed && rests === 0) return FREE;
    const now = this.#ticks();
    if (rests > now) return BARRED;
    if (isClosed) return FREE;
    const until = this.#word(place, UNTIL);
    if (until > now) return BARRED;
    // Whoever moves the time is the one: an expired lease of a probe is taken over like the end of an open time.
    const lease = now + Math.ceil(this.settings.probeMs / TICK_MS) + 1;
    if (Atomics.compareExchange(this.#words, place + UNTIL, until, lease) !== until) return BARRED;
    Atomics.store(this.#words, place + STATE, PROBING);
    return lease;
  }

  /**
   * @param ttftMs time to first content; negative = not measured
   * @param lease what `enter` gave: only the probe itself closes a breaker, nothing that began before it
   */
  succeeded(place: number, ttftMs: number, lease: number): void {
    this.#count(place, false);
    if (this.#isProbe(place, lease)) {
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

  /**
   * @param lease what `enter` gave
   * @returns true when this failure opened the breaker
   */
  failed(place: number, lease: number): boolean {
    this.#count(place, true);
    if (this.#isProbe(place, lease)) {
      const again = Atomics.add(this.#words, place + REOPENED, 1) + 1;
      Atomics.store(this.#words, place + UNTIL, this.#ticks() + this.#openTicks(again));
      Atomics.store(this.#words, place + STATE, OPEN);
      return true;
    }
    const { failures, share } = this.settings;
    const failed = this.#word(place, FAILED);
    if (failures === 0 || failed < failures || failed < this.#word(place, TOTAL) * share)
      return false;
    if (this.#word(place, STATE) !== CLOSED) return false;
    Atomics.store(this.#words, place + UNTIL, this.#ticks() + this.#openTicks(0));
    return Atomics.compareExchange(this.#words, place + STATE, CLOSED, OPEN) === CLOSED;
  }

  /**
   * An attempt ended without saying anything of the subject: its client left, or the caller was at fault. The next one
   * may probe at once.
   * @param lease what `enter` gave
   */
  left(place: number, lease: number): void {
    if (lease <= FREE) return;
    Atomics.compareExchange(this.#words, place + UNTIL, lease, this.#ticks());
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
    const { windowMs } = this.settings;
    if (windowMs > 0 && now - this.#word(place, WINDOW) > windowMs / TICK_MS) {
      Atomics.store(this.#words, place + WINDOW, now);
      Atomics.store(this.#words, place + FAILED, 0);
      Atomics.store(this.#words, place + TOTAL, 0);
    }
    Atomics.add(this.#words, place + TOTAL, 1);
    if (isFailure) Atomics.add(this.#words, place + FAILED, 1);
  }

  #isProbe(place: number, lease: number): boolean {
    return (
      lease > FREE && this.#word(place, STATE) === PROBING && this.#word(place, UNTIL) === lease
    );
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
