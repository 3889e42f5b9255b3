import { existsSync } from 'node:fs';
import type { Dimension } from './fact-kind.ts';
import { KnownAnswers } from './known-answers.ts';
import { type DayNumber, dayOf, LedgerFiles, quarterOf } from './ledger-files.ts';
import {
  checkVersion,
  QUARTER_SECS,
  QUARTERS_A_DAY,
  QUARTERS_AN_HOUR,
  SUMS,
  VIEWS,
  WHOLE_VIEW,
} from './ledger-schema.ts';
import { openSqlite, type SqlFile, type SqlRow } from './sqlite.ts';
import type { TimeZone } from './time-zone.ts';
import { TooManyRows } from './too-many-rows.ts';

type SumName = (typeof SUMS)[number];

/** What some requests used. Tokens and counts are whole numbers. */
export interface Usage extends Readonly<Record<Exclude<SumName, 'cost'>, number>> {
  /** Pico-dollars of what has a price. */
  readonly cost: bigint;
}

/** One row of a report: what is common to its requests, by the names that were asked for. */
export interface UsageRow {
  readonly by: readonly string[];
  readonly usage: Usage;
}

/** From one instant to another, in milliseconds of the Unix epoch: quarters of an hour that lie within. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Which facts count: of each dimension that is named, those that have one of its values. */
export type UsageFilters = Readonly<Partial<Record<Dimension, readonly string[]>>>;

export const NO_FILTERS: UsageFilters = {};

/** What was used over time by those that have one value in common: a sum for each step. */
export interface UsageSeries {
  /** Empty where nothing was to be told apart. */
  readonly value: string;
  /** Of all values that have no series of their own. */
  readonly isRest: boolean;
  /** Null: nothing. */
  readonly usage: readonly (Usage | null)[];
}

export const QUARTER_MS = QUARTER_SECS * 1_000;

/** The first version of files of days whose hours and days are added up. */
const FIRST_WITH_SPANS = 2;

/** A day's file may be folded away between the look into the folder and its opening. */
const TRIES = 3;

// Money in two sums: millions of pico-dollars and what is below, so that neither exceeds 2^53.
const ADDED = SUMS.map((name) =>
  name === 'cost'
    ? 'sum(cost / 1000000) AS cost_high, sum(cost % 1000000) AS cost_low'
    : `sum(${name}) AS ${name}`,
).join(', ');

class FileGone extends Error {}

/** A file of which sums are asked. */
interface SumsFile {
  readonly path: string;
  readonly sql: SqlFile;
  /** Restricts its rows to those that count. */
  readonly only: string;
  /** Whether an hour or a day, in quarters, is added up by each view. */
  readonly isClosed: (span: number, quarter: number) => boolean;
  readonly contents: Contents;
}

/** @param sign -1: it is taken away again */
type Found = (by: readonly string[], usage: Usage, sign: 1 | -1) => void;

/** The sums of a ledger, read beside whoever writes it. */
export class UsageReport {
  readonly #files: LedgerFiles;
  readonly #known = new KnownAnswers<UsageRow>();
  readonly #rowsMax: number;

  /**
   * @param dataDir the configuration's `data_dir`
   * @param rowsMax what one answer has more of is not told
   */
  constructor(dataDir: string, rowsMax = Number.POSITIVE_INFINITY) {
    this.#files = new LedgerFiles(dataDir);
    this.#rowsMax = rowsMax;
  }

  get exists(): boolean {
    return this.#files.exists;
  }

  /**
   * Usage by some dimensions, the dearest first.
   * @throws TooManyRows, Error where a file cannot be read
   */
  by(
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters = NO_FILTERS,
  ): readonly UsageRow[] {
    return this.#reading(span.fromMs, (files) =>
      sumsBy(files, new Question(dimensions, filters, null, this.#known, this.#rowsMax), span),
    );
  }

  /**
   * Usage over time.
   * @param dimension whose values are told apart; null: all together
   * @param starts instants at which steps begin, whole quarters of an hour, the oldest first; the last one ends at `toMs`
   * @param top how many values have a series of their own: the dearest; the others are one, behind them
   */
  series(
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters = NO_FILTERS,
    top = Number.POSITIVE_INFINITY,
  ): readonly UsageSeries[] {
    const fromMs = starts[0] ?? toMs;
    return this.#reading(fromMs, (files) => {
      const question = (own: readonly string[] | null): Question =>
        new Question(
          dimension === null ? [] : [dimension],
          filters,
          own,
          this.#known,
          this.#rowsMax,
        );
      if (dimension === null) return [...seriesOf(files, question(null), starts, toMs).values()];
      const values = sumsBy(files, question(null), { fromMs, toMs }).map(({ by }) => by[0] ?? '');
      const own = values.slice(0, top);
      const series = seriesOf(files, question(own), starts, toMs);
      const named = own.map((value) => series.get(value)).filter((one) => one !== undefined);
      const rest = series.get(null);
      return rest === undefined ? named : [...named, rest];
    });
  }

  /** Usage by days as a zone counts them, the oldest first; days without any are left out. */
  byDay(zone: TimeZone, span: Span): readonly UsageRow[] {
    const from = quarterOf(span.fromMs);
    const to = Math.ceil(span.toMs / QUARTER_MS);
    const days = new Map<number, string>();
    const rows = this.#reading(span.fromMs, (files) =>
      summed(files, ({ sql: file, only }, found) => {
        const sql = `SELECT quarter, ${ADDED} FROM total_quarter WHERE quarter >= ? AND quarter < ? ${only} GROUP BY quarter`;
        for (const row of file.prepare(sql).all(from, to)) {
          const quarter = Number(row['quarter']);
          const day = days.get(quarter) ?? zone.dayOf(quarter * QUARTER_MS);
          days.set(quarter, day);
          found([day], usageOf(row), 1);
        }
      }),
    );
    return [...rows].sort((a, b) => compare(a.by[0] ?? '', b.by[0] ?? ''));
  }

  /** Works on each file that may hold sums from an instant on, as they all are at one moment. */
  #reading<Result>(fromMs: number, work: (files: readonly SumsFile[]) => Result): Result {
    for (let tries = 1; ; tries++) {
      try {
        return this.#opened(fromMs, work);
      } catch (error) {
        if (!(error instanceof FileGone) || tries === TRIES) throw error;
      }
    }
  }

  #opened<Result>(fromMs: number, work: (files: readonly SumsFile[]) => Result): Result {
    const kept = openSqlite(this.#files.kept, 'read');
    const open: SumsFile[] = [];
    try {
      checkVersion(kept, this.#files.kept);
      // One look at what is folded: what is folded meanwhile is read from its own file.
      kept.exec('BEGIN');
      const folded = this.#foldedDays(kept);
      // Facts are never in a file that is older than they are, but may be in one that is younger.
      const days = this.#files.days().filter((day) => day >= dayOf(fromMs) && !folded.has(day));
      for (const day of days) open.push(this.#openDay(day));
      if (folded.size === 0) return work(open);
      const only = 'AND file IN (SELECT file FROM folded)';
      const old: SumsFile = {
        path: this.#files.kept,
        sql: kept,
        only,
        isClosed: (span) => span === QUARTERS_A_DAY,
        contents: new Contents(kept, only, QUARTERS_A_DAY),
      };
      return work([...open, old]);
    } finally {
      for (const { sql } of open) sql.close();
      kept.close();
    }
  }

  #foldedDays(kept: SqlFile): ReadonlySet<DayNumber> {
    return new Set(
      kept
        .prepare('SELECT file FROM folded')
        .all()
        .map(({ file }) => Number(file)),
    );
  }

  #openDay(day: DayNumber): SumsFile {
    const path = this.#files.day(day);
    if (!existsSync(path)) throw new FileGone(`${path} has just gone. Ask again.`);
    const sql = openSqlite(path, 'read');
    try {
      const version = checkVersion(sql, path);
      // One look at all of it: spans are opened again, and their sums go.
      sql.exec('BEGIN');
      const closed = new Set(
        version < FIRST_WITH_SPANS
          ? []
          : sql
              .prepare('SELECT span, quarter FROM closed')
              .all()
              .map(({ span, quarter }) => `${span} ${quarter}`),
      );
      return {
        path,
        sql,
        only: '',
        isClosed: (span, quarter) => closed.has(`${span} ${quarter}`),
        contents: new Contents(sql, '', 1),
      };
    } catch (error) {
      sql.close();
      throw error;
    }
  }
}

/** What a query of each file finds, added up. */
function summed(
  files: readonly SumsFile[],
  query: (file: SumsFile, found: Found) => void,
  rowsMax = Number.POSITIVE_INFINITY,
): readonly UsageRow[] {
  const sums = new Map<string, UsageRow>();
  const found: Found = (by, usage, sign) => {
    const key = by.join('\0');
    const before = sums.get(key)?.usage ?? null;
    sums.set(key, { by, usage: sign > 0 ? together(before, usage) : without(before, usage) });
    if (sums.size > rowsMax) throw new TooManyRows(rowsMax);
  };
  for (const file of files) query(file, found);
  // Of a span out of which another was taken, nothing may be left.
  return [...sums.values()].filter(({ usage }) => usage.facts > 0);
}

function sumsBy(files: readonly SumsFile[], asked: Question, span: Span): readonly UsageRow[] {
  const rows = summed(
    files,
    (file, found) => {
      for (const part of parts(file, span))
        for (const { by, usage } of asked.ask(file, part)) found(by, usage, part.sign);
    },
    asked.rowsMax,
  );
  return [...rows].sort(dearestFirst);
}

/** @returns series by their value; null: of all that have none of their own */
function seriesOf(
  files: readonly SumsFile[],
  asked: Question,
  starts: readonly number[],
  toMs: number,
): ReadonlyMap<string | null, UsageSeries> {
  const rows = summed(files, (file, found) => {
    for (const [step, fromMs] of starts.entries()) {
      const span = { fromMs, toMs: starts[step + 1] ?? toMs };
      for (const part of parts(file, span))
        for (const { by, usage } of asked.ask(file, part))
          found([String(step), ...by], usage, part.sign);
    }
  });
  const series = new Map<
    string | null,
    { value: string; isRest: boolean; usage: (Usage | null)[] }
  >();
  for (const { by, usage } of rows) {
    const [step, value = ''] = by;
    const isRest = value === REST;
    const key = isRest ? null : value;
    const own = series.get(key) ?? { value: key ?? '', isRest, usage: starts.map(() => null) };
    series.set(key, own);
    own.usage[Number(step)] = usage;
  }
  return series;
}

/** Stands for all values but some: no fact can say it, for facts have no control characters. */
const REST = '\u0000rest';

/** One question, as it is put to each file. */
class Question {
  readonly #dimensions: readonly Dimension[];
  readonly #view: number;
  readonly #only: string;
  readonly #values: readonly string[];
  readonly #told: readonly string[];
  readonly #columns: string;
  readonly #groups: string;
  /** What tells it from other questions. */
  readonly #name: string;
  readonly #known: KnownAnswers<UsageRow>;
  readonly rowsMax: number;

  /** @param own the values of the one dimension that are told apart; null: all of all */
  constructor(
    dimensions: readonly Dimension[],
    filters: UsageFilters,
    own: readonly string[] | null,
    known: KnownAnswers<UsageRow>,
    rowsMax: number,
  ) {
    this.#known = known;
    this.rowsMax = rowsMax;
    const named = Object.entries(filters) as readonly (readonly [Dimension, readonly string[]])[];
    this.#dimensions = dimensions;
    this.#view = viewFor(new Set([...dimensions, ...named.map(([name]) => name)]));
    this.#only = named
      .map(([name]) => ` AND groups.${name} IN (SELECT value FROM json_each(?))`)
      .join('');
    this.#values = named.map(([, values]) => JSON.stringify(values));
    this.#told = own === null ? [] : [JSON.stringify(own)];
    this.#name = [dimensions.join(' '), this.#only, ...this.#told, ...this.#values].join('\0');
    const columns = dimensions.map((name) =>
      own === null
        ? `groups.${name}`
        : `CASE WHEN groups.${name} IN (SELECT value FROM json_each(?)) THEN groups.${name} END AS ${name}`,
    );
    this.#columns = [...columns, ADDED].join(', ');
    const places = dimensions.map((_, at) => String(at + 1)).join(', ');
    this.#groups = places === '' ? '' : `GROUP BY ${places}`;
  }

  /** One row more than may be: that these are too many is known before they are all in memory. */
  get #bound(): string {
    return Number.isFinite(this.rowsMax) ? `LIMIT ${this.rowsMax + 1}` : '';
  }

  ask(file: SumsFile, part: Part): readonly UsageRow[] {
    const { path, contents } = file;
    const facts = contents.facts(part.from, part.to);
    if (facts === 0) return [];
    const words = [path, part.quarters, part.from, part.to, facts, this.#name];
    return this.#known.of(words.join('\0'), () => this.#ask(file, part));
  }

  #ask({ sql, only }: SumsFile, { quarters, from, to }: Part): readonly UsageRow[] {
    const where =
      quarters === 1
        ? 'rollup_quarter JOIN groups ON groups.id = grp WHERE'
        : `sums JOIN groups ON groups.id = grp WHERE view = ${this.#view} AND span = ${quarters} AND`;
    const text = `SELECT ${this.#columns} FROM ${where} quarter >= ? AND quarter < ? ${only}${this.#only} ${this.#groups} ${this.#bound}`;
    const rows = sql.prepare(text).all(...this.#told, from, to, ...this.#values);
    if (rows.length > this.rowsMax) throw new TooManyRows(this.rowsMax);
    return rows.flatMap((row) => {
      // The sum of nothing.
      if (row['facts'] === null) return [];
      const by = this.#dimensions.map((name) => String(row[name] ?? REST));
      return [{ by, usage: usageOf(row) }];
    });
  }
}

/** The view with the fewest rows that tells all of them apart. */
function viewFor(dimensions: ReadonlySet<Dimension>): number {
  const [first] = [...VIEWS.entries()]
    .filter(([, has]) => [...dimensions].every((name) => has.includes(name)))
    .sort(([, a], [, b]) => a.length - b.length);
  return first?.[0] ?? WHOLE_VIEW;
}

/** What of a file is read as it was added up: days where it can be, hours around them, quarters at the ends. */
interface Part {
  readonly quarters: 1 | typeof QUARTERS_AN_HOUR | typeof QUARTERS_A_DAY;
  readonly from: number;
  to: number;
  /** -1: it was read as a part of something larger, and does not count. */
  readonly sign: 1 | -1;
}

/** What a file has, in so many quarters at a time: facts are only ever added, so what has as many as before is what it was. */
class Contents {
  readonly #facts: ReadonlyMap<number, number>;
  readonly #quarters: number;
  /** The whole days that it has sums of, in quarters; null: it has none. */
  readonly edges: { readonly from: number; readonly to: number } | null;

  constructor(sql: SqlFile, only: string, quarters: number) {
    const text = `SELECT quarter / ${quarters} AS at, sum(facts) AS facts FROM total_quarter WHERE true ${only} GROUP BY 1 ORDER BY 1`;
    const rows = sql.prepare(text).all();
    this.#facts = new Map(rows.map(({ at, facts }) => [Number(at), Number(facts)]));
    this.#quarters = quarters;
    const [oldest, youngest] = [rows.at(0), rows.at(-1)].map((row) =>
      row === undefined ? null : Number(row['at']) * quarters,
    );
    const dayOf = (quarter: number): number => quarter - (quarter % QUARTERS_A_DAY);
    this.edges =
      oldest == null || youngest == null
        ? null
        : { from: dayOf(oldest), to: dayOf(youngest) + QUARTERS_A_DAY };
  }

  /** How many facts there are from a quarter up to another one, or a few more. */
  facts(from: number, to: number): number {
    let sum = 0;
    for (let at = Math.floor(from / this.#quarters); at * this.#quarters < to; at++)
      sum += this.#facts.get(at) ?? 0;
    return sum;
  }
}

/**
 * Of a day or an hour that is added up, and of which more than half is asked for, what is not asked for is taken away: a day as
 * Kathmandu counts it is a few hours of each of two days' files, and not all of them.
 */
function parts(
  { isClosed, contents: { edges } }: SumsFile,
  { fromMs, toMs }: Span,
): readonly Part[] {
  const all: Part[] = [];
  const put = (quarters: Part['quarters'], from: number, to: number, sign: 1 | -1): void => {
    const last = all.at(-1);
    if (last?.quarters === quarters && last.to === from && last.sign === sign) last.to = to;
    else if (from < to) all.push({ quarters, from, to, sign });
  };
  const within = (
    span: typeof QUARTERS_A_DAY | typeof QUARTERS_AN_HOUR,
    first: number,
    from: number,
    to: number,
    sign: 1 | -1,
  ): void => {
    const end = first + span;
    if (isClosed(span, first) && 2 * (to - from) > span) {
      put(span, first, end, sign);
      below(span, first, from, sign > 0 ? -1 : 1);
      below(span, to, end, sign > 0 ? -1 : 1);
    } else below(span, from, to, sign);
  };
  const below = (span: number, from: number, to: number, sign: 1 | -1): void => {
    if (span === QUARTERS_AN_HOUR) put(1, from, to, sign);
    else each(QUARTERS_AN_HOUR, from, to, sign);
  };
  const each = (
    span: typeof QUARTERS_A_DAY | typeof QUARTERS_AN_HOUR,
    from: number,
    to: number,
    sign: 1 | -1,
  ): void => {
    for (let at = from; at < to; ) {
      const first = at - (at % span);
      const end = Math.min(to, first + span);
      within(span, first, at, end, sign);
      at = end;
    }
  };
  if (edges === null) return [];
  const from = Math.max(quarterOf(fromMs), edges.from);
  each(QUARTERS_A_DAY, from, Math.min(Math.ceil(toMs / QUARTER_MS), edges.to), 1);
  return all;
}

function usageOf(row: SqlRow): Usage {
  const of = (name: string): number => Number(row[name] ?? 0);
  return usageOfRow(row, BigInt(of('cost_high')) * 1_000_000n + BigInt(of('cost_low')));
}

/** @param row sums by their names; those that are missing are 0. @param cost pico-dollars */
export function usageOfRow(row: Readonly<Record<string, unknown>>, cost: bigint): Usage {
  const of = (name: string): number => Number(row[name] ?? 0);
  return {
    facts: of('facts'),
    requests: of('requests'),
    input: of('input'),
    output: of('output'),
    cache_read: of('cache_read'),
    cache_write: of('cache_write'),
    reasoning: of('reasoning'),
    duration_ms: of('duration_ms'),
    cost,
    unpriced: of('unpriced'),
    estimated: of('estimated'),
  };
}

// Written out: a row is added up for each group and day (twice as fast as going through the names, measured).
function together(a: Usage | null, b: Usage): Usage {
  if (a === null) return b;
  return {
    facts: a.facts + b.facts,
    requests: a.requests + b.requests,
    input: a.input + b.input,
    output: a.output + b.output,
    cache_read: a.cache_read + b.cache_read,
    cache_write: a.cache_write + b.cache_write,
    reasoning: a.reasoning + b.reasoning,
    duration_ms: a.duration_ms + b.duration_ms,
    cost: a.cost + b.cost,
    unpriced: a.unpriced + b.unpriced,
    estimated: a.estimated + b.estimated,
  };
}

function without(a: Usage | null, b: Usage): Usage {
  return {
    facts: (a?.facts ?? 0) - b.facts,
    requests: (a?.requests ?? 0) - b.requests,
    input: (a?.input ?? 0) - b.input,
    output: (a?.output ?? 0) - b.output,
    cache_read: (a?.cache_read ?? 0) - b.cache_read,
    cache_write: (a?.cache_write ?? 0) - b.cache_write,
    reasoning: (a?.reasoning ?? 0) - b.reasoning,
    duration_ms: (a?.duration_ms ?? 0) - b.duration_ms,
    cost: (a?.cost ?? 0n) - b.cost,
    unpriced: (a?.unpriced ?? 0) - b.unpriced,
    estimated: (a?.estimated ?? 0) - b.estimated,
  };
}

/** The sum of all rows; null where there is none. */
export function totalOf(rows: readonly UsageRow[]): Usage | null {
  return rows.reduce<Usage | null>((sum, { usage }) => together(sum, usage), null);
}

/** The dearest first; what costs the same by its number of facts, and then by its name. */
export function dearestFirst(a: UsageRow, b: UsageRow): number {
  if (a.usage.cost !== b.usage.cost) return a.usage.cost > b.usage.cost ? -1 : 1;
  return b.usage.facts - a.usage.facts || compare(a.by.join('\0'), b.by.join('\0'));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
