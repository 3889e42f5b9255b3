/**
 * The rate guardrail: who asks too often is refused before any cryptography, by one table that all workers share.
 *
 * Decision: GCRA (the leaky bucket as a meter), because its whole state is one instant, the time at which the bucket
 * would be full again. With a fingerprint of the credential it fits 64 bits, so one compare-and-swap is the update,
 * and a worker that dies in the middle leaves nothing locked. A bucket holds one second's worth (at least 1).
 *
 * The table: 8,192 sets of 8 cells, 512 KiB whatever the number of credentials. What to expect of it:
 * - Rate. Admitted in any t seconds: at most rps * (t + 1) * (1 + rps / 16,000,000), the last factor from rounding the
 *   spacing to ticks, downwards, so that nobody within the limit is refused by rounding. Plus one request per further
 *   worker each time a credential gets a new cell, when two workers put it into different cells at once.
 * - Floods. A full set gives up the cell that is nearest to empty; forgetting it only ever admits more. A flood of f new
 *   credentials per second keeps f / (8,192 * rps) cells of a set in use, so sets fill only beyond 5,000 * rps (at 100
 *   rps: half a million per second), and even then what is at its limit is forgotten last.
 * - Neighbours. A credential within its limit is refused because of another one only if both share the set and the
 *   20-bit fingerprint: 2^-33 for each credential that is at its limit at that time. The hash is keyed per boot.
 * - Time wraps at 2^44 ticks (12.7 days): one that comes back exactly so long after its last request, to 11 s, may find
 *   its bucket full and is refused for one spacing.
 * - Workers' clocks agree to about 1 µs; limits may change at any time and hold from the next request on.
 */

import { randomBytes } from 'node:crypto';
import { RATE_LIMIT_MAX_RPS, type RateLimits } from '../rate-limits.ts';
import { CredentialHash } from './credential-hash.ts';

/** 62.5 ns each: fine enough to space 100,000 requests per second to 0.6 %. */
const TICKS_PER_MS = 16_000;
const TICKS_PER_SECOND = 1000 * TICKS_PER_MS;
/** Limits are kept in thousandths, so that one 32-bit word, which cannot be read half-written, is a limit. */
const MILLI = 1000;

// A cell is 64 bits: fingerprint (20), then the time at which its bucket is full again (44), little-endian words.
// Fingerprint 0 says that the cell is empty.
const TIME_SPAN = 2 ** 44;
const WORD_SPAN = 2 ** 32;
const TIME_HIGH_BITS = 12;
const TIME_HIGH_MASK = (1 << TIME_HIGH_BITS) - 1;
/** A time that is further ahead than a full bucket is a stale limit, or a thread that slept; more than this, garbage. */
const SLACK_TICKS = 10 * TICKS_PER_SECOND;

const SETS = 8192;
/** 8 cells of 8 bytes: a set is one cache line. */
const WAYS = 8;

// Layout, in cells; single buckets and table on cache lines of their own. Line 0, in int32: two words of hash key,
// three limits; written by the main thread only.
const HASH_KEY = 0;
const LIMITS = 2;
const CREDENTIAL = LIMITS;
const BYO = LIMITS + 1;
const VERIFY = LIMITS + 2;
const BYO_CELL = 8;
const VERIFY_CELL = 16;
const TABLE = 24;
const TABLE_BYTES = (TABLE + SETS * WAYS) * 8;
/** The fingerprint of a bucket that is alone in its cell. */
const SINGLE = 1;

/** Makes the memory that all workers' guards share; once per process, on the main thread. */
export function createRateTable(limits: RateLimits): SharedArrayBuffer {
  const table = new SharedArrayBuffer(TABLE_BYTES);
  const key = randomBytes(8);
  const words = new Int32Array(table);
  words[HASH_KEY] = key.readInt32LE(0);
  words[HASH_KEY + 1] = key.readInt32LE(4);
  setRateLimits(table, limits);
  return table;
}

/**
 * Changes the limits for all workers at once; what is in the buckets stays.
 *
 * @throws RangeError for a limit that is not a number from 0 to RATE_LIMIT_MAX_RPS
 */
export function setRateLimits(table: SharedArrayBuffer, limits: RateLimits): void {
  const words = new Int32Array(table);
  const all = [limits.credentialRps, limits.byoRps, limits.verifyRps];
  for (const rps of all) {
    if (!(rps >= 0 && rps <= RATE_LIMIT_MAX_RPS))
      throw new RangeError(`a rate limit is 0 to ${RATE_LIMIT_MAX_RPS} per second`);
  }
  for (const [i, rps] of all.entries()) Atomics.store(words, LIMITS + i, Math.ceil(rps * MILLI));
}

/**
 * One clock for all threads: the system's monotonic time in ticks. `performance.now()` is the cheap way to read it,
 * but counts from each thread's own start, so its distance to `hrtime`, which does not, is taken once.
 *
 * @returns a function that reads the clock: whole ticks below 2^44
 */
export function tickClock(): () => number {
  let base = 0;
  let narrowest = Number.POSITIVE_INFINITY;
  // The distance is known to the width of the two reads around it; a few tries meet one that nothing interrupted.
  for (let i = 0; i < 16; i++) {
    const before = performance.now();
    const nowMs = Number(process.hrtime.bigint()) / 1e6;
    const width = performance.now() - before;
    if (width >= narrowest) continue;
    narrowest = width;
    base = nowMs - (before + width / 2);
  }
  return () => {
    const ticks = Math.floor((base + performance.now()) * TICKS_PER_MS);
    return ticks - Math.floor(ticks / TIME_SPAN) * TIME_SPAN;
  };
}

/** One thread's access to the shared table. Every `admit…` returns 0, or the `retry-after` in whole seconds. */
export class RateGuard {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #cells: BigInt64Array<SharedArrayBuffer>;
  readonly #clock: () => number;
  readonly #hash: CredentialHash;
  // Takes a cell apart into two words and puts one together, without arithmetic on bigints.
  readonly #swapWords = new Int32Array(2);
  readonly #swap = new BigInt64Array(this.#swapWords.buffer);

  /**
   * @param table from `createRateTable`
   * @param clock whole ticks of 62.5 ns below 2^44, the same for all threads
   */
  constructor(table: SharedArrayBuffer, clock: () => number = tickClock()) {
    this.#words = new Int32Array(table);
    this.#cells = new BigInt64Array(table);
    this.#clock = clock;
    this.#hash = new CredentialHash(this.#words[HASH_KEY] ?? 0, this.#words[HASH_KEY + 1] ?? 0);
  }

  /** @param credential as it came; hashed, never kept */
  admitCredential(credential: string): number {
    const milli = Atomics.load(this.#words, CREDENTIAL);
    if (milli === 0) return 0;
    this.#hash.update(credential);
    const set = TABLE + (this.#hash.first & (SETS - 1)) * WAYS;
    const fingerprint = this.#hash.second >>> TIME_HIGH_BITS || SINGLE;
    return this.#admit(set, WAYS, fingerprint, milli);
  }

  /** Takes from the one bucket of all BYO traffic. */
  admitByo(): number {
    const milli = Atomics.load(this.#words, BYO);
    return milli === 0 ? 0 : this.#admit(BYO_CELL, 1, SINGLE, milli);
  }

  /** Takes from the node's budget of first-time signature checks. */
  admitVerify(): number {
    const milli = Atomics.load(this.#words, VERIFY);
    return milli === 0 ? 0 : this.#admit(VERIFY_CELL, 1, SINGLE, milli);
  }

  // A swap fails only when another thread's succeeded, and every success brings its bucket nearer to a refusal, which
  // does not swap: the loop ends.
  #admit(set: number, ways: number, fingerprint: number, milli: number): number {
    const spacing = Math.floor((TICKS_PER_SECOND * MILLI) / milli);
    const full = Math.max(TICKS_PER_SECOND, spacing);
    const now = this.#clock();
    for (;;) {
      const cell = this.#find(set, ways, fingerprint, now, full);
      const seen = Atomics.load(this.#cells, cell);
      this.#swap[0] = seen;
      const low = this.#swapWords[0] ?? 0;
      const high = this.#swapWords[1] ?? 0;
      const level = high >>> TIME_HIGH_BITS === fingerprint ? levelOf(low, high, now, full) : 0;
      const excess = level + spacing - full;
      if (excess > 0) return Math.max(1, Math.ceil(excess / TICKS_PER_SECOND));
      if (this.#swapped(cell, seen, fingerprint, now + level + spacing)) return 0;
    }
  }

  // Reads words without atomics: a stale or half-written cell only makes a worse choice, and the swap judges it again.
  /** @returns the credential's own cell, else the one of its set that is nearest to empty */
  #find(set: number, ways: number, fingerprint: number, now: number, full: number): number {
    if (ways === 1) return set;
    let emptiest = set;
    let lowest = Number.POSITIVE_INFINITY;
    for (let cell = set; cell < set + ways; cell++) {
      const high = this.#words[cell * 2 + 1] ?? 0;
      const print = high >>> TIME_HIGH_BITS;
      if (print === fingerprint) return cell;
      const level = print === 0 ? 0 : levelOf(this.#words[cell * 2] ?? 0, high, now, full);
      if (level < lowest) {
        lowest = level;
        emptiest = cell;
      }
    }
    return emptiest;
  }

  #swapped(cell: number, seen: bigint, fingerprint: number, time: number): boolean {
    const wrapped = time >= TIME_SPAN ? time - TIME_SPAN : time;
    this.#swapWords[0] = wrapped | 0;
    this.#swapWords[1] = (fingerprint << TIME_HIGH_BITS) | Math.floor(wrapped / WORD_SPAN);
    return Atomics.compareExchange(this.#cells, cell, seen, this.#swap[0] ?? 0n) === seen;
  }
}

/** @returns ticks until the bucket is empty, 0 to `full` */
function levelOf(low: number, high: number, now: number, full: number): number {
  const ahead = (high & TIME_HIGH_MASK) * WORD_SPAN + (low >>> 0) - now;
  const level = ahead < 0 ? ahead + TIME_SPAN : ahead;
  if (level <= full) return level;
  return level <= full + SLACK_TICKS ? full : 0;
}
