import type { AnswerStore, KeptAnswer, PurgeScope } from './answer-store.ts';

/**
 * What an answer takes beside its content and its texts, in bytes: objects, the key, its place in the table. Measured: 65,536
 * answers of one byte, and of 2,000, made a process larger by 1,600 bytes each, beside their content.
 */
const ANSWER_BYTES = 1_500;

/** What the node tells of its memory. */
export interface MemoryCounts {
  /** @param bytes in use now. @param answers that are here now */
  holds(bytes: number, answers: number): void;
  /** Answers gave way to newer ones before they were too old. */
  evicted(count: number): void;
}

/**
 * Answers in memory, bounded in bytes: the one that was not asked for the longest gives way. A `Map` keeps its entries in the
 * order in which they were put, so what was asked for is put again.
 */
export class MemoryStore implements AnswerStore {
  readonly #answers = new Map<string, KeptAnswer>();
  readonly #counts: MemoryCounts;
  readonly #now: () => number;
  #maxBytes: number;
  #bytes = 0;

  /** @param maxBytes of all answers together, what they take beside their content included */
  constructor(maxBytes: number, counts: MemoryCounts, now: () => number = Date.now) {
    this.#maxBytes = maxBytes;
    this.#counts = counts;
    this.#now = now;
  }

  /** Another configuration may leave room for less. */
  set maxBytes(bytes: number) {
    this.#maxBytes = bytes;
    this.#makeRoom();
    this.#tell();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#answers.size;
  }

  get(key: string, found: (answer: KeptAnswer | null) => void): void {
    const answer = this.#answers.get(key);
    if (answer === undefined) {
      found(null);
    } else if (answer.expiresMs <= this.#now()) {
      this.#drop(key, answer);
      this.#tell();
      found(null);
    } else {
      this.#answers.delete(key);
      this.#answers.set(key, answer);
      found(answer);
    }
  }

  put(key: string, answer: KeptAnswer): void {
    const before = this.#answers.get(key);
    if (before !== undefined) this.#drop(key, before);
    this.#answers.set(key, answer);
    this.#bytes += bytesOf(key, answer);
    this.#makeRoom();
    this.#tell();
  }

  purge({ tenant, key }: PurgeScope, done: (count: number) => void): void {
    let count = 0;
    for (const [name, answer] of this.#answers) {
      const { made } = answer;
      if ((tenant !== null && made.tenant !== tenant) || (key !== null && made.key !== key))
        continue;
      this.#drop(name, answer);
      count++;
    }
    this.#tell();
    done(count);
  }

  close(): void {
    for (const [key, answer] of this.#answers) this.#drop(key, answer);
  }

  #makeRoom(): void {
    let evicted = 0;
    for (const [key, answer] of this.#answers) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#drop(key, answer);
      evicted++;
    }
    if (evicted > 0) this.#counts.evicted(evicted);
  }

  #drop(key: string, answer: KeptAnswer): void {
    this.#answers.delete(key);
    this.#bytes -= bytesOf(key, answer);
    // At once: the collector comes when it likes, and this thread allocates too little for it to like.
    answer.body.buffer.transfer(0);
  }

  #tell(): void {
    this.#counts.holds(this.#bytes, this.#answers.size);
  }
}

function bytesOf(key: string, { head, body }: KeptAnswer): number {
  return body.length + head.lines.length + key.length + ANSWER_BYTES;
}
