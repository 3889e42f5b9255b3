import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decimalOf,
  nanoOf,
  rateText,
  roundedDecimalOf,
  usdText,
} from '../../../src/prices/money.ts';

describe('decimals', () => {
  test.each([
    ['0', 0],
    ['0.000001', 1],
    ['1', 1_000_000],
    ['0.40', 400_000],
    ['4e-1', 400_000],
    ['5e-6', 5],
    ['1.5E1', 15_000_000],
    ['10.0000000', 10_000_000],
    ['9007199254.740991', 9_007_199_254_740_991],
  ])('%s of a million is %i', (text, millionths) => {
    expect(decimalOf(text, 6)).toBe(millionths);
  });

  test.each([
    '',
    '-1',
    '+1',
    '.5',
    '1.',
    '1,5',
    'NaN',
    'Infinity',
    '0x1',
    '1e',
    ' 1',
    '0.0000001',
    '9007199254.740992',
  ])('%j is none of six places', (text) => {
    expect(decimalOf(text, 6)).toBeNull();
  });

  test('what has more places than the unit is rounded half up where that is asked for', () => {
    expect(roundedDecimalOf('0.00000049', 6)).toBe(0);
    expect(roundedDecimalOf('0.0000005', 6)).toBe(1);
    expect(roundedDecimalOf('5e-7', 6)).toBe(1);
    expect(roundedDecimalOf('0.99999999', 6)).toBe(1_000_000);
    expect(roundedDecimalOf('-1', 6)).toBeNull();
  });

  test('however many places it has, it is rounded as its digits say', () => {
    const digits = (max: number) =>
      fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: max });
    fc.assert(
      fc.property(digits(14), digits(26), fc.integer({ min: 0, max: 12 }), (whole, rest, unit) => {
        const text = rest === '' ? whole : `${whole}.${rest}`;
        const isOne = /^\d{1,12}(?:\.\d{1,24})?$/.test(text);
        const cut = BigInt(`${whole || '0'}${rest.slice(0, unit).padEnd(unit, '0')}`);
        const rounded = cut + ((rest[unit] ?? '0') >= '5' ? 1n : 0n);
        const isSafe = rounded <= BigInt(Number.MAX_SAFE_INTEGER);
        expect(roundedDecimalOf(text, unit)).toBe(isOne && isSafe ? Number(rounded) : null);
      }),
      { numRuns: 2_000 },
    );
  });

  test('a text of pico-dollars reads back as what it was, and is the shortest', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 53n - 1n }), (pico) => {
        const text = usdText(pico);
        expect(decimalOf(text, 12)).toBe(Number(pico));
        expect(text).toMatch(/^\d+(?:\.\d*[1-9])?$/);
      }),
    );
  });

  test('it is exact around every whole dollar that a number can hold, and beyond', () => {
    for (let usd = 0n; usd <= 9_007n; usd++) {
      const whole = usd * 1_000_000_000_000n;
      for (const pico of [whole - 1n, whole, whole + 1n, whole + 999_999n, whole + 1_000_000n]) {
        if (pico < 0n) continue;
        const digits = String(pico).padStart(13, '0');
        const text = `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/\.?0+$/, '');
        expect(usdText(pico)).toBe(text === '' ? '0' : text.startsWith('.') ? `0${text}` : text);
        if (pico <= BigInt(Number.MAX_SAFE_INTEGER))
          expect(usdText(Number(pico))).toBe(usdText(pico));
      }
    }
    expect(usdText(22_517_998_136_852_477_500_000n)).toBe('22517998136.8524775');
  });

  test('rates are told for a million tokens, and budgets are kept in nano-dollars, half up', () => {
    expect(rateText(2_500_000)).toBe('2.5');
    expect(rateText(1)).toBe('0.000001');
    expect([nanoOf(499), nanoOf(500), nanoOf(1_499n)]).toEqual([0n, 1n, 1n]);
  });
});
