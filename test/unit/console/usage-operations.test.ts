import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import type { GatewayView } from '../../../src/console/gateway-view.ts';
import type { Caller, Operation } from '../../../src/console/operation.ts';
import { usageOperations } from '../../../src/console/operations/usage-operations.ts';
import { DIMENSION, type SPEND, type USAGE, type USAGE_PAGE } from '../../../src/console/shapes.ts';
import type { Dimension } from '../../../src/ledger/fact-kind.ts';
import { LedgerFiles } from '../../../src/ledger/ledger-files.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { openSqlite } from '../../../src/ledger/sqlite.ts';
import { usdText } from '../../../src/prices/money.ts';
import { called, gatewayView, OWNER, pastOf, viewerOf } from '../../support/console.ts';
import { linesOf, requestIdOf } from '../../support/facts.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const QUARTER_MS = HOUR_MS / 4;
/** Clocks go back in Berlin and in New York within these days. */
const BEGAN_MS = Date.parse('2026-10-24T00:00:00Z');
const DAYS = 10;
const END_MS = BEGAN_MS + DAYS * DAY_MS;
const FACTS = 4_000;

const facts = Array.from({ length: FACTS }, (_, at) => ({
  timeMs: BEGAN_MS + Math.floor((at / FACTS) * DAYS * DAY_MS),
  requestId: requestIdOf(at),
  attempt: 1,
  final: at % 11 !== 0,
  tenantId: String(at % 4),
  keyId: at % 5 === 0 ? null : String(at % 7),
  provider: at % 2 === 0 ? 'openai' : 'anthropic',
  model: `model-${at % 3}`,
  status: at % 9 === 0 ? 429 : 200,
  input: at,
  cost: at % 13 === 0 ? null : `0.${String(at + 1).padStart(9, '0')}`,
}));

type Usage = z.output<typeof USAGE>;
type UsagePage = z.output<typeof USAGE_PAGE>;
type Spend = z.output<typeof SPEND>;

let folder: string;
let view: GatewayView;
let operations: readonly Operation[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-console-'));
  const ledger = new SqliteLedger(folder);
  ledger.add(linesOf(facts));
  // Half of it is added up by hours and days, half is not.
  for (let steps = 0; steps < 130 && ledger.sumUp(END_MS); ) steps++;
  ledger.close();
  const config = join(folder, 'config.toml');
  writeFileSync(config, `data_dir = ${JSON.stringify(folder)}\n`);
  view = gatewayView(config, { now: () => END_MS });
  operations = usageOperations(view, pastOf(view));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Asked {
  readonly fromMs: number;
  readonly toMs: number;
  readonly filters: Readonly<Partial<Record<Dimension, string>>>;
  readonly caller: Caller;
}

/** The same by a statement over the facts themselves. */
function bySql({
  fromMs,
  toMs,
  filters,
  caller,
}: Asked): Pick<Usage, 'facts' | 'input_tokens' | 'cost_usd' | 'unpriced'> {
  const files = new LedgerFiles(folder);
  const total = { facts: 0, input: 0, cost: 0n, unpriced: 0 };
  const where = Object.keys(filters).map((name) => ` AND ${name} = ?`);
  const seen =
    caller.tenants === null
      ? ''
      : ` AND tenant IN (${[...caller.tenants].map((id) => `'${id}'`).join(', ')})`;
  for (const day of files.days()) {
    const file = openSqlite(files.day(day), 'read');
    const row = file
      .prepare(
        `SELECT count(*) AS facts, sum(input) AS input, sum(cost) AS cost, sum(cost IS NULL) AS unpriced FROM usage
         WHERE at_ms >= ? AND at_ms < ?${where.join('')}${seen}`,
      )
      .first(fromMs, toMs, ...Object.values(filters));
    file.close();
    total.facts += Number(row?.['facts'] ?? 0);
    total.input += Number(row?.['input'] ?? 0);
    total.cost += BigInt(Number(row?.['cost'] ?? 0));
    total.unpriced += Number(row?.['unpriced'] ?? 0);
  }
  return {
    facts: total.facts,
    input_tokens: total.input,
    cost_usd: usdText(total.cost),
    unpriced: total.unpriced,
  };
}

const quarter = fc.integer({ min: 0, max: DAYS * 96 }).map((at) => BEGAN_MS + at * QUARTER_MS);
const asked = fc.record({
  edges: fc.tuple(quarter, quarter).filter(([a, b]) => a !== b),
  filters: fc.record(
    {
      tenant: fc.constantFrom('0', '1', '9'),
      key: fc.constantFrom('1', '2'),
      model: fc.constantFrom('model-0', 'model-2'),
      provider: fc.constantFrom('openai', 'anthropic'),
      status: fc.constantFrom('200', '429'),
    },
    { requiredKeys: [] },
  ),
  caller: fc.constantFrom(OWNER, viewerOf('1', '2'), viewerOf()),
});

const isoOf = (ms: number): string => new Date(ms).toISOString();

function wishOf({
  edges,
  filters,
  caller,
}: {
  readonly edges: readonly [number, number];
  readonly filters: Asked['filters'];
  readonly caller: Caller;
}) {
  const [fromMs, toMs] = [Math.min(...edges), Math.max(...edges)];
  return {
    fromMs,
    toMs,
    caller,
    filters,
    query: { since: isoOf(fromMs), until: isoOf(toMs), ...filters },
  };
}

describe('usage', () => {
  test('its total and its rows are what a statement over the facts says, whatever is asked for', async () => {
    await fc.assert(
      fc.asyncProperty(asked, fc.subarray([...DIMENSION.options]), async (said, by) => {
        const { query, ...wish } = wishOf(said);
        const { body } = await called(operations, 'usage', {
          caller: wish.caller,
          query: { ...query, by: by.join(','), limit: '1000' },
        });
        const page = body as UsagePage;
        expect(page.total).toMatchObject(bySql(wish));
        for (const row of page.rows.slice(0, 3))
          expect(row.usage).toMatchObject(
            bySql({ ...wish, filters: { ...wish.filters, ...row.by } }),
          );
        const facts = page.rows.reduce((sum, row) => sum + row.usage.facts, 0);
        if (page.next === null) expect(facts).toBe(page.total.facts);
      }),
      { numRuns: 30 },
    );
  });

  test('its pages together are all rows, each once, in the order that was asked for', async () => {
    const all = {
      since: isoOf(BEGAN_MS),
      until: isoOf(END_MS),
      by: 'tenant,key,model',
      order: 'name',
    };
    const whole = (await called(operations, 'usage', { query: { ...all, limit: '1000' } }))
      .body as UsagePage;
    const rows: UsagePage['rows'] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = { ...all, limit: '7', ...(cursor === '' ? {} : { cursor }) };
      const page = (await called(operations, 'usage', { query })).body as UsagePage;
      rows.push(...page.rows);
      cursor = page.next;
    }
    expect(rows).toEqual(whole.rows);
    expect(rows.map(({ by }) => by['tenant'])).toEqual(
      rows.map(({ by }) => by['tenant']).toSorted(),
    );
  });

  test('a viewer of two tenants is told of no other one, by any dimension', async () => {
    const query = { since: isoOf(BEGAN_MS), until: isoOf(END_MS), by: 'tenant' };
    const told = async (more: object) =>
      (
        await called(operations, 'usage', {
          caller: viewerOf('1', '2'),
          query: { ...query, ...more },
        })
      ).body as UsagePage;
    expect((await told({})).rows.map(({ by }) => by['tenant']).toSorted()).toEqual(['1', '2']);
    expect((await told({ tenant: '3' })).rows).toEqual([]);
    expect((await told({ tenant: '3' })).total.facts).toBe(0);
  });

  test('says up to when it tells: to the end of a quarter of an hour, as far as that has come', async () => {
    for (const [untilMs, toldMs] of [
      [BEGAN_MS + HOUR_MS + 60_000, BEGAN_MS + HOUR_MS + QUARTER_MS],
      [BEGAN_MS + HOUR_MS, BEGAN_MS + HOUR_MS],
      [END_MS, END_MS],
    ] as const) {
      const query = { since: isoOf(BEGAN_MS), until: isoOf(untilMs) };
      const page = (await called(operations, 'usage', { query })).body as UsagePage;
      const spend = (await called(operations, 'spend', { query })).body as Spend;
      expect([page.until, spend.until]).toEqual([isoOf(toldMs), isoOf(toldMs)]);
      const wish = { fromMs: BEGAN_MS, toMs: toldMs, filters: {}, caller: OWNER };
      expect(page.total).toMatchObject(bySql(wish));
      expect(spend.total).toMatchObject(bySql(wish));
    }
    const soon = gatewayView(join(folder, 'config.toml'), { now: () => END_MS + 60_000 });
    const page = (await called(usageOperations(soon, pastOf(soon)), 'usage')).body as UsagePage;
    expect(page.until).toBe(isoOf(END_MS + 60_000));
  });

  test('as CSV it has all rows, and no cell that a spreadsheet would run', async () => {
    const query = { since: isoOf(BEGAN_MS), until: isoOf(END_MS), by: 'model', format: 'csv' };
    const { type, body } = await called(operations, 'usage', { query });
    expect(type).toContain('text/csv');
    const [head, ...lines] = String(body).trimEnd().split('\r\n');
    expect(head).toBe(
      'model,facts,requests,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,reasoning_tokens,duration_ms,cost_usd,unpriced,estimated',
    );
    expect(lines).toHaveLength(3);
  });

  test.each([
    [{ by: 'moon' }, 'by'],
    [{ cursor: 'nonsense' }, 'cursor'],
    [{ since: isoOf(END_MS), until: isoOf(BEGAN_MS) }, 'since'],
  ])('%j is refused, and told what is wrong with it', async (query, key) => {
    const came = called(operations, 'usage', { query: query as Record<string, string> });
    await expect(came).rejects.toMatchObject({ code: 'malformed', parts: [{ key }] });
  });
});

describe('spend', () => {
  test.each([
    'UTC',
    'Asia/Kathmandu',
    'Pacific/Honolulu',
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
  ])('in %s each step is what a statement over its facts says, and all of them together are the total', async (zone) => {
    await fc.assert(
      fc.asyncProperty(
        asked,
        fc.constantFrom('quarter', 'hour', 'day', 'month'),
        fc.option(fc.constantFrom(...DIMENSION.options)),
        async (said, step, by) => {
          const { query, ...wish } = wishOf(said);
          const { body } = await called(operations, 'spend', {
            caller: wish.caller,
            query: { ...query, zone, step, top: '2', ...(by === null ? {} : { by }) },
          });
          const { starts, series, total } = body as Spend;
          expect(total).toMatchObject(bySql(wish));
          const at = starts.length - 1;
          const instants = starts.map((start) => Date.parse(start));
          for (const step of new Set([0, at >> 1, at])) {
            const there = {
              ...wish,
              fromMs: instants[step] ?? 0,
              toMs: instants[step + 1] ?? wish.toMs,
            };
            const facts = series.reduce((sum, { usage }) => sum + (usage[step]?.facts ?? 0), 0);
            expect(facts).toBe(bySql(there).facts);
          }
          const [first] = series;
          if (by !== null && first !== undefined && total.facts > 0) {
            const cost = first.usage.reduce((sum, { facts }) => sum + facts, 0);
            expect(cost).toBe(
              bySql({
                ...wish,
                filters: { ...wish.filters, [by]: first.name },
                caller: wish.caller,
              }).facts,
            );
          }
        },
      ),
      { numRuns: 10 },
    );
  });

  test('a day has 25 hours where clocks go back, and begins at midnight there', async () => {
    const query = {
      since: '2026-10-23T22:00:00.000Z',
      until: '2026-10-26T23:00:00.000Z',
      zone: 'Europe/Berlin',
    };
    const { starts } = (await called(operations, 'spend', { query })).body as Spend;
    expect(starts).toEqual([
      '2026-10-23T22:00:00.000Z',
      '2026-10-24T22:00:00.000Z',
      '2026-10-25T23:00:00.000Z',
    ]);
  });

  test('the dearest series come first, the others together behind them', async () => {
    const query = { since: isoOf(BEGAN_MS), until: isoOf(END_MS), by: 'tenant', top: '1' };
    const { series } = (await called(operations, 'spend', { query })).body as Spend;
    expect(series.map(({ is_rest: isRest }) => isRest)).toEqual([false, true]);
  });

  test('more steps than a chart can show are refused', async () => {
    const query = { since: isoOf(BEGAN_MS - 30 * DAY_MS), until: isoOf(END_MS), step: 'quarter' };
    await expect(called(operations, 'spend', { query })).rejects.toMatchObject({
      code: 'malformed',
      parts: [{ key: 'step' }],
    });
  });
});

test('without a ledger it is said what to do', async () => {
  const config = join(folder, 'bare.toml');
  writeFileSync(config, '');
  const nothing = gatewayView(config);
  const bare = usageOperations(nothing, pastOf(nothing));
  await expect(called(bare, 'usage')).rejects.toMatchObject({ code: 'unavailable' });
  expect(view.running().dataDir).toBe(folder);
});
