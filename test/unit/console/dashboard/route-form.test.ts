import { describe, expect, test } from 'vitest';
import { formOf, moved, tableOf } from '../../../../src/console/dashboard/route-form.ts';

describe("a route in the dashboard's editor", () => {
  const route = {
    targets: ['openai/gpt-4o', { to: 'azure/gpt-4o', weight: 2 }],
    fallbacks: ['anthropic/claude-sonnet-4-5'],
    balance: 'weight',
    fallback_on: ['rate_limit'],
    retries: 0,
    max_cost_usd: 0.5,
    strict: true,
    what_is_to_come: { a: 1 },
  };

  test('is written back as it was read, with what the editor does not know', () => {
    expect(tableOf(formOf(route))).toEqual(route);
  });

  test('writes down nothing that nobody said', () => {
    expect(tableOf(formOf({ targets: ['a/b'] }))).toEqual({ targets: ['a/b'] });
  });

  test('drops places that were left empty', () => {
    const form = formOf({ targets: ['a/b', ' '], fallbacks: [''] });
    expect(tableOf(form)).toEqual({ targets: ['a/b'] });
  });

  test('moves an entry by one place, and none over the ends', () => {
    expect(moved(['a', 'b', 'c'], 1, -1)).toEqual(['b', 'a', 'c']);
    expect(moved(['a', 'b', 'c'], 1, 1)).toEqual(['a', 'c', 'b']);
    expect(moved(['a', 'b'], 0, -1)).toEqual(['a', 'b']);
    expect(moved(['a', 'b'], 1, 1)).toEqual(['a', 'b']);
  });
});
