/**
 * Where a conversation's prompt is cached: which target and pool key answered it last, and until when its provider keeps
 * that. In shared memory, so that all workers of a node know it and a reload forgets nothing; nodes tell each other
 * nothing, and need not (`planner.ts`: the first choice is a function of the conversation).
 *
 * Words are read and written without locks: two requests of one conversation that end at once may leave the target of one
 * and the key of the other, which costs a cache miss.
 */

import { commonClock } from './health.ts';

/** Conversations whose place is known at a time: 5 minutes of 50 new ones a second. */
const PINS = 16_384;
/** Neighbours that one may stand in; when all are taken, the one goes that ends first. */
const WAYS = 4;

// A conversation in int32 words: half a cache line.
const SESSION = 0;
const TARGET = 1;
const KEY = 2;
const UNTIL = 3;
const BEFORE = 4;
const BEFORE_UNTIL = 5;
const TOKENS = 6;
const WORDS = 8;

/** Times are kept in 100 ms, from a node's start: 6 years fit an int32. */
const TICK_MS = 100;
/** Where the words begin: the node's start in milliseconds of the common clock, as a float64. */
const HEADER_BYTES = 64;

/** Makes the memory that all workers share; once per process, on the main thread. 512 KiB, touched where pins are. */
export function createPinTable(nowMs: number = commonClock()()): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(HEADER_BYTES + PINS * WORDS * 4);
  new Float64Array(memory, 0, 1)[0] = nowMs;
  return memory;
}

/** Where a conversation is at home; targets and keys by their prints, 32 bits. */
interface Pin {
  readonly target: number;
  readonly key: number;
  /** Where it was before a failover moved it, while it is still cached there; 0 = nowhere. */
  readonly before: number;
  /** What of the prompt was read or written there last: so much of the next one is cached, at most. */
  readonly tokens: number;
}

/** One thread's access to the table. */
export class Pins {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #beganMs: number;
  readonly #clock: () => number;

  constructor(memory: SharedArrayBuffer, clock: () => number = commonClock()) {
    this.#words = new Int32Array(memory, HEADER_BYTES);
    this.#beganMs = new Float64Array(memory, 0, 1)[0] ?? 0;
    this.#clock = clock;
  }

  /** @returns null when nothing is known of it, or its cache is gone: it may go anywhere then */
  find(session: number): Pin | null {
    const at = this.#placeOf(session);
    const now = this.#ticks();
    if (this.#word(at, SESSION) !== session || this.#word(at, UNTIL) <= now) return null;
    return {
      target: this.#word(at, TARGET),
      key: this.#word(at, KEY),
      before: this.#word(at, BEFORE_UNTIL) > now ? this.#word(at, BEFORE) : 0,
      tokens: this.#word(at, TOKENS),
    };
  }

  /**
   * A target answered it, and said what was used: it has the prompt in its cache for so long.
   * @param session not 0
   * @param tokens of the prompt
   */
  keep(session: number, target: number, key: number, lifeMs: number, tokens: number): void {
    const at = this.#placeOf(session);
    const until = this.#ticks() + Math.ceil(lifeMs / TICK_MS);
    const isKnown = this.#word(at, SESSION) === session;
    const isSame = isKnown && this.#word(at, TARGET) === target;
    if (!isSame) {
      this.#store(at, BEFORE, isKnown ? this.#word(at, TARGET) : 0);
      this.#store(at, BEFORE_UNTIL, isKnown ? this.#word(at, UNTIL) : 0);
    }
    this.#store(at, TARGET, target);
    this.#store(at, KEY, key);
    // What was cached for an hour stays so, whatever a later turn asks for.
    this.#store(at, UNTIL, isSame ? Math.max(until, this.#word(at, UNTIL)) : until);
    this.#store(at, TOKENS, tokens);
    this.#store(at, SESSION, session);
  }

  /** Its own place, or the one that it may take. */
  #placeOf(session: number): number {
    const first = ((session >>> 0) % (PINS / WAYS)) * WAYS;
    let soonest = first * WORDS;
    for (let slot = first; slot < first + WAYS; slot++) {
      const at = slot * WORDS;
      if (this.#word(at, SESSION) === session) return at;
      if (this.#word(at, UNTIL) < this.#word(soonest, UNTIL)) soonest = at;
    }
    return soonest;
  }

  #word(at: number, word: number): number {
    return Atomics.load(this.#words, at + word);
  }

  #store(at: number, word: number, value: number): void {
    Atomics.store(this.#words, at + word, value);
  }

  #ticks(): number {
    return Math.floor((this.#clock() - this.#beganMs) / TICK_MS);
  }
}
