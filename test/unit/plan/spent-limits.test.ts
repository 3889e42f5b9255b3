import { describe, expect, test } from 'vitest';
import { spentForMs } from '../../../src/plan/spent-limits.ts';

const NOW = Date.parse('2026-11-29T00:00:00Z');

describe('what a provider says of its own limits', () => {
  test.each([
    [['x-ratelimit-remaining-tokens', '0', 'x-ratelimit-reset-tokens', '6m0s'], 360_000],
    [['X-RateLimit-Remaining-Requests', '0', 'X-RateLimit-Reset-Requests', '20ms'], 20],
    [['x-ratelimit-reset-tokens', '1m2.5s', 'x-ratelimit-remaining-tokens', '0'], 62_500],
    [['x-ratelimit-remaining-requests', '0', 'x-ratelimit-reset-requests', '12'], 12_000],
    [['x-ratelimit-remaining-requests', '0', 'x-ratelimit-reset-requests', '8h0m0s'], 600_000],
    [
      [
        'anthropic-ratelimit-output-tokens-remaining',
        '0',
        'anthropic-ratelimit-output-tokens-reset',
        '2026-11-29T00:00:41Z',
      ],
      41_000,
    ],
  ])('%j keeps its key away', (fields, ms) => {
    expect(spentForMs(fields, () => NOW)).toBe(ms);
  });

  test.each([
    [['x-ratelimit-remaining-tokens', '1', 'x-ratelimit-reset-tokens', '6m0s']],
    [['x-ratelimit-remaining-tokens', '0', 'x-ratelimit-reset-requests', '6m0s']],
    [['x-ratelimit-remaining-tokens', '0', 'x-ratelimit-reset-tokens', 'soon']],
    [['x-ratelimit-remaining-tokens', '0']],
    [['age', '0']],
    [
      [
        'anthropic-ratelimit-tokens-remaining',
        '0',
        'anthropic-ratelimit-tokens-reset',
        '2026-11-28T23:59:00Z',
      ],
    ],
  ])('%j does not', (fields) => {
    expect(spentForMs(fields, () => NOW)).toBe(0);
  });
});
