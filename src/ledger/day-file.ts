import { DaySpans } from './day-spans.ts';
import { DIMENSIONS, type FactCounts, FactKind } from './fact-kind.ts';
import { FactPartsWriter, readFactParts } from './fact-parts.ts';
import type { ReadFact } from './fact-reader.ts';
import { SumsByGroup } from './fact-sums.ts';
import { quarterOf } from './ledger-files.ts';
import { bringUp, checkVersion, SUMS } from './ledger-schema.ts';
import { RowWriter } from './row-writer.ts';
import { openSqlite, type SqlFile, type SqlRow, type SqlStatement } from './sqlite.ts';

/** Kinds, groups and origins that are known without asking the file; what is beyond is asked for again. */
const KNOWN_MAX = 8_192;

/** `req_`, 16 digits that a worker thread has for its life, and a number that counts its requests. */
const REQUEST_ID = /^(req_[0-9a-f]{16})([0-9a-f]{8})$/;

const ADDED = SUMS.map((name) => `${name} = ${name} + excluded.${name}`).join(', ');

const FACT_COLUMNS = [
  'origin',
  'number',
  'attempt',
  'at_ms',
  'kind',
  'cost',
  'input',
  'output',
  'cache_read',
  'cache_write',
  'reasoning',
  'parts',
] as const;

/** A row of `facts`, and what it counts for. */
interface FactRow {
  readonly fact: ReadFact;
  readonly kindId: number;
  readonly group: number;
  readonly origin: number;
  readonly number: number;
  readonly counts: FactCounts;
}

/** Something that is there already was written again. */
class Doubled extends Error {}

/** The file of one day, for the one who writes it. A failed transaction leaves it unusable: it is opened anew. */
export class DayFile {
  readonly #file: SqlFile;
  readonly #parts = new FactPartsWriter();
  readonly #kinds = new Map<FactKind, { readonly id: number; readonly group: number }>();
  readonly #groups = new Map<string, number>();
  readonly #origins = new Map<string, number>();
  readonly #facts: RowWriter;
  readonly #quarters: RowWriter;
  readonly #totals: RowWriter;
  readonly #spans: DaySpans;

  /** @throws LedgerRefused where a newer Sluice wrote it; Error with SQLite's words */
  constructor(path: string) {
    const file = openSqlite(path, 'write');
    this.#file = file;
    try {
      bringUp(file, path, 'day');
      // What is committed outlives the process; a power cut takes what came since the last checkpoint.
      file.exec('PRAGMA synchronous = NORMAL');
      this.#facts = new RowWriter(
        file,
        `facts (${FACT_COLUMNS.join(', ')})`,
        FACT_COLUMNS.length,
        'ON CONFLICT DO NOTHING',
      );
      this.#quarters = new RowWriter(
        file,
        'rollup_quarter',
        2 + SUMS.length,
        `ON CONFLICT (quarter, grp) DO UPDATE SET ${ADDED}`,
      );
      this.#totals = new RowWriter(
        file,
        'total_quarter',
        1 + SUMS.length,
        `ON CONFLICT (quarter) DO UPDATE SET ${ADDED}`,
      );
      this.#spans = new DaySpans(file);
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

  /**
   * Adds up one span more of those that are over, an hour or the day.
   * @returns false when there is none
   */
  sumUp(nowMs: number): boolean {
    return this.#spans.closeNext(nowMs);
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
    const rows = facts.map((fact) => this.#row(fact));
    const added = this.#insert(rows);
    const quarters = new SumsByGroup();
    const totals = new SumsByGroup();
    for (const { fact, group, counts } of added) {
      const quarter = quarterOf(fact.atMs);
      quarters.of(quarter, group).add(fact.kind, counts);
      totals.of(quarter, 0).add(fact.kind, counts);
    }
    for (const sums of quarters.all) this.#quarters.add(sums.quarter, sums.group, ...sums.values);
    this.#quarters.flush();
    for (const sums of totals.all) {
      this.#totals.add(sums.quarter, ...sums.values);
      this.#spans.reopen(sums.quarter);
    }
    this.#totals.flush();
    return added.length;
  }

  /** @returns those that were not there: nearly always all, so that only when it was not it is asked one by one */
  #insert(rows: readonly FactRow[]): readonly FactRow[] {
    try {
      return this.#file.savepoint(() => {
        for (const row of rows) this.#addFact(row);
        if (this.#facts.flush() < rows.length) throw new Doubled();
        return rows;
      });
    } catch (error) {
      if (!(error instanceof Doubled)) throw error;
    }
    return rows.filter((row) => {
      this.#addFact(row);
      return this.#facts.flush() > 0;
    });
  }

  #addFact({ fact: { kind, parts, atMs }, kindId, origin, number, counts }: FactRow): void {
    this.#facts.add(
      origin,
      number,
      kind.attempt(parts),
      atMs,
      kindId,
      counts.cost,
      counts.input,
      counts.output,
      counts.cacheRead,
      counts.cacheWrite,
      counts.reasoning,
      this.#parts.write(parts, kind.columns),
    );
  }

  #row(fact: ReadFact): FactRow {
    const { kind, parts } = fact;
    const { id, group } = this.#kind(kind);
    const [origin, number] = this.#origin(kind.requestId(parts));
    return { fact, kindId: id, group, origin, number, counts: kind.counts(parts) };
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
    const { text: found, number } = originOf(requestId);
    const known = this.#origins.get(found);
    if (known !== undefined) return [known, number];
    // A copy: what was cut out of a line keeps the whole line.
    const text = Buffer.from(found, 'latin1').toString('latin1');
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
