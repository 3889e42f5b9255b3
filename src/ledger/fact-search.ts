import { DayReader, type FactWish, type FoundFact } from './day-file.ts';
import { type DayNumber, dayOf, LedgerFiles } from './ledger-files.ts';

/** Looked at for one question: some 30 ms. Who looks for something rare comes again from where this one came to. */
const LOOKS_MAX = 65_536;

/** Days that are open at a time: those of a month. Each is three file descriptors, and some memory of SQLite. */
const READERS_MAX = 40;

/** Where a search goes on. */
export interface FactPlace {
  readonly day: DayNumber;
  /** Before this fact of it. */
  readonly seq: number;
}

/** Some facts, the last that were kept first. */
export interface FactPage {
  readonly found: readonly FoundFact[];
  /** Null: there are no more. */
  readonly next: FactPlace | null;
  /** How far back it came, in milliseconds; null: all that was asked for was looked at. */
  readonly searchedToMs: number | null;
}

/**
 * Facts of a ledger one by one, read beside whoever writes it. In the order in which they were kept, which is that of their time
 * but for what waited in a backlog.
 */
export class FactSearch {
  readonly #files: LedgerFiles;
  readonly #readers = new Map<DayNumber, DayReader>();

  /** @param dataDir the configuration's `data_dir` */
  constructor(dataDir: string) {
    this.#files = new LedgerFiles(dataDir);
  }

  get exists(): boolean {
    return this.#files.exists;
  }

  /**
   * @param from where an earlier page ended; null: from the youngest on
   * @param limit so many facts, at most
   * @param looks so many are looked at, at most
   * @throws Error where a file cannot be read
   */
  page(wish: FactWish, from: FactPlace | null, limit: number, looks = LOOKS_MAX): FactPage {
    const found: FoundFact[] = [];
    let left = looks;
    for (const day of this.#days().toReversed()) {
      if (from !== null && day > from.day) continue;
      // Facts are never in a file that is older than they are.
      if (day < dayOf(wish.fromMs)) break;
      const reader = this.#reader(day);
      const span = reader?.span() ?? null;
      if (reader === null || span === null) continue;
      if (span.toMs <= wish.fromMs || span.fromMs >= wish.toMs) continue;
      const end = reader.lastSeq() + 1;
      const before = from?.day === day ? Math.min(from.seq, end) : end;
      if (before <= 1) continue;
      if (left <= 0) return { found, next: { day, seq: before }, searchedToMs: span.toMs };
      const came = reader.search(wish, before, left, limit - found.length);
      found.push(...came.found);
      left -= came.looks;
      const isWhole = came.seq <= 1;
      if (found.length === limit && isWhole) return { found, ...this.#behind(wish, day) };
      if (!isWhole)
        return { found, next: { day, seq: came.seq }, searchedToMs: came.atMs ?? span.fromMs };
    }
    return { found, next: null, searchedToMs: null };
  }

  /** The facts of a request's attempts, JSON texts as they came. */
  find(requestId: string): readonly string[] {
    // A request's attempts may stand on both sides of midnight.
    return this.#days().flatMap((day) => this.#reader(day)?.find(requestId) ?? []);
  }

  close(): void {
    for (const reader of this.#readers.values()) reader.close();
    this.#readers.clear();
  }

  /** Where it goes on behind a day that was looked through. */
  #behind({ fromMs }: FactWish, day: DayNumber): Pick<FactPage, 'next' | 'searchedToMs'> {
    const before = this.#days().findLast((other) => other < day && other >= dayOf(fromMs));
    if (before === undefined) return { next: null, searchedToMs: null };
    const next = { day: before, seq: Number.MAX_SAFE_INTEGER };
    return { next, searchedToMs: this.#reader(day)?.span()?.fromMs ?? null };
  }

  /** Those whose files are there, the oldest first. What is open of others is closed. */
  #days(): readonly DayNumber[] {
    const days = this.#files.days();
    for (const [day, reader] of this.#readers) {
      if (days.includes(day)) continue;
      this.#readers.delete(day);
      reader.close();
    }
    return days;
  }

  /** @returns null where its file has just gone */
  #reader(day: DayNumber): DayReader | null {
    const known = this.#readers.get(day);
    if (known !== undefined) return known;
    const [oldest] = this.#readers;
    if (this.#readers.size >= READERS_MAX && oldest !== undefined) {
      this.#readers.delete(oldest[0]);
      oldest[1].close();
    }
    try {
      const reader = new DayReader(this.#files.day(day));
      this.#readers.set(day, reader);
      return reader;
    } catch (error) {
      if (!this.#files.days().includes(day)) return null;
      throw error;
    }
  }
}
