import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BREAKER_DEFAULTS, createHealthTable, Health } from '../../../src/plan/health.ts';
import type { ModelTraits } from '../../../src/plan/model-traits.ts';
import { openPlanner } from '../../../src/plan/open-planner.ts';
import { createPinTable, Pins } from '../../../src/plan/pins.ts';
import { Planner } from '../../../src/plan/planner.ts';
import type { PriceDoor, TokenRates } from '../../../src/plan/price-door.ts';
import { ROUTE_DEFAULTS, type RouteSettings } from '../../../src/plan/route-table.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';
import { needsOfSize, type RequestNeeds } from '../../../src/wire/request-needs.ts';

const START = 1_000_000;
const CACHE_MS = 300_000;
const PROVIDERS = providerTable([]);
const TOKENS = 100_000;

/** Pico-dollars a token: USD for a million, a million times. */
const usd = (perMillion: number) => perMillion * 1e6;
const rates = (
  input: number,
  output: number,
  cacheRead = input / 10,
  cacheWrite = input,
): TokenRates => ({
  input: usd(input),
  output: usd(output),
  cacheRead: usd(cacheRead),
  cacheWrite: usd(cacheWrite),
  perRequest: 0,
});

const ABLE: ModelTraits = {
  contextTokens: 1_000_000,
  maxOutputTokens: 8_192,
  images: true,
  tools: true,
  jsonSchema: true,
  audio: true,
  continuesPrefix: null,
  tokensPerByte: null,
};
const UNKNOWN: ModelTraits = {
  contextTokens: null,
  maxOutputTokens: null,
  images: null,
  tools: null,
  jsonSchema: null,
  audio: null,
  continuesPrefix: null,
  tokensPerByte: null,
};

interface Known {
  readonly rates?: TokenRates;
  readonly traits?: ModelTraits;
}

const door = (known: Readonly<Record<string, Known>>): PriceDoor => ({
  rates: (provider, model) => known[`${provider}/${model}`]?.rates ?? null,
  traits: (provider, model) => known[`${provider}/${model}`]?.traits ?? UNKNOWN,
  models: () => [],
});

const entries = (...names: readonly string[]) => names.map((to) => ({ to, weight: 1 }));
const needs = (said: Partial<RequestNeeds> = {}): RequestNeeds => ({
  ...needsOfSize(4_000),
  outputTokens: 100,
  ...said,
});

function open(
  routes: Readonly<Record<string, Partial<RouteSettings>>>,
  known: Readonly<Record<string, Known>>,
  keys: readonly string[] = ['openai', 'groq', 'xai'],
  tables = { health: createHealthTable(START), pins: createPinTable(START) },
) {
  const filled = Object.entries(routes).map(
    ([name, said]) => [name, { ...ROUTE_DEFAULTS, ...said }] as const,
  );
  const pool = new PoolKeys(PROVIDERS, new Map(keys.map((name) => [name, [new Secret(name)]])), 0);
  const clock = () => START;
  const health = new Health(tables.health, BREAKER_DEFAULTS, clock);
  const { planner } = openPlanner(
    { aliases: new Map(), routes: new Map(filled), models: new Map() },
    PROVIDERS,
    pool,
    health,
    new Pins(tables.pins, clock),
    door(known),
    Planner,
  );
  const routeOf = (name: string) => {
    const resolved = planner.resolve(name);
    if (resolved.kind === 'route') return resolved.route;
    if (resolved.kind === 'target') return planner.routeOf(resolved.target);
    throw new Error(`${name} is ${resolved.kind}.`);
  };
  const plan = (
    name: string,
    {
      asked = needs(),
      conversation = 0,
      maxCostPico = 0,
    }: { asked?: RequestNeeds; conversation?: number; maxCostPico?: number } = {},
  ) => {
    const route = routeOf(name);
    const session = conversation === 0 ? 0 : planner.sessionOf(route, conversation);
    return planner.plan(route, {
      dialect: 'openai',
      order: [],
      only: [],
      session,
      needs: asked,
      maxCostPico,
      seed: 1,
    });
  };
  return {
    planner,
    plan,
    names: (name: string, said: Parameters<typeof plan>[1] = {}) =>
      plan(name, said).targets.map(({ target }) => target.name),
    why: (name: string, said: Parameters<typeof plan>[1] = {}) =>
      Object.fromEntries(
        plan(name, said).leftOut.map(({ target, leftOut }) => [target.name, leftOut]),
      ),
    /** The last turn of a conversation was answered there. */
    answered: (name: string, conversation: number, target: string, asked = needs()) => {
      const route = routeOf(name);
      const session = planner.sessionOf(route, conversation);
      const found = plan(name, { asked }).targets.find((planned) => planned.target.name === target);
      const trial = found === undefined ? null : planner.enter(found.target, [], session);
      if (trial === null) throw new Error(`${target} may not be tried.`);
      planner.keep(trial, session, CACHE_MS, TOKENS);
    },
  };
}

const AUTO = {
  auto: { targets: entries('openai/a', 'groq/b', 'xai/c'), balance: 'cost' },
} as const;

describe('A1: a conversation of 100,000 cached tokens', () => {
  const asked = needs({ textBytes: TOKENS * 4 + 4_000, outputTokens: 100 });

  test('keeps its model where another is cheaper on the list, and dearer with its cold cache', () => {
    const { names, answered } = open(AUTO, {
      // Cached: 0.1 x 2. Cold at b: 1.
      'openai/a': { rates: rates(2, 8, 0.2), traits: ABLE },
      'groq/b': { rates: rates(1, 4, 0.1), traits: ABLE },
    });
    expect(names('auto', { asked })[0]).toBe('groq/b');
    answered('auto', 7, 'openai/a');
    expect(names('auto', { asked, conversation: 7 })[0]).toBe('openai/a');
  });

  test('moves where the other one is cheaper all the same', () => {
    const { names, answered } = open(AUTO, {
      'openai/a': { rates: rates(2, 8, 0.2), traits: ABLE },
      'groq/b': { rates: rates(0.1, 0.4, 0.01), traits: ABLE },
    });
    answered('auto', 7, 'openai/a');
    expect(names('auto', { asked, conversation: 7 })[0]).toBe('groq/b');
  });

  test('is charged what writing into the other cache costs', () => {
    const written = (write: number) => {
      const { names, answered } = open(AUTO, {
        'openai/a': { rates: rates(10, 8, 1), traits: ABLE },
        'groq/b': { rates: rates(0.9, 8, 0.1, write), traits: ABLE },
      });
      answered('auto', 7, 'openai/a');
      return names('auto', { asked, conversation: 7 })[0];
    };
    expect(written(0.9)).toBe('groq/b');
    expect(written(1.2)).toBe('openai/a');
  });
});

describe('P3: a conversation that a failover moved within its group', () => {
  const chat = { chat: { targets: entries('openai/a', 'groq/b') } };
  const moved = (there: TokenRates | undefined, here: TokenRates | undefined) => {
    const { names, answered } = open(chat, {
      'openai/a': { traits: ABLE, ...(there === undefined ? {} : { rates: there }) },
      'groq/b': { traits: ABLE, ...(here === undefined ? {} : { rates: here }) },
    });
    for (const target of ['openai/a', 'groq/b']) answered('chat', 7, target);
    return names('chat', { conversation: 7 })[0];
  };

  test('goes back while the old cache lives and is cheaper, and else stays', () => {
    expect(moved(rates(1, 1, 0.1), rates(1, 1, 0.2))).toBe('openai/a');
    expect(moved(rates(1, 1, 0.1), rates(1, 1, 0.1))).toBe('groq/b');
    expect(moved(rates(1, 1, 0.2), rates(1, 1, 0.1))).toBe('groq/b');
    expect(moved(undefined, rates(1, 1, 0.1))).toBe('groq/b');
  });
});

describe('A2: what has no price', () => {
  test('is never taken by auto, whose plan says unpriced', () => {
    const { names, why } = open(AUTO, {
      'openai/a': { traits: ABLE },
      'groq/b': { rates: rates(9, 9), traits: ABLE },
    });
    expect(names('auto')).toEqual(['groq/b']);
    expect(why('auto')).toEqual({ 'openai/a': 'unpriced', 'xai/c': 'lacks_context' });
  });

  test('comes last by cost elsewhere', () => {
    const { names } = open(
      { chat: { targets: entries('openai/a', 'groq/b', 'xai/c'), balance: 'cost' } },
      {
        'groq/b': { rates: rates(9, 9), traits: ABLE },
        'openai/a': { traits: ABLE },
        'xai/c': { rates: rates(1, 1), traits: ABLE },
      },
    );
    expect(names('chat')).toEqual(['xai/c', 'groq/b', 'openai/a']);
  });

  test('the cheapest of what fits is first, by what this request costs', () => {
    const known = {
      'openai/a': { rates: rates(1, 10), traits: ABLE },
      'groq/b': { rates: rates(3, 1), traits: ABLE },
    };
    const { names } = open(AUTO, known);
    expect(names('auto', { asked: needs({ textBytes: 400_000, outputTokens: 10 }) })[0]).toBe(
      'openai/a',
    );
    expect(names('auto', { asked: needs({ textBytes: 400, outputTokens: 8_000 }) })[0]).toBe(
      'groq/b',
    );
  });

  test('auto is there without being written, of the small models that have a key and a price', () => {
    const { names, planner } = open(
      {},
      {
        'openai/gpt-5-mini': { rates: rates(0.25, 2), traits: ABLE },
        'groq/openai/gpt-oss-20b': { rates: rates(0.1, 0.5), traits: ABLE },
        'mistral/mistral-small-latest': { rates: rates(0.01, 0.01), traits: ABLE },
      },
      ['openai', 'groq'],
    );
    expect(names('auto')).toEqual(['groq/openai/gpt-oss-20b', 'openai/gpt-5-mini']);
    expect(planner.resolve('auto').kind).toBe('route');
    expect(open({}, {}, []).planner.resolve('auto').kind).toBe('plain');
  });
});

describe('A3: what a model is not known to have', () => {
  const cases = [
    ['an image', { images: true }, 'images'],
    ['tools', { tools: true }, 'tools'],
    ['a JSON schema', { jsonSchema: true }, 'jsonSchema'],
    ['sound', { audio: true }, 'audio'],
  ] as const;
  const words = { images: 'images', tools: 'tools', jsonSchema: 'json_schema', audio: 'audio' };

  test.each(
    cases,
  )('keeps a request with %s from it in auto, stated or not', (_name, said, trait) => {
    for (const value of [false, null]) {
      const { names, why } = open(AUTO, {
        'openai/a': { rates: rates(1, 1), traits: { ...ABLE, [trait]: value } },
        'groq/b': { rates: rates(9, 9), traits: ABLE },
      });
      expect(names('auto')[0]).toBe('openai/a');
      expect(names('auto', { asked: needs(said) })).toEqual(['groq/b']);
      expect(why('auto', { asked: needs(said) })['openai/a']).toBe(`lacks_${words[trait]}`);
    }
  });

  test('keeps several answers at once from who does not give them', () => {
    const { names } = open(AUTO, {
      'openai/a': { rates: rates(9, 9), traits: ABLE },
      'groq/b': { rates: rates(1, 1), traits: ABLE },
    });
    expect(names('auto', { asked: needs({ choices: 2 }) })).toEqual(['openai/a']);
  });

  test('keeps what is longer than its window from it, counted high', () => {
    const { names } = open(AUTO, {
      'openai/a': { rates: rates(1, 1), traits: { ...ABLE, contextTokens: 2_000 } },
      'groq/b': { rates: rates(9, 9), traits: { ...ABLE, contextTokens: 3_000 } },
    });
    expect(names('auto', { asked: needs({ textBytes: 3_600 }) })[0]).toBe('openai/a');
    expect(names('auto', { asked: needs({ textBytes: 3_603 }) })).toEqual(['groq/b']);
    expect(names('auto', { asked: needs({ textBytes: 7_000 }) })).toEqual([]);
  });

  test('elsewhere puts it behind the others of its group, and leaves it out when it is said to lack it', () => {
    const { names, why } = open(
      { chat: { targets: entries('openai/a', 'groq/b', 'xai/c'), fallbacks: ['openai/d'] } },
      {
        'openai/a': { traits: { ...ABLE, images: null } },
        'groq/b': { traits: { ...ABLE, images: false } },
        'xai/c': { traits: ABLE },
        'openai/d': { traits: ABLE },
      },
    );
    expect(names('chat')).toEqual(['openai/a', 'groq/b', 'xai/c', 'openai/d']);
    expect(names('chat', { asked: needs({ images: true }) })).toEqual([
      'xai/c',
      'openai/a',
      'openai/d',
    ]);
    expect(why('chat', { asked: needs({ images: true }) })).toEqual({ 'groq/b': 'lacks_images' });
  });

  test('is for its provider to say where nobody else is left', () => {
    const { names } = open(
      { chat: { targets: entries('openai/a', 'groq/b') } },
      {
        'openai/a': { traits: { ...ABLE, images: false } },
        'groq/b': { traits: { ...ABLE, images: false } },
      },
    );
    expect(names('chat', { asked: needs({ images: true }) })).toEqual(['openai/a', 'groq/b']);
    expect(names('openai/a', { asked: needs({ images: true }) })).toEqual(['openai/a']);
  });
});

describe('A4: a limit on what a request may cost', () => {
  const known = {
    'openai/a': { rates: rates(10, 40), traits: ABLE },
    'groq/b': { rates: rates(1, 4), traits: ABLE },
  };
  // 4,000 bytes are 2,134 tokens at most, and 100 may come back: $0.02534 and $0.002534.
  const A_PICO = 2_134 * usd(10) + 100 * usd(40);

  test('leaves out the targets at which it may cost more, at it it does not', () => {
    const { names, why } = open(
      { chat: { targets: entries('openai/a', 'groq/b'), maxCostPico: A_PICO - 1 } },
      known,
    );
    expect(names('chat')).toEqual(['groq/b']);
    expect(why('chat')).toEqual({ 'openai/a': 'too_dear' });
    const exact = open(
      { chat: { targets: entries('openai/a', 'groq/b'), maxCostPico: A_PICO } },
      known,
    );
    expect(exact.names('chat')).toEqual(['openai/a', 'groq/b']);
  });

  test('of the route and of the caller: the lower one counts', () => {
    const { names } = open(
      { chat: { targets: entries('openai/a', 'groq/b'), maxCostPico: A_PICO } },
      known,
    );
    expect(names('chat', { maxCostPico: A_PICO - 1 })).toEqual(['groq/b']);
    expect(names('chat', { maxCostPico: A_PICO * 2 })).toEqual(['openai/a', 'groq/b']);
  });

  test('that nothing meets is told with the estimate, the cheapest one and the limit', () => {
    const { plan } = open({ chat: { targets: entries('openai/a', 'groq/b') } }, known);
    expect(plan('chat', { maxCostPico: 1_000 }).tooDear).toEqual({
      limitPico: 1_000,
      wantedPico: A_PICO,
      cheapestPico: A_PICO / 10,
    });
    expect(plan('chat', { maxCostPico: A_PICO }).tooDear).toBeNull();
  });

  test('leaves out what has no price', () => {
    const { why } = open({ chat: { targets: entries('xai/c', 'groq/b') } }, known);
    expect(why('chat', { maxCostPico: A_PICO })).toEqual({ 'xai/c': 'unpriced' });
    expect(why('chat')).toEqual({});
  });

  test('counts every answer that is asked for, and the most that may come back', () => {
    const { names } = open({ chat: { targets: entries('openai/a') } }, known);
    const asked = needs({ choices: 3, outputTokens: 1_000 });
    const most = 2_134 * usd(10) + 3_000 * usd(40);
    expect(names('chat', { asked, maxCostPico: most })).toEqual(['openai/a']);
    expect(names('chat', { asked, maxCostPico: most - 1 })).toEqual([]);
    const open_ended = needs({ outputTokens: null });
    const assumed = 2_134 * usd(10) + 8_192 * usd(40);
    expect(names('chat', { asked: open_ended, maxCostPico: assumed })).toEqual(['openai/a']);
    expect(names('chat', { asked: open_ended, maxCostPico: assumed - 1 })).toEqual([]);
  });
});

test('A5: what explains and what runs decide alike on 10,000 random cases', () => {
  const models = ['openai/a', 'groq/b', 'xai/c', 'openai/d'] as const;
  const trait = fc.constantFrom(true, false, null);
  const known = fc.record({
    rates: fc.option(
      fc.record({
        input: fc.nat({ max: 1e7 }),
        output: fc.nat({ max: 1e7 }),
        cacheRead: fc.nat({ max: 1e6 }),
        cacheWrite: fc.nat({ max: 2e7 }),
        perRequest: fc.nat({ max: 1e9 }),
      }),
      { nil: undefined },
    ),
    traits: fc.record({
      contextTokens: fc.constantFrom(null, 2_000, 100_000),
      maxOutputTokens: fc.constantFrom(null, 4_096),
      images: trait,
      tools: trait,
      jsonSchema: trait,
      audio: trait,
      continuesPrefix: fc.constant(null),
      tokensPerByte: fc.constantFrom(null, 0.5),
    }),
  });
  const asked = fc.record({
    textBytes: fc.nat({ max: 20_000 }),
    dataBytes: fc.nat({ max: 20_000 }),
    outputTokens: fc.constantFrom(null, 10, 5_000),
    choices: fc.constantFrom(1, 2),
    images: fc.boolean(),
    tools: fc.boolean(),
    jsonSchema: fc.boolean(),
    audio: fc.boolean(),
    marksCache: fc.boolean(),
  });
  const tables = [0, 1].map(() => ({
    health: createHealthTable(START),
    pins: createPinTable(START),
  }));
  let decided = 0;
  let conversation = 0;
  fc.assert(
    fc.property(
      fc.record({
        'openai/a': known,
        'groq/b': known,
        'xai/c': known,
        'openai/d': known,
      }),
      fc.constantFrom('order', 'weight', 'latency', 'cost'),
      asked,
      fc.record({
        name: fc.constantFrom('auto', 'chat'),
        isKnown: fc.boolean(),
        maxCostPico: fc.constantFrom(0, 1e9, 1e11),
      }),
      fc.constantFrom(null, ...models),
      (all, balance, asked, { name, isKnown, maxCostPico }, answered) => {
        const book = Object.fromEntries(
          Object.entries(all).map(([model, { rates, traits }]) => [
            model,
            rates === undefined ? { traits } : { rates, traits },
          ]),
        );
        const routes = {
          auto: { targets: entries('openai/a', 'chat'), balance },
          chat: { targets: entries('groq/b', 'xai/c'), fallbacks: ['openai/d'], balance },
        } as const;
        const [explains, runs] = tables.map((own) => open(routes, book, undefined, own));
        if (explains === undefined || runs === undefined) throw new Error('There are two.');
        conversation++;
        if (answered !== null && runs.names(name, { asked }).includes(answered)) {
          for (const each of [explains, runs]) each.answered(name, conversation, answered, asked);
        }
        const said = { asked, maxCostPico, conversation: isKnown ? conversation : 0 };
        const plans = [explains, runs].map((each) => {
          const made = each.plan(name, said);
          return [
            made.targets.map(({ target, group }) => [target.name, group]),
            made.leftOut.map(({ target, leftOut }) => [target.name, leftOut]),
            made.tooDear,
          ];
        });
        expect(plans[1]).toEqual(plans[0]);
        if (runs.plan(name, said).targets.length > 0) decided++;
        // None is lost, none is there twice.
        const made = runs.plan(name, said);
        const seen = [...made.targets, ...made.leftOut].map(({ target }) => target.name);
        expect(seen.toSorted()).toEqual([...new Set(seen)].toSorted());
        expect(seen).toHaveLength(name === 'auto' ? 4 : 3);
      },
    ),
    { numRuns: 10_000 },
  );
  expect(decided).toBeGreaterThan(1_000);
}, 60_000);
