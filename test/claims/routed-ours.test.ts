import { afterAll, beforeAll, expect, test } from 'vitest';
import { post, RawClient } from '../support/raw-client.ts';
import {
  answers,
  EVENTS,
  PATHS,
  type RoutedScene,
  stallsBehind,
  startRoutedScene,
  streams,
  streamsChunks,
  WHOLE,
} from '../support/routed-scene.ts';

let scene: RoutedScene;

// What is the gateway's own: its keys, its caps.
beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'xai', 'mistral', 'vllm', 'deepseek', 'together'],
    `breaker_failures = 1
max_provider_connections = 1
max_provider_queue = 0
[routes.whole]
targets = ["openai/one"]
fallbacks = ["groq/two"]
fallback_on = ["server_error"]
[routes.stream]
targets = ["xai/one"]
fallbacks = ["groq/two"]
fallback_on = ["server_error"]
[routes.full]
targets = ["mistral/one"]
fallbacks = ["groq/two"]
`,
  );
});
afterAll(async () => await scene.stop());

const REFUSED = '{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}';

test.each([
  ['whole', false, answers(200, REFUSED)],
  ['stream', true, streamsChunks(`data: ${REFUSED}\n\n`)],
] as const)('a pool key that is refused inside a 200 (%s) is not told as the caller’s own, and rests', async (route, stream, act) => {
  scene.plays({ openai: act, xai: act });
  const answer = await scene.ask(route, { stream });
  expect([answer.status, answer.cut]).toEqual([502, false]);
  expect(answer.text).toContain('pool_key_rejected');
  expect(answer.text).not.toContain('Incorrect');
  expect(answer.facts).toHaveLength(1);
  // The next one goes elsewhere at once.
  scene.plays({ groq: stream ? streams('chat', 'second') : answers(200, WHOLE) });
  expect((await scene.ask(route, { stream })).status).toBe(200);
  expect(scene.asked).toEqual({ groq: 1 });
});

const FIRST_WORD = EVENTS.chat.opening + EVENTS.chat.word('Hello');

test.each([
  ['whole, one target', 'deepseek/one', PATHS.chat, answers(200, REFUSED)],
  ['whole, in the relay', 'one', '/vllm/v1/chat/completions', answers(200, REFUSED)],
  ['events, one target', 'together/one', PATHS.chat, streamsChunks(`data: ${REFUSED}\n\n`)],
  [
    'events, in the relay',
    'one',
    '/vllm/v1/chat/completions',
    streamsChunks(`data: ${REFUSED}\n\n`),
  ],
  [
    'in two halves',
    'one',
    '/vllm/v1/chat/completions',
    streamsChunks(REFUSED.slice(0, 30), REFUSED.slice(30)),
  ],
] as const)('a pool key that is refused inside a 200 of which nothing is held (%s) is no answer', async (_, model, path, act) => {
  scene.plays({ vllm: act, deepseek: act, together: act });
  const answer = await scene.ask(model, { path });
  expect([answer.status, answer.cut]).toEqual([502, false]);
  expect(answer.text).toContain('pool_key_rejected');
  expect(answer.text).not.toContain('Incorrect');
  expect(answer.facts.map((fact) => [fact['usage_source'], fact['upstream_status']])).toEqual([
    ['none', 200],
  ]);
});

test('a pool key that is refused behind the first word is a cut with the gateway’s own error', async () => {
  const read = Promise.withResolvers<void>();
  scene.plays({
    vllm: async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: text/event-stream']);
      await turn.chunk(FIRST_WORD);
      await read.promise;
      await turn.chunk(`data: ${REFUSED}\n\n`);
    },
  });
  const content = '{"model":"one","stream":true}';
  const response = await fetch(`http://127.0.0.1:${scene.gateway.port}/vllm/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${scene.key}` },
    body: content,
  });
  let text = '';
  const readAll = async () => {
    for await (const piece of response.body ?? []) {
      text += Buffer.from(piece).toString();
      read.resolve();
    }
  };
  await expect(readAll()).rejects.toThrow();
  expect(text.startsWith(FIRST_WORD)).toBe(true);
  expect(text).toContain('pool_key_rejected');
  expect(text).not.toContain('Incorrect');
});

test.each([
  ['a moderated 403', '{"error":{"message":"Your input was flagged","code":403}}'],
  ['a fault of the request', '{"error":{"message":"no","code":"invalid_request_error"}}'],
  [
    'an answer with an error in it',
    '{"choices":[{"message":{"content":"a"}}],"error":{"code":401}}',
  ],
])('%s inside a 200 is told as it came', async (_, body) => {
  scene.plays({ vllm: answers(200, body) });
  const answer = await scene.ask('one', { path: '/vllm/v1/chat/completions', stream: false });
  expect([answer.status, answer.cut, answer.text]).toEqual([200, false, body]);
});

test('a provider of which as much is under way as this node allows is passed over, and is no worse for it', async () => {
  scene.plays({
    mistral: [stallsBehind(EVENTS.chat.opening), streams('chat', 'first')],
    groq: streams('chat', 'second'),
  });
  const first = new RawClient(scene.gateway.port).send(
    post(scene.key, PATHS.chat, '{"model":"full","stream":true}'),
  );
  try {
    await scene.upstreams['mistral']?.request(0);
    const second = new RawClient(scene.gateway.port).send(
      post(scene.key, PATHS.chat, '{"model":"full","stream":true}'),
    );
    const answer = await second.response();
    second.close();
    expect(answer.field('x-sluice-attempts')).toBe('mistral/one CONNECTION_LIMIT, groq/two 200');
  } finally {
    first.close();
  }
  await scene.gateway.idle();
  // One failure would have opened its breaker.
  expect((await scene.ask('full')).fields.get('x-sluice-target')).toBe('mistral/one');
});

test.each([
  'full',
  'mistral/one',
])('a prompt that a provider flags with a 403 is told so, and lets no key rest: the next request goes to the same target (%s)', async (name) => {
  const flagged =
    '{"error":{"code":403,"message":"m requires moderation. Your input was flagged."}}';
  scene.plays({ mistral: [answers(403, flagged), answers(200, WHOLE)] });
  const answer = await scene.ask(name);
  expect([answer.status, answer.text]).toEqual([403, flagged]);
  expect((await scene.ask(name)).fields.get('x-sluice-target')).toBe('mistral/one');
  expect(scene.asked).toEqual({ mistral: 2 });
});
