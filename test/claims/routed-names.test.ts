import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'openrouter', 'anthropic'],
    `replay_max_bytes = "1MiB"
[provider_aliases]
house = "groq"
[routes.chat]
targets = ["openai/gpt-4o"]
fallbacks = ["groq/llama"]
[routes."gpt-4o"]
targets = ["groq/gpt-4o-clone"]
[routes.foreign]
targets = ["anthropic/claude"]
`,
  );
});
afterAll(async () => await scene.stop());

const good = () => ({
  openai: answers(200, WHOLE),
  groq: answers(200, WHOLE),
  openrouter: answers(200, WHOLE),
  anthropic: answers(
    200,
    '{"type":"message","content":[{}],"usage":{"input_tokens":1,"output_tokens":1}}',
  ),
});

const modelSeen = (name: string): unknown => {
  const body = scene.upstreams[name]?.requests[0]?.body.toString() ?? '{}';
  return (JSON.parse(body) as { model?: unknown }).model;
};

describe('names', () => {
  test.each([
    ['openai/gpt-4o', 'openai', 'gpt-4o', '/v1/chat/completions'],
    [
      'openrouter/anthropic/claude-sonnet-5',
      'openrouter',
      'anthropic/claude-sonnet-5',
      '/api/v1/chat/completions',
    ],
    ['house/llama', 'groq', 'llama', '/openai/v1/chat/completions'],
    ['chat', 'openai', 'gpt-4o', '/v1/chat/completions'],
    ['gpt-4o', 'groq', 'gpt-4o-clone', '/openai/v1/chat/completions'],
    ['gpt-4.1', 'openai', 'gpt-4.1', '/v1/chat/completions'],
  ])('%s reaches %s as %s at %s', async (name, provider, model, path) => {
    scene.plays(good());
    const answer = await scene.ask(name, { stream: false });
    expect([answer.status, answer.text]).toEqual([200, WHOLE]);
    expect(scene.asked).toEqual({ [provider]: 1 });
    expect(modelSeen(provider)).toBe(model);
    expect(scene.upstreams[provider]?.requests[0]?.target).toBe(path);
  });

  test.each([
    ['/chat/completions', 'openai'],
    ['/v1/messages', 'anthropic'],
    ['/messages', 'anthropic'],
  ])('a plain name on %s goes to %s, its body as it came', async (path, provider) => {
    scene.plays(good());
    const body = '{ "model" : "plain-1", "messages":[] , "max_tokens": 1 }';
    const answer = await scene.ask('', { path, body });
    expect(answer.status).toBe(200);
    expect(scene.asked).toEqual({ [provider]: 1 });
    expect(scene.upstreams[provider]?.requests[0]?.body.toString()).toBe(body);
    expect(answer.fields.get('x-sluice-target')).toBeNull();
  });

  test('what is not quite JSON is for the default provider to judge, and for nobody else', async () => {
    scene.plays(good());
    const body = '{"model":"plain-1","messages":[],"temperature":NaN}';
    const answer = await scene.ask('', { body });
    expect([answer.status, scene.asked]).toEqual([200, { openai: 1 }]);
    expect(scene.upstreams['openai']?.requests[0]?.body.toString()).toBe(body);
    const routed = await scene.ask('', { body: body.replace('plain-1', 'chat') });
    expect([routed.status, scene.asked]).toEqual([400, { openai: 1 }]);
  });

  test('nothing but the value of model differs, wherever in a body it stands and however it is spelled (R1, R5)', async () => {
    scene.plays(good());
    const before = `{"messages":[{"role":"user","content":"${'é\\"x'.repeat(20_000)}"}],"mod\\u0065l":`;
    const answer = await scene.ask('', { body: `${before}"op\\u0065nai/gpt-4o","n":1}` });
    expect(answer.status).toBe(200);
    const sent = scene.upstreams['openai']?.requests[0];
    const wanted = Buffer.from(`${before}"gpt-4o","n":1}`);
    expect(sent?.field('content-length')).toBe(String(wanted.length));
    expect(sent?.sha256).toBe(createHash('sha256').update(wanted).digest('hex'));
  });

  test('of two models the last one counts, and no provider sees another', async () => {
    scene.plays(good());
    await scene.ask('', { body: '{"model":"groq/a","messages":[],"model":"openai/b"}' });
    expect(scene.asked).toEqual({ openai: 1 });
    expect(scene.upstreams['openai']?.requests[0]?.body.toString()).toBe(
      '{"model":"b","messages":[],"model":"b"}',
    );
  });

  test('a body above what may be kept goes to the first target, streamed, its model edited', async () => {
    scene.plays(good());
    const text = 'x'.repeat(3_000_000);
    const answer = await scene.ask('', { body: `{"model":"groq/llama","input":"${text}"}` });
    expect(answer.status).toBe(200);
    expect(scene.asked).toEqual({ groq: 1 });
    const sent = scene.upstreams['groq']?.requests[0];
    const wanted = Buffer.from(`{"model":"llama","input":"${text}"}`);
    expect(sent?.sha256).toBe(createHash('sha256').update(wanted).digest('hex'));
    expect((await scene.gateway.metrics()).get('ai_replay_skipped_total')).toBe(1);
  });
});

describe('bad input', () => {
  test.each([
    ['{"model":"opnai/gpt-4o"}', 404, 'unknown_model', 'openai'],
    ['{"model":""}', 400, 'invalid_body', 'model'],
    ['{"model":7}', 400, 'invalid_body', 'model'],
    ['{"messages":[]}', 400, 'invalid_body', 'model'],
    ['{"model":"chat"', 400, 'invalid_body', 'JSON'],
    ['hello', 400, 'invalid_body', 'JSON'],
    ['', 400, 'invalid_body', 'empty'],
    [`{"model":"${'x'.repeat(300)}"}`, 400, 'invalid_body', 'model'],
    ['{"model":"foreign"}', 400, 'invalid_body', 'messages'],
    ['{"model":"xai/grok-4"}', 503, 'no_pool_key', 'xai'],
  ])('%s is %i %s, and nothing is sent upstream', async (body, status, code, says) => {
    scene.plays(good());
    const answer = await scene.ask('', { body });
    expect([answer.status, scene.asked]).toEqual([status, {}]);
    const { error } = JSON.parse(answer.text) as { error: { code: string; message: string } };
    expect(error.code).toBe(code);
    expect(error.message).toContain(says);
    expect(answer.facts).toEqual([]);
  });

  test("the caller's dialect is spoken", async () => {
    scene.plays(good());
    const answer = await scene.ask('no/such', { wire: 'messages' });
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text)).toMatchObject({
      type: 'error',
      error: { type: 'not_found_error' },
    });
  });

  test('a body that is streamed already and then names another model is cut off upstream and refused', async () => {
    scene.plays({ openai: async (turn) => await turn.bodyDone() });
    const body = `{"model":"plain","input":"${'x'.repeat(2_000_000)}","model":"groq/other"}`;
    const answer = await scene.ask('', { body });
    expect(answer.status).toBe(400);
    expect(scene.asked['groq']).toBeUndefined();
    expect(scene.upstreams['openai']?.requests[0]?.bodyDone ?? false).toBe(false);
  });
});

test("a caller's own key on a path without /v1 is 404 as before", async () => {
  scene.plays(good());
  const answer = await scene.ask('chat', {
    path: '/chat/completions',
    fields: { authorization: 'Bearer sk-own' },
  });
  expect([answer.status, scene.asked]).toEqual([404, {}]);
});
