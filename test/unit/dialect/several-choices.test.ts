import { describe, expect, test } from 'vitest';
import {
  TranslatedStream,
  translateAnswer,
  translateAsStream,
} from '../../../src/dialect/translate.ts';
import { cutAroundNewlines, cutAtRandom, cutToBytes } from '../../support/fixtures.ts';

// Several answers at once (`n`), on their way from Gemini's own wire to OpenAI's chat.

type Json = Readonly<Record<string, unknown>>;

const TERMS = {
  model: 'asked',
  id: 'answer-1',
  created: 1_764_000_000,
  wantsUsage: true,
  choices: 2,
  toolNames: new Map<string, string>(),
  echoed: null,
};
const ALONE = { ...TERMS, choices: 1 };

const USAGE = {
  promptTokenCount: 5,
  candidatesTokenCount: 9,
  thoughtsTokenCount: 2,
  totalTokenCount: 16,
};
const candidate = (index: number | null, parts: readonly Json[], finishReason?: string): Json => ({
  content: { parts, role: 'model' },
  ...(index === null ? {} : { index }),
  ...(finishReason === undefined ? {} : { finishReason }),
});
const answer = (...candidates: readonly Json[]): Json => ({
  candidates,
  usageMetadata: USAGE,
  responseId: 'r',
});
const say = (text: string) => ({ text });
const think = (text: string) => ({ text, thought: true });
const call = (zone: string, more: Json = {}) => ({
  functionCall: { name: 'clock', args: { zone } },
  ...more,
});

interface Choice {
  readonly index: number;
  readonly finish_reason: string | null;
  readonly message: Json;
}

function whole(body: Json, terms = TERMS): { choices: readonly Choice[]; usage: Json } {
  const told = translateAnswer('gemini', 'openai-chat', Buffer.from(JSON.stringify(body)), terms);
  expect(told.status, JSON.stringify(told.body)).toBe(200);
  return told.body as { choices: readonly Choice[]; usage: Json };
}

const bytesOf = (...events: readonly Json[]): Buffer =>
  Buffer.from(events.map((event) => `data: ${JSON.stringify(event)}\r\n\r\n`).join(''));

function streamed(pieces: readonly Buffer[], terms = TERMS, end: 'end' | 'cut' = 'end'): string {
  const stream = new TranslatedStream('gemini', 'openai-chat', terms);
  const out = pieces.map((piece) => stream.push(Buffer.from(piece)));
  return Buffer.concat([...out, stream[end]()]).toString();
}

interface Delta {
  readonly content?: string;
  readonly refusal?: string;
  readonly reasoning_content?: string;
  readonly role?: string;
  readonly extra_content?: unknown;
  readonly tool_calls?: readonly {
    readonly index: number;
    readonly id?: string;
    readonly type?: string;
    readonly extra_content?: unknown;
    readonly function: { readonly name?: string; readonly arguments: string };
  }[];
}
interface Chunk {
  readonly choices: readonly {
    readonly index: number;
    readonly delta: Delta;
    readonly finish_reason: string | null;
  }[];
  readonly usage: unknown;
}

const chunksOf = (text: string): readonly Chunk[] =>
  [...text.matchAll(/^data: (\{.*)$/gm)].map(([, data = '']) => JSON.parse(data));

/** What a stream amounts to, as a whole answer says it. */
function putTogether(text: string): { choices: readonly Json[]; usage: unknown } {
  const choices: { index: number; finish: string | null; roles: number; message: Json }[] = [];
  let usage: unknown = null;
  for (const chunk of chunksOf(text)) {
    usage ??= chunk.usage;
    for (const { index, delta, finish_reason } of chunk.choices) {
      choices[index] ??= { index, finish: null, roles: 0, message: {} };
      const choice = choices[index];
      expect(choice.finish, 'nothing behind its end').toBeNull();
      choice.finish = finish_reason;
      choice.roles += delta.role === undefined ? 0 : 1;
      const message: Record<string, unknown> = { ...choice.message };
      for (const name of ['content', 'refusal', 'reasoning_content'] as const)
        if (delta[name] !== undefined) message[name] = `${message[name] ?? ''}${delta[name]}`;
      if (delta.extra_content !== undefined) message['extra_content'] = delta.extra_content;
      const calls = [...((message['tool_calls'] ?? []) as Json[])];
      for (const { index: ordinal, function: made, ...rest } of delta.tool_calls ?? []) {
        const before = (calls[ordinal]?.['function'] ?? { arguments: '' }) as Json;
        const input = `${before['arguments']}${made.arguments}`;
        calls[ordinal] = {
          ...calls[ordinal],
          ...rest,
          function: { ...before, ...made, arguments: input },
        };
      }
      if (calls.length > 0) message['tool_calls'] = calls;
      choice.message = message;
    }
  }
  return {
    usage,
    choices: choices.map(({ index, finish, roles, message }) => ({
      index,
      finish_reason: finish,
      logprobs: null,
      message: {
        content: null,
        refusal: null,
        ...message,
        ...(roles === 1 ? { role: 'assistant' } : {}),
      },
    })),
  };
}

const FINE = answer(
  candidate(0, [think('hm'), say('Fine.')], 'STOP'),
  candidate(1, [say('Go'), say('od.')], 'MAX_TOKENS'),
);

describe('a whole answer', () => {
  test('has a choice for each candidate, each with its own end; usage is that of all', () => {
    const { choices, usage } = whole(FINE);
    expect(choices).toMatchObject([
      { index: 0, message: { content: 'Fine.', reasoning_content: 'hm' }, finish_reason: 'stop' },
      { index: 1, message: { content: 'Good.' }, finish_reason: 'length' },
    ]);
    expect(choices[1]?.message).not.toHaveProperty('reasoning_content');
    expect(usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 11, total_tokens: 16 });
  });

  test('tells choices by their number, in whichever order they come, and by their place where none is said', () => {
    const turned = answer(candidate(1, [say('b')], 'STOP'), candidate(0, [say('a')], 'STOP'));
    const bare = answer(candidate(null, [say('a')], 'STOP'), candidate(null, [say('b')], 'STOP'));
    for (const body of [turned, bare])
      expect(whole(body).choices).toMatchObject([
        { index: 0, message: { content: 'a' } },
        { index: 1, message: { content: 'b' } },
      ]);
  });

  test('counts the calls of each choice from 0 on, each with its own id and its own signature', () => {
    const { choices } = whole(
      answer(
        candidate(0, [call('UTC', { thoughtSignature: 'A' })], 'STOP'),
        candidate(1, [say('x'), call('CET'), call('PST', { thoughtSignature: 'B' })], 'STOP'),
      ),
    );
    const calls = choices.map(({ message }) => message['tool_calls'] as readonly Json[]);
    expect(calls.map(({ length }) => length)).toEqual([1, 2]);
    expect(choices.map(({ finish_reason: end }) => end)).toEqual(['tool_calls', 'tool_calls']);
    const ids = calls.flat().map(({ id }) => id);
    expect(new Set(ids).size).toBe(3);
    const signed = (signature: string) => ({
      extra_content: { google: { thought_signature: signature } },
    });
    expect(calls).toMatchObject([[signed('A')], [{}, signed('B')]]);
    expect(calls[1]?.[0]).not.toHaveProperty('extra_content');
  });

  test('tells of one that was held back why, and of the others what they say', () => {
    const held = { ...candidate(1, [], 'SAFETY'), finishMessage: 'as Google says' };
    expect(whole(answer(candidate(0, [say('a')], 'STOP'), held)).choices).toMatchObject([
      { message: { content: 'a', refusal: null }, finish_reason: 'stop' },
      { message: { content: null, refusal: 'as Google says' }, finish_reason: 'content_filter' },
    ]);
  });

  test('of which one makes a call that nobody can read is none', () => {
    const broken = candidate(1, [], 'MALFORMED_FUNCTION_CALL');
    const body = Buffer.from(JSON.stringify(answer(candidate(0, [say('a')], 'STOP'), broken)));
    expect(translateAnswer('gemini', 'openai-chat', body, TERMS).status).toBe(502);
  });

  test.each([
    2,
    128,
    1e9,
    -1,
    0.5,
    Number.MAX_SAFE_INTEGER,
  ])('holds no choice that was not asked for: %d', (index) => {
    const body = answer(candidate(0, [say('a')], 'STOP'), candidate(index, [say('b')], 'STOP'));
    for (const terms of [TERMS, ALONE]) expect(whole(body, terms).choices).toHaveLength(1);
    expect(whole(FINE, ALONE).choices).toMatchObject([{ index: 0 }]);
    expect(streamed([bytesOf(body)])).not.toContain(`"index":${index}`);
  });

  test('holds 128 choices at most, however many were asked for', () => {
    const terms = { ...TERMS, choices: 1e12 };
    const told = (index: number) =>
      whole(answer(candidate(0, [say('a')], 'STOP'), candidate(index, [say('b')], 'STOP')), terms);
    expect(told(127).choices.map(({ index }) => index)).toEqual([0, 127]);
    expect(told(128).choices.map(({ index }) => index)).toEqual([0]);
  });

  test('of which one comes in two places is one choice of both', () => {
    const [first] = whole(
      answer(candidate(0, [say('a')]), candidate(1, [say('x')]), candidate(0, [say('b')], 'STOP')),
    ).choices;
    expect(first).toMatchObject({ message: { content: 'ab' } });
  });

  test('holds the one that came where the others did not', () => {
    expect(whole(answer(candidate(0, [say('a')], 'STOP'))).choices).toHaveLength(1);
  });
});

const STREAM = [
  answer(candidate(0, [think('h')])),
  answer(candidate(1, [say('Go')])),
  answer(candidate(0, [say('Fi')]), candidate(1, [say('od.')])),
  answer(candidate(1, [call('CET')], 'STOP')),
  answer(candidate(0, [say('ne.')])),
  answer(candidate(0, [call('UTC', { thoughtSignature: 'A' }), call('PST')], 'MAX_TOKENS')),
];
const SAME = answer(
  candidate(
    0,
    [think('h'), say('Fine.'), call('UTC', { thoughtSignature: 'A' }), call('PST')],
    'MAX_TOKENS',
  ),
  candidate(1, [say('Good.'), call('CET')], 'STOP'),
);

describe('a stream', () => {
  test('amounts to the whole answer, however it is cut', () => {
    const bytes = bytesOf(...STREAM);
    const { choices, usage } = whole(SAME);
    const text = streamed([bytes]);
    expect(putTogether(text)).toEqual({ choices, usage });
    const cuts = [
      cutToBytes(bytes, bytes.length),
      cutAroundNewlines(bytes),
      ...[1, 2, 3, 4].map((seed) => cutAtRandom(bytes, seed)),
    ];
    for (const pieces of cuts) expect(streamed(pieces)).toBe(text);
    for (let at = 1; at < bytes.length; at++)
      expect(streamed([bytes.subarray(0, at), bytes.subarray(at)])).toBe(text);
  });

  test('says of each choice once why it ended, and once for all what it cost', () => {
    const chunks = chunksOf(streamed([bytesOf(...STREAM)]));
    const ends = chunks.flatMap(({ choices }) =>
      choices.flatMap(({ index, finish_reason: end }) => (end === null ? [] : [[index, end]])),
    );
    expect(ends).toEqual([
      [0, 'length'],
      [1, 'tool_calls'],
    ]);
    expect(chunks.filter(({ usage }) => usage !== null)).toMatchObject([
      { choices: [], usage: { prompt_tokens: 5, completion_tokens: 11 } },
    ]);
    expect(streamed([bytesOf(...STREAM)]).match(/\[DONE\]/g)).toHaveLength(1);
  });

  test('tells each word in the turn in which it came', () => {
    const stream = new TranslatedStream('gemini', 'openai-chat', TERMS);
    for (const [at, event] of STREAM.slice(0, 3).entries()) {
      const told = chunksOf(stream.push(bytesOf(event)).toString());
      const said = told.flatMap(({ choices }) =>
        choices.flatMap(({ index, delta }) => (delta.role === undefined ? [index] : [])),
      );
      expect(said).toEqual([[0], [1], [0, 1]][at]);
    }
  });

  test('of which one choice has not ended is cut; with that one’s end it is whole', () => {
    const open = [answer(candidate(0, [say('a')], 'STOP')), answer(candidate(1, [say('b')]))];
    expect(streamed([bytesOf(...open)])).not.toContain('[DONE]');
    expect(streamed([bytesOf(...open)])).toContain('"error"');
    const ended = [...open, answer(candidate(1, [], 'STOP'))];
    expect(streamed([bytesOf(...ended)])).toContain('[DONE]');
    expect(streamed([bytesOf(...ended)], TERMS, 'cut')).not.toContain('[DONE]');
  });

  test('in which no choice comes is none, but where its prompt was refused', () => {
    const usage = { usageMetadata: USAGE };
    expect(streamed([bytesOf(usage)])).not.toContain('[DONE]');
    const refused = streamed([bytesOf({ ...usage, promptFeedback: { blockReason: 'SAFETY' } })]);
    expect(putTogether(refused).choices).toMatchObject([
      { index: 0, finish_reason: 'content_filter' },
    ]);
    expect(refused).toContain('[DONE]');
  });

  test('that comes as one whole answer tells all of its choices', () => {
    const told = translateAsStream(
      'gemini',
      'openai-chat',
      Buffer.from(JSON.stringify(SAME)),
      TERMS,
    );
    const { choices, usage } = whole(SAME);
    expect(putTogether(String(told))).toEqual({ choices, usage });
  });

  test('keeps of each choice what is not told yet', () => {
    const stream = new TranslatedStream('gemini', 'openai-chat', TERMS);
    stream.push(bytesOf(answer(candidate(0, [think('x'.repeat(1_000))]))));
    const one = stream.keptBytes;
    stream.push(bytesOf(answer(candidate(1, [think('x'.repeat(1_000))]))));
    expect(one).toBeGreaterThanOrEqual(2_000);
    expect(stream.keptBytes).toBeGreaterThanOrEqual(2 * one);
  });
});

describe('callers who cannot ask for several', () => {
  test.each([
    'anthropic-messages',
    'openai-responses',
  ] as const)('on %s get the first, whatever comes', (wire) => {
    const terms = { ...TERMS, choices: 1, echoed: {} };
    const body = Buffer.from(JSON.stringify(FINE));
    const told = JSON.stringify(translateAnswer('gemini', wire, body, terms).body);
    expect(told).toContain('Fine.');
    expect(told).not.toContain('Good.');
    const stream = new TranslatedStream('gemini', wire, terms);
    const text = `${stream.push(bytesOf(FINE))}${stream.end()}`;
    expect(text).toContain('Fine.');
    expect(text).not.toMatch(/Go|od\./);
  });
});
