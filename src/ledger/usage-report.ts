import { existsSync } from 'node:fs';
import type { Dimension } from './fact-kind.ts';
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
  readonly sql: SqlFile;
  /** Restricts its rows to those that count. */
  readonly only: string;
  /** Whether an hour or a day, in quarters, is added up by each view. */
  readonly isClosed: (span: number, quarter: number) => boolean;
}

type Query = (file: SumsFile, found: (by: readonly string[], row: SqlRow) => void) => void;

/** The sums of a ledger, read beside whoever writes it. */
export class UsageReport {
  readonly #files: LedgerFiles;

  /** @param dataDir the configuration's `data_dir` */
  constructor(dataDir: string) {
    this.#files = new LedgerFiles(dataDir);
  }

  get exists(): boolean {
    return this.#files.exists;
  }

  /**
   * Usage by some dimensions, the dearest first.
   * @throws Error where a file cannot be read
   */
  by(
    dimensions: readonly Dimension[],
    span: Span,
    filters: UsageFilters = NO_FILTERS,
  ): readonly UsageRow[] {
    const asked = new Question(dimensions, filters);
    const rows = this.#read(span.fromMs, (file, found) => {
      const edges = edgesOf(file);
      if (edges === null) return;
      for (const part of parts(file, edges, span))
        asked.ask(file, part, (by, row) => found(by, row));
    });
    return [...rows].sort(dearestFirst);
  }

  /**
   * Usage over time.
   * @param dimension whose values are told apart; null: all together
   * @param starts instants at which steps begin, whole quarters of an hour, the oldest first; the last one ends at `toMs`
   */
  series(
    dimension: Dimension | null,
    starts: readonly number[],
    toMs: number,
    filters: UsageFilters = NO_FILTERS,
  ): readonly UsageSeries[] {
    const asked = new Question(dimension === null ? [] : [dimension], filters);
    const rows = this.#read(starts[0] ?? toMs, (file, found) => {
      const edges = edgesOf(file);
      if (edges === null) return;
      for (const [step, fromMs] of starts.entries()) {
        const span = { fromMs, toMs: starts[step + 1] ?? toMs };
        for (const part of parts(file, edges, span))
          asked.ask(file, part, (by, row) => found([by[0] ?? '', String(step)], row));
      }
    });
    const series = new Map<string, (Usage | null)[]>();
    for (const { by, usage } of rows) {
      const [value = '', step] = by;
      const steps = series.get(value) ?? starts.map(() => null);
      series.set(value, steps);
      steps[Number(step)] = usage;
    }
    return [...series].map(([value, usage]) => ({ value, usage }));
  }

  /** Usage by days as a zone counts them, the oldest first; days without any are left out. */
  byDay(zone: TimeZone, span: Span): readonly UsageRow[] {
    const from = quarterOf(span.fromMs);
    const to = Math.ceil(span.toMs / QUARTER_MS);
    const days = new Map<number, string>();
    const rows = this.#read(span.fromMs, ({ sql: file, only }, found) => {
      const sql = `SELECT quarter, ${ADDED} FROM total_quarter WHERE quarter >= ? AND quarter < ? ${only} GROUP BY quarter`;
      for (const row of file.prepare(sql).all(from, to)) {
        const quarter = Number(row['quarter']);
        const day = days.get(quarter) ?? zone.dayOf(quarter * QUARTER_MS);
        days.set(quarter, day);
        found([day], row);
      }
    });
    return [...rows].sort((a, b) => compare(a.by[0] ?? '', b.by[0] ?? ''));
  }

  /** What a query of each file finds, added up. */
  #read(fromMs: number, query: Query): readonly UsageRow[] {
    for (let tries = 1; ; tries++) {
      const sums = new Map<string, UsageRow>();
      try {
        this.#each(fromMs, (file) =>
          query(file, (by, row) => {
            // The sum of nothing.
            if (row['facts'] === null) return;
            const key = by.join('\0');
            sums.set(key, { by, usage: together(sums.get(key)?.usage ?? null, usageOf(row)) });
          }),
        );
        return [...sums.values()];
      } catch (error) {
        if (!(error instanceof FileGone) || tries === TRIES) throw error;
      }
    }
  }

  /** Each file that may hold sums from an instant on. */
  #each(fromMs: number, read: (file: SumsFile) => void): void {
    const kept = openSqlite(this.#files.kept, 'read');
    try {
      checkVersion(kept, this.#files.kept);
      // One look at what is folded: what is folded meanwhile is read from its own file.
      kept.exec('BEGIN');
      const folded = this.#foldedDays(kept);
      // Facts are never in a file that is older than they are, but may be in one that is younger.
      const days = this.#files.days().filter((day) => day >= dayOf(fromMs) && !folded.has(day));
      const open = days.map((day) => this.#openDay(day));
      try {
        for (const file of open) read(file);
      } finally {
        for (const { sql } of open) sql.close();
      }
      if (folded.size > 0)
        read({
          sql: kept,
          only: 'AND file IN (SELECT file FROM folded)',
          isClosed: (span) => span === QUARTERS_A_DAY,
        });
    } finally {
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
      return { sql, only: '', isClosed: (span, quarter) => closed.has(`${span} ${quarter}`) };
    } catch (error) {
      sql.close();
      throw error;
    }
  }
}

/** One question, as it is put to each file. */
class Question {
  readonly #dimensions: readonly Dimension[];
  readonly #view: number;
  readonly #only: string;
  readonly #values: readonly string[];
  readonly #columns: string;
  readonly #groups: string;

  constructor(dimensions: readonly Dimension[], filters: UsageFilters) {
    const named = Object.entries(filters) as readonly (readonly [Dimension, readonly string[]])[];
    this.#dimensions = dimensions;
    this.#view = viewFor(new Set([...dimensions, ...named.map(([name]) => name)]));
    this.#only = named
      .map(([name]) => ` AND groups.${name} IN (SELECT value FROM json_each(?))`)
      .join('');
    this.#values = named.map(([, values]) => JSON.stringify(values));
    this.#columns = [...dimensions.map((name) => `groups.${name}`), ADDED].join(', ');
    const places = dimensions.map((_, at) => String(at + 1)).join(', ');
    this.#groups = places === '' ? '' : `GROUP BY ${places}`;
  }

  ask(
    { sql, only }: SumsFile,
    { quarters, from, to }: Part,
    found: (by: readonly string[], row: SqlRow) => void,
  ): void {
    const where =
      quarters === 1
        ? 'rollup_quarter JOIN groups ON groups.id = grp WHERE'
        : `sums JOIN groups ON groups.id = grp WHERE view = ${this.#view} AND span = ${quarters} AND`;
    const text = `SELECT ${this.#columns} FROM ${where} quarter >= ? AND quarter < ? ${only}${this.#only} ${this.#groups}`;
    for (const row of sql.prepare(text).all(from, to, ...this.#values))
      found(
        this.#dimensions.map((name) => String(row[name])),
        row,
      );
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
}

/** The whole days that a file has sums of, in quarters; null: it has none. */
function edgesOf({ sql, only }: SumsFile): { readonly from: number; readonly to: number } | null {
  const edge = (order: '' | 'DESC'): number | null => {
    const first = sql
      .prepare(
        `SELECT quarter FROM total_quarter WHERE true ${only} ORDER BY quarter ${order} LIMIT 1`,
      )
      .first();
    return first === null ? null : Number(first['quarter']);
  };
  const oldest = edge('');
  const youngest = edge('DESC');
  if (oldest === null || youngest === null) return null;
  return {
    from: oldest - (oldest % QUARTERS_A_DAY),
    to: youngest - (youngest % QUARTERS_A_DAY) + QUARTERS_A_DAY,
  };
}

function parts(
  { isClosed }: SumsFile,
  edges: { readonly from: number; readonly to: number },
  { fromMs, toMs }: Span,
): readonly Part[] {
  const to = Math.min(Math.ceil(toMs / QUARTER_MS), edges.to);
  const all: Part[] = [];
  let at = Math.max(quarterOf(fromMs), edges.from);
  while (at < to) {
    const quarters =
      ([QUARTERS_A_DAY, QUARTERS_AN_HOUR] as const).find(
        (span) => at % span === 0 && at + span <= to && isClosed(span, at),
      ) ?? 1;
    const last = all.at(-1);
    if (last?.quarters === quarters) last.to = at + quarters;
    else all.push({ quarters, from: at, to: at + quarters });
    at += quarters;
  }
  return all;
}

function usageOf(row: SqlRow): Usage {
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
    cost: BigInt(of('cost_high')) * 1_000_000n + BigInt(of('cost_low')),
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

/** The sum of all rows; null where there is none. */
export function totalOf(rows: readonly UsageRow[]): Usage | null {
  return rows.reduce<Usage | null>((sum, { usage }) => together(sum, usage), null);
}

function dearestFirst(a: UsageRow, b: UsageRow): number {
  if (a.usage.cost !== b.usage.cost) return a.usage.cost > b.usage.cost ? -1 : 1;
  return b.usage.facts - a.usage.facts || compare(a.by.join('\0'), b.by.join('\0'));
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
