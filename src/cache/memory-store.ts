import { AnswerArena, BLOCK_BYTES, type Stored } from './answer-arena.ts';
import type { AnswerStore, KeptAnswer, PurgeScope, Survey } from './answer-store.ts';

/**
 * What an answer takes beside its content and its texts, in bytes: objects, the key, its place in the table. Measured: 20,000
 * answers made a process larger by 1,100 bytes each, their texts included.
 */
const ANSWER_BYTES = 1_000;

/** What the node tells of its memory. */
export interface MemoryCounts {
  /** @param bytes in use now. @param answers that are here now */
  holds(bytes: number, answers: number): void;
  /** Answers gave way to newer ones before they were too old. */
  evicted(count: number): void;
}

/** An answer without its content, and where that is. */
type Entry = Omit<KeptAnswer, 'body'> & { readonly stored: Stored };

/**
 * Answers in memory, bounded in bytes: the one that was not asked for the longest gives way. A `Map` keeps its entries in the
 * order in which they were put, so what was asked for is put again.
 */
export class MemoryStore implements AnswerStore {
  readonly #answers = new Map<string, Entry>();
  readonly #counts: MemoryCounts;
  readonly #now: () => number;
  #maxBytes: number;
  #arena: AnswerArena;
  #bytes = 0;

  /** @param maxBytes of all answers together, what they take beside their content included */
  constructor(maxBytes: number, counts: MemoryCounts, now: () => number = Date.now) {
    this.#maxBytes = maxBytes;
    this.#arena = new AnswerArena(maxBytes);
    this.#counts = counts;
    this.#now = now;
  }

  /** Another configuration may leave room for less, or more: what is here moves as far as it fits. */
  set maxBytes(bytes: number) {
    if (bytes === this.#maxBytes) return;
    this.#maxBytes = bytes;
    this.#makeRoom(0);
    const before = this.#arena;
    const arena = new AnswerArena(bytes);
    for (const [key, entry] of this.#answers) {
      const stored = arena.put(before.get(entry.stored));
      if (stored === null) this.#drop(key, entry);
      else this.#answers.set(key, { ...entry, stored });
    }
    this.#arena = arena;
    this.#tell();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#answers.size;
  }

  get(key: string, found: (answer: KeptAnswer | null) => void): void {
    const entry = this.#answers.get(key);
    if (entry === undefined) {
      found(null);
    } else if (entry.expiresMs <= this.#now()) {
      this.#drop(key, entry);
      this.#tell();
      found(null);
    } else {
      this.#answers.delete(key);
      this.#answers.set(key, entry);
      const { stored, ...answer } = entry;
      const body = this.#arena.get(stored);
      found({ ...answer, body });
      // Whoever was told has a copy: this one need not wait for the collector.
      if (!body.buffer.detached) body.buffer.transfer(0);
    }
  }

  put(key: string, { body, ...answer }: KeptAnswer): void {
    const before = this.#answers.get(key);
    if (before !== undefined) this.#drop(key, before);
    const bytes = bytesOf(key, answer, body.length);
    if (bytes <= this.#maxBytes) {
      this.#makeRoom(bytes);
      const stored = this.#arena.put(body);
      if (stored !== null) {
        this.#answers.set(key, { ...answer, stored });
        this.#bytes += bytes;
      }
    }
    body.buffer.transfer(0);
    this.#tell();
  }

  purge({ tenant, key }: PurgeScope, done: (count: number) => void): void {
    let count = 0;
    for (const [name, entry] of this.#answers) {
      const { made } = entry;
      if ((tenant !== null && made.tenant !== tenant) || (key !== null && made.key !== key))
        continue;
      this.#drop(name, entry);
      count++;
    }
    this.#tell();
    done(count);
  }

  survey(limit: number, done: (survey: Survey | null) => void): void {
    const largest: Entry[] = [];
    let least = 0;
    for (const entry of this.#answers.values()) {
      if (largest.length === limit && entry.stored.bytes <= least) continue;
      largest.push(entry);
      largest.sort((one, other) => other.stored.bytes - one.stored.bytes);
      if (largest.length > limit) largest.pop();
      least = largest.at(-1)?.stored.bytes ?? 0;
    }
    done({
      answers: this.#answers.size,
      bytes: this.#bytes,
      isWhole: true,
      largest: largest.map(({ made, stored, madeMs, expiresMs }) => ({
        tenant: made.tenant,
        key: made.key,
        model: made.model,
        route: made.route,
        bytes: stored.bytes,
        madeMs,
        expiresMs,
      })),
    });
  }

  close(): void {
    for (const [key, entry] of this.#answers) this.#drop(key, entry);
  }

  /** @param bytes that are to come */
  #makeRoom(bytes: number): void {
    let evicted = 0;
    for (const [key, entry] of this.#answers) {
      if (this.#bytes + bytes <= this.#maxBytes) break;
      this.#drop(key, entry);
      evicted++;
    }
    if (evicted > 0) this.#counts.evicted(evicted);
  }

  #drop(key: string, entry: Entry): void {
    this.#answers.delete(key);
    this.#arena.drop(entry.stored);
    this.#bytes -= bytesOf(key, entry, entry.stored.bytes);
  }

  #tell(): void {
    this.#counts.holds(this.#bytes, this.#answers.size);
  }
}

function bytesOf(
  key: string,
  { head, made }: Pick<KeptAnswer, 'head' | 'made'>,
  bytes: number,
): number {
  const blocks = Math.ceil(bytes / BLOCK_BYTES);
  // Names are as long as whoever asked, or answered, made them.
  const names = [made.model, made.targetModel, made.route];
  const named = names.reduce((sum, name) => sum + (name?.length ?? 0), 0);
  return blocks * BLOCK_BYTES + head.lines.length + named + key.length + ANSWER_BYTES;
}
