import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { authorities, Gateway, type LogLine } from '../support/gateway.ts';
import { factOf, poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const TOKEN = token();
const MILLION = '"prompt_tokens":1000000,"completion_tokens":1000000';

/** What the provider answers, by the model that is asked for. */
const ANSWERS: Readonly<Record<string, string>> = {
  'gpt-4o': `{"model":"gpt-4o-2024-08-06","service_tier":"default","usage":{${MILLION}}}`,
  'gpt-5.6':
    '{"model":"gpt-5.6","service_tier":"priority","usage":{"prompt_tokens":1000,"completion_tokens":10}}',
  'gpt-99': `{"model":"gpt-99","usage":{${MILLION}}}`,
  deployment: `{"model":"gpt-4o","usage":{${MILLION}}}`,
  silent: '{"model":"gpt-4o","choices":[{"message":{"content":"hi"}}]}',
};

let upstream: ScriptedUpstream;
let gateway: Gateway;

const config = (more = ''): string =>
  `workers = 1\n${more}${authorities({ openai: upstream.port, vllm: upstream.port })}` +
  `${poolKeys({ openai: 'sk-pool', vllm: 'sk-vllm' })}${signingKeys()}` +
  '[routes.pair]\ntargets = ["openai/gpt-4o", "vllm/deployment"]\n[routes.alone]\ntargets = ["openai/gpt-4o"]\n' +
  '[routes.lost]\ntargets = ["openai/gpt-99", "vllm/deployment"]\n[routes.quiet]\ntargets = ["openai/silent", "vllm/deployment"]\n';

beforeAll(async () => {
  upstream = await startUpstream(
    async (turn) => {
      await turn.bodyDone();
      const { model } = JSON.parse(turn.request.body.toString());
      if (model === 'error') {
        await turn.write('HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n');
        return;
      }
      await turn.answer(ANSWERS[model] ?? '{}');
    },
    { keepBodies: true },
  );
  gateway = await new Gateway({ config: config() }).ready();
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

async function ask(model: string, path: string): Promise<RawResponse> {
  const body = JSON.stringify({ model, messages: [] });
  const client = new RawClient(gateway.port).send(
    `POST ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  const response = await client.response();
  client.close();
  return response;
}

async function costOf(model: string, path = '/openai/v1/chat/completions'): Promise<LogLine> {
  const response = await ask(model, path);
  const { cost_usd, cost_status, unpriced_reason, price_version } = await factOf(
    gateway,
    response.field('x-sluice-request-id'),
  );
  return { cost_usd, cost_status, unpriced_reason, price_version };
}

const BOOK = '2026-10-21';
const priced = (cost_usd: string, cost_status = 'priced', price_version = BOOK) => ({
  cost_usd,
  cost_status,
  unpriced_reason: null,
  price_version,
});
const unpriced = (unpriced_reason: string, price_version: string | null = null) => ({
  cost_usd: null,
  cost_status: 'unpriced',
  unpriced_reason,
  price_version,
});

describe('the cost of a request', () => {
  test.each([
    ['gpt-4o', priced('12.5')],
    ['gpt-5.6', priced('0.0084')],
    ['gpt-99', unpriced('unknown_model')],
    ['error', { ...priced('0', 'not_billed'), price_version: null }],
  ])('of %s is in its fact', async (model, cost) => {
    expect(await costOf(model)).toEqual(cost);
  });

  test('is an estimate where the counts are', async () => {
    const { cost_usd, cost_status } = await costOf('silent');
    expect(cost_status).toBe('estimated');
    expect(Number(cost_usd)).toBeGreaterThan(0);
  });

  test('is told by routed requests too, by the model of the target', async () => {
    expect(await costOf('openai/gpt-4o', '/v1/chat/completions')).toEqual(priced('12.5'));
  });

  test.each([
    ['pair', '12.5'],
    ['alone', undefined],
    ['lost', undefined],
    ['quiet', undefined],
  ])('is told in the head of a whole answer that was held: route %s tells %s', async (route, told) => {
    const response = await ask(route, '/v1/chat/completions');
    expect([response.status, response.field('x-sluice-cost-usd')]).toEqual([200, told]);
    const fact = await factOf(gateway, response.field('x-sluice-request-id'));
    if (told !== undefined) expect(fact['cost_usd']).toBe(told);
  });

  test('changes with a reload, for what comes behind it, and not with one that contradicts itself', async () => {
    expect(await costOf('deployment', '/vllm/v1/chat/completions')).toEqual(
      unpriced('unknown_model'),
    );
    await gateway.reload(
      `${config()}[prices]\n"vllm/deployment" = { input = "0.20", output = "0.60" }\n`,
    );
    const own = await costOf('deployment', '/vllm/v1/chat/completions');
    expect(own).toEqual(priced('0.8', 'priced', expect.stringMatching(/^config-[0-9a-f]{8}$/)));
    await gateway.reload(
      `${config()}[prices]\n"vllm/deployment" = { input = "0.20", tiers = [{ over = 5 }] }\n`,
      'config_reload_failed',
    );
    expect(await costOf('deployment', '/vllm/v1/chat/completions')).toEqual(own);
    await gateway.reload(`${config()}[prices]\n"vllm/*" = { free = true }\n`);
    expect(await costOf('deployment', '/vllm/v1/chat/completions')).toMatchObject({
      cost_usd: '0',
      cost_status: 'free',
    });
    const file = join(mkdtempSync(join(tmpdir(), 'sluice-cost-')), 'prices.jsonl');
    writeFileSync(
      file,
      '{"version":"mine"}\n{"provider":"openai","model":"gpt-99","input":"1","output":"2"}\n',
    );
    await gateway.reload(config(`prices_file = ${JSON.stringify(file)}\n`));
    expect(await costOf('gpt-99')).toEqual(priced('3', 'priced', 'mine'));
  });

  test('changes when the file of prices does, without a signal', async () => {
    const file = join(mkdtempSync(join(tmpdir(), 'sluice-cost-')), 'prices.jsonl');
    const row = (input: string) =>
      `{"version":"v${input}"}\n{"provider":"openai","model":"gpt-99","input":"${input}","output":"2"}\n`;
    writeFileSync(file, row('1'));
    await gateway.reload(config(`prices_file = ${JSON.stringify(file)}\n`));
    expect(await costOf('gpt-99')).toEqual(priced('3', 'priced', 'v1'));
    const reloads = gateway.count('config_reloaded');
    writeFileSync(file, row('5'));
    await gateway.waitForLog(() => gateway.count('config_reloaded') > reloads);
    expect(await costOf('gpt-99')).toEqual(priced('7', 'priced', 'v5'));
  });
});
