import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { BudgetCalendar } from '../../../src/budget/budget-calendar.ts';
import { BudgetTable, rowName } from '../../../src/budget/budget-table.ts';
import { configFromDocument } from '../../../src/config/config-document.ts';
import type { GatewayView } from '../../../src/console/gateway-view.ts';
import { LivePlans } from '../../../src/console/live-plans.ts';
import type { Operation } from '../../../src/console/operation.ts';
import { explainOperations } from '../../../src/console/operations/explain-operation.ts';
import type { EXPLAINED } from '../../../src/console/shapes.ts';
import { bookPrices } from '../../../src/plan/book-prices.ts';
import { Health } from '../../../src/plan/health.ts';
import { openPlanner } from '../../../src/plan/open-planner.ts';
import { Pins } from '../../../src/plan/pins.ts';
import { Planner } from '../../../src/plan/planner.ts';
import { ModelPermission } from '../../../src/policy/model-permission.ts';
import { PriceBook, shippedBook } from '../../../src/prices/price-book.ts';
import { PoolKeys } from '../../../src/providers/pool-keys.ts';
import { providerTable } from '../../../src/providers/providers.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { needsOf } from '../../../src/wire/request-needs.ts';
import { RequestOutline } from '../../../src/wire/request-outline.ts';
import { called, gatewayView, viewerOf } from '../../support/console.ts';

/** As many as the demand that explain equals what runs says. */
const STATES = 10_000;

const FILE = `
[pool_keys]
openai = ["sk-one-0123456789", "sk-two-0123456789"]
anthropic = "sk-three-0123456789"
groq = "sk-four-0123456789"

[routes.ordered]
targets = ["openai/gpt-5-mini", "inner"]
fallbacks = ["mistral/mistral-large-latest", "anthropic/claude-haiku-4-5"]
[routes.inner]
targets = [{ to = "groq/llama-3.3-70b-versatile", weight = 3 }, "openai/gpt-5"]
balance = "weight"
[routes.cheap]
targets = ["openai/gpt-5", "openai/gpt-5-nano", "anthropic/claude-haiku-4-5", "groq/unknown-model"]
balance = "cost"
[routes.fast]
targets = ["openai/gpt-5", "groq/llama-3.3-70b-versatile", "anthropic/claude-haiku-4-5"]
balance = "latency"

[policies.agents]
models = ["ordered", "cheap", "fast", "inner", "openai/*", "groq/*"]
budget_usd_per_day = 10
rpm = 60

[keys.7]
tenant = "1"
policy = "agents"
`;

const MODELS = ['ordered', 'inner', 'cheap', 'fast', 'openai/gpt-5-mini', 'auto'];
const TARGETS = [
  'openai/gpt-5-mini',
  'openai/gpt-5',
  'openai/gpt-5-nano',
  'groq/llama-3.3-70b-versatile',
  'anthropic/claude-haiku-4-5',
];

type Told = z.output<typeof EXPLAINED>;

let folder: string;
let view: GatewayView;
let operations: readonly Operation[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-explained-'));
  const config = join(folder, 'config.toml');
  writeFileSync(config, FILE);
  view = gatewayView(config);
  operations = explainOperations(view, new LivePlans(view));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The same of a gateway that nobody has asked anything yet. */
async function toldAfresh(body: object): Promise<Told> {
  const fresh = gatewayView(join(folder, 'config.toml'));
  const own = explainOperations(fresh, new LivePlans(fresh));
  return (await called(own, 'explain', { body })).body as Told;
}

async function told(body: object, caller?: Parameters<typeof called>[2]): Promise<Told> {
  return (await called(operations, 'explain', { ...caller, body })).body as Told;
}

/** A worker's own plans on the same memory. */
function worker() {
  const config = configFromDocument(view.running());
  const providers = providerTable(config.providers);
  const keys = new PoolKeys(providers, config.poolKeys, 3);
  const book = new PriceBook(shippedBook(), config.pricing);
  const health = new Health(view.memory.health, config.routing.breaker);
  const pins = new Pins(view.memory.pins);
  return openPlanner(config.routing, providers, keys, health, pins, bookPrices(book), Planner);
}

/** Numbers from 0 up to 1 (mulberry32), so that a state that failed is found again. */
function chances(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('explain', () => {
  test(`tells the plan that a worker makes, in ${STATES} states of breakers, rests, speeds, bodies and wishes`, async () => {
    const { planner, table } = worker();
    const next = chances(20_261_129);
    const one = <Value>(values: readonly Value[]): Value =>
      values[Math.floor(next() * values.length)] as Value;
    for (let state = 0; state < STATES; state++) {
      const target = table.target(one(TARGETS));
      if (target === null) throw new Error('there is no such target');
      const what = next();
      const trial = planner.enter(target, [], 0);
      if (what < 0.1) planner.resetProvider(target.provider);
      else if (trial !== null && what < 0.4) planner.succeeded(trial, Math.floor(next() * 5_000));
      else if (trial !== null && what < 0.7)
        planner.failed(
          trial,
          { reason: 'server_error', blames: one(['target', 'provider']) } as never,
          null,
        );
      else if (trial !== null)
        planner.failed(trial, { reason: 'rate_limit', blames: 'key' } as never, 60_000);
      const model = one(MODELS);
      const dialect = one(['openai', 'anthropic'] as const);
      const seed = Math.floor(next() * 1_000_000);
      const maxCost = next() < 0.2 ? one(['0.0001', '0.01', '1']) : null;
      const body =
        next() < 0.5
          ? null
          : {
              model,
              max_tokens: 1 + Math.floor(next() * 20_000),
              messages: [{ role: 'user', content: 'x'.repeat(Math.floor(next() * 2_000)) }],
              ...(next() < 0.3
                ? { tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }
                : {}),
            };
      const isKeys = next() < 0.15;
      const wish = {
        model,
        wire: dialect,
        seed,
        ...(maxCost === null ? {} : { max_cost_usd: maxCost }),
        ...(body === null ? {} : { body }),
        ...(isKeys ? { key: '7' } : {}),
      };
      const resolved = planner.resolve(model);
      if (resolved.kind !== 'route' && resolved.kind !== 'target')
        throw new Error(`${model} is no plan`);
      const outline =
        body === null
          ? null
          : RequestOutline.of(loadJsonScanner(), Buffer.from(JSON.stringify(body)));
      const policy = view.running().policy.policies.get('agents')?.models ?? [];
      const made = planner.plan(
        resolved.kind === 'route' ? resolved.route : planner.routeOf(resolved.target),
        {
          dialect,
          mayTranslate: true,
          order: [],
          only: [],
          session: 0,
          needs: outline === null ? null : needsOf(outline, dialect === 'anthropic'),
          maxCostPico: maxCost === null ? 0 : Math.round(Number(maxCost) * 1e12),
          seed,
          permission: isKeys ? new ModelPermission(policy) : null,
        },
      );
      const { targets, refused } = await told(wish);
      const places = [...made.targets, ...made.leftOut].map((planned) => [
        planned.target.name,
        planned.leftOut,
        planned.group,
      ]);
      const at = `state ${state}: ${JSON.stringify(wish).slice(0, 200)}`;
      expect(
        targets.map((row) => [row.name, row.left_out, row.fallback]),
        at,
      ).toEqual(places);
      expect(refused === null, at).toBe(made.targets.length > 0);
    }
  }, 600_000);

  test('tells a key’s budgets and limits as the workers have them, and whether each target has room', async () => {
    const nano = 1_000_000_000;
    const table = new BudgetTable(view.memory.budgets, 0);
    const { day } = new BudgetCalendar('UTC').at(Date.now());
    table.restore(rowName('key 1/7 day'), day, 10 * nano, 4 * nano, 0);
    const body = {
      model: 'ordered',
      max_tokens: 10,
      messages: [{ role: 'user', content: 'Hello' }],
    };
    const { budgets, limits } = await told({ model: 'openai/gpt-5-mini', key: '7', body });
    expect(budgets.join('\n')).toContain('$4 of $10 a day spent, $6 left (on this node, now)');
    expect(budgets.join('\n')).toContain('would be reserved, which there is');
    expect(limits.join('\n')).toContain('60 of 60 requests a minute left');
    table.settle(rowName('key 1/7 day'), table.find(rowName('key 1/7 day')), day, 0, 6 * nano);
    const spent = await told({ model: 'openai/gpt-5-mini', key: '7', body });
    expect(spent.budgets.join('\n')).toContain('402 budget_exceeded');
    // It was asked, and nothing was taken.
    expect(table.peek(rowName('key 1/7 day'), table.find(rowName('key 1/7 day')))).toMatchObject({
      spent: 10 * nano,
      reserved: 0,
    });
  });

  test('says what a name that is nothing is near to, and where a plain one goes', async () => {
    expect(await told({ model: 'opanai/gpt-5' })).toMatchObject({
      kind: 'unknown',
      refused: { status: 404, code: 'unknown_model' },
      targets: [],
    });
    const plain = await told({ model: 'gpt-5-mini' });
    expect(plain).toMatchObject({ kind: 'plain', refused: null });
    expect(plain.notes.join(' ')).toContain('openai/gpt-5-mini, the body as it came');
  });

  test('goes by the path that is said: what its body alone would be taken for is planned as something else', async () => {
    const body = { model: 'openai/text-embedding-3-small', input: 'Hello' };
    // A text alone may be a response's as well as an embedding's.
    const model = 'anthropic/claude-haiku-4-5';
    const taken = await toldAfresh({ model, body });
    const vectors = await toldAfresh({ model, body, path: '/v1/embeddings' });
    expect([taken.refused, vectors.refused]).toMatchObject([null, { code: 'no_target' }]);
    await expect(told({ model: 'ordered', path: '/v1/audio' })).rejects.toMatchObject({
      code: 'malformed',
    });
  });

  test('says that a target is passed over which would lose something, when nothing may be lost', async () => {
    const body = {
      model: 'anthropic/claude-haiku-4-5',
      messages: [{ role: 'user', content: 'Hello' }],
      logit_bias: { '1': 5 },
      max_tokens: 5,
    };
    const model = 'anthropic/claude-haiku-4-5';
    const said = async (further: object) =>
      (await toldAfresh({ model, body, ...further })).targets[0]?.translation;
    expect(await said({})).toBe('translated without logit_bias');
    expect(await said({ strict: true })).toBe('passed over: strict, and it would lose logit_bias');
  });

  test('a caller that is held to tenants asks for keys of theirs alone', async () => {
    const own = { caller: viewerOf('1') };
    expect((await told({ model: 'ordered', key: '7' }, own)).kind).toBe('route');
    await expect(told({ model: 'ordered' }, own)).rejects.toMatchObject({ code: 'malformed' });
    await expect(
      told({ model: 'ordered', key: '7' }, { caller: viewerOf('2') }),
    ).rejects.toMatchObject({ code: 'not_found' });
    // Whose a key is that is written down, nobody else says.
    await expect(
      told({ model: 'ordered', key: '7', tenant: '2' }, { caller: viewerOf('2') }),
    ).rejects.toMatchObject({ code: 'not_found' });
    expect((await told({ model: 'ordered', key: '8', tenant: '1' }, own)).kind).toBe('route');
    await expect(told({ model: 'ordered', key: '8' })).rejects.toMatchObject({ code: 'malformed' });
  });
});
