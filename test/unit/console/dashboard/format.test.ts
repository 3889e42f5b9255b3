import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bytesText,
  compact,
  dollars,
  duration,
  fromNow,
  instant,
  percent,
  picoOf,
  stepName,
  usdOf,
} from '../../../../src/console/dashboard/format.ts';

describe('money on the dashboard', () => {
  test.each([
    ['0', '$0.00'],
    ['0.000000000001', '<$0.00000001'],
    ['0.00000042', '$0.00000042'],
    ['0.000123', '$0.000123'],
    ['0.0042', '$0.0042'],
    ['0.0155', '$0.0155'],
    ['0.99996', '$1.0000'],
    ['1', '$1.00'],
    ['1234567.895', '$1,234,567.90'],
    ['-12.345', '-$12.35'],
  ])('%s is written as %s', (usd, written) => {
    expect(dollars(usd)).toBe(written);
  });

  test('an amount that no float holds keeps every digit', () => {
    expect(usdOf(picoOf('9007199254740993.000000000001'))).toBe('9007199254740993.000000000001');
  });

  test('a text to pico-dollars and back is the same amount', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }), (pico) => {
        expect(picoOf(usdOf(pico))).toBe(pico);
      }),
    );
  });
});

describe('numbers and times on the dashboard', () => {
  test('counts are whole up to ten thousand, and short above', () => {
    expect([compact(9_999), compact(12_345), compact(4_560_000)]).toEqual([
      '9,999',
      '12.3K',
      '4.6M',
    ]);
  });

  test.each([
    [null, '–'],
    [412, '412 ms'],
    [1_240, '1.2 s'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [12_000_000, '3 h 20 min'],
    [176_400_000, '2 d 1 h'],
  ])('%s milliseconds are written as %s', (ms, written) => {
    expect(duration(ms)).toBe(written);
  });

  test.each([
    [0, '0 B'],
    [1_023, '1023 B'],
    [1_024, '1 KiB'],
    [3_500, '3.4 KiB'],
    [268_435_456, '256 MiB'],
    [5_000_000_000_000, '4,656.6 GiB'],
  ])('%s bytes are written as %s', (bytes, written) => {
    expect(bytesText(bytes)).toBe(written);
  });

  test.each([
    [null, '–'],
    [0, '0.0 %'],
    [0.4899, '48.9 %'],
    [0.9999, '99.9 %'],
    [1, '100.0 %'],
  ])('the part %s is written as %s', (part, written) => {
    expect(percent(part)).toBe(written);
  });

  test('an instant is written by the clock of the zone', () => {
    const at = '2026-11-29T16:24:03.000Z';
    expect(instant(at, 'Asia/Kathmandu')).toBe('29 Nov, 22:09:03');
    expect(stepName('2026-11-29T10:00:00.000Z', 'day', 'Pacific/Honolulu')).toBe('29 Nov');
    expect(stepName(at, 'month', 'UTC')).toBe('Nov 2026');
  });

  test('what is to come and what was are told apart', () => {
    const now = Date.parse('2026-11-29T16:00:00Z');
    expect(fromNow('2026-11-29T19:00:00Z', now)).toBe('in 3 h');
    expect(fromNow('2026-11-29T15:58:00Z', now)).toBe('2 min ago');
  });
});
