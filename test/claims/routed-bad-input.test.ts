import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// What no plan can be made for: the contract's rejections, in the dialect that was spoken, and nothing sent upstream.

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic', 'backup'],
    `replay_max_bytes = "1MiB"
[provider_dialects]
backup = "anthropic"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
[routes.claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
`,
  );
});
afterAll(async () => await scene.stop());

const PATHS = [
  '/v1/chat/completions',
  '/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/responses',
  '/v1/messages',
  '/messages',
  '/v1/messages/count_tokens',
] as const;

/** Behind the bytes that are kept of a body. */
const LATE = `{"input":"${'x'.repeat(2_500_000)}","model":"chat"}`;

const BODIES: readonly (readonly [name: string, body: string, status: number, code: string])[] = [
  ['an unknown provider', '{"model":"no/such"}', 404, 'unknown_model'],
  ['an unknown provider without a name', '{"model":"/such"}', 404, 'unknown_model'],
  ['a provider without a model', '{"model":"openai/"}', 404, 'unknown_model'],
  ['an empty model', '{"model":""}', 400, 'invalid_body'],
  ['a number for a model', '{"model":7}', 400, 'invalid_body'],
  ['null for a model', '{"model":null}', 400, 'invalid_body'],
  ['a list for a model', '{"model":["chat"]}', 400, 'invalid_body'],
  ['an object for a model', '{"model":{"model":"chat"}}', 400, 'invalid_body'],
  ['true for a model', '{"model":true}', 400, 'invalid_body'],
  ['no model', '{"messages":[]}', 400, 'invalid_body'],
  ['a model inside of something else', '{"metadata":{"model":"chat"}}', 400, 'invalid_body'],
  ['a list', '["chat"]', 400, 'invalid_body'],
  ['a text', '"chat"', 400, 'invalid_body'],
  ['no JSON', 'model=chat', 400, 'invalid_body'],
  ['half of a JSON text', '{"model":"chat","messages":[', 400, 'invalid_body'],
  ['two JSON texts', '{"model":"chat"}{"model":"chat"}', 400, 'invalid_body'],
  ['nothing', '', 400, 'invalid_body'],
  ['a model that is longer than any', `{"model":"${'x'.repeat(2_000)}"}`, 400, 'invalid_body'],
  ['its model behind what is kept of it', LATE, 400, 'invalid_body'],
];

describe.each(PATHS)('on %s', (path) => {
  const isAnthropic = path.includes('messages');

  test.each(
    BODIES,
  )('%s is refused in the dialect that was spoken, and no provider hears of it', async (_, body, status, code) => {
    scene.plays({});
    const answer = await scene.ask('', { path, body });
    expect([answer.status, answer.cut, scene.asked, answer.facts]).toEqual([status, false, {}, []]);
    expect(answer.fields.get('content-type')).toMatch(/^application\/json/);
    const told = JSON.parse(answer.text) as {
      type?: string;
      error: { type: string; code?: string; message: string };
    };
    if (isAnthropic) {
      expect(told.type).toBe('error');
      expect(told.error.type).toBe(status === 404 ? 'not_found_error' : 'invalid_request_error');
    } else {
      expect(told.error.code).toBe(code);
      expect(told.error.type).toBe('invalid_request_error');
    }
    expect(told.error.message.length).toBeGreaterThan(0);
  });

  test('a target of another wire is none for what it cannot be asked, and no provider hears of it', async () => {
    scene.plays({});
    const body = `{"model":"${isAnthropic ? 'chat' : 'claude'}"}`;
    const answer = await scene.ask('', { path, body });
    // What can be written anew has to be a request of its wire.
    const isTranslated = /\/(?:chat\/completions|responses|messages(?:\/count_tokens)?)$/.test(
      path,
    );
    const said = path.endsWith('/responses')
      ? 'input: expected a text'
      : 'messages: expected a list';
    expect([answer.status, scene.asked, answer.facts]).toEqual([isTranslated ? 400 : 503, {}, []]);
    expect(answer.text).toContain(isTranslated ? said : 'other_wire');
    if (isTranslated) return;
    // No time makes it speak another wire.
    const { fields } = answer;
    expect([fields.get('x-should-retry'), fields.get('retry-after')]).toEqual(['false', null]);
  });
});

describe('a stock client', () => {
  test('of OpenAI is told in its own errors, and does not try again what cannot help', async () => {
    scene.plays({});
    const client = new OpenAI({ baseURL: `${scene.gateway.origin}/v1`, apiKey: scene.key });
    const unknown = await failureOf(
      client.chat.completions.create({ model: 'no/such', messages: [] }),
    );
    expect(unknown).toBeInstanceOf(OpenAI.NotFoundError);
    expect(unknown).toMatchObject({ code: 'unknown_model' });
    const empty = await failureOf(client.responses.create({ model: '', input: 'hi' }));
    expect(empty).toBeInstanceOf(OpenAI.BadRequestError);
    expect(empty).toMatchObject({ code: 'invalid_body' });
    expect(scene.asked).toEqual({});
  });

  test('of Anthropic as well', async () => {
    scene.plays({});
    const client = new Anthropic({
      baseURL: scene.gateway.origin,
      apiKey: null,
      authToken: scene.key,
    });
    const asked = { max_tokens: 5, messages: [{ role: 'user' as const, content: 'hi' }] };
    const unknown = await failureOf(client.messages.create({ ...asked, model: 'no/such' }));
    expect(unknown).toBeInstanceOf(Anthropic.NotFoundError);
    const empty = await failureOf(client.messages.create({ ...asked, model: '' }));
    expect(empty).toBeInstanceOf(Anthropic.BadRequestError);
    expect(scene.asked).toEqual({});
  });
});

test('a body above what may be kept, of a route, goes to the first target alone, and its failure is told', async () => {
  scene.plays({ openai: answers(500, '{"error":{"message":"first"}}'), groq: answers(200, WHOLE) });
  const body = `{"model":"chat","input":"${'x'.repeat(2_500_000)}"}`;
  const answer = await scene.ask('', { body });
  expect([answer.status, answer.text]).toEqual([500, '{"error":{"message":"first"}}']);
  expect(scene.asked).toEqual({ openai: 1 });
  const metrics = await scene.gateway.metrics();
  expect(metrics.get('ai_replay_skipped_total')).toBeGreaterThan(0);
});
