import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Act,
  answers,
  EVENTS,
  type RoutedScene,
  type SceneWire,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

// Bodies that are nearly right, answers that are nearly right, and everything between, for targets of every wire: each request
// is answered by the table, none by a bug, and nothing of it is kept.

/** Of answers, and of bodies; a few of each are in hand at a time. */
const MEMORY_BYTES = 2 * 1024 * 1024;

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['groq', 'anthropic', 'gemini', 'ollama', 'mistral', 'deepseek'],
    `breaker_failures = 100000
replay_max_bytes = "2MiB"
replay_memory_bytes = "2MiB"
hold_memory_bytes = "2MiB"
rate_limit_rps = 0
[provider_wires]
groq = ["openai-chat"]
gemini = ["gemini"]
ollama = ["ollama"]
mistral = ["openai-chat"]
deepseek = ["openai-chat"]
[routes.behind]
targets = ["mistral/large"]
fallbacks = ["deepseek/chat"]
[routes.all]
targets = ["anthropic/claude-opus-4-5"]
fallbacks = ["gemini/gemini-2.5-flash", "ollama/llama3.2", "groq/llama"]
`,
    { ollama: [] },
  );
});
afterAll(async () => await scene.stop());

type Json = Readonly<Record<string, unknown>>;

const PICTURE = { url: 'data:image/png;base64,iVBORw0KGgo=' };
const SCHEMA = { type: 'object', properties: { zone: { type: 'string' } }, required: ['zone'] };

/** Bodies that say much, of each wire. */
const BODIES: Readonly<Record<SceneWire | 'embeddings', Json>> = {
  chat: {
    stream: true,
    max_tokens: 9,
    temperature: 0.5,
    stop: ['x'],
    n: 1,
    tools: [{ type: 'function', function: { name: 'clock', parameters: SCHEMA, strict: true } }],
    tool_choice: { type: 'function', function: { name: 'clock' } },
    response_format: { type: 'json_schema', json_schema: { name: 'x', schema: SCHEMA } },
    reasoning_effort: 'low',
    messages: [
      { role: 'system', content: 'Be terse.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'hi' },
          { type: 'image_url', image_url: PICTURE },
        ],
      },
      {
        role: 'assistant',
        content: null,
        thinking_blocks: [{ type: 'thinking', thinking: 'hm', signature: 'Eqo=' }],
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'clock', arguments: '{"zone":"UTC"}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: 'noon' }] },
    ],
  },
  responses: {
    stream: true,
    max_output_tokens: 9,
    instructions: 'Be terse.',
    tools: [
      { type: 'function', name: 'clock', parameters: SCHEMA },
      { type: 'namespace', name: 'x', tools: [{ type: 'custom', name: 'free' }] },
    ],
    tool_choice: 'auto',
    reasoning: { effort: 'low' },
    text: { format: { type: 'json_schema', name: 'x', schema: SCHEMA } },
    input: [
      { role: 'user', content: [{ type: 'input_image', image_url: PICTURE.url }] },
      { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }] },
      { type: 'function_call', call_id: 'c1', name: 'clock', arguments: '{"zone":"UTC"}' },
      { type: 'function_call_output', call_id: 'c1', output: 'noon' },
      { type: 'web_search_call', id: 'ws_1', status: 'completed' },
    ],
  },
  messages: {
    stream: true,
    max_tokens: 2_000,
    system: [{ type: 'text', text: 'Be terse.', cache_control: { type: 'ephemeral' } }],
    thinking: { type: 'enabled', budget_tokens: 1_024 },
    tools: [{ name: 'clock', input_schema: SCHEMA }],
    tool_choice: { type: 'auto', disable_parallel_tool_use: true },
    stop_sequences: ['x'],
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'hi' },
          { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'x' } },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 'Eqo=' },
          { type: 'tool_use', id: 't1', name: 'clock', input: { zone: 'UTC' } },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 't1', content: [{ type: 'text', text: 'noon' }] },
        ],
      },
    ],
  },
  embeddings: { input: ['north', 'south'], dimensions: 3, encoding_format: 'base64' },
};

const PATHS: Readonly<Record<keyof typeof BODIES, string>> = {
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
  messages: '/v1/messages',
  embeddings: '/v1/embeddings',
};

const MODELS = [
  'all',
  'anthropic/claude-opus-4-5',
  'gemini/gemini-3-flash',
  'ollama/llama3.2',
  'groq/llama',
] as const;

const candidate = (parts: readonly Json[], more: Json): Json => ({
  candidates: [{ content: { parts, role: 'model' }, index: 0, ...more }],
  usageMetadata: { promptTokenCount: 7, candidatesTokenCount: 3, totalTokenCount: 10 },
});
const CALL = { functionCall: { name: 'clock', args: { zone: 'UTC' } }, thoughtSignature: 'U2ln' };

/** Texts of answers, of all wires. */
const ANSWERS: readonly string[] = [
  WHOLE,
  EVENTS.chat.opening + EVENTS.chat.word('x') + EVENTS.chat.end,
  EVENTS.messages.opening + EVENTS.messages.word('x') + EVENTS.messages.end,
  JSON.stringify({
    type: 'message',
    content: [
      { type: 'text', text: 'x' },
      { type: 'tool_use', id: 't', name: 'clock', input: {} },
    ],
    stop_reason: 'tool_use',
    usage: { input_tokens: 7, output_tokens: 3 },
  }),
  JSON.stringify([candidate([{ text: 'x' }, CALL], {}), candidate([], { finishReason: 'STOP' })]),
  `data: ${JSON.stringify(candidate([CALL], { finishReason: 'STOP' }))}\r\n\r\n`,
  JSON.stringify({ embeddings: [{ values: [0.5, 1] }, { values: [2, 3] }] }),
  JSON.stringify({
    embeddings: [
      [0.5, 1],
      [2, 3],
    ],
    prompt_eval_count: 2,
  }),
  `${JSON.stringify({ model: 'm', message: { content: 'x', tool_calls: [{ function: { name: 'clock', arguments: {} } }] } })}\n{"model":"m","message":{},"done":true,"done_reason":"stop","eval_count":1}\n`,
  '{"error":{"message":"no","code":503}}',
  '<html></html>',
];

/** Every place of a JSON value. */
function placesOf(value: unknown, path: readonly (string | number)[] = []): (string | number)[][] {
  const inner =
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, one]) => placesOf(one, [...path, name]))
      : [];
  return [[...path], ...inner];
}

function withChanged(value: unknown, path: readonly (string | number)[], to: unknown): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return to;
  const copy: Record<string | number, unknown> | unknown[] = Array.isArray(value)
    ? [...value]
    : { ...(value as Json) };
  const inner = (copy as Record<string | number, unknown>)[first];
  (copy as Record<string | number, unknown>)[first] = withChanged(inner, rest, to);
  return copy;
}

const junk = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom('', 'user', 'assistant', 'system', 'tool', 'text', 'image', 'function', '\ud800'),
  fc.constantFrom(null, true, -1, 0, 1e308, 12_345_678_901_234_567_890n.toString(), [], {}, [[]]),
  fc.constantFrom({ type: 'tool_use' }, { type: 'input_audio' }, { role: 'tool' }, { error: {} }),
);

const body = (name: keyof typeof BODIES) => {
  const places = placesOf(BODIES[name]).filter((path) => path.length > 0);
  const change = fc.tuple(fc.constantFrom(...places), junk);
  return fc.array(change, { maxLength: 3 }).map((changes) =>
    changes.reduce<unknown>((so, [path, to]) => {
      try {
        return withChanged(so, path, to);
      } catch {
        return so;
      }
    }, BODIES[name]),
  );
};

/** Cut, with a byte changed, under any type, ended well or not. */
const reply = fc.record({
  text: fc.constantFrom(...ANSWERS),
  type: fc.constantFrom(
    'application/json',
    'text/event-stream',
    'application/x-ndjson',
    'text/html',
  ),
  status: fc.constantFrom(200, 200, 200, 200, 204, 302, 400, 404, 429, 500),
  cutAt: fc.option(fc.nat(400), { freq: 4 }),
  noise: fc.option(
    fc.tuple(fc.nat(300), fc.constantFrom('"', '{', '[', '\\', '\n', '\u0000', 'é')),
    { freq: 3 },
  ),
  pieceBytes: fc.constantFrom(1, 7, 10_000),
  resets: fc.boolean(),
});
type Reply = typeof reply extends fc.Arbitrary<infer One> ? One : never;

const says =
  ({ text, type, status, cutAt, noise, pieceBytes, resets }: Reply): Act =>
  async (turn) => {
    await turn.bodyDone();
    const noisy =
      noise === null ? text : text.slice(0, noise[0]) + noise[1] + text.slice(noise[0] + 1);
    const bytes = Buffer.from(cutAt === null ? noisy : noisy.slice(0, cutAt));
    if (status !== 200) {
      const fields = `content-type: ${type}\r\nlocation: https://x.example/\r\n`;
      const content = status === 204 ? Buffer.alloc(0) : bytes;
      const length = status === 204 ? '' : `content-length: ${content.length}\r\n`;
      await turn.write(`HTTP/1.1 ${status} Said\r\n${fields}${length}\r\n`);
      if (content.length > 0) await turn.write(content);
      return;
    }
    await turn.stream([`content-type: ${type}`]);
    for (let at = 0; at < bytes.length; at += pieceBytes)
      await turn.chunk(bytes.subarray(at, at + pieceBytes));
    if (resets) turn.reset();
    else await turn.lastChunk();
  };

/** What the contract's table can answer, and what providers said. */
const ALLOWED = new Set([200, 204, 302, 400, 402, 404, 413, 422, 429, 502, 503, 504]);

describe.each(Object.keys(BODIES) as (keyof typeof BODIES)[])('requests to %s', (name) => {
  test('are answered by the table or by their provider, and never by a bug', async () => {
    await fc.assert(
      fc.asyncProperty(
        body(name),
        fc.constantFrom(...MODELS),
        reply,
        fc.boolean(),
        async (said, model, came, isStrict) => {
          const act = says(came);
          scene.plays({ groq: act, anthropic: act, gemini: act, ollama: act });
          const isObject = typeof said === 'object' && said !== null && !Array.isArray(said);
          const text = JSON.stringify(isObject ? { ...said, model } : said);
          const answer = await scene.ask('', {
            path: PATHS[name],
            body: text,
            fields: { ...(isStrict ? { 'x-sluice-strict': 'true' } : {}) },
          });
          const isProviders = came.status === 500 && answer.status === 500;
          expect(isProviders || ALLOWED.has(answer.status), `${answer.status} ${answer.text}`).toBe(
            true,
          );
          expect(answer.text).not.toContain('internal_error');
          const outcomes = answer.facts.map(({ outcome }) => outcome);
          expect(outcomes).not.toContain('gateway_error');
        },
      ),
      { numRuns: 120 },
    );
    const metrics = await scene.gateway.idle();
    for (const gauge of ['ai_active_streams', 'ai_requests_in_flight'])
      expect(metrics.get(gauge), gauge).toBe(0);
  });
});

describe('behind them', () => {
  // What the node may hold of answers and keep of bodies is as much as one of these takes. Who was asked before may rest: a
  // 429 was among its answers.
  const text = 'x'.repeat(MEMORY_BYTES - 128 * 1024);

  test('all that may be held of answers can be held', async () => {
    const whole = WHOLE.replace('whole', text);
    scene.plays({ mistral: answers(200, whole) });
    const body = {
      model: 'mistral/large',
      max_tokens: 9,
      messages: [{ role: 'user', content: 'x' }],
    };
    const answer = await scene.ask('', { path: PATHS.messages, body: JSON.stringify(body) });
    expect([answer.status, answer.text.includes(text)]).toEqual([200, true]);
    const metrics = await scene.gateway.idle();
    expect(metrics.get('ai_hold_cut_short_total')).toBe(0);
  });

  test('all that may be kept of bodies can be kept', async () => {
    scene.plays({ mistral: answers(200, WHOLE) });
    const before = (await scene.gateway.idle()).get('ai_replay_skipped_total');
    const body = { model: 'behind', max_tokens: 9, messages: [{ role: 'user', content: text }] };
    const answer = await scene.ask('', { path: PATHS.messages, body: JSON.stringify(body) });
    expect(answer.status).toBe(200);
    expect((await scene.gateway.idle()).get('ai_replay_skipped_total')).toBe(before);
  });
});
