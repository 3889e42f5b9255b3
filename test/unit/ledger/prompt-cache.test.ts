import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Dimension } from '../../../src/ledger/fact-kind.ts';
import {
  type CacheRates,
  cacheDimensions,
  cacheRows,
  cacheTotal,
  hitRate,
  NO_CACHE_USE,
} from '../../../src/ledger/prompt-cache.ts';
import { type UsageRow, usageOfRow } from '../../../src/ledger/usage-report.ts';

/** USD 2.50, 1.25 and 3.125 for a million tokens. */
const RATES: CacheRates = { input: 2_500_000, cacheRead: 1_250_000, cacheWrite: 3_125_000 };

const rowOf = (by: readonly string[], sums: Readonly<Record<string, number>>): UsageRow => ({
  by,
  usage: usageOfRow(sums, 0n),
});

const rates = (provider: string, model: string): CacheRates | null =>
  model === 'unknown' || provider === '' ? null : RATES;

describe('what caches of prompts had', () => {
  test('is told apart by what was asked for alone, whatever models a row is made of', () => {
    expect(cacheDimensions(['key'])).toEqual(['key', 'provider', 'model']);
    expect(cacheDimensions(['provider'])).toEqual(['provider', 'model']);
    expect(cacheDimensions(['model', 'tenant'])).toEqual(['model', 'tenant', 'provider']);
    const rows = cacheRows(
      ['key'],
      [
        rowOf(['1', 'openai', 'gpt'], { facts: 2, input: 1_000, cache_read: 400 }),
        rowOf(['2', 'openai', 'gpt'], { facts: 1, input: 5_000, cache_read: 0 }),
        rowOf(['1', 'anthropic', 'claude'], {
          facts: 1,
          input: 500,
          cache_read: 200,
          cache_write: 300,
        }),
      ],
      rates,
    );
    expect(rows.map(({ by }) => by)).toEqual([['2'], ['1']]);
    expect(rows[1]?.use).toEqual({
      attempts: 3,
      input: 1_500,
      cacheRead: 600,
      cacheWrite: 300,
      saved: 600n * 1_250_000n,
      written: 300n * 625_000n,
      unpriced: 0,
    });
  });

  test('saves nothing where the model has no price, and says how many tokens those were', () => {
    const [row] = cacheRows(
      [],
      [
        rowOf(['openai', 'unknown'], { facts: 1, input: 100, cache_read: 40, cache_write: 7 }),
        rowOf(['openai', 'gpt'], { facts: 1, input: 100, cache_read: 10 }),
      ],
      rates,
    );
    expect(row?.use).toMatchObject({ input: 200, cacheRead: 50, unpriced: 47, saved: 12_500_000n });
  });

  test('costs nothing where a cache is no cheaper than none, and no write is paid for that is not dearer', () => {
    const flat = (): CacheRates => ({ input: 5, cacheRead: 7, cacheWrite: 3 });
    const [row] = cacheRows(
      [],
      [rowOf(['p', 'm'], { input: 9, cache_read: 3, cache_write: 3 })],
      flat,
    );
    expect(row?.use).toMatchObject({ saved: 0n, written: 0n });
  });

  test('has no rate where nothing went in, and no row', () => {
    expect(hitRate(NO_CACHE_USE)).toBeNull();
    expect(cacheRows(['provider'], [rowOf(['', 'gpt'], { facts: 3 })], rates)).toEqual([]);
  });

  test('adds up to the same by whatever it is told apart', () => {
    const dimensions = fc.constantFrom<Dimension>('tenant', 'key', 'provider', 'model', 'route');
    const sums = fc.record({
      values: fc.array(fc.constantFrom('a', 'b', 'unknown'), { minLength: 7, maxLength: 7 }),
      input: fc.nat(2 ** 50),
      read: fc.nat(2 ** 50),
      written: fc.nat(2 ** 50),
    });
    fc.assert(
      fc.property(fc.uniqueArray(dimensions), fc.array(sums, { maxLength: 12 }), (by, facts) => {
        const asked = cacheDimensions(by);
        const usage = facts.map(({ values, input, read, written }) =>
          rowOf(values.slice(0, asked.length), {
            facts: 1,
            input: 1 + input,
            cache_read: read,
            cache_write: written,
          }),
        );
        const total = cacheTotal(cacheRows(by, usage, rates));
        expect(total.input).toBe(facts.reduce((sum, { input }) => sum + 1 + input, 0));
        expect(total.cacheRead).toBe(facts.reduce((sum, { read }) => sum + read, 0));
        expect(total.attempts).toBe(facts.length);
        const model = asked.indexOf('model');
        const priced = facts.filter(({ values }) => values[model] !== 'unknown');
        const saved = priced.reduce((sum, { read }) => sum + BigInt(read) * 1_250_000n, 0n);
        expect(total.saved).toBe(saved);
      }),
    );
  });
});
