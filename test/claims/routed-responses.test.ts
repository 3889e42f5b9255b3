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

// OpenAI's client asks its Responses API, and providers of other wires answer: it notices nothing.

const event = (type: string, more: object): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const blockEvents = (index: number, block: object, ...deltas: readonly object[]): string =>
  event('content_block_start', { index, content_block: block }) +
  deltas.map((delta) => event('content_block_delta', { index, delta })).join('') +
  event('content_block_stop', { index });

const message = (content: readonly object[], reason = 'end_turn'): string =>
  JSON.stringify({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude-sonnet-4-5-20250929',
    content,
    stop_reason: reason,
    stop_sequence: null,
    usage: { input_tokens: 5, cache_read_input_tokens: 2, output_tokens: 3 },
  });
const FROM_CLAUDE = message([{ type: 'text', text: 'from Claude' }]);

const CLOCK = {
  type: 'function' as const,
  name: 'clock',
  parameters: { type: 'object', properties: { zone: { type: 'string' } } },
  strict: false,
};

/** A target for each failure: one that failed is left alone for a while. */
const BROKEN = ['claude-a', 'claude-b', 'claude-c', 'claude-d'];

let scene: RoutedScene;
let openai: OpenAI;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'xai', 'groq', 'mistral', 'anthropic'],
    `replay_max_bytes = "1MiB"
[provider_wires]
xai = ["openai-chat"]
[routes.mixed]
targets = ["openai/gpt-5-mini"]
fallbacks = ["anthropic/claude-opus-4-5"]
[routes.held]
targets = ["anthropic/claude-opus-4-6"]
fallbacks = ["mistral/mistral-held", "groq/llama-held"]
retries = 0
stream_safety = "hold"
[routes.clean]
targets = ["openai/gpt-5-clean"]
fallbacks = ["anthropic/claude-opus-4-8"]
${BROKEN.map((name) => `[routes.${name}]\ntargets = ["anthropic/${name}"]\nfallbacks = ["groq/llama"]\nretries = 0\n`).join('')}`,
  );
  const baseURL = `http://127.0.0.1:${scene.gateway.port}/v1`;
  openai = new OpenAI({ apiKey: scene.key, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

function sentTo(provider: string) {
  const request = scene.upstreams[provider]?.requests[0];
  const body: unknown = JSON.parse(request?.body.toString() ?? 'null');
  return { request, body };
}

describe("a caller of the Responses API on Anthropic's wire", () => {
  test('gets a whole answer; usage and price are those of the target', async () => {
    scene.plays({ anthropic: answers(200, FROM_CLAUDE) });
    const body = {
      model: 'anthropic/claude-sonnet-4-5',
      instructions: 'Be terse.',
      input: 'hi',
      max_output_tokens: 9,
      store: true,
      text: { verbosity: 'low' },
    };
    const fields = { 'openai-beta': 'x=1', 'x-stainless-lang': 'js' };
    const answer = await scene.ask('', { wire: 'responses', body: JSON.stringify(body), fields });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      id: 'resp_msg_1',
      object: 'response',
      status: 'completed',
      instructions: 'Be terse.',
      store: false,
      output: [{ type: 'message', content: [{ type: 'output_text', text: 'from Claude' }] }],
      usage: {
        input_tokens: 7,
        input_tokens_details: { cached_tokens: 2 },
        output_tokens: 3,
        total_tokens: 10,
      },
    });
    const { request, body: sent } = sentTo('anthropic');
    expect(request?.target).toBe('/v1/messages');
    expect(sent).toEqual({
      model: 'claude-sonnet-4-5',
      max_tokens: 9,
      system: [{ type: 'text', text: 'Be terse.' }],
      messages: [{ role: 'user', content: [{ type: 'text', text: 'hi' }] }],
    });
    expect(request?.field('x-api-key')).toBe('sk-anthropic-pool');
    expect(request?.field('anthropic-version')).toBe('2023-06-01');
    expect(request?.field('openai-beta') ?? null).toBeNull();
    expect(answer.fields.get('x-sluice-dropped')).toBe('text.verbosity, store');
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

  test('streams into the helper of its SDK: a thought, a text and two calls', async () => {
    const { opening } = EVENTS.messages;
    const started = opening.slice(0, opening.indexOf('event: content_block_start'));
    const call = (index: number, id: string, zone: string) =>
      blockEvents(
        index,
        { type: 'tool_use', id, name: 'clock', input: {} },
        { type: 'input_json_delta', partial_json: '{"zone":' },
        { type: 'input_json_delta', partial_json: `"${zone}"}` },
      );
    scene.plays({
      anthropic: streamsChunks(
        started,
        blockEvents(
          0,
          { type: 'thinking', thinking: '', signature: '' },
          { type: 'thinking_delta', thinking: 'Two clocks.' },
          { type: 'signature_delta', signature: 'EqoB' },
        ),
        blockEvents(1, { type: 'text', text: '' }, { type: 'text_delta', text: 'Asking.' }),
        call(2, 'toolu_1', 'UTC'),
        call(3, 'toolu_2', 'CET'),
        event('message_delta', { delta: { stop_reason: 'tool_use' }, usage: { output_tokens: 9 } }),
        event('message_stop', {}),
      ),
    });
    const stream = openai.responses.stream({
      model: 'anthropic/claude-sonnet-4-5-1',
      input: 'What time is it?',
      tools: [CLOCK],
      reasoning: { effort: 'low' },
    });
    const deltas: string[] = [];
    stream.on('response.output_text.delta', ({ delta }) => deltas.push(delta));
    const final = await stream.finalResponse();
    expect(deltas.join('')).toBe('Asking.');
    expect(final.output_text).toBe('Asking.');
    expect(final.output).toMatchObject([
      { type: 'reasoning', summary: [{ text: 'Two clocks.' }] },
      { type: 'message' },
      { type: 'function_call', call_id: 'toolu_1', arguments: '{"zone":"UTC"}' },
      { type: 'function_call', call_id: 'toolu_2', arguments: '{"zone":"CET"}' },
    ]);
    expect(final.usage).toMatchObject({ input_tokens: 7, output_tokens: 9 });
  });

  test('hands its items back with what its tools said: thoughts go to Claude as it signed them', async () => {
    const blocks = [
      { type: 'thinking', thinking: 'Ask it.', signature: 'EqoTwice' },
      { type: 'tool_use', id: 'toolu_7', name: 'clock', input: { zone: 'UTC' } },
    ];
    scene.plays({
      anthropic: [answers(200, message(blocks, 'tool_use')), answers(200, FROM_CLAUDE)],
    });
    const asked = {
      model: 'anthropic/claude-sonnet-4-5-2',
      tools: [CLOCK],
      store: false,
      include: ['reasoning.encrypted_content' as const],
    };
    const input: OpenAI.Responses.ResponseInputItem[] = [{ role: 'user', content: 'Time?' }];
    const first = await openai.responses.create({ ...asked, input });
    const picture = { type: 'input_image' as const, detail: 'auto' as const };
    const output: OpenAI.Responses.ResponseFunctionCallOutputItemList = [
      { type: 'input_text', text: 'noon' },
      { ...picture, image_url: 'data:image/png;base64,iVBORw0KGgo=' },
    ];
    const second = await openai.responses.create({
      ...asked,
      input: [
        ...input,
        ...first.output.filter(
          (item) => item.type === 'reasoning' || item.type === 'function_call',
        ),
        { type: 'function_call_output', call_id: 'toolu_7', output },
      ],
    });
    expect(second.output_text).toBe('from Claude');
    const sent = scene.upstreams['anthropic']?.requests[1]?.body.toString() ?? '';
    expect(JSON.parse(sent)).toMatchObject({
      messages: [
        { role: 'user' },
        { role: 'assistant', content: blocks },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'toolu_7',
              content: [{ type: 'text', text: 'noon' }, { type: 'image' }],
            },
          ],
        },
      ],
    });
  });

  test('gets JSON of its schema', async () => {
    scene.plays({ anthropic: answers(200, message([{ type: 'text', text: '{"name":"Ark"}' }])) });
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' } },
      required: ['name'],
      additionalProperties: false,
    };
    const answer = await openai.responses.parse({
      model: 'anthropic/claude-opus-4-6',
      input: 'Invent a boat.',
      text: { format: { type: 'json_schema', name: 'boat', schema, strict: true } },
    });
    expect(answer.output_parsed).toEqual({ name: 'Ark' });
    expect(sentTo('anthropic').body).toMatchObject({
      output_config: { format: { type: 'json_schema', schema } },
    });
  });

  test.each([
    ['a 400', 400, 'invalid_request_error', OpenAI.BadRequestError, 400],
    ['a 429', 429, 'rate_limit_error', OpenAI.RateLimitError, 429],
    ['a 529', 529, 'overloaded_error', OpenAI.InternalServerError, 503],
  ])('is told %s in its own shape', async (_name, status, type, kind, told) => {
    const error = { type, message: 'as the provider says' };
    const body = JSON.stringify({ type: 'error', error });
    scene.plays({ anthropic: answers(status, body, ['retry-after: 9']) });
    const failure = await failureOf(
      openai.responses.create({ model: `anthropic/claude-${status}`, input: 'hi' }),
    );
    expect(failure).toBeInstanceOf(kind);
    expect(failure).toMatchObject({ status: told });
    expect(String(failure)).toContain('as the provider says');
  });

  test.each([
    ['a cut', []],
    ['an error event', [EVENTS.messages.error]],
  ])('raises on %s behind content, and never takes it for whole', async (name, behind) => {
    const { opening, word } = EVENTS.messages;
    scene.plays({ anthropic: cutsBehind(opening, word('half'), ...behind) });
    const stream = await openai.responses.create({
      model: `anthropic/claude-${name.replaceAll(' ', '-')}`,
      input: 'hi',
      stream: true,
    });
    const types: string[] = [];
    const reading = (async () => {
      for await (const { type } of stream) types.push(type);
    })();
    expect(await failureOf(reading)).toBeInstanceOf(Error);
    expect(types).toContain('response.output_text.delta');
    expect(types).not.toContain('response.completed');
  });
});

describe("a caller of the Responses API on OpenAI's chat wire", () => {
  test.each([
    'mistral/mistral-large-latest',
    'xai/grok-4',
  ])('streams from %s, which has no other one', async (model) => {
    const provider = model.slice(0, model.indexOf('/'));
    scene.plays({ [provider]: streams('chat', 'word') });
    const final = await openai.responses.stream({ model, input: 'hi' }).finalResponse();
    expect(final.output_text).toBe('word');
    expect(final.usage).toMatchObject({ input_tokens: 7, output_tokens: 3 });
    const { request, body } = sentTo(provider);
    expect(request?.target).toBe('/v1/chat/completions');
    expect(body).toMatchObject({ messages: [{ role: 'user', content: 'hi' }], stream: true });
  });

  test('goes as it came to who speaks its own wire', async () => {
    scene.plays({ groq: streams('responses', 'word') });
    const body = '{ "model" : "groq/llama-4", "input": "hi", "stream": true, "brand_new": 1.0 }';
    const answer = await scene.ask('', { wire: 'responses', body });
    const { opening, word, end } = EVENTS.responses;
    expect(answer.text).toBe(opening + word('word') + end);
    const { request } = sentTo('groq');
    expect(request?.target).toBe('/openai/v1/responses');
    expect(request?.body.toString()).toBe(body.replace('groq/llama-4', 'llama-4'));
  });
});

describe('a plan of several wires', () => {
  test('falls back from the Responses API to Claude: each has its fact', async () => {
    scene.plays({ openai: resets, anthropic: answers(200, FROM_CLAUDE) });
    const body = JSON.stringify({ model: 'mixed', input: 'hi' });
    const answer = await scene.ask('', { wire: 'responses', body });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('from Claude');
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
  ])('%s goes back to the Responses API behind %s', async (route, _name, act) => {
    scene.plays({ anthropic: act, groq: streams('responses', 'word') });
    const body = JSON.stringify({ model: route, input: 'hi', stream: true });
    const answer = await scene.ask('', { wire: 'responses', body });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('word');
    expect(scene.asked['groq']).toBe(1);
    expect(answer.fields.get('x-sluice-target')).toBe('groq/llama');
  });

  test('a stream that is held to its end fails over behind its first words, from wire to wire', async () => {
    scene.plays({
      anthropic: cutsBehind(EVENTS.messages.opening, EVENTS.messages.word('half')),
      mistral: cutsBehind(EVENTS.chat.opening, EVENTS.chat.word('half')),
      groq: streams('responses', 'whole'),
    });
    const body = JSON.stringify({ model: 'held', input: 'hi', stream: true });
    const answer = await scene.ask('', { wire: 'responses', body });
    expect(answer.text).toContain('whole');
    expect(answer.text).not.toContain('half');
    expect(scene.asked).toEqual({ anthropic: 1, mistral: 1, groq: 1 });
  });

  test("what Claude thought does not reach OpenAI, and OpenAI's own thoughts do", async () => {
    scene.plays({ openai: answers(200, '{"id":"resp_1","model":"m","output":[]}') });
    const thought = (id: string, encrypted_content: string) => ({
      type: 'reasoning',
      id,
      summary: [],
      encrypted_content,
    });
    const input = [
      { role: 'user', content: 'hi' },
      thought('rs_1', 'gAAAAB'),
      thought('rs_sluice_0_0', 'sluice.anthropic.eyJ9'),
      { role: 'user', content: 'and?' },
    ];
    const body = JSON.stringify({ model: 'clean', store: false, input });
    const answer = await scene.ask('', { wire: 'responses', body });
    expect(sentTo('openai').body).toEqual({
      model: 'gpt-5-clean',
      store: false,
      input: [input[0], input[1], input[3]],
    });
    expect(answer.fields.get('x-sluice-dropped')).toBe('input.reasoning');
  });
});

describe('what cannot be carried', () => {
  test.each([
    ['background', { background: true }, 'untranslatable', 'background'],
    ['a stored prompt', { prompt: { id: 'pmpt_1' } }, 'untranslatable', 'prompt'],
    [
      'a reference',
      { input: [{ type: 'item_reference', id: 'msg_1' }] },
      'untranslatable',
      'item_reference',
    ],
    ['a search alone', { tools: [{ type: 'web_search' }] }, 'untranslatable', 'tools.web_search'],
    ['a role of nobody', { input: [{ role: 'robot', content: 'x' }] }, 'invalid_body', 'role'],
    ['no input', { input: [] }, 'invalid_body', 'input'],
  ])('%s is refused, and no provider hears of it', async (_name, more, code, says) => {
    scene.plays({});
    const body = JSON.stringify({ model: 'anthropic/claude-sonnet-4-5-5', input: 'hi', ...more });
    const answer = await scene.ask('', { wire: 'responses', body });
    const { error } = JSON.parse(answer.text) as { error: { code: string; message: string } };
    expect([answer.status, error.code, scene.asked, answer.facts]).toEqual([400, code, {}, []]);
    expect(error.message).toContain(says);
  });

  test('with x-sluice-strict what would be lost is refused by its name', async () => {
    scene.plays({});
    const asked = { model: 'anthropic/claude-sonnet-4-5-7', input: 'hi', truncation: 'auto' };
    const body = JSON.stringify(asked);
    const fields = { 'x-sluice-strict': 'true' };
    const answer = await scene.ask('', { wire: 'responses', body, fields });
    expect([answer.status, scene.asked]).toEqual([400, {}]);
    expect(answer.text).toContain('truncation');
  });

  test('a client that chains its answers is told so by its own error', async () => {
    scene.plays({});
    const failure = await failureOf(
      openai.responses.create({
        model: 'anthropic/claude-sonnet-4-5-6',
        input: 'go on',
        previous_response_id: 'resp_msg_1',
      }),
    );
    expect(failure).toBeInstanceOf(OpenAI.BadRequestError);
    expect(String(failure)).toContain('previous_response_id');
  });

  test('a whole answer of a provider that breaks is told as an error', async () => {
    scene.plays({ mistral: answers(200, WHOLE.replace('choices', 'nothing')) });
    const failure = await failureOf(
      openai.responses.create({ model: 'mistral/mistral-small', input: 'hi' }),
    );
    expect(failure).toMatchObject({ status: 502 });
  });
});
