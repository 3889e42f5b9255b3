import { readFileSync, writeFileSync } from 'node:fs';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { shippedBook } from '../../src/prices/price-book.ts';
import { until } from '../support/conditions.ts';
import { sluice } from '../support/gateway.ts';
import { factOf, token } from '../support/managed.ts';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';

const MESSAGE = JSON.stringify({
  type: 'message',
  model: 'm',
  content: [{ type: 'text', text: 'hi' }],
  usage: { input_tokens: 1, output_tokens: 1 },
});
const CONTENT = JSON.stringify({ candidates: [], usageMetadata: { promptTokenCount: 1 } });

const TABLES = `[routes.chat]
targets = ["openai/gpt-4o"]
fallbacks = ["groq/llama"]
[routes.secret]
targets = ["groq/secret"]
[policies.default]
models = ["chat", "openai/gpt-4o", "gemini/flash", "anthropic/*"]
[policies.groq-only]
models = ["groq/*"]
[policies.free]
models = []
[keys.7]
policy = "free"
[keys.8]
expires = 2020-01-01T00:00:00Z
[keys.9]
class = "agent"
expires = 2100-01-01T00:00:00Z
[tenants.43]
policy = "free"
[classes]
agent = "groq-only"
`;

let scene: RoutedScene;
let url: string;

beforeAll(async () => {
  scene = await startRoutedScene(['openai', 'groq', 'anthropic', 'gemini'], TABLES, {}, 2);
  url = scene.gateway.origin;
});
afterAll(async () => await scene.stop());
beforeEach(() =>
  scene.plays({
    openai: answers(200, WHOLE),
    groq: answers(200, WHOLE),
    anthropic: answers(200, MESSAGE),
    gemini: answers(200, CONTENT),
  }),
);

const CHAT = '/v1/chat/completions';
const GROQ = '/groq/openai/v1/chat/completions';
const agent = token({ keyId: 5n, keyClass: 'agent' });

async function post(
  path: string,
  body: string,
  key = scene.key,
): Promise<{ status: number; text: string; id: string | null }> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body,
  });
  const id = response.headers.get('x-sluice-request-id');
  return { status: response.status, text: await response.text(), id };
}

const asks = (model: string) => JSON.stringify({ model, messages: [] });
/** A request that can be written anew for another wire, too. */
const says = (model: string) =>
  JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] });

describe('what a key may ask for', () => {
  test.each([
    [CHAT, 'chat', 200, 'openai'],
    [CHAT, 'openai/gpt-4o', 200, 'openai'],
    [CHAT, 'gpt-4o', 200, 'openai'],
    ['/chat/completions', 'gpt-4o', 200, 'openai'],
    ['/v1/messages', 'claude-5', 200, 'anthropic'],
    ['/openai/v1/chat/completions', 'gpt-4o', 200, 'openai'],
    [CHAT, 'gpt-4.1', 403, null],
    [CHAT, 'secret', 403, null],
    [CHAT, 'groq/llama', 403, null],
    // Allowed, and in Anthropic's words there is no request without a message.
    [CHAT, 'claude/claude-5', 400, null],
    [GROQ, 'llama', 403, null],
    ['/openai/v1/chat/completions', 'gpt-4.1', 403, null],
    ['/openai/v1/chat/completions', 'chat', 403, null],
    ['/v1/embeddings', 'text-embedding-3', 403, null],
  ])('of the default policy on %s: %s is %i', async (path, model, status, provider) => {
    const answer = await post(path, asks(model));
    expect(answer.status).toBe(status);
    expect(scene.asked).toEqual(provider === null ? {} : { [provider]: 1 });
    if (status !== 200) return;
    expect(await factOf(scene.gateway, answer.id)).toMatchObject({
      policy: 'default',
      key_class: 'application',
    });
  });

  test('a target that is not allowed is no fallback of a route that is', async () => {
    scene.plays({ openai: answers(503, '{}'), groq: answers(200, WHOLE) });
    const { status } = await post(CHAT, asks('chat'));
    expect(status).toBe(503);
    expect(Object.keys(scene.asked)).toEqual(['openai']);
  });

  test('the most specific policy counts: key, tenant, class', async () => {
    const every = {
      'a key of its own': token({ keyId: 7n }),
      'a tenant of its own': token({ tenantId: 43n, keyId: 1n }),
    };
    for (const [who, key] of Object.entries(every)) {
      const answer = await post(GROQ, asks('llama'), key);
      expect([who, answer.status]).toEqual([who, 200]);
      expect(await factOf(scene.gateway, answer.id)).toMatchObject({ policy: 'free' });
    }
    for (const key of [agent, token({ keyId: 9n })]) {
      expect((await post(CHAT, asks('chat'), key)).status).toBe(403);
      const answer = await post(CHAT, asks('groq/llama'), key);
      expect(answer.status).toBe(200);
      expect(await factOf(scene.gateway, answer.id)).toMatchObject({
        policy: 'groq-only',
        key_class: 'agent',
      });
    }
    expect(
      (await post(CHAT, asks('chat'), token({ keyId: 5n, keyClass: 'developer' }))).status,
    ).toBe(200);
  });

  test.each([
    ['no JSON', 'model=gpt-4o'],
    ['nothing', ''],
    ['no model', '{"messages":[]}'],
    ['a model that is no text', '{"model":["gpt-4o"]}'],
    ['another model behind the allowed one', '{"model":"gpt-4o","model":"gpt-4.1"}'],
    ['another model before the allowed one', '{"model":"gpt-4.1","model":"gpt-4o"}'],
    ['another model in escapes', '{"model":"gpt-4o","mod\\u0065l":"gpt-4.1"}'],
    ['Python’s NaN behind it', '{"model":"gpt-4o","temperature":NaN}'],
    ['UTF-16', Buffer.from('{"model":"gpt-4o"}', 'utf16le').toString('latin1')],
  ])('a body with %s is refused on the path of a provider, and never whole there', async (_, body) => {
    const answer = await post('/openai/v1/chat/completions', body);
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'model_not_allowed' } });
    expect(scene.asked).toEqual({});
  });

  test.each([
    ['{"model":"gpt-4o","model":"gpt-4.1"}', 403],
    ['{"model":"gpt-4.1","model":"gpt-4o"}', 403],
    ['{"model":"gpt-4o","mod\\u0065l":"gpt-4.1"}', 403],
    ['{"model":"gpt-4o","temperature":NaN}', 403],
  ])('nor does %s pass where the body says the way', async (body, status) => {
    expect((await post(CHAT, body)).status).toBe(status);
    expect(scene.asked).toEqual({});
  });

  const FURTHER: readonly (readonly [string, object])[] = [
    ['a list that is asked in turn', { models: ['gpt-4o', 'gpt-4.1'], route: 'fallback' }],
    ['a fallback', { fallbacks: [{ model: 'gpt-4.1', max_tokens: 5 }] }],
    ['a fallback by name', { fallbacks: ['gpt-4.1'] }],
    ['fallbacks of the provider’s choice', { fallbacks: 'default' }],
    ['a tool’s model', { tools: [{ type: 'image_generation', model: 'gpt-image-1' }] }],
    ['a server tool’s model', { tools: [{ type: 'x', parameters: { model: 'gpt-4.1' } }] }],
    ['a plugin’s models', { plugins: [{ id: 'fusion', analysis_models: ['gpt-4.1'] }] }],
    ['what is kept under a name', { preset: 'dear' }],
    ['a part of a compound', { compound_custom: { models: { reasoning_model: 'gpt-4.1' } } }],
    ['more names than are read', { models: Array.from({ length: 99 }, (_, at) => `gpt-${at}`) }],
    ['a name that is longer than any', { models: ['x'.repeat(5_000)] }],
  ];

  test.each(
    FURTHER.flatMap(([what, fields]) =>
      [CHAT, '/openai/v1/chat/completions'].flatMap((path) =>
        ['gpt-4o', ...(path === CHAT ? ['chat'] : [])].map(
          (model) => [what, path, model, fields] as const,
        ),
      ),
    ),
  )('beside its model a request names no other one: %s, on %s, %s', async (_, path, model, fields) => {
    const body = JSON.stringify({ model, messages: [], ...fields });
    const answer = await post(path, body);
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: 'model_not_allowed' } });
    expect(scene.asked).toEqual({});
    // Whoever may ask for everything may ask for that.
    expect((await post(path, body, token({ keyId: 7n }))).status).toBe(200);
  });

  test('what is allowed may be named beside the model, and names in texts and schemas are none', async () => {
    const body = JSON.stringify({
      model: 'gpt-4o',
      messages: [{ role: 'user', content: '{"models":["gpt-4.1"]}', model: 'gpt-4.1' }],
      models: ['gpt-4o'],
      tools: [
        {
          type: 'function',
          function: { name: 'f', parameters: { properties: { model: { const: 'gpt-4.1' } } } },
        },
      ],
    });
    for (const path of [CHAT, '/openai/v1/chat/completions'])
      expect((await post(path, body)).status).toBe(200);
    const claude = { model: 'claude-5', fallbacks: 'default', tools: [{ model: 'claude-opus' }] };
    expect((await post('/v1/messages', JSON.stringify(claude))).status).toBe(200);
    expect((await post('/anthropic/v1/messages', JSON.stringify(claude))).status).toBe(200);
  });

  test('a further model that stands behind a large body is refused before the last byte', async () => {
    const messages = [{ role: 'user', content: 'x'.repeat(2_000_000) }];
    const body = JSON.stringify({ model: 'gpt-4o', messages, models: ['gpt-4.1'] });
    for (const path of [CHAT, '/openai/v1/chat/completions'])
      expect((await post(path, body)).status).toBe(403);
    await until('both uploads were given up', () =>
      scene.upstreams['openai']?.requests.every(({ bodyDone }) => !bodyDone),
    );
  });

  test('a large body is refused at its last byte, and its upstream request never whole', async () => {
    const body = `{"messages":[${'"word",'.repeat(200_000)}""],"model":"llama"}`;
    expect((await post(GROQ, body)).status).toBe(403);
    expect((await post(CHAT, body.replace('"llama"', '"gpt-4.1"'))).status).toBe(403);
    await until('no request is under way', async () => {
      const metrics = await scene.gateway.idle();
      return metrics.get('ai_requests_in_flight') === 0;
    });
    expect(
      scene.gateway.events('ai.usage').filter((fact) => fact['bytes_in'] === body.length),
    ).toEqual([]);
  });

  test('a model in the path counts, and one in the body beside it', async () => {
    const ask = async (model: string, body: string) =>
      (await post(`/gemini/v1beta/models/${model}:generateContent`, body)).status;
    expect(await ask('flash', '{"contents":[]}')).toBe(200);
    expect(await ask('pro', '{"contents":[]}')).toBe(403);
    expect(await ask('flash', '{"contents":[],"model":"pro"}')).toBe(403);
    expect(await ask('flash', '{"contents":[],"model":"models/flash"}')).toBe(200);
    expect(await ask('flash', '{"requests":[{"model":"models/flash"}]}')).toBe(200);
    expect(await ask('flash', '{"requests":[{"model":"models/pro"}]}')).toBe(403);
    expect(scene.asked).toEqual({ gemini: 3 });
  });

  test('the stock SDKs raise their own error for it, and do not try again', async () => {
    const openai = new OpenAI({ apiKey: scene.key, baseURL: `${url}/v1`, maxRetries: 3 });
    await expect(
      openai.chat.completions.create({ model: 'gpt-4.1', messages: [] }),
    ).rejects.toThrow(OpenAI.PermissionDeniedError);
    const anthropic = new Anthropic({ apiKey: agent, baseURL: url, maxRetries: 3 });
    const before = (await scene.gateway.metrics()).get('ai_requests_total');
    await expect(
      anthropic.messages.create({ model: 'claude-5', max_tokens: 1, messages: [] }),
    ).rejects.toThrow(Anthropic.PermissionDeniedError);
    expect((await scene.gateway.metrics()).get('ai_requests_total')).toBe((before ?? 0) + 1);
    expect(scene.asked).toEqual({});
  });
});

describe('the list of models', () => {
  const listed = async (key: string): Promise<readonly string[]> => {
    const client = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 });
    return (await client.models.list()).data.map(({ id }) => id);
  };

  test('has what the key may ask for, and each of it is answered', async () => {
    const own = await listed(scene.key);
    const claudes = shippedBook()
      .models('anthropic')
      .map((model) => `anthropic/${model}`);
    expect(own).toEqual(expect.arrayContaining(['chat', 'openai/gpt-4o', 'gemini/flash']));
    expect(own.filter((name) => name.startsWith('anthropic/'))).toEqual(claudes);
    expect(own).toHaveLength(3 + claudes.length);
    // What the price book has of the providers with a key is listed too.
    const groqs = await listed(agent);
    expect(groqs).toEqual(expect.arrayContaining(['groq/llama', 'groq/secret']));
    expect(groqs.filter((name) => !name.startsWith('groq/'))).toEqual([]);
    const all = ['chat', 'secret', 'openai/gpt-4o', 'groq/llama', 'groq/secret'];
    expect(await listed(token({ keyId: 7n }))).toEqual(expect.arrayContaining(all));
    for (const [key, names] of [
      [scene.key, own],
      [agent, groqs.slice(0, 5)],
    ] as const) {
      for (const name of names)
        expect([name, (await post(CHAT, says(name), key)).status]).toEqual([name, 200]);
    }
  });

  test('a plain name that may not be asked for is not told of either; one that may is the provider’s', async () => {
    const get = async (path: string, key = scene.key) =>
      (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${key}` } })).status;
    expect(await get('/v1/models/gpt-4.1')).toBe(403);
    expect(await get('/v1/models/groq/llama')).toBe(404);
    expect(scene.asked).toEqual({});
    expect(await get('/v1/models/gpt-4o')).toBe(200);
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('has the same names for whoever speaks another wire than all of them, and is not the provider’s', async () => {
    const anthropic = new Anthropic({ apiKey: agent, baseURL: url, maxRetries: 0 });
    const { data } = await anthropic.models.list({ limit: 1_000 });
    expect(data.map(({ id }) => id)).toEqual(await listed(agent));
    expect(data.length).toBeGreaterThan(0);
    expect(scene.asked).toEqual({});
  });
});

describe('a key that ends', () => {
  test('is 401 key_expired in the caller’s dialect, also for the list of models', async () => {
    const ended = token({ keyId: 8n });
    const answer = await post(CHAT, asks('chat'), ended);
    expect([answer.status, JSON.parse(answer.text).error.code]).toEqual([401, 'key_expired']);
    const message = await post('/v1/messages', asks('claude-5'), ended);
    expect(JSON.parse(message.text)).toMatchObject({
      type: 'error',
      error: { type: 'authentication_error' },
    });
    const openai = new OpenAI({ apiKey: ended, baseURL: `${url}/v1`, maxRetries: 0 });
    await expect(openai.models.list()).rejects.toThrow(OpenAI.AuthenticationError);
    expect((await post(CHAT, asks('groq/llama'), token({ keyId: 9n }))).status).toBe(200);
  });

  test('ends by itself while the gateway runs, and a reload ends or lets in what comes next', async () => {
    const key = token({ keyId: 11n });
    const reload = async (expires: string): Promise<void> => {
      const before = scene.gateway.events('config_reloaded').length;
      const text = readFileSync(scene.gateway.file, 'utf8').replace(
        /\[tenants\.43\]/,
        `[keys.11]\nexpires = ${expires}\n[tenants.43]`,
      );
      writeFileSync(scene.gateway.file, text);
      scene.gateway.child.kill('SIGHUP');
      await until('the reload', () => scene.gateway.events('config_reloaded').length > before);
    };
    await reload(new Date(Date.now() + 3_000).toISOString());
    await until(
      'both workers have it',
      async () => (await post(CHAT, asks('chat'), key)).status === 200,
    );
    await until(
      'the key has ended',
      async () => (await post(CHAT, asks('chat'), key)).status === 401,
    );
  });
});

describe('sluice check --effective', () => {
  test('says for each key what holds, and why', () => {
    const { status, stdout } = sluice(['check', '--effective', '--config', scene.gateway.file]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^key 9, class agent$/m);
    expect(stdout).toMatch(
      /^ {2}models +groq\/\* +# \[policies\.groq-only\], by \[classes\] agent$/m,
    );
  });
});
