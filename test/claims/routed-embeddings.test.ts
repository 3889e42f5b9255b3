import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Act, answers, type RoutedScene, startRoutedScene } from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// OpenAI's embeddings at providers that have nothing but a wire of their own. Its stock client asks for base64 unasked.

const TEXTS = ['north', 'south'];
const VECTORS = [
  [0.25, -0.5, 0.125],
  [1, 0, -0.0625],
];
const GEMINI = {
  embeddings: VECTORS.map((values) => ({ values })),
  usageMetadata: { promptTokenCount: 4 },
};
const OLLAMA = { model: 'nomic-embed-text', embeddings: VECTORS, prompt_eval_count: 4 };
const OPENAI = {
  object: 'list',
  data: VECTORS.map((embedding, index) => ({ object: 'embedding', index, embedding })),
  model: 'text-embedding-3-small',
  usage: { prompt_tokens: 4, total_tokens: 4 },
};

let scene: RoutedScene;
let openai: OpenAI;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'gemini', 'ollama', 'anthropic'],
    `replay_max_bytes = "1MiB"
[provider_wires]
gemini = ["gemini"]
ollama = ["ollama"]
[routes.vectors]
targets = ["openai/text-embedding-3-small"]
fallbacks = ["gemini/gemini-embedding-001"]
retries = 0
[routes.ids]
targets = ["openai/text-embedding-3-large"]
fallbacks = ["gemini/gemini-embedding-001"]
retries = 0
[routes.claude]
targets = ["anthropic/claude-opus-4-5"]
[prices."ollama/*"]
free = true
`,
    { ollama: [] },
  );
  const baseURL = `${scene.gateway.origin}/v1`;
  openai = new OpenAI({ apiKey: scene.key, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

function sentTo(provider: string) {
  const request = scene.upstreams[provider]?.requests[0];
  return { request, body: JSON.parse(request?.body.toString() ?? 'null') };
}

const vectorsOf = ({ data }: OpenAI.CreateEmbeddingResponse) =>
  data.map(({ embedding }) => [...embedding]);

describe("OpenAI's client", () => {
  test("gets Gemini's vectors, one for each text, in their order", async () => {
    scene.plays({ gemini: answers(200, JSON.stringify(GEMINI)) });
    const answer = await openai.embeddings.create({
      model: 'gemini/gemini-embedding-001',
      input: TEXTS,
      dimensions: 3,
    });
    expect(vectorsOf(answer)).toEqual(VECTORS);
    expect(answer.usage).toEqual({ prompt_tokens: 4, total_tokens: 4 });
    const { request, body } = sentTo('gemini');
    expect(request?.target).toBe('/v1beta/models/gemini-embedding-001:batchEmbedContents');
    expect(request?.field('x-goog-api-key')).toBe('sk-gemini-pool');
    expect(body).toEqual({
      requests: TEXTS.map((text) => ({
        model: 'models/gemini-embedding-001',
        content: { parts: [{ text }] },
        outputDimensionality: 3,
      })),
    });
  });

  test("gets Ollama's as numbers where it asks for numbers", async () => {
    scene.plays({ ollama: answers(200, JSON.stringify(OLLAMA)) });
    const answer = await openai.embeddings.create({
      model: 'ollama/nomic-embed-text',
      input: TEXTS,
      encoding_format: 'float',
    });
    expect(answer.data.map(({ embedding }) => embedding)).toEqual(VECTORS);
    expect(answer.model).toBe('nomic-embed-text');
    const { request, body } = sentTo('ollama');
    expect(request?.target).toBe('/api/embed');
    expect(body).toEqual({ model: 'nomic-embed-text', input: TEXTS });
  });

  test.each([
    [
      'gemini',
      404,
      { error: { code: 404, message: 'models/x is not found', status: 'NOT_FOUND' } },
    ],
    ['ollama', 400, { error: 'this model does not support embeddings' }],
  ])("is told %s's %s in its own errors", async (provider, status, body) => {
    scene.plays({ [provider]: answers(status, JSON.stringify(body)) });
    const failure = await failureOf(
      openai.embeddings.create({ model: `${provider}/m-${status}`, input: 'x' }),
    );
    expect(failure).toBeInstanceOf(status === 404 ? OpenAI.NotFoundError : OpenAI.BadRequestError);
    expect(String(failure)).toMatch(/is not found|does not support embeddings/);
  });

  test('is told that an answer without vectors is none', async () => {
    scene.plays({ ollama: answers(200, '{"model":"m","embeddings":[]}') });
    const failure = await failureOf(openai.embeddings.create({ model: 'ollama/m', input: 'x' }));
    expect(failure).toMatchObject({ status: 502 });
  });

  test('is refused token ids, which mean something else elsewhere, and nobody hears of them', async () => {
    scene.plays({});
    const failure = await failureOf(
      openai.embeddings.create({ model: 'gemini/gemini-embedding-001', input: [[1, 2, 3]] }),
    );
    expect(failure).toBeInstanceOf(OpenAI.BadRequestError);
    expect(failure).toMatchObject({ code: 'untranslatable' });
    expect([String(failure), scene.asked]).toEqual([expect.stringContaining('input'), {}]);
  });

  test('whose route fails at OpenAI gets vectors of its fallback', async () => {
    const error = { error: { message: 'x', type: 'server_error' } };
    scene.plays({
      openai: answers(503, JSON.stringify(error)),
      gemini: answers(200, JSON.stringify(GEMINI)),
    });
    expect(vectorsOf(await openai.embeddings.create({ model: 'vectors', input: TEXTS }))).toEqual(
      VECTORS,
    );
    expect(scene.asked).toEqual({ openai: 1, gemini: 1 });
  });

  test('of token ids is OpenAI alone asked, whatever stands behind it', async () => {
    const error = { error: { message: 'down', type: 'server_error' } };
    scene.plays({ openai: answers(503, JSON.stringify(error)) });
    const failure = await failureOf(openai.embeddings.create({ model: 'ids', input: [1, 2] }));
    expect(failure).toMatchObject({ status: 503 });
    expect(scene.asked).toEqual({ openai: 1 });
  });
});

test('what was counted is in the fact, and OpenAI’s own go as they came', async () => {
  scene.plays({
    gemini: answers(200, JSON.stringify(GEMINI)),
    openai: answers(200, JSON.stringify(OPENAI)),
  });
  const body = (model: string) => JSON.stringify({ input: TEXTS, model });
  const told = await scene.ask('', {
    path: '/v1/embeddings',
    body: body('gemini/gemini-embedding-001'),
  });
  expect(told.fields.get('content-type')).toBe('application/json');
  expect(told.facts).toMatchObject([
    {
      provider: 'gemini',
      target_model: 'gemini/gemini-embedding-001',
      usage_source: 'reported',
      input_tokens: 4,
    },
  ]);
  const own = await scene.ask('', {
    path: '/v1/embeddings',
    body: body('openai/text-embedding-3-small-2'),
  });
  expect(own.text).toBe(JSON.stringify(OPENAI));
  expect(sentTo('openai').request?.body.toString()).toBe(body('text-embedding-3-small-2'));
});

test('a target whose wire has no vectors is none for them', async () => {
  scene.plays({});
  const body = JSON.stringify({ model: 'claude', input: 'x' });
  const answer = await scene.ask('', { path: '/v1/embeddings', body });
  expect([answer.status, scene.asked]).toEqual([503, {}]);
  expect(answer.text).toContain('other_wire');
});

test("OpenAI's chats are written in the own wire of who has no other", async () => {
  const message = { role: 'assistant', content: 'from Ollama' };
  const whole = { model: 'm', message, done: true, done_reason: 'stop', eval_count: 2 };
  scene.plays({ ollama: answers(200, JSON.stringify(whole)) });
  const chat = await openai.chat.completions.create({
    model: 'ollama/qwen3:8b',
    messages: [{ role: 'user', content: 'hi' }],
  });
  expect(chat.choices[0]?.message.content).toBe('from Ollama');
  expect(sentTo('ollama').request?.target).toBe('/api/chat');
});

test('a chat that streams from there tells its usage to who asked for it, and a cut is never its end', async () => {
  const line = (content: string, more: object = { done: false }) =>
    `${JSON.stringify({ model: 'm', message: { role: 'assistant', content }, ...more })}\n`;
  const end = { done: true, done_reason: 'stop', prompt_eval_count: 7, eval_count: 2 };
  const says =
    (...lines: readonly string[]): Act =>
    async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: application/x-ndjson']);
      for (const one of lines) await turn.chunk(one);
      await turn.lastChunk();
    };
  const read = async () => {
    const stream = await openai.chat.completions.create({
      model: 'ollama/qwen3:4b',
      messages: [{ role: 'user', content: 'hi' }],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  };
  scene.plays({ ollama: says(line('from '), line('Ollama'), line('', end)) });
  const chunks = await read();
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
  expect(text).toBe('from Ollama');
  expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 2 });
  scene.plays({ ollama: says(line('half')) });
  expect(await failureOf(read())).toBeInstanceOf(Error);
});

test.each([
  '/v1/completions',
  '/v1/responses/compact',
])('%s, which nobody writes anew, does not lead there', async (path) => {
  scene.plays({});
  const body = JSON.stringify({ model: 'ollama/qwen3:8b', prompt: 'x', input: 'x' });
  const answer = await scene.ask('', { path, body });
  expect([answer.status, scene.asked]).toEqual([503, {}]);
  expect(answer.text).toContain('other_wire: it speaks another API');
});
