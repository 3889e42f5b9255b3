import { describe, expect, test } from 'vitest';
import { type CostQuestion, highestCost, isBounded } from '../../../src/budget/highest-cost.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import type { PriceRow } from '../../../src/prices/price-row.ts';
import type { AskedSpending } from '../../../src/wire/asked-spending.ts';

const book = new PriceBook(shippedBook());
const NOW = Date.parse('2026-11-28T12:00:00Z');

function rowOf(provider: string, model: string): PriceRow {
  const row = book.row(provider, model, NOW);
  if (row === null) throw new Error(`no price of ${provider}/${model}`);
  return row;
}

const ASKED: AskedSpending = {
  textBytes: 300,
  dataBytes: 0,
  outputTokens: 1_000,
  choices: 1,
  serviceTier: null,
  speed: null,
  inferenceGeo: null,
  marksCache: false,
  isHour: false,
  tools: 0,
  toolUses: 0,
  named: 0,
};

function cost(asked: Partial<AskedSpending> = {}, question: Partial<CostQuestion> = {}): number {
  const nano = highestCost({
    provider: 'anthropic',
    row: rowOf('anthropic', 'claude-sonnet-4-5'),
    traits: book.traits('anthropic', 'claude-sonnet-4-5'),
    asked: { ...ASKED, ...asked },
    assumedOutputTokens: 8_192,
    writes: true,
    nowMs: NOW,
    isStrict: false,
    ...question,
  });
  if (nano === null) throw new Error('no price');
  return nano;
}

// 3 USD a million in, 15 out: 3,000 and 15,000 nano-dollars a token.
const IN = 3_000;
const OUT = 15_000;

describe('highestCost', () => {
  test('is a third of the bytes and 800 tokens in, and all that may come out', () => {
    expect(cost()).toBe(900 * IN + 1_000 * OUT);
    expect(cost({ textBytes: 301 })).toBe(901 * IN + 1_000 * OUT);
    expect(cost({ choices: 3 })).toBe(900 * IN + 3_000 * OUT);
    expect(cost({ outputTokens: null })).toBe(900 * IN + 8_192 * OUT);
    expect(cost({ outputTokens: null }, { writes: false })).toBe(900 * IN);
  });

  test('strict: a token for each byte and 1,600, and all that the model can write where nobody limits it', () => {
    const strict = { isStrict: true };
    expect(cost({}, strict)).toBe(1_900 * IN + 1_000 * OUT);
    expect(cost({ dataBytes: 640 }, strict)).toBe(2_540 * IN + 1_000 * OUT);
    expect(cost({ outputTokens: null }, strict)).toBe(1_900 * IN + 64_000 * OUT);
    expect(isBounded(ASKED)).toBe(true);
    expect(isBounded({ ...ASKED, toolUses: 3 })).toBe(true);
    for (const open of [{ tools: 1 }, { named: 1 }])
      expect(isBounded({ ...ASKED, ...open })).toBe(false);
    expect(isBounded(null)).toBe(false);
  });

  test('what is asked for beyond what the model can write is not reserved', () => {
    const most = book.traits('anthropic', 'claude-sonnet-4-5').maxOutputTokens ?? 0;
    expect(most).toBeGreaterThan(0);
    expect(cost({ outputTokens: 10_000_000 })).toBe(900 * IN + most * OUT);
  });

  test('marks of caching make every token a write, of an hour at its own rate', () => {
    expect(cost({ marksCache: true })).toBe(900 * 3_750 + 1_000 * OUT);
    expect(cost({ marksCache: true, isHour: true })).toBe(900 * 6_000 + 1_000 * OUT);
  });

  test('where a provider caches what it likes, every token may be a write without a mark', () => {
    const row = rowOf('openai', 'gpt-5.6');
    const [step] = row.standard;
    const { input = 0, cacheWrite = 0, output = 0 } = step?.rates ?? {};
    expect(cacheWrite).toBeGreaterThan(input);
    const question = { provider: 'openai', row, traits: book.traits('openai', 'gpt-5.6') };
    expect(cost({}, question)).toBe(Math.ceil((900 * cacheWrite + 1_000 * output) / 1_000));
  });

  test('tools of the provider bring 16,000 tokens and a fee with each use, five where nobody says', () => {
    const each = 16_000 * IN + 10_000_000;
    expect(cost({ toolUses: 2 })).toBe(cost() + 2 * each);
    expect(cost({ tools: 1 })).toBe(cost() + 5 * each);
  });

  test('a long prompt is reserved at the rates of long prompts by its high estimate', () => {
    const row = rowOf('gemini', 'gemini-2.5-pro');
    const question = { provider: 'gemini', row, traits: book.traits('gemini', 'gemini-2.5-pro') };
    const below = cost({ textBytes: (200_000 - 800) * 3, outputTokens: 1 }, question);
    const above = cost({ textBytes: (200_001 - 800) * 3, outputTokens: 1 }, question);
    expect(above / below).toBeGreaterThan(1.9);
  });

  test('the tier that is asked for counts, and what the provider chooses at the dearest', () => {
    const row = rowOf('openai', 'gpt-5.1');
    const question = { provider: 'openai', row, traits: book.traits('openai', 'gpt-5.1') };
    const standard = cost({}, question);
    expect(cost({ serviceTier: 'default' }, question)).toBe(standard);
    expect(cost({ serviceTier: 'priority' }, question)).toBeGreaterThan(standard);
    expect(cost({ serviceTier: 'auto' }, question)).toBe(
      cost({ serviceTier: 'priority' }, question),
    );
    // Flex may be served, and billed, as default.
    expect(cost({ serviceTier: 'flex' }, question)).toBe(standard);
  });

  test('what is free is free', () => {
    const row = { ...rowOf('anthropic', 'claude-sonnet-4-5'), free: true };
    expect(cost({ outputTokens: null }, { row })).toBe(0);
  });
});
