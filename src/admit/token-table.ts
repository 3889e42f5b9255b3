/**
 * Which tokens have been verified on this node: a table of fingerprints in shared memory, so that a token that one
 * worker has checked costs no other worker a check, and a flood of forged ones cannot take it from whoever meets a
 * worker that does not know it yet.
 *
 * Decision: a fingerprint is SHA-256 over 32 random bytes of this boot, the public key and the token, cut to 128 bits.
 * - Nobody can forge one: without the random bytes no collision can be searched for, and 2^128 guesses are no attack.
 * - Since the public key is part of it, an entry says "this key signed this token", which stays true for ever: a reload
 *   has nothing to forget here, because under another key of the same kid nothing of it is found, whichever worker
 *   reloads first.
 * - Written without a lock, an entry may be read half old and half new. Such a mixture is 128 bits that nobody can know
 *   or aim at, so it lets nobody in; at worst a token is checked once more.
 *
 * Only tokens whose signature held get in: strangers cannot fill it. 2 MiB whatever happens; a full set gives up one of
 * its cells at random, which costs a check later.
 */

import { hash, randomBytes } from 'node:crypto';

/** Twice as many as one worker keeps: sets overflow seldom at that load. */
const CELLS = 131_072;
/** Two cache lines. */
const WAYS = 8;
const SETS = CELLS / WAYS;
const CELL_WORDS = 4;

const SECRET_BYTES = 32;
/** RFC 8032 §5.1.5. */
export const PUBLIC_KEY_BYTES = 32;
/** Before the cells, in int32; a cache line. */
const HEADER_WORDS = 16;

// A digest has 32 bytes: the first 16 are the fingerprint, the next four say where it is, one more what it may displace.
const SET_BYTE = 16;
const VICTIM_BYTE = 20;

/** Makes the memory that all workers share; once per process, on the main thread. */
export function createTokenTable(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((HEADER_WORDS + CELLS * CELL_WORDS) * 4);
  new Uint8Array(memory, 0, SECRET_BYTES).set(randomBytes(SECRET_BYTES));
  return memory;
}

/** One thread's access to the shared table. */
export class TokenTable {
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** Secret, public key, token: what is hashed, put together in place. */
  readonly #hashed: Buffer;

  /**
   * @param memory from `createTokenTable`
   * @param tokenMaxBytes of the longest token that will be asked for
   */
  constructor(memory: SharedArrayBuffer, tokenMaxBytes: number) {
    this.#words = new Int32Array(memory);
    this.#hashed = Buffer.alloc(SECRET_BYTES + PUBLIC_KEY_BYTES + tokenMaxBytes);
    this.#hashed.set(new Uint8Array(memory, 0, SECRET_BYTES));
  }

  /**
   * @param token in ASCII, of sound grammar
   * @param publicKey the 32 bytes of the key of the token's kid
   * @returns whether any worker has found the token to be signed by that key
   */
  has(token: string, publicKey: Uint8Array): boolean {
    const print = this.#fingerprint(token, publicKey);
    const set = setOf(print);
    for (let way = 0; way < WAYS; way++) {
      if (this.#holds(set + way * CELL_WORDS, print)) return true;
    }
    return false;
  }

  /** Only for a token whose signature held. */
  add(token: string, publicKey: Uint8Array): void {
    const print = this.#fingerprint(token, publicKey);
    const at = this.#cellFor(setOf(print), print);
    for (let word = 0; word < CELL_WORDS; word++) {
      Atomics.store(this.#words, at + word, print.readInt32LE(word * 4));
    }
  }

  #holds(at: number, print: Buffer): boolean {
    for (let word = 0; word < CELL_WORDS; word++) {
      if (Atomics.load(this.#words, at + word) !== print.readInt32LE(word * 4)) return false;
    }
    return true;
  }

  /** An empty cell of the set, else one that the fingerprint itself picks: nobody can aim at a neighbour's. */
  #cellFor(set: number, print: Buffer): number {
    for (let way = 0; way < WAYS; way++) {
      const at = set + way * CELL_WORDS;
      if (Atomics.load(this.#words, at) === 0 || this.#holds(at, print)) return at;
    }
    return set + (print.readUInt8(VICTIM_BYTE) % WAYS) * CELL_WORDS;
  }

  #fingerprint(token: string, publicKey: Uint8Array): Buffer {
    const hashed = this.#hashed;
    hashed.set(publicKey, SECRET_BYTES);
    const from = SECRET_BYTES + PUBLIC_KEY_BYTES;
    const end = from + hashed.write(token, from, 'latin1');
    return hash('sha256', hashed.subarray(0, end), 'buffer');
  }
}

/** Where a fingerprint's set begins, in words. */
function setOf(print: Buffer): number {
  return HEADER_WORDS + (print.readUInt32LE(SET_BYTE) % SETS) * WAYS * CELL_WORDS;
}
