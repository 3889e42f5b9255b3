import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Charge, Pricing, type Step, UNPRICED_REASONS } from '../../../src/prices/cost.ts';
import { usdText } from '../../../src/prices/money.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { NO_DETAILS } from '../../../src/wire/usage-details.ts';

const book = new PriceBook(shippedBook());
const pricing = new Pricing(book);
const MODELS = book.providers.flatMap((provider) =>
  book.known(provider).map((model) => ({ provider, model })),
);

/** Four of them are no more than what a number holds exactly. */
const tokens = fc.oneof(fc.nat(300_000), fc.nat(10), fc.constant(0), fc.nat({ max: 2 ** 31 - 1 }));
const huge = fc.oneof(tokens, tokens, tokens, fc.constant(2 ** 50));
/** What an answer is made of: most of what follows from it can be. */
const made = fc.record({
  fresh: huge,
  read: tokens,
  written: tokens,
  text: huge,
  thought: tokens,
  odd: fc.constantFrom(0, 0, 0, 0, 0, 1),
});
const details = fc.option(
  fc.record({
    inputExcludesCache: fc.boolean(),
    cacheWrite5mTokens: tokens,
    cacheWrite1hTokens: tokens,
    audioInputTokens: fc.constantFrom(0, 0, 1),
    audioCacheReadTokens: fc.constantFrom(0, 0, 1),
    imageInputTokens: fc.constantFrom(0, 0, 1),
    imageCacheReadTokens: fc.constantFrom(0, 0, 1),
    audioOutputTokens: fc.constantFrom(0, 0, 1),
    imageOutputTokens: fc.constantFrom(0, 0, 1),
    geo: fc.constantFrom(null, 'global'),
    speed: fc.constantFrom(null, null, 'fast'),
    saidCost: fc.constant(null),
  }),
);
const charges: fc.Arbitrary<Charge> = fc
  .record({
    target: fc.constantFrom(...MODELS),
    made,
    details,
    serviceTier: fc.constantFrom(null, 'default', 'flex', 'priority', 'batch', 'standard'),
    toolUses: fc.constantFrom<Record<string, number>>({}, {}, { web_search: 3 }, { web_fetch: 1 }),
    atMs: fc.integer({ min: Date.parse('2026-01-01'), max: Date.parse('2027-06-01') }),
  })
  .map(({ target, made: { fresh, read, written, text, thought, odd }, ...rest }) => ({
    ...target,
    ...rest,
    counts: {
      inputTokens: fresh + (rest.details?.inputExcludesCache === true ? 0 : read + written),
      outputTokens: text + thought,
      cacheReadTokens: read,
      cacheWriteTokens: written,
      reasoningTokens: thought + odd * (text + 1),
    },
    asked: null,
    lines: null,
    source: 'reported' as const,
  }));

describe('any answer of any model of the book', () => {
  test('C2: costs exactly the sum of its products, or has a reason; never 0 for tokens that are not free', () => {
    let priced = 0;
    fc.assert(
      fc.property(charges, (charge) => {
        const steps: Step[] = [];
        const { usd, status, reason } = pricing.cost(charge, (step) => steps.push(step));
        if (usd === null) {
          expect(UNPRICED_REASONS).toContain(reason);
          expect(status).toBe('unpriced');
          return;
        }
        if (status === 'free') return;
        priced++;
        const sum = steps.reduce(
          (total, { count, rate }) => total + BigInt(count) * BigInt(rate),
          0n,
        );
        expect(usd).toBe(usdText(sum));
        const { inputTokens, outputTokens } = charge.counts;
        if ((inputTokens ?? 0) + (outputTokens ?? 0) > 0) expect(usd).not.toBe('0');
      }),
      { numRuns: 3_000 },
    );
    expect(priced).toBeGreaterThan(300);
  });

  test('counts no token twice and none not at all', () => {
    fc.assert(
      fc.property(charges, (charge) => {
        const steps: Step[] = [];
        const { usd, status } = pricing.cost({ ...charge, toolUses: {} }, (step) =>
          steps.push(step),
        );
        if (usd === null || status === 'free') return;
        const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = charge.counts;
        const beside = charge.details?.inputExcludesCache === true;
        const cached = BigInt(cacheReadTokens ?? 0) + BigInt(cacheWriteTokens ?? 0);
        const all = BigInt(inputTokens ?? 0) + BigInt(outputTokens ?? 0) + (beside ? cached : 0n);
        expect(steps.reduce((sum, { count }) => sum + BigInt(count), 0n)).toBe(all);
      }),
      { numRuns: 3_000 },
    );
  });

  test('C3: costs the same when it is worked out again, by the day on which it began', () => {
    fc.assert(
      fc.property(charges, (charge) => {
        const again = new Pricing(new PriceBook(shippedBook()));
        expect(again.cost(charge)).toEqual(pricing.cost(charge));
      }),
      { numRuns: 50 },
    );
  });
});

describe('what is not priced by a row', () => {
  const base: Charge = {
    provider: 'openai',
    model: 'gpt-4o',
    asked: null,
    counts: {
      inputTokens: 10,
      outputTokens: 5,
      cacheReadTokens: null,
      cacheWriteTokens: null,
      reasoningTokens: null,
    },
    details: null,
    lines: null,
    serviceTier: null,
    toolUses: {},
    source: 'reported',
    atMs: Date.parse('2026-11-20'),
  };

  test("an estimate is told as one, and a provider's own figure is not taken for it", () => {
    const cut: Charge = {
      ...base,
      provider: 'openrouter',
      source: 'estimated',
      details: { ...NO_DETAILS, saidCost: 0.5 },
    };
    expect(pricing.cost(cut)).toMatchObject({ usd: null, reason: 'unknown_model' });
    expect(pricing.cost({ ...base, source: 'estimated' })).toMatchObject({
      usd: '0.000075',
      status: 'estimated',
    });
  });

  test('an error costs nothing, whatever its model', () => {
    expect(pricing.cost({ ...base, source: 'none', model: null })).toEqual({
      usd: '0',
      status: 'not_billed',
      reason: null,
      version: null,
      lines: null,
    });
  });

  test('every reason is explained to who reads facts, and none that there is not', () => {
    const page = readFileSync(new URL('../../../docs/facts.md', import.meta.url), 'utf8');
    const table = page.slice(page.indexOf('| `unpriced_reason` |'));
    const rows = table.slice(0, table.indexOf('\n\n')).split('\n').slice(2);
    expect(rows.map((row) => row.split('`')[1])).toEqual(UNPRICED_REASONS);
  });

  test('one line without a price leaves all of it without one, and the others with theirs', () => {
    const { counts } = base;
    const line = (model: string) => ({ model, kind: 'message', counts, details: null });
    expect(pricing.cost({ ...base, lines: [line('gpt-4o'), line('gpt-99')] })).toMatchObject({
      usd: null,
      reason: 'unknown_model',
      lines: ['0.000075', null],
    });
  });
});
