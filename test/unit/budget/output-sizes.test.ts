import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OutputSizes } from '../../../src/budget/output-sizes.ts';

describe('OutputSizes', () => {
  test('8,192 are assumed until 100 answers were seen, then what 99 of 100 stay below', () => {
    const all = new OutputSizes();
    const sizes = all.of('agent');
    for (let at = 0; at < 99; at++) sizes.learn('openai/m', 3_000);
    expect(sizes.assumed('openai/m')).toBe(8_192);
    sizes.learn('openai/m', 50_000);
    expect(sizes.assumed('openai/m')).toBe(4_096);
    for (let at = 0; at < 10; at++) sizes.learn('openai/m', 50_000);
    expect(sizes.assumed('openai/m')).toBe(65_536);
    expect(all.of('developer').assumed('openai/m')).toBe(8_192);
  });

  test('short answers are taken for 1,024 tokens, and what has changed is learned', () => {
    const sizes = new OutputSizes().of('agent');
    for (let at = 0; at < 5_000; at++) sizes.learn('openai/m', 10);
    expect(sizes.assumed('openai/m')).toBe(1_024);
    for (let at = 0; at < 200; at++) sizes.learn('openai/m', 9_000);
    expect(sizes.assumed('openai/m')).toBeGreaterThan(9_000);
  });

  test('what is assumed is at each moment the least size that 99 of 100 answers do not pass', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 400 }), (steps) => {
        const sizes = new OutputSizes().of('agent');
        const seen: number[] = [];
        for (const step of steps) {
          // Between two sizes, so that no logarithm is rounded over one.
          sizes.learn('openai/m', 2 ** ((step - 0.5) / 2));
          seen.push(step === 0 ? 0 : step);
          if (seen.length < 100) continue;
          const sorted = seen.toSorted((a, b) => a - b);
          const least = sorted[Math.ceil(seen.length * 0.99) - 1] ?? 0;
          expect(sizes.assumed('openai/m')).toBe(Math.max(1_024, Math.ceil(2 ** (least / 2))));
        }
      }),
    );
  });

  test('of more models than are kept those stay that were used lately', () => {
    const sizes = new OutputSizes().of('agent');
    const learned = (model: string) => {
      for (let at = 0; at < 100; at++) sizes.learn(model, 3_000);
    };
    learned('openai/used');
    learned('openai/unused');
    for (let at = 0; at < 2_000; at++) {
      sizes.learn(`openai/${at}`, 3_000);
      if (at % 100 === 0) expect(sizes.assumed('openai/used')).toBe(4_096);
    }
    expect(sizes.assumed('openai/unused')).toBe(8_192);
  });
});
