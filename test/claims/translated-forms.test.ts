import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Act,
  answers,
  EVENTS,
  type RoutedScene,
  type SceneWire,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';

// Answers that come in another form than was asked for, or under another type than their own: read by their first bytes. What
// cannot be read was answered all the same, and may be billed: its provider is not asked again.

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['groq', 'anthropic', 'gemini', 'ollama'],
    `breaker_failures = 1000
[provider_wires]
groq = ["openai-chat"]
gemini = ["gemini"]
ollama = ["ollama"]
[routes.falls]
targets = ["gemini/gemini-2.5-flash"]
fallbacks = ["groq/llama"]
[routes.vectors]
targets = ["gemini/gemini-embedding-001"]
[prices."ollama/*"]
free = true
`,
    { ollama: [] },
  );
});
afterAll(async () => await scene.stop());

type Json = Readonly<Record<string, unknown>>;

/** An answer of 200 under a type, cut into pieces of so many bytes. */
const says =
  (type: string, body: string, pieceBytes = body.length): Act =>
  async (turn) => {
    await turn.bodyDone();
    await turn.stream([`content-type: ${type}`]);
    const bytes = Buffer.from(body);
    for (let at = 0; at < bytes.length; at += pieceBytes)
      await turn.chunk(bytes.subarray(at, at + pieceBytes));
    await turn.lastChunk();
  };

const candidate = (text: string, more: Json = {}): Json => ({
  candidates: [{ content: { parts: [{ text }], role: 'model' }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 7, candidatesTokenCount: 3, totalTokenCount: 10 },
  modelVersion: 'gemini-2.5-flash',
});
const GEMINI = [candidate('one '), candidate('"two" ['), candidate('', { finishReason: 'STOP' })];
const TOLD = 'one "two" [';
const lines = (objects: readonly Json[]): string =>
  objects.map((one) => `${JSON.stringify(one)}\n`).join('');
const OLLAMA = [
  { model: 'm', message: { role: 'assistant', content: 'one ' }, done: false },
  { model: 'm', message: { role: 'assistant', content: '"two" [' }, done: false },
  { model: 'm', message: {}, done: true, done_reason: 'stop', prompt_eval_count: 7, eval_count: 3 },
];
const MESSAGE: Json = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude',
  content: [{ type: 'text', text: TOLD }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 7, output_tokens: 3 },
};
const CHAT = WHOLE.replace('"whole"', JSON.stringify(TOLD));
const sse = (objects: readonly Json[]): string =>
  objects.map((one) => `data: ${JSON.stringify(one)}\r\n\r\n`).join('');

const JSON_TYPE = 'application/json; charset=UTF-8';
const EVENTS_TYPE = 'text/event-stream';

/** Whose answer it is, what is strange about it, its type and its bytes. */
const FORMS: readonly (readonly [provider: string, how: string, type: string, body: string])[] = [
  ['gemini', 'an array', JSON_TYPE, JSON.stringify(GEMINI, null, 2)],
  ['gemini', 'an array behind a byte order mark', JSON_TYPE, `\ufeff\n${JSON.stringify(GEMINI)}`],
  ['gemini', 'an array under an event stream’s type', EVENTS_TYPE, JSON.stringify(GEMINI)],
  ['gemini', 'an array under no type of its own', 'text/plain', JSON.stringify(GEMINI)],
  ['gemini', 'events under JSON’s type', JSON_TYPE, sse(GEMINI)],
  ['gemini', 'events under no type of their own', 'application/octet-stream', sse(GEMINI)],
  [
    'gemini',
    'one whole answer',
    JSON_TYPE,
    JSON.stringify(candidate(TOLD, { finishReason: 'STOP' })),
  ],
  [
    'gemini',
    'one whole answer under an event stream’s type',
    EVENTS_TYPE,
    JSON.stringify(candidate(TOLD, { finishReason: 'STOP' }), null, 2),
  ],
  ['ollama', 'lines under JSON’s type', JSON_TYPE, lines(OLLAMA)],
  ['ollama', 'lines under no type of their own', 'text/plain', lines(OLLAMA)],
  ['ollama', 'lines under an event stream’s type', EVENTS_TYPE, lines(OLLAMA)],
  ['ollama', 'an array', JSON_TYPE, JSON.stringify(OLLAMA)],
  [
    'ollama',
    'one whole answer',
    JSON_TYPE,
    JSON.stringify({ ...OLLAMA[2], message: { role: 'assistant', content: TOLD } }),
  ],
  ['anthropic', 'one whole answer', JSON_TYPE, JSON.stringify(MESSAGE)],
  [
    'anthropic',
    'one whole answer under an event stream’s type',
    EVENTS_TYPE,
    JSON.stringify(MESSAGE),
  ],
  [
    'anthropic',
    'events under JSON’s type',
    JSON_TYPE,
    EVENTS.messages.opening + EVENTS.messages.word(TOLD) + EVENTS.messages.end,
  ],
  ['groq', 'one whole answer', JSON_TYPE, CHAT],
  ['groq', 'one whole answer under an event stream’s type', EVENTS_TYPE, CHAT],
  [
    'groq',
    'events under JSON’s type',
    JSON_TYPE,
    EVENTS.chat.opening + EVENTS.chat.word(TOLD) + EVENTS.chat.end,
  ],
];

const MODELS: Readonly<Record<string, string>> = {
  gemini: 'gemini/gemini-2.5-flash',
  ollama: 'ollama/llama3.2',
  anthropic: 'anthropic/claude-sonnet-4-5',
  groq: 'groq/llama',
};

/** Somebody whose wire it is not. */
const CALLERS: Readonly<Record<string, SceneWire>> = {
  gemini: 'messages',
  ollama: 'chat',
  anthropic: 'responses',
  groq: 'messages',
};

const HI = [{ role: 'user', content: 'hi' }];
const bodyFor = (model: string, wire: SceneWire, stream: boolean): string =>
  JSON.stringify({
    model,
    stream,
    max_tokens: 9,
    ...(wire === 'responses' ? { input: 'hi' } : { messages: HI }),
  });

/** All text of a stream, whichever dialect it is in. */
function textOf(stream: string): string {
  const events = [...stream.matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) => JSON.parse(data));
  return events
    .map(({ type, delta, choices }) => {
      if (type === 'response.output_text.delta') return delta;
      return delta?.text ?? choices?.[0]?.delta?.content ?? '';
    })
    .join('');
}

const END = /data: \[DONE\]|event: message_stop|event: response\.completed/;

describe.each(FORMS)('a stream of %s that comes as %s', (provider, _how, type, body) => {
  const wire = CALLERS[provider] ?? 'chat';
  const model = MODELS[provider] ?? '';

  test.each([
    ['whole', Number.POSITIVE_INFINITY],
    ['byte by byte', 1],
  ])('is told as the stream that was asked for, and billed once (%s)', async (_cut, bytes) => {
    scene.plays({ [provider]: says(type, body, Math.min(bytes, Buffer.byteLength(body))) });
    const answer = await scene.ask('', { wire, body: bodyFor(model, wire, true) });
    expect([answer.status, answer.cut, textOf(answer.text)]).toEqual([200, false, TOLD]);
    expect(answer.text).toMatch(END);
    expect(answer.fields.get('content-type')).toBe('text/event-stream');
    expect(scene.asked).toEqual({ [provider]: 1 });
    expect(answer.facts).toMatchObject([
      { outcome: 'complete', usage_source: 'reported', input_tokens: 7, output_tokens: 3 },
    ]);
  });
});

describe('an answer that nobody can read', () => {
  const UNREADABLE: readonly (readonly [how: string, type: string, body: string])[] = [
    ['a page', 'text/html', '<html><body>Sign in</body></html>'],
    ['a page under JSON’s type', JSON_TYPE, '<html></html>'],
    ['half of an object', JSON_TYPE, '{"candidates":[{"content":'],
    ['an object of another kind', JSON_TYPE, '{"status":"ok"}'],
    ['a text', JSON_TYPE, '"yes"'],
    ['nothing', JSON_TYPE, ''],
  ];

  test.each(
    UNREADABLE,
  )('%s is one clear failure, and its provider is asked once', async (_how, type, body) => {
    for (const stream of [true, false]) {
      scene.plays({ gemini: says(type, body) });
      const wire = 'messages';
      const answer = await scene.ask('', {
        wire,
        body: bodyFor('gemini/gemini-2.5-flash', wire, stream),
      });
      expect([answer.status, scene.asked]).toEqual([502, { gemini: 1 }]);
      expect(JSON.parse(answer.text)).toMatchObject({
        type: 'error',
        error: {
          type: 'api_error',
          message: 'The provider sent what cannot be read as an answer.',
        },
      });
      expect(answer.facts.length).toBeLessThanOrEqual(1);
    }
  });

  test.each(
    UNREADABLE,
  )('%s leads to the next target, never to the same one again', async (_how, type, body) => {
    scene.plays({ gemini: says(type, body), groq: streams('chat', 'from Groq') });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: bodyFor('falls', 'messages', true),
    });
    expect([answer.status, textOf(answer.text)]).toEqual([200, 'from Groq']);
    expect(scene.asked).toEqual({ gemini: 1, groq: 1 });
  });

  test('an array whose first element is an error is that error, and leads on', async () => {
    const error = [{ error: { code: 503, message: 'overloaded now', status: 'UNAVAILABLE' } }];
    scene.plays({ gemini: says(JSON_TYPE, JSON.stringify(error)), groq: streams('chat', 'x') });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: bodyFor('falls', 'messages', true),
    });
    expect([answer.status, textOf(answer.text)]).toEqual([200, 'x']);
  });

  test('an array that ends in the middle is a broken stream', async () => {
    const half = JSON.stringify(GEMINI).slice(0, 300);
    scene.plays({ gemini: says(JSON_TYPE, half) });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: bodyFor('gemini/gemini-2.5-flash', 'messages', true),
    });
    expect(textOf(answer.text)).toContain('one ');
    expect(answer.text).toContain('event: error');
    expect(answer.text).not.toMatch(END);
    expect(scene.asked).toEqual({ gemini: 1 });
  });
});

describe('an answer that is larger than is held of one', () => {
  const LARGE = JSON.stringify(candidate('x'.repeat(9 * 1024 * 1024), { finishReason: 'STOP' }));

  test.each([
    'gemini/gemini-2.5-flash',
    'falls',
  ])('is a clear failure of %s, and nobody is asked again', async (model) => {
    scene.plays({ gemini: says(JSON_TYPE, LARGE, 256 * 1024), groq: streams('chat', 'x') });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: bodyFor(model, 'messages', false),
    });
    expect([answer.status, scene.asked]).toEqual([502, { gemini: 1 }]);
    expect(JSON.parse(answer.text).error.message).toMatch(/larger than.*Ask for a stream/);
    expect(answer.facts).toMatchObject([{ usage_source: 'reported', output_tokens: 3 }]);
  });

  test('streams all the same', async () => {
    const pieces = Array.from({ length: 36 }, () => candidate('x'.repeat(256 * 1024)));
    scene.plays({ gemini: says(EVENTS_TYPE, sse([...pieces, GEMINI[2] ?? {}]), 256 * 1024) });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: bodyFor('gemini/gemini-2.5-flash', 'messages', true),
    });
    expect([answer.status, textOf(answer.text).length]).toEqual([200, 9 * 1024 * 1024]);
    expect(answer.text).toMatch(END);
  });

  test('holds nothing behind it', async () => {
    const metrics = await scene.gateway.idle();
    expect(metrics.get('ai_hold_bytes') ?? 0).toBe(0);
  });
});

describe('vectors', () => {
  const ask = (body: object) =>
    scene.ask('', { path: '/v1/embeddings', body: JSON.stringify({ model: 'vectors', ...body }) });

  test('of 16 MiB come whole, however they are cut, and are told as they were', async () => {
    const values = Array.from({ length: 1_536 }, (_, at) => Math.sin(at) / 3);
    const answer = { embeddings: Array.from({ length: 560 }, () => ({ values })) };
    const text = JSON.stringify(answer);
    expect(text.length).toBeGreaterThan(16 * 1024 * 1024);
    scene.plays({ gemini: says(JSON_TYPE, text, 999_983) });
    const told = await ask({ input: Array.from({ length: 560 }, () => 'x') });
    expect(told.status).toBe(200);
    const { data } = JSON.parse(told.text) as { data: { embedding: number[] }[] };
    expect(data.length).toBe(560);
    expect(data.at(-1)?.embedding).toEqual(values);
    expect(told.fields.get('content-length')).toBe(String(told.text.length));
  });

  test.each([
    ['half of them', '{"embeddings":[{"values":[1,2]},{"val'],
    ['one that is none', '{"embeddings":[{"values":["x"]}]}'],
    ['a page', '<html></html>'],
  ])('%s are one clear failure, and their provider is asked once', async (_how, body) => {
    scene.plays({ gemini: says(JSON_TYPE, body) });
    const told = await ask({ input: 'x' });
    expect([told.status, scene.asked]).toEqual([502, { gemini: 1 }]);
    expect(JSON.parse(told.text).error.message).toContain('cannot be read');
  });

  test('of more than 32 MiB are one clear failure', async () => {
    const values = Array.from({ length: 1_536 }, (_, at) => Math.sin(at) / 3);
    const text = JSON.stringify({ embeddings: Array.from({ length: 1_200 }, () => ({ values })) });
    scene.plays({ gemini: says(JSON_TYPE, text, 999_983) });
    const told = await ask({ input: 'x' });
    expect([told.status, scene.asked]).toEqual([502, { gemini: 1 }]);
    expect(JSON.parse(told.text).error.message).toContain('larger than');
  });

  test('an error in their place is told as it was', async () => {
    scene.plays({ gemini: answers(400, '{"error":{"code":400,"message":"too many texts"}}') });
    const told = await ask({ input: 'x' });
    expect([told.status, JSON.parse(told.text).error.message]).toEqual([400, 'too many texts']);
  });
});
