/**
 * OpenAI's own books, as its API answers: `/v1/organization/usage/completions` and `/usage/embeddings`, and
 * `/v1/organization/costs` (platform.openai.com/docs/api-reference/usage). Which report a page is of, its results say.
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

const USAGE = /^organization\.usage\.(completions|embeddings)\.result$/;
const COSTS = 'organization.costs.result';
/** A line item of a model: `gpt-4o-2024-08-06, cached input`. Others are fees, and name no model. */
const LINE_ITEM = /^(.+), (?:[a-z0-9-]+ )*(?:input|output|tokens|cache write|cache writes)$/i;
const PICO_DECIMALS = 12;

/** @throws ExportError in one line */
export function openaiBook(pages: readonly Page[]): ProviderBook {
  return bookOf(pages, { dayOf: bucketDay, result: resultOf });
}

function bucketDay(bucket: Members, where: string): string {
  if (bucket['start_time'] === undefined)
    throw new ExportError(`${where}.start_time: found nothing, expected seconds of Unix time`);
  return dayOf(countOf(bucket, 'start_time', where) * 1_000);
}

function resultOf(members: Members, day: string, where: string): Result {
  if (members['object'] === COSTS) return { cost: costRow(members, day, where) };
  const [, kind] = USAGE.exec(wordOf(members, 'object', where) ?? '') ?? [];
  if (kind === undefined) {
    const expected = `organization.usage.completions.result, organization.usage.embeddings.result or ${COSTS}`;
    throw new ExportError(
      `${where}.object: found ${shown(members['object'])}, expected ${expected}`,
    );
  }
  return {
    usage: usageRow(members, day, where),
    kind: kind === 'embeddings' ? 'embeddings' : 'writing',
  };
}

function usageRow(members: Members, day: string, where: string): UsageRow {
  const isBatch = members['batch'] === true;
  const tier = wordOf(members, 'service_tier', where);
  return {
    day,
    model: wordOf(members, 'model', where),
    tier: isBatch ? 'batch' : tier === null ? null : tierOf(tier),
    usage: {
      requests: countOf(members, 'num_model_requests', where),
      input: countOf(members, 'input_tokens', where),
      cacheRead: countOf(members, 'input_cached_tokens', where),
      cacheWrite: countOf(members, 'input_cache_write_tokens', where),
      output: countOf(members, 'output_tokens', where),
    },
  };
}

function costRow(members: Members, day: string, where: string): CostRow {
  const amount = membersOf(members['amount'], `${where}.amount`);
  const currency = String(amount['currency'] ?? 'usd').toLowerCase();
  const text = String(amount['value'] ?? '');
  const pico = wideDecimalOf(text.replace(/^-/, ''), PICO_DECIMALS);
  if (currency !== 'usd' || pico === null) {
    const found = shown(members['amount']);
    throw new ExportError(`${where}.amount: found ${found}, expected an amount in usd`);
  }
  const item = wordOf(members, 'line_item', where);
  const model = item === null ? null : (LINE_ITEM.exec(item)?.[1] ?? null);
  return {
    day,
    model: model ?? item,
    tier: null,
    pico: text.startsWith('-') ? -pico : pico,
    isFee: item !== null && model === null,
  };
}
