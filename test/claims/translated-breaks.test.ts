import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import {
  type Act,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  type SceneWire,
  stallsBehind,
  startRoutedScene,
  streamsChunks,
} from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// Streams that break behind their first word, on every wire, for stock clients of every dialect: each is told an error event
// of its own wire, raises, and never takes what came for a whole answer.

let scene: RoutedScene;
let openai: OpenAI;
let anthropic: Anthropic;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic', 'gemini', 'ollama'],
    `breaker_failures = 1000
[provider_wires]
groq = ["openai-chat"]
gemini = ["gemini"]
ollama = ["ollama"]
`,
    { ollama: [] },
  );
  const { origin } = scene.gateway;
  openai = new OpenAI({ apiKey: scene.key, baseURL: `${origin}/v1`, maxRetries: 0 });
  anthropic = new Anthropic({
    authToken: scene.key,
    apiKey: null,
    baseURL: origin,
    maxRetries: 0,
  });
});
afterAll(async () => await scene.stop());

interface WireOf {
  readonly model: string;
  readonly opening: string;
  readonly error: string;
  readonly malformed: string;
  readonly type: string;
}

const part = (text: string): string =>
  `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text }] }, index: 0 }] })}\r\n\r\n`;

const WIRES: Readonly<Record<string, WireOf>> = {
  groq: {
    model: 'groq/llama',
    opening: EVENTS.chat.opening + EVENTS.chat.word('half'),
    error: EVENTS.chat.error,
    malformed: 'data: {"choices":[{"del\n\n',
    type: 'text/event-stream',
  },
  anthropic: {
    model: 'anthropic/claude-sonnet-4-5',
    opening: EVENTS.messages.opening + EVENTS.messages.word('half'),
    error: EVENTS.messages.error,
    malformed: 'event: content_block_delta\ndata: {"type":"content_blo\n\n',
    type: 'text/event-stream',
  },
  gemini: {
    model: 'gemini/gemini-2.5-flash',
    opening: part('half'),
    error: `data: ${JSON.stringify({ error: { code: 503, message: 'Overloaded' } })}\r\n\r\n`,
    malformed: 'data: {"candidates":[{\r\n\r\n',
    type: 'text/event-stream',
  },
  ollama: {
    model: 'ollama/llama3.2',
    opening: `${JSON.stringify({ model: 'm', message: { content: 'half' }, done: false })}\n`,
    error: '{"error":"Overloaded"}\n',
    malformed: '{"model":"m","mess\n',
    type: 'application/x-ndjson',
  },
};

const BREAKS: Readonly<Record<string, (wire: WireOf) => Act>> = {
  'a reset': ({ opening }) => cutsBehind(opening),
  'a reset within an event': ({ opening, malformed }) => cutsBehind(opening, malformed.trimEnd()),
  'an end without its mark': ({ opening }) => streamsChunks(opening),
  'an error event': ({ opening, error }) => streamsChunks(opening, error),
  'an error event, and nothing more': ({ opening, error }) => stallsBehind(opening, error),
  'an error event and a reset': ({ opening, error }) => cutsBehind(opening, error),
  'an event that is no JSON': ({ opening, malformed }) => streamsChunks(opening, malformed),
  'an event that is no JSON, and nothing more': ({ opening, malformed }) =>
    stallsBehind(opening, malformed),
};

/** The acts send an event stream's type. */
const typed =
  (act: Act, type: string): Act =>
  async (turn) =>
    await act(
      new Proxy(turn, {
        get: (target, name) =>
          name === 'stream'
            ? async () => await target.stream([`content-type: ${type}`])
            : Reflect.get(target, name).bind(target),
      }),
    );

const HI = [{ role: 'user' as const, content: 'hi' }];

/** What a stock helper makes of it. */
const HELPERS: Readonly<Record<SceneWire, (model: string) => Promise<unknown>>> = {
  chat: async (model) =>
    await openai.chat.completions
      .stream({ model, messages: HI, stream_options: { include_usage: true } })
      .finalChatCompletion(),
  responses: async (model) => await openai.responses.stream({ model, input: 'hi' }).finalResponse(),
  messages: async (model) =>
    await anthropic.messages.stream({ model, messages: HI, max_tokens: 9 }).finalMessage(),
};

const BODIES: Readonly<Record<SceneWire, object>> = {
  chat: { messages: HI },
  responses: { input: 'hi' },
  messages: { messages: HI, max_tokens: 9 },
};

type Json = Readonly<Record<string, unknown>>;

/** The last event of a stream. */
function lastOf(text: string): { readonly name: string | null; readonly data: Json } {
  const event = text.trimEnd().split('\n\n').at(-1) ?? '';
  const name = /^event: (.*)$/m.exec(event)?.[1] ?? null;
  const data = /^data: (.*)$/m.exec(event)?.[1] ?? '';
  return { name, data: JSON.parse(data) as Json };
}

/** An error event as the wire's own vendor documents it. */
const EXPECTED: Readonly<Record<SceneWire, (text: string) => void>> = {
  chat: (text) => {
    expect(lastOf(text)).toMatchObject({
      data: {
        error: { message: expect.stringMatching(/./), type: expect.any(String), param: null },
      },
    });
    expect(text).not.toContain('[DONE]');
    expect(text).not.toMatch(/"finish_reason":"/);
  },
  responses: (text) => {
    const count = text.trimEnd().split('\n\n').length;
    expect(lastOf(text)).toMatchObject({
      name: 'error',
      data: {
        type: 'error',
        code: expect.any(String),
        message: expect.stringMatching(/./),
        param: null,
        sequence_number: count - 1,
        error: { message: expect.any(String), type: expect.any(String) },
      },
    });
    expect(text).not.toContain('response.completed');
  },
  messages: (text) => {
    expect(lastOf(text)).toMatchObject({
      name: 'error',
      data: {
        type: 'error',
        error: { type: expect.stringMatching(/_error$/), message: expect.stringMatching(/./) },
      },
    });
    expect(text).not.toContain('message_stop');
  },
};

/** Whose own wire it is: what its provider sends is relayed, byte for byte. */
const OWN: Readonly<Record<SceneWire, string>> = {
  chat: 'groq',
  responses: '',
  messages: 'anthropic',
};

const CASES = (Object.keys(HELPERS) as SceneWire[]).flatMap((caller) =>
  Object.keys(WIRES)
    .filter((name) => name !== OWN[caller])
    .flatMap((name) => Object.keys(BREAKS).map((how) => [caller, name, how] as const)),
);

describe.each(CASES)('a caller of %s, and %s whose stream has %s', (caller, name, how) => {
  const wire = WIRES[name];
  const act = BREAKS[how];
  if (wire === undefined || act === undefined) throw new Error('no such case');
  const breaks = typed(act(wire), wire.type);

  test('is told one error event of its own wire, last of all', async () => {
    scene.plays({ [name]: breaks });
    const body = JSON.stringify({ model: wire.model, stream: true, ...BODIES[caller] });
    const answer = await scene.ask('', { wire: caller, body });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('half');
    EXPECTED[caller](answer.text);
    expect(scene.asked).toEqual({ [name]: 1 });
  });

  test('raises in its stock helper', async () => {
    scene.plays({ [name]: breaks });
    const failure = await failureOf(HELPERS[caller](wire.model));
    expect(failure).toBeInstanceOf(Error);
    await until('nothing under way', async () => await scene.gateway.idle());
  });
});

describe('a caller of the Responses API whose provider speaks it', () => {
  test('is told a cut as an event of that wire, which counts on', async () => {
    const { opening, word } = EVENTS.responses;
    const numbered = (opening + word('half'))
      .split('\n\n')
      .filter((event) => event !== '')
      .map((event, at) => `${event.replace(/\}$/, `,"sequence_number":${at + 40}}`)}\n\n`);
    scene.plays({ openai: cutsBehind(...numbered) });
    const body = JSON.stringify({ model: 'openai/gpt-x', input: 'hi', stream: true });
    const answer = await scene.ask('', { wire: 'responses', body });
    expect(answer.text.startsWith(numbered.join(''))).toBe(true);
    expect(lastOf(answer.text)).toMatchObject({
      name: 'error',
      data: {
        type: 'error',
        sequence_number: 40 + numbered.length,
        error: { code: 'upstream_unreachable' },
      },
    });
  });
});
