import { beforeEach, describe, expect, test } from 'vitest';
import { Pricing, UNPRICED_REASONS } from '../../../src/prices/cost.ts';
import { usdText } from '../../../src/prices/money.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { UsageReader } from '../../../src/wire/usage-reader.ts';
import { FIXTURES_MISSING, recordedBody, recordedResponses } from '../../support/fixtures.ts';
import { FORMATS, type RecordedUsage } from '../../support/recorded-usage.ts';

const scanner = loadJsonScanner();
const pricing = new Pricing(new PriceBook(shippedBook()));
const RECORDED = recordedResponses() as readonly RecordedUsage[];

beforeEach((ctx) => {
  if (FIXTURES_MISSING !== null) ctx.skip(FIXTURES_MISSING);
});

/** Where it was worked out was taken out of one recording. */
function asSent(body: Buffer): Buffer {
  const text = body.toString('latin1');
  return Buffer.from(text.replaceAll('"<GOOGLE_CLOUD_LOCATION>"', '"global"'), 'latin1');
}

function priced(entry: RecordedUsage) {
  const reader = new UsageReader(scanner, FORMATS[entry.format], true);
  reader.push(asSent(recordedBody(entry)), true);
  reader.end();
  const reading = reader.reading();
  reader.release();
  const { counts } = reading;
  if (counts === null) return null;
  const cost = pricing.cost({
    provider: entry.provider,
    asked: entry.model,
    ...reading,
    counts,
    source: 'reported',
    atMs: Date.parse('2026-11-20T12:00:00Z'),
  });
  return { ...cost, counts, reading };
}

describe('C6: recorded answers', () => {
  test('each one has a cost or a reason of the closed list, and none that used tokens costs nothing', () => {
    const costs = RECORDED.map((entry) => ({ entry, cost: priced(entry) })).filter(
      ({ cost }) => cost !== null,
    );
    const odd = costs.filter(({ cost }) => {
      if (cost === null) return false;
      const isUnpriced = cost.usd === null;
      const hasReason = cost.reason !== null && UNPRICED_REASONS.includes(cost.reason);
      const some = (cost.counts.inputTokens ?? 0) + (cost.counts.outputTokens ?? 0) > 0;
      if (isUnpriced !== hasReason || (cost.status === 'unpriced') !== isUnpriced) return true;
      return some && Number(cost.usd ?? 1) === 0 && cost.status !== 'free';
    });
    expect(odd.map(({ entry }) => entry.file)).toEqual([]);
    const tally = Object.entries(
      Object.groupBy(costs, ({ cost }) => cost?.reason ?? cost?.status ?? ''),
    ).map(([what, of]) => `${what} ${of?.length ?? 0}`);
    console.info(`recorded answers: ${tally.join(', ')}`);
    expect(costs.length).toBeGreaterThan(250);
  });

  // Rates of 21 October 2026, USD for a million tokens; the counts are those of the recordings' own passes.
  test.each([
    // claude-sonnet-5 at 2 and 10, claude-opus-4-8 at 5 and 25.
    ['advisor-tool-stream', 2_411n * 2n + 145n * 10n + 2_543n * 5n + 18n * 25n],
    // claude-sonnet-4-6 at 3 and 15, its compaction too.
    ['compact-94a876', (162n + 99_195n) * 3n + (11n + 81n) * 15n],
    // claude-sonnet-4-6 at 3 and 15, claude-opus-4-7 at 5 and 25.
    ['anthropic-advisor-20250301-1', 4_727n * 3n + 3_391n * 15n + 2_728n * 5n + 3_880n * 25n],
  ])('%s equals the hand sum of its passes', (name, millionths) => {
    const entry = RECORDED.find(({ file }) => file.includes(name));
    if (entry === undefined) throw new Error(`There is no recording ${name}.`);
    const cost = priced(entry);
    expect(cost?.usd).toBe(usdText(millionths * 1_000_000n));
    expect(cost?.lines).toHaveLength(2);
  });
});
