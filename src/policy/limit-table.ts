/**
 * The state of all limits of the node: one table that every worker reads and writes.
 *
 * A limit of so many a minute is a GCRA (the leaky bucket as a meter, as in `admit/rate.ts`): its whole state is one instant, the time
 * at which the bucket would be full again, in microseconds of the system's monotonic clock. A bucket holds one minute's worth, so in any
 * t seconds at most limit * (t + 60) / 60 get through; that is how Anthropic's own limits work ("continuously replenished up to your
 * maximum limit", docs.claude.com/en/api/rate-limits). What was reserved and not used is given back; what was used beyond is
 * taken later, from whoever comes next. Given back is only what has not come back by itself: of a request that ends when its
 * reservation is replenished, giving it back as well would let a second minute's worth through at once.
 *
 * What is taken of a row, and given back to it, is so under a lock of that row: a word that holds its owner, for a tenth of a
 * microsecond (`row-lock.ts`). Swapping 64 bits without one makes bigints, which took three times as long. An owner that died is let go
 * of by the main thread (`forget`), which therefore waits for no lock longer than a tenth of a second. Who only looks needs none.
 *
 * In flight is counted for each worker apart, so that a worker that dies takes its counts with it.
 *
 * In a fleet a node paces each limit at its share of it, which the main thread sets (`fleet/rate-book.ts`). Time is what is
 * stored: what was half full is half full of more, unless it is said how full that is by which a share grows.
 *
 * Bounds: ROWS rows of 56 bytes, and 4 bytes a worker; 1.75 MiB and 128 KiB a worker. A row belongs to its name as long as the process
 * lives, so that no worker can find another one's in its place. The last RESERVED_ROWS are for purses that the configuration
 * names: however many keys pass by, a limit that somebody wrote down has its place. Who finds no room is not limited by that
 * row and counted (`ai_limit_rows_dropped_total`): the gateway fails open, as everywhere.
 */

import { hash } from 'node:crypto';
// The global of this name is a getter, which optimised code calls each time.
import { performance } from 'node:perf_hooks';
import { letGo, ownerOf, takeLock } from '../row-lock.ts';

/** Names that have a limit of their own: keys, tenants, classes, models, providers. */
export const ROWS = 32_768;
/** Of these, for names that stand in the configuration: more than anybody writes by hand, in all versions while a process lives. */
export const RESERVED_ROWS = 4_096;
const OPEN_ROWS = ROWS - RESERVED_ROWS;
/** Looked at for one name. At 75 % full a run of so many full rows is one in ten million. */
const PROBES = 64;

/** How all rows stand: the share of limits nobody asks of, while they are shared with other nodes; locks that were given up. */
const HEAD_BYTES = 8;
const GIVEN_UP_AT = 1;

const ROW_CELLS = 7;
const PRINT = 0;
const REQUESTS = 1;
const TOKENS = 2;
/** How much of the tokens was given back so far, as the time in which it is replenished. */
const GIVEN_BACK = 3;
/** This node's share of requests and of tokens, in millionths, a word each; 0: as of all rows. */
const SHARES = 4;
/** Requests and tokens that were ever asked for, served or not, a word each: they run over. */
const ASKED = 5;
/** Who changes the row just now, in its first word. */
const LOCK = 6;

const WHOLE_SHARE = 1_000_000;

/** No row: the table is full. */
export const NO_ROW = -1;

/** Of what there may be so many a minute. */
export type MinuteUnit = 'requests' | 'tokens';

export const MINUTE_US = 60_000_000;
/** Rounding of sums of float64 microseconds, far below what anybody can measure. */
const ROUNDING_US = 0.001;

/** Makes the memory that all workers share; once per process, on the main thread. */
export function createLimitTable(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(HEAD_BYTES + ROWS * (ROW_CELLS * 8 + workers * 4));
}

/**
 * The system's monotonic time, the same for all threads to a few microseconds. `performance.now()` counts from each thread's own
 * start, and makes no bigint of itself: a request asks four times.
 *
 * @returns microseconds
 */
export function monotonicUs(): number {
  return (START_MS + performance.now()) * 1_000;
}

/** When this thread's `performance.now()` was 0. The distance is known to the width of two reads: a few tries meet a short one. */
const START_MS = startMs();

function startMs(): number {
  let start = 0;
  let narrowest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 16; i++) {
    const before = performance.now();
    const nowMs = Number(process.hrtime.bigint()) / 1e6;
    const width = performance.now() - before;
    if (width >= narrowest) continue;
    narrowest = width;
    start = nowMs - (before + width / 2);
  }
  return start;
}

/** One thread's access to the shared table. */
export class LimitTable {
  readonly #head: Int32Array<SharedArrayBuffer>;
  readonly #cells: BigInt64Array<SharedArrayBuffer>;
  /** The same, as instants: an aligned float64 is not torn on any platform that we run on, and makes no bigint of itself. */
  readonly #instants: Float64Array<SharedArrayBuffer>;
  /** The same, by halves. */
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #inFlight: Int32Array<SharedArrayBuffer>;
  readonly #workers: number;
  readonly #worker: number;
  readonly #owner: number;
  /** Of the last `take` that succeeded: when all of it will have come back, if nothing before it is given back. */
  takenUntilUs = 0;

  /**
   * @param memory from `createLimitTable`
   * @param worker whose counts in flight these are; null on the main thread, which has none
   */
  constructor(memory: SharedArrayBuffer, worker: number | null) {
    this.#head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#cells = new BigInt64Array(memory, HEAD_BYTES, ROWS * ROW_CELLS);
    this.#instants = new Float64Array(memory, HEAD_BYTES, ROWS * ROW_CELLS);
    this.#words = new Int32Array(memory, HEAD_BYTES, ROWS * ROW_CELLS * 2);
    this.#inFlight = new Int32Array(memory, HEAD_BYTES + ROWS * ROW_CELLS * 8);
    this.#workers = this.#inFlight.length / ROWS;
    this.#worker = worker ?? 0;
    this.#owner = ownerOf(worker);
  }

  /** A worker died: its locks are let go of. What it held one for may be half done, which is a request more or less. */
  forget(worker: number): void {
    const owner = ownerOf(worker);
    for (let row = 0; row < ROWS; row++) {
      const at = lockOf(row);
      if (letGo(this.#words, at, owner)) Atomics.notify(this.#words, at);
    }
  }

  /** Locks that the main thread waited for in vain, since the process began. */
  get locksGivenUp(): number {
    return Atomics.load(this.#head, GIVEN_UP_AT);
  }

  /** What this worker's predecessor had in flight went with it. */
  reset(): void {
    for (let at = this.#worker; at < this.#inFlight.length; at += this.#workers)
      Atomics.store(this.#inFlight, at, 0);
  }

  /**
   * The row of a name, taken when there is none yet; NO_ROW when there is no room.
   * @param isConfigured the configuration names it: its place is kept from those that pass by
   */
  place(name: string, isConfigured = false): number {
    const print = printOfName(name);
    const chance = chanceOf(print);
    // A reload may have begun or ceased to name it: it goes on where it stands.
    const kept = this.#find(print, chance, OPEN_ROWS, RESERVED_ROWS);
    if (kept !== NO_ROW || !isConfigured) return kept === NO_ROW ? this.#open(print, chance) : kept;
    const open = this.#find(print, chance, 0, OPEN_ROWS);
    if (open !== NO_ROW) return open;
    const reserved = this.#claim(print, chance, OPEN_ROWS, RESERVED_ROWS);
    return reserved === NO_ROW ? this.#open(print, chance) : reserved;
  }

  /** The row of a name of which only the print is known, by another node's word; taken when there is none yet, as in `place`. */
  placePrint(print: bigint): { readonly row: number; readonly isNew: boolean } {
    const chance = chanceOf(print);
    const kept = this.#find(print, chance, OPEN_ROWS, RESERVED_ROWS);
    const row = kept === NO_ROW ? this.#find(print, chance, 0, OPEN_ROWS) : kept;
    return row === NO_ROW ? { row: this.#open(print, chance), isNew: true } : { row, isNew: false };
  }

  /** The row of a name, where it has one. Looks only. */
  find(name: string): number {
    const print = printOfName(name);
    const chance = chanceOf(print);
    const kept = this.#find(print, chance, OPEN_ROWS, RESERVED_ROWS);
    return kept === NO_ROW ? this.#find(print, chance, 0, OPEN_ROWS) : kept;
  }

  #open(print: bigint, chance: number): number {
    return this.#claim(print, chance, 0, OPEN_ROWS);
  }

  /** Rows are never given back, so that what is not there before the first empty one is not there at all. */
  #find(print: bigint, chance: number, from: number, rows: number): number {
    for (let probe = 0; probe < probesOf(rows); probe++) {
      const row = from + ((chance + probe) % rows);
      const held = Atomics.load(this.#cells, row * ROW_CELLS + PRINT);
      if (held === print) return row;
      if (held === 0n) return NO_ROW;
    }
    return NO_ROW;
  }

  #claim(print: bigint, chance: number, from: number, rows: number): number {
    for (let probe = 0; probe < probesOf(rows); probe++) {
      const row = from + ((chance + probe) % rows);
      const held = Atomics.compareExchange(this.#cells, row * ROW_CELLS + PRINT, 0n, print);
      if (held === 0n || held === print) return row;
    }
    return NO_ROW;
  }

  /**
   * Whether so much fits now.
   * @param costUs what is asked for, as the time in which it is replenished
   * @param fullUs what of a minute's worth may be taken, as time
   * @returns microseconds until it would; 0: now
   */
  waitUs(row: number, unit: MinuteUnit, nowUs: number, costUs: number, fullUs = MINUTE_US): number {
    return over(this.#read(cellOf(row, unit)), nowUs, costUs, fullUs);
  }

  /** Takes it where it fits. @returns as `waitUs` */
  take(row: number, unit: MinuteUnit, nowUs: number, costUs: number, fullUs = MINUTE_US): number {
    const cell = cellOf(row, unit);
    this.#lock(row);
    const fullAt = this.#read(cell);
    const waits = over(fullAt, nowUs, costUs, fullUs);
    if (waits === 0) {
      this.takenUntilUs = Math.max(fullAt, nowUs) + costUs;
      this.#instants[cell] = this.takenUntilUs;
    }
    this.#unlock(row);
    return waits;
  }

  /** How much of a row's tokens was ever given back: what was taken before that comes back so much earlier. */
  givenBackUs(row: number): number {
    return this.#read(row * ROW_CELLS + GIVEN_BACK);
  }

  /**
   * Gives tokens back that were taken and not used: as much of them as has not come back by itself. What was given back since
   * moves the rest forward, wherever it stood, so that this errs towards the limit.
   * @param takenUntilUs as it was when they were taken. @param givenBackUs of then
   */
  giveBack(
    row: number,
    nowUs: number,
    costUs: number,
    takenUntilUs: number,
    givenBackUs: number,
  ): void {
    this.#lock(row);
    const since = this.givenBackUs(row) - givenBackUs;
    const left = Math.min(costUs, takenUntilUs - since - nowUs);
    if (left > 0) {
      this.#add(row * ROW_CELLS + GIVEN_BACK, left);
      this.#add(cellOf(row, 'tokens'), -left);
    }
    this.#unlock(row);
  }

  /** Under the row's lock. */
  #add(cell: number, us: number): void {
    this.#instants[cell] = this.#read(cell) + us;
  }

  /**
   * Takes more whether it fits or not, or gives some back.
   * @param costUs negative: back
   * @returns false only on the main thread: the row is locked for too long, and nothing was done
   */
  correct(row: number, unit: MinuteUnit, nowUs: number, costUs: number): boolean {
    const cell = cellOf(row, unit);
    if (!this.#lock(row)) return false;
    const fullAt = this.#read(cell);
    this.#instants[cell] = (costUs > 0 ? Math.max(fullAt, nowUs) : fullAt) + costUs;
    this.#unlock(row);
    return true;
  }

  /** Microseconds until all of the minute's worth is there again. */
  fullInUs(row: number, unit: MinuteUnit, nowUs: number): number {
    return Math.max(0, this.#read(cellOf(row, unit)) - nowUs);
  }

  /** One more in flight, unless that would be more than `max` on the node: of two at once for the last place none may get it. */
  enter(row: number, max: number): boolean {
    Atomics.add(this.#inFlight, row * this.#workers + this.#worker, 1);
    if (max === 0 || this.inFlight(row) <= max) return true;
    this.leave(row);
    return false;
  }

  leave(row: number): void {
    Atomics.sub(this.#inFlight, row * this.#workers + this.#worker, 1);
  }

  /** On the node. */
  inFlight(row: number): number {
    let sum = 0;
    for (let worker = 0; worker < this.#workers; worker++)
      sum += Atomics.load(this.#inFlight, row * this.#workers + worker);
    return sum;
  }

  // ---- a fleet -----------------------------------------------------------------------------------------------------

  /** Whether limits are shared with other nodes. */
  get isShared(): boolean {
    return Atomics.load(this.#head, 0) !== 0;
  }

  /** This node's share of a row's limit: above 0, at most 1. */
  share(row: number, unit: MinuteUnit): number {
    const ofAll = Atomics.load(this.#head, 0);
    if (ofAll === 0) return 1;
    const own = Atomics.load(this.#words, wordOf(row, SHARES, unit));
    return (own === 0 ? ofAll : own) / WHOLE_SHARE;
  }

  /** Somebody asks for so much, whether or not there is any. */
  asked(row: number, requests: number, tokens: number): void {
    Atomics.add(this.#words, wordOf(row, ASKED, 'requests'), requests);
    Atomics.add(this.#words, wordOf(row, ASKED, 'tokens'), tokens);
  }

  /** What was ever asked for of a row; runs over at 2^32. */
  askedSoFar(row: number, unit: MinuteUnit): number {
    return Atomics.load(this.#words, wordOf(row, ASKED, unit));
  }

  /** The name of a row as all nodes know it; 0: it has none. */
  printOf(row: number): bigint {
    return Atomics.load(this.#cells, row * ROW_CELLS + PRINT);
  }

  /** @param share of this node in every limit of which nothing else is said; 1: it shares none */
  shareAll(share: number): void {
    Atomics.store(this.#head, 0, share >= 1 ? 0 : inMillionths(share));
  }

  /** How much of this node's share of a minute's worth is there: 1 all of it, 0 nothing. */
  fullness(row: number, unit: MinuteUnit, nowUs: number): number {
    return Math.max(0, 1 - this.fullInUs(row, unit, nowUs) / MINUTE_US);
  }

  /**
   * Of a share that grows: what comes to it is as full as it was where it comes from.
   * @param share the new one, larger than that which stands; set behind this. @param fullness of what comes to it
   * @returns false where nothing was done, and the share must not be set: the row is locked for too long
   */
  refill(row: number, unit: MinuteUnit, nowUs: number, share: number, fullness: number): boolean {
    const before = this.share(row, unit);
    const lacksUs = this.fullInUs(row, unit, nowUs);
    const comesUs = (1 - fullness) * MINUTE_US;
    return this.correct(row, unit, nowUs, ((comesUs - lacksUs) * (share - before)) / share);
  }

  /** @param share of this node; null: as in all others */
  shareOne(row: number, unit: MinuteUnit, share: number | null): void {
    const millionths = share === null ? 0 : inMillionths(share);
    Atomics.store(this.#words, wordOf(row, SHARES, unit), millionths);
  }

  #read(cell: number): number {
    return this.#instants[cell] ?? 0;
  }

  /** @returns false only on the main thread: it is locked for too long */
  #lock(row: number): boolean {
    const at = lockOf(row);
    if (Atomics.compareExchange(this.#words, at, 0, this.#owner) === 0) return true;
    if (takeLock(this.#words, at, this.#owner)) return true;
    Atomics.add(this.#head, GIVEN_UP_AT, 1);
    return false;
  }

  #unlock(row: number): void {
    Atomics.store(this.#words, lockOf(row), 0);
  }
}

function lockOf(row: number): number {
  return (row * ROW_CELLS + LOCK) * 2;
}

function printOfName(name: string): bigint {
  return hash('sha256', name, 'buffer').readBigInt64LE(0) || 1n;
}

/** Where a name is looked for first. Of its print: other nodes tell no more of a name. */
function chanceOf(print: bigint): number {
  return Number(BigInt.asUintN(32, print));
}

/** A configured name may stand anywhere among the reserved rows: it is looked for once in a configuration's life. */
function probesOf(rows: number): number {
  return rows === RESERVED_ROWS ? RESERVED_ROWS : PROBES;
}

function cellOf(row: number, unit: MinuteUnit): number {
  return row * ROW_CELLS + (unit === 'requests' ? REQUESTS : TOKENS);
}

/** Above 0: a share of nothing would divide by it. */
function inMillionths(share: number): number {
  return Math.max(1, Math.round(share * WHOLE_SHARE));
}

function wordOf(row: number, cell: number, unit: MinuteUnit): number {
  return (row * ROW_CELLS + cell) * 2 + (unit === 'requests' ? 0 : 1);
}

function over(fullAt: number, nowUs: number, costUs: number, fullUs: number): number {
  // More than a bucket holds, of a share of a limit: a full bucket lets it through, and is empty for longer then.
  const needed = Math.min(costUs, fullUs);
  const excess = Math.max(fullAt, nowUs) + needed - nowUs - fullUs;
  // What rounding added is in no wait either: a wait of whole milliseconds would be told as one more.
  return excess > ROUNDING_US ? excess - ROUNDING_US : 0;
}
