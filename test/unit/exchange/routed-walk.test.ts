import { describe, expect, test } from 'vitest';
import { RoutedWalk } from '../../../src/exchange/routed-walk.ts';
import { FAILURES, type Failed, failureOfStatus } from '../../../src/plan/failover.ts';
import { BREAKER_DEFAULTS, createHealthTable, Health } from '../../../src/plan/health.ts';
import { createPinTable, Pins } from '../../../src/plan/pins.ts';
import { Planner, type Trial } from '../../../src/plan/planner.ts';
import { ROUTE_DEFAULTS, RouteTable } from '../../../src/plan/route-table.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';

const START = 1_000_000;
const PROVIDERS = providerTable([]);
const RETRY_AFTER_MAX_MS = 2_000;
const RATE_LIMIT = failureOfStatus(429, '') ?? FAILURES.server_error;

interface Said {
  readonly keys?: Readonly<Record<string, readonly string[]>>;
  readonly targets: readonly string[];
  readonly fallbacks?: readonly string[];
  readonly retries?: number;
  readonly mayRepeat?: boolean;
  /** What the caller wants first. */
  readonly order?: readonly string[];
  /** Failures that open a breaker; none are so many. */
  readonly failures?: number;
}

/** A walk over one route, and a clock of its own. */
function walk({
  keys = {},
  targets,
  fallbacks = [],
  retries = 1,
  mayRepeat = true,
  order = [],
  failures = 1_000,
}: Said) {
  let now = START;
  const clock = () => now;
  const own = ['openai', 'groq', 'xai', 'mistral'].map(
    (name) => [name, (keys[name] ?? [`sk-${name}`]).map((key) => new Secret(key))] as const,
  );
  const settings = {
    ...ROUTE_DEFAULTS,
    targets: targets.map((to) => ({ to, weight: 1 })),
    fallbacks,
  };
  const table = new RouteTable(PROVIDERS, new Map(), new Map([['chat', settings]]));
  const breaker = { ...BREAKER_DEFAULTS, failures };
  const planner = new Planner(
    table,
    new Health(createHealthTable(START), breaker, clock),
    new PoolKeys(PROVIDERS, new Map(own), 0),
    new Pins(createPinTable(START), clock),
  );
  const resolved = planner.resolve('chat');
  if (resolved.kind !== 'route') throw new Error('chat is no route');
  const wishes = {
    dialect: 'openai' as const,
    order,
    only: [],
    session: 0,
    needs: null,
    maxCostPico: 0,
    seed: 1,
  };
  const made = new RoutedWalk({ planner, retryAfterMaxMs: RETRY_AFTER_MAX_MS });
  made.begin(planner.plan(resolved.route, wishes).targets, retries, mayRepeat, 0, null);
  const begun = (trial: Trial | null): string => {
    if (trial === null) return 'none';
    made.begun(trial);
    last = trial;
    return `${trial.target.name} ${trial.key.revealTo('/v1').replace('Bearer ', '')}`;
  };
  let last: Trial | null = null;
  return {
    walk: made,
    pass: (ms: number) => {
      now += ms;
    },
    first: () => begun(made.next()),
    /** The attempt that runs came to nothing, as the lane tells it. */
    fails: (failed: Failed, waitMs: number | null = null): string => {
      if (last !== null) planner.failed(last, failed, waitMs);
      const next = made.follower(failed, waitMs);
      return next === 'wait' ? 'wait' : begun(next);
    },
    again: () => begun(made.afterWait()),
  };
}

const KEYS = { openai: ['a', 'b', 'c'] };

describe('what follows an attempt that came to nothing', () => {
  test('a key that was refused or told to wait: each other key of the provider, then the group, then the fallbacks', () => {
    for (const failed of [RATE_LIMIT, FAILURES.key_refused]) {
      const { first, fails } = walk({
        keys: KEYS,
        targets: ['openai/m', 'groq/m'],
        fallbacks: ['xai/m'],
      });
      const seen = [first(), fails(failed, 60_000), fails(failed, 60_000), fails(failed, 60_000)];
      expect(seen.slice(0, 3).sort()).toEqual(['openai/m a', 'openai/m b', 'openai/m c']);
      expect(seen[3]).toBe('groq/m sk-groq');
      expect(fails(failed, 60_000)).toBe('xai/m sk-xai');
      expect(fails(failed, 60_000)).toBe('none');
    }
  });

  test('a failing server: the group at once, then so often in place, then a fallback, which has its own tries', () => {
    const { first, fails } = walk({
      targets: ['openai/m', 'groq/m'],
      fallbacks: ['xai/m'],
      retries: 2,
    });
    const seen = [first(), ...Array.from({ length: 7 }, () => fails(FAILURES.server_error))];
    expect(seen).toEqual([
      'openai/m sk-openai',
      'groq/m sk-groq',
      'groq/m sk-groq',
      'groq/m sk-groq',
      'xai/m sk-xai',
      'xai/m sk-xai',
      'xai/m sk-xai',
      'none',
    ]);
  });

  test('silence is not waited for twice at one target', () => {
    const { first, fails } = walk({ targets: ['openai/m'], fallbacks: ['groq/m'], retries: 3 });
    expect([first(), fails(FAILURES.timeout), fails(FAILURES.timeout)]).toEqual([
      'openai/m sk-openai',
      'groq/m sk-groq',
      'none',
    ]);
  });

  test.each([
    [RETRY_AFTER_MAX_MS, 'wait'],
    [RETRY_AFTER_MAX_MS + 1, 'groq/m sk-groq'],
    [null, 'groq/m sk-groq'],
  ])('a wait of %s ms before a fallback: %s', (waitMs, came) => {
    const { first, fails } = walk({ targets: ['openai/m'], fallbacks: ['groq/m'] });
    first();
    expect(fails(RATE_LIMIT, waitMs)).toBe(came);
  });

  test('a wait is sat out as often as there are retries, and then the same target is asked', () => {
    const { first, fails, again, pass } = walk({ targets: ['openai/m'], fallbacks: ['groq/m'] });
    first();
    expect(fails(RATE_LIMIT, 500)).toBe('wait');
    pass(510);
    expect(again()).toBe('openai/m sk-openai');
    expect(fails(RATE_LIMIT, 500)).toBe('groq/m sk-groq');
  });

  test('a wait that is over when the target is still left alone ends at the next one', () => {
    const { first, fails, again } = walk({ targets: ['openai/m'], fallbacks: ['groq/m'] });
    first();
    expect(fails(RATE_LIMIT, 500)).toBe('wait');
    expect(again()).toBe('groq/m sk-groq');
  });

  test.each([
    [RETRY_AFTER_MAX_MS, 'wait'],
    [RETRY_AFTER_MAX_MS + 1, 'groq/m sk-groq'],
  ])('a failing server that asks for %s ms before a fallback: %s, and never at once again', (waitMs, came) => {
    const { first, fails } = walk({ targets: ['openai/m'], fallbacks: ['groq/m'] });
    first();
    expect(fails(FAILURES.server_error, waitMs)).toBe(came);
  });

  test('a failing server rests for the wait that it asked for, whoever asks next', () => {
    const { first, fails, walk: own, pass } = walk({ targets: ['openai/m'] });
    first();
    expect(fails(FAILURES.server_error, 7_000)).toBe('none');
    expect(own.leastWaitMs).toBe(7_000);
    pass(6_980);
    expect(own.leastWaitMs).toBeGreaterThan(0);
    pass(30);
    expect(own.leastWaitMs).toBe(0);
  });

  test('a breaker that opens meanwhile ends the tries in place', () => {
    const { first, fails } = walk({
      targets: ['openai/m'],
      fallbacks: ['groq/m'],
      retries: 5,
      failures: 3,
    });
    expect([
      first(),
      fails(FAILURES.server_error),
      fails(FAILURES.server_error),
      fails(FAILURES.server_error),
    ]).toEqual([
      'openai/m sk-openai',
      'openai/m sk-openai',
      'openai/m sk-openai',
      'groq/m sk-groq',
    ]);
  });

  test('a fallback that was wished for first has its tries before what stands in another group', () => {
    const { first, fails } = walk({
      targets: ['openai/m'],
      fallbacks: ['groq/m'],
      order: ['groq'],
    });
    expect([first(), fails(FAILURES.server_error), fails(FAILURES.server_error)]).toEqual([
      'groq/m sk-groq',
      'groq/m sk-groq',
      'openai/m sk-openai',
    ]);
  });

  test('sixteen attempts are the most, whatever a route holds', () => {
    const targets = Array.from({ length: 30 }, (_, at) => `openai/m${at}`);
    const { first, fails, walk: own } = walk({ targets, retries: 0 });
    first();
    for (let more = 0; more < 15; more++) {
      expect(own.hasAlternative).toBe(true);
      expect(fails(FAILURES.timeout)).not.toBe('none');
    }
    expect([own.count, own.hasAlternative, fails(FAILURES.timeout)]).toEqual([16, false, 'none']);
  });
});

describe('whether anything but the attempt that runs could answer', () => {
  test('another target, another key; not what rests, and not without a copy of the body', () => {
    const alone = walk({ targets: ['openai/m'] });
    alone.first();
    expect(alone.walk.hasAlternative).toBe(false);
    const keys = walk({ keys: KEYS, targets: ['openai/m'] });
    keys.first();
    expect(keys.walk.hasAlternative).toBe(true);
    keys.fails(RATE_LIMIT, 9_000);
    expect(keys.walk.hasAlternative).toBe(true);
    keys.fails(RATE_LIMIT, 9_000);
    expect(keys.walk.hasAlternative).toBe(false);
    const two = walk({ targets: ['openai/m', 'groq/m'] });
    two.first();
    expect(two.walk.hasAlternative).toBe(true);
    two.fails(FAILURES.server_error);
    expect(two.walk.hasAlternative).toBe(false);
    const unkept = walk({ targets: ['openai/m', 'groq/m'], mayRepeat: false });
    unkept.first();
    expect(unkept.walk.hasAlternative).toBe(false);
  });
});

test('of several waits the least is told, and none where none is', () => {
  const {
    first,
    fails,
    walk: own,
  } = walk({ targets: ['openai/m', 'groq/m', 'xai/m'], retries: 0 });
  first();
  expect(own.leastWaitMs).toBe(0);
  fails(RATE_LIMIT, 9_000);
  fails(RATE_LIMIT, 4_000);
  fails(RATE_LIMIT, 20_000);
  expect(own.leastWaitMs).toBe(4_000);
});
