import { describe, expect, test } from 'vitest';
import { FAILURES, type Failed, failureOfStatus } from '../../../src/plan/failover.ts';
import { BREAKER_DEFAULTS, createHealthTable, Health } from '../../../src/plan/health.ts';
import { createPinTable, Pins } from '../../../src/plan/pins.ts';
import { Planner, type Trial } from '../../../src/plan/planner.ts';
import {
  ROUTE_DEFAULTS,
  type RouteSettings,
  RouteTable,
  type Target,
} from '../../../src/plan/route-table.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';

const PROVIDERS = providerTable([]);
const SERVER_ERROR = failureOfStatus(500, '') as Failed;
const RATE_LIMIT = failureOfStatus(429, '') as Failed;
const START = 1_000_000;

function scene(
  routes: Readonly<Record<string, readonly string[]>> = { chat: ['openai/known'] },
  described: readonly string[] = [],
) {
  let now = START;
  const health = new Health(createHealthTable(START), BREAKER_DEFAULTS, () => now);
  const settings = Object.entries(routes).map(([name, targets]): [string, RouteSettings] => [
    name,
    { ...ROUTE_DEFAULTS, targets: targets.map((to) => ({ to, weight: 1 })) },
  ]);
  const table = new RouteTable(PROVIDERS, new Map(), new Map(settings));
  const keys = new Map([['openai', [new Secret('sk-one'), new Secret('sk-two')]]]);
  const planner = new Planner(
    table,
    health,
    new PoolKeys(PROVIDERS, keys, 0),
    new Pins(createPinTable(START), () => now),
    described,
  );
  const target = (name: string): Target => {
    const found = table.target(name);
    if (found === null) throw new Error(`${name} is none`);
    return found;
  };
  const enter = (name: string): Trial | null => planner.enter(target(name), [], 0);
  const fails = (name: string, times: number, failed = SERVER_ERROR): void => {
    for (let i = 0; i < times; i++) {
      const trial = enter(name);
      if (trial !== null) planner.failed(trial, failed, null);
    }
  };
  return {
    planner,
    target,
    enter,
    fails,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

describe('names', () => {
  test('have a breaker, whether the configuration knows them or only their callers', () => {
    const { fails, enter } = scene({ chat: ['openai/known'] }, ['openai/described']);
    for (const name of ['openai/known', 'openai/described', 'openai/spelled']) fails(name, 9);
    for (const name of ['openai/known', 'openai/described', 'openai/spelled'])
      expect(enter(name)).toBeNull();
    expect(enter('openai/another')).not.toBeNull();
  });

  test('that callers think up do not make the node forget what it knows, nor count for others, whatever their number', () => {
    const { fails, enter, pass } = scene({ chat: ['openai/known'] }, ['openai/described']);
    fails('openai/known', 9);
    fails('openai/described', 9);
    expect(enter('openai/spelled')).not.toBeNull();
    for (let n = 0; n < 5_000; n++) {
      pass(0.1);
      fails(`openai/invented-${n}`, 6);
      // Its place is another one's by now, whose breaker is open.
      if (n % 50 === 0 && enter('openai/spelled') === null) throw new Error(`barred at ${n}`);
    }
    expect([enter('openai/known'), enter('openai/described')]).toEqual([null, null]);
  });

  test('that are told to slow down rest a key for themselves, and a key that is refused rests for all', () => {
    const { fails, enter } = scene();
    fails('openai/spelled', 2, RATE_LIMIT);
    expect(enter('openai/spelled')).toBeNull();
    expect(enter('openai/another')).not.toBeNull();
    fails('openai/third', 2, failureOfStatus(401, '') as Failed);
    expect([enter('openai/another'), enter('openai/known')]).toEqual([null, null]);
  });
});

describe('a trial', () => {
  test('tells how it went once as a probe: what is told of it later ends no other probe', () => {
    const { planner, fails, enter, pass } = scene();
    fails('openai/known', 9);
    pass(6_000);
    const first = enter('openai/known');
    if (first === null) throw new Error('no probe');
    planner.left(first);
    const second = enter('openai/known');
    expect(second).not.toBeNull();
    planner.left(first);
    planner.succeeded(first, 10);
    expect(enter('openai/known')).toBeNull();
    if (second !== null) planner.succeeded(second, 10);
    expect(enter('openai/known')).not.toBeNull();
  });

  test('that this node had no room for counts against nobody', () => {
    const { fails, enter } = scene();
    fails('openai/known', 50, FAILURES.node_at_cap);
    expect(enter('openai/known')).not.toBeNull();
  });
});
