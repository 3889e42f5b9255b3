import { describe, expect, it } from 'vitest';
import { RATIOS_MAX, TokenRatios, teaches } from '../../../src/meter/token-ratios.ts';

describe('what a model\u2019s token has of a text', () => {
  it('is learned from reports, and follows them', () => {
    const ratios = new TokenRatios();
    expect(ratios.of('a/m')).toBeNull();
    ratios.learn('a/m', 40_000, 10_000);
    expect(ratios.of('a/m')).toBe(4);
    for (let i = 0; i < 100; i++) ratios.learn('a/m', 40_000, 20_000);
    expect(ratios.of('a/m')).toBeCloseTo(2, 2);
    expect(ratios.of('b/m')).toBeNull();
  });

  it('is not learned from few words, from pictures, or from what cannot be', () => {
    const ratios = new TokenRatios();
    expect(teaches(1_000, 1_000)).toBe(false);
    expect(teaches(1_000_000, 100_000)).toBe(false);
    expect(teaches(40_000, 40_000)).toBe(true);
    ratios.learn('a/m', 40_000, 0);
    ratios.learn('a/m', 40_000, 10);
    ratios.learn('a/m', 40_000, 50_000);
    expect(ratios.of('a/m')).toBeNull();
  });

  it('is forgotten for the model that came first when there are too many', () => {
    const ratios = new TokenRatios();
    for (let i = 0; i <= RATIOS_MAX; i++) ratios.learn(`a/${i}`, 40_000, 10_000);
    expect([ratios.of('a/0'), ratios.of('a/1'), ratios.forgotten]).toEqual([null, 4, 1]);
  });
});
