/** What data bases answer, as everybody else tells it. */

import { DIMENSIONS, type Dimension } from './fact-kind.ts';
import { FactReader } from './fact-reader.ts';
import { VIEWS, WHOLE_VIEW } from './ledger-schema.ts';
import type { PastFact } from './past.ts';
import {
  dearestFirst,
  totalOf,
  type Usage,
  type UsageRow,
  type UsageSeries,
  usageOfRow,
} from './usage-report.ts';

/** A row as a data base tells it: whole numbers may be texts. */
export type PastRow = Readonly<Record<string, unknown>>;

/** Facts that are looked at for one question of some that are rare, as `FactSearch` does. */
export const LOOKS_MAX = 65_536;

/** Rows of one answer, of some 300 bytes each in the console's thread. */
export const ROWS_MAX = 100_000;

/** Members of a fact that are columns of `ai_usage`, in a fact's own order. */
export const FACT_MEMBERS = [
  'time',
  'request_id',
  'dialect',
  'tenant_id',
  'vpc_id',
  'key_id',
  'provider',
  'endpoint',
  'model',
  'requested_model',
  'stream',
  'input_tokens',
  'output_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'reasoning_tokens',
  'usage_source',
  'usage_raw',
  'upstream_status',
  'outcome',
  'bytes_in',
  'bytes_out',
  'ttfb_ms',
  'duration_ms',
  'node',
  'trace_id',
  'service_tier',
  'tool_uses',
  'lines',
  'lane',
  'route',
  'attempt',
  'final',
  'target_model',
  'key_class',
  'cost_usd',
  'cost_status',
  'unpriced_reason',
  'price_version',
  'policy',
  'resumed',
] as const;

/** Where a page of facts ended: before this one, as they are ordered by time, id and attempt. */
export interface TablePlace {
  readonly atMs: number;
  readonly id: string;
  readonly attempt: number;
}

export function isTablePlace(value: unknown): value is TablePlace {
  if (typeof value !== 'object' || value === null) return false;
  const { atMs, id, attempt } = value as Partial<TablePlace>;
  return (
    Number.isSafeInteger(atMs) &&
    Math.abs(atMs ?? 0) <= 8_640_000_000_000_000 &&
    typeof id === 'string' &&
    !id.includes('\0') &&
    Number.isInteger(attempt) &&
    Number(attempt) >= 0 &&
    Number(attempt) < 32_768
  );
}

/** @param row its sums by their names, its cost as whole pico-dollars */
function pastUsage(row: PastRow): Usage {
  return usageOfRow(row, BigInt(String(row['cost'] ?? '0')));
}

/** Sums by dimensions, the dearest first. */
export function usageRows(
  dimensions: readonly Dimension[],
  rows: readonly PastRow[],
): readonly UsageRow[] {
  return rows
    .map((row) => ({
      by: dimensions.map((name) => String(row[name] ?? '')),
      usage: pastUsage(row),
    }))
    .filter(({ usage }) => usage.facts > 0)
    .sort(dearestFirst);
}

/**
 * Sums by steps and values as series, the dearest first and behind them what all others are together.
 * @param rows `step`, `value`, and whether it `is_rest`
 */
export function usageSeries(rows: readonly PastRow[], steps: number): readonly UsageSeries[] {
  const series = new Map<string | null, (Usage | null)[]>();
  for (const row of rows) {
    const key = row['is_rest'] === true ? null : String(row['value'] ?? '');
    const usage = series.get(key) ?? Array.from({ length: steps }, () => null);
    usage[Number(row['step'])] = pastUsage(row);
    series.set(key, usage);
  }
  const rest = series.get(null);
  series.delete(null);
  const own = [...series].map(([value, usage]) => {
    const total = totalOf(usage.flatMap((one) => (one === null ? [] : [{ by: [], usage: one }])));
    return { by: [value ?? ''], usage: total ?? pastUsage({}), steps: usage };
  });
  own.sort(dearestFirst);
  return [
    ...own.map(({ by, steps: usage }) => ({ value: by[0] ?? '', isRest: false, usage })),
    ...(rest === undefined ? [] : [{ value: '', isRest: true, usage: rest }]),
  ];
}

/** The smallest view that tells all of some dimensions apart. @returns its dimensions */
export function viewOf(dimensions: Iterable<Dimension>): readonly Dimension[] {
  const all = [...dimensions];
  const fitting = VIEWS.filter((has) => all.every((name) => has.includes(name)));
  return fitting.reduce(
    (least, has) => (has.length < least.length ? has : least),
    VIEWS[WHOLE_VIEW] ?? DIMENSIONS,
  );
}

const reader = new FactReader();

/** A row of `ai_usage` as the fact that it came from; what the table has beside it is nobody's. */
export function factLineOf(row: PastRow): string {
  const members = FACT_MEMBERS.flatMap((name) => (name in row ? [[name, row[name]] as const] : []));
  return JSON.stringify({ event: 'ai.usage', v: 1, ...Object.fromEntries(members) });
}

/** @throws Error when it is none, which no table can hold */
export function factOfLine(line: string): PastFact {
  const fact = reader.read(line);
  if (fact === null) throw new Error('a row of ai_usage is no usage fact');
  const { kind, parts, atMs } = fact;
  const { input, output } = kind.counts(parts);
  return { atMs, kind, input, output, line };
}
