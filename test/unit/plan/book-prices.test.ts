import { describe, expect, test } from 'vitest';
import { bookPrices } from '../../../src/plan/book-prices.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { NOTHING_SAID } from '../../../src/prices/price-table.ts';

const shipped = shippedBook();
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');
const door = bookPrices(new PriceBook(shipped), () => NOW_MS);

describe('the price book as the plan asks it', () => {
  test('has pico-dollars for each token', () => {
    expect(door.rates('openai', 'gpt-4o', 1)).toMatchObject({
      input: 2_500_000,
      output: 10_000_000,
      cacheRead: 1_250_000,
      perRequest: 0,
    });
  });

  test('has another price for a long request', () => {
    const short = door.rates('xai', 'grok-4.5', 199_999);
    const long = door.rates('xai', 'grok-4.5', 200_000);
    expect(long?.input).toBeGreaterThan(short?.input ?? 0);
  });

  test('knows no price of what has none, of a beginning of a name, and of what does not talk', () => {
    expect(door.rates('openai', 'gpt-4o-but-not-quite', 1)).toBeNull();
    expect(door.rates('nobody', 'gpt-4o', 1)).toBeNull();
    expect(door.rates('mistral', 'mistral-embed', 1)).toBeNull();
  });

  test('takes what the configuration says is free for free, and nothing else', () => {
    const table = { ...NOTHING_SAID, free: true };
    const overrides = [{ provider: 'vllm', model: 'own', table, version: 'x' }];
    const own = bookPrices(new PriceBook(shipped, { overrides, own: null }), () => NOW_MS);
    expect(own.rates('vllm', 'own', 1)).toMatchObject({ input: 0, output: 0, perRequest: 0 });
    expect(own.rates('vllm', 'other', 1)).toBeNull();
    expect(own.models('vllm')).toContain('own');
  });

  test('says what a model can', () => {
    expect(door.traits('openai', 'gpt-4o')).toMatchObject({ images: true, tools: true });
    expect(door.traits('openai', 'none').tools).toBeNull();
  });
});
