/**
 * Which stored responses are followed for their bill, in memory that all workers of a node share: a response may be deleted
 * through any of them, and what is deleted tells no bill any more.
 *
 * A slot is 64 bits of a hash of its name, 0 for none, and a word by which somebody asks that it be looked at. Each worker
 * writes its own slots; the word is anybody's to set.
 */

import { hash } from 'node:crypto';

/** Slots of a worker. Two names of one hash among so many: one in 10^13. */
export const FOLLOWED_MAX = 1_024;

const SLOT_BYTES = 12;

/** Makes the memory; once per process. */
export function createFollowedTable(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(workers * FOLLOWED_MAX * SLOT_BYTES);
}

/** One worker's access to the table. */
export class FollowedTable {
  readonly #prints: BigInt64Array<SharedArrayBuffer>;
  readonly #asked: Int32Array<SharedArrayBuffer>;
  readonly #first: number;

  constructor(memory: SharedArrayBuffer, worker: number) {
    const slots = memory.byteLength / SLOT_BYTES;
    this.#prints = new BigInt64Array(memory, 0, slots);
    this.#asked = new Int32Array(memory, slots * 8, slots);
    this.#first = worker * FOLLOWED_MAX;
  }

  /** What this worker's predecessor followed is followed by nobody. */
  reset(): void {
    for (let slot = this.#first; slot < this.#first + FOLLOWED_MAX; slot++)
      Atomics.store(this.#prints, slot, 0n);
  }

  /** @returns the slot; -1 when there is none left */
  enter(name: string): number {
    for (let slot = this.#first; slot < this.#first + FOLLOWED_MAX; slot++) {
      if (Atomics.load(this.#prints, slot) !== 0n) continue;
      Atomics.store(this.#asked, slot, 0);
      Atomics.store(this.#prints, slot, printOf(name));
      return slot;
    }
    return -1;
  }

  leave(slot: number): void {
    if (slot >= 0) Atomics.store(this.#prints, slot, 0n);
  }

  /** Whether somebody asked since the last time. */
  wasAsked(slot: number): boolean {
    return slot >= 0 && Atomics.exchange(this.#asked, slot, 0) !== 0;
  }

  /**
   * Asks that it be looked at at once, whichever worker follows it.
   * @returns whether one does
   */
  ask(name: string): boolean {
    const slot = this.#prints.indexOf(printOf(name));
    if (slot < 0) return false;
    Atomics.store(this.#asked, slot, 1);
    return true;
  }
}

function printOf(name: string): bigint {
  return hash('sha256', name, 'buffer').readBigInt64LE(0) || 1n;
}
