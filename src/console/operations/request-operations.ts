import type { z } from 'zod';
import { csvText } from '../../ledger/csv.ts';
import type { PastFact, PastPage } from '../../ledger/past.ts';
import { usdSum } from '../../prices/money.ts';
import type { AskedPast, Fact } from '../asked-past.ts';
import type { GatewayView } from '../gateway-view.ts';
import { type Operation, operation } from '../operation.ts';
import { cursorOf } from '../pages.ts';
import { Problem } from '../problem.ts';
import {
  NO_PATH,
  NO_QUERY,
  REQUEST,
  REQUEST_PATH,
  REQUEST_ROW,
  REQUESTS_PAGE,
  REQUESTS_QUERY,
} from '../shapes.ts';
import { filtersOf, instantText, spanOf } from '../usage-wish.ts';

/** Rows of one CSV: what a spreadsheet opens at once. */
const CSV_ROWS_MAX = 10_000;
/** Looks of one CSV, each of which is a page's: half a second. */
const CSV_PAGES_MAX = 16;

type Row = z.output<typeof REQUEST_ROW>;
const ROW_MEMBERS = Object.keys(REQUEST_ROW.shape) as readonly (keyof Row)[];

/** Requests one by one, as the ledger has them. */
export function requestOperations(view: GatewayView, past: AskedPast): readonly Operation[] {
  return [
    operation({
      id: 'requests',
      method: 'GET',
      path: '/requests',
      summary: 'Requests, the youngest first.',
      tag: 'requests',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: REQUESTS_QUERY,
      bodyShape: null,
      answers: {
        200: {
          says: 'A page of requests; it may be short, or empty, and yet not the last one.',
          schema: REQUESTS_PAGE,
          types: ['text/csv'],
        },
      },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ caller, query }) => {
        const wish = {
          ...spanOf(query, view.now()),
          filters: filtersOf(query),
          outcome: query.outcome ?? null,
          onlyFinal: query.attempts === 'final',
          idPrefix: query.q ?? '',
        };
        if (query.format === 'csv') {
          const lines = await csvPages((cursor, left) => past.page(caller, wish, cursor, left));
          const body = `${csvText([ROW_MEMBERS, ...lines.map(cellsOf)])}\r\n`;
          return { status: 200, type: 'text/csv; charset=utf-8', body };
        }
        const { found, next, searchedToMs } = await past.page(
          caller,
          wish,
          query.cursor,
          query.limit,
        );
        const body: z.output<typeof REQUESTS_PAGE> = {
          rows: found.map(rowOf),
          searched_to: searchedToMs === null ? null : instantText(searchedToMs),
          next: next === null ? null : cursorOf(next),
        };
        return { status: 200, body };
      },
    }),
    operation({
      id: 'request',
      method: 'GET',
      path: '/requests/{id}',
      summary: 'One request with all its attempts.',
      tag: 'requests',
      role: 'viewer',
      pathShape: REQUEST_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Its usage facts, in the order of its attempts.', schema: REQUEST } },
      problems: ['not_found', 'unavailable'],
      writes: false,
      run: async ({ caller, path: { id } }) => {
        const facts = await past.find(caller, id);
        if (facts.length === 0)
          throw new Problem('not_found', 'The ledger has no request of this id.');
        const costs = facts.flatMap(({ cost_usd: usd }) => (typeof usd === 'string' ? [usd] : []));
        const body: z.output<typeof REQUEST> = {
          id,
          attempts: facts.toSorted((a, b) => Number(a['attempt'] ?? 1) - Number(b['attempt'] ?? 1)),
          total_cost_usd: costs.length === 0 ? null : usdSum(costs),
        };
        return { status: 200, body };
      },
    }),
  ];
}

async function csvPages(
  page: (cursor: string | undefined, limit: number) => Promise<PastPage>,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages < CSV_PAGES_MAX && rows.length < CSV_ROWS_MAX; pages++) {
    const { found, next } = await page(cursor, CSV_ROWS_MAX - rows.length);
    rows.push(...found.map(rowOf));
    if (next === null) break;
    cursor = cursorOf(next);
  }
  return rows;
}

function rowOf({ kind, line, input, output, atMs }: PastFact): Row {
  const fact = JSON.parse(line) as Fact;
  const { group } = kind;
  const text = (name: string): string => {
    const value = fact[name];
    return typeof value === 'string' ? value : '';
  };
  const time = (name: string): number | null => {
    const value = fact[name];
    return typeof value === 'number' ? value : null;
  };
  return {
    id: text('request_id'),
    at: instantText(atMs),
    tenant: group.tenant,
    key: group.key,
    class: group.class,
    provider: group.provider,
    model: group.model,
    route: group.route,
    status: group.status,
    outcome: kind.outcome,
    attempt: time('attempt') ?? 1,
    final: kind.isFinal,
    input_tokens: input,
    output_tokens: output,
    ttft_ms: time('ttfb_ms'),
    duration_ms: time('duration_ms'),
    cost_usd: typeof fact.cost_usd === 'string' ? fact.cost_usd : null,
    cost_status: text('cost_status'),
    usage_source: text('usage_source'),
  };
}

function cellsOf(row: Row): readonly string[] {
  return ROW_MEMBERS.map((name) => String(row[name] ?? ''));
}
