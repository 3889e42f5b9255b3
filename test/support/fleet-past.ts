import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DIMENSIONS } from '../../src/ledger/fact-kind.ts';
import type { Past } from '../../src/ledger/past.ts';
import { usdText } from '../../src/prices/money.ts';
import { requestIdOf } from './facts.ts';
import { ODD_MODEL } from './outbox-facts.ts';

const QUARTER_MS = 900_000;
const DAY_MS = 86_400_000;
export const BEGAN_MS = Date.parse('2026-11-24T00:00:00Z');
const DAYS = 4;
export const END_MS = BEGAN_MS + DAYS * DAY_MS;
const FACTS = 1_500;

/** Facts of a few days, of every kind that sums tell apart. */
export const FLEET_FACTS = Array.from({ length: FACTS }, (_, at) => ({
  timeMs: BEGAN_MS + Math.floor((at / FACTS) * DAYS * DAY_MS),
  requestId: requestIdOf(at - (at % 3 === 1 ? 1 : 0), 1 + (Math.floor(at / 3) % 2)),
  attempt: at % 3 === 1 ? 2 : 1,
  final: at % 3 !== 0,
  tenantId: at % 4 === 3 ? '18446744073709551615' : String(at % 4),
  keyId: at % 5 === 0 ? null : String(at % 7),
  provider: at % 2 === 0 ? 'openai' : 'anthropic',
  dialect: at % 2 === 0 ? ('openai' as const) : ('anthropic' as const),
  model: at % 8 === 0 ? null : at % 6 === 0 ? ODD_MODEL : `model-${at % 3}`,
  requestedModel: at % 16 === 0 ? 'asked' : null,
  status: at % 9 === 0 ? 429 : 200,
  outcome: at % 17 === 0 ? ('client_gone' as const) : ('complete' as const),
  input: at,
  cacheRead: at % 5 === 0 ? 7 : null,
  cost: at % 13 === 0 ? null : usdText(BigInt(at % 500) * 1_000_000_000_000n + BigInt(at + 1)),
}));

const spanWish = fc
  .tuple(fc.integer({ min: -1, max: DAYS * 96 }), fc.integer({ min: 1, max: 200 }))
  .map(([from, length]) => ({
    fromMs: BEGAN_MS + from * QUARTER_MS,
    toMs: BEGAN_MS + (from + length) * QUARTER_MS,
  }));
const filterWish = fc.record(
  {
    tenant: fc.subarray(['0', '1', '18446744073709551615', 'nobody']),
    key: fc.constantFrom(['1'], ['6', '']),
    model: fc.constantFrom(['model-1'], [ODD_MODEL], ['asked', ''], ['a\0b']),
    provider: fc.constant(['openai']),
    status: fc.constantFrom(['429'], ['client_gone']),
  },
  { requiredKeys: [] },
);
function said<Wish extends object>(wish: Wish): Wish {
  return Object.fromEntries(
    Object.entries(wish).filter(([, value]) => value !== undefined),
  ) as Wish;
}

/**
 * Tests that a data base tells what the files of one node tell that had all of it.
 * @param sides asked for within a test
 */
export function tellsAsFilesDo(sides: () => { readonly past: Past; readonly own: Past }): void {
  test('tells sums by any dimensions as the files of one node that had all of it', async () => {
    const { past, own } = sides();
    await fc.assert(
      fc.asyncProperty(
        fc.subarray([...DIMENSIONS]),
        spanWish,
        filterWish,
        async (dimensions, span, filters) => {
          const asked = said(filters);
          expect(await past.by(dimensions, span, asked)).toEqual(
            await own.by(dimensions, span, asked),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  test('tells series as they do', async () => {
    const { past, own } = sides();
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(null, ...DIMENSIONS),
        spanWish,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 4 }),
        filterWish,
        async (dimension, { fromMs, toMs }, step, top, filters) => {
          const starts: number[] = [];
          for (let at = fromMs; at < toMs; at += step * QUARTER_MS) starts.push(at);
          const asked = [dimension, starts, toMs, said(filters), top] as const;
          expect(await past.series(...asked)).toEqual(await own.series(...asked));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('tells facts one by one as they do, page by page', async () => {
    const { past, own } = sides();
    const all = async (of: Past, wish: Parameters<Past['page']>[0], limit: number) => {
      const found: unknown[] = [];
      for (let from: unknown = null; ; ) {
        const page = await of.page(wish, from, limit);
        for (const { atMs, kind, input, output, line } of page.found)
          found.push([
            atMs,
            kind.group,
            kind.outcome,
            kind.isFinal,
            input,
            output,
            JSON.parse(line),
          ]);
        if (page.next === null) return found;
        expect(of.isPlace(JSON.parse(JSON.stringify(page.next)))).toBe(true);
        from = page.next;
      }
    };
    await fc.assert(
      fc.asyncProperty(
        spanWish,
        filterWish,
        fc.constantFrom(null, 'complete', 'client_gone'),
        fc.boolean(),
        fc.constantFrom('', 'req_', requestIdOf(33), requestIdOf(33).slice(0, 26), 'x\0'),
        fc.constantFrom(7, 100, 1_000),
        async (span, filters, outcome, onlyFinal, idPrefix, limit) => {
          const wish = { ...span, filters: said(filters), outcome, onlyFinal, idPrefix };
          expect(await all(past, wish, limit)).toEqual(await all(own, wish, limit));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('tells one request as its facts said it', async () => {
    const { past, own } = sides();
    for (const at of [0, 3, 700, 701, FACTS - 1]) {
      const id = FLEET_FACTS[at]?.requestId ?? '';
      const told = await past.find(id);
      expect(told.map((line) => JSON.parse(line))).toEqual(
        (await own.find(id)).map((line) => JSON.parse(line)),
      );
      expect(told.length).toBeGreaterThan(0);
    }
    expect(await past.find('req_\0')).toEqual([]);
    expect(await past.find("' OR true --")).toEqual([]);
  });
}
