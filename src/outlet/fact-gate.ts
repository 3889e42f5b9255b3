/**
 * Whether a usage fact has somewhere to go: one word of shared memory, written by the main thread and read by every
 * worker before it takes a request that would make one (`facts_lost = "refuse"`).
 */

const OPEN = 0;
const SHUT = 1;

/** Makes the memory that all threads share; once per process. It begins open. */
export function createFactGate(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** One thread's view of it. */
export class FactGate {
  readonly #word: Int32Array<SharedArrayBuffer>;

  /** @param memory from `createFactGate` */
  constructor(memory: SharedArrayBuffer) {
    this.#word = new Int32Array(memory);
  }

  get isOpen(): boolean {
    return Atomics.load(this.#word, 0) === OPEN;
  }

  set isOpen(isOpen: boolean) {
    Atomics.store(this.#word, 0, isOpen ? OPEN : SHUT);
  }
}
