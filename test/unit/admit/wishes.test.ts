import { describe, expect, test } from 'vitest';
import { fieldWishes } from '../../../src/admit/wishes.ts';

const wishes = (name: string, value: string) => fieldWishes([name, value], '42', 'openai');

describe('what is wished for in fields', () => {
  test.each<readonly [string, string, number, number]>([
    ['x-sluice-max-cost', '0.05', 5e10, 0],
    ['x-sluice-max-cost', ' 1e-3 ', 1e9, 0],
    // No limit, as `max_cost_usd = 0` is none; who hoped for what is free is counted.
    ['x-sluice-max-cost', '0', 0, 1],
    ['x-sluice-max-cost', '0.000', 0, 1],
    ['x-sluice-max-cost', '-1', 0, 1],
    ['x-sluice-max-cost', 'NaN', 0, 1],
    ['x-sluice-max-cost', '0x10', 0, 1],
    ['x-sluice-max-cost', '1e99', 0, 1],
    ['x-sluice-max-cost', '', 0, 1],
  ])('%s: %j is %d pico-dollars, and %d dropped (R4)', (name, value, pico, dropped) => {
    const read = wishes(name, value);
    expect([read.maxCostPico, read.dropped]).toEqual([pico, dropped]);
  });

  test.each([
    'order',
    'only',
  ] as const)('%s keeps sixteen names of 200 characters, and counts the others (R4)', (wish) => {
    const field = `x-sluice-${wish}`;
    expect(wishes(field, 'groq, openai/x,, ')).toMatchObject({
      [wish]: ['groq', 'openai/x'],
      dropped: 0,
    });
    expect(wishes(field, 'a,'.repeat(20))).toMatchObject({
      [wish]: Array(16).fill('a'),
      dropped: 4,
    });
    expect(wishes(field, `${'x'.repeat(201)},b`)).toMatchObject({ [wish]: ['b'], dropped: 1 });
  });
});
