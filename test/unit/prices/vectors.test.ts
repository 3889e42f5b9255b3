import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Cost, Pricing } from '../../../src/prices/cost.ts';
import { decimalOf, usdText } from '../../../src/prices/money.ts';
import {
  type BookProblem,
  PriceBook,
  readBook,
  ShippedBook,
} from '../../../src/prices/price-book.ts';
import { BilledUsage } from '../../../src/wire/billed-usage.ts';

interface Vector {
  readonly trap: string;
  readonly name: string;
  readonly provider: string;
  readonly model: string;
  /** What the answer names, where that is not `model`. */
  readonly served?: string | null;
  readonly asked?: string;
  readonly at?: string;
  readonly usage: object;
  /** A later report of the same stream. */
  readonly then?: object;
  readonly service_tier?: string;
  readonly tool_usage?: object;
  readonly lines?: readonly string[];
  readonly expect: {
    readonly usd: string | null;
    readonly status: string;
    readonly reason?: string;
    readonly terms?: readonly (readonly [count: number, usdPerMillion: string])[];
  };
}

interface Vectors {
  readonly version: string;
  readonly off_days: object;
  readonly rows: readonly object[];
  readonly vectors: readonly Vector[];
}

const { version, off_days, rows, vectors }: Vectors = JSON.parse(
  readFileSync(new URL('../../prices/vectors.json', import.meta.url), 'utf8'),
);
const problems: BookProblem[] = [];
const text = [{ version, off_days }, ...rows].map((row) => JSON.stringify(row)).join('\n');
const own = readBook(text, problems);
const pricing = new Pricing(
  new PriceBook(new ShippedBook(JSON.stringify({ version, off_days })), {
    overrides: [],
    own,
  }),
);

function costOf(vector: Vector): Cost {
  const usage = new BilledUsage();
  expect(usage.report(vector.usage)).toBe(true);
  if (vector.then !== undefined) usage.report(vector.then);
  usage.tier(vector.service_tier);
  if (vector.tool_usage !== undefined) usage.toolUsage(vector.tool_usage);
  const served = vector.served === undefined ? vector.model : vector.served;
  const model = served === '' ? null : served;
  const billed = usage.billed(model);
  if (billed.counts === null) throw new Error('nothing was counted');
  return pricing.cost({
    provider: vector.provider,
    model,
    asked: vector.asked ?? null,
    ...billed,
    counts: billed.counts,
    source: 'reported',
    atMs: Date.parse(vector.at ?? '2026-11-20T12:00:00Z'),
  });
}

describe('C1: golden vectors', () => {
  test('the price list they count by has no fault', () => {
    expect(problems).toEqual([]);
    expect(vectors.length).toBeGreaterThanOrEqual(150);
  });

  test('every trap has at least two, and no two have one name', () => {
    const traps = Object.entries(Object.groupBy(vectors, ({ trap }) => trap));
    expect(traps.filter(([, of]) => (of ?? []).length < 2).map(([trap]) => trap)).toEqual([]);
    expect(traps.length).toBeGreaterThanOrEqual(15);
    const names = vectors.map(({ trap, name }) => `${trap}: ${name}`);
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
  });

  // The vectors' own arithmetic, without the code that they are for.
  test.each(
    vectors.filter(({ expect: { terms } }) => terms !== undefined),
  )('$trap: $name is the sum of its terms', ({ expect: { usd, terms } }) => {
    const sum = (terms ?? []).reduce(
      (total, [count, rate]) => total + BigInt(count) * BigInt(decimalOf(rate, 6) ?? Number.NaN),
      0n,
    );
    expect(usdText(sum)).toBe(usd);
  });

  test.each(vectors)('$trap: $name costs exactly what it says', (vector) => {
    const { usd, status, reason } = costOf(vector);
    const { expect: expected } = vector;
    expect({ usd, status, reason }).toEqual({
      usd: expected.usd,
      status: expected.status,
      reason: expected.reason ?? null,
    });
  });

  test.each(
    vectors.filter(({ lines }) => lines !== undefined),
  )('$trap: $name has a cost for each of its lines', (vector) => {
    expect(costOf(vector).lines).toEqual(vector.lines);
  });

  test('a negative sign anywhere is nothing that could be paid', () => {
    const usds = vectors.map((vector) => costOf(vector).usd);
    expect(usds.filter((usd) => usd?.startsWith('-') === true)).toEqual([]);
  });
});
