/**
 * OpenAI's own books, as its API answers: `/v1/organization/usage/completions` and `/usage/embeddings`, and
 * `/v1/organization/costs` (platform.openai.com/docs/api-reference/usage). Which report a page is of, its results say.
 */

import { wideDecimalOf } from '../prices/money.ts';
import {
  type CostRow,
  countOf,
  dayOf,
  ExportError,
  isCut,
  listOf,
  type Members,
  membersOf,
  type Page,
  type ProviderBook,
  shown,
  tierOf,
  type UsageKind,
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
  const usage: UsageRow[] = [];
  const costs: CostRow[] = [];
  const usageDays = new Set<string>();
  const costDays = new Set<string>();
  const kinds = new Set<UsageKind>();
  const ofUsage: Page[] = [];
  const ofCosts: Page[] = [];
  for (const one of pages) {
    const { page, where } = one;
    const days: string[] = [];
    for (const [at, value] of listOf(page['data'], `${where}: data`).entries()) {
      const place = `${where}: data[${at}]`;
      const bucket = membersOf(value, place);
      if (bucket['start_time'] === undefined)
        throw new ExportError(`${place}.start_time: found nothing, expected seconds of Unix time`);
      const day = dayOf(countOf(bucket, 'start_time', place) * 1_000);
      days.push(day);
      const results = listOf(bucket['results'] ?? bucket['result'], `${place}.results`);
      for (const [number, result] of results.entries()) {
        const inside = `${place}.results[${number}]`;
        const members = membersOf(result, inside);
        const [, kind] = USAGE.exec(wordOf(members, 'object', inside) ?? '') ?? [];
        if (kind !== undefined) {
          kinds.add(kind === 'embeddings' ? 'embeddings' : 'writing');
          usage.push(usageRow(members, day, inside));
          if (!ofUsage.includes(one)) ofUsage.push(one);
        } else if (members['object'] === COSTS) {
          costs.push(costRow(members, day, inside));
          if (!ofCosts.includes(one)) ofCosts.push(one);
        } else {
          const expected = `organization.usage.completions.result, organization.usage.embeddings.result or ${COSTS}`;
          throw new ExportError(
            `${inside}.object: found ${shown(members['object'])}, expected ${expected}`,
          );
        }
      }
    }
    // Those on which nothing was used too.
    if (ofUsage.includes(one)) for (const day of days) usageDays.add(day);
    if (ofCosts.includes(one)) for (const day of days) costDays.add(day);
  }
  return { usageDays, costDays, kinds, usage, costs, isCut: isCut(ofUsage) || isCut(ofCosts) };
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
