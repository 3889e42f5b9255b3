import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Condition } from '../../../src/plan/health.ts';
import { type PlanView, plan } from '../../../src/plan/plan.ts';
import {
  type Balance,
  ROUTE_DEFAULTS,
  type Route,
  type RouteSettings,
  RouteTable,
} from '../../../src/plan/route-table.ts';
import { providerTable } from '../../../src/providers/providers.ts';

const PROVIDERS = providerTable([]);
const GOOD: PlanView = { condition: () => null, barred: () => null, price: () => null };
const closed = (ttftMs: number): Condition => ({ state: 'closed', waitMs: 0, ttftMs });

function routeOf(settings: Record<string, Partial<RouteSettings>>, name = 'chat'): Route {
  const filled = Object.entries(settings).map(
    ([key, value]) => [key, { ...ROUTE_DEFAULTS, ...value }] as const,
  );
  const resolved = new RouteTable(PROVIDERS, new Map(), new Map(filled)).resolve(name);
  if (resolved.kind !== 'route') throw new Error(`${name} is no route`);
  return resolved.route;
}

const entries = (...names: readonly string[]) => names.map((to) => ({ to, weight: 1 }));
const names = (route: Route, view = GOOD, seed = 1): readonly string[] =>
  plan(route, view, seed).targets.map(({ target }) => target.name);

describe('plan', () => {
  test('what is wanted comes first, then the fallbacks, then what stands in their routes; each once', () => {
    const route = routeOf({
      chat: { targets: entries('openai/a', 'inner'), fallbacks: ['openai/a', 'groq/c'] },
      inner: { targets: entries('xai/b'), fallbacks: ['groq/c', 'mistral/d'] },
    });
    expect(names(route)).toEqual(['openai/a', 'xai/b', 'groq/c', 'mistral/d']);
    expect(plan(route, GOOD, 1).targets[1]?.through).toEqual(['chat', 'inner']);
  });

  test.each<Balance>([
    'order',
    'weight',
    'latency',
    'cost',
  ])('a tangle of routes eight deep is planned in no time, by %s', (balance) => {
    const layer = (at: number) => Array.from({ length: 10 }, (_, nth) => `r${at}-${nth}`);
    const settings = Object.fromEntries(
      Array.from({ length: 8 }, (_, at) =>
        layer(at).map((name, nth) => {
          const targets = entries(...(at === 7 ? [`openai/m${nth}`] : layer(at + 1)));
          return [name, { balance, targets }] as const;
        }),
      ).flat(),
    );
    const view = { ...GOOD, price: ({ name }: { name: string }) => name.charCodeAt(8) };
    const planned = names(routeOf(settings, 'r0-0'), view);
    expect([...planned].sort()).toEqual(Array.from({ length: 10 }, (_, nth) => `openai/m${nth}`));
    if (balance === 'cost') expect(planned[0]).toBe('openai/m0');
  });

  test('an open breaker and a rest leave a target out, with its reason and the least wait', () => {
    const route = routeOf({ chat: { targets: entries('openai/a', 'groq/b', 'xai/c') } });
    const made = plan(
      route,
      {
        ...GOOD,
        condition: ({ name }) =>
          name === 'openai/a'
            ? { state: 'open', waitMs: 4_000, ttftMs: 0 }
            : name === 'groq/b'
              ? { state: 'closed', waitMs: 1_500, ttftMs: 0 }
              : null,
      },
      1,
    );
    expect(made.targets.map(({ target }) => target.name)).toEqual(['xai/c']);
    expect(made.leftOut.map(({ leftOut }) => leftOut)).toEqual(['breaker_open', 'resting']);
    expect(made.waitMs).toBe(1_500);
  });

  test('a target that somebody probes is left out for its breaker', () => {
    const route = routeOf({ chat: { targets: entries('openai/a') } });
    const condition = () => ({ state: 'probing', waitMs: 60_000, ttftMs: 0 }) as const;
    expect(plan(route, { ...GOOD, condition }, 1).leftOut).toMatchObject([
      { leftOut: 'breaker_open', waitMs: 60_000 },
    ]);
  });

  test('what only a key or a permission bars has no wait', () => {
    const route = routeOf({ chat: { targets: entries('openai/a') } });
    expect(plan(route, { ...GOOD, barred: () => 'no_pool_key' }, 1)).toMatchObject({
      targets: [],
      waitMs: 0,
      leftOut: [{ leftOut: 'no_pool_key' }],
    });
  });

  test('weights are met within 1 % over 100,000 requests (L1)', () => {
    const route = routeOf({
      chat: {
        balance: 'weight',
        targets: [
          { to: 'openai/a', weight: 1 },
          { to: 'groq/b', weight: 3 },
          { to: 'xai/c', weight: 6 },
        ],
      },
    });
    const first = new Map<string, number>();
    for (let seed = 0; seed < 100_000; seed++) {
      const name = names(route, GOOD, Math.imul(seed, 0x9e3779b1))[0] ?? '';
      first.set(name, (first.get(name) ?? 0) + 1);
    }
    expect(Math.abs((first.get('openai/a') ?? 0) / 1_000 - 10)).toBeLessThan(1);
    expect(Math.abs((first.get('groq/b') ?? 0) / 1_000 - 30)).toBeLessThan(1);
    expect(Math.abs((first.get('xai/c') ?? 0) / 1_000 - 60)).toBeLessThan(1);
  });

  test('latency takes the less slow of two choices and never the slowest of three first', () => {
    const route = routeOf({
      chat: { balance: 'latency', targets: entries('openai/a', 'groq/b', 'xai/c') },
    });
    const ttft: Record<string, number> = { 'openai/a': 100, 'groq/b': 200, 'xai/c': 900 };
    const view = { ...GOOD, condition: ({ name }: { name: string }) => closed(ttft[name] ?? 0) };
    const first = new Map<string, number>();
    for (let seed = 0; seed < 3_000; seed++) {
      const name = names(route, view, Math.imul(seed, 0x9e3779b1))[0] ?? '';
      first.set(name, (first.get(name) ?? 0) + 1);
    }
    expect(first.get('xai/c') ?? 0).toBe(0);
    // Two of three pairs hold the fastest one.
    expect((first.get('openai/a') ?? 0) / 3_000).toBeCloseTo(2 / 3, 1);
  });

  test('cost puts the cheapest first and what has no price last', () => {
    const route = routeOf({
      chat: { balance: 'cost', targets: entries('openai/a', 'groq/b', 'xai/c') },
    });
    const price: Record<string, number> = { 'openai/a': 5, 'xai/c': 1 };
    expect(names(route, { ...GOOD, price: ({ name }) => price[name] ?? null })).toEqual([
      'xai/c',
      'openai/a',
      'groq/b',
    ]);
  });

  test('the same request and the same state make the same plan, whatever the balance (A5)', () => {
    const balances: readonly Balance[] = ['order', 'weight', 'latency', 'cost'];
    fc.assert(
      fc.property(
        fc.constantFrom(...balances),
        fc.integer(),
        fc.array(fc.integer({ min: 0, max: 2_000 }), { minLength: 3, maxLength: 3 }),
        (balance, seed, ttfts) => {
          const route = routeOf({
            chat: {
              balance,
              targets: entries('openai/a', 'groq/b', 'inner'),
              fallbacks: ['mistral/d'],
            },
            inner: { balance, targets: entries('xai/c', 'openai/a') },
          });
          const view: PlanView = {
            ...GOOD,
            condition: ({ name }) => closed(ttfts[name.length % 3] ?? 0),
            price: ({ name }) => name.charCodeAt(0),
          };
          const made = names(route, view, seed);
          expect(names(route, view, seed)).toEqual(made);
          expect([...made].sort()).toEqual(['groq/b', 'mistral/d', 'openai/a', 'xai/c']);
          expect(made.at(-1)).toBe('mistral/d');
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
