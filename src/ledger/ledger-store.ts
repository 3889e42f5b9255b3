import { existsSync, mkdirSync } from 'node:fs';
import { DayFile, DayReader } from './day-file.ts';
import { FactReader, type ReadFact } from './fact-reader.ts';
import { type DayNumber, dayOf, LedgerFiles } from './ledger-files.ts';
import { bringUp } from './ledger-schema.ts';
import { openSqlite, type SqlFile } from './sqlite.ts';

/** Only the operator reads what tenants use. */
const FOLDER_MODE = 0o700;

/** Days that are written at a time: today, yesterday around midnight, and one that catches up. */
const OPEN_MAX = 3;

/** Days that are read at a time; a file more is opened for each look. */
const READERS_MAX = 128;

const LF = 0x0a;

/** What came of some lines. */
export interface Taken {
  readonly added: number;
  /** They were there already. */
  readonly known: number;
  /** They are no usage facts. */
  readonly unreadable: number;
}

/** What was used: takes facts once, finds them again. */
export interface LedgerStore {
  /**
   * @param lines whole ones, each ended by a newline; when it returns they are kept
   * @throws Error where the disk does not take them: none of a day's is kept then
   */
  add(lines: Uint8Array): Taken;
  /** The facts of a request's attempts, JSON texts as they came. */
  find(requestId: string): readonly string[];
  close(): void;
}

/** The ledger in files of SQLite, one for each UTC day. */
export class SqliteLedger implements LedgerStore {
  readonly files: LedgerFiles;
  readonly kept: SqlFile;
  readonly #reader = new FactReader();
  readonly #open = new Map<DayNumber, DayFile>();
  readonly #readers = new Map<DayNumber, DayReader>();
  /** Days whose files are gone, or are going. */
  readonly #folded: Set<DayNumber>;
  /** Days that may have hours that are over and not added up. */
  readonly #unsummed: Set<DayNumber>;

  /**
   * @param dataDir where its folder is made
   * @throws LedgerRefused where a newer Sluice wrote it; Error with SQLite's or the system's words
   */
  constructor(dataDir: string) {
    this.files = new LedgerFiles(dataDir);
    mkdirSync(this.files.folder, { recursive: true, mode: FOLDER_MODE });
    this.kept = openSqlite(this.files.kept, 'write');
    try {
      bringUp(this.kept, this.files.kept, 'kept');
      this.kept.exec('PRAGMA synchronous = NORMAL');
      const rows = this.kept
        .prepare('SELECT file FROM folded UNION SELECT file FROM folding')
        .all();
      this.#folded = new Set(rows.map(({ file }) => Number(file)));
      // The newest tells of a newer Sluice, before anything is written.
      const newest = this.files.days().at(-1);
      this.#unsummed = new Set(this.days());
      if (newest !== undefined) this.#dayFile(newest);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  add(lines: Uint8Array): Taken {
    const byDay = new Map<DayNumber, ReadFact[]>();
    let unreadable = 0;
    let count = 0;
    for (const line of textLines(lines)) {
      const fact = this.#reader.read(line);
      if (fact === null) {
        unreadable++;
        continue;
      }
      count++;
      const day = this.#dayFor(fact.atMs);
      const facts = byDay.get(day);
      if (facts === undefined) byDay.set(day, [fact]);
      else facts.push(fact);
    }
    let added = 0;
    for (const [day, facts] of byDay) {
      this.#unsummed.add(day);
      try {
        added += this.#dayFile(day).add(facts);
      } catch (error) {
        // What it believes to have written is not there.
        this.#forget(day);
        throw error;
      }
    }
    return { added, known: count - added, unreadable };
  }

  find(requestId: string): readonly string[] {
    // A request's attempts may stand on both sides of midnight.
    return this.days().flatMap((day) => this.reader(day).find(requestId));
  }

  /** The days whose facts are there, the oldest first. */
  days(): readonly DayNumber[] {
    return this.files.days().filter((day) => !this.#folded.has(day));
  }

  /** Facts of a day that a data base has not been sent, in the order in which they came. */
  unsent(day: DayNumber, sink: string, limit: number): ReturnType<DayReader['after']> {
    const reader = this.reader(day);
    return reader.after(reader.sentUpTo(sink), limit);
  }

  /** Up to this one they are there. */
  markSent(day: DayNumber, sink: string, seq: number): void {
    this.#dayFile(day).markSent(sink, seq);
  }

  /**
   * Adds up one hour or day more of those that are over.
   * @returns false when there is none
   */
  sumUp(nowMs: number): boolean {
    for (const day of this.#unsummed) {
      if (this.#folded.has(day)) this.#unsummed.delete(day);
      else if (this.#dayFile(day).sumUp(nowMs)) return true;
      else if (day < dayOf(nowMs)) this.#unsummed.delete(day);
    }
    return false;
  }

  /** The same of one day, which is over whatever the clock says. */
  sumUpDay(day: DayNumber): boolean {
    return this.#dayFile(day).sumUp(Number.POSITIVE_INFINITY);
  }

  /** The facts of a day. */
  reader(day: DayNumber): DayReader {
    const open = this.#readers.get(day);
    if (open !== undefined) return open;
    if (this.#readers.size >= READERS_MAX) {
      const [oldest] = this.#readers.keys();
      if (oldest !== undefined) this.#drop(this.#readers, oldest);
    }
    const reader = new DayReader(this.files.day(day));
    this.#readers.set(day, reader);
    return reader;
  }

  /** A day's file is read and written no more. */
  leave(day: DayNumber): void {
    this.#folded.add(day);
    this.#forget(day);
  }

  close(): void {
    for (const day of [...this.#open.keys(), ...this.#readers.keys()]) this.#forget(day);
    this.kept.close();
  }

  /** A fact that comes when its day's file is gone stands in today's; its sums are of its own time. */
  #dayFor(atMs: number): DayNumber {
    const day = dayOf(atMs);
    return this.#folded.has(day) ? dayOf(Date.now()) : day;
  }

  #dayFile(day: DayNumber): DayFile {
    const open = this.#open.get(day);
    if (open !== undefined && existsSync(this.files.day(day))) return open;
    this.#forget(day);
    if (this.#open.size >= OPEN_MAX) {
      const [oldest] = this.#open.keys();
      if (oldest !== undefined) this.#drop(this.#open, oldest);
    }
    const file = new DayFile(this.files.day(day));
    this.#open.set(day, file);
    return file;
  }

  #forget(day: DayNumber): void {
    this.#drop(this.#open, day);
    this.#drop(this.#readers, day);
  }

  #drop(files: Map<DayNumber, { close(): void }>, day: DayNumber): void {
    const file = files.get(day);
    files.delete(day);
    file?.close();
  }
}

function* textLines(lines: Uint8Array): Iterable<string> {
  const bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.length);
  let from = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, from)) {
    yield bytes.toString('latin1', from, at);
    from = at + 1;
  }
}
