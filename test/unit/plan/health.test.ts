import { describe, expect, test } from 'vitest';
import {
  BARRED,
  BREAKER_DEFAULTS,
  createHealthTable,
  FREE,
  Health,
} from '../../../src/plan/health.ts';

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
    for (let i = 0; i < 4; i++) health.failed(few, FREE);
    expect(health.condition(few).state).toBe('closed');
    const mixed = health.place('mixed');
    for (let i = 0; i < 6; i++) health.succeeded(mixed, -1, FREE);
    for (let i = 0; i < 5; i++) health.failed(mixed, FREE);
    expect(health.condition(mixed).state).toBe('closed');
    expect(health.failed(few, FREE)).toBe(true);
    expect(health.condition(few).state).toBe('open');
    expect(health.enter(few)).toBe(BARRED);
  });

  test('failures of an earlier window do not count', () => {
    const { health, pass } = scene();
    const place = health.place('slow trouble');
    for (let i = 0; i < 20; i++) {
      health.failed(place, FREE);
      pass(3_000);
    }
    expect(health.condition(place).state).toBe('closed');
  });

  test('one probe at a time on the whole node, and the first good one closes it (B2, B3)', () => {
    const { health, other, pass } = scene();
    const place = health.place('openai/gpt-4o');
    for (let i = 0; i < 5; i++) health.failed(place, FREE);
    expect(other.enter(other.place('openai/gpt-4o'))).toBe(BARRED);
    pass(5_300);
    const lease = other.enter(place);
    expect(lease).toBeGreaterThan(FREE);
    expect([health.enter(place), other.enter(place)]).toEqual([BARRED, BARRED]);
    other.succeeded(place, 120, lease);
    expect(health.condition(place)).toEqual({ state: 'closed', waitMs: 0, ttftMs: 120 });
    expect([health.enter(place), other.enter(place)]).toEqual([FREE, FREE]);
  });

  test('of two workers that ask for the probe in the same moment one gets it (B2)', () => {
    let meanwhile = () => {};
    let now = START;
    const memory = createHealthTable(START);
    const other = new Health(memory, BREAKER_DEFAULTS, () => now);
    const settings = {
      ...BREAKER_DEFAULTS,
      // Read between the look at the breaker and the taking of the probe.
      get probeMs() {
        meanwhile();
        return BREAKER_DEFAULTS.probeMs;
      },
    };
    const health = new Health(memory, settings, () => now);
    const place = health.place('openai/gpt-4o');
    for (let i = 0; i < 5; i++) health.failed(place, FREE);
    now += 5_300;
    let lease = BARRED;
    meanwhile = () => {
      lease = other.enter(place);
    };
    expect(health.enter(place)).toBe(BARRED);
    expect(lease).toBeGreaterThan(FREE);
  });

  test('each failed probe doubles the time open, up to two minutes', () => {
    const { health, pass } = scene();
    const place = health.place('dead');
    for (let i = 0; i < 5; i++) health.failed(place, FREE);
    const waits: number[] = [];
    for (let probe = 0; probe < 7; probe++) {
      const { waitMs } = health.condition(place);
      waits.push(waitMs);
      pass(waitMs + 10);
      const lease = health.enter(place);
      expect(lease).toBeGreaterThan(FREE);
      expect(health.failed(place, lease)).toBe(true);
    }
    for (const [at, wait] of waits.entries()) {
      const expected = Math.min(120_000, 5_000 * 2 ** at);
      expect(Math.abs(wait - expected)).toBeLessThanOrEqual(expected * 0.06);
    }
  });

  test('a probe whose client left lets the next request probe at once', () => {
    const { health, pass } = scene();
    const place = health.place('left');
    for (let i = 0; i < 5; i++) health.failed(place, FREE);
    pass(6_000);
    health.left(place, health.enter(place));
    expect(health.enter(place)).toBeGreaterThan(FREE);
  });

  test('a probe whose worker died is not waited for for ever', () => {
    const { health, pass } = scene();
    const place = health.place('died');
    for (let i = 0; i < 5; i++) health.failed(place, FREE);
    pass(6_000);
    const died = health.enter(place);
    expect(died).toBeGreaterThan(FREE);
    pass(59_000);
    expect(health.enter(place)).toBe(BARRED);
    pass(2_000);
    const next = health.enter(place);
    expect(next).toBeGreaterThan(FREE);
    // What comes of the first one after all is not the second one's.
    expect(health.failed(place, died)).toBe(false);
    health.left(place, died);
    health.succeeded(place, -1, died);
    expect([health.condition(place).state, health.enter(place)]).toEqual(['probing', BARRED]);
    health.succeeded(place, -1, next);
    expect(health.condition(place).state).toBe('closed');
  });

  test('what began before it opened neither closes it, nor ends a probe, nor makes it wait longer', () => {
    const { health, pass } = scene();
    const place = health.place('slow answers');
    for (let i = 0; i < 5; i++) health.failed(place, FREE);
    health.succeeded(place, 100, FREE);
    expect(health.condition(place).state).toBe('open');
    const { waitMs } = health.condition(place);
    health.failed(place, FREE);
    expect(health.condition(place).waitMs).toBe(waitMs);
    pass(6_000);
    const lease = health.enter(place);
    for (const late of [FREE, lease - 1]) {
      health.succeeded(place, 100, late);
      health.left(place, late);
      expect(health.failed(place, late)).toBe(false);
    }
    expect([health.condition(place).state, health.enter(place)]).toEqual(['probing', BARRED]);
    expect(health.failed(place, lease)).toBe(true);
  });

  test('with no number of failures it never opens, and without a window nothing is forgotten', () => {
    const { health, pass } = scene();
    const place = health.place('any');
    health.settings = { ...BREAKER_DEFAULTS, failures: 0 };
    for (let i = 0; i < 50; i++) expect(health.failed(place, FREE)).toBe(false);
    health.reset(place);
    health.settings = { ...BREAKER_DEFAULTS, windowMs: 0 };
    for (let i = 0; i < 4; i++) {
      health.failed(place, FREE);
      pass(60_000);
    }
    expect(health.failed(place, FREE)).toBe(true);
  });
});

test('of the time to first content each new measurement counts a fifth, and what was not measured nothing', () => {
  const { health } = scene();
  const place = health.place('paced');
  const told = [100, 200, -1, 20, 10_000_000].map((ms) => {
    health.succeeded(place, ms, FREE);
    return health.condition(place).ttftMs;
  });
  expect(told).toEqual([100, 120, 120, 100, 600_000]);
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
  test('of guests are others, push out one another, and none that is no guest', () => {
    const { health } = scene();
    const places = new Set(Array.from({ length: 2_000 }, (_, at) => health.place(`own ${at}`)));
    const first = health.place('guest', true);
    const mark = health.mark(first);
    expect(health.place('guest', true)).toBe(first);
    expect(health.place('guest')).not.toBe(first);
    for (let at = 0; at < 20_000; at++) {
      const place = health.place(`guest ${at}`, true);
      if (places.has(place)) throw new Error('a guest in the place of another');
    }
    expect(health.mark(first)).not.toBe(mark);
  });

  test('a subject keeps its place, another gets another', () => {
    const { health, other } = scene();
    const places = Array.from({ length: 500 }, (_, at) => health.place(`subject ${at}`));
    expect(places.map((_, at) => other.place(`subject ${at}`))).toEqual(places);
    expect(new Set(places).size).toBe(500);
  });

  test('four thousand subjects of one configuration have a place each, and keep it', () => {
    const { health } = scene();
    const names = Array.from({ length: 4_000 }, (_, at) => `key openai ${at}`);
    const places = names.map((name) => health.place(name));
    expect(new Set(places).size).toBe(names.length);
    expect(names.map((name) => health.place(name))).toEqual(places);
  });

  test('a flood of names takes no more memory and forgets what was not touched for longest', () => {
    const { health, pass } = scene();
    const kept = health.place('busy');
    for (let i = 0; i < 5; i++) health.failed(kept, FREE);
    for (let at = 0; at < 40_000; at++) {
      if (at % 500 === 0) {
        pass(10);
        health.failed(health.place('busy'), FREE);
      }
      health.place(`name ${at}`);
    }
    expect(health.condition(health.place('busy')).state).toBe('open');
  });
});
