import { expect, it } from 'vitest';
import { capacityOf, inFlightCapacity } from '../../../src/config/in-flight-capacity.ts';

const GIB = 2 ** 30;

it('an exchange has two descriptors and a quarter of a MiB of half the memory', () => {
  expect(capacityOf(20_512, 64 * GIB)).toBe(10_000);
  expect(capacityOf(1_000_000, 4 * GIB)).toBe(8_192);
  expect(capacityOf(null, 4 * GIB)).toBe(8_192);
});

it('a tiny limit leaves some', () => {
  expect(capacityOf(100, 64 * GIB)).toBe(64);
});

it('this machine carries some hundred at least', () => {
  expect(inFlightCapacity()).toBeGreaterThan(200);
});
