import { existsSync } from 'node:fs';
import type { Dimension } from './fact-kind.ts';
import { type DayNumber, dayOf, LedgerFiles, quarterOf } from './ledger-files.ts';
import { checkVersion, QUARTER_SECS, QUARTERS_A_DAY, SUMS } from './ledger-schema.ts';
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

const QUARTER_MS = QUARTER_SECS * 1_000;

/** A day's file may be folded away between the look into the folder and its opening. */
const TRIES = 3;

// Money in two sums: millions of pico-dollars and what is below, so that neither exceeds 2^53.
const ADDED = SUMS.map((name) =>
  name === 'cost'
    ? 'sum(cost / 1000000) AS cost_high, sum(cost % 1000000) AS cost_low'
    : `sum(${name}) AS ${name}`,
).join(', ');

class FileGone extends Error {}

/**
 * Asks one file.
 * @param only restricts its rows to those that count
 */
type Query = (
  file: SqlFile,
  only: string,
  found: (by: readonly string[], row: SqlRow) => void,
) => void;

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
  by(dimensions: readonly Dimension[], span: Span): readonly UsageRow[] {
    const columns = [...dimensions.map((name) => `groups.${name}`), ADDED].join(', ');
    const places = dimensions.map((_, at) => String(at + 1)).join(', ');
    const groups = places === '' ? '' : `GROUP BY ${places}`;
    const rows = this.#read(span.fromMs, (file, only, found) => {
      for (const { table, unit, from, to } of parts(span)) {
        const sql = `SELECT ${columns} FROM ${table} JOIN groups ON groups.id = grp
          WHERE ${unit} >= ? AND ${unit} < ? ${only} ${groups}`;
        for (const row of file.prepare(sql).all(from, to))
          found(
            dimensions.map((name) => String(row[name])),
            row,
          );
      }
    });
    return [...rows].sort(dearestFirst);
  }

  /** Usage by days as a zone counts them, the oldest first; days without any are left out. */
  byDay(zone: TimeZone, span: Span): readonly UsageRow[] {
    const from = quarterOf(span.fromMs);
    const to = Math.ceil(span.toMs / QUARTER_MS);
    const days = new Map<number, string>();
    const rows = this.#read(span.fromMs, (file, only, found) => {
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
        this.#each(fromMs, (file, only) =>
          query(file, only, (by, row) => {
            // The sum of nothing.
            if (row['facts'] === null) return;
            const key = JSON.stringify(by);
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
  #each(fromMs: number, read: (file: SqlFile, only: string) => void): void {
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
        for (const file of open) read(file, '');
      } finally {
        for (const file of open) file.close();
      }
      read(kept, 'AND file IN (SELECT file FROM folded)');
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

  #openDay(day: DayNumber): SqlFile {
    const path = this.#files.day(day);
    if (!existsSync(path)) throw new FileGone(`${path} has just gone. Ask again.`);
    const file = openSqlite(path, 'read');
    try {
      checkVersion(file, path);
      return file;
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

/** Whole UTC days by their own sums, what is left at both ends by quarters of an hour. */
function parts({ fromMs, toMs }: Span): readonly {
  readonly table: string;
  readonly unit: 'quarter' | 'day';
  readonly from: number;
  readonly to: number;
}[] {
  const from = quarterOf(fromMs);
  const to = Math.ceil(toMs / QUARTER_MS);
  const firstDay = Math.ceil(from / QUARTERS_A_DAY);
  const endDay = Math.floor(to / QUARTERS_A_DAY);
  const quarters = (a: number, b: number) =>
    ({ table: 'rollup_quarter', unit: 'quarter', from: a, to: b }) as const;
  if (firstDay >= endDay) return [quarters(from, to)];
  const first = firstDay * QUARTERS_A_DAY;
  const end = endDay * QUARTERS_A_DAY;
  const all = [
    quarters(from, first),
    { table: 'rollup_day', unit: 'day', from: firstDay, to: endDay } as const,
    quarters(end, to),
  ];
  return all.filter((part) => part.from < part.to);
}

function usageOf(row: SqlRow): Usage {
  const of = (name: string): number => Number(row[name] ?? 0);
  const cost = BigInt(of('cost_high')) * 1_000_000n + BigInt(of('cost_low'));
  const numbers = Object.fromEntries(SUMS.map((name) => [name, of(name)]));
  return { ...(numbers as Record<SumName, number>), cost };
}

function together(a: Usage | null, b: Usage): Usage {
  if (a === null) return b;
  const numbers = SUMS.map((name) => [name, name === 'cost' ? a.cost + b.cost : a[name] + b[name]]);
  return Object.fromEntries(numbers) as Usage;
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
