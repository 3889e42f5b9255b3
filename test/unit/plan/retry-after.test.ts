import { describe, expect, test } from 'vitest';
import { RETRY_AFTER_MAX_MS, retryAfterMs, retryDelayMs } from '../../../src/plan/retry-after.ts';

const NOW = Date.parse('2026-11-28T12:00:00Z');

describe('retryAfterMs', () => {
  test.each([
    [['retry-after', '7'], 7_000],
    [['Retry-After', '0.25'], 250],
    [['retry-after', 'Sat, 28 Nov 2026 12:00:09 GMT'], 9_000],
    [['retry-after', 'Sat, 28 Nov 2026 11:00:00 GMT'], 0],
    [['retry-after-ms', '1500'], 1_500],
    [['x-ms-retry-after-ms', '20'], 20],
    [['retry-after', '2', 'retry-after-ms', '1750'], 1_750],
    [['retry-after-ms', '1750', 'retry-after', '2'], 1_750],
    [['retry-after-ms', 'soon', 'retry-after', '2'], 2_000],
    [['retry-after', '86400'], RETRY_AFTER_MAX_MS],
    [['retry-after', 'soon'], null],
    [['retry-after', '-3'], null],
    [['retry-after', '1e9'], null],
    [['content-type', 'text/plain'], null],
  ])('%j is %s ms', (fields, ms) => {
    expect(retryAfterMs(fields, NOW)).toBe(ms);
  });
});

test("Google's RetryInfo is read out of the body of an error", () => {
  const body =
    '{"error":{"code":429,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17.5s"}]}}';
  expect(retryDelayMs(body)).toBe(17_500);
  expect(retryDelayMs('{"error":{}}')).toBeNull();
});
