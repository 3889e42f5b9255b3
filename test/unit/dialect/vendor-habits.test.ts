import { describe, expect, test } from 'vitest';
import { Refusal } from '../../../src/dialect/losses.ts';
import {
  TranslatedStream,
  translateAnswer,
  translateError,
  translateRequest,
} from '../../../src/dialect/translate.ts';
import type { WIRES } from '../../../src/dialect/wires.ts';

// What real vendors send that no reference mentions, and what callers send that is no request of theirs.

const TERMS = {
  model: 'asked',
  id: 'answer-1',
  created: 1_764_000_000,
  wantsUsage: true,
  toolNames: new Map<string, string>(),
  echoed: null,
};

type Json = Readonly<Record<string, unknown>>;

/** The events of a translated stream, without their framing. */
function told(
  from: (typeof WIRES)[keyof typeof WIRES],
  body: string,
  end: 'end' | 'cut' = 'end',
): readonly Json[] {
  const to = from === 'openai-chat' ? 'anthropic-messages' : 'openai-chat';
  const stream = new TranslatedStream(from, to, TERMS);
  const text = Buffer.concat([stream.push(Buffer.from(body)), stream[end]()]).toString();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) =>
    data === '[DONE]' ? { done: true } : (JSON.parse(data) as Json),
  );
}

const chunk = (delta: Json, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const call = (index: number | undefined, id: string | undefined, name: string, input: string) => ({
  tool_calls: [{ index, id, function: { ...(name === '' ? {} : { name }), arguments: input } }],
});
const event = (type: string, more: Json = {}): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const opening = event('message_start', { message: { id: 'm', model: 'm', content: [] } });
const DONE = 'data: [DONE]\n\n';

/** Types of events, with the block that they are about. */
const steps = (events: readonly Json[]): readonly string[] =>
  events.map(({ type, index }) => `${type}${index === undefined ? '' : ` ${index}`}`);

const inputs = (events: readonly Json[]): Readonly<Record<string, string>> => {
  const joined: Record<string, string> = {};
  for (const { index, delta } of events) {
    const { partial_json: part } = (delta ?? {}) as { partial_json?: string };
    if (part !== undefined) joined[String(index)] = (joined[String(index)] ?? '') + part;
  }
  return joined;
};

describe('calls on OpenAI’s wire, told on Anthropic’s', () => {
  test('one whose arguments are whole is closed before the next one begins', () => {
    const events = told(
      'openai-chat',
      chunk(call(0, 'a', 'one', '{"x":"}"')) +
        chunk(call(0, undefined, '', '}')) +
        chunk(call(1, 'b', 'two', '{}'), 'tool_calls') +
        DONE,
    );
    expect(steps(events)).toEqual([
      'message_start',
      'content_block_start 0',
      'content_block_delta 0',
      'content_block_delta 0',
      'content_block_stop 0',
      'content_block_start 1',
      'content_block_delta 1',
      'content_block_stop 1',
      'message_delta',
      'message_stop',
    ]);
  });

  test('interleaved ones each keep their own arguments', () => {
    const events = told(
      'openai-chat',
      chunk(call(0, 'a', 'one', '{"x":')) +
        chunk(call(1, 'b', 'two', '{"y":')) +
        chunk(call(0, undefined, '', '1}')) +
        chunk(call(1, undefined, '', '2}'), 'tool_calls') +
        DONE,
    );
    expect(inputs(events)).toEqual({ 0: '{"x":1}', 1: '{"y":2}' });
    expect(steps(events).filter((step) => step.includes('stop'))).toEqual([
      'content_block_stop 0',
      'content_block_stop 1',
      'message_stop',
    ]);
  });

  test.each([
    ['without an index', undefined, undefined],
    ['all with the same index', 0, 0],
  ])('%s are told apart by their ids', (_name, first, second) => {
    const events = told(
      'openai-chat',
      chunk(call(first, 'a', 'one', '{"x":1}')) +
        chunk(call(second, 'b', 'two', '{"y":2}'), 'stop') +
        DONE,
    );
    expect(inputs(events)).toEqual({ 0: '{"x":1}', 1: '{"y":2}' });
  });

  test('white space between them is no text', () => {
    const events = told(
      'openai-chat',
      chunk({ content: '\n' }) +
        chunk(call(0, 'a', 'one', '{}')) +
        chunk({ content: ' \n' }, 'stop') +
        DONE,
    );
    expect(JSON.stringify(events)).not.toContain('"text"');
  });

  test('white space in front of a text is part of it', () => {
    const events = told(
      'openai-chat',
      chunk({ content: '\n ' }) + chunk({ content: 'x' }, 'stop') + DONE,
    );
    expect(JSON.stringify(events)).toContain('"text":"\\n x"');
  });
});

describe('the opening of a stream on Anthropic’s wire', () => {
  const usage = {
    prompt_tokens: 9,
    completion_tokens: 4,
    total_tokens: 13,
    prompt_tokens_details: { cached_tokens: 2 },
  };
  const ofChat = (more: Json): string =>
    `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta: { content: 'x' }, finish_reason: null }], ...more })}\n\n`;
  const ofGemini = (more: Json): string =>
    `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text: 'x' }] } }], ...more })}\n\n`;
  const usageMetadata = {
    promptTokenCount: 9,
    cachedContentTokenCount: 2,
    candidatesTokenCount: 4,
    totalTokenCount: 13,
  };

  test.each([
    ['chat where usage is in every chunk', 'openai-chat', ofChat({ usage }), [7, 2]],
    ['chat where it is not', 'openai-chat', ofChat({}), [0, 0]],
    ['Gemini', 'gemini', ofGemini({ usageMetadata }), [7, 2]],
    ['Gemini where its first event has none', 'gemini', ofGemini({}), [0, 0]],
  ] as const)('tells what went in, of %s, and nothing of what comes out', (_name, from, body, input) => {
    const stream = new TranslatedStream(from, 'anthropic-messages', TERMS);
    const text = Buffer.from(stream.push(Buffer.from(body))).toString();
    const [, data = ''] = /^data: (\{"type":"message_start".*)$/m.exec(text) ?? [];
    const { message } = JSON.parse(data) as { message: { usage: Json } };
    expect(message.usage).toMatchObject({
      input_tokens: input[0],
      cache_read_input_tokens: input[1],
      output_tokens: 0,
      output_tokens_details: null,
    });
  });
});

describe('the end of a stream', () => {
  const types = (events: readonly Json[]) => events.map(({ type }) => type);

  test('behind a finish reason needs no [DONE], but must be no cut', () => {
    const body = chunk({ content: 'x' }, 'stop');
    expect(types(told('openai-chat', body)).at(-1)).toBe('message_stop');
    expect(types(told('openai-chat', body, 'cut')).at(-1)).toBe('error');
  });

  test('without a finish reason is a clean one with [DONE] alone', () => {
    const body = chunk({ content: 'x' });
    expect(types(told('openai-chat', body + DONE)).at(-1)).toBe('message_stop');
    expect(types(told('openai-chat', body)).at(-1)).toBe('error');
  });

  test.each([
    ['no JSON', 'data: {"id":\n\n'],
    [
      'another wire’s',
      event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'x' } }),
    ],
  ])('is an error behind an event that is %s', (_name, body) => {
    const events = told('anthropic-messages', body + DONE);
    expect(events).toHaveLength(1);
    expect(events[0]).toHaveProperty('error');
  });

  test('is the last thing that is told: what comes behind an error or an end is not', () => {
    const error = `data: ${JSON.stringify({ error: { message: 'x' } })}\n\n`;
    const more = chunk({ content: 'more' });
    expect(types(told('openai-chat', error + more + DONE))).toEqual(['error']);
    expect(JSON.stringify(told('openai-chat', chunk({}, 'stop') + DONE + more))).not.toContain(
      'more',
    );
  });

  test('gives a call of which no argument was told those of none', () => {
    const block = { type: 'tool_use', id: 't', name: 'ping', input: {} };
    const events = told(
      'anthropic-messages',
      opening +
        event('content_block_start', { index: 0, content_block: block }) +
        event('content_block_stop', { index: 0 }) +
        event('message_delta', { delta: { stop_reason: 'tool_use' } }) +
        event('message_stop'),
    );
    expect(JSON.stringify(events)).toContain('"arguments":"{}"');
    expect(events.at(-1)).toEqual({ done: true });
  });

  test('comes in the turn of its last byte, and every delta in the turn of its own', () => {
    const stream = new TranslatedStream('openai-chat', 'anthropic-messages', TERMS);
    const first = Buffer.from(chunk({ content: 'word' }));
    expect(stream.push(first.subarray(0, -1)).length).toBe(0);
    expect(stream.push(first.subarray(-1)).toString()).toContain('"text":"word"');
    expect(stream.push(Buffer.from(chunk({}, 'stop') + DONE)).toString()).toContain('message_stop');
  });
});

describe('a request', () => {
  const asked = (
    from: (typeof WIRES)[keyof typeof WIRES],
    body: Json,
    model = 'claude-sonnet-4-5',
  ) => {
    const to = from === 'openai-chat' ? 'anthropic-messages' : 'openai-chat';
    const target = { provider: 'x', model, asksForUsage: true };
    return translateRequest(from, to, Buffer.from(JSON.stringify(body)), target);
  };
  const messages = [{ role: 'user', content: 'x' }];

  test.each([
    ['no object', [], 'body'],
    [
      'a role of nobody',
      { messages: [...messages, { role: 'robot', content: '' }] },
      'messages[1].role',
    ],
    [
      'content that is a number',
      { messages: [{ role: 'user', content: 7 }] },
      'messages[0].content',
    ],
    [
      'a part that is a number',
      { messages: [{ role: 'user', content: [7] }] },
      'messages[0].content[0]',
    ],
    [
      'a tool without a name',
      { messages, tools: [{ type: 'function', function: {} }] },
      'tools[0].function.name',
    ],
    [
      'a schema that is none',
      { messages, tools: [{ type: 'function', function: { name: 'x', parameters: 7 } }] },
      'tools[0].function.parameters',
    ],
    [
      'a result without an id',
      { messages: [{ role: 'tool', content: 'x' }] },
      'messages[0].tool_call_id',
    ],
    ['a limit that is a text', { messages, max_tokens: '9' }, 'max_tokens'],
  ])('of OpenAI’s with %s is none, and says where', (_name, body, field) => {
    const refusal = asked('openai-chat', body as Json);
    expect(refusal).toMatchObject({ kind: 'malformed', field });
  });

  test.each([
    ['no limit', { messages }, 'max_tokens'],
    [
      'a role of OpenAI’s',
      { max_tokens: 9, messages: [{ role: 'tool', content: '' }] },
      'messages[0].role',
    ],
    [
      'a tool without a schema',
      { max_tokens: 9, messages, tools: [{ name: 'x' }] },
      'tools[0].input_schema',
    ],
    [
      'an image of no source',
      { max_tokens: 9, messages: [{ role: 'user', content: [{ type: 'image' }] }] },
      'messages[0].content[0].source',
    ],
  ])('of Anthropic’s with %s is none, and says where', (_name, body, field) => {
    expect(asked('anthropic-messages', body)).toMatchObject({ kind: 'malformed', field });
  });

  test.each([
    ['openai-chat', 'gpt-4o'],
    ['gemini', 'gemini-2.5-flash'],
    ['ollama', 'qwen3'],
  ] as const)('that names its schema as Anthropic’s beta did asks for it on the wire of %s', (to, model) => {
    const schema = {
      type: 'object',
      properties: { name: { type: 'string' } },
      required: ['name'],
      additionalProperties: false,
    };
    const format = { type: 'json_schema', schema };
    const written = (more: Json) => {
      const asked = { model, max_tokens: 9, messages: [{ role: 'user', content: 'x' }], ...more };
      const body = Buffer.from(JSON.stringify(asked));
      const target = { provider: to, model, asksForUsage: true };
      const request = translateRequest('anthropic-messages', to, body, target);
      if (request instanceof Refusal) throw request;
      return request.body.toString();
    };
    const now = written({ output_config: { format } });
    expect(now).toContain(JSON.stringify(schema.properties));
    expect(written({ output_format: format })).toBe(now);
    // The new spelling wins, as it does at Anthropic's.
    expect(written({ output_config: { format }, output_format: { type: 'text' } })).toBe(now);
  });

  test('has a call’s results in front of what the user says beside them', () => {
    const content = [
      { type: 'text', text: 'first' },
      { type: 'tool_result', tool_use_id: 't', content: 'second' },
    ];
    const body = {
      max_tokens: 9,
      messages: [
        ...messages,
        { role: 'assistant', content: [{ type: 'tool_use', id: 't', name: 'n', input: {} }] },
        { role: 'user', content },
      ],
    };
    const request = asked('anthropic-messages', body, 'gpt-4o');
    if (request instanceof Refusal) throw request;
    const { messages: sent } = JSON.parse(request.body.toString()) as { messages: Json[] };
    expect(sent.map(({ role }) => role)).toEqual(['user', 'assistant', 'tool', 'user']);
    const back = asked('openai-chat', {
      messages: [...sent.slice(0, 2), { role: 'user', content: 'between' }, ...sent.slice(2)],
    });
    if (back instanceof Refusal) throw back;
    const { messages: again } = JSON.parse(back.body.toString()) as {
      messages: { content: Json[] }[];
    };
    expect(again.at(-1)?.content.map(({ type }) => type)).toEqual(['tool_result', 'text', 'text']);
  });

  test('names 64 losses at most', () => {
    const tools = Array.from({ length: 99 }, (_, at) => ({ type: `hosted_${at}` }));
    const request = asked('openai-chat', {
      messages,
      tools: [{ type: 'function', function: { name: 'own' } }, ...tools],
    });
    expect(request).toHaveProperty('dropped.length', 64);
  });
});

describe('an error', () => {
  test.each([
    [429, { error: { message: 'no money', code: 'insufficient_quota' } }, 'billing_error'],
    [404, { error: { message: 'x', code: 'model_not_found' } }, 'not_found_error'],
    [500, [{ error: { message: 'x', status: 'INTERNAL' } }], 'api_error'],
    [529, {}, 'overloaded_error'],
    [400, { error: 'a text alone' }, 'invalid_request_error'],
  ])('with status %i is one of Anthropic’s own', (status, body, type) => {
    const told = translateError('anthropic-messages', status, Buffer.from(JSON.stringify(body)));
    expect(told).toMatchObject({ status, body: { type: 'error', error: { type } } });
  });

  test('that is a page is told without it', () => {
    const { body } = translateError('openai-chat', 502, Buffer.from('<html>secret</html>'));
    expect(JSON.stringify(body)).toContain('status 502');
    expect(JSON.stringify(body)).not.toContain('secret');
  });

  test('of a prompt that is too long has the words that Anthropic’s clients look for', () => {
    const error = {
      message: "This model's maximum context length is 8192 tokens.",
      code: 'context_length_exceeded',
    };
    const told = translateError('anthropic-messages', 400, Buffer.from(JSON.stringify({ error })));
    expect(JSON.stringify(told.body)).toContain('prompt is too long');
  });

  test.each([
    '',
    'null',
    '{}',
    '[]',
    '{"choices":[]',
    '<html>',
  ])('is what a 200 with %j is', (body) => {
    for (const [from, to] of [
      ['openai-chat', 'anthropic-messages'],
      ['anthropic-messages', 'openai-chat'],
    ] as const) {
      const told = translateAnswer(from, to, Buffer.from(body), TERMS);
      expect(told.status).toBe(502);
      expect(told.body).toHaveProperty('error.message');
    }
  });
});

test.each([
  [
    'openai-chat',
    JSON.stringify({ choices: [{ message: { content: 'hi' }, finish_reason: 'stop' }] }),
  ],
  [
    'anthropic-messages',
    JSON.stringify({ content: [{ type: 'text', text: 'hi' }], stop_reason: 'end_turn' }),
  ],
  [
    'gemini',
    JSON.stringify({
      candidates: [{ content: { parts: [{ text: 'hi' }] }, finishReason: 'STOP' }],
    }),
  ],
  ['ollama', JSON.stringify({ message: { content: 'hi' }, done: true, done_reason: 'stop' })],
] as const)('a byte order mark in front of an answer of %s is no part of it', (from, body) => {
  const to = from === 'openai-chat' ? 'anthropic-messages' : 'openai-chat';
  const whole = (text: string) => translateAnswer(from, to, Buffer.from(text), TERMS);
  const stream = (text: string) => {
    const told = new TranslatedStream(from, to, TERMS);
    return Buffer.concat([told.push(Buffer.from(text)), told.end()]).toString();
  };
  expect(whole(body).status).toBe(200);
  expect(whole(`\ufeff${body}`)).toEqual(whole(body));
  expect(stream(`\ufeff${body}`)).toEqual(stream(body));
  expect(stream(`\ufeff[${body}]`)).toEqual(stream(`[${body}]`));
  expect(stream(`\ufeffdata: ${body}\n\n`)).toEqual(stream(`data: ${body}\n\n`));
  const told = (text: string) => translateError(to, 429, Buffer.from(text));
  const error = '{"error":{"message":"slow down"}}';
  expect(JSON.stringify(told(error))).toContain('slow down');
  expect(told(`\ufeff${error}`)).toEqual(told(error));
});
