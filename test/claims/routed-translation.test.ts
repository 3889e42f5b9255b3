import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  resets,
  startRoutedScene,
  streams,
  streamsChunks,
  WHOLE,
} from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// A route whose targets speak another wire than its caller: the stock clients notice nothing, and facts are the target's.

const MESSAGE = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5-20250929',
  content: [{ type: 'text', text: 'from Claude' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 5, cache_read_input_tokens: 2, output_tokens: 3 },
});

/** A target for each failure: one that failed is left alone for a while. */
const ROUTES = ['claude-a', 'claude-b', 'claude-c', 'claude-d', 'claude-e', 'claude-f'];

let scene: RoutedScene;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'mistral', 'anthropic'],
    `replay_max_bytes = "1MiB"
[routes.chat]
targets = ["openai/gpt-4o"]
fallbacks = ["anthropic/claude-opus-4-5"]
[routes.clean]
targets = ["openai/gpt-4o-clean"]
fallbacks = ["anthropic/claude-opus-4-8"]
[routes.held]
targets = ["anthropic/claude-opus-4-6"]
fallbacks = ["groq/llama-held"]
retries = 0
stream_safety = "hold"
[routes.resumed]
targets = ["anthropic/claude-opus-4-7"]
fallbacks = ["mistral/mistral-large-latest"]
retries = 0
stream_safety = "resume"
${ROUTES.map((name) => `[routes.${name}]\ntargets = ["anthropic/${name}"]\nfallbacks = ["groq/llama"]\nretries = 0\n`).join('')}`,
  );
  const baseURL = `http://127.0.0.1:${scene.gateway.port}`;
  openai = new OpenAI({ apiKey: scene.key, baseURL: `${baseURL}/v1`, maxRetries: 0 });
  anthropic = new Anthropic({ authToken: scene.key, apiKey: null, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

const HI = [{ role: 'user' as const, content: 'hi' }];

function sentTo(provider: string) {
  const request = scene.upstreams[provider]?.requests[0];
  const body: unknown = JSON.parse(request?.body.toString() ?? 'null');
  return { request, body };
}

describe("OpenAI's client on Anthropic's wire", () => {
  test('gets a whole answer; the provider gets its own request, key and version, and nothing else', async () => {
    scene.plays({ anthropic: answers(200, MESSAGE) });
    const answer = await scene.ask('only-claude', {
      body: JSON.stringify({
        model: 'anthropic/claude-sonnet-4-5',
        messages: HI,
        max_tokens: 9,
        seed: 7,
      }),
      fields: { 'openai-beta': 'x=1', 'x-stainless-lang': 'js' },
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { content: 'from Claude' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
    });
    const { request, body } = sentTo('anthropic');
    expect(request?.target).toBe('/v1/messages');
    expect(body).toEqual({
      model: 'claude-sonnet-4-5',
      max_tokens: 9,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
    });
    expect(request?.field('x-api-key')).toBe('sk-anthropic-pool');
    expect(request?.field('anthropic-version')).toBe('2023-06-01');
    expect(request?.field('openai-beta') ?? null).toBeNull();
    expect(request?.field('x-stainless-lang') ?? null).toBeNull();
    expect(answer.fields.get('x-sluice-dropped')).toBe('seed');
    expect(answer.fields.get('x-sluice-target')).toBe('anthropic/claude-sonnet-4-5');
    expect(answer.facts).toMatchObject([
      {
        provider: 'anthropic',
        dialect: 'anthropic',
        usage_source: 'reported',
        input_tokens: 5,
        cache_read_tokens: 2,
        output_tokens: 3,
        target_model: 'anthropic/claude-sonnet-4-5',
      },
    ]);
  });

  test('streams, and its usage comes where it was asked for', async () => {
    scene.plays({ anthropic: streams('messages', 'word') });
    const stream = await openai.chat.completions.create({
      model: 'anthropic/claude-sonnet-4-5-1',
      messages: HI,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe('word');
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)?.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 3 });
  });

  test.each([
    ['429 as its own rate limit', 429, 'rate_limit_error', OpenAI.RateLimitError, 429],
    ['529 as 503', 529, 'overloaded_error', OpenAI.InternalServerError, 503],
    ['400 as its own', 400, 'invalid_request_error', OpenAI.BadRequestError, 400],
  ])('is told a %s', async (_name, status, type, kind, told) => {
    const body = JSON.stringify({
      type: 'error',
      error: { type, message: 'as the provider says' },
    });
    scene.plays({ anthropic: answers(status, body, ['retry-after: 9']) });
    const failure = await failureOf(
      openai.chat.completions.create({ model: `anthropic/claude-${status}`, messages: HI }),
    );
    expect(failure).toBeInstanceOf(kind);
    expect(failure).toMatchObject({ status: told });
    expect(String(failure)).toContain('as the provider says');
  });

  test('raises on a stream that breaks, and never takes it for whole', async () => {
    const { opening, word } = EVENTS.messages;
    scene.plays({ anthropic: cutsBehind(opening, word('half')) });
    const stream = await openai.chat.completions.create({
      model: 'anthropic/claude-sonnet-4-5-3',
      messages: HI,
      stream: true,
    });
    let text = '';
    const reading = (async () => {
      for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
    })();
    expect(await failureOf(reading)).toBeInstanceOf(Error);
    expect(text).toBe('half');
  });

  test('raises on an error event behind content', async () => {
    const { opening, word, error } = EVENTS.messages;
    scene.plays({ anthropic: cutsBehind(opening, word('half'), error) });
    const stream = await openai.chat.completions.create({
      model: 'anthropic/claude-sonnet-4-5-4',
      messages: HI,
      stream: true,
    });
    const reading = (async () => {
      for await (const _ of stream);
    })();
    expect(String(await failureOf(reading))).toContain('Overloaded');
  });
});

describe("Anthropic's client on OpenAI's wire", () => {
  test('streams a call with its arguments, and usage is asked for on its behalf', async () => {
    const call = (delta: object, finish: string | null = null) =>
      `data: ${JSON.stringify({ id: 'c', model: 'gpt', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    const chunks = [
      call({ role: 'assistant', content: 'Let me look.' }),
      call({
        tool_calls: [
          {
            index: 0,
            id: 'call_1',
            type: 'function',
            function: { name: 'clock', arguments: '{"zone":' },
          },
        ],
      }),
      call({ tool_calls: [{ index: 0, function: { arguments: '"UTC"}' } }] }),
      call({}, 'tool_calls'),
      `data: ${JSON.stringify({ id: 'c', model: 'gpt', choices: [], usage: { prompt_tokens: 11, completion_tokens: 4, total_tokens: 15 } })}\n\n`,
      'data: [DONE]\n\n',
    ];
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        for (const chunk of chunks) await turn.chunk(chunk);
        await turn.lastChunk();
      },
    });
    const message = await anthropic.messages
      .stream({
        model: 'openai/gpt-4o-mini-1',
        max_tokens: 50,
        messages: HI,
        tools: [{ name: 'clock', input_schema: { type: 'object', properties: {} } }],
      })
      .finalMessage();
    expect(message.content).toMatchObject([
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', id: 'call_1', name: 'clock', input: { zone: 'UTC' } },
    ]);
    expect(message.stop_reason).toBe('tool_use');
    expect(message.usage).toMatchObject({ input_tokens: 11, output_tokens: 4 });
    const { request, body } = sentTo('openai');
    expect(request?.target).toBe('/v1/chat/completions');
    expect(body).toMatchObject({
      model: 'gpt-4o-mini-1',
      max_completion_tokens: 50,
      stream_options: { include_usage: true },
    });
    expect(request?.field('anthropic-version') ?? null).toBeNull();
  });

  test.each([
    [
      'a 404 of the model',
      404,
      { message: 'no such model', code: 'model_not_found' },
      'NotFoundError',
    ],
    [
      'a 429',
      429,
      { message: 'slow down', type: 'requests', code: 'rate_limit_exceeded' },
      'RateLimitError',
    ],
  ] as const)('is told %s in its own words', async (_name, status, error, kind) => {
    scene.plays({ openai: answers(status, JSON.stringify({ error })) });
    const failure = await failureOf(
      anthropic.messages.create({ model: 'openai/gpt-4o-mini-2', max_tokens: 9, messages: HI }),
    );
    expect(failure).toBeInstanceOf(Anthropic[kind]);
    expect(String(failure)).toContain(error.message);
  });

  test('is told an error inside a 200 as an error', async () => {
    scene.plays({
      openai: answers(200, '{"error":{"message":"out of memory","type":"server_error"}}'),
    });
    const failure = await failureOf(
      anthropic.messages.create({ model: 'openai/gpt-4o-mini-3', max_tokens: 9, messages: HI }),
    );
    expect(failure).toMatchObject({ status: 502 });
    expect(String(failure)).toContain('out of memory');
  });
});

describe('a plan of several wires', () => {
  test('falls back from one to the other: each has its fact', async () => {
    scene.plays({ openai: resets, anthropic: answers(200, MESSAGE) });
    const answer = await scene.ask('chat', { stream: false });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      choices: [{ message: { content: 'from Claude' } }],
    });
    expect(scene.asked).toMatchObject({ anthropic: 1 });
    expect(answer.facts.map((fact) => [fact['provider'], fact['final']])).toContainEqual([
      'anthropic',
      true,
    ]);
    expect(answer.fields.get('x-sluice-attempts')).toMatch(/anthropic\/claude-opus-4-5 200$/);
  });

  test.each([
    [
      'claude-a',
      'an error in its opening',
      cutsBehind(EVENTS.messages.opening, EVENTS.messages.error),
    ],
    ['claude-b', 'no content at all', cutsBehind(EVENTS.messages.opening)],
    [
      'claude-c',
      '529',
      answers(529, '{"type":"error","error":{"type":"overloaded_error","message":"x"}}'),
    ],
    [
      'claude-d',
      'a 200 that holds an error',
      answers(200, '{"type":"error","error":{"type":"api_error","message":"x"}}'),
    ],
  ])('%s goes on to the other wire behind %s', async (route, _name, act) => {
    scene.plays({ anthropic: act, groq: streams('chat', 'word') });
    const answer = await scene.ask(route);
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('word');
    expect(scene.asked['groq']).toBe(1);
    expect(answer.fields.get('x-sluice-target')).toBe('groq/llama');
  });

  test('a stream that is held to its end fails over behind its first words', async () => {
    const { opening, word } = EVENTS.messages;
    scene.plays({ anthropic: cutsBehind(opening, word('half')), groq: streams('chat', 'whole') });
    const answer = await scene.ask('held');
    expect(answer.text).toContain('whole');
    expect(answer.text).not.toContain('half');
  });

  test("a stream that breaks goes on at a target of the caller's wire, within the same answer", async () => {
    const { opening, word } = EVENTS.messages;
    const { word: chunk, end } = EVENTS.chat;
    scene.plays({
      anthropic: cutsBehind(opening, word('One, two, three, ')),
      mistral: streamsChunks(EVENTS.chat.opening, chunk('One, two, three, four.'), end),
    });
    const answer = await scene.ask('resumed');
    expect(answer.cut).toBe(false);
    expect(scene.asked).toEqual({ anthropic: 1, mistral: 1 });
    const said = [...answer.text.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text).join('');
    expect(said).toBe('One, two, three, four.');
    expect(answer.text.trimEnd().endsWith('data: [DONE]')).toBe(true);
  });

  test('a target that speaks its wire gets the body as it came, whatever else is in the plan', async () => {
    scene.plays({ openai: answers(200, WHOLE) });
    const body = '{ "model" : "chat", "messages": [ ], "brand_new" : 1.0 }';
    const answer = await scene.ask('', { body });
    expect(answer.text).toBe(WHOLE);
    expect(scene.upstreams['openai']?.requests[0]?.body.toString()).toBe(
      body.replace('"chat"', '"gpt-4o"'),
    );
    expect(answer.fields.get('x-sluice-dropped')).toBeNull();
  });

  test("what a target of another wire left in a history does not reach one of the caller's own", async () => {
    scene.plays({ anthropic: answers(200, MESSAGE) });
    const history = (signature: string) => ({
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature },
        { type: 'text', text: 'hello' },
      ],
    });
    const body = {
      model: 'claude-f',
      max_tokens: 9,
      messages: [...HI, history(''), ...HI, history('sluice.gemini.x'), ...HI],
    };
    const answer = await scene.ask('', { wire: 'messages', body: JSON.stringify(body) });
    expect(answer.text).toBe(MESSAGE);
    const text = scene.upstreams['anthropic']?.requests[0]?.body.toString() ?? '';
    expect(text).toContain('hello');
    expect(text).not.toContain('hm');
    expect(JSON.parse(text)).toMatchObject({ model: 'claude-f', max_tokens: 9 });
    scene.plays({ openai: answers(200, WHOLE) });
    const blocks = [{ type: 'thinking', thinking: 'hm', signature: 'EqoB' }];
    const said = { role: 'assistant', content: 'hello', thinking_blocks: blocks };
    await scene.ask('', {
      body: JSON.stringify({ model: 'clean', messages: [...HI, said, ...HI] }),
    });
    const sent = scene.upstreams['openai']?.requests[0]?.body.toString() ?? '';
    expect(sent).toContain('hello');
    expect(sent).not.toContain('thinking_blocks');
  });

  test('passes over a target that cannot be asked that, and the next one is asked', async () => {
    scene.plays({ groq: answers(200, WHOLE) });
    const body = JSON.stringify({ model: 'claude-e', messages: HI, n: 2 });
    const answer = await scene.ask('', { body });
    expect([answer.status, scene.asked]).toEqual([200, { groq: 1 }]);
  });
});

describe('what cannot be carried', () => {
  test.each([
    ['n', { n: 2 }, 400, 'untranslatable', 'n:'],
    [
      'a stored file',
      { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'file-0' } }] }] },
      400,
      'untranslatable',
      'file_id',
    ],
    [
      'a role that does not exist',
      { messages: [{ role: 'robot', content: 'x' }] },
      400,
      'invalid_body',
      'messages[0].role',
    ],
    [
      'an image that is no URL',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'cat' } }] }] },
      400,
      'invalid_body',
      'image_url',
    ],
    ['no messages', { messages: [] }, 400, 'invalid_body', 'messages'],
  ] as const)('%s is refused, and no provider hears of it', async (_name, more, status, code, says) => {
    scene.plays({});
    const body = JSON.stringify({ model: 'anthropic/claude-sonnet-4-5-5', messages: HI, ...more });
    const answer = await scene.ask('', { body });
    const { error } = JSON.parse(answer.text) as { error: { code: string; message: string } };
    expect([answer.status, error.code, scene.asked, answer.facts]).toEqual([status, code, {}, []]);
    expect(error.message).toContain(says);
  });

  test('with x-sluice-strict what would be lost is refused by its name', async () => {
    scene.plays({});
    const body = JSON.stringify({ model: 'anthropic/claude-sonnet-4-5-6', messages: HI, seed: 7 });
    const answer = await scene.ask('', { body, fields: { 'x-sluice-strict': 'true' } });
    expect([answer.status, scene.asked]).toEqual([400, {}]);
    expect(answer.text).toContain('seed');
  });

  test("Anthropic's clients read it in their own shape", async () => {
    scene.plays({});
    const failure = await failureOf(
      anthropic.messages.create({
        model: 'openai/gpt-4o-mini-4',
        max_tokens: 9,
        messages: HI,
        tools: [{ type: 'web_search_20250305', name: 'web_search' }],
      }),
    );
    expect(failure).toBeInstanceOf(Anthropic.BadRequestError);
    expect(String(failure)).toContain('tools.web_search');
  });
});

// Its key rests behind it: nothing of that provider can be asked any more.
describe('at last', () => {
  test('a caller is told nothing of a pool key that was refused inside a 200', async () => {
    const error = { type: 'authentication_error', message: 'invalid x-api-key' };
    scene.plays({ anthropic: answers(200, JSON.stringify({ type: 'error', error })) });
    const answer = await scene.ask('anthropic/claude-refused', { stream: false });
    const told = JSON.parse(answer.text) as { error: { code: string } };
    expect([answer.status, told.error.code]).toEqual([502, 'pool_key_rejected']);
    expect(answer.text).not.toContain('x-api-key');
  });
});
