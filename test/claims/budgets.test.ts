import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { sluice } from '../support/gateway.ts';
import { token } from '../support/managed.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  answers,
  EVENTS,
  type RoutedScene,
  resets,
  silent,
  stallsBehind,
  startRoutedScene,
} from '../support/routed-scene.ts';
import { ResponseAccounts } from '../support/stored-responses.ts';

/** A thousandth of a dollar for a token out, a millionth for one in; and ten times as much. */
const PRICES = `[prices."openai/m"]
input = "1"
output = "1000"
[prices."groq/dear"]
input = "10"
output = "10000"
[prices."anthropic/m"]
input = "1"
output = "1000"
[prices."groq/small"]
input = "0"
output = "1"
`;

const POLICIES = `[policies.day]
budget_usd_per_day = "0.25"
[policies.free]
budget_usd_per_day = 100
[policies.month]
budget_usd_per_month = 0.3
[policies.soft]
budget_usd_per_day = 0.05
mode = "warn"
[policies.off]
budget_usd_per_day = 0.05
rpm = 1
max_cost_per_request_usd = "0.01"
identical_rpm = 1
mode = "off"
[policies.watched]
budget_usd_per_day = 0.05
mode = "warn"
[policies.shared-instead]
budget_usd_per_day = "0.25"
on_exceeded = "small"
[policies.each]
max_cost_per_request_usd = "0.1"
[policies.tokens]
budget_usd_per_day = 1
unpriced = "tokens"
[policies.instead]
budget_usd_per_day = "0.25"
on_exceeded = "small"
[policies.elsewhere]
models = ["openai/*", "chain"]
budget_usd_per_day = "0.25"
on_exceeded = "small"
[policies.strict]
budget_usd_per_day = 100
budget_estimate = "strict"
[tenants.50]
policy = "month"
[tenants.51]
policy = "watched"
[tenants.52]
policy = "shared-instead"
[tenants.53]
policy = "day"
[routes.small]
targets = ["groq/small"]
[routes.auto]
targets = ["groq/small"]
[routes.dear-first]
targets = ["groq/dear"]
fallbacks = ["openai/m"]
[routes.chain]
targets = ["openai/m"]
fallbacks = ["groq/dear"]
retries = 0
`;

const keys = (ids: Readonly<Record<string, string>>): string =>
  Object.entries(ids)
    .map(([id, policy]) => `[keys.${id}]\npolicy = "${policy}"\n`)
    .join('');

const usage = (input: number, output: number): string =>
  JSON.stringify({
    id: 'c',
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: 'w' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: input, completion_tokens: output, total_tokens: input + output },
  });

const MESSAGE = JSON.stringify({
  id: 'm',
  type: 'message',
  role: 'assistant',
  model: 'm',
  content: [{ type: 'text', text: 'hi' }],
  usage: { input_tokens: 10, output_tokens: 50 },
});

const folder = mkdtempSync(join(tmpdir(), 'sluice-budgets-'));
let scene: RoutedScene;
let url: string;
/** A key that no other test spends of. */
let nextId = 100n;
const OWN: Record<string, string> = {};
for (let id = 100; id < 140; id++) OWN[id] = 'day';
let config = `rate_limit_rps = 0\ndata_dir = ${JSON.stringify(folder)}\n${PRICES}${POLICIES}${keys({
  1: 'free',
  2: 'soft',
  3: 'each',
  4: 'tokens',
  5: 'instead',
  6: 'instead',
  7: 'elsewhere',
  8: 'strict',
  12: 'off',
  11: 'day',
  ...OWN,
})}`;

const hooked: Record<string, unknown>[] = [];
const hook = createServer((request, response) => {
  let text = '';
  request.on('data', (piece: Buffer) => {
    text += piece.toString();
  });
  request.on('end', () => {
    hooked.push(JSON.parse(text));
    response.end();
  });
});

beforeAll(async () => {
  await new Promise<void>((resolve) => hook.listen(0, '127.0.0.1', resolve));
  const { port } = hook.address() as AddressInfo;
  config = `budget_webhook_url = "http://127.0.0.1:${port}/hook"\n${config}`;
  scene = await startRoutedScene(['openai', 'groq', 'anthropic'], config, {}, 2);
  url = scene.gateway.origin;
});
afterAll(async () => {
  await scene.stop();
  hook.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() =>
  scene.plays({
    openai: answers(200, usage(10, 50)),
    groq: answers(200, usage(10, 50)),
    anthropic: answers(200, MESSAGE),
  }),
);

const fresh = (): string => token({ keyId: nextId++ });

async function post(
  key: string,
  {
    path = '/v1/chat/completions',
    model = 'm',
    max = 100,
    more = {},
  }: { path?: string; model?: string; max?: number | null; more?: object } = {},
) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      // A connection each, so that both workers are asked.
      connection: 'close',
    },
    body: JSON.stringify({
      model,
      ...(max === null ? {} : { max_tokens: max }),
      messages: [{ role: 'user', content: 'hi' }],
      ...more,
    }),
  });
  const text = await response.text();
  return { status: response.status, fields: response.headers, text, error: errorOf(text) };
}

function errorOf(text: string): Record<string, unknown> {
  try {
    return (JSON.parse(text) as { error?: Record<string, unknown> }).error ?? {};
  } catch {
    return {};
  }
}

/** What the last refusal says of the budget. */
const budgetOf = (error: Record<string, unknown>) =>
  error['budget'] as Readonly<Record<string, string>>;

/** Spends as long as it can, and says how a budget stood when it could not. */
async function spentOf(key: string): Promise<Readonly<Record<string, string>>> {
  const { error } = await post(key, { max: 1_000_000 });
  return budgetOf(error);
}

/** An answer is settled a moment behind its last byte: the next request may come to another worker before. */
async function settled(key: string): Promise<void> {
  await until('nothing to be reserved', async () => {
    const headers = { authorization: `Bearer ${key}` };
    const page = await (await fetch(`${url}/sluice/budget`, { headers })).json();
    const { budgets } = page as { readonly budgets: readonly { readonly reserved_usd: string }[] };
    return budgets.every(({ reserved_usd: reserved }) => reserved === '0');
  });
}

describe.each([
  [
    'routed',
    '/v1/chat/completions',
    /^The budget of this gateway key is used up. Of \$0.25 a day for this key, \$0.15003 is spent; this request may cost \$0.100\d+. It renews at \d{4}-\d\d-\d\dT00:00:00.000Z. There is room for it at groq\/small, where it may cost \$0.0001\d*.$/,
    { model: 'groq/small', asked_usd: '0.0001' },
  ],
  // Its path names the provider: nothing else that there is of it is cheaper.
  [
    'relay',
    '/openai/v1/chat/completions',
    /^The budget of this gateway key is used up. Of \$0.25 a day for this key, \$0.15003 is spent; this request may cost \$0.100\d+. It renews at \d{4}-\d\d-\d\dT00:00:00.000Z.$/,
    null,
  ],
] as const)('budgets on the %s lane', (_lane, path, wayOut, alternative) => {
  test('what is left decides, what was reserved too much is given back, and the refusal says all of it', async () => {
    const key = fresh();
    // $0.1008 is reserved for each, $0.05001 spent: with 0.25 the third still fits, the fourth does not.
    for (let at = 0; at < 3; at++) {
      expect((await post(key, { path })).status).toBe(200);
      await settled(key);
    }
    const asked = scene.asked['openai'];
    const { status, error, fields } = await post(key, { path });
    expect(status).toBe(402);
    expect(fields.get('x-should-retry')).toBe('false');
    expect(fields.get('retry-after')).toBeNull();
    expect(error).toMatchObject({
      code: 'budget_exceeded',
      type: 'insufficient_quota',
      message: expect.stringMatching(wayOut),
      budget: {
        scope: 'key',
        window: 'day',
        limit_usd: '0.25',
        spent_usd: '0.15003',
        reason: 'spent',
        alternative,
      },
    });
    // Nothing of it went to the provider, and a smaller one is served.
    expect(scene.asked['openai']).toBe(asked);
    expect((await post(key, { path, max: 50 })).status).toBe(200);
  });

  test('of 30 at once no more are let through than fit, over both workers', async () => {
    const key = fresh();
    scene.plays({ openai: answers(200, usage(10, 100)) });
    const came = await Promise.all(Array.from({ length: 30 }, () => post(key, { path })));
    const served = came.filter(({ status }) => status === 200).length;
    // Each costs 0.10001 at last: two fit 0.25.
    expect(served).toBe(2);
    expect((await spentOf(key))['spent_usd']).toBe('0.20002');
  });

  test('without max_tokens a whole answer of 8,192 tokens is reserved', async () => {
    const { status, error } = await post(fresh(), { path, max: null });
    expect([status, error['code']]).toEqual([402, 'budget_exceeded']);
    expect(Number(budgetOf(error)['asked_usd'])).toBeCloseTo(8.193, 2);
    const several = await post(fresh(), { path, max: 100, more: { n: 3 } });
    expect(Number(budgetOf(several.error)['asked_usd'])).toBeCloseTo(0.3008, 3);
  });

  test('an error before any answer costs nothing', async () => {
    const key = fresh();
    scene.plays({ openai: answers(500, '{"error":{"message":"no"}}') });
    await post(key, { path });
    scene.plays({ openai: answers(200, usage(10, 50)) });
    expect((await spentOf(key))['spent_usd']).toBe('0');
  });

  test('a client that leaves in the middle pays for what can have been written, and what it had reserved is free again', async () => {
    const key = fresh();
    scene.plays({
      openai: stallsBehind(EVENTS.chat.opening, EVENTS.chat.word('twelve bytes')),
    });
    const leaves = new AbortController();
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      signal: leaves.signal,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'm', max_tokens: 200, stream: true, messages: [] }),
    });
    await response.body?.getReader().read();
    expect((await spentOf(key))['reserved_usd']).not.toBe('0');
    leaves.abort();
    const left = await until('it is settled', async () => {
      const budget = await spentOf(key);
      return budget['reserved_usd'] === '0' && budget;
    });
    // Twelve bytes are six tokens at most, and the prompt is a few.
    expect(Number(left['spent_usd'])).toBeGreaterThanOrEqual(0.006);
    expect(Number(left['spent_usd'])).toBeLessThan(0.0065);
  });

  test('a model without a price is refused, or let through where the policy says so', async () => {
    const denied = await post(fresh(), { path, model: 'nobody-knows' });
    expect([denied.status, denied.error['code']]).toEqual([400, 'unpriced_model']);
    expect((await post(token({ keyId: 4n }), { path, model: 'nobody-knows' })).status).toBe(200);
  });

  test('a single request may cost no more than the policy says', async () => {
    const key = token({ keyId: 3n });
    expect((await post(key, { path, max: 99 })).status).toBe(200);
    const { status, error, fields } = await post(key, { path, max: 101 });
    expect([status, error['code']]).toEqual([402, 'cost_limit']);
    expect(fields.get('x-should-retry')).toBe('false');
  });
});

describe('budgets', () => {
  test('a tenant’s month counts over all its keys, on top of each key’s own', async () => {
    const first = token({ tenantId: 50n, keyId: 1n });
    const second = token({ tenantId: 50n, keyId: 9n });
    for (let at = 0; at < 2; at++) expect((await post(first)).status).toBe(200);
    for (let at = 0; at < 2; at++) expect((await post(second)).status).toBe(200);
    const { status, error } = await post(second);
    expect(status).toBe(402);
    expect(budgetOf(error)).toMatchObject({
      scope: 'tenant',
      window: 'month',
      spent_usd: '0.20004',
      renews_at: expect.stringMatching(/-01T00:00:00.000Z$/),
    });
  });

  test('mode = "warn" serves it, and counts what it would have refused', async () => {
    const key = token({ keyId: 2n });
    for (let at = 0; at < 3; at++) expect((await post(key)).status).toBe(200);
    const metrics = await scene.gateway.metrics();
    const passed = 'ai_budget_passed_total{scope="key",window="day"}';
    expect(metrics.get(passed)).toBe(3);
  });

  test('mode = "off" refuses nothing, counts nothing and shows no budget; its tenant’s holds all the same', async () => {
    const key = token({ keyId: 12n });
    for (let at = 0; at < 3; at++) expect((await post(key, { max: 1_000 })).status).toBe(200);
    const page = await fetch(`${url}/sluice/budget`, {
      headers: { authorization: `Bearer ${key}` },
    });
    expect(await page.json()).toEqual({
      object: 'budget',
      budgets: [],
      max_cost_per_request_usd: null,
    });
    const held = token({ tenantId: 53n, keyId: 12n });
    const { status, error } = await post(held, { max: 1_000 });
    expect([status, budgetOf(error)['scope']]).toEqual([402, 'tenant']);
    const { stdout } = sluice(['check', '--effective', '--config', scene.gateway.file]);
    expect(stdout).toMatch(
      /budget_usd_per_day 0\.05 .*each key by itself; not counted, its mode is off/,
    );
    expect(stdout).toMatch(/mode +off /);
  });

  test('each budget has its own mode: a tenant’s is only watched while each key’s is enforced', async () => {
    const key = token({ tenantId: 51n, keyId: 11n });
    const statuses: number[] = [];
    for (let at = 0; at < 4; at++) {
      const { status, error } = await post(key);
      statuses.push(status);
      if (status === 402) expect(budgetOf(error)).toMatchObject({ scope: 'key' });
      await settled(key);
    }
    expect(statuses).toEqual([200, 200, 200, 402]);
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_budget_passed_total{scope="tenant",window="day"}')).toBe(3);
  });

  test('on_exceeded of a tenant’s policy serves what the tenant’s budget has no room for', async () => {
    const key = token({ tenantId: 52n, keyId: 900n });
    const { status, fields } = await post(key, { max: 1_000 });
    expect([status, fields.get('x-sluice-target')]).toEqual([200, 'groq/small']);
    expect(fields.get('x-sluice-attempts')).toBe('openai/m 402, groq/small 200');
  });

  test('in Anthropic’s dialect a refusal is one of billing', async () => {
    const key = fresh();
    const { text } = await post(key, { path: '/v1/messages', max: 1_000 });
    expect(JSON.parse(text)).toMatchObject({
      type: 'error',
      error: { type: 'billing_error', budget: { scope: 'key', window: 'day' } },
      request_id: expect.stringMatching(/^req_/),
    });
  });

  test('who is refused is told the cheapest model that there is room for, and OpenAI’s SDK is served there', async () => {
    const openai = new OpenAI({ apiKey: fresh(), baseURL: `${url}/v1` });
    const ask = (model: string) =>
      openai.chat.completions.create({
        model,
        max_tokens: 1_000,
        messages: [{ role: 'user', content: 'x' }],
      });
    const why: unknown = await ask('m').catch((error: unknown) => error);
    if (!(why instanceof OpenAI.APIError)) throw why;
    const told = budgetOf(why.error as Record<string, unknown>)['alternative'];
    expect(told).toEqual({ model: 'groq/small', asked_usd: '0.001' });
    expect((await ask('groq/small')).choices).toHaveLength(1);
  });

  test('what is too dear for one request is told the same way out', async () => {
    const { status, error } = await post(token({ keyId: 3n }), { max: 1_000 });
    expect([status, error['code']]).toEqual([402, 'cost_limit']);
    expect(error['message']).toMatch(
      /limit of a request is \$0\.1\. There is room for it at groq\/small, where it may cost \$0\.001\.$/,
    );
  });

  test('OpenAI’s and Anthropic’s SDKs do not try again: one request of each', async () => {
    const key = fresh();
    const openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 5 });
    const anthropic = new Anthropic({ apiKey: key, baseURL: url, maxRetries: 5 });
    const asked = { model: 'm', max_tokens: 1_000, messages: [{ role: 'user', content: 'x' }] };
    const began = performance.now();
    await expect(
      openai.chat.completions.create({ ...asked, messages: [{ role: 'user', content: 'x' }] }),
    ).rejects.toMatchObject({ status: 402, code: 'budget_exceeded' });
    const middle = performance.now();
    await expect(
      anthropic.messages.create({ ...asked, messages: [{ role: 'user', content: 'x' }] }),
    ).rejects.toMatchObject({ status: 402 });
    const ended = performance.now();
    console.info(
      `402 within ${Math.round(middle - began)} ms (openai), ${Math.round(ended - middle)} ms (anthropic)`,
    );
    const lines = await until('both are told', () => {
      const events = scene.gateway
        .events('access')
        .filter(({ key_id }) => key_id === String(nextId - 1n));
      return events.length >= 2 && events;
    });
    expect(lines.map(({ status }) => status)).toEqual([402, 402]);
  });

  test.each([
    [403, OpenAI.PermissionDeniedError],
    [429, OpenAI.RateLimitError],
  ] as const)('budget_status = %i is what a caller is told, in every other respect as ever, and SDKs do not try again', async (status, kind) => {
    const text = readFileSync(scene.gateway.file, 'utf8');
    await scene.gateway.reload(`budget_status = ${status}\n${text}`);
    try {
      const key = fresh();
      const id = String(nextId - 1n);
      const told = await post(key, { max: 1_000 });
      expect([told.status, told.error['code']]).toEqual([status, 'budget_exceeded']);
      expect(budgetOf(told.error)).toMatchObject({ scope: 'key', window: 'day', reason: 'spent' });
      expect(told.fields.get('x-should-retry')).toBe('false');
      expect(told.fields.get('retry-after')).toBeNull();
      const openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 5 });
      await expect(
        openai.chat.completions.create({
          model: 'm',
          max_tokens: 1_000,
          messages: [{ role: 'user', content: 'x' }],
        }),
      ).rejects.toThrow(kind);
      const lines = await until('both are told', () => {
        const own = scene.gateway.events('access').filter(({ key_id }) => key_id === id);
        return own.length >= 2 && own;
      });
      expect(lines.map((line) => line['status'])).toEqual([status, status]);
    } finally {
      await scene.gateway.reload(text);
    }
  });

  test('an answer that is written behind its response holds its reservation until it has ended, and costs what its end says', async () => {
    const accounts = new ResponseAccounts('resp_budget_');
    accounts.looks = 1;
    scene.plays({ openai: accounts.act });
    const [key, other] = [fresh(), fresh()];
    const asked = { model: 'm', input: 'a', max_output_tokens: 100, background: true } as const;
    const [made, lost] = await Promise.all(
      [key, other].map((apiKey) =>
        new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 }).responses.create(asked),
      ),
    );
    expect([made?.status, lost?.status]).toEqual(['queued', 'queued']);
    // Of its end nobody knows.
    accounts.forget(lost?.id ?? '');
    const held = await spentOf(key);
    expect([held['spent_usd'], Number(held['reserved_usd']) > 0.1]).toEqual(['0', true]);
    await Promise.all([settled(key), settled(other)]);
    // 5 tokens in and 2 out, as the provider tells at its end; else all that was reserved.
    expect((await spentOf(key))['spent_usd']).toBe('0.002005');
    expect(Number((await spentOf(other))['spent_usd'])).toBeGreaterThan(0.1);
  });

  test('what is left can be asked for with the key itself, and with no other method', async () => {
    const key = fresh();
    expect((await post(key)).status).toBe(200);
    const ask = (method: string, path = '/sluice/budget') =>
      fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${key}` } });
    const response = await ask('GET');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      object: 'budget',
      budgets: [
        {
          scope: 'key',
          window: 'day',
          period: expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
          limit_usd: '0.25',
          spent_usd: '0.05001',
          reserved_usd: '0',
          left_usd: '0.19999',
          renews_at: expect.stringMatching(/T00:00:00.000Z$/),
          mode: 'enforce',
        },
      ],
      max_cost_per_request_usd: null,
    });
    expect((await ask('POST')).status).toBe(405);
    const unknown = await fetch(`${url}/sluice/budget`, { headers: { authorization: 'Bearer x' } });
    expect(unknown.status).toBe(404);
    const forged = `${key.slice(0, -4)}AAAA`;
    const bad = await fetch(`${url}/sluice/budget`, {
      headers: { authorization: `Bearer ${forged}` },
    });
    expect(bad.status).toBe(401);
  });

  test('sluice explain --key tells what is left and what has room, as a real run finds it', async () => {
    const key = fresh();
    const id = String(nextId - 1n);
    for (let at = 0; at < 3; at++) {
      expect((await post(key)).status).toBe(200);
      await settled(key);
    }
    await until('it is written', () =>
      readFileSync(join(folder, 'budgets'), 'latin1').includes(`key 42/${id} `),
    );
    const explained = (max: number): string => {
      const file = join(folder, 'asked.json');
      const messages = [{ role: 'user', content: 'hi' }];
      writeFileSync(file, JSON.stringify({ model: 'm', max_tokens: max, messages }));
      const whose = ['--key', id, '--tenant', '42', '--body', file];
      return sluice(['explain', 'chain', ...whose, '--config', scene.gateway.file]).stdout;
    };
    const told = await until('all of it is in the journal', () => {
      const text = explained(100);
      return text.includes('$0.15003 of $0.25') && text;
    });
    expect(told).toContain(`key ${id} of tenant 42, class application, policy day`);
    expect(told).toMatch(
      /budget of the key, \d{4}-\d\d-\d\d: .* a day spent, \$0.09997 left \(by the journal\)/,
    );
    expect(told).toMatch(
      / {2}openai\/m: 402 budget_exceeded\. Of \$0.25 a day .* may cost \$0.100\d+/,
    );
    expect((await post(key, { model: 'chain' })).status).toBe(402);
    const fits = explained(50);
    expect(fits).toMatch(/ {2}openai\/m: \$0.050\d+ would be reserved, which there is/);
    expect(fits).toMatch(/ {2}groq\/dear: 402 budget_exceeded/);
    const served = await post(key, { model: 'chain', max: 50 });
    expect([served.status, served.fields.get('x-sluice-target')]).toEqual([200, 'openai/m']);
  });

  test('of a body that streams by, the last piece is not let go: its provider has not all of it, and no fact tells of it', async () => {
    const key = fresh();
    const id = String(nextId - 1n);
    const body = JSON.stringify({
      model: 'm',
      messages: [],
      max_tokens: 5_000,
      more: 'x'.repeat(99),
    });
    const client = new RawClient(scene.gateway.port).send(
      `POST /openai/v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 50)}`,
    );
    const upstream = scene.upstreams['openai'];
    const seen = await until('its beginning is there', () => upstream?.requests.at(-1));
    client.send(body.slice(50));
    const response = await client.response();
    expect([response.status, errorOf(response.body.toString())['code']]).toEqual([
      402,
      'budget_exceeded',
    ]);
    client.close();
    await until('the provider was left', () => seen.peerClosed);
    expect(seen.bodyDone).toBe(false);
    expect(scene.gateway.events('ai.usage').filter(({ key_id }) => key_id === id)).toEqual([]);
  });

  test('G2: what is spent is the sum of the facts, to the nano-dollar', async () => {
    const key = fresh();
    const id = String(nextId - 1n);
    for (const [input, output] of [
      [1, 1],
      [333, 7],
      [12, 40],
    ] as const) {
      scene.plays({ openai: answers(200, usage(input, output)) });
      expect((await post(key, { max: 50 })).status).toBe(200);
    }
    const costs = await until('its facts', () => {
      const own = scene.gateway.events('ai.usage').filter(({ key_id }) => key_id === id);
      return own.length === 3 && own.map(({ cost_usd }) => Number(cost_usd));
    });
    const nano = costs.reduce((sum, usd) => sum + Math.round(usd * 1e9), 0);
    expect(nano).toBe(48_346_000);
    expect((await spentOf(key))['spent_usd']).toBe('0.048346');
  });

  test('warnings go to the log, to a metric and to a webhook, once a window', async () => {
    const key = fresh();
    const id = String(nextId - 1n);
    for (let at = 0; at < 4; at++) await post(key, { max: 70 });
    const told = await until('80 % were told', () => {
      const own = hooked.filter(({ name }) => name === `42/${id}`);
      return own.some(({ percent }) => percent === 80) && own;
    });
    const percents = told.map(({ percent }) => percent);
    expect(percents).toEqual([...new Set(percents)]);
    expect(told.at(-1)).toMatchObject({
      event: 'budget_warning',
      scope: 'key',
      window: 'day',
      percent: 80,
      limit_usd: 0.25,
      spent_usd: 0.20004,
    });
    const lines = scene.gateway.events('budget_warning').filter(({ name }) => name === `42/${id}`);
    expect(lines.map(({ percent }) => percent)).toEqual(percents);
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_budget_warnings_total{percent="80"}')).toBeGreaterThan(0);
  });

  test('G5: of a route’s targets one that is too dear is passed over, and the next one serves', async () => {
    const { status, fields } = await post(fresh(), { model: 'dear-first', max: 100 });
    expect(status).toBe(200);
    expect(fields.get('x-sluice-attempts')).toBe('groq/dear 402, openai/m 200');
    expect(scene.asked).toEqual({ openai: 1 });
    // Nobody is to blame: the breaker of the dear one counts nothing.
    expect(
      (await post(token({ keyId: 1n }), { model: 'dear-first' })).fields.get('x-sluice-target'),
    ).toBe('groq/dear');
  });

  test('G5: a fallback that is ten times as dear does not run where it does not fit', async () => {
    const key = fresh();
    scene.plays({ openai: resets, groq: answers(200, usage(10, 50)) });
    const { status, error } = await post(key, { model: 'chain' });
    expect(scene.asked).toEqual({ openai: 1 });
    expect([status, error['code']]).toEqual([402, 'budget_exceeded']);
    // Small enough for either, it is served by the second.
    scene.plays({ openai: answers(503, '{}'), groq: answers(200, usage(10, 5)) });
    expect((await post(fresh(), { model: 'chain', max: 10 })).status).toBe(200);
    expect(scene.asked).toEqual({ openai: 1, groq: 1 });
  });

  test('G5: the dearest target that may follow is reserved, so that it finds its money there; whoever is answered by the cheap one holds no more than that', async () => {
    const key = fresh();
    const reserved = async (): Promise<number> => {
      const headers = { authorization: `Bearer ${key}` };
      const page = await (await fetch(`${url}/sluice/budget`, { headers })).json();
      const { budgets } = page as { readonly budgets: readonly Readonly<Record<string, string>>[] };
      return Number(budgets[0]?.['reserved_usd']);
    };
    let fails = (): void => {};
    const failed = new Promise<void>((resolve) => {
      fails = resolve;
    });
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await failed;
        turn.reset();
      },
      groq: answers(200, usage(10, 5)),
    });
    const answer = post(key, { model: 'chain', max: 10 });
    try {
      // $0.0108 at the first target, ten times as much at the second.
      await until('the dear one is reserved', async () => (await reserved()) > 0.1);
      // $0.2 would fit beside the first, and not beside the second.
      const other = await post(key, { max: 200 });
      expect([other.status, other.error['code']]).toEqual([402, 'budget_exceeded']);
    } finally {
      fails();
    }
    const { status, fields } = await answer;
    expect([status, fields.get('x-sluice-target')]).toEqual([200, 'groq/dear']);
    await settled(key);
    scene.plays({
      openai: stallsBehind(EVENTS.chat.opening, EVENTS.chat.word('w')),
      groq: answers(200, usage(10, 5)),
    });
    const leaves = new AbortController();
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      signal: leaves.signal,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: JSON.stringify({ model: 'chain', max_tokens: 10, stream: true, messages: [] }),
    });
    try {
      await response.body?.getReader().read();
      const held = await reserved();
      expect(held).toBeGreaterThan(0);
      expect(held).toBeLessThan(0.02);
    } finally {
      leaves.abort();
    }
    await settled(key);
  });

  test('on_exceeded: what a budget has no room for is served by another route, and told as that', async () => {
    const key = token({ keyId: 5n });
    const served = await post(key, { max: 1_000 });
    expect([served.status, served.fields.get('x-sluice-target')]).toEqual([200, 'groq/small']);
    expect(served.fields.get('x-sluice-attempts')).toBe('openai/m 402, groq/small 200');
    // What fits goes where it was to go.
    const small = await post(key, { max: 10 });
    expect(small.fields.get('x-sluice-target')).toBe('openai/m');
    const facts = await until('both facts', () => {
      const own = scene.gateway.events('ai.usage').filter(({ key_id }) => key_id === '5');
      return own.length === 2 && own;
    });
    // Two workers write them, in no order.
    expect(facts.find(({ route }) => route === 'small')).toMatchObject({
      requested_model: 'm',
      target_model: 'groq/small',
      attempt: 2,
    });
    // Nothing is held of what names its provider: it is refused as ever.
    const path = '/openai/v1/chat/completions';
    expect((await post(key, { path, max: 1_000 })).status).toBe(402);
    // The other one has to fit as well.
    expect((await post(key, { max: 1_000_000 })).status).toBe(402);
  });

  test('on_exceeded: attempts behind others have numbers of their own, so that each has its fact', async () => {
    const key = token({ keyId: 6n });
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(EVENTS.chat.opening);
        turn.reset();
      },
      groq: answers(200, usage(10, 5)),
    });
    const { status, fields } = await post(key, { model: 'chain', more: { stream: true } });
    expect(status).toBe(200);
    expect(fields.get('x-sluice-attempts')).toMatch(
      /^openai\/m \w+, groq\/dear 402, groq\/small 200$/,
    );
    const facts = await until('both facts', () => {
      const own = scene.gateway.events('ai.usage').filter(({ key_id }) => key_id === '6');
      return own.length === 2 && own;
    });
    expect(facts.map(({ attempt, final }) => [attempt, final])).toEqual([
      [1, false],
      [3, true],
    ]);
    await settled(key);
  });

  test('on_exceeded: no key is served by what it may not ask for', async () => {
    const { status, error } = await post(token({ keyId: 7n }), { max: 1_000 });
    expect([status, error['code']]).toEqual([402, 'budget_exceeded']);
    expect(scene.asked).toEqual({});
  });

  test('budget_estimate = "strict" reserves what text cannot pass, and refuses what has no bound', async () => {
    const key = token({ keyId: 8n });
    const content = 'x'.repeat(30_000);
    const messages = [{ role: 'user', content }];
    let go = (): void => {};
    const held = new Promise<void>((resolve) => {
      go = resolve;
    });
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await held;
        await answers(200, usage(10, 5))(turn);
      },
      anthropic: answers(200, MESSAGE),
    });
    const answer = post(key, { max: 1, more: { messages } });
    try {
      // $0.001 for the answer, a millionth of a dollar for each byte, and 1,600.
      const reserved = await until('it is reserved', async () => {
        const headers = { authorization: `Bearer ${key}` };
        const page = await (await fetch(`${url}/sluice/budget`, { headers })).json();
        const { budgets } = page as {
          readonly budgets: readonly { readonly reserved_usd: string }[];
        };
        const usd = Number(budgets[0]?.reserved_usd);
        return usd > 0 && usd;
      });
      expect(reserved).toBeGreaterThan(0.001 + 0.0316);
      expect(reserved).toBeLessThan(0.001 + 0.0318);
    } finally {
      go();
    }
    expect((await answer).status).toBe(200);
    const tools = [{ type: 'web_search_20250305', name: 'web_search' }];
    const searching = await post(key, { path: '/v1/messages', max: 1, more: { tools } });
    expect([searching.status, searching.error['code'] ?? searching.error['type']]).toEqual([
      402,
      'billing_error',
    ]);
    expect(searching.text).toContain('max_uses');
    const limited = [{ ...tools[0], max_uses: 1 }];
    const served = await post(key, { path: '/v1/messages', max: 1, more: { tools: limited } });
    expect(served.status).toBe(200);
  });

  test('G8, G4: a changed limit counts for the next request, and a killed gateway has forgotten nothing', async () => {
    const own = mkdtempSync(join(tmpdir(), 'sluice-budgets-'));
    const config = (limit: string): string =>
      `rate_limit_rps = 0\ndata_dir = ${JSON.stringify(own)}\n${PRICES}[policies.day]\nbudget_usd_per_day = ${limit}\n${keys({ 1: 'day' })}`;
    const key = token({ keyId: 1n });
    const first = await startRoutedScene(['openai'], config('0.25'), {}, 1);
    url = first.gateway.origin;
    try {
      first.plays({ openai: answers(200, usage(10, 50)) });
      expect((await post(key)).status).toBe(200);
      expect((await post(key)).status).toBe(200);
      // One look of the keeper is 100 ms: what was settled before it is in the file.
      await until('it is written', () =>
        readFileSync(join(own, 'budgets'), 'latin1').includes(' 100020000 '),
      );
      first.gateway.child.kill('SIGKILL');
      await first.gateway.exited;
      const second = await startRoutedScene(['openai'], config('0.25'), {}, 1);
      url = second.gateway.origin;
      try {
        second.plays({ openai: answers(200, usage(10, 50)) });
        expect(await spentOf(key)).toMatchObject({ spent_usd: '0.10002', reserved_usd: '0' });
        expect((await post(key)).status).toBe(200);
        expect((await post(key)).status).toBe(402);
        const text = readFileSync(second.gateway.file, 'utf8');
        await second.gateway.reload(text.replace('per_day = 0.25', 'per_day = 0.26'));
        expect((await post(key)).status).toBe(200);
        await second.gateway.reload(text.replace('per_day = 0.25', 'per_day = 0.01'));
        expect(await spentOf(key)).toMatchObject({ spent_usd: '0.20004', limit_usd: '0.01' });
      } finally {
        await second.stop();
      }
    } finally {
      await first.stop();
      url = scene.gateway.origin;
      rmSync(own, { recursive: true, force: true });
    }
  });

  test('when all has settled nothing is reserved', async () => {
    scene.plays({ openai: silent });
    await until('nothing is reserved', async () => {
      const metrics = await scene.gateway.metrics();
      return metrics.has('ai_budget_reserved_usd') && metrics.get('ai_budget_reserved_usd') === 0;
    });
  });
});
