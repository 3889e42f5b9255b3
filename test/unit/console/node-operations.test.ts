import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { BudgetCalendar } from '../../../src/budget/budget-calendar.ts';
import { BudgetTable, NO_ROW, rowName } from '../../../src/budget/budget-table.ts';
import type { GatewayView } from '../../../src/console/gateway-view.ts';
import { KnownEntries } from '../../../src/console/known-entries.ts';
import { LivePlans } from '../../../src/console/live-plans.ts';
import type { Operation } from '../../../src/console/operation.ts';
import { configOperations } from '../../../src/console/operations/config-operations.ts';
import { providerOperations } from '../../../src/console/operations/provider-operations.ts';
import { MET_MAX, purseOperations } from '../../../src/console/operations/purse-operations.ts';
import type {
  BUDGETS_PAGE,
  CONFIG,
  LIMITS_PAGE,
  PROVIDERS_PAGE,
} from '../../../src/console/shapes.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { LimitTable, monotonicUs } from '../../../src/policy/limit-table.ts';
import { called, gatewayView, pastOf, viewerOf } from '../../support/console.ts';
import { linesOf, requestIdOf } from '../../support/facts.ts';

/** The middle of a day, and of a month. */
const NOON = Date.parse('2026-11-15T12:00:00Z');

const FILE = `
log_level = "warn"

[pool_keys]
openai = ["sk-test-0123456789abcdefWXYZ", "sk-test-0123456789abcdef1234"]

[routes.chat]
targets = ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]

[policies.agents]
rpm = 60
max_in_flight = 4
budget_usd_per_day = 10

[policies.team]
budget_usd_per_month = 100
mode = "warn"

[keys.7]
name = "seven"
tenant = "1"
policy = "agents"

[tenants.1]
policy = "team"

[limits]
rpm = 600

[limits.models."openai/gpt-5-mini"]
tpm = 1000
`;

let folder: string;
let config: string;
let view: GatewayView;
let live: LivePlans;
let operations: readonly Operation[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-node-'));
  config = join(folder, 'config.toml');
  writeFileSync(config, `data_dir = ${JSON.stringify(folder)}\n${FILE}`);
  view = gatewayView(config, { now: () => NOON });
  live = new LivePlans(view);
  operations = [
    ...providerOperations(view, live, pastOf(view)),
    ...purseOperations(view, pastOf(view)),
    ...configOperations(view, new KnownEntries(view)),
  ];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const call = (id: string, said: Parameters<typeof called>[2] = {}) => called(operations, id, said);

/** Somebody used a key an hour ago. */
function use(tenantId: string, keyId: string): void {
  const ledger = new SqliteLedger(folder);
  const said = { timeMs: NOON - 3_600_000, tenantId, keyId, provider: 'openai' };
  ledger.add(
    linesOf(
      [1, 2, 3].map((at) => ({
        ...said,
        requestId: requestIdOf(at),
        status: at === 3 ? 429 : 200,
      })),
    ),
  );
  ledger.close();
}

describe('providers', () => {
  const rows = async () => ((await call('providers')).body as z.output<typeof PROVIDERS_PAGE>).rows;

  test('each is told with its targets, what its attempts came to, and of its keys four characters', async () => {
    use('1', '7');
    const openai = (await rows()).find(({ name }) => name === 'openai');
    expect(openai).toMatchObject({
      origin: 'https://api.openai.com:443',
      auth: 'bearer',
      keys: [
        { last4: 'WXYZ', rests_ms: 0 },
        { last4: '1234', rests_ms: 0 },
      ],
      state: 'closed',
      targets: [{ name: 'openai/gpt-5-mini', state: 'closed' }],
      statuses: { 200: 2, 429: 1 },
      attempts: 3,
    });
    expect(JSON.stringify(await rows())).not.toContain('0123456789');
  });

  test('an open breaker and a key that rests are told, until an operator says that they are well', async () => {
    const { plans } = live.now;
    const target = plans.table.target('openai/gpt-5-mini');
    if (target === null) throw new Error('there is no such target');
    const fail = (failure: {
      readonly reason: 'server_error' | 'auth';
      readonly blames: 'target' | 'key';
    }) => {
      const trial = plans.planner.enter(target, [], 0);
      if (trial !== null) plans.planner.failed(trial, failure as never, null);
    };
    fail({ reason: 'auth', blames: 'key' });
    for (let times = 0; times < 50; times++) fail({ reason: 'server_error', blames: 'target' });
    const [openai] = (await rows()).filter(({ name }) => name === 'openai');
    expect(openai?.targets[0]).toMatchObject({ state: 'open' });
    expect(openai?.keys.filter(({ rests_ms: ms }) => ms > 0)).toHaveLength(1);
    expect(
      (await call('resetTarget', { path: { name: 'openai/gpt-5-mini' }, body: {} })).status,
    ).toBe(204);
    const [closed] = (await rows()).filter(({ name }) => name === 'openai');
    expect(closed?.targets[0]).toMatchObject({ state: 'closed', wait_ms: 0 });
    await call('resetProvider', { path: { name: 'openai' }, body: { reason: 'it is well' } });
    const [awake] = (await rows()).filter(({ name }) => name === 'openai');
    expect(awake?.keys.filter(({ rests_ms: ms }) => ms > 0)).toEqual([]);
  });

  test.each([
    ['resetProvider', 'nobody'],
    ['resetTarget', 'nobody/at-all'],
  ])('%s of what is not there is told so', async (id, name) => {
    await expect(call(id, { path: { name }, body: {} })).rejects.toMatchObject({
      code: 'not_found',
    });
  });
});

describe('budgets', () => {
  const rows = async (said = {}) =>
    ((await call('budgets', said)).body as z.output<typeof BUDGETS_PAGE>).rows;

  test('those of keys and tenants are told as the workers have them, nearest to their end first', async () => {
    const table = new BudgetTable(view.memory.budgets, 0);
    const { day, month } = new BudgetCalendar('UTC').at(NOON);
    const nano = 1_000_000_000;
    table.restore(rowName('key 1/7 day'), day, 10 * nano, 4 * nano, 0);
    table.restore(rowName('tenant 1 month'), month, 100 * nano, 50 * nano, 0);
    const claim = {
      name: rowName('key 1/7 day'),
      row: NO_ROW,
      label: day,
      limit: 10 * nano,
      enforced: true,
    };
    expect(table.reserve([claim], nano)).toMatchObject({ kind: 'taken' });
    expect(await rows()).toEqual([
      {
        scope: 'key',
        id: '7',
        name: 'seven',
        window: 'day',
        mode: 'enforce',
        limit_usd: '10',
        spent_usd: '4',
        reserved_usd: '1',
        left_usd: '5',
        begins: '2026-11-15T00:00:00.000Z',
        renews: '2026-11-16T00:00:00.000Z',
        // Half of the day is over.
        projected_usd: '8',
      },
      expect.objectContaining({
        scope: 'tenant',
        id: '1',
        window: 'month',
        mode: 'warn',
        left_usd: '50',
        begins: '2026-11-01T00:00:00.000Z',
        renews: '2026-12-01T00:00:00.000Z',
      }),
    ]);
  });

  test('a key of another tenant with the same id is not called by the name of the one that is written down', async () => {
    use('3', '7');
    const told = await rows({ caller: viewerOf('3') });
    expect(told.map(({ id, name }) => [id, name])).toContainEqual(['7', null]);
    expect(JSON.stringify(told)).not.toContain('seven');
  });

  test('one of which nothing was used is whole, and another tenant’s is told to nobody else', async () => {
    expect((await rows()).map(({ id, left_usd: left }) => [id, left])).toContainEqual(['7', '10']);
    expect(await rows({ caller: viewerOf('2') })).toEqual([]);
  });
});

describe('limits', () => {
  const rows = async (said = {}) =>
    ((await call('limits', said)).body as z.output<typeof LIMITS_PAGE>).rows;

  test('what is left of each is told as the workers have it, also of a key that nobody wrote down', async () => {
    writeFileSync(
      config,
      `data_dir = ${JSON.stringify(folder)}\n${FILE}\n[policies.default]\nrpm = 10\n`,
    );
    view = gatewayView(config, { now: () => NOON });
    operations = purseOperations(view, pastOf(view));
    use('3', '99');
    const table = new LimitTable(view.memory.limits, 0);
    const row = table.place('key 3 99');
    const nowUs = monotonicUs();
    // Four of ten a minute.
    for (let times = 0; times < 4; times++) table.take(row, 'requests', nowUs, 6_000_000);
    table.enter(table.place('key 1 7'), 0);
    const all = await rows();
    expect(all).toContainEqual(
      expect.objectContaining({ scope: 'key', id: '99', unit: 'requests', limit: 10, left: 6 }),
    );
    expect(all).toContainEqual({
      scope: 'key',
      id: '7',
      unit: 'in_flight',
      limit: 4,
      left: 3,
      full_in_ms: 0,
    });
    expect(all).toContainEqual({
      scope: 'gateway',
      id: '',
      unit: 'requests',
      limit: 600,
      left: 600,
      full_in_ms: 0,
    });
    expect(all).toContainEqual({
      scope: 'model',
      id: 'openai/gpt-5-mini',
      unit: 'tokens',
      limit: 1_000,
      left: 1_000,
      full_in_ms: 0,
    });
  });

  test('whoever is held to tenants is told of their keys, however many dearer ones others have', async () => {
    writeFileSync(
      config,
      `data_dir = ${JSON.stringify(folder)}\n${FILE}\n[policies.default]\nrpm = 10\n`,
    );
    view = gatewayView(config, { now: () => NOON });
    operations = purseOperations(view, pastOf(view));
    const ledger = new SqliteLedger(folder);
    const timeMs = NOON - 3_600_000;
    const others = Array.from({ length: MET_MAX }, (_, at) => ({
      timeMs,
      tenantId: '2',
      keyId: String(at + 100),
      requestId: requestIdOf(at),
      cost: '1',
    }));
    const own = { timeMs, tenantId: '3', keyId: '99', requestId: requestIdOf(MET_MAX), cost: '0' };
    ledger.add(linesOf([...others, own]));
    ledger.close();
    const ids = (await rows({ caller: viewerOf('3') })).map(({ id }) => id);
    expect(ids).toContain('99');
  });

  test('whoever is held to tenants is told of theirs alone, and of nothing that all share', async () => {
    const scopes = (await rows({ caller: viewerOf('1') })).map(({ scope, id }) => `${scope} ${id}`);
    expect(new Set(scopes)).toEqual(new Set(['key 7']));
    expect(await rows({ caller: viewerOf('2') })).toEqual([]);
  });
});

describe('the configuration', () => {
  const page = async () => (await call('config')).body as z.output<typeof CONFIG>;

  test('is told with who says what, and without a secret', async () => {
    const { effective, origins, pending, refused } = await page();
    expect(effective).toContain('log_level = "warn"');
    expect(origins).toContainEqual({
      key: 'log_level',
      value: 'warn',
      origin: config,
      place: null,
    });
    expect(JSON.stringify([effective, origins])).not.toContain('0123456789abcdef');
    expect([pending, refused]).toEqual([[], []]);
  });

  test('what the file says now and what runs does not is told, also that a pool key is another one', async () => {
    const next = FILE.replace('log_level = "warn"', 'log_level = "info"')
      .replace('WXYZ', 'ABCD')
      .replace('rpm = 60\n', 'rpm = 61\n');
    writeFileSync(config, `data_dir = ${JSON.stringify(folder)}\n${next}`);
    const { pending } = await page();
    expect(pending).toEqual([
      { key: 'log_level', running: '"warn"', file: '"info"' },
      { key: 'policies.agents.rpm', running: '60', file: '61' },
      { key: 'pool_keys.openai', running: '***', file: '*** (another one)' },
    ]);
  });

  test('a file that is not valid is told as what is refused, and what runs is told all the same', async () => {
    await page();
    writeFileSync(config, 'log_level = "loud"\n');
    const { effective, refused } = await page();
    expect(effective).toContain('log_level = "warn"');
    expect(refused.map(({ key }) => key)).toContainEqual(expect.stringContaining('log_level'));
  });
});
