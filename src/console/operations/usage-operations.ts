import type { z } from 'zod';
import { csvText } from '../../ledger/csv.ts';
import type { Dimension } from '../../ledger/fact-kind.ts';
import { TimeZone } from '../../ledger/time-zone.ts';
import { totalOf, type Usage, type UsageRow, type UsageSeries } from '../../ledger/usage-report.ts';
import { stepsOf } from '../../ledger/usage-steps.ts';
import type { AskedPast } from '../asked-past.ts';
import type { GatewayView } from '../gateway-view.ts';
import { type Answer, type Operation, operation } from '../operation.ts';
import { pageOf } from '../pages.ts';
import { Problem } from '../problem.ts';
import {
  DIMENSION,
  NO_PATH,
  SPEND,
  SPEND_QUERY,
  USAGE,
  USAGE_PAGE,
  USAGE_QUERY,
} from '../shapes.ts';
import {
  filtersOf,
  instantText,
  quarterEndText,
  quarterText,
  spanOf,
  usageShown,
} from '../usage-wish.ts';

/** Steps of one answer: a chart has fewer points across, and each costs a question to each day's file. */
const STEPS_MAX = 1_000;

const USAGE_MEMBERS = Object.keys(USAGE.shape) as readonly (keyof z.output<typeof USAGE>)[];

/** What was used and what it cost: as one table, and over time. */
export function usageOperations(view: GatewayView, past: AskedPast): readonly Operation[] {
  return [
    operation({
      id: 'usage',
      method: 'GET',
      path: '/usage',
      summary: 'What was used and what it cost, by some dimensions.',
      tag: 'usage',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: USAGE_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Rows and their total.', schema: USAGE_PAGE, types: ['text/csv'] } },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ caller, query }) => {
        const span = spanOf(query, view.now());
        const by = dimensionsOf(query.by);
        const rows = sorted(await past.by(caller, by, span, filtersOf(query)), query.order);
        const total = usageShown(totalOf(rows));
        if (query.format === 'csv') return csvOf(by, rows.map(rowCells), total);
        const shown = pageOf(rows, query);
        const body: z.output<typeof USAGE_PAGE> = {
          since: quarterText(span.fromMs),
          until: quarterEndText(span.toMs, view.now()),
          by: [...by],
          rows: shown.rows.map((row) => ({ by: named(by, row), usage: usageShown(row.usage) })),
          total,
          next: shown.next,
        };
        return { status: 200, body };
      },
    }),
    operation({
      id: 'spend',
      method: 'GET',
      path: '/spend',
      summary: 'Usage over time, by steps as a time zone has them.',
      tag: 'usage',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: SPEND_QUERY,
      bodyShape: null,
      answers: {
        200: {
          says: 'Series of the dearest values, and the others together as one.',
          schema: SPEND,
          types: ['text/csv'],
        },
      },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ caller, query }) => {
        const span = spanOf(query, view.now());
        const { by = null, step, top } = query;
        const zone = zoneOf(query.zone);
        const starts = stepsOf(zone, step, span, STEPS_MAX);
        if (starts === null)
          throw new Problem('malformed', `That is more than ${STEPS_MAX} steps.`, {
            parts: [{ key: 'step', found: step, expected: 'larger steps, or a shorter time' }],
          });
        const told = await past.series(caller, by, starts, span.toMs, filtersOf(query), top);
        const series = told.length > 0 ? told : [nothingOver(starts.length)];
        const total = usageShown(totalOf(series.flatMap(({ usage }) => usage.flatMap(asRow))));
        if (query.format === 'csv') {
          const rows = series.flatMap(({ value, isRest, usage }) =>
            usage.map((of, at) => ({
              by: [instantText(starts[at] ?? 0), isRest ? '(others)' : value],
              usage: usageShown(of),
            })),
          );
          return csvOf(['start', by ?? 'all'], rows, total);
        }
        const body: z.output<typeof SPEND> = {
          since: quarterText(span.fromMs),
          until: quarterEndText(span.toMs, view.now()),
          zone: zone.name,
          step,
          starts: starts.map(instantText),
          series: series.map(({ value, isRest, usage }) => ({
            name: value,
            is_rest: isRest,
            usage: usage.map(usageShown),
          })),
          total,
        };
        return { status: 200, body };
      },
    }),
  ];
}

/** @throws Problem when one of them is none */
export function dimensionsOf(text: string): readonly Dimension[] {
  const names = text === '' ? [] : text.split(',');
  return [...new Set(names)].map((name) => {
    const known = DIMENSION.safeParse(name);
    if (known.success) return known.data;
    throw new Problem('malformed', '', {
      parts: [
        {
          key: 'by',
          found: JSON.stringify(name.slice(0, 64)),
          expected: DIMENSION.options.join(', '),
        },
      ],
    });
  });
}

export function zoneOf(name: string): TimeZone {
  try {
    return new TimeZone(name);
  } catch (error) {
    throw new Problem('malformed', error instanceof Error ? error.message : '', {
      parts: [
        { key: 'zone', found: JSON.stringify(name.slice(0, 64)), expected: 'an IANA time zone' },
      ],
    });
  }
}

type Order = z.output<typeof USAGE_QUERY>['order'];

function sorted(rows: readonly UsageRow[], order: Order): readonly UsageRow[] {
  const key = (name: Order, { usage }: UsageRow): number =>
    name === 'requests' ? usage.requests : usage.input + usage.output;
  if (order === 'cost') return rows;
  if (order === 'name')
    return rows.toSorted((a, b) => (a.by.join('\0') < b.by.join('\0') ? -1 : 1));
  return rows.toSorted((a, b) => key(order, b) - key(order, a));
}

/** The values of a row by their dimensions. */
export function named(by: readonly Dimension[], row: Pick<UsageRow, 'by'>): Record<string, string> {
  return Object.fromEntries(by.map((name, at) => [name, row.by[at] ?? '']));
}

interface Shown {
  readonly by: readonly string[];
  readonly usage: z.output<typeof USAGE>;
}

function rowCells({ by, usage }: UsageRow): Shown {
  return { by, usage: usageShown(usage) };
}

function csvOf(
  names: readonly string[],
  rows: readonly Shown[],
  total: z.output<typeof USAGE>,
): Answer {
  const cells = ({ by, usage }: Shown): readonly string[] => [
    ...by,
    ...USAGE_MEMBERS.map((name) => String(usage[name])),
  ];
  // Without anything to tell apart, the total is the one row.
  const all = names.length === 0 ? [{ by: [], usage: total }] : rows;
  const body = `${csvText([[...names, ...USAGE_MEMBERS], ...all.map(cells)])}\r\n`;
  return { status: 200, type: 'text/csv; charset=utf-8', body };
}

function asRow(usage: Usage | null): readonly UsageRow[] {
  return usage === null ? [] : [{ by: [], usage }];
}

/** So that an empty time has its zeros. */
function nothingOver(steps: number): UsageSeries {
  return { value: '', isRest: false, usage: Array.from({ length: steps }, () => null) };
}
