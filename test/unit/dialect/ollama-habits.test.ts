import { describe, expect, test } from 'vitest';
import { Refusal } from '../../../src/dialect/losses.ts';
import { sealText } from '../../../src/dialect/seals.ts';
import {
  TranslatedStream,
  translateAnswer,
  translateError,
  translateRequest,
} from '../../../src/dialect/translate.ts';
import type { CallerWire } from '../../../src/dialect/wires.ts';

// What Ollama's own wire can be asked, and what its lines have that no events do.

type Json = Readonly<Record<string, unknown>>;

const TERMS = {
  model: 'asked',
  id: 'answer-1',
  created: 1_764_000_000,
  wantsUsage: true,
  toolNames: new Map<string, string>(),
  echoed: null,
};
const HI = [{ role: 'user', content: 'hi' }];

function written(from: CallerWire, body: Json) {
  const target = { provider: 'ollama', model: 'qwen3:8b', asksForUsage: true };
  return translateRequest(from, 'ollama', Buffer.from(JSON.stringify(body)), target);
}

function asked(body: Json, from: CallerWire = 'anthropic-messages') {
  const request = written(from, { max_tokens: 9, messages: HI, ...body });
  if (request instanceof Refusal) throw request;
  return { ...request, sent: JSON.parse(request.body.toString()) };
}

const line = (message: Json, more: Json = {}): string =>
  `${JSON.stringify({ model: 'qwen3:8b', message: { role: 'assistant', content: '', ...message }, done: false, ...more })}\n`;
const DONE = line(
  {},
  { done: true, done_reason: 'stop', prompt_eval_count: 7, eval_count: 3, total_duration: 9 },
);

function streamed(text: string, end: 'end' | 'cut' = 'end'): readonly Json[] {
  const stream = new TranslatedStream('ollama', 'anthropic-messages', TERMS);
  const told = Buffer.concat([stream.push(Buffer.from(text)), stream[end]()]).toString();
  return [...told.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data));
}

const types = (events: readonly Json[]) => events.map(({ type }) => type);
const ofType = (events: readonly Json[], type: string) =>
  events.filter((one) => one['type'] === type);

const clock = { name: 'clock', input_schema: { $schema: 'x', type: 'object', properties: {} } };
const other = { name: 'other', input_schema: { type: 'object', properties: {} } };

describe('a request', () => {
  test('has no way to choose a tool for the model but to offer fewer', () => {
    const tools = [clock, other];
    const none = asked({ tools, tool_choice: { type: 'none' } });
    expect([none.sent.tools, none.dropped]).toEqual([undefined, []]);
    const forced = asked({ tools, tool_choice: { type: 'tool', name: 'clock' } });
    expect([forced.sent.tools.length, forced.dropped]).toEqual([2, ['tool_choice']]);
    const functions = tools.map(({ name }) => ({ type: 'function', function: { name } }));
    const allowed = { mode: 'auto', tools: functions.slice(1) };
    const fewer = asked(
      { tools: functions, tool_choice: { type: 'allowed_tools', allowed_tools: allowed } },
      'openai-chat',
    );
    expect([fewer.sent.tools, fewer.dropped]).toEqual([functions.slice(1), []]);
  });

  test('names what a model of Ollama is not held to', () => {
    const tool = { ...clock, strict: true };
    const choice = { type: 'auto', disable_parallel_tool_use: true };
    const { sent, dropped } = asked({ tools: [tool], tool_choice: choice });
    expect(sent.tools[0].function.parameters).toEqual({ type: 'object', properties: {} });
    expect(dropped).toEqual(['tools.strict', 'tool_choice.disable_parallel_tool_use']);
    const chat = { logprobs: true, service_tier: 'priority', stream: true };
    expect(asked(chat, 'openai-chat').dropped).toEqual(['logprobs', 'service_tier']);
  });

  test.each([
    [{ thinking: { type: 'enabled', budget_tokens: 9_000 } }, true],
    [{ thinking: { type: 'adaptive' } }, true],
    [{ thinking: { type: 'disabled' } }, false],
    [{ thinking: { type: 'adaptive' }, output_config: { effort: 'xhigh' } }, 'max'],
    [{}, undefined],
  ])('%o is told as think: %s', (body, think) => {
    expect(asked(body).sent.think).toBe(think);
  });

  test.each([
    ['n', { n: 2 }],
    [
      'image',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'image_url', image_url: { url: 'https://e.example/a.png' } }],
          },
        ],
      },
    ],
    [
      'input_audio',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'input_audio', input_audio: { data: 'AA==', format: 'wav' } }],
          },
        ],
      },
    ],
    [
      'document',
      {
        messages: [
          {
            role: 'user',
            content: [
              {
                type: 'file',
                file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA==' },
              },
            ],
          },
        ],
      },
    ],
  ])('with %s is refused, since Ollama would answer another question', (field, body) => {
    const refused = written('openai-chat', { messages: HI, ...body });
    expect(refused).toMatchObject({ kind: 'untranslatable', field });
  });

  test('says whether it is a stream, since Ollama streams where nothing is said', () => {
    expect(asked({}).sent.stream).toBe(false);
    expect(asked({ stream: true }).sent.stream).toBe(true);
  });

  test('asks for a token at least, where its caller asks for none to warm a cache', () => {
    const { sent, adjusted } = asked({ max_tokens: 0 });
    expect([sent.options, adjusted]).toEqual([{ num_predict: 1 }, ['max_tokens=1']]);
  });

  test('has results by the names of their calls, with their pictures, and what failed says so', () => {
    const picture = {
      type: 'image',
      source: { type: 'base64', media_type: 'image/png', data: 'AAAA' },
    };
    const use = (id: string) => ({ type: 'tool_use', id, name: 'clock', input: { zone: id } });
    const { sent } = asked({
      messages: [
        ...HI,
        { role: 'assistant', content: [use('a'), use('b')] },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 'a',
              content: [picture, { type: 'text', text: 'seen' }],
            },
            { type: 'text', text: 'And?' },
            { type: 'tool_result', tool_use_id: 'b', content: 'no clock', is_error: true },
          ],
        },
      ],
    });
    expect(sent.messages.slice(2)).toEqual([
      { role: 'tool', content: 'seen', tool_name: 'clock', tool_call_id: 'a', images: ['AAAA'] },
      { role: 'tool', content: 'Error: no clock', tool_name: 'clock', tool_call_id: 'b' },
      { role: 'user', content: 'And?' },
    ]);
  });

  test("takes a model's own thoughts back, and nobody else's", () => {
    const call = { type: 'tool_use', id: 'a', name: 'clock', input: {} };
    const history = (signature: string) => [
      ...HI,
      { role: 'assistant', content: [{ type: 'thinking', thinking: 'Hm.', signature }, call] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: '12' }] },
    ];
    const thinkingOf = (signature: string) =>
      asked({ messages: history(signature) }).sent.messages[1].thinking;
    expect(thinkingOf('')).toBe('Hm.');
    expect(thinkingOf('EqQBCgIYAg==')).toBeUndefined();
    const gemini = sealText('anthropic', { maker: 'gemini', data: 'AA==' });
    expect(thinkingOf(gemini)).toBeUndefined();
  });

  test('keeps the digits of arguments, and takes what is no object for none', () => {
    const called = (text: string) => ({
      messages: [
        ...HI,
        {
          role: 'assistant',
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: text } }],
        },
        { role: 'tool', tool_call_id: 'a', content: '1' },
      ],
    });
    const digits = '{"id":12345678901234567890}';
    expect(asked(called(digits), 'openai-chat').body.toString()).toContain(digits);
    const cut = asked(called('{"id":12'), 'openai-chat');
    expect(cut.sent.messages[1].tool_calls[0].function.arguments).toEqual({});
  });
});

describe('a stream of lines', () => {
  test('may have empty ones, ends of two bytes, and no end behind the last', () => {
    const text = `${line({ content: 'a' })}\n${line({ content: 'b' })}${DONE}`;
    const crlf = text.replaceAll('\n', '\r\n');
    const told = streamed(text);
    expect(types(told).at(-1)).toBe('message_stop');
    expect(streamed(crlf)).toEqual(told);
    expect(streamed(text.trimEnd())).toEqual(told);
  });

  test('may have a byte order mark in front, however it is cut, and white space before its first line', () => {
    const text = `${line({ content: 'a' })}${DONE}`;
    const told = streamed(text);
    expect(streamed(`\ufeff${text}`)).toEqual(told);
    expect(streamed(`\ufeff\r\n ${text}`)).toEqual(told);
    const bytes = Buffer.from(`\ufeff${text}`);
    for (let at = 1; at < 5; at++) {
      const stream = new TranslatedStream('ollama', 'anthropic-messages', TERMS);
      const parts = [stream.push(bytes.subarray(0, at)), stream.push(bytes.subarray(at))];
      const all = Buffer.concat([...parts, stream.end()]).toString();
      expect([...all.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data))).toEqual(
        told,
      );
    }
  });

  test('is over when it says so, and not before: its end without that is a cut', () => {
    expect(types(streamed(line({ content: 'half' }))).at(-1)).toBe('error');
    expect(types(streamed(line({ content: 'half' }), 'cut')).at(-1)).toBe('error');
    const behind = streamed(line({ content: 'all' }) + DONE + line({ content: 'more' }), 'cut');
    expect(types(behind).at(-1)).toBe('message_stop');
    expect(JSON.stringify(behind)).not.toContain('more');
  });

  test('tells an error in its words, and nothing behind it', () => {
    const broken = '{"error":"an error was encountered while running the model"}\n';
    const told = streamed(line({ content: 'half' }) + broken + DONE);
    expect(types(told).at(-1)).toBe('error');
    expect(JSON.stringify(told.at(-1))).toContain('while running the model');
    expect(types(streamed('no JSON\n')).at(-1)).toBe('error');
  });

  test('with an error of no words has none', () => {
    const told = streamed(line({ content: 'all' }, { error: '' }) + DONE);
    expect(types(told).at(-1)).toBe('message_stop');
  });

  test('has each call whole, some without an id, and their digits stay', () => {
    const made = (zone: string, id?: string) => ({
      ...(id === undefined ? {} : { id }),
      function: { name: 'clock', arguments: { zone } },
    });
    const digits = line({ tool_calls: [made('x')] }).replace('"x"', '12345678901234567890');
    const told = streamed(line({ tool_calls: [made('a', 'call_a'), made('b')] }) + digits + DONE);
    const ids = ofType(told, 'content_block_start').map(
      ({ content_block: block }) => (block as { id: string }).id,
    );
    expect(ids[0]).toBe('call_a');
    expect(new Set(ids).size).toBe(3);
    expect(ofType(told, 'message_delta')).toMatchObject([{ delta: { stop_reason: 'tool_use' } }]);
    expect(JSON.stringify(told)).toContain('12345678901234567890');
  });

  test('counts nothing where all of the prompt was in its memory', () => {
    const done = line({}, { done: true, done_reason: 'stop', eval_count: 3 });
    const [delta] = ofType(streamed(line({ content: 'a' }) + done), 'message_delta');
    expect(delta).toMatchObject({ usage: { output_tokens: 3 } });
    const whole = JSON.parse(done.replace('"content":""', '"content":"a"'));
    const answer = translateAnswer(
      'ollama',
      'openai-chat',
      Buffer.from(JSON.stringify(whole)),
      TERMS,
    );
    expect(answer.body).toMatchObject({ usage: { prompt_tokens: 0, completion_tokens: 3 } });
  });
});

test('an answer without a message is none', () => {
  const told = translateAnswer('ollama', 'openai-chat', Buffer.from('{"done":true}'), TERMS);
  expect(told.status).toBe(502);
});

test('an error is a bare text, whatever its status', () => {
  const body = Buffer.from('{"error":"model \'x\' not found"}');
  expect(translateError('anthropic-messages', 404, body)).toMatchObject({
    status: 404,
    body: { error: { type: 'not_found_error', message: "model 'x' not found" } },
  });
});
