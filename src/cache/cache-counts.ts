import type { MemoryCounts } from './memory-store.ts';

/** Handed to the cache's thread at its start. */
export interface CacheStart {
  readonly counts: SharedArrayBuffer;
  /** Bytes. */
  readonly maxBytes: number;
}

const CELLS = { bytes: 0, answers: 1, evicted: 2 } as const;

export function createCacheCounts(): SharedArrayBuffer {
  return new SharedArrayBuffer(Object.keys(CELLS).length * Float64Array.BYTES_PER_ELEMENT);
}

/** How the node's cache stands: written by its thread, read by whoever is asked for metrics. */
export class CacheCounts implements MemoryCounts {
  readonly #cells: Float64Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer) {
    this.#cells = new Float64Array(memory);
  }

  holds(bytes: number, answers: number): void {
    this.#cells[CELLS.bytes] = bytes;
    this.#cells[CELLS.answers] = answers;
  }

  evicted(count: number): void {
    this.#cells[CELLS.evicted] = this.answersEvicted + count;
  }

  /** In use, what answers take beside their content included. */
  get bytes(): number {
    return this.#cells[CELLS.bytes] ?? 0;
  }

  get answers(): number {
    return this.#cells[CELLS.answers] ?? 0;
  }

  /** Since the start: answers that gave way to newer ones. */
  get answersEvicted(): number {
    return this.#cells[CELLS.evicted] ?? 0;
  }
}
