import { describe, expect, test } from 'vitest';
import { BREAKER_DEFAULTS, createHealthTable, Health } from '../../../src/plan/health.ts';

const START = 1_000_000;

function scene() {
  let now = START;
  const memory = createHealthTable(START);
  const clock = () => now;
  const health = new Health(memory, BREAKER_DEFAULTS, clock);
  return {
    health,
    /** Another worker's access to the same memory. */
    other: new Health(memory, BREAKER_DEFAULTS, clock),
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe('breaker', () => {
  test('five failures that are half of what happened open it, four do not, nor five of eleven', () => {
    const { health } = scene();
    const few = health.place('few');
    for (let i = 0; i < 4; i++) health.failed(few);
    expect(health.condition(few).state).toBe('closed');
    const mixed = health.place('mixed');
    for (let i = 0; i < 6; i++) health.succeeded(mixed, -1);
    for (let i = 0; i < 5; i++) health.failed(mixed);
    expect(health.condition(mixed).state).toBe('closed');
    expect(health.failed(few)).toBe(true);
    expect(health.condition(few).state).toBe('open');
    expect(health.enter(few)).toBe(false);
  });

  test('failures of an earlier window do not count', () => {
    const { health, pass } = scene();
    const place = health.place('slow trouble');
    for (let i = 0; i < 20; i++) {
      health.failed(place);
      pass(3_000);
    }
    expect(health.condition(place).state).toBe('closed');
  });

  test('one probe at a time on the whole node, and the first good one closes it (B2, B3)', () => {
    const { health, other, pass } = scene();
    const place = health.place('openai/gpt-4o');
    for (let i = 0; i < 5; i++) health.failed(place);
    expect(other.enter(other.place('openai/gpt-4o'))).toBe(false);
    pass(5_300);
    expect([other.enter(place), health.enter(place), other.enter(place)]).toEqual([
      true,
      false,
      false,
    ]);
    other.succeeded(place, 120);
    expect(health.condition(place)).toEqual({ state: 'closed', waitMs: 0, ttftMs: 120 });
    expect([health.enter(place), other.enter(place)]).toEqual([true, true]);
  });

  test('each failed probe doubles the time open, up to two minutes', () => {
    const { health, pass } = scene();
    const place = health.place('dead');
    for (let i = 0; i < 5; i++) health.failed(place);
    const waits: number[] = [];
    for (let probe = 0; probe < 7; probe++) {
      const { waitMs } = health.condition(place);
      waits.push(waitMs);
      pass(waitMs + 10);
      expect(health.enter(place)).toBe(true);
      health.failed(place);
    }
    for (const [at, wait] of waits.entries()) {
      const expected = Math.min(120_000, 5_000 * 2 ** at);
      expect(Math.abs(wait - expected)).toBeLessThanOrEqual(expected * 0.06);
    }
  });

  test('a probe whose client left lets the next request probe at once', () => {
    const { health, pass } = scene();
    const place = health.place('left');
    for (let i = 0; i < 5; i++) health.failed(place);
    pass(6_000);
    expect(health.enter(place)).toBe(true);
    health.left(place);
    expect(health.enter(place)).toBe(true);
  });

  test('a probe whose worker died is not waited for for ever', () => {
    const { health, pass } = scene();
    const place = health.place('died');
    for (let i = 0; i < 5; i++) health.failed(place);
    pass(6_000);
    expect(health.enter(place)).toBe(true);
    pass(59_000);
    expect(health.enter(place)).toBe(false);
    pass(2_000);
    expect(health.enter(place)).toBe(true);
  });
});

describe('rest', () => {
  test('bars one key for as long as was asked, to 0.2 s, and not its siblings (B4)', () => {
    const { health, other, pass } = scene();
    const key = health.place('key one');
    health.rest(key, 7_000);
    pass(6_800);
    expect(other.condition(other.place('key one')).waitMs).toBeGreaterThan(0);
    expect(health.condition(health.place('key two')).waitMs).toBe(0);
    pass(210);
    expect(health.condition(key).waitMs).toBe(0);
  });

  test('a shorter rest does not end a longer one', () => {
    const { health } = scene();
    const key = health.place('key');
    health.rest(key, 9_000);
    health.rest(key, 1_000);
    expect(health.condition(key).waitMs).toBe(9_000);
  });
});

describe('places', () => {
  test('a subject keeps its place, another gets another', () => {
    const { health, other } = scene();
    const places = Array.from({ length: 500 }, (_, at) => health.place(`subject ${at}`));
    expect(places.map((_, at) => other.place(`subject ${at}`))).toEqual(places);
    expect(new Set(places).size).toBe(500);
  });

  test('a flood of names takes no more memory and forgets what was not touched for longest', () => {
    const { health, pass } = scene();
    const kept = health.place('busy');
    for (let i = 0; i < 5; i++) health.failed(kept);
    for (let at = 0; at < 40_000; at++) {
      if (at % 500 === 0) {
        pass(10);
        health.failed(health.place('busy'));
      }
      health.place(`name ${at}`);
    }
    expect(health.condition(health.place('busy')).state).toBe('open');
  });
});
