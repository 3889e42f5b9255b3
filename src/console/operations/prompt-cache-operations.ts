import type { z } from 'zod';
import { csvText } from '../../ledger/csv.ts';
import {
  type CacheRow,
  type CacheUse,
  cacheDimensions,
  cacheRows,
  cacheTotal,
  hitRate,
} from '../../ledger/prompt-cache.ts';
import { bookPrices } from '../../plan/book-prices.ts';
import { type KeptBreak, shownBreak } from '../../plan/prompt-breaks.ts';
import { usdText } from '../../prices/money.ts';
import type { AskedPast } from '../asked-past.ts';
import type { GatewayView } from '../gateway-view.ts';
import type { LivePlans } from '../live-plans.ts';
import { type Operation, operation } from '../operation.ts';
import { pageOf } from '../pages.ts';
import {
  NO_PATH,
  NO_QUERY,
  PROMPT_BREAKS,
  PROMPT_CACHE,
  PROMPT_CACHE_PAGE,
  PROMPT_CACHE_QUERY,
} from '../shapes.ts';
import { filtersOf, quarterEndText, quarterText, spanOf } from '../usage-wish.ts';
import { dimensionsOf, named } from './usage-operations.ts';

type Shown = z.output<typeof PROMPT_CACHE>;

const MEMBERS = Object.keys(PROMPT_CACHE.shape) as readonly (keyof Shown)[];

/**
 * What the caches that providers keep of prompts save, and who breaks them.
 * @param breaks what the main thread knows of those
 */
export function promptCacheOperations(
  view: GatewayView,
  live: LivePlans,
  past: AskedPast,
  breaks: () => Promise<readonly KeptBreak[]>,
): readonly Operation[] {
  return [
    operation({
      id: 'promptCache',
      method: 'GET',
      path: '/prompt-cache',
      summary: "What providers' own caches of prompts had and saved, by some dimensions.",
      tag: 'cache',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: PROMPT_CACHE_QUERY,
      bodyShape: null,
      answers: {
        200: { says: 'Rows and their total.', schema: PROMPT_CACHE_PAGE, types: ['text/csv'] },
      },
      problems: ['malformed', 'unavailable'],
      writes: false,
      run: async ({ caller, query }) => {
        const span = spanOf(query, view.now());
        const by = dimensionsOf(query.by);
        const used = await past.by(caller, cacheDimensions(by), span, filtersOf(query));
        // As they were when the time that is asked for ended.
        const prices = bookPrices(live.now.book, () => span.toMs - 1);
        const rows = cacheRows(by, used, (provider, model) => prices.rates(provider, model, 0));
        const total = useShown(cacheTotal(rows));
        const ordered = sorted(rows, query.order);
        if (query.format === 'csv') {
          const all = by.length === 0 ? [{ by: [], use: total }] : ordered.map(shown);
          const lines = all.map((row) => [
            ...row.by,
            ...MEMBERS.map((name) => cellOf(row.use[name])),
          ]);
          const body = `${csvText([[...by, ...MEMBERS], ...lines])}\r\n`;
          return { status: 200, type: 'text/csv; charset=utf-8', body };
        }
        const page = pageOf(ordered, query);
        const body: z.output<typeof PROMPT_CACHE_PAGE> = {
          since: quarterText(span.fromMs),
          until: quarterEndText(span.toMs, view.now()),
          by: [...by],
          rows: page.rows.map((row) => ({ by: named(by, row), use: useShown(row.use) })),
          total,
          next: page.next,
        };
        return { status: 200, body };
      },
    }),
    operation({
      id: 'promptBreaks',
      method: 'GET',
      path: '/prompt-cache/breaks',
      summary: 'Who breaks the cache of its own prompts on this node, with the byte and the money.',
      tag: 'cache',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: null,
      answers: { 200: { says: 'Those that did last first.', schema: PROMPT_BREAKS } },
      problems: ['unavailable'],
      writes: false,
      run: async ({ caller: { tenants } }) => {
        const rows = await breaks();
        const seen = rows.filter(({ tenantId }) => tenants === null || tenants.has(tenantId));
        return { status: 200, body: { rows: seen.map(shownBreak) } };
      },
    }),
  ];
}

function useShown(use: CacheUse): Shown {
  return {
    attempts: use.attempts,
    input_tokens: use.input,
    cache_read_tokens: use.cacheRead,
    cache_write_tokens: use.cacheWrite,
    hit_rate: hitRate(use),
    saved_usd: usdText(use.saved),
    written_usd: usdText(use.written),
    unpriced_tokens: use.unpriced,
  };
}

function shown({ by, use }: CacheRow): { readonly by: readonly string[]; readonly use: Shown } {
  return { by, use: useShown(use) };
}

function cellOf(value: string | number | null): string {
  return value === null ? '' : String(value);
}

type Order = z.output<typeof PROMPT_CACHE_QUERY>['order'];

/** @param rows with the most input first */
function sorted(rows: readonly CacheRow[], order: Order): readonly CacheRow[] {
  switch (order) {
    case 'input':
      return rows;
    case 'saved':
      return rows.toSorted((one, other) => Number(other.use.saved - one.use.saved));
    // The lowest first: there is something to be won.
    case 'rate':
      return rows.toSorted((one, other) => (hitRate(one.use) ?? 0) - (hitRate(other.use) ?? 0));
    case 'name':
      return rows.toSorted((one, other) => (one.by.join('\0') < other.by.join('\0') ? -1 : 1));
  }
}
