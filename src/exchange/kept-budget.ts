/** Int32 words of a worker's slab: one cache line, so that workers do not slow each other down. */
const SLAB_WORDS = 16;
/** Memory is counted in KiB: int32 then holds 2 TiB. */
const UNIT_BYTES = 1024;

/** The memory in which a node's workers count what they keep of one kind; once per process. */
export function createKeptMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * SLAB_WORDS * 4);
}

/** How many bytes a node may keep of one kind, all workers together. A worker counts in its own slab, which ends with it. */
export class KeptBudget {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #own: number;
  readonly #maxBytes: number;

  /** @param maxBytes of all workers together; 0 = no limit */
  constructor(memory: SharedArrayBuffer, worker: number, maxBytes: number) {
    this.#words = new Int32Array(memory);
    this.#own = worker * SLAB_WORDS;
    this.#maxBytes = maxBytes;
  }

  /** A worker that begins has kept nothing yet, whatever the one before it in this place had. */
  reset(): void {
    Atomics.store(this.#words, this.#own, 0);
  }

  /** @returns false when the node keeps as much as it may: nothing was taken then */
  take(bytes: number): boolean {
    return this.grow(0, bytes);
  }

  /**
   * Takes what is missing, so that nobody gets meanwhile what was taken before.
   * @param from bytes that were taken
   * @returns false when the node keeps as much as it may: nothing changed then
   */
  grow(from: number, to: number): boolean {
    const units = unitsOf(to) - unitsOf(from);
    if (this.#maxBytes > 0 && (this.#kept() + units) * UNIT_BYTES > this.#maxBytes) return false;
    Atomics.add(this.#words, this.#own, units);
    return true;
  }

  /** @param bytes exactly as they were taken */
  give(bytes: number): void {
    Atomics.sub(this.#words, this.#own, unitsOf(bytes));
  }

  /** Bytes that the node keeps now. */
  get keptBytes(): number {
    return this.#kept() * UNIT_BYTES;
  }

  #kept(): number {
    let units = 0;
    for (let at = 0; at < this.#words.length; at += SLAB_WORDS)
      units += Atomics.load(this.#words, at);
    return units;
  }
}

function unitsOf(bytes: number): number {
  return Math.ceil(bytes / UNIT_BYTES);
}
