import type { MemoryCounts } from './memory-store.ts';
import { REDIS_FAULTS, type RedisFault } from './redis-faults.ts';

/** Handed to the cache's thread at its start. */
export interface CacheStart {
  readonly counts: SharedArrayBuffer;
  /** Bytes. */
  readonly maxBytes: number;
  /** Where answers are kept; null: in this thread's memory. */
  readonly redisUrl: string | null;
}

const CELLS = { bytes: 0, answers: 1, evicted: 2, isRedisUp: 3, faults: 4 } as const;
const CELLS_COUNT = CELLS.faults + REDIS_FAULTS.length;

export function createCacheCounts(): SharedArrayBuffer {
  return new SharedArrayBuffer(CELLS_COUNT * Float64Array.BYTES_PER_ELEMENT);
}

/** How the node's cache stands: written by its thread, read by whoever is asked for metrics. */
export class CacheCounts implements MemoryCounts {
  readonly #cells: Float64Array<SharedArrayBuffer>;
  readonly hasRedis: boolean;

  constructor(memory: SharedArrayBuffer, hasRedis = false) {
    this.#cells = new Float64Array(memory);
    this.hasRedis = hasRedis;
  }

  holds(bytes: number, answers: number): void {
    this.#cells[CELLS.bytes] = bytes;
    this.#cells[CELLS.answers] = answers;
  }

  evicted(count: number): void {
    this.#cells[CELLS.evicted] = this.answersEvicted + count;
  }

  redisUp(isUp: boolean): void {
    this.#cells[CELLS.isRedisUp] = isUp ? 1 : 0;
  }

  redisFault(fault: RedisFault): void {
    const cell = CELLS.faults + REDIS_FAULTS.indexOf(fault);
    this.#cells[cell] = (this.#cells[cell] ?? 0) + 1;
  }

  /** Whether a Redis is asked now; null: there is none. */
  get isRedisUp(): boolean | null {
    return this.hasRedis ? this.#cells[CELLS.isRedisUp] === 1 : null;
  }

  /** Since the start. */
  redisFaults(fault: RedisFault): number {
    return this.#cells[CELLS.faults + REDIS_FAULTS.indexOf(fault)] ?? 0;
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
