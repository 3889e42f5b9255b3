/**
 * How much of exchanges waits to be logged, and how many found no room: two words of shared memory, so that a worker knows
 * without asking anybody. Nobody waits for the log: what has no room is dropped, and counted.
 */

/** UTF-16 units that wait, of the whole node: some hundred exchanges of the largest kind. */
export const ROOM_UNITS = 16 * 1_048_576;

const WAITING = 0;
const DROPPED = 1;
const WORDS = 2;

/** Makes the memory that all threads share; once per process. */
export function createLogRoom(): SharedArrayBuffer {
  return new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT);
}

/** One thread's view of it. */
export class LogRoom {
  readonly #words: Int32Array<SharedArrayBuffer>;

  /** @param memory from `createLogRoom` */
  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory);
  }

  get waiting(): number {
    return Atomics.load(this.#words, WAITING);
  }

  /** Records that are in no file. */
  get dropped(): number {
    return Atomics.load(this.#words, DROPPED) >>> 0;
  }

  /** @returns false when there is none: the record is counted as dropped */
  take(units: number): boolean {
    if (Atomics.add(this.#words, WAITING, units) + units <= ROOM_UNITS) return true;
    this.giveBack(units);
    this.drop();
    return false;
  }

  giveBack(units: number): void {
    Atomics.sub(this.#words, WAITING, units);
  }

  drop(): void {
    Atomics.add(this.#words, DROPPED, 1);
  }
}
