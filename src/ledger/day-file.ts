import { DaySpans } from './day-spans.ts';
import { DIMENSIONS, type Dimension, type FactCounts, FactKind } from './fact-kind.ts';
import { FactPartsWriter, readFactParts } from './fact-parts.ts';
import type { ReadFact } from './fact-reader.ts';
import { SumsByGroup } from './fact-sums.ts';
import { quarterOf } from './ledger-files.ts';
import { bringUp, checkVersion, QUARTER_SECS, SUMS } from './ledger-schema.ts';
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

/** Which facts of a day are looked for. Times in milliseconds of the Unix epoch. */
export interface FactWish {
  readonly fromMs: number;
  readonly toMs: number;
  /** Of each dimension that is named, one of these values. */
  readonly filters: Readonly<Partial<Record<Dimension, readonly string[]>>>;
  /** Null: however it ended. */
  readonly outcome: string | null;
  readonly onlyFinal: boolean;
  /** Empty: any. */
  readonly idPrefix: string;
}

/** One fact that was found, and where it stands in its day's file. */
export interface FoundFact {
  readonly seq: number;
  readonly atMs: number;
  readonly kind: FactKind;
  /** Tokens as sums count them: all that went in. */
  readonly input: number;
  readonly output: number;
  readonly line: string;
}

/** What a look at some of a day's facts came to. */
export interface DaySearch {
  readonly found: readonly FoundFact[];
  /** All from here on were looked at; 0 = all of the file. */
  readonly seq: number;
  /** When the last one that was looked at is of; null where none was. */
  readonly atMs: number | null;
  /** How many were looked at. */
  readonly looks: number;
}

/** How many digits of its number an id must have that the index is asked for it: 65,536 facts at most. */
const NUMBER_DIGITS_MIN = 4;
const NUMBER_DIGITS = 8;

/** The file of one day, for whoever reads facts out of it. */
export class DayReader {
  readonly #file: SqlFile;
  readonly #kinds = new Map<number, FactKind>();
  /** How facts of each kind ended, up to the kind of that id. */
  readonly #outcomes = new Map<number, string>();
  #outcomesTo = 0;
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

  /** From when to when its facts are, in milliseconds; null: it has none. Mostly a day, but late facts may be of any. */
  span(): { readonly fromMs: number; readonly toMs: number } | null {
    const edge = (order: 'ASC' | 'DESC'): number | null => {
      const sql = `SELECT quarter FROM total_quarter ORDER BY quarter ${order} LIMIT 1`;
      const first = this.#file.prepare(sql).first();
      return first === null ? null : Number(first['quarter']);
    };
    const [first, last] = [edge('ASC'), edge('DESC')];
    if (first === null || last === null) return null;
    const quarterMs = QUARTER_SECS * 1_000;
    return { fromMs: first * quarterMs, toMs: (last + 1) * quarterMs };
  }

  /** The place of its last fact; 0 = it has none. */
  lastSeq(): number {
    return Number(this.#file.prepare('SELECT max(seq) AS seq FROM facts').first()?.['seq'] ?? 0);
  }

  /**
   * Those that somebody wishes for, the last that came first.
   * @param before only what stands before this place
   * @param looks so many facts are looked at, at most
   * @param limit so many are given back, at most
   */
  search(wish: FactWish, before: number, looks: number, limit: number): DaySearch {
    const { fromMs, toMs, onlyFinal, idPrefix } = wish;
    const nothing = { found: [], seq: 0, atMs: null, looks: 0 };
    const kinds = this.#kindsFor(wish);
    const ids = this.#idsFor(idPrefix);
    if (kinds === null || ids === null) return nothing;
    const lowest = ids.isFew ? 0 : Math.max(0, before - looks);
    // A few are looked up by their places, whatever else is asked of them.
    const at = ids.isFew ? '+seq' : 'seq';
    const sql = `SELECT seq, (SELECT text FROM origins WHERE id = facts.origin) AS origin, number, attempt, at_ms, kind, input, output, parts
      FROM facts WHERE ${at} < ? AND ${at} >= ? AND at_ms >= ? AND at_ms < ?${kinds.sql}${ids.sql} ORDER BY seq DESC LIMIT ?`;
    const statement = this.#file.prepare(sql);
    const found: FoundFact[] = [];
    for (let last = before; ; ) {
      const wanted = limit - found.length;
      const rows = statement.all(
        last,
        lowest,
        fromMs,
        toMs,
        ...kinds.values,
        ...ids.values,
        wanted,
      );
      for (const row of rows) {
        last = Number(row['seq']);
        const kind = this.#kindAt(Number(row['kind']));
        if (onlyFinal && !kind.isFinal) continue;
        if (idPrefix !== '' && !requestIdOf(row).startsWith(idPrefix)) continue;
        found.push({
          seq: last,
          atMs: Number(row['at_ms']),
          kind,
          input: Number(row['input']),
          output: Number(row['output']),
          line: this.#line(row),
        });
      }
      if (found.length === limit) {
        const atMs = found.at(-1)?.atMs ?? null;
        return { found, seq: last, atMs, looks: ids.isFew ? found.length : before - last };
      }
      if (rows.length < wanted) {
        const looks = ids.isFew ? found.length : before - lowest;
        return { found, seq: lowest, atMs: this.#timeAt(lowest), looks };
      }
    }
  }

  /** @returns null where nothing of this day is of such a group, or ended so */
  #kindsFor({ filters, outcome }: FactWish): Restriction | null {
    const named = Object.entries(filters);
    if (named.length === 0 && outcome === null) return { sql: '', values: [] };
    if (outcome !== null) this.#readOutcomes();
    const where = named.map(([name]) => `groups.${name} IN (SELECT value FROM json_each(?))`);
    const values = named.map(([, of]) => JSON.stringify(of));
    const kinds = this.#file
      .prepare(
        `SELECT kinds.id FROM kinds JOIN groups ON groups.id = kinds.grp WHERE ${['true', ...where].join(' AND ')}`,
      )
      .all(...values)
      .map(({ id }) => Number(id))
      .filter((id) => outcome === null || this.#outcomes.get(id) === outcome);
    const sql = ' AND +kind IN (SELECT value FROM json_each(?))';
    return kinds.length === 0 ? null : { sql, values: [JSON.stringify(kinds)] };
  }

  /** Kinds are only ever added: those that are new. */
  #readOutcomes(): void {
    const rows = this.#file
      .prepare('SELECT id, template FROM kinds WHERE id > ? ORDER BY id')
      .all(this.#outcomesTo);
    for (const { id, template } of rows) {
      this.#outcomesTo = Number(id);
      this.#outcomes.set(this.#outcomesTo, kindOf(String(template)).outcome);
    }
  }

  /** @returns null where no id of this day begins so */
  #idsFor(prefix: string): (Restriction & { readonly isFew: boolean }) | null {
    if (prefix === '') return { sql: '', values: [], isFew: false };
    const [, own = null, digits = ''] = ID_PREFIX.exec(prefix) ?? [];
    const origins = this.#file
      .prepare('SELECT id FROM origins WHERE text = ? OR (text >= ? AND text < ?)')
      .all(own, prefix, `${prefix}\u{10ffff}`)
      .map(({ id }) => Number(id));
    if (origins.length === 0) return null;
    const values = [JSON.stringify(origins)];
    const isFew = digits.length >= NUMBER_DIGITS_MIN;
    if (!isFew) return { sql: ' AND +origin IN (SELECT value FROM json_each(?))', values, isFew };
    const least = Number.parseInt(digits.padEnd(NUMBER_DIGITS, '0'), 16);
    const most = Number.parseInt(digits.padEnd(NUMBER_DIGITS, 'f'), 16);
    // Apart, so that each is a range of the index.
    const of = 'SELECT seq FROM facts WHERE origin IN (SELECT value FROM json_each(?)) AND number';
    const sql = ` AND seq IN (${of} >= ${least} AND number <= ${most} UNION ALL ${of} = -1)`;
    return { sql, values: [...values, ...values], isFew };
  }

  #timeAt(seq: number): number | null {
    const sql = 'SELECT at_ms FROM facts WHERE seq >= ? ORDER BY seq LIMIT 1';
    const row = this.#file.prepare(sql).first(seq);
    return row === null ? null : Number(row['at_ms']);
  }

  /** Up to which fact a data base has them; 0 = it has none. */
  sentUpTo(sink: string): number {
    return Number(this.#sent.first(sink)?.['seq'] ?? 0);
  }

  close(): void {
    this.#file.close();
  }

  #line(row: SqlRow): string {
    const kind = this.#kindAt(Number(row['kind']));
    const known = kind.known(Number(row['at_ms']), requestIdOf(row), Number(row['attempt']));
    const parts = row['parts'];
    return kind.line(
      readFactParts(parts instanceof Uint8Array ? parts : new Uint8Array(0), kind.texts, known),
    );
  }

  #kindAt(id: number): FactKind {
    const known = this.#kinds.get(id);
    if (known !== undefined) return known;
    const kind = kindOf(String(this.#kind.first(id)?.['template']));
    remember(this.#kinds, id, kind);
    return kind;
  }
}

/** Of all days that are read: the same kinds come on each. */
const READ_KINDS = new Map<string, FactKind>();

function kindOf(template: string): FactKind {
  const known = READ_KINDS.get(template);
  if (known !== undefined) return known;
  const kind = new FactKind(template);
  remember(READ_KINDS, template, kind);
  return kind;
}

/** A piece of a statement, and what it is given. */
interface Restriction {
  readonly sql: string;
  readonly values: readonly string[];
}

/** As `REQUEST_ID`, with some of the number's digits. */
const ID_PREFIX = /^(req_[0-9a-f]{16})([0-9a-f]{0,8})$/;

function requestIdOf(row: SqlRow): string {
  const number = Number(row['number']);
  return String(row['origin']) + (number < 0 ? '' : number.toString(16).padStart(8, '0'));
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
