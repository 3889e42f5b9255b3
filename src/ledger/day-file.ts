import { DIMENSIONS, type FactCounts, FactKind } from './fact-kind.ts';
import { FactPartsWriter, readFactParts } from './fact-parts.ts';
import { type FactPart, splitFact } from './fact-template.ts';
import { dayOf, quarterOf } from './ledger-files.ts';
import { bringUp, checkVersion, SUMS } from './ledger-schema.ts';
import { openSqlite, type SqlFile, type SqlRow, type SqlStatement } from './sqlite.ts';

/** Kinds, groups and origins that are known without asking the file; what is beyond is asked for again. */
const KNOWN_MAX = 8_192;

/** `req_`, 16 digits that a worker thread has for its life, and a number that counts its requests. */
const REQUEST_ID = /^(req_[0-9a-f]{16})([0-9a-f]{8})$/;

const PLACEHOLDERS = SUMS.map(() => '?').join(', ');
const ADDED = SUMS.map((name) => `${name} = ${name} + excluded.${name}`).join(', ');

/** One fact, taken apart. */
export interface ReadFact {
  readonly kind: FactKind;
  readonly parts: readonly FactPart[];
  readonly atMs: number;
}

/** Reads lines as facts; what facts of one kind have in common is read once. */
export class FactReader {
  readonly #kinds = new Map<string, FactKind>();

  /** @returns null when the line is no usage fact */
  read(line: string): ReadFact | null {
    const { template, parts } = splitFact(line);
    let kind = this.#kinds.get(template);
    if (kind === undefined) {
      try {
        kind = new FactKind(template);
      } catch {
        return null;
      }
      if (this.#kinds.size >= KNOWN_MAX) this.#kinds.clear();
      this.#kinds.set(template, kind);
    }
    const atMs = kind.timeMs(parts);
    return Number.isNaN(atMs) ? null : { kind, parts, atMs };
  }
}

/** What some facts add up to, in the order of `SUMS`; money needs more than a double's 53 bits. */
class Sums {
  readonly #numbers: number[] = SUMS.map(() => 0);
  #cost = 0n;

  add(kind: FactKind, counts: FactCounts): void {
    const of = this.#numbers;
    const more = [
      1,
      kind.isFinal ? 1 : 0,
      counts.input,
      counts.output,
      counts.cacheRead,
      counts.cacheWrite,
      counts.reasoning,
      counts.durationMs,
      0,
      kind.isUnpriced ? 1 : 0,
      kind.isEstimated ? 1 : 0,
    ];
    for (let at = 0; at < more.length; at++) of[at] = (of[at] ?? 0) + (more[at] ?? 0);
    if (counts.cost !== null) this.#cost += BigInt(counts.cost);
  }

  get values(): readonly (number | bigint)[] {
    return SUMS.map((name, at) => (name === 'cost' ? this.#cost : (this.#numbers[at] ?? 0)));
  }
}

/** Sums by two whole numbers. */
class SumsByPair {
  readonly #rows = new Map<number, Map<number, Sums>>();

  of(first: number, second: number): Sums {
    let row = this.#rows.get(first);
    if (row === undefined) {
      row = new Map();
      this.#rows.set(first, row);
    }
    let sums = row.get(second);
    if (sums === undefined) {
      sums = new Sums();
      row.set(second, sums);
    }
    return sums;
  }

  *entries(): Iterable<readonly [first: number, second: number, sums: Sums]> {
    for (const [first, row] of this.#rows)
      for (const [second, sums] of row) yield [first, second, sums];
  }
}

/** The file of one day, for the one who writes it. A failed transaction leaves it unusable: it is opened anew. */
export class DayFile {
  readonly #file: SqlFile;
  readonly #parts = new FactPartsWriter();
  readonly #kinds = new Map<FactKind, { readonly id: number; readonly group: number }>();
  readonly #groups = new Map<string, number>();
  readonly #origins = new Map<string, number>();
  readonly #addFact: SqlStatement;
  readonly #addQuarter: SqlStatement;
  readonly #addDay: SqlStatement;
  readonly #addTotal: SqlStatement;

  /** @throws LedgerRefused where a newer Sluice wrote it; Error with SQLite's words */
  constructor(path: string) {
    const file = openSqlite(path, 'write');
    this.#file = file;
    try {
      bringUp(file, path, 'day');
      // What is committed outlives the process; a power cut takes what came since the last checkpoint.
      file.exec('PRAGMA synchronous = NORMAL');
      this.#addFact = file.prepare(
        `INSERT INTO facts (origin, number, attempt, at_ms, kind, cost, input, output, cache_read, cache_write, reasoning, parts)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
      );
      const into = (table: string, by: string): SqlStatement =>
        file.prepare(
          `INSERT INTO ${table} VALUES (${by.replace(/\w+/g, '?')}, ${PLACEHOLDERS}) ON CONFLICT (${by}) DO UPDATE SET ${ADDED}`,
        );
      this.#addQuarter = into('rollup_quarter', 'quarter, grp');
      this.#addDay = into('rollup_day', 'day, grp');
      this.#addTotal = into('total_quarter', 'quarter');
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * All of them are in the file with their sums, or none is. What is there already is passed over.
   * @returns how many were new
   */
  add(facts: readonly ReadFact[]): number {
    return this.#file.transaction(() => this.#addAll(facts));
  }

  /** A data base has the facts up to this one. */
  markSent(sink: string, seq: number): void {
    this.#file
      .prepare(
        'INSERT INTO outbox VALUES (?, ?) ON CONFLICT (sink) DO UPDATE SET seq = excluded.seq',
      )
      .run(sink, seq);
  }

  close(): void {
    this.#file.close();
  }

  #addAll(facts: readonly ReadFact[]): number {
    const quarters = new SumsByPair();
    const days = new SumsByPair();
    const totals = new SumsByPair();
    let added = 0;
    for (const { kind, parts, atMs } of facts) {
      const { id, group } = this.#kind(kind);
      const [origin, number] = this.#origin(kind.requestId(parts));
      const counts = kind.counts(parts);
      const isNew = this.#addFact.run(
        origin,
        number,
        kind.attempt(parts),
        atMs,
        id,
        counts.cost,
        counts.input,
        counts.output,
        counts.cacheRead,
        counts.cacheWrite,
        counts.reasoning,
        this.#parts.write(parts, kind.columns),
      );
      if (isNew === 0) continue;
      added++;
      const quarter = quarterOf(atMs);
      quarters.of(quarter, group).add(kind, counts);
      days.of(dayOf(atMs), group).add(kind, counts);
      totals.of(quarter, 0).add(kind, counts);
    }
    for (const [quarter, group, sums] of quarters.entries())
      this.#addQuarter.run(quarter, group, ...sums.values);
    for (const [day, group, sums] of days.entries()) this.#addDay.run(day, group, ...sums.values);
    for (const [quarter, , sums] of totals.entries()) this.#addTotal.run(quarter, ...sums.values);
    return added;
  }

  #kind(kind: FactKind): { readonly id: number; readonly group: number } {
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    const group = this.#group(kind);
    const { digest } = kind;
    this.#file
      .prepare('INSERT INTO kinds (digest, grp, template) VALUES (?, ?, ?) ON CONFLICT DO NOTHING')
      .run(digest, group, kind.template);
    const row = this.#file.prepare('SELECT id FROM kinds WHERE digest = ?').first(digest);
    const found = { id: Number(row?.['id']), group };
    remember(this.#kinds, kind, found);
    return found;
  }

  #group({ group }: FactKind): number {
    const values = DIMENSIONS.map((name) => group[name]);
    const key = JSON.stringify(values);
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    this.#file
      .prepare(
        `INSERT INTO groups (${DIMENSIONS.join(', ')}) VALUES (${DIMENSIONS.map(() => '?').join(', ')}) ON CONFLICT DO NOTHING`,
      )
      .run(...values);
    const row = this.#file
      .prepare(
        `SELECT id FROM groups WHERE ${DIMENSIONS.map((name) => `${name} = ?`).join(' AND ')}`,
      )
      .first(...values);
    const id = Number(row?.['id']);
    remember(this.#groups, key, id);
    return id;
  }

  #origin(requestId: string): readonly [origin: number, number: number] {
    const { text, number } = originOf(requestId);
    const known = this.#origins.get(text);
    if (known !== undefined) return [known, number];
    this.#file.prepare('INSERT INTO origins (text) VALUES (?) ON CONFLICT DO NOTHING').run(text);
    const row = this.#file.prepare('SELECT id FROM origins WHERE text = ?').first(text);
    const id = Number(row?.['id']);
    remember(this.#origins, text, id);
    return [id, number];
  }
}

/** The file of one day, for whoever reads facts out of it. */
export class DayReader {
  readonly #file: SqlFile;
  readonly #kinds = new Map<number, FactKind>();
  readonly #kind: SqlStatement;
  readonly #find: SqlStatement;
  readonly #from: SqlStatement;
  readonly #sent: SqlStatement;

  constructor(path: string) {
    const file = openSqlite(path, 'read');
    this.#file = file;
    try {
      checkVersion(file, path);
      const columns = 'facts.seq, origins.text AS origin, number, attempt, at_ms, kind, parts';
      const from = 'facts JOIN origins ON origins.id = facts.origin';
      this.#sent = file.prepare('SELECT seq FROM outbox WHERE sink = ?');
      this.#kind = file.prepare('SELECT template FROM kinds WHERE id = ?');
      this.#find = file.prepare(
        `SELECT ${columns} FROM ${from} WHERE origins.text = ? AND number = ? ORDER BY attempt`,
      );
      this.#from = file.prepare(
        `SELECT ${columns} FROM ${from} WHERE seq > ? ORDER BY seq LIMIT ?`,
      );
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The lines of a request's attempts, as they came. */
  find(requestId: string): readonly string[] {
    const { text, number } = originOf(requestId);
    return this.#find.all(text, number).map((row) => this.#line(row));
  }

  /**
   * Lines in the order in which they came.
   * @param seq behind this one
   */
  after(seq: number, limit: number): readonly { readonly seq: number; readonly line: string }[] {
    return this.#from
      .all(seq, limit)
      .map((row) => ({ seq: Number(row['seq']), line: this.#line(row) }));
  }

  /** Up to which fact a data base has them; 0 = it has none. */
  sentUpTo(sink: string): number {
    return Number(this.#sent.first(sink)?.['seq'] ?? 0);
  }

  close(): void {
    this.#file.close();
  }

  #line(row: SqlRow): string {
    const id = Number(row['kind']);
    let kind = this.#kinds.get(id);
    if (kind === undefined) {
      kind = new FactKind(String(this.#kind.first(id)?.['template']));
      remember(this.#kinds, id, kind);
    }
    const number = Number(row['number']);
    const requestId =
      String(row['origin']) + (number < 0 ? '' : number.toString(16).padStart(8, '0'));
    const known = kind.known(Number(row['at_ms']), requestId, Number(row['attempt']));
    const parts = row['parts'];
    return kind.line(
      readFactParts(parts instanceof Uint8Array ? parts : new Uint8Array(0), kind.texts, known),
    );
  }
}

/** A request's id as two columns: nearly all of a day's have their beginning in common. */
function originOf(requestId: string): { readonly text: string; readonly number: number } {
  const [, text, digits] = REQUEST_ID.exec(requestId) ?? [];
  return text === undefined || digits === undefined
    ? { text: requestId, number: -1 }
    : { text, number: Number.parseInt(digits, 16) };
}

function remember<Key, Value>(known: Map<Key, Value>, key: Key, value: Value): void {
  if (known.size >= KNOWN_MAX) known.clear();
  known.set(key, value);
}
