import { describe, expect, test } from 'vitest';
import { createPinTable, Pins } from '../../../src/plan/pins.ts';

const START = 1_000_000;
const MINUTE_MS = 60_000;

function scene() {
  let now = START;
  const memory = createPinTable(START);
  const clock = () => now;
  return {
    pins: new Pins(memory, clock),
    /** Another worker's access to the same memory. */
    other: new Pins(memory, clock),
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe('a pin', () => {
  test('is known to every worker, and lives as long as the cache behind its last use (P1)', () => {
    const { pins, other, pass } = scene();
    pins.keep(7, 1, 11, 5 * MINUTE_MS, 1_000);
    expect(other.find(7)).toEqual({ target: 1, key: 11, before: 0, tokens: 1_000 });
    pass(4 * MINUTE_MS);
    other.keep(7, 1, 11, 5 * MINUTE_MS, 1_000);
    pass(5 * MINUTE_MS - 200);
    expect(pins.find(7)?.target).toBe(1);
    pass(200);
    expect(pins.find(7)).toBeNull();
  });

  test('of an hour is not cut short by a turn that asks for five minutes', () => {
    const { pins, pass } = scene();
    pins.keep(7, 1, 11, 60 * MINUTE_MS, 1_000);
    pins.keep(7, 1, 11, 5 * MINUTE_MS, 1_000);
    pass(59 * MINUTE_MS);
    expect(pins.find(7)?.target).toBe(1);
  });

  test('that moved knows where it was for as long as that cache lives', () => {
    const { pins, pass } = scene();
    pins.keep(7, 1, 11, 5 * MINUTE_MS, 1_000);
    pass(2 * MINUTE_MS);
    pins.keep(7, 2, 22, 5 * MINUTE_MS, 1_000);
    expect(pins.find(7)).toEqual({ target: 2, key: 22, before: 1, tokens: 1_000 });
    pass(2 * MINUTE_MS);
    pins.keep(7, 2, 22, 5 * MINUTE_MS, 1_000);
    expect(pins.find(7)?.before).toBe(1);
    pass(MINUTE_MS);
    expect(pins.find(7)).toEqual({ target: 2, key: 22, before: 0, tokens: 1_000 });
  });

  test('is not another conversation\u2019s', () => {
    const { pins } = scene();
    pins.keep(7, 1, 11, MINUTE_MS, 1_000);
    expect(pins.find(8)).toBeNull();
    expect(pins.find(-7)).toBeNull();
  });
});

test('a flood of conversations takes no more memory, and the ones that end last stay', () => {
  const { pins } = scene();
  for (let id = 1; id <= 100; id++) pins.keep(id, id, 0, 60 * MINUTE_MS, 1_000);
  for (let id = 1_000; id < 200_000; id++) pins.keep(id, 1, 0, MINUTE_MS, 1_000);
  const kept = Array.from({ length: 100 }, (_, at) => pins.find(at + 1)?.target);
  expect(kept).toEqual(Array.from({ length: 100 }, (_, at) => at + 1));
});
