import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readMessagesRequest } from '../../../src/dialect/anthropic-messages/request-reader.ts';
import { writeMessagesRequest } from '../../../src/dialect/anthropic-messages/request-writer.ts';
import type { MessageAnswer } from '../../../src/dialect/anthropic-messages/shapes.ts';
import type { Conversation, Part, Turn } from '../../../src/dialect/conversation.ts';
import { writeGeminiRequest } from '../../../src/dialect/gemini/request-writer.ts';
import { Losses, Refusal } from '../../../src/dialect/losses.ts';
import { readChatRequest } from '../../../src/dialect/openai-chat/request-reader.ts';
import { writeChatRequest } from '../../../src/dialect/openai-chat/request-writer.ts';
import { readResponsesRequest } from '../../../src/dialect/openai-responses/request-reader.ts';
import {
  TranslatedStream,
  translateAnswer,
  translateRequest,
} from '../../../src/dialect/translate.ts';
import { ToolNames } from '../../../src/dialect/wire-names.ts';
import type { CallerWire } from '../../../src/dialect/wires.ts';

// Generated conversations, written and read again: what a wire can say comes back as it was.

/** No white space at its ends, which a last turn loses, and never empty, which no wire keeps. */
const text = fc
  .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
  .map((value) => `x${value}x`);
const name = fc.stringMatching(/^[a-zA-Z0-9_-]{1,64}$/);
const schema = fc.record({ type: fc.constant('object'), properties: fc.constant({}) });
/** JSON of an object whose numbers a double cannot hold. */
const input = fc
  .tuple(text, fc.bigInt({ min: 10n ** 17n, max: 10n ** 25n }))
  .map(([value, digits]) => `{"text":${JSON.stringify(value)},"exact":${digits}}`);
const textPart = text.map((value): Part => ({ kind: 'text', text: value, cache: null }));
const image = fc.oneof(
  fc.base64String().map(
    (base64): Part => ({
      kind: 'image',
      media: { from: 'inline', type: 'image/png', base64 },
      detail: null,
      cache: null,
    }),
  ),
  fc
    .webUrl()
    .map(
      (url): Part => ({ kind: 'image', media: { from: 'url', url }, detail: null, cache: null }),
    ),
);

/** A tool loop: calls, and a result for each. */
const loop = fc
  .array(fc.tuple(name, input, text), { minLength: 1, maxLength: 3 })
  .map((calls): readonly Turn[] => [
    {
      role: 'assistant',
      parts: calls.map(
        ([called, args], at): Part => ({
          kind: 'call',
          id: `call_${at}`,
          name: called,
          input: args,
          cache: null,
        }),
      ),
    },
    {
      role: 'user',
      parts: calls.map(
        ([, , result], at): Part => ({
          kind: 'result',
          id: `call_${at}`,
          parts: [{ kind: 'text', text: result, cache: null }],
          isError: false,
          cache: null,
        }),
      ),
    },
  ]);
const asked = fc
  .array(fc.oneof(textPart, image), { minLength: 1, maxLength: 3 })
  .map((parts): Turn => ({ role: 'user', parts }));
const said = textPart.map((part): Turn => ({ role: 'assistant', parts: [part] }));
const turns = fc
  .array(fc.oneof(fc.tuple(asked, said), loop), { minLength: 1, maxLength: 4 })
  .map((rounds) => rounds.flat())
  .chain((rounds) => asked.map((last) => [...rounds, last]));

const wish = <T>(field: string, value: fc.Arbitrary<T>) =>
  fc.option(value.map((told) => ({ field, value: told })));

const conversation = fc.record({
  model: fc.constant('m'),
  turns,
  tools: fc.array(
    fc.record({
      kind: fc.constant('function' as const),
      name,
      description: fc.option(text, { nil: null }),
      schema: schema as fc.Arbitrary<Record<string, unknown>>,
      isStrict: fc.boolean(),
      cache: fc.constant(null),
    }),
    { maxLength: 2 },
  ),
  toolChoice: fc.constant(null),
  parallelCalls: fc.constant(null),
  maxTokens: fc.integer({ min: 1, max: 9_999 }).map((value) => ({ field: 'max_tokens', value })),
  temperature: wish('temperature', fc.double({ min: 0, max: 1, noNaN: true })),
  topP: fc.constant(null),
  topK: fc.constant(null),
  seed: fc.constant(null),
  frequencyPenalty: fc.constant(null),
  presencePenalty: fc.constant(null),
  stops: fc.constant(null),
  choices: fc.constant(null),
  logprobs: fc.constant(null),
  format: fc.constant(null),
  verbosity: fc.constant(null),
  thinking: fc.constant(null),
  tier: fc.constant(null),
  user: fc.option(fc.stringMatching(/^[a-z0-9]{1,40}$/)),
  ownFields: fc.constant([]),
  isStream: fc.boolean(),
  wantsUsage: fc.constant(true),
  echoed: fc.constant(null),
}) satisfies fc.Arbitrary<Conversation>;

/** Neighbouring turns of one role as one, which is how wires have them. */
function joinedTurns(all: readonly Turn[]): Turn[] {
  const joined: { role: Turn['role']; parts: Part[] }[] = [];
  for (const { role, parts } of all) {
    const last = joined.at(-1);
    // Pictures and texts of one turn come back in one message, results in front of them.
    if (last?.role === role) last.parts.push(...parts);
    else joined.push({ role, parts: [...parts] });
  }
  return joined;
}

/** What is told by its name alone. */
function told({ turns: all, ...rest }: Conversation): unknown {
  return JSON.parse(JSON.stringify({ ...rest, turns: joinedTurns(all) }));
}

const asWritten = <T extends { readonly value: number } | null>(limit: T): number | null =>
  limit?.value ?? null;

describe('a generated conversation', () => {
  test('written on Anthropic’s wire is read as it was, digit by digit', () => {
    fc.assert(
      fc.property(conversation, (one) => {
        const losses = new Losses();
        const body = writeMessagesRequest(one, 'claude-sonnet-4-5', losses, new ToolNames(128));
        const read = readMessagesRequest(JSON.stringify({ ...body, model: 'm' }));
        expect(losses.dropped).toEqual([]);
        expect(told({ ...read, wantsUsage: true })).toEqual(told(one));
      }),
    );
  });

  test('written on OpenAI’s chat wire is read as it was, byte for byte in its arguments', () => {
    fc.assert(
      fc.property(conversation, (one) => {
        const losses = new Losses();
        const target = { provider: 'openai', model: 'gpt-4o', asksForUsage: true };
        const body = writeChatRequest(one, target, losses, new ToolNames(64));
        const read = readChatRequest(JSON.stringify({ ...body, model: 'm' }));
        expect(losses.dropped).toEqual([]);
        expect(asWritten(read.maxTokens)).toBe(asWritten(one.maxTokens));
        const { maxTokens, wantsUsage: _ } = one;
        expect(told({ ...read, maxTokens, wantsUsage: true })).toEqual(told(one));
      }),
    );
  });

  test('goes from Anthropic’s wire to OpenAI’s and back, and is the same request again', () => {
    fc.assert(
      fc.property(conversation, (one) => {
        const write = (said: Conversation) =>
          writeMessagesRequest(said, 'claude-sonnet-4-5', new Losses(), new ToolNames(128));
        const first = JSON.stringify(write(one));
        const target = { provider: 'openai', model: 'gpt-4o', asksForUsage: true };
        const between = writeChatRequest(
          readMessagesRequest(first),
          target,
          new Losses(),
          new ToolNames(64),
        );
        expect(JSON.stringify(write(readChatRequest(JSON.stringify(between))))).toBe(first);
      }),
    );
  });

  test('with one turn more is written with all that it was in front (T2)', () => {
    fc.assert(
      fc.property(conversation, text, (one, more) => {
        const write = (turns: readonly Turn[]) =>
          writeMessagesRequest(
            { ...one, turns },
            'claude-opus-5-5',
            new Losses(),
            new ToolNames(128),
          );
        const next: readonly Turn[] = [
          { role: 'assistant', parts: [{ kind: 'text', text: more, cache: null }] },
          { role: 'user', parts: [{ kind: 'text', text: more, cache: null }] },
        ];
        const before = write(one.turns);
        const after = write([...one.turns, ...next]);
        expect(after.system).toEqual(before.system);
        expect(after.tools).toEqual(before.tools);
        expect(after.messages.slice(0, before.messages.length)).toEqual(before.messages);
      }),
    );
  });

  test('with one turn more is written on Gemini’s wire with all that it was in front (T2)', () => {
    fc.assert(
      fc.property(conversation, text, (one, more) => {
        const write = (turns: readonly Turn[]) =>
          writeGeminiRequest(
            { ...one, turns },
            'gemini-3-flash-preview',
            new Losses(),
            new ToolNames(64),
          );
        const next: readonly Turn[] = [
          { role: 'assistant', parts: [{ kind: 'text', text: more, cache: null }] },
          { role: 'user', parts: [{ kind: 'text', text: more, cache: null }] },
        ];
        const before = write(one.turns);
        const after = write([...one.turns, ...next]);
        expect(after.tools).toEqual(before.tools);
        expect(after.contents.slice(0, before.contents.length)).toEqual(before.contents);
        expect(JSON.stringify(write(one.turns))).toBe(JSON.stringify(before));
      }),
    );
  });
});

type Json = Readonly<Record<string, unknown>>;

/** As the Responses API has it, by hand: the gateway reads this wire and never writes it. */
function asResponses(one: Conversation): Json {
  const input = one.turns.flatMap(({ role, parts }) => parts.map((part) => itemOf(role, part)));
  return {
    model: one.model,
    input,
    tools: one.tools.map((tool) =>
      tool.kind === 'function'
        ? {
            type: 'function',
            name: tool.name,
            ...(tool.description === null ? {} : { description: tool.description }),
            parameters: tool.schema,
            strict: tool.isStrict,
          }
        : {},
    ),
    ...(one.maxTokens === null ? {} : { max_output_tokens: one.maxTokens.value }),
    ...(one.temperature === null ? {} : { temperature: one.temperature.value }),
    ...(one.user === null ? {} : { safety_identifier: one.user }),
    stream: one.isStream,
    store: false,
  };
}

function itemOf(role: Turn['role'], part: Part): Json {
  switch (part.kind) {
    case 'call':
      return {
        type: 'function_call',
        call_id: part.id,
        name: part.name,
        arguments: part.input,
      };
    case 'result':
      return {
        type: 'function_call_output',
        call_id: part.id,
        output: part.parts.map((inner) => (inner.kind === 'text' ? inner.text : '')).join(''),
      };
    case 'image': {
      const { media } = part;
      const image_url =
        media.from === 'url' ? media.url : `data:${media.type};base64,${media.base64}`;
      return { type: 'message', role, content: [{ type: 'input_image', image_url }] };
    }
    case 'text': {
      const type = role === 'assistant' ? 'output_text' : 'input_text';
      return { type: 'message', role, content: [{ type, text: part.text }] };
    }
    default:
      throw new Error(`No part of kind ${part.kind} is generated.`);
  }
}

describe('a generated conversation on the Responses API', () => {
  test('is read as it was, byte for byte in its arguments', () => {
    fc.assert(
      fc.property(conversation, (one) => {
        const read = readResponsesRequest(JSON.stringify(asResponses(one)));
        const { maxTokens } = one;
        expect(asWritten(read.maxTokens)).toBe(asWritten(maxTokens));
        expect(told({ ...read, maxTokens, echoed: null })).toEqual(told(one));
      }),
    );
  });
});

describe('a generated conversation of each of the three callers’ wires', () => {
  const chatTarget = { provider: 'openai', model: 'gpt-4o', asksForUsage: true };
  /** The same conversation, as the caller of each wire would write it. */
  const askedIn = (one: Conversation): Readonly<Record<CallerWire, unknown>> => ({
    'openai-chat': writeChatRequest(one, chatTarget, new Losses(), new ToolNames(64)),
    'anthropic-messages': writeMessagesRequest(
      one,
      'claude-sonnet-4-5',
      new Losses(),
      new ToolNames(128),
    ),
    'openai-responses': asResponses(one),
  });

  test.each([
    ['openai-chat', 'groq', 'llama-3.3-70b'],
    ['anthropic-messages', 'anthropic', 'claude-sonnet-4-5'],
    ['gemini', 'gemini', 'gemini-3-flash-preview'],
    ['ollama', 'ollama', 'qwen3'],
  ] as const)('is the same request on the wire of %s', (to, provider, model) => {
    fc.assert(
      fc.property(conversation, (generated) => {
        // On the chat wire two turns of one role in a row stay two: no caller has them so.
        const one = { ...generated, turns: joinedTurns(generated.turns) };
        const target = { provider, model, asksForUsage: true };
        const written = Object.entries(askedIn(one)).map(([from, body]) => {
          const asked = Buffer.from(JSON.stringify(body));
          const request = translateRequest(from as CallerWire, to, asked, target);
          // What no picture's address can be sent to is refused, whoever asks.
          return request instanceof Refusal
            ? request.kind
            : [JSON.parse(request.body.toString()), request.path, request.isStream];
        });
        expect(written[1]).toEqual(written[0]);
        expect(written[2]).toEqual(written[0]);
      }),
    );
  });
});

describe('a generated answer of OpenAI’s', () => {
  const count = fc.nat({ max: 1_000_000 });
  const terms = {
    model: 'm',
    id: 'i',
    created: 1,
    wantsUsage: true,
    echoed: null,
    toolNames: new Map<string, string>(),
  };

  test('told on Anthropic’s wire and back is what it was: text, calls, end and every count (T8)', () => {
    const calls = fc.array(fc.tuple(name, input), { maxLength: 3 });
    const counts = fc.tuple(count, count, count, count);
    fc.assert(
      fc.property(text, calls, counts, (said, made, [fresh, read, output, reasoning]) => {
        const tool_calls = made.map(([called, args], at) => ({
          id: `call_${at}`,
          type: 'function',
          function: { name: called, arguments: args },
        }));
        const usage = {
          prompt_tokens: fresh + read,
          completion_tokens: output + reasoning,
          total_tokens: fresh + read + output + reasoning,
          prompt_tokens_details: { cached_tokens: read },
          completion_tokens_details: { reasoning_tokens: reasoning },
        };
        const finish_reason = made.length > 0 ? 'tool_calls' : 'stop';
        const message = {
          role: 'assistant',
          content: said,
          ...(made.length > 0 ? { tool_calls } : {}),
        };
        const chat = {
          id: 'i',
          model: 'm',
          choices: [{ index: 0, message, finish_reason }],
          usage,
        };
        const there = translateAnswer(
          'openai-chat',
          'anthropic-messages',
          Buffer.from(JSON.stringify(chat)),
          terms,
        );
        const back = translateAnswer(
          'anthropic-messages',
          'openai-chat',
          Buffer.from(JSON.stringify(there.body)),
          terms,
        );
        const { choices, usage: counted } = back.body as unknown as typeof chat;
        expect(counted).toMatchObject(usage);
        expect(choices[0]?.finish_reason).toBe(finish_reason);
        const { content, tool_calls: again } = (choices[0]?.message ?? {}) as typeof message & {
          tool_calls?: typeof tool_calls;
        };
        expect(content).toBe(said);
        // As values: on Anthropic’s wire they are objects.
        const asValues = (all: typeof tool_calls) =>
          all.map(({ id, function: { name: called, arguments: args } }) => [
            id,
            called,
            JSON.parse(args),
          ]);
        expect(asValues(again ?? [])).toEqual(asValues(tool_calls));
      }),
    );
  });
});

describe('a generated answer of Gemini’s', () => {
  const call = fc
    .tuple(name, text, fc.option(fc.base64String({ minLength: 4 }), { nil: undefined }))
    .map(([called, value, thoughtSignature]) => ({
      functionCall: { name: called, args: { value } },
      ...(thoughtSignature === undefined ? {} : { thoughtSignature }),
    }));
  const words = text.map((value) => ({ text: value }));
  const terms = { model: 'm', id: 'i', created: 1, wantsUsage: true, echoed: null };

  test('comes back as it was, each signature with its call, whole or streamed piece by piece', () => {
    fc.assert(
      fc.property(
        fc.option(words, { nil: null }),
        fc.array(call, { minLength: 1, maxLength: 4 }),
        (opening, calls) => {
          const parts = [...(opening === null ? [] : [opening]), ...calls];
          const event = (content: readonly object[], finish: object) =>
            JSON.stringify({ candidates: [{ content: { parts: content }, ...finish }] });
          const whole = event(parts, { finishReason: 'STOP' });
          const toolNames = new Map<string, string>();
          const told = translateAnswer('gemini', 'anthropic-messages', Buffer.from(whole), {
            ...terms,
            toolNames,
          });
          const { content } = told.body as MessageAnswer;
          const messages = [
            { role: 'user', content: 'x' },
            { role: 'assistant', content },
            { role: 'user', content: 'y' },
          ];
          const said = readMessagesRequest(JSON.stringify({ max_tokens: 9, messages }));
          const written = writeGeminiRequest(
            said,
            'gemini-2.5-pro',
            new Losses(),
            new ToolNames(64),
          );
          expect(written.contents[1]?.parts).toEqual(parts);
          const stream = new TranslatedStream('gemini', 'anthropic-messages', {
            ...terms,
            toolNames,
          });
          const pieces = parts.map((part) => `data: ${event([part], {})}\r\n\r\n`);
          const last = `data: ${event([], { finishReason: 'STOP' })}\r\n\r\n`;
          const events = Buffer.concat([
            stream.push(Buffer.from([...pieces, last].join(''))),
            stream.end(),
          ]).toString();
          const seals = (from: string) =>
            [...from.matchAll(/"signature":"(sluice[^"]*)"/g)].map(([, seal]) => seal);
          expect(seals(events)).toEqual(seals(JSON.stringify(content)));
        },
      ),
    );
  });
});

/** Whoever runs the application speaks first. */
const led = fc
  .tuple(conversation, fc.option(textPart))
  .map(
    ([one, part]): Conversation =>
      part === null ? one : { ...one, turns: [{ role: 'system', parts: [part] }, ...one.turns] },
  );

/** @param kinds of choices that its wire writes as they are */
const choosing = (one: Conversation, kinds: readonly string[]) => {
  const names = one.tools.flatMap((tool) => (tool.kind === 'function' ? [tool.name] : []));
  const [first] = names;
  if (first === undefined) return fc.constant({ toolChoice: null, parallelCalls: null });
  return fc.record({
    toolChoice: fc.option(
      fc
        .constantFrom<Conversation['toolChoice'] & object>(
          { kind: 'auto' },
          { kind: 'none' },
          { kind: 'any' },
          { kind: 'named', name: first },
          { kind: 'allowed', names, isForced: true },
          { kind: 'allowed', names, isForced: false },
        )
        .filter(({ kind }) => kinds.includes(kind)),
    ),
    parallelCalls: fc.option(fc.constant({ field: 'parallel_tool_calls', value: false })),
  });
};

const part01 = fc.double({ min: 0, max: 1, noNaN: true });
const closed = fc.tuple(name, text).map(([property, description]) => ({
  type: 'object',
  properties: { [property]: { type: 'string', description } },
  required: [property],
  additionalProperties: false,
}));

// Probabilities are not among it: no answer that is told anew has a place for them.
describe('all that a wire can ask for', () => {
  test('on OpenAI’s chat is read as it was written', () => {
    const target = { provider: 'openai', model: 'gpt-4o', asksForUsage: true };
    const wishes = fc.record({
      topP: wish('top_p', part01),
      seed: wish('seed', fc.integer()),
      frequencyPenalty: wish('frequency_penalty', part01),
      presencePenalty: wish('presence_penalty', part01),
      stops: wish('stop', fc.array(text, { minLength: 1, maxLength: 4 })),
      format: wish(
        'response_format',
        fc.oneof(
          fc.constant({ kind: 'json' as const }),
          fc.record({
            kind: fc.constant('schema' as const),
            name,
            schema: closed,
            isStrict: fc.boolean(),
          }),
        ),
      ),
      tier: wish('service_tier', fc.constantFrom('auto', 'default', 'priority', 'flex', 'scale')),
    });
    const kinds = ['auto', 'none', 'any', 'named', 'allowed'];
    const all = led.chain((one) =>
      fc
        .tuple(wishes, choosing(one, kinds))
        .map(([more, choice]): Conversation => ({ ...one, ...more, ...choice })),
    );
    fc.assert(
      fc.property(all, (one) => {
        const losses = new Losses();
        const body = writeChatRequest(one, target, losses, new ToolNames(64));
        const read = readChatRequest(JSON.stringify({ ...body, model: 'm' }));
        expect([losses.dropped, losses.adjusted]).toEqual([[], []]);
        const { maxTokens, wantsUsage: _ } = one;
        expect(told({ ...read, maxTokens, wantsUsage: true })).toEqual(told(one));
      }),
    );
  });

  test('of thoughts on OpenAI’s chat is read as it was written', () => {
    const target = { provider: 'openai', model: 'gpt-5', asksForUsage: true };
    const wishes = fc.record({
      temperature: fc.constant(null),
      verbosity: wish('verbosity', fc.constantFrom('low', 'medium', 'high')),
      thinking: wish(
        'reasoning_effort',
        fc.record({
          kind: fc.constant('effort' as const),
          effort: fc.constantFrom('minimal', 'low', 'medium', 'high'),
        }),
      ),
    });
    fc.assert(
      fc.property(led, wishes, (said, more) => {
        const one: Conversation = { ...said, ...more };
        const losses = new Losses();
        const body = writeChatRequest(one, target, losses, new ToolNames(64));
        const read = readChatRequest(JSON.stringify({ ...body, model: 'm' }));
        expect([losses.dropped, losses.adjusted]).toEqual([[], []]);
        const { maxTokens, wantsUsage: _ } = one;
        expect(told({ ...read, maxTokens, wantsUsage: true })).toEqual(told(one));
      }),
    );
  });

  test('on Anthropic’s wire is read as it was written, thoughts with their signatures', () => {
    const cache = fc.constantFrom('5m' as const, '1h' as const);
    const kept = fc.oneof(
      fc.tuple(text, text).map(
        ([thought, data]): Part => ({
          kind: 'thought',
          text: thought,
          seal: { maker: 'anthropic', data },
        }),
      ),
      text.map((data): Part => ({ kind: 'redacted', seal: { maker: 'anthropic', data } })),
    );
    const document = fc.tuple(fc.base64String({ minLength: 4 }), text, fc.option(cache)).map(
      ([base64, title, mark]): Part => ({
        kind: 'document',
        media: { from: 'inline', type: 'application/pdf', base64 },
        title,
        cache: mark,
      }),
    );
    const failed = fc.tuple(name, input, text).map(([called, args, result]): readonly Turn[] => [
      {
        role: 'assistant',
        parts: [{ kind: 'call', id: 'call_f', name: called, input: args, cache: null }],
      },
      {
        role: 'user',
        parts: [
          {
            kind: 'result',
            id: 'call_f',
            parts: [{ kind: 'text', text: result, cache: null }],
            isError: true,
            cache: null,
          },
        ],
      },
    ]);
    const history = fc
      .tuple(fc.array(kept, { maxLength: 2 }), textPart, document, failed)
      .map(([thoughts, answered, shown, loops]): readonly Turn[] => [
        { role: 'user', parts: [shown] },
        { role: 'assistant', parts: [...thoughts, answered] },
        ...[{ role: 'user' as const, parts: [shown] }],
        ...loops,
      ]);
    const wishes = fc.record({
      topK: wish('top_k', fc.integer({ min: 1, max: 500 })),
      stops: wish('stop_sequences', fc.array(text, { minLength: 1, maxLength: 8 })),
      format: wish(
        'output_config.format',
        closed.map((asked) => ({
          kind: 'schema' as const,
          name: null,
          schema: asked,
          isStrict: true,
        })),
      ),
      tier: wish('service_tier', fc.constantFrom('auto', 'default')),
    });
    // Anthropic's own word for what is meant where nothing is said is left out.
    const kinds = ['none', 'any', 'named'];
    const all = fc.tuple(led, history).chain(([one, before]) => {
      const [first, ...rest] = one.turns;
      const turns =
        first?.role === 'system' ? [first, ...before, ...rest] : [...before, ...one.turns];
      return fc
        .tuple(wishes, choosing(one, kinds))
        .map(([more, { toolChoice }]): Conversation => ({ ...one, turns, ...more, toolChoice }));
    });
    fc.assert(
      fc.property(all, (one) => {
        const losses = new Losses();
        const body = writeMessagesRequest(one, 'claude-sonnet-4-5', losses, new ToolNames(128));
        const read = readMessagesRequest(JSON.stringify({ ...body, model: 'm' }));
        expect([losses.dropped, losses.adjusted]).toEqual([[], []]);
        expect(told({ ...read, wantsUsage: true })).toEqual(told(one));
      }),
    );
  });
});
