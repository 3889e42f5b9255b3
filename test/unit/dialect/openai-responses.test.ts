import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Refusal } from '../../../src/dialect/losses.ts';
import { sealedContent, thoughtOf } from '../../../src/dialect/openai-responses/sealed-thoughts.ts';
import {
  type TranslatedRequest,
  TranslatedStream,
  translateAnswer,
  translateRequest,
  withoutForeignThoughts,
} from '../../../src/dialect/translate.ts';
import type { TargetWire } from '../../../src/dialect/wires.ts';

// What a caller of the Responses API is told by providers of other wires, beside the golden cases.

type Json = Readonly<Record<string, unknown>>;

function asked(body: Json, to: TargetWire = 'anthropic-messages', model = 'claude-sonnet-4-5') {
  const target = { provider: 'x', model, asksForUsage: true };
  const whole = Buffer.from(JSON.stringify({ input: 'hi', ...body }));
  return translateRequest('openai-responses', to, whole, target);
}

function sent(body: Json, to?: TargetWire, model?: string): Json {
  const request = asked(body, to, model);
  if (request instanceof Refusal) throw request;
  return JSON.parse(request.body.toString()) as Json;
}

function termsOf({ toolNames, echoed }: Pick<TranslatedRequest, 'toolNames' | 'echoed'>) {
  return {
    model: 'asked',
    id: 'answer-1',
    created: 1_764_000_000,
    wantsUsage: true,
    toolNames,
    echoed,
  };
}

const PLAIN = termsOf({ toolNames: new Map(), echoed: null });

const answered = (content: readonly Json[], more: Json = {}): Buffer =>
  Buffer.from(
    JSON.stringify({ id: 'msg_1', model: 'claude', content, stop_reason: 'end_turn', ...more }),
  );

function outputOf(body: Buffer, terms = PLAIN): readonly Json[] {
  const { body: told } = translateAnswer('anthropic-messages', 'openai-responses', body, terms);
  return (told as { output: readonly Json[] }).output;
}

const event = (type: string, more: Json = {}): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
const opening = event('message_start', { message: { id: 'msg_1', model: 'claude', content: [] } });
const begins = (index: number, block: Json) =>
  event('content_block_start', { index, content_block: block });
const says = (index: number, delta: Json) => event('content_block_delta', { index, delta });
const ends = (index: number) => event('content_block_stop', { index });
const stops = (reason: string) =>
  event('message_delta', { delta: { stop_reason: reason } }) + event('message_stop');

function streamed(body: string, terms = PLAIN): readonly Json[] {
  const stream = new TranslatedStream('anthropic-messages', 'openai-responses', terms);
  const text = Buffer.concat([stream.push(Buffer.from(body)), stream.end()]).toString();
  return [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data) as Json);
}

const types = (events: readonly Json[]) => events.map(({ type }) => String(type));

describe('thoughts', () => {
  const blocks = [
    { type: 'thinking', thinking: 'First "this".', signature: 'EqoBs+/=' },
    { type: 'redacted_thinking', data: 'EmwKAhgB+/=' },
    { type: 'thinking', thinking: '', signature: 'EqoEmpty' },
    { type: 'tool_use', id: 'toolu_1', name: 'clock', input: { zone: 'UTC' } },
  ];
  const output = outputOf(answered(blocks, { stop_reason: 'tool_use' }));
  const result = { type: 'function_call_output', call_id: 'toolu_1', output: 'noon' };

  test('of Claude come back to it byte for byte and in their order (T9)', () => {
    const history = [{ role: 'user', content: 'hi' }, ...output, result];
    expect(sent({ input: history })['messages']).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'hi' }] },
      { role: 'assistant', content: blocks },
      {
        role: 'user',
        content: [
          {
            type: 'tool_result',
            tool_use_id: 'toolu_1',
            content: [{ type: 'text', text: 'noon' }],
          },
        ],
      },
    ]);
  });

  test('of any text and any seal come back as they were', () => {
    const any = fc.string({ unit: 'binary', minLength: 1 });
    fc.assert(
      fc.property(any, any, fc.boolean(), (text, data, isShown) => {
        const content = sealedContent('anthropic', isShown ? text : null, data);
        const seal = { maker: 'anthropic', data };
        expect(thoughtOf(content, '')).toEqual(
          isShown ? { kind: 'thought', text, seal } : { kind: 'redacted', seal },
        );
      }),
    );
  });

  test('come back from who cut their summaries, too', () => {
    const cut = output.map((item) =>
      item['type'] === 'reasoning' ? { ...item, id: undefined, summary: [] } : item,
    );
    const messages = JSON.stringify(sent({ input: [...cut, result] })['messages']);
    expect(messages).toContain(JSON.stringify(blocks[0]));
  });

  test('of Gemini come back to the call that they stand before', () => {
    const part = { functionCall: { name: 'clock', args: {} }, thoughtSignature: 'c2ln' };
    const answer = { candidates: [{ content: { parts: [part] }, finishReason: 'STOP' }] };
    const body = Buffer.from(JSON.stringify(answer));
    const { body: told } = translateAnswer('gemini', 'openai-responses', body, PLAIN);
    const { output: items } = told as { output: readonly Json[] };
    const back = {
      type: 'function_call_output',
      call_id: items.at(-1)?.['call_id'],
      output: 'noon',
    };
    const input = [{ role: 'user', content: 'hi' }, ...items, back];
    const { contents } = sent({ input }, 'gemini', 'gemini-3-pro');
    expect(contents).toMatchObject([{}, { role: 'model', parts: [part] }, {}]);
  });

  test('of Claude reach no other wire, and what OpenAI sealed does not reach Claude', () => {
    const own = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAAB' };
    const input = [{ role: 'user', content: 'hi' }, ...output, result, own];
    const chat = JSON.stringify(sent({ input }, 'openai-chat', 'gpt-4o'));
    expect(chat).not.toMatch(/First|EqoB|gAAAAB/);
    expect(JSON.stringify(sent({ input }))).not.toContain('gAAAAB');
  });

  test('that another target left in a history go before OpenAI reads it; its own stay', () => {
    const own = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAAB' };
    const unsealed = { type: 'reasoning', id: 'rs_sluice_0_0', summary: [] };
    const input = [own, ...output, unsealed, result];
    const body = Buffer.from(JSON.stringify({ model: 'route', store: false, input }));
    const clean = withoutForeignThoughts('openai-responses', body, 'gpt-5', 'openai');
    expect(JSON.parse(clean?.body.toString() ?? '')).toEqual({
      model: 'gpt-5',
      store: false,
      input: [own, output.at(-1), result],
    });
    const plain = Buffer.from(JSON.stringify({ model: 'route', input: [own] }));
    expect(withoutForeignThoughts('openai-responses', plain, 'gpt-5', 'openai')).toBeNull();
  });
});

describe('a tool that takes text as it is', () => {
  const tools = [
    { type: 'custom', name: 'patch', format: { type: 'grammar', definition: 'start: X' } },
  ];

  test('is one of a single text elsewhere, and its calls are undone', () => {
    const request = asked({ tools });
    if (request instanceof Refusal) throw request;
    expect(JSON.parse(request.body.toString())).toMatchObject({
      tools: [{ name: 'patch', input_schema: { required: ['input'] } }],
    });
    const call = { type: 'tool_use', id: 't1', name: 'patch', input: { input: 'a\n"b"' } };
    const output = outputOf(answered([call]), termsOf(request));
    expect(output).toMatchObject([
      { type: 'custom_tool_call', call_id: 't1', name: 'patch', input: 'a\n"b"' },
    ]);
    const done = { type: 'custom_tool_call_output', call_id: 't1', output: 'done' };
    expect(sent({ tools, input: [...output, done] })['messages']).toMatchObject([
      { content: [{ type: 'tool_use', id: 't1', input: { input: 'a\n"b"' } }] },
      { content: [{ type: 'tool_result', tool_use_id: 't1' }] },
    ]);
  });

  test('is called in a stream with its text, not with the JSON around it', () => {
    const request = asked({ tools });
    if (request instanceof Refusal) throw request;
    const events = streamed(
      opening +
        begins(0, { type: 'tool_use', id: 't1', name: 'patch', input: {} }) +
        says(0, { type: 'input_json_delta', partial_json: '{"input":"a\\n' }) +
        says(0, { type: 'input_json_delta', partial_json: '\\"b\\""}' }) +
        ends(0) +
        stops('tool_use'),
      termsOf(request),
    );
    expect(events.slice(2, -1)).toMatchObject([
      { type: 'response.output_item.added', item: { type: 'custom_tool_call', input: '' } },
      { type: 'response.custom_tool_call_input.delta', delta: 'a\n"b"' },
      { type: 'response.custom_tool_call_input.done', input: 'a\n"b"' },
      { type: 'response.output_item.done', item: { input: 'a\n"b"' } },
    ]);
  });
});

describe('tools in a namespace', () => {
  const tools = [
    {
      type: 'namespace',
      name: 'mcp__crm',
      description: 'Customers',
      tools: [{ type: 'function', name: 'find', parameters: { type: 'object', properties: {} } }],
    },
  ];

  test('are told by both names elsewhere, and called by the caller’s own', () => {
    const request = asked({ tools });
    if (request instanceof Refusal) throw request;
    expect(request.dropped).toEqual([]);
    expect(JSON.parse(request.body.toString())).toMatchObject({
      tools: [{ name: 'mcp__crm__find' }],
    });
    const call = { type: 'tool_use', id: 't1', name: 'mcp__crm__find', input: {} };
    const output = outputOf(answered([call]), termsOf(request));
    expect(output).toMatchObject([
      { type: 'function_call', call_id: 't1', name: 'find', namespace: 'mcp__crm' },
    ]);
    const done = { type: 'function_call_output', call_id: 't1', output: 'none' };
    expect(sent({ tools, input: [...output, done] })['messages']).toMatchObject([
      { content: [{ type: 'tool_use', name: 'mcp__crm__find' }] },
      { content: [{ type: 'tool_result' }] },
    ]);
  });
});

describe('an answer', () => {
  test('tells the request’s settings again, and that nothing of it is kept', () => {
    const request = asked({
      instructions: 'Be terse.',
      metadata: { run: '7' },
      max_output_tokens: 9,
    });
    if (request instanceof Refusal) throw request;
    const { body } = translateAnswer(
      'anthropic-messages',
      'openai-responses',
      answered([]),
      termsOf(request),
    );
    expect(body).toMatchObject({
      id: 'resp_msg_1',
      instructions: 'Be terse.',
      metadata: { run: '7' },
      max_output_tokens: 9,
      tool_choice: 'auto',
      store: false,
      previous_response_id: null,
    });
  });

  test('that was cut off by its limit says so, and so does its last item', () => {
    const body = answered([{ type: 'text', text: 'ha' }], { stop_reason: 'max_tokens' });
    const { body: told } = translateAnswer('anthropic-messages', 'openai-responses', body, PLAIN);
    expect(told).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ type: 'message', status: 'incomplete' }],
    });
  });

  test('has the words of a refusal in a place of their own', () => {
    const body = answered([], {
      stop_reason: 'refusal',
      stop_details: { explanation: 'Not that.' },
    });
    expect(outputOf(body)).toMatchObject([
      { content: [{ type: 'refusal', refusal: 'Not that.' }] },
    ]);
  });

  test('has ids of its own: the next one’s are others', () => {
    const body = answered([{ type: 'text', text: 'a' }]);
    const [first] = outputOf(body);
    const [second] = outputOf(body, { ...PLAIN, id: 'answer-2' });
    expect(first?.['id']).toMatch(/^msg_sluice_[0-9a-f]{24}_0$/);
    expect(second?.['id']).not.toBe(first?.['id']);
  });
});

describe('an answer of another wire', () => {
  const told = (from: TargetWire, body: Json) =>
    translateAnswer(from, 'openai-responses', Buffer.from(JSON.stringify(body)), PLAIN)
      .body as Json;

  test('counts all that was read as input, what was written to a cache too', () => {
    const usage = {
      input_tokens: 5,
      cache_read_input_tokens: 100,
      cache_creation_input_tokens: 7,
      output_tokens: 3,
    };
    const content = [{ type: 'text', text: 'x' }];
    const body = { id: 'msg_1', model: 'claude', content, stop_reason: 'end_turn', usage };
    expect(told('anthropic-messages', body)['usage']).toMatchObject({
      input_tokens: 112,
      input_tokens_details: { cached_tokens: 100, cache_write_tokens: 7 },
      total_tokens: 115,
    });
  });

  test('says which tier served it, in the words of this wire', () => {
    const tierOf = (serviceTier: string) =>
      told('gemini', {
        candidates: [{ content: { parts: [{ text: 'x' }] }, finishReason: 'STOP' }],
        usageMetadata: { promptTokenCount: 1, serviceTier },
      })['service_tier'];
    expect(['priority', 'flex', 'standard'].map(tierOf)).toEqual(['priority', 'flex', 'default']);
  });

  test('has an id for each call where its provider has none', () => {
    const functionCall = { name: 'clock', args: {} };
    const parts = [{ functionCall }, { functionCall }];
    const output = told('gemini', { candidates: [{ content: { parts }, finishReason: 'STOP' }] })[
      'output'
    ] as readonly Json[];
    const ids = output.map(({ call_id: id }) => id);
    expect(ids.every((id) => typeof id === 'string' && id !== '')).toBe(true);
    expect(new Set(ids).size).toBe(2);
  });

  test('that its limit cut off has calls that were whole before, and is incomplete', () => {
    const call = { functionCall: { name: 'clock', args: { zone: 'UTC' } } };
    const candidates = [{ content: { parts: [call] }, finishReason: 'MAX_TOKENS' }];
    expect(told('gemini', { candidates })).toMatchObject({
      status: 'incomplete',
      output: [{ type: 'function_call', status: 'completed' }],
    });
  });
});

describe('a stream', () => {
  test('keeps no more calls without arguments than its bound', () => {
    const stream = new TranslatedStream('anthropic-messages', 'openai-responses', PLAIN);
    stream.push(Buffer.from(opening));
    const block = { type: 'tool_use', id: 'i', name: 'x'.repeat(1_024 * 1_024), input: {} };
    for (let at = 0; at < 5 && !stream.hasFailed; at++)
      stream.push(Buffer.from(begins(at, block) + ends(at)));
    expect(stream.hasFailed).toBe(true);
  });

  test('has items that end before the next one begins, and one ascending number an event', () => {
    const events = streamed(
      opening +
        begins(0, { type: 'text', text: '' }) +
        says(0, { type: 'text_delta', text: 'a' }) +
        ends(0) +
        begins(1, { type: 'tool_use', id: 't1', name: 'clock', input: {} }) +
        ends(1) +
        stops('tool_use'),
    );
    expect(types(events)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
    expect(events.at(-3)).toMatchObject({ arguments: '{}' });
  });

  test('of calls told interleaved has each with its own arguments', () => {
    const call = (index: number, id: string | undefined, input: string) =>
      `data: ${JSON.stringify({ id: 'c', model: 'm', choices: [{ index: 0, delta: { tool_calls: [{ index, ...(id === undefined ? {} : { id }), function: { ...(id === undefined ? {} : { name: 'clock' }), arguments: input } }] } }] })}\n\n`;
    const stream = new TranslatedStream('openai-chat', 'openai-responses', PLAIN);
    const body =
      call(0, 'a', '{"n":') +
      call(1, 'b', '{"n":') +
      call(0, undefined, '1}') +
      call(1, undefined, '2}');
    const text = stream.push(Buffer.from(`${body}data: [DONE]\n\n`)).toString();
    const last = JSON.parse(/^data: (\{"type":"response\.completed".*)$/m.exec(text)?.[1] ?? '');
    expect(last.response.output).toMatchObject([
      { call_id: 'a', arguments: '{"n":1}' },
      { call_id: 'b', arguments: '{"n":2}' },
    ]);
  });

  test('that breaks ends in an error event, with no clean end', () => {
    const stream = new TranslatedStream('anthropic-messages', 'openai-responses', PLAIN);
    const said =
      opening + begins(0, { type: 'text', text: '' }) + says(0, { type: 'text_delta', text: 'a' });
    stream.push(Buffer.from(said));
    const text = stream.cut().toString();
    expect(text).toMatch(/^event: error\ndata: \{"type":"error","code":"server_error",/);
    expect(stream.end().length).toBe(0);
  });

  test('keeps no more than its bound, and says so where an answer is longer', () => {
    const stream = new TranslatedStream('anthropic-messages', 'openai-responses', PLAIN);
    stream.push(Buffer.from(opening + begins(0, { type: 'text', text: '' })));
    const word = Buffer.from(says(0, { type: 'text_delta', text: 'x'.repeat(65_536) }));
    let told = '';
    for (let at = 0; at < 65; at++) told = stream.push(word).toString() || told;
    expect(told).toContain('event: error');
    expect(stream.push(word).length).toBe(0);
    expect(stream.push(Buffer.from(stops('end_turn'))).length).toBe(0);
  });
});

describe('a request', () => {
  test.each([
    ['a chained answer', { previous_response_id: 'resp_1' }, 'previous_response_id'],
    ['a conversation', { conversation: { id: 'conv_1' } }, 'conversation'],
    ['a stored prompt', { prompt: { id: 'pmpt_1' } }, 'prompt'],
    ['the background', { background: true }, 'background'],
    ['a reference without a type', { input: [{ id: 'msg_1' }] }, 'input[0].item_reference'],
    [
      'a compaction',
      { input: [{ type: 'compaction', encrypted_content: 'gAAA' }] },
      'input[0].compaction',
    ],
    [
      'a stored picture',
      { input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'file-1' }] }] },
      'file_id',
    ],
    ['a search alone', { tools: [{ type: 'web_search' }] }, 'tools.web_search'],
    [
      'a search that is forced',
      {
        tools: [{ type: 'web_search' }, { type: 'function', name: 'f', parameters: null }],
        tool_choice: { type: 'web_search' },
      },
      'tool_choice',
    ],
  ])('for %s cannot be carried, and names it', (_name, body, field) => {
    expect(asked(body as Json)).toMatchObject({ kind: 'untranslatable', field });
  });

  test.each([
    ['no input', { input: null }, 'input'],
    ['a role of nobody', { input: [{ role: 'robot', content: 'x' }] }, 'input[0].role'],
    [
      'a picture that is no URL',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'cat' }] }] },
      'input[0].content[0].image_url',
    ],
    ['a tool without a name', { tools: [{ type: 'function' }] }, 'tools[0].name'],
    ['a limit that is a text', { max_output_tokens: '9' }, 'max_output_tokens'],
    ['a result of no call', { input: [{ type: 'function_call_output' }] }, 'input[0].call_id'],
  ])('with %s is none, and says where', (_name, body, field) => {
    expect(asked(body as Json)).toMatchObject({ kind: 'malformed', field });
  });

  test('names what changes the odds, and not what is a hint', () => {
    const request = asked({
      tools: [
        { type: 'web_search' },
        { type: 'function', name: 'f', parameters: {}, strict: false },
      ],
      store: true,
      truncation: 'auto',
      max_tool_calls: 3,
      top_logprobs: 2,
      text: { verbosity: 'low' },
      include: ['reasoning.encrypted_content'],
      prompt_cache_key: 'k',
      metadata: { a: 'b' },
      brand_new: 1,
      reasoning: { summary: 'auto' },
    });
    expect(new Set((request as TranslatedRequest).dropped)).toEqual(
      new Set([
        'tools.web_search',
        'store',
        'truncation',
        'max_tool_calls',
        'top_logprobs',
        'text.verbosity',
      ]),
    );
  });

  test('passes over what OpenAI’s own tools left in its history', () => {
    const input = [
      { role: 'user', content: 'hi' },
      { type: 'web_search_call', id: 'ws_1', status: 'completed' },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'found' }] },
      { role: 'user', content: 'and?' },
    ];
    expect(sent({ input })['messages']).toMatchObject([
      { role: 'user' },
      { role: 'assistant', content: [{ text: 'found' }] },
      { role: 'user' },
    ]);
  });

  test('goes out in the same bytes each time, and with one turn more behind what it was (T1, T2)', () => {
    const first = [{ role: 'user', content: 'hi' }];
    const more = [
      ...first,
      { role: 'assistant', content: 'yes' },
      { role: 'user', content: 'so?' },
    ];
    const body = (input: readonly Json[]) => JSON.stringify(sent({ instructions: 'x', input }));
    expect(body(first)).toBe(body(first));
    const [short, long] = [sent({ input: first }), sent({ input: more })].map(
      ({ messages }) => messages as unknown[],
    );
    expect(long?.slice(0, 1)).toEqual(short);
  });
});
