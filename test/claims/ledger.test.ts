import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startMock } from '../../src/mock/server.ts';
import { until } from '../support/conditions.ts';
import { type Gateway, sluice, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';

const KEY = token({ keyId: 7n });
const OTHER = token({ tenantId: 43n, keyId: 8n });

let mock: Awaited<ReturnType<typeof startMock>>;
let folder: string;
let gateway: Gateway;

const config = (more = ''): string =>
  `data_dir = "${folder}"\n${more}[provider_authorities]\nopenai = "${mock.origin}"\n` +
  poolKeys({ openai: 'sk-pool' }) +
  signingKeys();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-ledger-'));
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  gateway = await startGateway({ config: config() });
});
afterAll(async () => {
  await gateway.stop();
  await mock.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Requests that have a fact. */
let asked = 0;

/** @returns the request's id */
async function ask(key: string, model: string, stream = false): Promise<string> {
  const response = await fetch(`${gateway.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream, messages: [{ role: 'user', content: 'Hello' }] }),
  });
  await response.arrayBuffer();
  asked++;
  return response.headers.get('x-sluice-request-id') ?? '';
}

async function recalled(
  key: string,
  id: string,
  fields: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const response = await fetch(`${gateway.origin}/sluice/requests/${id}`, {
    headers: { authorization: `Bearer ${key}`, ...fields },
  });
  const body = (await response.json()) as Readonly<Record<string, unknown>>;
  return { status: response.status, body };
}

interface Row {
  readonly requests: number;
  readonly cost_usd: string | null;
  readonly unpriced: number;
}

function usage(...argv: readonly string[]): readonly (Row & Readonly<Record<string, unknown>>)[] {
  const env = { AI_DATA_DIR: folder };
  const { status, stdout, stderr } = sluice(['usage', '--json', ...argv], { env });
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as readonly (Row & Readonly<Record<string, unknown>>)[];
}

const requestsOf = (rows: readonly Row[]): number =>
  rows.reduce((sum, { requests }) => sum + requests, 0);

/** As many requests as there are facts are in the ledger. */
async function kept(count: number): Promise<void> {
  await until('the facts', () => facts(gateway).length === count);
  await until('the ledger', async () => {
    const metrics = await gateway.metrics();
    return metrics.get('ai_ledger_facts_total') === count;
  });
}

describe('a gateway with data_dir', () => {
  test('tells beside its work what each key used and what that cost, exactly', async () => {
    for (let n = 0; n < 6; n++) await ask(KEY, 'gpt-5-mini');
    await ask(OTHER, 'gpt-5-mini');
    await ask(OTHER, 'nobody-knows-this-one');
    await kept(8);
    const told = facts(gateway);
    const costOf = (tenant: string): bigint =>
      told
        .filter((fact) => fact['tenant_id'] === tenant && fact['cost_usd'] !== null)
        .reduce((sum, { cost_usd: usd }) => sum + pico(String(usd)), 0n);
    const rows = usage('--by', 'key');
    const row = (tenant: string) => rows.find((one) => one['tenant'] === tenant);
    expect(row('42')).toMatchObject({ key: '7', requests: 6, unpriced: 0 });
    expect(row('43')).toMatchObject({ key: '8', requests: 2, unpriced: 1 });
    expect(pico(String(row('42')?.cost_usd))).toBe(costOf('42'));
    expect(pico(String(row('43')?.cost_usd))).toBe(costOf('43'));
    expect(costOf('42')).toBeGreaterThan(0n);
    const models = usage('--by', 'model');
    expect(models.find(({ unpriced }) => unpriced === 1)?.cost_usd).toBeNull();
    expect(requestsOf(usage('--by', 'day', '--zone', 'Asia/Kathmandu'))).toBe(8);
  });

  test.each([
    false,
    true,
  ])('tells a key what its own request was and cost (stream: %j)', async (stream) => {
    const id = await ask(KEY, 'gpt-5-mini', stream);
    // Another worker's fact takes 10 ms to leave it.
    const { body } = await until('the fact', async () => {
      const answer = await recalled(KEY, id);
      return answer.status === 200 && answer;
    });
    const fact = await until('its line', () =>
      facts(gateway).find((one) => one['request_id'] === id),
    );
    expect(body).toEqual({
      object: 'request',
      id,
      complete: true,
      cost_usd: fact['cost_usd'],
      unpriced: 0,
      attempts: [fact],
    });
  });

  test('tells nobody of the request of another key, nor whether there is one', async () => {
    const id = await ask(KEY, 'gpt-5-mini');
    await kept(asked);
    const sameKeyElsewhere = token({ tenantId: 43n, keyId: 7n });
    const otherKeyHere = token({ keyId: 9n });
    const older = token();
    const answers = await Promise.all(
      [OTHER, sameKeyElsewhere, otherKeyHere, older].map((key) => recalled(key, id)),
    );
    const nothing = await recalled(OTHER, 'req_00000000000000000000abcd');
    expect(nothing.body).toMatchObject({ error: { code: 'state_not_found' } });
    for (const answer of answers) {
      expect(answer.status).toBe(404);
      expect({ ...answer.body, request_id: 0 }).toEqual({ ...nothing.body, request_id: 0 });
    }
    for (const odd of ['', 'a/b', '%2e%2e', 'x'.repeat(65), "'%20or%201=1"])
      expect((await recalled(KEY, odd)).status).toBe(404);
    const anthropic = await recalled(OTHER, id, { 'anthropic-version': '2023-06-01' });
    expect(anthropic.body).toMatchObject({ type: 'error' });
  });

  test('answers each of a hundred who ask at once, if only that it is busy', async () => {
    const id = await ask(KEY, 'gpt-5-mini');
    await kept(asked);
    const answers = await Promise.all(Array.from({ length: 100 }, () => recalled(KEY, id)));
    const statuses = new Set(answers.map(({ status }) => status));
    expect(statuses.has(200)).toBe(true);
    for (const status of statuses) expect([200, 503]).toContain(status);
    const metrics = await gateway.idle();
    expect(metrics.get('ai_rejections_total{reason="internal_error"}')).toBe(0);
  });

  test('says "unpriced (1)" where a cost is not known, and never 0', () => {
    const { stdout } = sluice(['usage', '--by', 'model'], { env: { AI_DATA_DIR: folder } });
    const line = stdout.split('\n').find((one) => one.includes('nobody-knows'));
    expect(line).toMatch(/ {2}unpriced \(1\)$/);
  });

  test('has after kill -9 what it had said to be kept, and takes up where it was', async () => {
    await kept(asked);
    await gateway.stop();
    expect(requestsOf(usage())).toBe(asked);
    gateway = await startGateway({ config: config() });
    await ask(KEY, 'gpt-5-mini');
    await kept(1);
    expect(requestsOf(usage())).toBe(asked);
  });

  test('keeps everything when it is told to stop', async () => {
    for (let n = 0; n < 3; n++) await ask(KEY, 'gpt-5-mini');
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
    expect(requestsOf(usage())).toBe(asked);
    gateway = await startGateway({ config: config() });
  });

  test('with ledger = false keeps nothing', async () => {
    const own = await startGateway({ config: config('ledger = false\n') });
    try {
      expect((await own.metrics()).has('ai_ledger_up')).toBe(false);
      expect((await gateway.metrics()).has('ai_ledger_up')).toBe(true);
    } finally {
      await own.stop();
    }
  });

  test('whose folder another one writes serves, and its facts wait for their turn', async () => {
    const second = await startGateway({ config: config() });
    try {
      await second.waitForLog(({ event }) => event === 'ledger_failed');
      const before = requestsOf(usage());
      expect(before).toBe(asked);
      const first = gateway;
      gateway = second;
      await ask(KEY, 'gpt-5-mini');
      await until('the fact', () => facts(second).length === 1);
      expect((await second.metrics()).get('ai_ledger_facts_total')).toBe(0);
      first.signal('SIGTERM');
      await first.exited;
      await second.waitForLog(({ event }) => event === 'ledger_recovered');
      await kept(1);
      expect(requestsOf(usage())).toBe(before + 1);
    } finally {
      if (gateway !== second) await second.stop();
    }
  });
});

describe('sluice usage', () => {
  test('without a ledger says what makes one', () => {
    expect(sluice(['usage']).stderr).toContain('There is no ledger: set data_dir');
    const empty = mkdtempSync(join(tmpdir(), 'sluice-ledger-'));
    const { stderr } = sluice(['usage'], { env: { AI_DATA_DIR: empty } });
    expect(stderr).toContain(`There is no ledger in ${empty} yet`);
    rmSync(empty, { recursive: true });
  });
});

function pico(usd: string): bigint {
  const [whole = '', fraction = ''] = usd.split('.');
  return BigInt(whole + fraction.padEnd(12, '0'));
}
