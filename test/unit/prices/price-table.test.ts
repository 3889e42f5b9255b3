import { describe, expect, test } from 'vitest';
import { type PriceProblem, priceTable } from '../../../src/prices/price-table.ts';

function problemsOf(table: unknown, isWhole = true): readonly string[] {
  const problems: PriceProblem[] = [];
  priceTable(table, problems, isWhole);
  return problems.map(({ path, found }) => `${path.join('.')}: ${found}`);
}

describe('C4: a table of prices', () => {
  test('may say everything that there is to say', () => {
    const problems: PriceProblem[] = [];
    const table = priceTable(
      {
        input: '0.20',
        output: 0.6,
        cache_read: '0.02',
        per_request: '0.001',
        web_search: '0.01',
        tiers: [{ over: 200_000, input: '0.40', output: '1.20' }],
        service_tiers: { flex: { input: '0.10', output: '0.30' } },
        geo: { us: '1.1' },
        from: '2026-12-01',
      },
      problems,
      true,
    );
    expect(problems).toEqual([]);
    expect(table).toMatchObject({
      rates: { input: 200_000, output: 600_000, cache_read: 20_000 },
      perRequest: 1_000_000_000,
      fees: { web_search: 10_000_000_000 },
      tiers: [{ over: 200_000, rates: { input: 400_000, output: 1_200_000 } }],
      serviceTiers: { flex: { rates: { input: 100_000, output: 300_000 }, tiers: [] } },
      geo: { us: 1_100 },
      fromMs: Date.parse('2026-12-01T00:00:00Z'),
    });
  });

  test.each([
    ['a rate below nothing', { input: '-1' }, 'input: "-1"'],
    ['a rate that is no number', { input: 'cheap' }, 'input: "cheap"'],
    ['NaN', { input: Number.NaN }, 'input: null'],
    ['a rate finer than a pico-dollar', { input: '0.0000001' }, 'input: "0.0000001"'],
    ['a rate that nobody would pay', { input: '10001' }, 'input: "10001"'],
    [
      'a tier without output',
      { input: '1', output: '2', tiers: [{ over: 5, input: '2' }] },
      'tiers.0.output: a tier without it',
    ],
    [
      'a tier without input',
      { input: '1', output: '2', tiers: [{ over: 5, output: '2' }] },
      'tiers.0.input: a tier without it',
    ],
    [
      'tiers out of order',
      {
        input: '1',
        tiers: [
          { over: 5, input: '2' },
          { over: 5, input: '3' },
        ],
      },
      'tiers.1.over: 5 behind 5',
    ],
    ['a tier above nothing', { input: '1', tiers: [{ over: 0, input: '2' }] }, 'tiers.0.over: 0'],
    [
      'an unknown key of a tier',
      { input: '1', tiers: [{ over: 1, input: '2', ouput: '3' }] },
      'tiers.0.ouput: an unknown key',
    ],
    ['a misspelt rate', { input: '1', ouput: '2' }, 'ouput: an unknown key'],
    ['two letters that changed places', { input: '1', otuput: '2' }, 'otuput: an unknown key'],
    ['free beside a price', { free: true, input: '1' }, 'input: input beside free = true'],
    ['free that is no word', { free: 'yes', input: '1' }, 'free: "yes"'],
    [
      'a service tier without input',
      { input: '1', service_tiers: { flex: { output: '1' } } },
      'service_tiers.flex.input: nothing',
    ],
    ['a surcharge below one thousandth', { input: '1', geo: { us: '0' } }, 'geo.us: "0"'],
    [
      'an hour that is none',
      { input: '1', off_peak: { peak: ['9-10'], days: [1], input: '1' } },
      'off_peak: "hours or days that are none"',
    ],
    ['a day that is none', { input: '1', from: '2026-02-30' }, 'from: "2026-02-30"'],
    [
      'an end before the beginning',
      { input: '1', from: '2026-02-02', until: '2026-02-02' },
      'until: an end that is not behind from',
    ],
    ['no table', 'free', ': a string'],
    ['no input', { output: '1' }, 'input: nothing'],
  ])('%s is a fault', (_, table, problem) => {
    expect(problemsOf(table)).toEqual([problem]);
  });

  test('what stands over another row needs no input of its own', () => {
    expect(problemsOf({ output: '1' }, false)).toEqual([]);
  });
});
