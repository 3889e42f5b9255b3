import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  differences,
  growthExponent,
  median,
  percentile,
  quartiles,
  ratios,
  spread,
  steepestExponent,
} from '../../../bench/statistics.ts';

const numbers = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1 });

describe('median and percentiles', () => {
  test.each([
    [[3], 3],
    [[3, 1], 2],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
  ])('the median of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  test('nothing measured has no median and no percentile', () => {
    expect(median([])).toBeNaN();
    expect(percentile([], 0.5)).toBeNaN();
  });

  test('a percentile is the least value that so many do not exceed', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
    const shares = [0.01, 0.07, 0.5, 0.99, 0.999, 1];
    expect(shares.map((share) => percentile(hundred, share))).toEqual([1, 7, 50, 99, 100, 100]);
  });

  test('one slow answer in a thousand is the 99.95th percentile, not the 99.9th', () => {
    const values = [...Array.from({ length: 999 }, () => 1), 500];
    expect([percentile(values, 0.999), percentile(values, 0.9995)]).toEqual([1, 500]);
  });

  test('every percentile was measured, and grows with its share', () => {
    fc.assert(
      fc.property(
        numbers,
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        (values, a, b) => {
          const sorted = [...values].sort((x, y) => x - y);
          const [low, high] = [Math.min(a, b), Math.max(a, b)].map((s) => percentile(sorted, s));
          expect(sorted).toContain(low);
          expect(sorted).toContain(high);
          expect(low).toBeLessThanOrEqual(high ?? Number.NaN);
        },
      ),
    );
  });

  test('the median lies within its spread and its quartiles', () => {
    fc.assert(
      fc.property(numbers, (values) => {
        for (const { median: middle, low, high } of [spread(values), quartiles(values)]) {
          expect(middle).toBeGreaterThanOrEqual(low);
          expect(middle).toBeLessThanOrEqual(high);
        }
      }),
    );
  });
});

describe('rounds', () => {
  test('a round that slows both sides leaves their ratio as it is', () => {
    expect(ratios([20, 200, 40], [10, 100, 20])).toEqual({ median: 2, low: 2, high: 2 });
  });

  test('differences are taken within a round', () => {
    expect(differences([11, 105], [10, 100])).toEqual({ median: 3, low: 1, high: 5 });
  });
});

describe('growth', () => {
  const grown = (power: number) => [1, 10, 1_000, 1e6].map((x) => [x, 3 * x ** power] as const);

  test.each([0, 0.5, 1, 2])('a cost of size to the power of %d has that exponent', (power) => {
    expect(growthExponent(grown(power))).toBeCloseTo(power, 10);
    expect(steepestExponent(grown(power))).toBeCloseTo(power, 10);
  });

  test('a bend at the end shows in the steepest step, not in the line through all', () => {
    const points = [...grown(0), [1e7, 300] as const];
    expect(growthExponent(points)).toBeLessThan(0.5);
    expect(steepestExponent(points)).toBeCloseTo(2, 10);
  });

  test('a size of nothing counts as one', () => {
    const points = [
      [0, 5],
      [100, 5],
    ] as const;
    expect(growthExponent(points)).toBe(0);
  });
});
