/**
 * How all budgets of the node stand: one table that every worker reads and writes, a row for each budget and kind of window.
 *
 * A request takes from up to four rows (key and tenant, day and month) and must have all or nothing, and nobody may be refused
 * because somebody else held a part for a moment. So its rows are locked, in the order in which they stand, looked at, changed and
 * let go: under a microsecond, without a promise (`row-lock.ts`). An owner that died is let go of by the main thread (`forget`), which
 * therefore waits for no lock longer than a tenth of a second: what it had to do there is done at its next look, and counted.
 *
 * Amounts are whole nano-dollars in float64, exact to 2^53: 9,007,199 USD in one window. The sum of what is reserved is kept, and
 * beside it each worker's share, which goes with a worker that dies.
 *
 * Bounds: BUDGET_ROWS rows of 80 bytes, and 8 bytes a worker; 5 MiB and 512 KiB a worker, touched only where rows are. A row
 * whose window is over, of which nothing is reserved, is anybody's who finds no other. Who finds none has no room: the request is
 * refused (`place` says NO_ROW), because it must not run free.
 */

import { hash } from 'node:crypto';
import { letGo, ownerOf, takeLock } from '../row-lock.ts';

export const BUDGET_ROWS = 65_536;
/** Looked at for one name. At 75 % full a run of so many full rows is one in ten million. */
const PROBES = 64;

const HEAD_BYTES = 64;
const ROW_INTS = 4;
const ROW_FLOATS = 8;
const PLACING = 0;

const LOCK = 0;
const PRINT_LOW = 1;
const PRINT_HIGH = 2;
const LABEL = 3;

const LIMIT = 0;
const GRANTED = 1;
const SPENT = 2;
const RESERVED = 3;
const WANTED = 4;
const ELSEWHERE = 5;
const TOLD = 6;

export const NO_ROW = -1;

/** The name of a row, as it is found. */
export interface RowName {
  readonly low: number;
  readonly high: number;
}

/** @param name of the budget and its kind of window */
export function rowName(name: string): RowName {
  const digest = hash('sha256', name, 'buffer');
  return { low: digest.readInt32LE(0), high: digest.readInt32LE(4) || 1 };
}

/** One row that a request takes from. */
export interface Claim {
  readonly name: RowName;
  /** Where its name was found last. */
  row: number;
  /** The window at whose beginning the request came. */
  label: number;
  readonly limit: number;
  /** False: it is taken whether it fits or not. */
  readonly enforced: boolean;
}

/** How one row stands. */
export interface RowState {
  readonly label: number;
  readonly limit: number;
  readonly granted: number;
  readonly spent: number;
  readonly reserved: number;
  readonly wanted: number;
  readonly elsewhere: number;
  /** Which warnings of this window were told: a bit each. */
  readonly told: number;
}

/** What came of a reservation. */
export type Reserved =
  /** All of it is taken. */
  | { readonly kind: 'taken'; readonly overdrawn: readonly number[] }
  /** A row has no room: nothing is taken. `grant`: its limit has room, what this node was granted has not. */
  | { readonly kind: 'short'; readonly at: number; readonly of: 'limit' | 'grant' }
  /** There is no row for one of them. */
  | { readonly kind: 'full'; readonly at: number };

const TAKEN: Reserved = { kind: 'taken', overdrawn: [] };

/**
 * Makes the memory that all workers share; once per process, on the main thread.
 * @param isWhole each budget is all this node's: nothing has to be granted
 */
export function createBudgetTable(workers: number, isWhole: boolean): SharedArrayBuffer {
  const bytes = HEAD_BYTES + BUDGET_ROWS * (ROW_INTS * 4 + (ROW_FLOATS + workers) * 8);
  const memory = new SharedArrayBuffer(bytes);
  new Int32Array(memory)[WHOLE_AT] = isWhole ? 1 : 0;
  return memory;
}

const WHOLE_AT = 1;
const GRANTING_AT = 2;
const GIVEN_UP_AT = 3;

/** What a worker that died had reserved of a row which was locked just then. */
interface Owed {
  readonly worker: number;
  readonly row: number;
  readonly name: RowName;
  readonly label: number;
  readonly nano: number;
}

/** One thread's access to the shared table. */
export class BudgetTable {
  readonly #head: Int32Array<SharedArrayBuffer>;
  readonly #ints: Int32Array<SharedArrayBuffer>;
  readonly #floats: Float64Array<SharedArrayBuffer>;
  readonly #shares: Float64Array<SharedArrayBuffer>;
  readonly #workers: number;
  readonly #worker: number;
  readonly #owner: number;
  readonly #isWhole: boolean;
  #owed: readonly Owed[] = [];

  /** @param worker whose shares these are; null on the main thread, which reserves nothing */
  constructor(memory: SharedArrayBuffer, worker: number | null) {
    const rest = memory.byteLength - HEAD_BYTES;
    this.#workers = rest / BUDGET_ROWS / 8 - ROW_FLOATS - ROW_INTS / 2;
    this.#head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#ints = new Int32Array(memory, HEAD_BYTES, BUDGET_ROWS * ROW_INTS);
    const floatsAt = HEAD_BYTES + BUDGET_ROWS * ROW_INTS * 4;
    this.#floats = new Float64Array(memory, floatsAt, BUDGET_ROWS * ROW_FLOATS);
    this.#shares = new Float64Array(memory, floatsAt + BUDGET_ROWS * ROW_FLOATS * 8);
    this.#worker = worker ?? -1;
    this.#owner = ownerOf(worker);
    this.#isWhole = Atomics.load(this.#head, WHOLE_AT) === 1;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Whether more than is granted can be granted within milliseconds. */
  get isGranting(): boolean {
    return Atomics.load(this.#head, GRANTING_AT) === 1;
  }

  set isGranting(isGranting: boolean) {
    Atomics.store(this.#head, GRANTING_AT, isGranting ? 1 : 0);
  }

  /** Locks that the main thread waited for in vain, since the process began. */
  get locksGivenUp(): number {
    return Atomics.load(this.#head, GIVEN_UP_AT);
  }

  /**
   * A worker died: its locks are let go of, and what it had reserved is given back. What those requests cost is in no fact of ours
   * either. Of a row that another one died with just then it is given back when that one is forgotten.
   */
  forget(worker: number): void {
    const owner = ownerOf(worker);
    letGo(this.#head, PLACING, owner);
    for (let row = 0; row < BUDGET_ROWS; row++) {
      const at = row * ROW_INTS;
      if (this.#ints[at + PRINT_HIGH] === 0) continue;
      const wasHeld = letGo(this.#ints, at + LOCK, owner);
      const nano = this.#shares[row * this.#workers + worker] ?? 0;
      if (!wasHeld && nano === 0) continue;
      if (!this.#isGivenBack(row, worker, nano)) this.#owe(row, worker, nano);
    }
    this.giveBackOwed();
  }

  /** What could not be given back when a worker was forgotten. */
  giveBackOwed(): void {
    if (this.#owed.length === 0) return;
    this.#owed = this.#owed.filter(({ worker, row, name, label, nano }) => {
      const isSame = this.#isOf(row, name) && this.#ints[row * ROW_INTS + LABEL] === label;
      return isSame && !this.#isGivenBack(row, worker, nano);
    });
  }

  #owe(row: number, worker: number, nano: number): void {
    const at = row * ROW_INTS;
    const [low = 0, high = 0] = this.#ints.subarray(at + PRINT_LOW, at + PRINT_HIGH + 1);
    const label = this.#ints[at + LABEL] ?? 0;
    this.#owed = [...this.#owed, { worker, row, name: { low, high }, label, nano }];
  }

  /** @returns false where its lock was not to be had */
  #isGivenBack(row: number, worker: number, nano: number): boolean {
    if (!this.#lock(row)) return false;
    const share = row * this.#workers + worker;
    // A successor may have reserved of it since.
    this.#shares[share] = (this.#shares[share] ?? 0) - nano;
    // Added up anew: who died with the lock may have changed the one and not the other.
    const shares = this.#shares.subarray(row * this.#workers, (row + 1) * this.#workers);
    this.#floats[row * ROW_FLOATS + RESERVED] = shares.reduce((sum, one) => sum + one, 0);
    this.#unlock(row);
    return true;
  }

  /**
   * The row of a name, taken when there is none yet.
   * @param label of the window that counts now: a row of an earlier one may be taken over
   * @returns NO_ROW when there is no room
   */
  place(name: RowName, label: number): number {
    const first = (name.low >>> 0) % BUDGET_ROWS;
    if (!this.#take(this.#head, PLACING)) return NO_ROW;
    try {
      let free = NO_ROW;
      for (let probe = 0; probe < PROBES; probe++) {
        const row = (first + probe) % BUDGET_ROWS;
        const at = row * ROW_INTS;
        if (this.#isOf(row, name)) return row;
        if (this.#ints[at + PRINT_HIGH] === 0) {
          if (free === NO_ROW) free = row;
          break;
        }
        if (free === NO_ROW && this.#isOver(row, label)) free = row;
      }
      if (free === NO_ROW) return NO_ROW;
      if (!this.#lock(free)) return NO_ROW;
      // It may have been used again since it was looked at.
      const isFree = this.#ints[free * ROW_INTS + PRINT_HIGH] === 0 || this.#isOver(free, label);
      if (isFree) {
        this.#ints[free * ROW_INTS + PRINT_LOW] = name.low;
        this.#ints[free * ROW_INTS + PRINT_HIGH] = name.high;
        this.#begin(free, label);
      }
      this.#unlock(free);
      return isFree ? free : NO_ROW;
    } finally {
      letGo(this.#head, PLACING, this.#owner);
    }
  }

  /** Nothing of it counts any more. */
  #isOver(row: number, label: number): boolean {
    const own = this.#ints[row * ROW_INTS + LABEL] ?? 0;
    // A day's label is longer than a month's: the one is compared in the other's length.
    const now = own > MONTHS_MAX ? label : Math.floor(label > MONTHS_MAX ? label / 100 : label);
    if (own > MONTHS_MAX && label <= MONTHS_MAX) return false;
    return own < now && (this.#floats[row * ROW_FLOATS + RESERVED] ?? 0) === 0;
  }

  /**
   * Takes `nano` from every row, or nothing from any.
   * @param claims by row, ascending, each row once; their rows and labels are set to what counts
   */
  reserve(claims: readonly Claim[], nano: number): Reserved {
    for (;;) {
      const full = this.#placeAll(claims);
      if (full !== NO_ROW) return { kind: 'full', at: full };
      const order = byRow(claims);
      for (const claim of order) this.#lock(claim.row);
      const came = this.#isMoved(claims) ? null : this.#takeAll(claims, nano);
      for (const claim of order) this.#unlock(claim.row);
      if (came !== null) return came;
    }
  }

  /**
   * Takes more into rows in which something is reserved already, or nothing into any. A row whose window is over is passed over:
   * it takes nothing, and nothing of it is to be held to.
   * @param mayPass of a claim, by its place: it is taken whether it fits or not
   */
  reserveMore(
    claims: readonly Claim[],
    nano: number,
    mayPass: (at: number) => boolean,
  ): { readonly at: number; readonly of: 'limit' | 'grant' } | null {
    const order = byRow(claims);
    for (const claim of order) this.#lock(claim.row);
    const short = this.#shortOf(claims, nano, mayPass);
    if (short === null) {
      for (const claim of claims) if (this.#isNow(claim)) this.#hold(claim.row, nano);
    }
    for (const claim of order) this.#unlock(claim.row);
    return short;
  }

  /**
   * The same of as much as there is room for in all of them.
   * @returns nano-dollars that were taken, of each
   */
  reserveRest(claims: readonly Claim[], nano: number, mayPass: (at: number) => boolean): number {
    const order = byRow(claims);
    for (const claim of order) this.#lock(claim.row);
    let taken = nano;
    for (const [at, claim] of claims.entries())
      if (!mayPass(at) && this.#isNow(claim)) taken = Math.min(taken, this.#roomIn(claim));
    taken = Math.max(0, taken);
    for (const claim of claims) if (this.#isNow(claim)) this.#hold(claim.row, taken);
    for (const claim of order) this.#unlock(claim.row);
    return taken;
  }

  #roomIn({ row, limit }: Claim): number {
    const base = row * ROW_FLOATS;
    const used = (this.#floats[base + SPENT] ?? 0) + (this.#floats[base + RESERVED] ?? 0);
    const granted = this.#isWhole ? limit : (this.#floats[base + GRANTED] ?? 0);
    return Math.min(limit, granted) - used;
  }

  #isNow({ row, name, label }: Claim): boolean {
    return this.#isOf(row, name) && this.#ints[row * ROW_INTS + LABEL] === label;
  }

  #shortOf(
    claims: readonly Claim[],
    nano: number,
    mayPass: (at: number) => boolean,
  ): { readonly at: number; readonly of: 'limit' | 'grant' } | null {
    for (const [at, claim] of claims.entries()) {
      if (mayPass(at) || !this.#isNow(claim)) continue;
      const of = this.#shortIn(claim, nano);
      if (of !== null) return { at, of };
    }
    return null;
  }

  #isMoved(claims: readonly Claim[]): boolean {
    for (const { row, name } of claims) if (!this.#isOf(row, name)) return true;
    return false;
  }

  #placeAll(claims: readonly Claim[]): number {
    for (let at = 0; at < claims.length; at++) {
      const claim = claims[at];
      if (claim === undefined) continue;
      if (claim.row === NO_ROW || !this.#isOf(claim.row, claim.name))
        claim.row = this.place(claim.name, claim.label);
      if (claim.row === NO_ROW) return at;
    }
    return NO_ROW;
  }

  #takeAll(claims: readonly Claim[], nano: number): Reserved {
    let overdrawn: number[] | null = null;
    for (let at = 0; at < claims.length; at++) {
      const claim = claims[at];
      if (claim === undefined) continue;
      this.#roll(claim);
      const of = this.#shortIn(claim, nano);
      if (of === null) continue;
      if (claim.enforced) return { kind: 'short', at, of };
      overdrawn ??= [];
      overdrawn.push(at);
    }
    for (const { row } of claims) this.#hold(row, nano);
    return overdrawn === null ? TAKEN : { kind: 'taken', overdrawn };
  }

  /** Why a row has no room for so much more; null: it has. What was granted too little of is noted as wanted. */
  #shortIn({ row, limit, enforced }: Claim, nano: number): 'limit' | 'grant' | null {
    const base = row * ROW_FLOATS;
    const used = (this.#floats[base + SPENT] ?? 0) + (this.#floats[base + RESERVED] ?? 0);
    const granted = this.#isWhole ? limit : (this.#floats[base + GRANTED] ?? 0);
    this.#floats[base + LIMIT] = limit;
    if (used + nano <= Math.min(limit, granted)) return null;
    if (used + nano > limit) return 'limit';
    if (enforced && nano > (this.#floats[base + WANTED] ?? 0)) this.#floats[base + WANTED] = nano;
    return 'grant';
  }

  #hold(row: number, nano: number): void {
    this.#add(row, RESERVED, nano);
    const share = row * this.#workers + this.#worker;
    this.#shares[share] = (this.#shares[share] ?? 0) + nano;
  }

  /** The row's window becomes the claim's, unless it is a later one already: clocks may step back. */
  #roll(claim: Claim): void {
    const own = this.#ints[claim.row * ROW_INTS + LABEL] ?? 0;
    if (own < claim.label) this.#begin(claim.row, claim.label);
    else if (own > claim.label) claim.label = own;
  }

  #begin(row: number, label: number): void {
    this.#ints[row * ROW_INTS + LABEL] = label;
    this.#floats.fill(0, row * ROW_FLOATS, (row + 1) * ROW_FLOATS);
    this.#shares.fill(0, row * this.#workers, (row + 1) * this.#workers);
  }

  /**
   * What was reserved is given back, and what it came to is spent, in one step. A window that is over meanwhile takes neither.
   * @param label of the window that it was reserved in
   */
  settle(name: RowName, row: number, label: number, reserved: number, spent: number): void {
    this.#lock(row);
    if (this.#isOf(row, name) && this.#ints[row * ROW_INTS + LABEL] === label) {
      const share = row * this.#workers + this.#worker;
      this.#shares[share] = (this.#shares[share] ?? 0) - reserved;
      this.#add(row, RESERVED, -reserved);
      this.#add(row, SPENT, spent);
    }
    this.#unlock(row);
  }

  /**
   * Sets what was spent before this process began.
   * @param told which warnings were told: a bit each
   */
  restore(name: RowName, label: number, limit: number, spent: number, told: number): boolean {
    const row = this.place(name, label);
    if (row === NO_ROW || !this.#lock(row)) return false;
    const own = this.#ints[row * ROW_INTS + LABEL] ?? 0;
    if (own < label) this.#begin(row, label);
    if (own <= label) {
      this.#floats[row * ROW_FLOATS + LIMIT] = limit;
      this.#floats[row * ROW_FLOATS + SPENT] = spent;
      this.#floats[row * ROW_FLOATS + TOLD] = told;
    }
    this.#unlock(row);
    return true;
  }

  /** How a row stands; null where it is another one's, or was never used; on the main thread also where it is locked for too long. */
  read(name: RowName, row: number): RowState | null {
    if (!this.#lock(row)) return null;
    const state = this.peek(name, row);
    this.#unlock(row);
    return state;
  }

  /** The same without its lock, for whoever only shows it: its members may be of two moments, a microsecond apart. */
  peek(name: RowName, row: number): RowState | null {
    if (!this.#isOf(row, name)) return null;
    const base = row * ROW_FLOATS;
    return {
      label: this.#ints[row * ROW_INTS + LABEL] ?? 0,
      limit: this.#floats[base + LIMIT] ?? 0,
      granted: this.#isWhole
        ? (this.#floats[base + LIMIT] ?? 0)
        : (this.#floats[base + GRANTED] ?? 0),
      spent: this.#floats[base + SPENT] ?? 0,
      reserved: this.#floats[base + RESERVED] ?? 0,
      wanted: this.#floats[base + WANTED] ?? 0,
      elsewhere: this.#floats[base + ELSEWHERE] ?? 0,
      told: this.#floats[base + TOLD] ?? 0,
    };
  }

  /** The row of a name, where it has one. Looks only. */
  find(name: RowName): number {
    const first = (name.low >>> 0) % BUDGET_ROWS;
    for (let probe = 0; probe < PROBES; probe++) {
      const row = (first + probe) % BUDGET_ROWS;
      if (this.#isOf(row, name)) return row;
      if (this.#ints[row * ROW_INTS + PRINT_HIGH] === 0) return NO_ROW;
    }
    return NO_ROW;
  }

  /**
   * What the node has of a row from now on; never less than what is spent and reserved.
   * @returns what is granted then: what was before where the row is locked for too long; 0 where the window is another one meanwhile
   */
  grant(name: RowName, row: number, label: number, granted: number, elsewhere: number): number {
    if (!this.#lock(row)) return this.#floats[row * ROW_FLOATS + GRANTED] ?? 0;
    let now = 0;
    if (this.#isOf(row, name) && this.#ints[row * ROW_INTS + LABEL] === label) {
      const base = row * ROW_FLOATS;
      now = Math.max(
        granted,
        (this.#floats[base + SPENT] ?? 0) + (this.#floats[base + RESERVED] ?? 0),
      );
      this.#floats[base + GRANTED] = now;
      this.#floats[base + ELSEWHERE] = elsewhere;
    }
    this.#unlock(row);
    return now;
  }

  /** What was wanted is known to whoever grants. */
  heard(name: RowName, row: number): void {
    if (!this.#lock(row)) return;
    if (this.#isOf(row, name)) this.#floats[row * ROW_FLOATS + WANTED] = 0;
    this.#unlock(row);
  }

  /**
   * @param told which warnings of the window were told: a bit each
   * @returns false where that is noted nowhere, and they are to be told at the next look
   */
  warned(name: RowName, row: number, label: number, told: number): boolean {
    if (!this.#lock(row)) return false;
    if (this.#isOf(row, name) && this.#ints[row * ROW_INTS + LABEL] === label)
      this.#floats[row * ROW_FLOATS + TOLD] = told;
    this.#unlock(row);
    return true;
  }

  #isOf(row: number, { low, high }: RowName): boolean {
    const at = row * ROW_INTS;
    return this.#ints[at + PRINT_HIGH] === high && this.#ints[at + PRINT_LOW] === low;
  }

  #add(row: number, member: number, nano: number): void {
    const at = row * ROW_FLOATS + member;
    this.#floats[at] = (this.#floats[at] ?? 0) + nano;
  }

  /** @returns false only on the main thread: it is locked for too long */
  #lock(row: number): boolean {
    return this.#take(this.#ints, row * ROW_INTS + LOCK);
  }

  #unlock(row: number): void {
    letGo(this.#ints, row * ROW_INTS + LOCK, this.#owner);
  }

  #take(words: Int32Array<SharedArrayBuffer>, at: number): boolean {
    if (takeLock(words, at, this.#owner)) return true;
    Atomics.add(this.#head, GIVEN_UP_AT, 1);
    return false;
  }
}

/** Labels of months are no larger; those of days are. */
const MONTHS_MAX = 999_999;

/** Locks are taken in one order, so that no two wait for each other. */
function byRow(claims: readonly Claim[]): readonly Claim[] {
  let isSorted = true;
  for (let at = 1; at < claims.length; at++)
    if ((claims[at - 1]?.row ?? 0) >= (claims[at]?.row ?? 0)) isSorted = false;
  if (isSorted) return claims;
  // By insertion: they are four at most, for which the runtime's sort was 0.4 of 100 us of a request.
  const order = claims.slice();
  for (let from = 1; from < order.length; from++) {
    for (let at = from; at > 0; at--) {
      const before = order[at - 1];
      const behind = order[at];
      if (before === undefined || behind === undefined || before.row <= behind.row) break;
      order[at - 1] = behind;
      order[at] = before;
    }
  }
  return order;
}
