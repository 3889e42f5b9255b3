import { describe, expect, test } from 'vitest';
import { askableNames } from '../../../src/plan/askable-names.ts';
import { ROUTE_DEFAULTS, RouteTable } from '../../../src/plan/route-table.ts';
import { providerTable } from '../../../src/providers/providers.ts';

const table = (routes: Record<string, readonly string[]>) =>
  new RouteTable(
    providerTable([]),
    new Map(),
    new Map(
      Object.entries(routes).map(([name, targets]) => [
        name,
        { ...ROUTE_DEFAULTS, targets: targets.map((to) => ({ to, weight: 1 })) },
      ]),
    ),
  );

const names = (
  routes: Record<string, readonly string[]>,
  known: readonly string[],
  open: readonly string[],
) =>
  askableNames(table(routes), known, ({ provider }) => open.includes(provider.name)).map(
    ({ name }) => name,
  );

describe('askableNames', () => {
  test('routes come first, in the order in which they are written, then targets, each once', () => {
    const routes = { outer: ['inner', 'xai/grok'], inner: ['openai/gpt-4o'], last: ['xai/grok'] };
    expect(names(routes, ['openai/gpt-4o', 'groq/llama'], ['openai', 'groq', 'xai'])).toEqual([
      'outer',
      'inner',
      'last',
      'openai/gpt-4o',
      'groq/llama',
      'xai/grok',
    ]);
  });

  test('a route that leads to nobody who may answer is not told, nor are its targets', () => {
    const routes = { dead: ['xai/grok'], half: ['xai/grok', 'groq/llama'], through: ['dead'] };
    expect(names(routes, ['xai/grok-2'], ['groq'])).toEqual(['half', 'groq/llama']);
  });

  test('a provider by its alias is told by its own name', () => {
    expect(names({}, ['claude/claude-x', 'anthropic/claude-x'], ['anthropic'])).toEqual([
      'anthropic/claude-x',
    ]);
  });

  test('a route that is named like a target is told once', () => {
    expect(names({ 'groq/llama': ['openai/gpt'] }, ['groq/llama'], ['openai', 'groq'])).toEqual([
      'groq/llama',
      'openai/gpt',
    ]);
  });

  test('a tangle of routes eight deep is walked in no time', () => {
    const level = (at: number) => Array.from({ length: 8 }, (_, nth) => `r${at}-${nth}`);
    const routes = Object.fromEntries(
      Array.from({ length: 8 }, (_, at) =>
        level(at).map((name) => [name, at === 7 ? ['groq/llama'] : level(at + 1)] as const),
      ).flat(),
    );
    expect(names(routes, [], ['groq'])).toHaveLength(65);
  });
});
