import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { signingKeys, token } from '../support/managed.ts';
import {
  type Act,
  answers,
  type RoutedScene,
  resets,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// Anthropic's callers on Ollama's own wire; OpenAI's go on reaching its OpenAI endpoint, byte for byte.

type Json = Readonly<Record<string, unknown>>;

const line = (message: Json, more: Json = {}): string =>
  `${JSON.stringify({ model: 'qwen3:8b', message: { role: 'assistant', content: '', ...message }, done: false, ...more })}\n`;
const END = { done: true, done_reason: 'stop', prompt_eval_count: 11, eval_count: 5 };
const whole = (message: Json): Act => answers(200, line(message, END));

/** A stream of these lines. */
function says(...lines: readonly string[]): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: application/x-ndjson']);
    for (const one of lines) await turn.chunk(one);
    await turn.lastChunk();
  };
}

const cutsBehind =
  (...lines: readonly string[]): Act =>
  async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: application/x-ndjson']);
    for (const one of lines) await turn.chunk(one);
    turn.reset();
  };

/** A target for each failure: one that failed is left alone for a while. */
const FAILING = ['a', 'b', 'c', 'd', 'e'];

let scene: RoutedScene;
let anthropic: Anthropic;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['anthropic', 'ollama'],
    `replay_max_bytes = "1MiB"
[routes.claude-first]
targets = ["anthropic/claude-opus-4-5"]
fallbacks = ["ollama/qwen3:8b"]
retries = 0
${FAILING.map((name) => `[routes.ollama-${name}]\ntargets = ["ollama/qwen3:${name}"]\nfallbacks = ["anthropic/claude-sonnet-4-5"]\nretries = 0\n`).join('')}
[prices."ollama/*"]
free = true
`,
    // It asks for no key.
    { ollama: [] },
  );
  const baseURL = scene.gateway.origin;
  anthropic = new Anthropic({ authToken: scene.key, apiKey: null, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

const HI = [{ role: 'user' as const, content: 'hi' }];
const TOOLS = [
  { name: 'clock', input_schema: { type: 'object' as const, properties: { zone: {} } } },
];
const CALL = { function: { name: 'clock', arguments: { zone: 'UTC' } } };

function sentTo(provider: string, at = 0) {
  const request = scene.upstreams[provider]?.requests[at];
  return { request, body: JSON.parse(request?.body.toString() ?? 'null') };
}

describe("Anthropic's client on Ollama's own wire", () => {
  test('gets a whole answer; Ollama gets its own path and request, no key, and nothing else', async () => {
    scene.plays({ ollama: whole({ content: 'from Ollama', thinking: 'hm' }) });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: JSON.stringify({
        model: 'ollama/qwen3:8b',
        max_tokens: 9,
        messages: HI,
        tools: TOOLS,
        tool_choice: { type: 'any' },
      }),
      fields: { 'anthropic-version': '2023-06-01', 'x-stainless-lang': 'js' },
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      type: 'message',
      model: 'qwen3:8b',
      content: [
        { type: 'thinking', thinking: 'hm' },
        { type: 'text', text: 'from Ollama' },
      ],
      stop_reason: 'end_turn',
      usage: { input_tokens: 11, output_tokens: 5 },
    });
    const { request, body } = sentTo('ollama');
    expect(request?.target).toBe('/api/chat');
    expect(body).toMatchObject({
      model: 'qwen3:8b',
      stream: false,
      messages: HI,
      options: { num_predict: 9 },
    });
    for (const name of ['authorization', 'x-api-key', 'anthropic-version', 'x-stainless-lang'])
      expect(request?.field(name) ?? null, name).toBeNull();
    expect(answer.fields.get('x-sluice-dropped')).toBe('tool_choice');
    expect(answer.fields.get('x-sluice-target')).toBe('ollama/qwen3:8b');
    expect(answer.facts).toMatchObject([
      {
        provider: 'ollama',
        target_model: 'ollama/qwen3:8b',
        usage_source: 'reported',
        input_tokens: 11,
        output_tokens: 5,
        cost_usd: '0',
      },
    ]);
  });

  test('streams thoughts, text and calls as they come, and the tool loop goes on', async () => {
    scene.plays({
      ollama: says(
        line({ thinking: 'hm' }),
        line({ content: 'Let me ' }),
        line({ content: 'look.' }),
        line({ tool_calls: [CALL, CALL] }),
        line({}, END),
      ),
    });
    const asked = { model: 'ollama/qwen3:8b', max_tokens: 50, tools: TOOLS };
    const message = await anthropic.messages.stream({ ...asked, messages: HI }).finalMessage();
    expect(message.content).toMatchObject([
      { type: 'thinking', thinking: 'hm' },
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', name: 'clock', input: { zone: 'UTC' } },
      { type: 'tool_use', name: 'clock', input: { zone: 'UTC' } },
    ]);
    expect(message.stop_reason).toBe('tool_use');
    expect(message.usage).toMatchObject({ input_tokens: 11, output_tokens: 5 });
    expect(sentTo('ollama').body.stream).toBe(true);

    scene.plays({ ollama: whole({ content: 'noon' }) });
    const results = message.content.flatMap((block) =>
      block.type === 'tool_use'
        ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: '12:00' }]
        : [],
    );
    expect(new Set(results.map(({ tool_use_id: id }) => id)).size).toBe(2);
    await anthropic.messages.create({
      ...asked,
      messages: [
        ...HI,
        { role: 'assistant', content: message.content },
        { role: 'user', content: results },
      ],
    });
    const { messages } = sentTo('ollama').body;
    expect(messages[1]).toMatchObject({
      role: 'assistant',
      content: 'Let me look.',
      thinking: 'hm',
      tool_calls: [CALL, CALL],
    });
    expect(messages.slice(2)).toMatchObject([
      { role: 'tool', content: '12:00', tool_name: 'clock' },
      { role: 'tool', content: '12:00', tool_name: 'clock' },
    ]);
  });

  test('has a fact of the stream, with what Ollama counted in its last line', async () => {
    scene.plays({ ollama: says(line({ content: 'a' }), line({}, END)) });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: JSON.stringify({ model: 'ollama/qwen3:8b', max_tokens: 9, messages: HI, stream: true }),
    });
    expect(answer.fields.get('content-type')).toBe('text/event-stream');
    expect(answer.facts).toMatchObject([
      { usage_source: 'reported', input_tokens: 11, output_tokens: 5, cost_usd: '0' },
    ]);
  });

  test.each([
    ['400', 400, '"x" does not support thinking', Anthropic.BadRequestError],
    ['404', 404, 'model "x" not found, try pulling it first', Anthropic.NotFoundError],
    ['503', 503, 'server busy, please try again', Anthropic.InternalServerError],
  ])('is told a %s in its words', async (name, status, message, kind) => {
    scene.plays({ ollama: answers(status, JSON.stringify({ error: message })) });
    const failure = await failureOf(
      anthropic.messages.create({ model: `ollama/m-${name}`, max_tokens: 9, messages: HI }),
    );
    expect(failure).toBeInstanceOf(kind);
    expect(failure).toMatchObject({ error: { error: { message } } });
  });

  test.each([
    ['a cut', cutsBehind(line({ content: 'half' })), ''],
    ['an end that is none', says(line({ content: 'half' })), ''],
    [
      'an error in its last line',
      says(line({ content: 'half' }), '{"error":"llama runner process has terminated"}\n'),
      'llama runner process has terminated',
    ],
  ])('raises on %s behind content, and never takes it for whole', async (_name, act, words) => {
    scene.plays({ ollama: act });
    let text = '';
    const stream = anthropic.messages
      .stream({ model: 'ollama/qwen3:4b', max_tokens: 9, messages: HI })
      .on('text', (more) => {
        text += more;
      });
    const failure = await failureOf(stream.finalMessage());
    expect(failure).toBeInstanceOf(Error);
    expect(String(failure)).toContain(words);
    expect(text).toBe('half');
  });

  test('is refused a picture that has an address alone, and Ollama hears nothing of it', async () => {
    scene.plays({});
    const source = { type: 'url' as const, url: 'https://example.com/a.png' };
    const failure = await failureOf(
      anthropic.messages.create({
        model: 'ollama/llava',
        max_tokens: 9,
        messages: [{ role: 'user', content: [{ type: 'image', source }] }],
      }),
    );
    expect(failure).toBeInstanceOf(Anthropic.BadRequestError);
    expect([String(failure), scene.asked]).toEqual([expect.stringContaining('image'), {}]);
  });
});

describe('a plan with Ollama', () => {
  test('is gone on with by it where Claude fails', async () => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'x' } };
    scene.plays({
      anthropic: answers(529, JSON.stringify(error)),
      ollama: says(line({ content: 'from ' }), line({ content: 'Ollama' }), line({}, END)),
    });
    const message = await anthropic.messages
      .stream({ model: 'claude-first', max_tokens: 9, messages: HI })
      .finalMessage();
    expect(message.content).toMatchObject([{ type: 'text', text: 'from Ollama' }]);
    expect(scene.asked).toEqual({ anthropic: 1, ollama: 1 });
  });

  test.each([
    ['ollama-a', '503', answers(503, '{"error":"server busy"}')],
    ['ollama-b', 'an error in its first line', says('{"error":"x"}\n')],
    ['ollama-c', 'an end before any line', says('')],
    ['ollama-d', 'a line that is no JSON', says('{"mod\n')],
    ['ollama-e', 'a reset', resets],
  ])('%s goes on to Claude behind %s', async (route, _name, act) => {
    scene.plays({ ollama: act, anthropic: streams('messages', 'from Claude') });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: JSON.stringify({ model: route, max_tokens: 9, messages: HI, stream: true }),
    });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('from Claude');
    expect(scene.asked).toEqual({ ollama: 1, anthropic: 1 });
  });
});

test("OpenAI's caller reaches Ollama's OpenAI endpoint, and its body goes as it came but for the model", async () => {
  scene.plays({ ollama: answers(200, WHOLE) });
  const body = '{ "model": "ollama/qwen3:8b",  "messages": [{"role":"user","content":"hi"}] }';
  const answer = await scene.ask('', { body });
  expect([answer.status, answer.text]).toEqual([200, WHOLE]);
  const { request } = sentTo('ollama');
  expect(request?.target).toBe('/v1/chat/completions');
  expect(request?.body.toString()).toBe(body.replace('ollama/qwen3:8b', 'qwen3:8b'));
});

describe("the mock, asked in Ollama's own wire through the gateway", () => {
  let mock: RunningMock;
  let gateway: Gateway;
  let client: Anthropic;
  beforeAll(async () => {
    mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
    gateway = await startGateway({
      config: `${authorities({ ollama: mock.port })}${signingKeys()}`,
    });
    const baseURL = gateway.origin;
    client = new Anthropic({ authToken: token(), apiKey: null, baseURL, maxRetries: 0 });
  });
  afterAll(async () => {
    await gateway.stop();
    await mock.close();
  });

  test('answers a tool loop, streamed, to its end', async () => {
    const asked = { model: 'ollama/qwen3:8b', max_tokens: 20, tools: TOOLS };
    const first = await client.messages.stream({ ...asked, messages: HI }).finalMessage();
    expect(first.stop_reason).toBe('tool_use');
    const [use] = first.content.filter((block) => block.type === 'tool_use');
    const result = { type: 'tool_result' as const, tool_use_id: use?.id ?? '', content: 'noon' };
    const second = await client.messages
      .stream({
        ...asked,
        messages: [
          ...HI,
          { role: 'assistant', content: first.content },
          { role: 'user', content: [result] },
        ],
      })
      .finalMessage();
    expect(second.stop_reason).toBe('end_turn');
    expect(second.usage.output_tokens).toBe(20);
  });
});
