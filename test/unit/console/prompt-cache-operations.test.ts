import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { LivePlans } from '../../../src/console/live-plans.ts';
import type { Operation } from '../../../src/console/operation.ts';
import { promptCacheOperations } from '../../../src/console/operations/prompt-cache-operations.ts';
import type { PROMPT_BREAKS, PROMPT_CACHE_PAGE } from '../../../src/console/shapes.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import type { KeptBreak } from '../../../src/plan/prompt-breaks.ts';
import { usdText } from '../../../src/prices/money.ts';
import { called, gatewayView, pastOf, viewerOf } from '../../support/console.ts';
import { linesOf, requestIdOf } from '../../support/facts.ts';

type Page = z.output<typeof PROMPT_CACHE_PAGE>;

const NOW_MS = Date.parse('2026-11-28T10:20:00Z');
const FACTS = 600;

const MODELS = [
  { provider: 'openai', model: 'priced', dialect: 'openai' },
  { provider: 'anthropic', model: 'priced', dialect: 'anthropic' },
  { provider: 'openai', model: 'no-such-model', dialect: 'openai' },
] as const;

const facts = Array.from({ length: FACTS }, (_, at) => ({
  ...(MODELS[at % 3] ?? MODELS[0]),
  timeMs: NOW_MS - at * 60_000,
  requestId: requestIdOf(at),
  tenantId: String(at % 4),
  keyId: String(at % 7),
  input: 1_000 + 13 * at,
  cacheRead: at % 5 === 0 ? null : 7 * at,
}));

/** What went in, cached or not: Anthropic's own count is without what was. */
const inputOf = ({ dialect, input, cacheRead }: (typeof facts)[number]): number =>
  input + (dialect === 'anthropic' ? (cacheRead ?? 0) : 0);

const total = (some: readonly (typeof facts)[number][]) => ({
  input: some.reduce((sum, fact) => sum + inputOf(fact), 0),
  read: some.reduce((sum, { cacheRead }) => sum + (cacheRead ?? 0), 0),
});

const row = (tenantId: string, over: Partial<KeptBreak> = {}): KeptBreak => ({
  tenantId,
  keyId: '7',
  model: 'chat',
  target: 'openai/gpt-4o',
  part: 'system',
  offset: 140,
  partOffset: 12,
  turns: 6,
  sessions: 2,
  unpriced: 1,
  lostPico: 7_500_000_000n,
  firstMs: NOW_MS - 5_000,
  lastMs: NOW_MS,
  ...over,
});

let folder: string;
let operations: readonly Operation[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-prompt-cache-'));
  const ledger = new SqliteLedger(folder);
  ledger.add(linesOf(facts));
  ledger.close();
  const config = join(folder, 'config.toml');
  writeFileSync(
    config,
    `data_dir = ${JSON.stringify(folder)}
[prices."openai/priced"]
input = "2"
output = "8"
cache_read = "0.5"
[prices."anthropic/priced"]
input = "3"
output = "15"
cache_read = "0.3"
cache_write = "3.75"
`,
  );
  const view = gatewayView(config, { now: () => NOW_MS });
  const breaks = async () => [row('1'), row('2', { keyId: null, offset: null })];
  operations = promptCacheOperations(view, new LivePlans(view), pastOf(view), breaks);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const asked = async (
  query: Readonly<Record<string, string>> = {},
  caller = viewerOf('0', '1', '2', '3'),
): Promise<Page> => {
  const { body } = await called(operations, 'promptCache', { query, caller });
  return body as Page;
};

describe('prompt caches', () => {
  test('P4: the hit rate is what was read of what went in, exactly, for Anthropic’s way of counting, too', async () => {
    const { total: told } = await asked();
    const { input, read } = total(facts);
    expect(told).toMatchObject({
      attempts: FACTS,
      input_tokens: input,
      cache_read_tokens: read,
      hit_rate: read / input,
    });
  });

  test('by key and provider: each row is that of its facts', async () => {
    const { rows } = await asked({ by: 'key,provider' });
    expect(rows).toHaveLength(14);
    for (const { by, use } of rows) {
      const own = facts.filter(
        (fact) => fact.keyId === by['key'] && fact.provider === by['provider'],
      );
      const { input, read } = total(own);
      expect(use).toMatchObject({ input_tokens: input, cache_read_tokens: read });
    }
  });

  test('what is saved is what the tokens would have cost as input, less what they cost; what has no price is counted', async () => {
    const { rows } = await asked({ by: 'provider,model', order: 'saved' });
    const [first, second, third] = MODELS.map((of) =>
      total(facts.filter(({ provider, model }) => of.provider === provider && of.model === model)),
    );
    const pico = (read: number | undefined, rate: bigint): string =>
      usdText(BigInt(read ?? 0) * rate);
    expect(rows.map(({ by, use }) => [by['provider'], by['model'], use.saved_usd])).toEqual([
      ['anthropic', 'priced', pico(second?.read, 2_700_000n)],
      ['openai', 'priced', pico(first?.read, 1_500_000n)],
      ['openai', 'no-such-model', '0'],
    ]);
    expect(rows.map(({ use }) => use.unpriced_tokens)).toEqual([0, 0, third?.read]);
  });

  test('a caller that is held to tenants has their sums alone, and their broken sessions', async () => {
    const own = facts.filter(({ tenantId }) => tenantId === '2');
    const { total: told } = await asked({}, viewerOf('2'));
    expect(told.input_tokens).toBe(total(own).input);
    const { body } = await called(operations, 'promptBreaks', { caller: viewerOf('2') });
    const { rows } = body as z.output<typeof PROMPT_BREAKS>;
    expect(rows.map(({ tenant }) => tenant)).toEqual(['2']);
  });

  test.each([
    'input',
    'saved',
    'rate',
    'name',
  ] as const)('rows by %s are in that order, page by page', async (order) => {
    const all = (await asked({ by: 'key', order, limit: '1000' })).rows;
    const keyed = {
      input: all.toSorted((a, b) => b.use.input_tokens - a.use.input_tokens),
      saved: all.toSorted((a, b) => Number(b.use.saved_usd) - Number(a.use.saved_usd)),
      rate: all.toSorted((a, b) => (a.use.hit_rate ?? 0) - (b.use.hit_rate ?? 0)),
      name: all.toSorted((a, b) => Number(a.by['key']) - Number(b.by['key'])),
    };
    expect(all).toEqual(keyed[order]);
    const first = await asked({ by: 'key', order, limit: '4' });
    const second = await asked({ by: 'key', order, limit: '4', cursor: first.next ?? '' });
    expect([...first.rows, ...second.rows]).toEqual(all);
    expect(second.next).toBeNull();
  });

  test('as CSV every row has its numbers, and all together are one row where nothing is told apart', async () => {
    const csv = async (by: string) =>
      String((await called(operations, 'promptCache', { query: { by, format: 'csv' } })).body)
        .trim()
        .split('\r\n');
    const rows = await csv('provider');
    expect(rows[0]).toBe(
      'provider,attempts,input_tokens,cache_read_tokens,cache_write_tokens,hit_rate,saved_usd,written_usd,unpriced_tokens',
    );
    const { total: told } = await asked();
    expect(rows).toHaveLength(3);
    expect((await csv('')).at(1)?.split(',').slice(0, 2)).toEqual([
      String(told.attempts),
      String(told.input_tokens),
    ]);
  });

  test('sessions that break theirs are told with the byte and the money', async () => {
    const { body } = await called(operations, 'promptBreaks');
    expect((body as z.output<typeof PROMPT_BREAKS>).rows[0]).toEqual({
      tenant: '1',
      key: '7',
      model: 'chat',
      target: 'openai/gpt-4o',
      part: 'system',
      offset: 140,
      part_offset: 12,
      sessions: 2,
      turns: 6,
      lost_usd: '0.0075',
      unpriced: 1,
      first: '2026-11-28T10:19:55.000Z',
      last: '2026-11-28T10:20:00.000Z',
    });
  });
});
