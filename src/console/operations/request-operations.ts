import type { z } from 'zod';
import { csvText } from '../../ledger/csv.ts';
import type { FoundFact } from '../../ledger/day-file.ts';
import { type FactPage, type FactPlace, FactSearch } from '../../ledger/fact-search.ts';
import { usdSum } from '../../prices/money.ts';
import { type GatewayView, ledgerOf } from '../gateway-view.ts';
import { type Caller, type Operation, operation } from '../operation.ts';
import { cursorOf, placeOf } from '../pages.ts';
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
export function requestOperations(view: GatewayView): readonly Operation[] {
  const ledger = ledgerOf(view, (dataDir) => new FactSearch(dataDir));
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
      run: ({ caller, query }) => {
        const wish = {
          ...spanOf(query, view.now()),
          filters: filtersOf(caller, query),
          outcome: query.outcome ?? null,
          onlyFinal: query.attempts === 'final',
          idPrefix: query.q ?? '',
        };
        const search = ledger();
        const from = placeOf(query.cursor, isPlace);
        if (query.format === 'csv') {
          const lines = csvPages((place, left) => search.page(wish, place, left));
          const body = `${csvText([ROW_MEMBERS, ...lines.map(cellsOf)])}\r\n`;
          return { status: 200, type: 'text/csv; charset=utf-8', body };
        }
        const { found, next, searchedToMs } = search.page(wish, from, query.limit);
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
      run: ({ caller, path: { id } }) => {
        const facts = ledger()
          .find(id)
          .map((line) => JSON.parse(line) as Fact)
          .filter((fact) => maySee(caller, fact));
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

interface Fact extends Record<string, unknown> {
  readonly tenant_id?: unknown;
  readonly cost_usd?: unknown;
}

function maySee({ tenants }: Caller, { tenant_id: tenant }: Fact): boolean {
  return tenants === null || (typeof tenant === 'string' && tenants.has(tenant));
}

function isPlace(value: unknown): value is FactPlace {
  if (typeof value !== 'object' || value === null) return false;
  const { day, seq } = value as Partial<FactPlace>;
  return Number.isSafeInteger(day) && Number.isSafeInteger(seq) && Number(seq) >= 0;
}

function csvPages(page: (from: FactPlace | null, limit: number) => FactPage): readonly Row[] {
  const rows: Row[] = [];
  let from: FactPlace | null = null;
  for (let pages = 0; pages < CSV_PAGES_MAX && rows.length < CSV_ROWS_MAX; pages++) {
    const came: FactPage = page(from, CSV_ROWS_MAX - rows.length);
    rows.push(...came.found.map(rowOf));
    from = came.next;
    if (from === null) break;
  }
  return rows;
}

function rowOf({ kind, line, input, output, atMs }: FoundFact): Row {
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
