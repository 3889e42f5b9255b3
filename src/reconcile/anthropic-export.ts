/**
 * Anthropic's own books, as its Admin API answers: `/v1/organizations/usage_report/messages` and
 * `/v1/organizations/cost_report` (platform.claude.com/docs/en/api/admin), which list results by day, and what is to come
 * after them, `/v1/organizations/analytics/usage` and `…/cost` (`BetaAnalyticsUsageItem`, `BetaAnalyticsCostItem` of
 * @anthropic-ai/sdk 1.11), which list rows. Requests are not counted here. A cost is told in cents, as a decimal text.
 */

import { wideDecimalOf } from '../prices/money.ts';
import {
  bookOf,
  type CostRow,
  countOf,
  dayOf,
  ExportError,
  type Members,
  membersOf,
  type Page,
  type ProviderBook,
  type Result,
  shown,
  tierOf,
  type UsageRow,
  wordOf,
} from './books.ts';

const CENT_DECIMALS = 10;

/** @throws ExportError in one line */
export function anthropicBook(pages: readonly Page[]): ProviderBook {
  return bookOf(pages, { dayOf: bucketDay, resultsOf: rowOf, result: resultOf });
}

function bucketDay(bucket: Members, where: string): string {
  const beganMs = Date.parse(wordOf(bucket, 'starting_at', where) ?? '');
  if (!Number.isNaN(beganMs)) return dayOf(beganMs);
  const found = shown(bucket['starting_at']);
  throw new ExportError(`${where}.starting_at: found ${found}, expected a time (RFC 3339)`);
}

/** A row of the analytics: by what it is grouped stands apart from what was used, or what that cost. */
function rowOf(bucket: Members, where: string): readonly unknown[] | null {
  if (bucket['group'] === undefined) return null;
  const name = bucket['cost'] === undefined ? 'usage' : 'cost';
  return [
    {
      ...membersOf(bucket['group'], `${where}.group`),
      ...membersOf(bucket[name], `${where}.${name}`),
    },
  ];
}

function resultOf(members: Members, day: string, where: string): Result {
  if (members['amount'] !== undefined) return { cost: costRow(members, day, where) };
  if (members['uncached_input_tokens'] !== undefined)
    return { usage: usageRow(members, day, where), kind: 'writing' };
  const found = Object.keys(members).slice(0, 4).join(', ');
  const expected = 'amount (cost_report) or uncached_input_tokens (usage_report/messages)';
  throw new ExportError(`${where}: found ${found}, expected ${expected}`);
}

function usageRow(members: Members, day: string, where: string): UsageRow {
  const written = members['cache_creation'] ?? {};
  const writes = membersOf(written, `${where}.cache_creation`);
  const cacheRead = countOf(members, 'cache_read_input_tokens', where);
  const cacheWrite =
    countOf(writes, 'ephemeral_5m_input_tokens', `${where}.cache_creation`) +
    countOf(writes, 'ephemeral_1h_input_tokens', `${where}.cache_creation`);
  const tier = wordOf(members, 'service_tier', where);
  return {
    day,
    model: wordOf(members, 'model', where),
    tier: tier === null ? null : tierOf(tier),
    usage: {
      requests: null,
      input: countOf(members, 'uncached_input_tokens', where) + cacheRead + cacheWrite,
      cacheRead,
      cacheWrite,
      output: countOf(members, 'output_tokens', where),
    },
  };
}

function costRow(members: Members, day: string, where: string): CostRow {
  const text = String(members['amount']);
  const currency = wordOf(members, 'currency', where) ?? 'USD';
  const pico = wideDecimalOf(text.replace(/^-/, ''), CENT_DECIMALS);
  if (currency !== 'USD' || pico === null) {
    const found = shown(members['amount']);
    throw new ExportError(`${where}.amount: found ${found}, expected cents of USD as a decimal`);
  }
  const tier = wordOf(members, 'service_tier', where);
  const fee = wordOf(members, 'cost_type', where);
  const model = wordOf(members, 'model', where);
  const isFee = model === null && fee !== null && fee !== 'tokens';
  return {
    day,
    model: isFee ? fee : model,
    tier: tier === null ? null : tierOf(tier),
    pico: text.startsWith('-') ? -pico : pico,
    isFee,
  };
}
