/** `sluice usage --cache`: what the caches that providers keep of prompts saved, and who breaks them. */

import { csvText, shownText } from '../ledger/csv.ts';
import type { Dimension } from '../ledger/fact-kind.ts';
import {
  type CacheRow,
  type CacheUse,
  cacheDimensions,
  cacheRows,
  cacheTotal,
  hitRate,
} from '../ledger/prompt-cache.ts';
import type { TimeZone } from '../ledger/time-zone.ts';
import type { Span, UsageReport } from '../ledger/usage-report.ts';
import { stepsOf } from '../ledger/usage-steps.ts';
import { bookPrices } from '../plan/book-prices.ts';
import { type KeptBreak, shownBreak } from '../plan/prompt-breaks.ts';
import { usdText } from '../prices/money.ts';
import { PriceBook, type PricingConfig, shippedBook } from '../prices/price-book.ts';
import { tableText } from './table-text.ts';

/** @param by null: days as a zone counts them, the oldest first */
export function cacheReport(
  report: UsageReport,
  by: readonly Dimension[] | null,
  span: Span,
  zone: TimeZone,
  pricing: PricingConfig,
): readonly CacheRow[] {
  const prices = bookPrices(new PriceBook(shippedBook(), pricing), () => span.toMs - 1);
  const rows = (dimensions: readonly Dimension[], within: Span): readonly CacheRow[] =>
    cacheRows(dimensions, report.by(cacheDimensions(dimensions), within), (provider, model) =>
      prices.rates(provider, model, 0),
    );
  if (by !== null) return rows(by, span);
  const starts = stepsOf(zone, 'day', span) ?? [];
  return starts.flatMap((fromMs, at) => {
    const day = zone.dayOf(fromMs);
    const [row] = rows([], { fromMs, toMs: starts[at + 1] ?? span.toMs });
    return row === undefined ? [] : [{ by: [day], use: row.use }];
  });
}

const HEAD = ['attempts', 'input', 'cached', 'written', 'hit rate', 'saved USD', 'written USD'];

export function cacheText(
  names: readonly string[],
  rows: readonly CacheRow[],
  broken: readonly KeptBreak[],
): string {
  if (rows.length === 0) return `nothing went in${brokenText(broken)}`;
  const cells = (by: readonly string[], use: CacheUse): readonly string[] => [
    ...by.map((text) => (text === '' ? '-' : shownText(text))),
    String(use.attempts),
    String(use.input),
    String(use.cacheRead),
    String(use.cacheWrite),
    percentText(hitRate(use)),
    usdText(use.saved),
    usdText(use.written) + (use.unpriced === 0 ? '' : ` + unpriced (${use.unpriced} tokens)`),
  ];
  const all = names.map((_, at) => (at === 0 ? 'all' : ' '));
  const lines = [
    [...names, ...HEAD],
    ...rows.map(({ by, use }) => cells(by, use)),
    cells(all, cacheTotal(rows)),
  ];
  const last = names.length + HEAD.length - 1;
  return tableText(lines, (at) => at >= names.length && at < last) + brokenText(broken);
}

export function cacheJson(
  names: readonly string[],
  rows: readonly CacheRow[],
  broken: readonly KeptBreak[],
): string {
  const told = {
    rows: rows.map(({ by, use }) => ({
      ...Object.fromEntries(names.map((name, at) => [name, by[at] === '' ? null : by[at]])),
      attempts: use.attempts,
      input_tokens: use.input,
      cache_read_tokens: use.cacheRead,
      cache_write_tokens: use.cacheWrite,
      hit_rate: hitRate(use),
      saved_usd: usdText(use.saved),
      written_usd: usdText(use.written),
      unpriced_tokens: use.unpriced,
    })),
    broken: broken.map(shownBreak),
  };
  return JSON.stringify(told, null, 2);
}

export function cacheCsv(names: readonly string[], rows: readonly CacheRow[]): string {
  const head = ['attempts', 'input', 'cached', 'written', 'hit_rate', 'saved_usd', 'written_usd'];
  const lines = rows.map(({ by, use }) => [
    ...by,
    String(use.attempts),
    String(use.input),
    String(use.cacheRead),
    String(use.cacheWrite),
    String(hitRate(use) ?? ''),
    usdText(use.saved),
    usdText(use.written),
    String(use.unpriced),
  ]);
  return csvText([[...names, ...head, 'unpriced_tokens'], ...lines]);
}

/** Each as a sentence: there are few, and each wants to be mended by somebody. */
function brokenText(broken: readonly KeptBreak[]): string {
  if (broken.length === 0) return '';
  const lines = broken.map((row) => {
    const whose = `tenant ${row.tenantId}, key ${row.keyId ?? '-'}, ${shownText(row.target)}`;
    const where =
      row.offset === null
        ? `"${row.part}" was not there any more`
        : `"${row.part}" changes at byte ${row.offset} (${row.partOffset} of it)`;
    const isUnknown = row.unpriced === row.sessions;
    const lost = isUnknown ? 'not known what it cost' : `lost ${usdText(row.lostPico)} USD`;
    return `  ${whose}: ${where}, in ${row.turns} turns of ${row.sessions} sessions; ${lost}`;
  });
  return `\n\nprompts whose cache is broken by what sends them:\n${lines.join('\n')}`;
}

/** A tenth of a per cent, never 100 % of what is less. */
function percentText(rate: number | null): string {
  return rate === null ? '-' : `${(Math.floor(rate * 1_000) / 10).toFixed(1)} %`;
}
