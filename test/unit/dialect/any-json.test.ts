import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  TranslatedStream,
  translateAnswer,
  translateError,
  translateRequest,
  withoutForeignThoughts,
} from '../../../src/dialect/translate.ts';
import type { CallerWire, TargetWire } from '../../../src/dialect/wires.ts';
import { CASES_MISSING, translationCases } from '../../support/translation-cases.ts';

// Whatever JSON comes in, from callers or providers: something is said of it, and nothing throws.

const PAIRS: readonly (readonly [from: TargetWire, to: CallerWire])[] = [
  ['openai-chat', 'anthropic-messages'],
  ['openai-chat', 'openai-responses'],
  ['anthropic-messages', 'openai-responses'],
  ['anthropic-messages', 'openai-chat'],
  ['gemini', 'openai-chat'],
  ['gemini', 'anthropic-messages'],
  ['ollama', 'openai-chat'],
  ['ollama', 'anthropic-messages'],
  ['gemini', 'openai-responses'],
  ['ollama', 'openai-responses'],
];

const TERMS = {
  model: 'm',
  id: 'i',
  created: 1_764_000_000,
  wantsUsage: true,
  toolNames: new Map<string, string>(),
  echoed: null,
};

/** Names and values that mean something to a reader, so that it gets further than the first look. */
const WORDS = [
  'messages',
  'role',
  'content',
  'type',
  'text',
  'tools',
  'function',
  'name',
  'tool_calls',
  'arguments',
  'choices',
  'delta',
  'message',
  'usage',
  'error',
  'index',
  'content_block',
  'source',
  'thinking',
  'signature',
  'output_config',
  'tool_choice',
  'stop',
  'max_tokens',
  'id',
  'input',
  'input_schema',
  'image_url',
  'url',
  'system',
  'model',
  'user',
  'assistant',
  'tool',
  'message_start',
  'content_block_start',
  'content_block_delta',
  'content_block_stop',
  'message_delta',
  'message_stop',
  'text_delta',
  'input_json_delta',
  'tool_use',
  'tool_result',
  'image',
  'document',
  'finish_reason',
  'candidates',
  'parts',
  'finishReason',
  'promptFeedback',
  'blockReason',
  'usageMetadata',
  'functionCall',
  'args',
  'thought',
  'thoughtSignature',
  'details',
  'done',
  'done_reason',
  'images',
  'instructions',
  'output',
  'call_id',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'reasoning',
  'summary',
  'encrypted_content',
  'input_image',
  'input_text',
  'format',
  'effort',
];

/** What every object of JavaScript has: a table that is one knows these names, too. */
const MEMBERS = ['constructor', '__proto__'];

const word = fc.constantFrom(...WORDS);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium', withCrossShrink: true },
    word,
    fc.string(),
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.constantFrom(null, true, false, [], {}),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(word, tie('value'), { maxKeys: 5 }),
  ),
}));
const told = value.map((one) => JSON.stringify(one));

/** A request that is sound but for one place. */
const broken = fc
  .tuple(
    value,
    fc.constantFrom(
      'messages',
      'input',
      'role',
      'content',
      'tools',
      'max_tokens',
      'text',
      'reasoning',
      'tool_choice',
      'thinking',
      'stop',
      'system',
    ),
  )
  .map(([one, place]) => {
    const message = { role: 'user', content: [{ type: 'text', text: 'x' }] };
    const inner = place === 'role' || place === 'content' ? { ...message, [place]: one } : message;
    const body = { max_tokens: 9, messages: [message, inner], input: [inner], tools: [] };
    return JSON.stringify(place in inner ? body : { ...body, [place]: one });
  });

/** A tool whose schema is at the `@`, behind a thought of another maker's. */
const DEEP_REQUESTS: Readonly<Record<CallerWire, string>> = {
  'openai-chat':
    '{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","thinking_blocks":[]}],"tools":[{"type":"function","function":{"name":"x","parameters":@}}]}',
  'openai-responses':
    '{"input":[{"role":"user","content":"x"},{"type":"reasoning","id":"rs_sluice_1","summary":[]}],"tools":[{"type":"function","name":"x","parameters":@}]}',
  'anthropic-messages':
    '{"max_tokens":9,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"thinking","thinking":"y","signature":""},{"type":"text","text":"z"}]}],"tools":[{"name":"x","input_schema":@}]}',
};

/** A call whose arguments are at the `@`. */
const DEEP_ANSWERS: Readonly<Record<TargetWire, string>> = {
  'openai-chat':
    '{"choices":[{"message":{"tool_calls":[{"id":"i","type":"function","function":{"name":"x","arguments":@}}]},"finish_reason":"tool_calls"}]}',
  'anthropic-messages':
    '{"type":"message","content":[{"type":"tool_use","id":"i","name":"x","input":@}],"stop_reason":"tool_use"}',
  gemini:
    '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"x","args":@}}]},"finishReason":"STOP"}]}',
  ollama: '{"message":{"tool_calls":[{"function":{"name":"x","arguments":@}}]},"done":true}',
};

/** @returns the text of a body as often as it has texts and names, with another word in the place of one of them */
function reworded(body: unknown, word: string): readonly string[] {
  const text = JSON.stringify(body);
  return [...text.matchAll(/"(?:[^"\\]|\\.)*"/g)].map(
    ({ 0: old, index }) =>
      text.slice(0, index) + JSON.stringify(word) + text.slice(index + old.length),
  );
}

/** As the golden cases call the wires. */
const CASE_CALLERS: Readonly<Record<string, CallerWire>> = {
  'openai-chat': 'openai-chat',
  anthropic: 'anthropic-messages',
  responses: 'openai-responses',
};
const CASE_TARGETS: Readonly<Record<string, TargetWire>> = {
  'openai-chat': 'openai-chat',
  anthropic: 'anthropic-messages',
  gemini: 'gemini',
  ollama: 'ollama',
};

describe('of golden cases', () => {
  test('nothing throws, whichever of its words is the name of a member of all objects', ({
    skip,
  }) => {
    if (CASES_MISSING !== null) skip(CASES_MISSING);
    const target = { provider: 'x', model: 'm', asksForUsage: true };
    let count = 0;
    for (const [inbound, caller] of Object.entries(CASE_CALLERS))
      for (const [upstream, wire] of Object.entries(CASE_TARGETS))
        for (const one of inbound === upstream ? [] : translationCases(inbound, upstream))
          for (const word of MEMBERS) {
            for (const text of reworded(one.request_in.body, word)) {
              const came = translateRequest(caller, wire, Buffer.from(text), target);
              expect('body' in came || 'kind' in came).toBe(true);
              count++;
            }
            for (const text of reworded(one.response_upstream?.body ?? {}, word)) {
              expect(translateAnswer(wire, caller, Buffer.from(text), TERMS).body).toBeTypeOf(
                'object',
              );
              expect(translateError(caller, 400, Buffer.from(text)).body).toHaveProperty(
                'error.message',
              );
            }
          }
    expect(count).toBeGreaterThan(1_000);
  });
});

describe.each(PAIRS)('from %s to %s', (from, to) => {
  test('any request is written or refused', () => {
    fc.assert(
      fc.property(fc.oneof(told, broken), (text) => {
        const target = { provider: 'x', model: 'm', asksForUsage: true };
        const came = translateRequest(to, from, Buffer.from(text), target);
        expect('body' in came || 'kind' in came).toBe(true);
        withoutForeignThoughts(to, Buffer.from(text), 'm', 'openai');
      }),
      { numRuns: 500 },
    );
  });

  test('any answer, and any error, is told', () => {
    fc.assert(
      fc.property(told, fc.integer({ min: 300, max: 599 }), (text, status) => {
        const body = Buffer.from(text);
        expect(translateAnswer(from, to, body, TERMS).body).toBeTypeOf('object');
        expect(translateError(to, status, body).body).toHaveProperty('error.message');
      }),
      { numRuns: 500 },
    );
  });

  test('JSON of a hundred thousand levels is refused, or told as an error', () => {
    const deep = `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`;
    const target = { provider: 'x', model: 'm', asksForUsage: true };
    const asked = Buffer.from(DEEP_REQUESTS[to].replace('@', deep));
    expect(translateRequest(to, from, asked, target)).toMatchObject({ kind: 'malformed' });
    expect(withoutForeignThoughts(to, asked, 'm', 'openai')).toBeNull();
    const deepAnswer = DEEP_ANSWERS[from].replace('@', deep);
    expect(translateAnswer(from, to, Buffer.from(deepAnswer), TERMS).status).toBe(502);
    if (from !== 'gemini' && from !== 'ollama') return;
    const stream = new TranslatedStream(from, to, TERMS);
    const event = from === 'ollama' ? `${deepAnswer}\n` : `data: ${deepAnswer}\n\n`;
    const told = stream.push(Buffer.from(event.repeat(2))).toString() + stream.end().toString();
    expect(stream.hasFailed).toBe(true);
    expect(told.match(/^data: .*The provider sent what cannot be read/gm)).toHaveLength(1);
  });

  test('an event of more than sixteen megabytes is an error, and nothing behind it is told', () => {
    const stream = new TranslatedStream(from, to, TERMS);
    const piece = Buffer.alloc(4 * 1024 * 1024, 'x');
    stream.push(Buffer.from(from === 'ollama' ? '{"' : 'data: {"'));
    for (let at = 0; at < 5; at++) stream.push(piece);
    stream.push(Buffer.from('":1}\n\n'));
    expect(stream.hasFailed).toBe(true);
    expect(stream.end().length).toBe(0);
  });

  test('any stream is told as one that ends or fails, once', () => {
    fc.assert(
      fc.property(fc.array(told, { maxLength: 8 }), (events) => {
        const stream = new TranslatedStream(from, to, TERMS);
        const framed = (data: string) => (from === 'ollama' ? `${data}\n` : `data: ${data}\n\n`);
        const out = events.map((data) => stream.push(Buffer.from(framed(data))));
        const text = Buffer.concat([...out, stream.end()]).toString();
        const ends = text.match(
          /^data: (?:\[DONE\]|\{"type":"(?:message_stop|response\.(?:completed|incomplete)|error)".*|\{"error":.*)$/gm,
        );
        expect(ends).toHaveLength(1);
      }),
      { numRuns: 500 },
    );
  });
});
