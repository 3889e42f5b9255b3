import { describe, expect, test } from 'vitest';
import {
  ROUTE_DEFAULTS,
  type RouteSettings,
  RouteTable,
  routeProblems,
} from '../../../src/plan/route-table.ts';
import { providerTable } from '../../../src/providers/providers.ts';

const PROVIDERS = providerTable([]);
const NAMES = PROVIDERS.map(({ name }) => name);

const route = (targets: readonly string[], fallbacks: readonly string[] = []): RouteSettings => ({
  ...ROUTE_DEFAULTS,
  targets: targets.map((to) => ({ to, weight: 1 })),
  fallbacks,
});

const table = (routes: Record<string, RouteSettings>, aliases: Record<string, string> = {}) =>
  new RouteTable(PROVIDERS, new Map(Object.entries(aliases)), new Map(Object.entries(routes)));

const problems = (routes: Record<string, RouteSettings>, aliases: Record<string, string> = {}) =>
  routeProblems(NAMES, new Map(Object.entries(aliases)), new Map(Object.entries(routes)));

describe('resolve', () => {
  test.each([
    ['openai/gpt-4o', 'openai', 'gpt-4o'],
    ['openrouter/anthropic/claude-sonnet-5', 'openrouter', 'anthropic/claude-sonnet-5'],
    ['claude/claude-sonnet-4-5', 'anthropic', 'claude-sonnet-4-5'],
    ['grok/grok-4', 'xai', 'grok-4'],
    ['house/gpt-4o', 'groq', 'gpt-4o'],
  ])('%s is split at its first slash', (name, provider, model) => {
    const resolved = table({}, { house: 'groq' }).resolve(name);
    expect(resolved).toMatchObject({
      kind: 'target',
      target: { name: `${provider}/${model}`, model, provider: { name: provider } },
    });
  });

  test('a route goes before a model of the same name, and inside it the name is the model', () => {
    const routes = table({ 'openai/gpt-4o': route(['openai/gpt-4o', 'groq/gpt-4o']) });
    const resolved = routes.resolve('openai/gpt-4o');
    expect(resolved.kind).toBe('route');
    const targets = resolved.kind === 'route' ? resolved.route.groups[0] : [];
    expect(targets?.map((entry) => ('target' in entry ? entry.target.name : ''))).toEqual([
      'openai/gpt-4o',
      'groq/gpt-4o',
    ]);
  });

  test('a name without a slash is plain; one with an unknown prefix is unknown, with the nearest names', () => {
    expect(table({}).resolve('gpt-4o').kind).toBe('plain');
    expect(table({}).resolve('/gpt-4o').kind).toBe('unknown');
    expect(table({}).resolve('openai/').kind).toBe('unknown');
    const unknown = table({}).resolve('opnai/gpt-4o');
    expect(unknown.kind === 'unknown' ? unknown.nearest[0] : '').toBe('openai');
  });
});

describe('routeProblems', () => {
  test('sound routes have none', () => {
    expect(
      problems({ chat: route(['openai/a', 'fast'], ['claude/b']), fast: route(['groq/c']) }),
    ).toEqual([]);
  });

  test('a loop is told whole, whether through targets or fallbacks', () => {
    const found = problems({
      a: route(['b']),
      b: route(['openai/x'], ['c']),
      c: route(['a']),
    });
    expect(found[0]).toMatchObject({ path: ['routes', 'a'], found: 'a loop: a -> b -> c -> a' });
  });

  test('eight routes inside each other load, nine do not', () => {
    const chain = (length: number) =>
      Object.fromEntries(
        Array.from({ length }, (_, at) => [
          `r${at}`,
          route([at === length - 1 ? 'openai/x' : `r${at + 1}`]),
        ]),
      );
    expect(problems(chain(8))).toEqual([]);
    expect(problems(chain(9)).map(({ found }) => found)[0]).toContain('a chain of 9 routes');
  });

  test('a tangle of routes eight deep is looked through in no time, and a loop or a ninth layer in it is told', () => {
    const layer = (at: number) => Array.from({ length: 10 }, (_, nth) => `r${at}-${nth}`);
    const tangle = (layers: number, end: string) =>
      Object.fromEntries(
        Array.from({ length: layers }, (_, at) =>
          layer(at).map(
            (name) => [name, route(at === layers - 1 ? [end] : layer(at + 1))] as const,
          ),
        ).flat(),
      );
    expect(problems(tangle(8, 'openai/x'))).toEqual([]);
    expect(problems(tangle(9, 'openai/x')).map(({ found }) => found)[0]).toContain(
      'a chain of 9 routes',
    );
    expect(problems(tangle(8, 'r3-9')).some(({ found }) => found.includes('a loop'))).toBe(true);
  });

  test('an unknown provider, an unknown alias and a route that holds only itself are told with their key', () => {
    expect(problems({ chat: route(['nobody/x']) })[0]?.path).toEqual(['routes', 'chat', 'targets']);
    expect(problems({ chat: route(['openai/x'], ['chat']) })[0]?.path).toEqual([
      'routes',
      'chat',
      'fallbacks',
    ]);
    expect(problems({}, { fast: 'nobody' })[0]?.path).toEqual(['provider_aliases', 'fast']);
  });
});
