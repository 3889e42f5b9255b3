import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import { post, RawClient } from '../support/raw-client.ts';
import {
  answers,
  EVENTS,
  PATHS,
  type RoutedScene,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

// What surrounds a translated answer: its head, its size, and who may lose what.

const MESSAGE = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude',
  content: [{ type: 'text', text: 'from Claude' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 5, output_tokens: 3 },
});

let scene: RoutedScene;
beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic'],
    `replay_max_bytes = "256KiB"
breaker_failures = 1000
[policies.careful]
strict = true
[policies.careless]
strict = false
[keys.5]
policy = "careful"
[routes.strict]
strict = true
targets = ["anthropic/claude-s"]
[routes.strict-mixed]
strict = true
targets = ["anthropic/claude-s"]
fallbacks = ["groq/llama"]
[routes.elsewhere]
targets = ["anthropic/claude-a", "anthropic/claude-b"]
[routes.moved]
targets = ["anthropic/claude-m"]
fallbacks = ["groq/llama"]
retries = 0
`,
  );
});
afterAll(async () => await scene.stop());

const HI = [{ role: 'user', content: 'hi' }];
const MOVED = 'location: https://elsewhere.example/v1/messages';

describe('a provider of another wire that sends its callers elsewhere', () => {
  test('is a bad gateway: what it names takes no request of this wire', async () => {
    scene.plays({ anthropic: answers(307, '', [MOVED]) });
    const answer = await scene.ask('anthropic/claude-x', { stream: false });
    expect(answer.status).toBe(502);
    expect(answer.fields.get('location')).toBeNull();
    const { error } = JSON.parse(answer.text) as { error: { message: string; type: string } };
    expect([error.type, error.message]).toEqual([
      'server_error',
      'The provider answered with status 307.',
    ]);
    expect(new Set(answer.facts.map((fact) => fact['upstream_status']))).toEqual(new Set([307]));
  });

  test('is passed over where another target is left', async () => {
    scene.plays({ anthropic: answers(302, '', [MOVED]), groq: answers(200, WHOLE) });
    const answer = await scene.ask('moved', { stream: false });
    expect([answer.status, answer.text]).toEqual([200, WHOLE]);
  });
});

describe('a body that is more than may be kept', () => {
  test.each([
    'elsewhere',
    'anthropic/claude-x',
  ])('is too large for %s, which it would have to be written anew for', async (model) => {
    scene.plays({ anthropic: answers(200, MESSAGE) });
    const content = 'x'.repeat(1_000_000);
    const body = JSON.stringify({ model, messages: [{ role: 'user', content }] });
    // Stock clients lose an answer that comes before they have sent everything, now and then.
    const client = new RawClient(scene.gateway.port).send(post(scene.key, PATHS.chat, body));
    const answer = await client.response();
    client.close();
    const { error } = JSON.parse(answer.body.toString()) as {
      error: { code: string; message: string };
    };
    expect([answer.status, error.code, scene.asked]).toEqual([413, 'body_too_large', {}]);
    expect(error.message).toContain('262144 bytes');
  });

  test('of texts is none too large for who makes no vectors, whatever is written', async () => {
    scene.plays({});
    const input = 'x'.repeat(1_000_000);
    const ask = async (body: object) => {
      const client = new RawClient(scene.gateway.port).send(
        post(scene.key, '/v1/embeddings', JSON.stringify(body)),
      );
      const answer = await client.response();
      client.close();
      return [answer.status, JSON.parse(answer.body.toString()).error.code];
    };
    expect(await ask({ model: 'elsewhere', input })).toEqual([503, 'no_target']);
    expect(await ask({ model: 'elsewhere', input: 'x' })).toEqual([503, 'no_target']);
    expect(scene.asked).toEqual({});
  });

  test("goes to a target of its caller's wire", async () => {
    scene.plays({ groq: answers(200, WHOLE) });
    const content = 'x'.repeat(1_000_000);
    const body = JSON.stringify({ model: 'moved', messages: [{ role: 'user', content }] });
    expect((await scene.ask('', { body })).status).toBe(200);
  });
});

describe("the provider's own id of a request", () => {
  test.each([
    ['whole', answers(200, MESSAGE, ['request-id: req_7']), false, 200],
    ['of an error', answers(400, '{}', ['request-id: req_7']), false, 400],
  ] as const)("stands where OpenAI's clients look for it (%s)", async (_name, act, stream, status) => {
    scene.plays({ anthropic: act });
    const answer = await scene.ask('anthropic/claude-x', { stream });
    expect([answer.status, answer.fields.get('x-request-id')]).toEqual([status, 'req_7']);
  });

  test('and of a stream', async () => {
    scene.plays({
      anthropic: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream', 'request-id: req_8']);
        await turn.lastChunk();
      },
    });
    const answer = await scene.ask('anthropic/claude-x');
    expect(answer.fields.get('x-request-id')).toBe('req_8');
  });

  test("stands where Anthropic's clients look for it", async () => {
    scene.plays({ openai: answers(200, WHOLE, ['x-request-id: req_9']) });
    const body = JSON.stringify({ model: 'openai/gpt-x', max_tokens: 9, messages: HI });
    const answer = await scene.ask('', { wire: 'messages', body });
    expect(answer.fields.get('request-id')).toBe('req_9');
    expect(answer.fields.get('x-request-id')).toBe('req_9');
  });
});

test('the head of a stream is told before anything comes of it', async () => {
  const seen = Promise.withResolvers<void>();
  scene.plays({
    anthropic: async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: text/event-stream']);
      await seen.promise;
      await turn.chunk(EVENTS.messages.opening + EVENTS.messages.word('w') + EVENTS.messages.end);
      await turn.lastChunk();
    },
  });
  const body = JSON.stringify({ model: 'anthropic/claude-x', stream: true, messages: HI });
  const client = new RawClient(scene.gateway.port).send(post(scene.key, PATHS.chat, body));
  await until('its head', () => Buffer.concat(client.received).includes('\r\n\r\n'));
  seen.resolve();
  const answer = await client.response();
  client.close();
  expect(answer.body.toString().trimEnd().endsWith('data: [DONE]')).toBe(true);
});

describe('strict', () => {
  const lossy = (model: string): string => JSON.stringify({ model, messages: HI, seed: 7 });
  const ask = async (key: string, model: string) => {
    const response = await fetch(`http://127.0.0.1:${scene.gateway.port}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body: lossy(model),
    });
    return [response.status, await response.text()] as const;
  };

  test('of a route: a target at which something would be lost is passed over, or it is a 400', async () => {
    scene.plays({ anthropic: answers(200, MESSAGE), groq: answers(200, WHOLE) });
    const [status, text] = await ask(scene.key, 'strict');
    expect([status, scene.asked]).toEqual([400, {}]);
    expect(text).toContain('seed');
    expect((await ask(scene.key, 'strict-mixed'))[0]).toBe(200);
    expect(scene.asked).toEqual({ groq: 1 });
    expect((await scene.ask('strict', { stream: false })).status).toBe(200);
  });

  test('of a policy: for whoever has it', async () => {
    scene.plays({ anthropic: answers(200, MESSAGE) });
    expect((await ask(token({ keyId: 5n }), 'anthropic/claude-x'))[0]).toBe(400);
    expect(scene.asked).toEqual({});
    expect((await ask(scene.key, 'anthropic/claude-x'))[0]).toBe(200);
  });
});
