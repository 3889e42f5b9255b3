import { describe, expect, test } from 'vitest';
import type { ReplyTerms } from '../../../src/dialect/answer.ts';
import { Refusal } from '../../../src/dialect/losses.ts';
import {
  TranslatedStream,
  translateAnswer,
  translateError,
  translateRequest,
} from '../../../src/dialect/translate.ts';
import type { CallerWire, TargetWire } from '../../../src/dialect/wires.ts';
import { cutAroundNewlines, cutAtRandom } from '../../support/fixtures.ts';
import {
  CASES_MISSING,
  type TranslationCase,
  translationCases,
  translationMatcher,
  upstreamAnswer,
} from '../../support/translation-cases.ts';

const match = CASES_MISSING === null ? await translationMatcher() : null;

/** As the cases call the wires. */
const CALLERS: Readonly<Record<string, CallerWire>> = {
  'openai-chat': 'openai-chat',
  anthropic: 'anthropic-messages',
  responses: 'openai-responses',
};
const TARGETS: Readonly<Record<string, TargetWire>> = {
  'openai-chat': 'openai-chat',
  anthropic: 'anthropic-messages',
  gemini: 'gemini',
  ollama: 'ollama',
};

const PAIRS = [
  ['openai-chat', 'anthropic', 65],
  ['anthropic', 'openai-chat', 52],
  ['openai-chat', 'gemini', 28],
  ['anthropic', 'gemini', 14],
  ['openai-chat', 'ollama', 9],
  ['anthropic', 'ollama', 3],
  ['responses', 'openai-chat', 16],
  ['responses', 'anthropic', 8],
  ['responses', 'gemini', 1],
  ['responses', 'ollama', 1],
] as const;

function known<Wire>(wires: Readonly<Record<string, Wire>>, name: string): Wire {
  const wire = wires[name];
  if (wire === undefined) throw new Error(`no wire ${name}`);
  return wire;
}

function callerOf(name: string): CallerWire {
  return known(CALLERS, name);
}

function targetOf(name: string): TargetWire {
  return known(TARGETS, name);
}

function translated(one: TranslationCase, body: object) {
  const target = { provider: 'sample', model: one.request_in.body.model, asksForUsage: true };
  const from = callerOf(one.inbound);
  return translateRequest(from, targetOf(one.upstream), Buffer.from(JSON.stringify(body)), target);
}

function termsOf(one: TranslationCase, request: ReturnType<typeof translated>): ReplyTerms {
  if (request instanceof Refusal) throw request;
  return {
    model: one.request_in.body.model,
    id: 'answer-1',
    created: 1_764_000_000,
    wantsUsage: request.wantsUsage,
    choices: request.choices,
    toolNames: request.toolNames,
    echoed: request.echoed,
  };
}

/** The name that the provider was given for the first tool. */
function firstTool(body: Buffer): string {
  const { tools = [] } = JSON.parse(body.toString()) as {
    tools?: { name?: string; function?: { name: string } }[];
  };
  return tools[0]?.name ?? tools[0]?.function?.name ?? '';
}

function streamed(one: TranslationCase, pieces: readonly Buffer[], terms: ReplyTerms): string {
  const stream = new TranslatedStream(targetOf(one.upstream), callerOf(one.inbound), terms);
  const out = pieces.map((piece) => {
    // Lent: what was pushed is somebody else's afterwards.
    const lent = Buffer.from(piece);
    const told = stream.push(lent);
    lent.fill(0x7b);
    return told;
  });
  return Buffer.concat([...out, stream.end()]).toString();
}

describe.each(PAIRS)('%s -> %s', (inbound, upstream, count) => {
  const cases = translationCases(inbound, upstream).map((one) => [one.name, one] as const);

  test('has golden cases', ({ skip }) => {
    if (CASES_MISSING !== null) skip(CASES_MISSING);
    expect(cases.length).toBe(count);
  });

  test.each(cases)('%s: the request is what the provider has to get', (_name, one) => {
    if (match === null) return;
    const expected = one.request_out_expected;
    const request = translated(one, one.request_in.body);
    if (expected === null) {
      expect(request).toBeInstanceOf(Refusal);
      if (!(request instanceof Refusal)) return;
      expect(request.kind).toBe('untranslatable');
      const told = [one.response_out_expected.error?.['message_includes'] ?? []].flat();
      for (const words of told) expect(request.message).toContain(words);
      return;
    }
    if (request instanceof Refusal) throw request;
    const sent = JSON.parse(request.body.toString());
    expect(
      match.matchRequest(upstream, [expected.body, ...(expected.alternatives ?? [])], sent),
    ).toEqual([]);
    for (const field of expected.must?.present ?? []) expect(sent).toHaveProperty(field);
    for (const field of expected.must?.absent ?? []) expect(sent).not.toHaveProperty(field);
    expect(expected.path.endsWith(request.path)).toBe(true);
    const { dropped } = one.response_out_expected;
    if (dropped === undefined) return;
    const told = [...request.dropped, ...request.adjusted].join(', ');
    expect(match.matchDropped(dropped, told)).toEqual([]);
  });

  const answered = cases.filter(
    ([, one]) => one.request_out_expected !== null && one.response_upstream !== undefined,
  );

  test.each(
    answered.filter(([, { stream }]) => !stream),
  )('%s: the answer is what the caller has to get', (_name, one) => {
    if (match === null) return;
    const request = translated(one, one.request_in.body);
    if (request instanceof Refusal) throw request;
    const terms = termsOf(one, request);
    const body = upstreamAnswer(one, firstTool(request.body));
    const status = one.response_upstream?.status ?? 0;
    const to = callerOf(inbound);
    if (status !== 200) {
      const told = translateError(to, status, body);
      const { error = {} } = one.response_out_expected;
      expect(match.matchError(inbound, error, told.status, told.body)).toEqual([]);
      return;
    }
    const told = translateAnswer(targetOf(upstream), to, body, terms);
    expect(told.status).toBe(one.response_out_expected.status);
    expect(match.matchResponse(inbound, one.response_out_expected.body, told.body)).toEqual([]);
    if (one.replay !== undefined) expectReplay(one, told.body);
  });

  test.each(
    answered.filter(([, { stream }]) => stream),
  )('%s: the stream is what the caller has to get, however it is cut', (_name, one) => {
    if (match === null) return;
    const request = translated(one, one.request_in.body);
    if (request instanceof Refusal) throw request;
    const terms = termsOf(one, request);
    const body = upstreamAnswer(one, firstTool(request.body));
    const text = streamed(one, [body], terms);
    const { final, stream_error: failed } = one.response_out_expected;
    const events = match.parseSSE(text);
    const options = { final, includeUsage: terms.wantsUsage, error: failed !== undefined };
    expect(match.checkStream(inbound, events, options)).toEqual([]);
    for (const words of failed?.message_includes ?? []) expect(text).toContain(words);
    const bytes = [...body].map((byte) => Buffer.from([byte]));
    const cuts = [
      bytes,
      cutAroundNewlines(body),
      ...[1, 2, 3].map((seed) => cutAtRandom(body, seed)),
    ];
    for (const pieces of cuts) expect(streamed(one, pieces, terms)).toBe(text);
  });

  function expectReplay(one: TranslationCase, answer: object): void {
    if (match === null || one.replay === undefined) return;
    const { tool_output: output, request_out_expected: expected } = one.replay;
    const field = one.inbound === 'responses' ? 'input' : 'messages';
    const history = one.request_in.body[field] as object[];
    const second = {
      ...one.request_in.body,
      [field]: [...history, ...replies(one, answer, output)],
    };
    const request = translated(one, second);
    if (request instanceof Refusal) throw request;
    const sent = JSON.parse(request.body.toString());
    const whole = { ...expected, model: sent.model, ...(one.stream ? { stream: true } : {}) };
    expect(match.matchRequest(upstream, [whole], sent)).toEqual([]);
  }
});

/** What a caller sends back: the assistant's message with every field that it got, and what its tools said. */
function replies(one: TranslationCase, answer: object, output: string): object[] {
  if (one.inbound === 'openai-chat') {
    const { choices } = answer as { choices: { message: { tool_calls?: { id: string }[] } }[] };
    const message = choices[0]?.message ?? {};
    const results = (message.tool_calls ?? []).map(({ id }) => ({
      role: 'tool',
      tool_call_id: id,
      content: output,
    }));
    return [message, ...results];
  }
  if (one.inbound === 'responses') {
    const { output: items } = answer as { output: { type: string; call_id?: string }[] };
    const results = items
      .filter(({ type }) => type === 'function_call')
      .map(({ call_id }) => ({ type: 'function_call_output', call_id, output }));
    return [...items, ...results];
  }
  const { content } = answer as { content: { type: string; id?: string }[] };
  const results = content
    .filter(({ type }) => type === 'tool_use')
    .map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: output }));
  return [
    { role: 'assistant', content },
    { role: 'user', content: results },
  ];
}
