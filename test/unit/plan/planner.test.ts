import { describe, expect, test } from 'vitest';
import { FAILURES, type Failed, failureOfStatus } from '../../../src/plan/failover.ts';
import { BREAKER_DEFAULTS, createHealthTable, Health } from '../../../src/plan/health.ts';
import { createPinTable, Pins } from '../../../src/plan/pins.ts';
import { Planner, type Trial } from '../../../src/plan/planner.ts';
import {
  ROUTE_DEFAULTS,
  type Route,
  type RouteSettings,
  RouteTable,
} from '../../../src/plan/route-table.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';

const START = 1_000_000;
const MINUTE_MS = 60_000;
const CACHE_MS = 5 * MINUTE_MS;
const PROVIDERS = providerTable([]);
const NO_KEYS: readonly never[] = [];

const entries = (...names: readonly string[]) => names.map((to) => ({ to, weight: 1 }));

/** One node, which talks to no other. */
function node(
  routes: Readonly<Record<string, Partial<RouteSettings>>>,
  keys: Readonly<Record<string, readonly string[]>>,
) {
  let now = START;
  const clock = () => now;
  const filled = Object.entries(routes).map(
    ([name, said]) => [name, { ...ROUTE_DEFAULTS, ...said }] as const,
  );
  const pool = Object.entries(keys).map(
    ([name, own]) => [name, own.map((key) => new Secret(key))] as const,
  );
  const table = new RouteTable(PROVIDERS, new Map(), new Map(filled));
  const poolKeys = new PoolKeys(PROVIDERS, new Map(pool), 0);
  const health = new Health(createHealthTable(START), BREAKER_DEFAULTS, clock);
  const planner = new Planner(table, health, poolKeys, new Pins(createPinTable(START), clock));
  const routeOf = (name: string): Route => {
    const resolved = planner.resolve(name);
    if (resolved.kind === 'route') return resolved.route;
    if (resolved.kind === 'target') return planner.routeOf(resolved.target);
    throw new Error(`${name} is ${resolved.kind}.`);
  };
  const keyName = (trial: Trial): string => trial.key.revealTo('/v1').replace('Bearer ', '');
  return {
    planner,
    pass: (ms: number) => {
      now += ms;
    },
    session: (name: string, conversation: number) => planner.sessionOf(routeOf(name), conversation),
    plan: (name: string, conversation: number, seed = 1): readonly string[] => {
      const route = routeOf(name);
      const session = conversation === 0 ? 0 : planner.sessionOf(route, conversation);
      const wishes = {
        dialect: 'openai' as const,
        order: [],
        only: [],
        session,
        needs: null,
        maxCostPico: 0,
        seed,
      };
      return planner.plan(route, wishes).targets.map(({ target }) => target.name);
    },
    /** Where the first attempt of a turn goes: target and key. */
    turn: (name: string, conversation: number): { trial: Trial; said: string } => {
      const route = routeOf(name);
      const session = planner.sessionOf(route, conversation);
      const wishes = {
        dialect: 'openai' as const,
        order: [],
        only: [],
        session,
        needs: null,
        maxCostPico: 0,
        seed: 1,
      };
      for (const { target } of planner.plan(route, wishes).targets) {
        const trial = planner.enter(target, NO_KEYS, session);
        if (trial !== null) return { trial, said: `${target.name} ${keyName(trial)}` };
      }
      throw new Error('Nothing may be tried.');
    },
  };
}

const RATE_LIMITED = FAILURES.rate_limit;
const KEYS = { openai: ['a', 'b', 'c'], groq: ['d', 'e'], xai: ['f'] };
const CONVERSATIONS = Array.from({ length: 4_000 }, (_, at) => Math.imul(at + 1, 0x9e3779b1) | 0);

describe('L2: a key that has nothing left of a limit', () => {
  test('gets no request until its reset while another key or target of its group has some', () => {
    const { planner, plan, turn, pass } = node(
      { chat: { targets: entries('openai/a', 'xai/b'), fallbacks: ['groq/c'] } },
      KEYS,
    );
    const [first] = CONVERSATIONS;
    const spent = turn('chat', first ?? 0);
    expect(spent.trial.target.name).toBe('openai/a');
    planner.spent(spent.trial, 30_000);
    const next = CONVERSATIONS.slice(0, 500).map((id) => turn('chat', id));
    expect(next.filter(({ said }) => said === spent.said)).toEqual([]);
    expect(next.every(({ trial }) => trial.target.name === 'openai/a')).toBe(true);
    // All of its keys: another target of the group, and only then a fallback.
    for (const { trial } of next) planner.spent(trial, 30_000);
    expect(plan('chat', 0)).toEqual(['xai/b', 'openai/a', 'groq/c']);
    planner.spent(turn('chat', first ?? 0).trial, 30_000);
    // Nobody is refused for a forecast.
    expect(plan('chat', 0)).toEqual(['openai/a', 'xai/b', 'groq/c']);
    expect(turn('chat', first ?? 0).trial.target.name).toBe('openai/a');
    pass(30_010);
    expect(turn('chat', first ?? 0).said).toBe(spent.said);
  });
});

describe('P1: how long a conversation stays', () => {
  test('with the target and key that answered last as long as its cache lives, then it may move', () => {
    const { planner, turn, session, pass, plan } = node(
      { chat: { targets: entries('openai/a', 'groq/b'), balance: 'weight' } },
      KEYS,
    );
    const id = CONVERSATIONS.find((id) => plan('chat', id)[0] === 'openai/a') ?? 0;
    const other = turn('chat', CONVERSATIONS.find((id) => plan('chat', id)[0] === 'groq/b') ?? 0);
    planner.keep(other.trial, session('chat', id), CACHE_MS, 1_000);
    expect(turn('chat', id).said).toBe(other.said);
    pass(CACHE_MS - 1_000);
    expect(turn('chat', id).said).toBe(other.said);
    pass(1_000);
    expect(turn('chat', id).said).toMatch(/^openai\/a/);
  });
});

describe('P2: nodes that do not talk', () => {
  test('choose the same target and the same key for the first turn of every conversation', () => {
    const routes = {
      chat: { targets: entries('openai/a', 'groq/b', 'inner'), balance: 'weight' },
      inner: { targets: entries('xai/c', 'groq/d'), balance: 'weight' },
    } as const;
    const first = node(routes, KEYS);
    const second = node(routes, { openai: ['c', 'a', 'b'], groq: ['e', 'd'], xai: ['f'] });
    for (const id of CONVERSATIONS)
      expect(second.turn('chat', id).said).toBe(first.turn('chat', id).said);
  });

  test('share conversations evenly among keys, and move at most 1/(n+1) of them to a new one', () => {
    const where = (keys: readonly string[]) => {
      const { turn } = node({}, { openai: keys });
      return CONVERSATIONS.map((id) => turn('openai/a', id).said);
    };
    const three = where(['a', 'b', 'c']);
    const four = where(['a', 'b', 'c', 'new']);
    const share = CONVERSATIONS.length / 3;
    for (const key of ['a', 'b', 'c']) {
      const count = three.filter((said) => said.endsWith(` ${key}`)).length;
      expect(Math.abs(count - share) / share).toBeLessThan(0.1);
    }
    const moved = four.filter((said, at) => said !== three[at]);
    expect(moved.every((said) => said.endsWith(' new'))).toBe(true);
    // A fourth, and chance.
    expect(moved.length / CONVERSATIONS.length).toBeLessThan(0.28);
    expect(moved.length / CONVERSATIONS.length).toBeGreaterThan(0.22);
  });

  test('meet the weights of a group over many conversations', () => {
    const { plan } = node(
      {
        chat: {
          targets: [
            { to: 'openai/a', weight: 1 },
            { to: 'groq/b', weight: 3 },
          ],
          balance: 'weight',
        },
      },
      KEYS,
    );
    const share =
      CONVERSATIONS.filter((id) => plan('chat', id)[0] === 'groq/b').length / CONVERSATIONS.length;
    expect(Math.abs(share - 0.75)).toBeLessThan(0.03);
  });
});

describe('P3: a failover moves the conversation', () => {
  test('to another key, where it stays when the first one is back: both are as dear', () => {
    const { planner, turn, session, pass } = node({}, { openai: ['a', 'b', 'c'] });
    const [id = 0] = CONVERSATIONS;
    const first = turn('openai/a', id);
    planner.keep(first.trial, session('openai/a', id), CACHE_MS, 1_000);
    planner.failed(first.trial, RATE_LIMITED, 2_000);
    const second = turn('openai/a', id);
    expect(second.said).not.toBe(first.said);
    planner.keep(second.trial, session('openai/a', id), CACHE_MS, 1_000);
    pass(3_000);
    expect(turn('openai/a', id).said).toBe(second.said);
    pass(CACHE_MS);
    expect(turn('openai/a', id).said).toBe(first.said);
  });

  test('to another target of its group, where it stays while that cache lives', () => {
    const { planner, turn, session, pass } = node(
      { chat: { targets: entries('xai/a', 'groq/b') } },
      { xai: ['x'], groq: ['g'] },
    );
    const first = turn('chat', 5);
    planner.keep(first.trial, session('chat', 5), CACHE_MS, 1_000);
    planner.failed(first.trial, RATE_LIMITED, 2_000);
    const second = turn('chat', 5);
    expect([first.said, second.said]).toEqual(['xai/a x', 'groq/b g']);
    planner.keep(second.trial, session('chat', 5), CACHE_MS, 1_000);
    pass(3_000);
    expect(turn('chat', 5).said).toBe('groq/b g');
    expect(turn('chat', 6).said).toBe('xai/a x');
  });

  test('from a fallback back to what is wanted while that cache lives, and not into a cold one', () => {
    const { planner, turn, session, pass } = node(
      { chat: { targets: entries('xai/a'), fallbacks: ['groq/b'] } },
      { xai: ['x'], groq: ['g'] },
    );
    const first = turn('chat', 5);
    planner.keep(first.trial, session('chat', 5), CACHE_MS, 1_000);
    planner.failed(first.trial, RATE_LIMITED, 2_000);
    const second = turn('chat', 5);
    expect(second.said).toBe('groq/b g');
    planner.keep(second.trial, session('chat', 5), CACHE_MS, 1_000);
    pass(3_000);
    expect(turn('chat', 5).said).toBe('xai/a x');
    pass(CACHE_MS - 4_000);
    planner.keep(second.trial, session('chat', 5), CACHE_MS, 1_000);
    pass(2_000);
    expect(turn('chat', 5).said).toBe('groq/b g');
  });
});

describe('a conversation', () => {
  test('of one route is another one on the next', () => {
    const both = { targets: entries('xai/a', 'groq/b') };
    const { planner, plan, session, turn } = node({ one: both, two: both }, KEYS);
    const second = planner.resolve('groq/b');
    if (second.kind !== 'target') throw new Error(second.kind);
    planner.keep(
      { ...turn('one', 5).trial, target: second.target },
      session('one', 5),
      CACHE_MS,
      1_000,
    );
    expect(plan('one', 5)).toEqual(['groq/b', 'xai/a']);
    expect(plan('two', 5)).toEqual(['xai/a', 'groq/b']);
  });

  test('that nothing tells of takes turns among keys', () => {
    const { planner } = node({}, KEYS);
    const resolved = planner.resolve('openai/a');
    if (resolved.kind !== 'target') throw new Error(resolved.kind);
    const { target } = resolved;
    const prints = [1, 2, 3].map(() => planner.enter(target, NO_KEYS, 0)?.key.print);
    expect(new Set(prints).size).toBe(3);
  });

  test.each([
    ['openai/a', true],
    ['xai/a', false],
    ['chat', true],
    ['alone', false],
    ['nested', true],
  ])('%s has a choice of target or key: %s', (name, has) => {
    const { planner } = node(
      {
        chat: { targets: entries('xai/a'), fallbacks: ['groq/b'] },
        alone: { targets: entries('xai/a') },
        nested: { targets: entries('alone') },
      },
      KEYS,
    );
    const resolved = planner.resolve(name);
    const route =
      resolved.kind === 'route'
        ? resolved.route
        : resolved.kind === 'target'
          ? planner.routeOf(resolved.target)
          : null;
    expect(route === null ? null : planner.hasChoice(route)).toBe(has);
  });
});

describe('what an attempt says', () => {
  const failures = (name: string) => {
    const { planner, pass } = node({}, { openai: ['a', 'b'], groq: ['c'] });
    const resolved = planner.resolve(name);
    if (resolved.kind !== 'target') throw new Error(`${name} is no target.`);
    const { target } = resolved;
    const enter = () => planner.enter(target, NO_KEYS, 0);
    return { planner, pass, target, enter };
  };
  const target = (name: string) => {
    const resolved = node({}, KEYS).planner.resolve(name);
    if (resolved.kind !== 'target') throw new Error(`${name} is no target.`);
    return resolved.target;
  };

  test('ten thousand mistakes of callers and ten thousand callers that leave open nothing (B1)', () => {
    const { planner, target, enter } = failures('openai/m');
    const mistakes = [
      failureOfStatus(400, 'context_length_exceeded'),
      failureOfStatus(400, 'content_filter'),
    ];
    for (let n = 0; n < 10_000; n++) {
      const trial = enter();
      const failed = mistakes[n % mistakes.length] ?? null;
      if (trial === null || failed === null) throw new Error('Nobody may be asked.');
      planner.failed(trial, failed, null);
      const leaver = enter();
      if (leaver === null) throw new Error('Nobody may be asked.');
      planner.left(leaver);
    }
    expect(planner.condition(target)).toMatchObject({ state: 'closed', waitMs: 0 });
  });

  test('a model that fails says nothing of the provider’s other models, a provider that cannot be reached does', () => {
    for (const [failed, others] of [
      [failureOfStatus(500, '') ?? FAILURES.unreachable, 'closed'],
      [FAILURES.unreachable, 'open'],
    ] as const) {
      const { planner, enter } = failures('openai/m');
      for (let n = 0; n < 5; n++) {
        const trial = enter();
        if (trial !== null) planner.failed(trial, failed, null);
      }
      expect(enter()).toBeNull();
      expect(planner.condition(target('openai/other')).state).toBe(others);
      expect(planner.condition(target('groq/m')).state).toBe('closed');
    }
  });

  test('a key that is told to wait without a time rests for a second, for that model alone', () => {
    const { planner, pass, target: own, enter } = failures('groq/m');
    const trial = enter();
    if (trial === null) throw new Error('Nobody may be asked.');
    planner.failed(trial, RATE_LIMITED, null);
    expect(enter()).toBeNull();
    expect(planner.condition(target('groq/other')).waitMs).toBe(0);
    pass(980);
    expect(enter()).toBeNull();
    pass(30);
    expect([planner.condition(own).waitMs, enter() === null]).toEqual([0, false]);
  });

  test('a key that was refused rests for ten minutes, for all models, and its sibling works (F8)', () => {
    const { planner, pass, enter } = failures('openai/m');
    const trial = enter();
    if (trial === null) throw new Error('Nobody may be asked.');
    planner.failed(trial, FAILURES.key_refused, null);
    pass(599_000);
    for (let n = 0; n < 10; n++) {
      for (const name of ['openai/m', 'openai/other']) {
        const next = planner.enter(target(name), NO_KEYS, 0);
        expect(next?.key === trial.key).toBe(false);
        expect(next).not.toBeNull();
      }
    }
    pass(1_010);
    const seen = new Set(Array.from({ length: 4 }, () => enter()?.key));
    expect(seen.has(trial.key)).toBe(true);
  });

  test('a target that may not be tried gives its provider’s probe back', () => {
    const { planner, pass, target: own, enter } = failures('openai/m');
    const failure = failureOfStatus(500, '') ?? FAILURES.unreachable;
    const opens = (name: string, failed: Failed): void => {
      const at = target(name);
      for (let n = 0; n < 5; n++) {
        const trial = planner.enter(at, NO_KEYS, 0);
        if (trial !== null) planner.failed(trial, failed, null);
      }
    };
    // The model's breaker is open for twice as long as its provider's.
    opens('openai/m', failure);
    pass(5_600);
    const probe = enter();
    if (probe === null) throw new Error('Nobody may be asked.');
    opens('openai/other', FAILURES.unreachable);
    planner.failed(probe, failure, null);
    pass(5_600);
    expect(planner.condition(own).state).toBe('open');
    expect(enter()).toBeNull();
    expect(planner.enter(target('openai/third'), NO_KEYS, 0)).not.toBeNull();
  });

  test('keys take turns where no conversation holds one', () => {
    const { enter } = failures('openai/m');
    expect(new Set([enter()?.key, enter()?.key]).size).toBe(2);
  });
});

describe('wishes', () => {
  const planned = (order: readonly string[], only: readonly string[]) => {
    const { planner } = node(
      { chat: { targets: entries('openai/a', 'groq/b'), fallbacks: ['xai/c'] } },
      KEYS,
    );
    const resolved = planner.resolve('chat');
    if (resolved.kind !== 'route') throw new Error('chat is no route.');
    const wishes = {
      dialect: 'openai' as const,
      order,
      only,
      session: 0,
      needs: null,
      maxCostPico: 0,
      seed: 1,
    };
    return {
      names: planner.plan(resolved.route, wishes).targets.map(({ target }) => target.name),
      unknown: planner.unknownWishes(wishes),
    };
  };

  test.each([
    [[], [], ['openai/a', 'groq/b', 'xai/c'], 0],
    [['xai', 'groq/b'], [], ['xai/c', 'groq/b', 'openai/a'], 0],
    [[], ['groq'], ['groq/b'], 0],
    [['nobody', 'groq'], ['no/such'], ['groq/b', 'openai/a', 'xai/c'], 2],
    [['grok'], [], ['xai/c', 'openai/a', 'groq/b'], 0],
    [[], ['anthropic'], [], 0],
  ])('first %j, only %j: %j (R4)', (order, only, names, unknown) => {
    expect(planned(order, only)).toEqual({ names, unknown });
  });
});
