import { setTimeout as pause } from 'node:timers/promises';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  startRoutedScene,
} from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// A thousandth of a dollar for a token out. A hundred tokens are reserved for what nobody limits: $0.1008 with the prompt. Of text
// that was seen two bytes count as a token, so a word of twenty is a cent.
const WORD = 'twenty bytes of text';
const LIMIT_USD = 0.25;
/** Between two halves of a word, so that not many come in one read; and words that may come so all the same. */
const PACE_MS = 1;
const WORDS_MAX = 100;
/** Where a request says how long its answer may be, text counts as for a bill: eight bytes a token. */
const LIMITED = { max_tokens: 100 };
const PRICED = ['openai/m', 'groq/m', 'anthropic/m', 'gemini/m', 'ollama/m'];
const OWN = Array.from({ length: 60 }, (_, at) => `[keys.${100 + at}]\npolicy = "stopped"\n`);
const CONFIG = `rate_limit_rps = 0
assumed_output_tokens = 100
${PRICED.map((name) => `[prices."${name}"]\ninput = "1"\noutput = "1000"\n`).join('')}
[models."groq/m"]
continues_prefix = true
[policies.stopped]
budget_usd_per_day = "${LIMIT_USD}"
hard_stop = true
[policies.large]
budget_usd_per_day = 100
hard_stop = true
[policies.never]
budget_usd_per_day = "${LIMIT_USD}"
[policies.soft]
budget_usd_per_day = "${LIMIT_USD}"
hard_stop = true
mode = "warn"
[keys.1]
policy = "never"
[keys.2]
policy = "soft"
[keys.3]
policy = "large"
[tenants.50]
policy = "stopped"
[routes.claude]
targets = ["anthropic/m"]
[routes.chat]
targets = ["openai/m"]
[routes.native]
targets = ["gemini/m"]
[routes.lines]
targets = ["ollama/m"]
[routes.two]
targets = ["openai/m"]
fallbacks = ["groq/m"]
[routes.held]
targets = ["openai/m"]
fallbacks = ["groq/m"]
stream_safety = "hold"
[routes.resumed]
targets = ["openai/m"]
fallbacks = ["groq/m"]
stream_safety = "resume"
${OWN.join('')}`;

let scene: RoutedScene;
let url: string;
let nextId = 100n;
const fresh = (): string => token({ keyId: nextId++ });

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic', 'gemini', 'ollama'],
    CONFIG,
    {},
    2,
  );
  url = scene.gateway.origin;
});
afterAll(async () => await scene.stop());

/** Says words until nobody reads them; each in two halves, so that most pieces end inside of an event. */
function saysOn(
  opening: string,
  word: (text: string) => string,
  fields = ['content-type: text/event-stream'],
): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(fields);
    await turn.chunk(opening);
    const text = word(WORD);
    const half = Math.floor(text.length / 2);
    while (!turn.socket.destroyed) {
      await turn.chunk(text.slice(0, half));
      await pause(PACE_MS);
      await turn.chunk(text.slice(half));
      await pause(PACE_MS);
    }
  };
}

const chat = saysOn(EVENTS.chat.opening, EVENTS.chat.word);
const responses = saysOn(EVENTS.responses.opening, EVENTS.responses.word);
const messages = saysOn(EVENTS.messages.opening, EVENTS.messages.word);
const part = (text: string) => ({
  candidates: [{ content: { role: 'model', parts: [{ text }] } }],
});
const gemini = saysOn('', (text) => `data: ${JSON.stringify(part(text))}\r\n\r\n`);
const array = saysOn('[', (text) => `${JSON.stringify(part(text))}\n,`, [
  'content-type: application/json',
]);
const line = (content: string) =>
  `${JSON.stringify({ model: 'm', message: { role: 'assistant', content }, done: false })}\n`;
/** Whole ones: of a text that a piece cuts, less is counted. */
const lines = saysOnOf(() => line(WORD), ['content-type: application/x-ndjson']);

/** Each word begins in the piece in which the one before it ends: none ends within an event. */
const astride: Act = async (turn) => {
  await turn.bodyDone();
  await turn.stream(['content-type: text/event-stream']);
  const text = EVENTS.chat.word(WORD);
  const half = Math.floor(text.length / 2);
  await turn.chunk(EVENTS.chat.opening + text.slice(0, half));
  while (!turn.socket.destroyed) {
    await pause(PACE_MS);
    await turn.chunk(text.slice(half) + text.slice(0, half));
  }
};

/** Chunk by chunk, and its end by itself, as far as the machine lets them be read apart. */
function streamsApart(...chunks: readonly string[]): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: text/event-stream']);
    for (const chunk of chunks) {
      await turn.chunk(chunk);
      await pause(PACE_MS);
    }
    await pause(20);
    await turn.lastChunk();
  };
}

interface Told {
  readonly status: number;
  readonly text: string;
  readonly cut: boolean;
  readonly words: number;
  readonly fact: Readonly<Record<string, unknown>>;
}

async function ask(key: string, path: string, body: object): Promise<Told> {
  const { status, text, cut, facts } = await scene.ask('', {
    path,
    fields: { authorization: `Bearer ${key}` },
    body: JSON.stringify({ messages: [{ role: 'user', content: 'hi' }], ...body }),
  });
  return { status, text, cut, words: text.split(WORD).length - 1, fact: facts[0] ?? {} };
}

/** How a key's only budget stands, once nothing is reserved of it. */
async function standing(key: string) {
  return await until('nothing to be reserved', async () => {
    const headers = { authorization: `Bearer ${key}` };
    const page = await (await fetch(`${url}/sluice/budget`, { headers })).json();
    const { budgets } = page as { readonly budgets: readonly Readonly<Record<string, string>>[] };
    return budgets[0]?.['reserved_usd'] === '0' && budgets[0];
  });
}

const EVENT_OF_OPENAI = /\n\ndata: (\{"error":\{.*\}\})\n\n$/;
/** Anthropic's, and that of the Responses API. */
const NAMED_EVENT = /\n\nevent: error\ndata: (\{.*\})\n\n$/;

describe.each([
  ['chat on the relay lane', '/openai/v1/chat/completions', 'm', 'openai', chat, 'openai'],
  ['chat on the routed lane', '/v1/chat/completions', 'm', 'openai', chat, 'openai'],
  ['words that begin where others end', '/v1/chat/completions', 'm', 'openai', astride, 'openai'],
  ['chat with another target left', '/v1/chat/completions', 'two', 'openai', chat, 'openai'],
  ['a held chat', '/v1/chat/completions', 'held', 'openai', chat, 'openai'],
  ['a chat that may be resumed', '/v1/chat/completions', 'resumed', 'openai', chat, 'openai'],
  ['responses on the relay lane', '/openai/v1/responses', 'm', 'openai', responses, 'openai'],
  ['responses on the routed lane', '/v1/responses', 'chat', 'openai', responses, 'openai'],
  ['messages on the relay lane', '/anthropic/v1/messages', 'm', 'anthropic', messages, 'anthropic'],
  ['messages on the routed lane', '/v1/messages', 'claude', 'anthropic', messages, 'anthropic'],
  ['messages told of a chat', '/v1/messages', 'chat', 'openai', chat, 'anthropic', LIMITED],
  [
    'a chat told of messages',
    '/v1/chat/completions',
    'claude',
    'anthropic',
    messages,
    'openai',
    LIMITED,
  ],
  [
    'responses told of messages',
    '/v1/responses',
    'claude',
    'anthropic',
    messages,
    'openai',
    { max_output_tokens: 100 },
  ],
  [
    'messages told of Gemini’s wire',
    '/v1/messages',
    'native',
    'gemini',
    gemini,
    'anthropic',
    LIMITED,
  ],
  [
    'messages told of Ollama’s lines',
    '/v1/messages',
    'lines',
    'ollama',
    lines,
    'anthropic',
    LIMITED,
  ],
  [
    'Gemini’s own events',
    '/gemini/v1beta/models/m:streamGenerateContent?alt=sse',
    'm',
    'gemini',
    gemini,
    'openai',
  ],
] as const)('hard_stop: %s', (_what, path, model, provider, act, dialect, limit?: object) => {
  test('it ends where its budget does, at an event’s end, with an error of its caller’s dialect', async () => {
    const key = fresh();
    scene.plays({ [provider]: act });
    const { status, text, cut, words, fact } = await ask(key, path, {
      model,
      stream: true,
      ...limit,
      ...(path.includes('responses') ? { input: 'hi', messages: undefined } : {}),
    });
    expect({ status, cut }).toEqual({ status: 200, cut: true });
    const isNamed = dialect === 'anthropic' || path.endsWith('/responses');
    const event = (isNamed ? NAMED_EVENT : EVENT_OF_OPENAI).exec(text.replaceAll('\r', ''));
    const { error } = JSON.parse(event?.[1] ?? 'null') as { error: Record<string, unknown> };
    expect(error).toMatchObject({
      type: dialect === 'openai' ? 'insufficient_quota' : 'billing_error',
      message: expect.stringMatching(
        /^The answer was cut in the middle: the gateway gave the request up\. Of \$0\.25 a day for this key, .*this answer may have cost \$0\.\d+ so far\. It renews at /,
      ),
      budget: { scope: 'key', window: 'day', limit_usd: '0.25', reason: 'spent' },
    });
    if (dialect === 'openai') expect(error['code']).toBe('budget_exceeded');
    // A cent each, or a quarter of one; the prompt is next to nothing.
    const least = limit === undefined ? 24 : 4 * 24;
    expect(words).toBeGreaterThanOrEqual(least);
    expect(words).toBeLessThanOrEqual(least + WORDS_MAX);
    expect(fact).toMatchObject({
      outcome: 'budget_stopped',
      usage_source: 'estimated',
      final: true,
    });
    expect(scene.asked).toEqual({ [provider]: 1 });
    await scene.upstreams[provider]?.noneBusy();
    const { spent_usd: spent } = await standing(key);
    expect(Number(spent)).toBeGreaterThan(0.24);
    expect(Number(spent)).toBeLessThanOrEqual(LIMIT_USD);
  });
});

describe('hard_stop of streams that are no event streams', () => {
  test.each([
    ['Gemini’s array', '/gemini/v1beta/models/m:streamGenerateContent', 'gemini', array],
    ['Ollama’s lines', '/ollama/api/chat', 'ollama', lines],
  ] as const)('%s end without their end', async (_what, path, provider, act) => {
    const key = fresh();
    scene.plays({ [provider]: act });
    const { cut, words, text, fact } = await ask(key, path, { model: 'm', stream: true });
    expect(cut).toBe(true);
    expect(words).toBeGreaterThanOrEqual(24);
    expect(words).toBeLessThanOrEqual(WORDS_MAX);
    if (provider === 'ollama') expect(text.endsWith('}\n')).toBe(true);
    expect(fact).toMatchObject({ outcome: 'budget_stopped' });
  });
});

const READ = [{ role: 'user' as const, content: 'hi' }];

/** Says more than the budget has in one piece, whose end is an event's beginning; then a piece by itself, which ends it nowhere. */
function endsWithin(begun: string, bytes: number): Act {
  const words = Array.from({ length: 30 }, () => EVENTS.chat.word(WORD)).join('');
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: text/event-stream']);
    await turn.chunk(`${EVENTS.chat.opening}${words}${begun}`);
    // What comes behind it is not read with it.
    await pause(PACE_MS);
    for (let at = 0; at < 8 && !turn.socket.destroyed; at++) {
      await turn.chunk('x'.repeat(bytes));
      await pause(PACE_MS);
    }
    if (!turn.socket.destroyed) await turn.lastChunk();
  };
}

test('an event that does not end is cut in its middle, with no word behind it', async () => {
  const key = fresh();
  const KIB = 1_024;
  const begun = 'data: {"choices":[{"index":0,"delta":{"content":"';
  scene.plays({ openai: endsWithin(begun, 128 * KIB) });
  const { cut, text, fact } = await ask(key, '/v1/chat/completions', { model: 'm', stream: true });
  expect(cut).toBe(true);
  expect(text).not.toContain('budget_exceeded');
  expect(text.length).toBeGreaterThan(64 * KIB);
  expect(text.length).toBeLessThan(8 * 128 * KIB);
  expect(fact).toMatchObject({ outcome: 'budget_stopped' });
});

test('of an event that may be the report which its client did not ask for nothing is told: it ends before that', async () => {
  const key = fresh();
  scene.plays({ openai: endsWithin('data: {"id":"', 1) });
  const { cut, text, words, fact } = await ask(key, '/v1/chat/completions', {
    model: 'm',
    stream: true,
  });
  expect({ cut, words }).toEqual({ cut: true, words: 30 });
  expect(EVENT_OF_OPENAI.exec(text)?.[1]).toContain('budget_exceeded');
  expect(text).not.toContain('data: {"id":"x');
  expect(fact).toMatchObject({ outcome: 'budget_stopped' });
});

describe('hard_stop and stock SDKs', () => {
  test('OpenAI’s raises in the middle of its stream, and asks once', async () => {
    scene.plays({ openai: chat });
    const openai = new OpenAI({ apiKey: fresh(), baseURL: `${url}/v1`, maxRetries: 5 });
    const stream = await openai.chat.completions.create({
      model: 'm',
      messages: READ,
      stream: true,
    });
    let words = 0;
    const why = await failureOf(
      (async () => {
        for await (const { choices } of stream) if (choices[0]?.delta.content === WORD) words++;
      })(),
    );
    expect(why).toBeInstanceOf(OpenAI.APIError);
    expect(why).toMatchObject({ code: 'budget_exceeded', type: 'insufficient_quota' });
    expect(words).toBeGreaterThanOrEqual(24);
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('Anthropic’s raises in the middle of its stream, and asks once', async () => {
    scene.plays({ anthropic: messages });
    const anthropic = new Anthropic({
      authToken: fresh(),
      apiKey: null,
      baseURL: url,
      maxRetries: 5,
    });
    const stream = await anthropic.messages.create({
      model: 'm',
      messages: READ,
      stream: true,
    } as unknown as Anthropic.MessageCreateParamsStreaming);
    let words = 0;
    const why = await failureOf(
      (async () => {
        for await (const event of stream) if (event.type === 'content_block_delta') words++;
      })(),
    );
    expect(why).toBeInstanceOf(Anthropic.APIError);
    expect(String(why)).toContain('billing_error');
    expect(words).toBeGreaterThanOrEqual(24);
  });
});

describe('what hard_stop does not end', () => {
  test('without it a stream goes on to its end, and all of it is booked', async () => {
    const key = token({ keyId: 1n });
    const said = Array.from({ length: 60 }, () => EVENTS.chat.word(WORD));
    scene.plays({ openai: streamsApart(EVENTS.chat.opening, ...said, EVENTS.chat.end) });
    const { cut, words, fact } = await ask(key, '/v1/chat/completions', {
      model: 'm',
      stream: true,
    });
    expect({ cut, words, outcome: fact['outcome'] }).toEqual({
      cut: false,
      words: 60,
      outcome: 'complete',
    });
  });

  test('a budget that only counts ends nothing', async () => {
    const key = token({ keyId: 2n });
    const said = Array.from({ length: 60 }, () => EVENTS.chat.word(WORD));
    scene.plays({ openai: streamsApart(EVENTS.chat.opening, ...said, EVENTS.chat.end) });
    const { cut, words } = await ask(key, '/v1/chat/completions', { model: 'm', stream: true });
    expect({ cut, words }).toEqual({ cut: false, words: 60 });
  });

  test('a stream goes on beyond what was reserved for it as long as its budget has room, and costs what it reports', async () => {
    const key = token({ keyId: 3n });
    const said = Array.from({ length: 200 }, () => EVENTS.chat.word(WORD));
    scene.plays({ openai: streamsApart(EVENTS.chat.opening, ...said, EVENTS.chat.end) });
    const { cut, words } = await ask(key, '/v1/chat/completions', { model: 'm', stream: true });
    expect({ cut, words }).toEqual({ cut: false, words: 200 });
    // Seven tokens in, three out.
    expect((await standing(key))['spent_usd']).toBe('0.003007');
  });

  test('text that says more than max_tokens allows is no reason: only what the provider reports is', async () => {
    const key = fresh();
    const said = Array.from({ length: 60 }, () => EVENTS.chat.word(WORD));
    scene.plays({ openai: streamsApart(EVENTS.chat.opening, ...said, EVENTS.chat.end) });
    const asked = { model: 'm', stream: true, max_tokens: 200 };
    const { cut, words } = await ask(key, '/v1/chat/completions', asked);
    expect({ cut, words }).toEqual({ cut: false, words: 60 });
  });

  test('an answer that has said its end comes to it, whatever it reports', async () => {
    const key = fresh();
    const dear = EVENTS.chat.end.replace('"completion_tokens":3', '"completion_tokens":900');
    scene.plays({ openai: streamsApart(EVENTS.chat.opening, EVENTS.chat.word(WORD), dear) });
    const { cut, text } = await ask(key, '/v1/chat/completions', { model: 'm', stream: true });
    expect({ cut, isWhole: text.endsWith('data: [DONE]\n\n') }).toEqual({
      cut: false,
      isWhole: true,
    });
    expect((await standing(key))['spent_usd']).toBe('0.900007');
  });

  test('an answer in one piece has been written, and is told', async () => {
    const key = fresh();
    const usage = { prompt_tokens: 1, completion_tokens: 900, total_tokens: 901 };
    const whole = { id: 'c', model: 'm', choices: [], usage };
    scene.plays({ openai: answers(200, JSON.stringify(whole)) });
    const { status, cut } = await ask(key, '/v1/chat/completions', { model: 'm' });
    expect({ status, cut }).toEqual({ status: 200, cut: false });
  });
});

test('a provider that reports as it goes is ended by what it reports, although max_tokens was said', async () => {
  const key = fresh();
  let tokens = 0;
  const told = () => {
    tokens += 10;
    const usageMetadata = {
      promptTokenCount: 5,
      candidatesTokenCount: tokens,
      totalTokenCount: tokens + 5,
    };
    return `data: ${JSON.stringify({ ...part('x'), usageMetadata })}\n\n`;
  };
  scene.plays({ gemini: saysOnOf(told) });
  const path = '/gemini/v1beta/models/m:streamGenerateContent?alt=sse';
  const { cut, fact } = await ask(key, path, {
    contents: [{ parts: [{ text: 'hi' }] }],
    generationConfig: { maxOutputTokens: 150 },
  });
  expect(cut).toBe(true);
  expect(fact).toMatchObject({ outcome: 'budget_stopped' });
  const output = Number(fact['output_tokens']);
  expect(output).toBeGreaterThanOrEqual(250);
  expect(output).toBeLessThanOrEqual(270);
  expect(Number((await standing(key))['spent_usd'])).toBeLessThanOrEqual(LIMIT_USD);
});

function saysOnOf(event: () => string, fields = ['content-type: text/event-stream']): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(fields);
    while (!turn.socket.destroyed) {
      await turn.chunk(event());
      await pause(PACE_MS);
    }
  };
}

test('two streams of one tenant share what is left, and both end by it', async () => {
  const keys = [token({ tenantId: 50n, keyId: 900n }), token({ tenantId: 50n, keyId: 901n })];
  scene.plays({ openai: chat });
  const came = await Promise.all(
    keys.map((key) => ask(key, '/v1/chat/completions', { model: 'm', stream: true })),
  );
  expect(came.map(({ cut, fact }) => [cut, fact['outcome']])).toEqual([
    [true, 'budget_stopped'],
    [true, 'budget_stopped'],
  ]);
  const words = came.reduce((sum, one) => sum + one.words, 0);
  expect(words).toBeGreaterThanOrEqual(23);
  expect(words).toBeLessThanOrEqual(WORDS_MAX);
  const { spent_usd: spent } = await standing(keys[0] ?? '');
  expect(Number(spent)).toBeLessThanOrEqual(LIMIT_USD);
});

test('who goes on with a broken stream is ended by the budget as well, with what both have said', async () => {
  const key = fresh();
  scene.plays({
    openai: cutsBehind(EVENTS.chat.opening, EVENTS.chat.word(WORD)),
    groq: chat,
  });
  const { cut, text, fact } = await ask(key, '/v1/chat/completions', {
    model: 'resumed',
    stream: true,
  });
  expect(cut).toBe(true);
  const event = EVENT_OF_OPENAI.exec(text);
  expect(JSON.parse(event?.[1] ?? 'null')).toMatchObject({
    error: { code: 'budget_exceeded', budget: { reason: 'spent' } },
  });
  expect(scene.asked).toEqual({ openai: 1, groq: 1 });
  expect(fact['request_id']).toBeDefined();
  expect(Number((await standing(key))['spent_usd'])).toBeLessThanOrEqual(LIMIT_USD);
});
