import { parseArgs } from 'node:util';
import type { Config } from '../config/config-document.ts';
import { csvText, shownText } from '../ledger/csv.ts';
import type { Dimension } from '../ledger/fact-kind.ts';
import { TimeZone } from '../ledger/time-zone.ts';
import {
  QUARTER_MS,
  type Span,
  totalOf,
  type Usage,
  UsageReport,
  type UsageRow,
} from '../ledger/usage-report.ts';
import { readBreaks } from '../plan/prompt-breaks.ts';
import { usdText } from '../prices/money.ts';
import { tableText } from './table-text.ts';
import { cacheCsv, cacheJson, cacheReport, cacheText } from './usage-cache.ts';

/** Text of `sluice usage --help`. */
export const USAGE_HELP = `sluice usage [--by key|tenant|class|model|provider|route|status|day] [--since 24h] [--until WHEN] [--zone Z]
             [--cache] [--json | --csv] [--config FILE]

What was used and what it cost, from the ledger in data_dir; a gateway may be running beside it, and its last fifth of a second
is not there yet. Money is exact. "unpriced (3)" says that the cost of three attempts is not known, and why: sluice prices check.

  --by        what the rows are (default: key). With "day", days as they are counted in --zone
  --since     30m, 24h, 7d, or a day like 2026-11-01, which begins in --zone (default: 24h; with --by day: 7d, whole days)
  --until     the same; a day is not included (default: now)
  --zone      a time zone of the IANA data base (default: UTC)
  --cache     what the caches that providers keep of prompts had of it and saved, and who breaks theirs
  --json      an array of objects; money as decimal texts
  --csv       the same as CSV

Times are counted in quarters of an hour: --since reaches back to the last one's beginning. "input" is all that went in, "cached"
the part of it that was read from a cache. One request may be several attempts.

With --cache "hit rate" is cached of input; "saved" is what the cached tokens would have cost as input, less what they cost, and
"written" what those that went into a cache cost more than input: both by the price book's rates of today for the smallest size.
Behind the rows are sessions that break their cache (JSON: {"rows", "broken"}; CSV has the rows alone).`;

export const BY = {
  key: ['tenant', 'key', 'class'],
  tenant: ['tenant'],
  class: ['class'],
  model: ['provider', 'model'],
  provider: ['provider'],
  route: ['route'],
  status: ['provider', 'status'],
} as const satisfies Readonly<Record<string, readonly Dimension[]>>;

export interface UsageArguments {
  readonly by: keyof typeof BY | 'day';
  readonly fromMs: number;
  readonly toMs: number;
  readonly zone: TimeZone;
  readonly cache: boolean;
  readonly form: 'table' | 'json' | 'csv';
  readonly config: string | null;
  /** Those of the configuration that it looks at. */
  readonly keys: readonly string[];
}

const LEDGER_KEYS = ['data_dir', 'ledger'];
const PRICE_KEYS = ['prices', 'prices_file', 'provider_authorities', 'provider_aliases'];

const UNIT_MS: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * @param nowMs milliseconds of the Unix epoch
 * @throws Error with one line that says what to do
 */
export function usageArguments(argv: readonly string[], nowMs: number): UsageArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      by: { type: 'string', default: 'key' },
      since: { type: 'string' },
      until: { type: 'string' },
      zone: { type: 'string', default: 'UTC' },
      cache: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      csv: { type: 'boolean', default: false },
      config: { type: 'string' },
    },
  });
  const { by, cache, json, csv } = values;
  if (by !== 'day' && !isGrouping(by))
    throw new Error(
      `--by: found "${by.slice(0, 64)}", expected ${Object.keys(BY).join(', ')} or day.`,
    );
  if (json && csv) throw new Error('--json and --csv exclude each other. Choose one.');
  const zone = new TimeZone(values.zone);
  const said = instant('--since', values.since ?? (by === 'day' ? '6d' : '24h'), zone, nowMs);
  // A day that is told in part looks like one on which little was used.
  const fromMs = by === 'day' ? zone.dayStartMs(said) : said;
  const toMs = values.until === undefined ? nowMs : instant('--until', values.until, zone, nowMs);
  if (toMs <= fromMs) throw new Error('--until has to be behind --since.');
  const form = json ? 'json' : csv ? 'csv' : 'table';
  const keys = cache ? [...LEDGER_KEYS, ...PRICE_KEYS] : LEDGER_KEYS;
  return { by, fromMs, toMs, zone, cache, form, config: values.config ?? null, keys };
}

function isGrouping(by: string): by is keyof typeof BY {
  return Object.hasOwn(BY, by);
}

function instant(option: string, text: string, zone: TimeZone, nowMs: number): number {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(text) ?? [];
  if (count !== undefined && unit !== undefined)
    return nowMs - Number(count) * (UNIT_MS[unit] ?? 0);
  const noonMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T12:00:00Z`) : Number.NaN;
  // Noon there, wherever that is: its day is the one that was named.
  if (!Number.isNaN(noonMs)) return zone.dayStartMs(noonMs - zone.offsetMs(noonMs));
  throw new Error(
    `${option}: found "${text.slice(0, 64)}", expected minutes, hours, days or weeks like 30m, 24h, 7d, 4w, or a day like 2026-11-01.`,
  );
}

/** @returns the exit code */
export function usage(
  { by, fromMs, toMs, zone, cache, form }: UsageArguments,
  { dataDir, pricing }: Pick<Config, 'dataDir' | 'pricing'>,
): number {
  if (dataDir === null)
    throw new Error('There is no ledger: set data_dir in the configuration, or AI_DATA_DIR.');
  const report = new UsageReport(dataDir);
  if (!report.exists)
    throw new Error(`There is no ledger in ${dataDir} yet. A gateway with this data_dir makes it.`);
  const span = { fromMs, toMs };
  const write = (text: string): void => void process.stdout.write(`${text}\n`);
  if (cache) {
    const told = cacheReport(report, by === 'day' ? null : BY[by], span, zone, pricing);
    const broken = readBreaks(dataDir).filter(({ lastMs }) => lastMs >= fromMs && lastMs < toMs);
    const words = by === 'day' ? ['day'] : BY[by];
    if (form === 'json') write(cacheJson(words, told, broken));
    else if (form === 'csv') write(cacheCsv(words, told));
    else {
      write(spanText(span, zone));
      write(cacheText(words, told, broken));
    }
    return 0;
  }
  const rows = by === 'day' ? report.byDay(zone, span) : report.by(BY[by], span);
  const names: readonly string[] = by === 'day' ? ['day'] : BY[by];
  if (form === 'json') write(jsonOf(names, rows));
  else if (form === 'csv') write(csvOf(names, rows));
  else {
    write(spanText(span, zone));
    write(tableOf(names, rows));
  }
  return 0;
}

function spanText({ fromMs, toMs }: Span, zone: TimeZone): string {
  const from = new Date(Math.floor(fromMs / QUARTER_MS) * QUARTER_MS).toISOString();
  return `from ${from} to ${new Date(toMs).toISOString()}, ${zone.name}\n`;
}

/** The members of a row, in the order of the table's columns. */
const COUNTS = [
  ['requests', ({ requests }) => requests],
  ['attempts', ({ facts }) => facts],
  ['input', ({ input }) => input],
  ['cached', ({ cache_read }) => cache_read],
  ['output', ({ output }) => output],
] as const satisfies readonly (readonly [string, (usage: Usage) => number])[];

function jsonOf(names: readonly string[], rows: readonly UsageRow[]): string {
  const objects = rows.map(({ by, usage: of }) => ({
    ...Object.fromEntries(names.map((name, at) => [name, by[at] === '' ? null : by[at]])),
    requests: of.requests,
    attempts: of.facts,
    input_tokens: of.input,
    cache_read_tokens: of.cache_read,
    cache_write_tokens: of.cache_write,
    output_tokens: of.output,
    reasoning_tokens: of.reasoning,
    cost_usd: isUnknown(of) ? null : usdText(of.cost),
    unpriced: of.unpriced,
    estimated: of.estimated,
  }));
  return JSON.stringify(objects, null, 2);
}

function csvOf(names: readonly string[], rows: readonly UsageRow[]): string {
  const head = [...names, ...COUNTS.map(([name]) => name), 'cost_usd', 'unpriced', 'estimated'];
  const lines = rows.map(({ by, usage: of }) => [
    ...by,
    ...COUNTS.map(([, count]) => String(count(of))),
    isUnknown(of) ? '' : usdText(of.cost),
    String(of.unpriced),
    String(of.estimated),
  ]);
  return csvText([head, ...lines]);
}

function tableOf(names: readonly string[], rows: readonly UsageRow[]): string {
  const total = totalOf(rows);
  if (total === null) return 'nothing was used';
  const cells = (by: readonly string[], of: Usage): readonly string[] => [
    ...by.map((text) => (text === '' ? '-' : shownText(text))),
    ...COUNTS.map(([, count]) => String(count(of))),
    costText(of),
  ];
  const head = [...names, ...COUNTS.map(([name]) => name), 'USD'];
  const lines = [
    head,
    ...rows.map(({ by, usage: of }) => cells(by, of)),
    cells(
      names.map((_, at) => (at === 0 ? 'all' : ' ')),
      total,
    ),
  ];
  return tableText(lines, (at) => at >= names.length && at < head.length - 1);
}

/** No attempt has a price. */
function isUnknown({ unpriced, facts }: Usage): boolean {
  return unpriced > 0 && unpriced === facts;
}

function costText(of: Usage): string {
  if (of.unpriced === 0) return usdText(of.cost);
  const unpriced = `unpriced (${of.unpriced})`;
  return isUnknown(of) ? unpriced : `${usdText(of.cost)} + ${unpriced}`;
}
