import { describe, expect, it } from 'vitest';
import { denyKey, denySubject, denyValue } from '../../../src/deny/deny-entry.ts';

describe('denySubject', () => {
  it.each([
    ['blackhole.0', { kind: 'tenant', low: 0, high: 0 }],
    ['blackhole.42', { kind: 'tenant', low: 42, high: 0 }],
    ['blackhole.key.42', { kind: 'key', low: 42, high: 0 }],
    ['blackhole.4294967296', { kind: 'tenant', low: 0, high: 1 }],
    ['blackhole.18446744073709551615', { kind: 'tenant', low: -1, high: -1 }],
  ])('%s', (key, subject) => {
    expect(denySubject(key)).toEqual(subject);
  });

  it.each([
    'blackhole',
    'blackhole.',
    'blackhole.042',
    'blackhole.+1',
    'blackhole.1.2',
    'blackhole.key',
    'blackhole.key.',
    'blackhole.key.x',
    'blackhole.18446744073709551616',
    'Blackhole.1',
    'x.blackhole.1',
  ])('%s is about nobody', (key) => {
    expect(denySubject(key)).toBe(null);
  });

  it('reads back the key that denyKey makes', () => {
    expect(denySubject(denyKey('tenant', 2n ** 64n - 1n))).toEqual({
      kind: 'tenant',
      low: -1,
      high: -1,
    });
    expect(denySubject(denyKey('key', 7n))).toEqual({ kind: 'key', low: 7, high: 0 });
  });
});

describe('denyValue', () => {
  it.each([
    ['spend', { reason: 'spend', exp: 0 }],
    ['fraud', { reason: 'other', exp: 0 }],
    ['', { reason: 'other', exp: 0 }],
    ['Spend', { reason: 'other', exp: 0 }],
    ['"spend"', { reason: 'other', exp: 0 }],
    ['{"reason":"spend"}', { reason: 'spend', exp: 0 }],
    ['{"reason":"spend","exp":1790000000}', { reason: 'spend', exp: 1_790_000_000 }],
    ['{"reason":"spend","exp":1790000000.7}', { reason: 'spend', exp: 1_790_000_000 }],
    ['{"exp":1790000000}', { reason: 'other', exp: 1_790_000_000 }],
    ['{"reason":"fraud","exp":0}', { reason: 'other', exp: 1 }],
    // Milliseconds, texts, and times before 1970 are no times: the hold stays.
    ['{"reason":"spend","exp":1790000000000}', { reason: 'spend', exp: 0 }],
    ['{"reason":"spend","exp":"1790000000"}', { reason: 'spend', exp: 0 }],
    ['{"reason":"spend","exp":-5}', { reason: 'spend', exp: 0 }],
    ['{"reason":', { reason: 'other', exp: 0 }],
    ['[]', { reason: 'other', exp: 0 }],
  ])('%s', (text, value) => {
    expect(denyValue(text)).toEqual(value);
  });
});
