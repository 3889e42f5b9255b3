import { describe, expect, test } from 'vitest';
import { Refusal } from '../../../src/dialect/losses.ts';
import {
  TranslatedStream,
  translateAnswer,
  translateError,
  translateRequest,
} from '../../../src/dialect/translate.ts';

// What Gemini's own wire asks of a history, and what its answers have that no other wire's do.

type Json = Readonly<Record<string, unknown>>;

const TERMS = {
  model: 'asked',
  id: 'answer-1',
  created: 1_764_000_000,
  wantsUsage: true,
  toolNames: new Map<string, string>(),
  echoed: null,
};

function asked(body: Json, model = 'gemini-2.5-flash') {
  const whole = { max_tokens: 99, messages: [{ role: 'user', content: 'x' }], ...body };
  const target = { provider: 'gemini', model, asksForUsage: true };
  const from = 'anthropic-messages';
  const written = translateRequest(from, 'gemini', Buffer.from(JSON.stringify(whole)), target);
  if (written instanceof Refusal) throw written;
  return { ...written, sent: JSON.parse(written.body.toString()) };
}

function answered(body: Json): Json {
  const told = Buffer.from(JSON.stringify(body));
  return translateAnswer('gemini', 'anthropic-messages', told, TERMS).body as Json;
}

const event = (parts: readonly Json[], more: Json = {}): string =>
  `data: ${JSON.stringify({ candidates: [{ content: { parts }, index: 0, ...more }], responseId: 'r' })}\r\n\r\n`;

function streamed(events: readonly string[], end: 'end' | 'cut' = 'end'): readonly Json[] {
  const stream = new TranslatedStream('gemini', 'anthropic-messages', TERMS);
  const text = Buffer.concat([stream.push(Buffer.from(events.join(''))), stream[end]()]).toString();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data));
}

const types = (events: readonly Json[]) => events.map(({ type }) => type);
const call = (id: string, name = 'clock') => ({ type: 'tool_use', id, name, input: {} });
const result = (id: string, content: unknown) => ({
  type: 'tool_result',
  tool_use_id: id,
  content,
});
const tools = [{ name: 'clock', input_schema: { type: 'object', properties: {} } }];

describe('signatures', () => {
  /** A turn of the model's as it is answered, and as it goes back in the next request. */
  function returned(parts: readonly Json[], model = 'gemini-3-flash-preview'): unknown {
    const answer = answered({ candidates: [{ content: { parts }, finishReason: 'STOP' }] });
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: answer['content'] },
      { role: 'user', content: 'y' },
    ];
    return asked({ messages, tools }, model).sent.contents[1].parts;
  }
  const clock = { functionCall: { name: 'clock', args: {} } };

  test.each([
    ['of a call', [{ ...clock, thoughtSignature: 'A' }]],
    ['of the first of two calls', [{ ...clock, thoughtSignature: 'A' }, clock]],
    ['of a text', [{ text: 'said', thoughtSignature: 'A' }]],
    [
      'of a call behind a text',
      [{ text: 'said' }, { ...clock, thoughtSignature: 'A' }, { ...clock, thoughtSignature: 'B' }],
    ],
  ])('go back %s to the part that they came with', (_name, parts) => {
    expect(returned(parts)).toEqual(parts);
  });

  test.each([
    ['an empty last part', [{ text: 'said' }, { text: '', thoughtSignature: 'A' }]],
    ['a last piece', [{ text: 'sa' }, { text: 'id', thoughtSignature: 'A' }]],
  ])('of %s are let go of: Claude Code prints the last block, if that is a text', (_name, parts) => {
    expect(returned(parts)).toEqual([{ text: 'said' }]);
    const events = streamed([
      ...parts.map((part) => event([part])),
      event([], { finishReason: 'STOP' }),
    ]);
    const blocks = events.flatMap(({ content_block: block }) =>
      block === undefined ? [] : [block],
    );
    expect(blocks).toMatchObject([{ type: 'text' }]);
  });

  test('go back behind a thought, whose text does not', () => {
    const signed = { ...clock, thoughtSignature: 'A' };
    expect(returned([{ text: 'hm', thought: true }, signed])).toEqual([signed]);
  });

  test("of another maker's do not go to Gemini, and a model from 3 on is told that there is none", () => {
    const content = [{ type: 'thinking', thinking: 'hm', signature: 'EqoB' }, call('a'), call('b')];
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content },
      { role: 'user', content: [result('a', '1'), result('b', '2')] },
    ];
    const history = { messages, tools };
    const unsigned = { ...clock, thoughtSignature: 'skip_thought_signature_validator' };
    expect(asked(history, 'gemini-3-pro-preview').sent.contents[1].parts).toEqual([
      unsigned,
      clock,
    ]);
    expect(asked(history, 'gemini-2.5-pro').sent.contents[1].parts).toEqual([clock, clock]);
  });
});

describe('a history', () => {
  test('has results in the order of their calls, and what else was said behind them', () => {
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: [call('a'), call('b', 'date')] },
      { role: 'user', content: [result('b', '2'), { type: 'text', text: 'on' }, result('a', '1')] },
    ];
    expect(asked({ messages, tools }).sent.contents[2]).toEqual({
      role: 'user',
      parts: [
        { functionResponse: { name: 'clock', response: { output: '1' } } },
        { functionResponse: { name: 'date', response: { output: '2' } } },
        { text: 'on' },
      ],
    });
  });

  test('has pictures of a result beside it where the model takes none inside', () => {
    const source = { type: 'base64', media_type: 'image/png', data: 'QQ==' };
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: [call('a')] },
      { role: 'user', content: [result('a', [{ type: 'image', source }])] },
    ];
    const { parts } = asked({ messages, tools }).sent.contents[2];
    expect(parts[0].functionResponse.parts).toBeUndefined();
    expect(parts[1]).toEqual({ inlineData: { mimeType: 'image/png', data: 'QQ==' } });
  });

  test('keeps a later instruction where it stood', () => {
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'system', content: 'now in Latin' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
    ];
    const { sent } = asked({ system: 'first', messages });
    expect(sent.systemInstruction).toEqual({ parts: [{ text: 'first' }] });
    expect(sent.contents[0].parts).toEqual([{ text: 'a' }, { text: 'now in Latin' }]);
  });
});

describe('settings', () => {
  const thinking = (tokens: number) => ({ thinking: { type: 'enabled', budget_tokens: tokens } });

  test.each([
    ['gemini-2.5-flash', thinking(31_999), { thinkingBudget: 24_576 }, ['thinking=24576'], []],
    ['gemini-2.5-pro', thinking(31_999), { thinkingBudget: 31_999 }, [], []],
    ['gemini-2.5-flash', { thinking: { type: 'adaptive' } }, { thinkingBudget: -1 }, [], []],
    ['gemini-3-flash-preview', thinking(9_000), { thinkingLevel: 'MEDIUM' }, [], []],
    ['gemini-3-pro-preview', thinking(9_000), { thinkingLevel: 'LOW' }, ['thinking=low'], []],
    ['gemini-3-pro-preview', { thinking: { type: 'adaptive' } }, {}, [], []],
    ['gemini-2.0-flash', thinking(9_000), undefined, [], ['thinking']],
    [
      'gemini-3.1-pro',
      { thinking: { type: 'adaptive' }, output_config: { effort: 'max' } },
      { thinkingLevel: 'HIGH' },
      ['thinking=high'],
      [],
    ],
  ])('%s is told how much to think as it takes it', (model, body, config, adjusted, dropped) => {
    const written = asked(body, model);
    const told = written.sent.generationConfig.thinkingConfig;
    expect(told).toEqual(config === undefined ? undefined : { ...config, includeThoughts: true });
    expect([written.adjusted, written.dropped]).toEqual([adjusted, dropped]);
  });

  test.each([
    ['gemini-2.5-flash', { thinkingBudget: 0 }, [], []],
    ['gemini-2.5-pro', { thinkingBudget: 128 }, [], ['thinking']],
    ['gemini-3-flash-preview', { thinkingLevel: 'MINIMAL' }, [], []],
    ['gemini-3-pro-preview', { thinkingLevel: 'LOW' }, ['thinking=low'], []],
    ['gemini-2.0-flash', undefined, [], []],
  ])('%s that is told not to think thinks as little as it can', (model, config, adjusted, dropped) => {
    const written = asked({ thinking: { type: 'disabled' } }, model);
    expect(written.sent.generationConfig.thinkingConfig).toEqual(config);
    expect([written.adjusted, written.dropped]).toEqual([adjusted, dropped]);
  });

  test('a strict tool is held to its schema; one call at a time is named as lost', () => {
    const [tool] = tools;
    const choice = { type: 'auto', disable_parallel_tool_use: true };
    const written = asked({ tools: [{ ...tool, strict: true }], tool_choice: choice });
    expect(written.sent.toolConfig).toEqual({ functionCallingConfig: { mode: 'VALIDATED' } });
    expect(written.dropped).toEqual(['tool_choice.disable_parallel_tool_use']);
  });

  test.each([
    '7zip',
    '-list',
    `${'mcp__'.repeat(20)}search`,
  ])('a tool that is called %s gets a name that Google takes, and its caller its own back', (name) => {
    const { sent, toolNames } = asked({
      tools: [{ name, input_schema: { type: 'object' } }],
      tool_choice: { type: 'tool', name },
    });
    const given = sent.tools[0].functionDeclarations[0].name;
    expect(given).toMatch(/^[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}$/);
    expect(sent.toolConfig.functionCallingConfig.allowedFunctionNames).toEqual([given]);
    const parts = [{ functionCall: { name: given, args: {} } }];
    const body = Buffer.from(JSON.stringify({ candidates: [{ content: { parts } }] }));
    const told = translateAnswer('gemini', 'anthropic-messages', body, { ...TERMS, toolNames });
    expect(told.body).toMatchObject({ content: [{ type: 'tool_use', name }] });
  });

  test('several answers at once are asked for where the model gives them: from Gemini 3 on it does not', () => {
    const written = (model: string, n: number) => {
      const body = { n, messages: [{ role: 'user', content: 'x' }] };
      const target = { provider: 'gemini', model, asksForUsage: true };
      const from = 'openai-chat';
      return translateRequest(from, 'gemini', Buffer.from(JSON.stringify(body)), target);
    };
    const sent = (model: string, n: number) => {
      const request = written(model, n);
      if (request instanceof Refusal) throw request;
      return [request.choices, JSON.parse(request.body.toString()).generationConfig];
    };
    expect(sent('gemini-2.5-pro', 3)).toEqual([3, { candidateCount: 3 }]);
    expect(sent('gemini-2.5-pro', 1)).toEqual([1, undefined]);
    expect(sent('gemini-3-flash-preview', 1)).toEqual([1, undefined]);
    for (const model of ['gemini-3-flash-preview', 'gemini-3.1-pro', 'gemini-flash-latest'])
      expect(written(model, 2), model).toMatchObject({ kind: 'untranslatable', field: 'n' });
  });

  test('an answer of no tokens, with which Anthropic’s callers warm a cache, is one of a single one', () => {
    const written = asked({ max_tokens: 0 });
    expect(written.sent.generationConfig).toEqual({ maxOutputTokens: 1 });
    expect(written.adjusted).toEqual(['max_tokens=1']);
  });

  test('a model’s name stays one segment of the path', () => {
    const { path, query } = asked({ stream: true }, '../files?x=y');
    expect([path, query]).toEqual(['/models/..%2Ffiles%3Fx%3Dy:streamGenerateContent', 'alt=sse']);
    expect(asked({}, 'half \ud800').path).toBe('/models/half%20%EF%BF%BD:generateContent');
  });
});

describe('an answer', () => {
  test('whose call is none is a failure, in Gemini’s words', () => {
    const finish = { finishReason: 'MALFORMED_FUNCTION_CALL', finishMessage: 'Malformed: x(' };
    const whole = Buffer.from(JSON.stringify({ candidates: [finish] }));
    const told = translateAnswer('gemini', 'anthropic-messages', whole, TERMS);
    expect([told.status, JSON.stringify(told.body)]).toEqual([
      502,
      expect.stringContaining('Malformed: x('),
    ]);
    const events = streamed([event([{ text: 'half' }]), event([], finish)]);
    expect(types(events).slice(-1)).toEqual(['error']);
    expect(types(events)).not.toContain('message_stop');
  });

  test.each([
    ['STOP', 'end_turn'],
    ['MAX_TOKENS', 'max_tokens'],
    ['OTHER', 'end_turn'],
    ['SAFETY', 'refusal'],
    ['RECITATION', 'refusal'],
    ['LANGUAGE', 'refusal'],
    ['BLOCKLIST', 'refusal'],
    ['PROHIBITED_CONTENT', 'refusal'],
    ['SPII', 'refusal'],
    ['IMAGE_SAFETY', 'refusal'],
    ['MALFORMED_FUNCTION_CALL', undefined],
    ['UNEXPECTED_TOOL_CALL', undefined],
    ['MALFORMED_RESPONSE', undefined],
  ])('that ends for %s ends for %s, or is none', (finishReason, reason) => {
    const candidates = [{ content: { parts: [{ text: 'x' }] }, finishReason }];
    expect(answered({ candidates })['stop_reason']).toBe(reason);
  });

  test('tells OpenAI’s callers why it was held back, and only then', () => {
    const said = (body: Json): string =>
      JSON.stringify(
        translateAnswer('gemini', 'openai-chat', Buffer.from(JSON.stringify(body)), TERMS).body,
      );
    const ended = (finishReason: string) => ({
      candidates: [{ finishReason, finishMessage: 'as Google says' }],
    });
    expect(said(ended('SAFETY'))).toContain('as Google says');
    expect(said(ended('STOP'))).not.toContain('as Google says');
    const promptFeedback = { blockReason: 'SAFETY', blockReasonMessage: 'the prompt itself' };
    expect(said({ promptFeedback })).toContain('the prompt itself');
  });

  test('of several candidates is the first, and has the tier that served it', () => {
    const candidates = ['other', 'first'].map((text, at) => ({
      content: { parts: [{ text }] },
      finishReason: 'STOP',
      index: 1 - at,
    }));
    const usageMetadata = { promptTokenCount: 1, serviceTier: 'priority' };
    expect(answered({ candidates, usageMetadata })).toMatchObject({
      content: [{ text: 'first' }],
      usage: { service_tier: 'priority' },
    });
  });

  test('that breaks before its reason is never whole, and behind it ends with the stream', () => {
    expect(types(streamed([event([{ text: 'half' }])])).at(-1)).toBe('error');
    const whole = [event([{ text: 'all' }], { finishReason: 'STOP' })];
    expect(types(streamed(whole)).at(-1)).toBe('message_stop');
    expect(types(streamed(whole, 'cut')).at(-1)).toBe('error');
  });

  test('counts what tools read as input, and keeps what its last event does not count', () => {
    const usage = { promptTokenCount: 10, toolUsePromptTokenCount: 30, totalTokenCount: 47 };
    const first = { ...usage, candidatesTokenCount: 4, thoughtsTokenCount: 3 };
    const last = { promptTokenCount: 11, totalTokenCount: 11 };
    const events = [first, last].map(
      (usageMetadata, at) =>
        `data: ${JSON.stringify({ candidates: [{ content: { parts: [{ text: 'x' }] }, ...(at === 1 ? { finishReason: 'STOP' } : {}) }], usageMetadata })}\n\n`,
    );
    const end = streamed(events).find(({ type }) => type === 'message_delta');
    expect(end).toMatchObject({ usage: { input_tokens: 41, output_tokens: 7 } });
  });

  test('keeps the digits of a call’s arguments', () => {
    const parts = '{"functionCall":{"name":"f","args":{"id":12345678901234567890}}}';
    const body = `{"candidates":[{"content":{"parts":[${parts}]},"finishReason":"STOP"}]}`;
    const stream = new TranslatedStream('gemini', 'anthropic-messages', TERMS);
    const text = stream.push(Buffer.from(`data: ${body}\n\n`)).toString();
    expect(text).toContain('12345678901234567890');
  });
});

describe('an error', () => {
  const told = (status: number, details: readonly Json[], message = 'as Google says') =>
    translateError(
      'anthropic-messages',
      status,
      Buffer.from(JSON.stringify({ error: { code: status, message, details } })),
    );

  test.each([
    ['48.2s', 49],
    ['7s', 7],
    ['soon', null],
  ])('with the delay %s may be tried again after %s seconds', (retryDelay, seconds) => {
    expect(told(429, [{ retryDelay }])).toMatchObject({ status: 429, retryAfterSeconds: seconds });
  });

  test('of a key that is none is a 401, whatever status it came with', () => {
    expect(told(400, [{ reason: 'API_KEY_INVALID' }])).toMatchObject({
      status: 401,
      body: { error: { type: 'authentication_error' } },
    });
  });

  test('of a prompt that is too long says so in the words that agents look for', () => {
    const message = 'The input token count (9) exceeds the maximum number of tokens allowed (8).';
    expect(JSON.stringify(told(400, [], message).body)).toContain('prompt is too long');
  });
});

describe('what a model makes that is no text', () => {
  const made = { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } };
  const named = '[Left out: image/png, 9 bytes, which an answer in this API cannot hold.]';
  const callers = ['openai-chat', 'openai-responses', 'anthropic-messages'] as const;

  test.each(callers)('is named to a caller of %s, in a whole answer and in a stream', (to) => {
    const parts = [{ text: 'Here: ' }, made];
    const candidates = [{ content: { parts }, finishReason: 'STOP' }];
    const whole = translateAnswer('gemini', to, Buffer.from(JSON.stringify({ candidates })), TERMS);
    expect([whole.status, JSON.stringify(whole.body)]).toEqual([
      200,
      expect.stringContaining(named),
    ]);
    const stream = new TranslatedStream('gemini', to, TERMS);
    const told = stream.push(Buffer.from(event(parts, { finishReason: 'STOP' }))).toString();
    expect(told + stream.end().toString()).toContain(named);
    expect(stream.hasFailed).toBe(false);
  });

  test.each(
    callers.slice(1),
  )('is named to a caller of %s where it came on OpenAI’s chat wire', (to) => {
    const images = [
      { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
      { type: 'image_url', image_url: { url: 'https://x.example/y.png' } },
    ];
    const choices = [{ message: { content: null, images }, finish_reason: 'stop' }];
    const { body } = translateAnswer(
      'openai-chat',
      to,
      Buffer.from(JSON.stringify({ choices })),
      TERMS,
    );
    expect(JSON.stringify(body)).toContain(named);
  });

  test.each(callers.slice(1))('has its address told to a caller of %s where it has one', (to) => {
    const told = (url: string): string => {
      const images = [{ type: 'image_url', image_url: { url } }];
      const choices = [{ message: { content: null, images }, finish_reason: 'stop' }];
      const came = Buffer.from(JSON.stringify({ choices }));
      return JSON.stringify(translateAnswer('openai-chat', to, came, TERMS).body);
    };
    expect(told('https://x.example/y.png')).toContain('![picture](<https://x.example/y.png>)');
    expect(told('https://x.example/a b>\n) <i>')).toContain(
      '![picture](<https://x.example/a%20b%3E%0A)%20%3Ci%3E>)',
    );
    expect(told('ftp://x.example/y.png')).toContain('Left out: image');
  });

  test('has a type of the provider’s that writes nothing else', () => {
    const odd = { inlineData: { mimeType: `x\n"]${'y'.repeat(100)}`, data: 7 } };
    const answer = answered({ candidates: [{ content: { parts: [odd] }, finishReason: 'STOP' }] });
    expect(answer['content']).toMatchObject([
      { text: `[Left out: x${'y'.repeat(63)}, 0 bytes, which an answer in this API cannot hold.]` },
    ]);
  });
});
