/**
 * How often each key sent the same body within the last minute: one table that every worker reads and writes, without a lock.
 *
 * A row is one body of one key: 32 bits of its print, and the instant at which all that was counted will have gone by (a GCRA, as in
 * `limit-table.ts`), in milliseconds of the system's monotonic clock, modulo 2^32. A print has a set of WAYS rows where it may
 * stand. Where all of them are others', the one that is forgotten first anyway gives way: what goes round and round stands
 * furthest in the future, so that a flood of single requests does not hide it. What was pushed out while it counted is counted
 * (`ai_repeat_rows_dropped_total`).
 *
 * Of two workers that meet in the microsecond in which a row changes hands, one may count a request too many or too few. Two bodies of
 * one set that agree in 32 bits of SHA-256 count as one: one pair in 2^32.
 *
 * Bounds: SETS * WAYS rows of 8 bytes, 512 KiB; touched only where `identical_rpm` is set.
 */

const SETS = 8_192;
const WAYS = 8;
const ROW_WORDS = 2;
const PRINT = 0;
const GONE_AT = 1;

export const MINUTE_MS = 60_000;

/** A body of a key, as it is found. */
export interface RepeatPrint {
  /** 32 bits that say in which set it is. */
  readonly set: number;
  /** 32 others that tell it from those beside it. */
  readonly own: number;
}

/** Makes the memory that all workers share; once per process, on the main thread. */
export function createRepeatTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(SETS * WAYS * ROW_WORDS * 4);
}

/** One thread's access to the shared table. */
export class RepeatTable {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #dropped: () => void;

  /**
   * @param memory from `createRepeatTable`
   * @param dropped a row that still counted had to give way
   */
  constructor(memory: SharedArrayBuffer, dropped: () => void) {
    this.#words = new Int32Array(memory);
    this.#dropped = dropped;
  }

  /**
   * Counts one more of a print, where that is not more than so many a minute.
   * @param nowMs of the system's monotonic clock
   * @param perMinute from 1 to 1,000: a millisecond is what is counted in
   * @returns milliseconds until one more would be counted; 0: it is
   */
  take(print: RepeatPrint, nowMs: number, perMinute: number): number {
    const costMs = Math.floor(MINUTE_MS / perMinute);
    const now = nowMs | 0;
    const at = this.#rowOf(print, now) + GONE_AT;
    for (;;) {
      const seen = Atomics.load(this.#words, at);
      const ahead = aheadMs(seen, now);
      // Not a minute: of 328, each at 182 ms, one more would fit into it.
      const excess = ahead + costMs - costMs * perMinute;
      if (excess > 0) return excess;
      const next = (now + ahead + costMs) | 0;
      if (Atomics.compareExchange(this.#words, at, seen, next) === seen) return 0;
    }
  }

  #rowOf({ set, own }: RepeatPrint, now: number): number {
    const first = ((set >>> 0) % SETS) * WAYS * ROW_WORDS;
    // 0 is a row that nobody had.
    const print = own | 0 || 1;
    for (;;) {
      let least = first;
      let leastAhead = MINUTE_MS + 1;
      for (let way = 0; way < WAYS; way++) {
        const at = first + way * ROW_WORDS;
        const held = Atomics.load(this.#words, at + PRINT);
        if (held === print) return at;
        const ahead = held === 0 ? -1 : aheadMs(Atomics.load(this.#words, at + GONE_AT), now);
        if (ahead >= leastAhead) continue;
        leastAhead = ahead;
        least = at;
      }
      const held = Atomics.load(this.#words, least + PRINT);
      if (Atomics.compareExchange(this.#words, least + PRINT, held, print) !== held) continue;
      Atomics.store(this.#words, least + GONE_AT, now);
      if (leastAhead > 0) this.#dropped();
      return least;
    }
  }
}

/** How far in the future an instant is; one that is further than any is of weeks ago, when the clock's 32 bits had run over. */
function aheadMs(goneAt: number, now: number): number {
  const ahead = (goneAt - now) | 0;
  return ahead > 0 && ahead <= MINUTE_MS ? ahead : 0;
}
