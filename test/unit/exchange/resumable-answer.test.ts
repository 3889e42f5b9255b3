import { Buffer } from 'node:buffer';
import { describe, expect, it } from 'vitest';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import { ResumableAnswer, TEXT_MAX_UNITS } from '../../../src/exchange/resumable-answer.ts';
import { Seam } from '../../../src/wire/seam.ts';
import type { ContinuedWire } from '../../../src/wire/text-events.ts';

const budget = (bytes = 0): KeptBudget => new KeptBudget(createKeptMemory(1), 0, bytes);
const event = (data: unknown, name?: string): string =>
  `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`;

/** Two-, three- and four-byte characters, one of them told in two halves, white space at the ends of words. */
const WORDS = ['Grüße', ', ', 'Welt \n', '\n', ' 漢字', ' \ud83d', '\ude00 end', '.  ', ' Ünd'];
const TEXT = WORDS.join('');

function stream(wire: ContinuedWire, id: string, words: readonly string[]): string {
  if (wire === 'openai-chat') {
    const chunk = (delta: object, finish: string | null = null): string =>
      event({ id, model: id, created: 1, choices: [{ index: 0, delta, finish_reason: finish }] });
    return [
      ': ping\n\n',
      chunk({ role: 'assistant', content: '' }),
      ...words.map((content) => chunk({ content })),
      chunk({}, 'stop'),
      event({ id, model: id, created: 1, choices: [], usage: { completion_tokens: 3 } }),
      'data: [DONE]\n\n',
    ].join('');
  }
  const named = (body: { readonly type: string; readonly [name: string]: unknown }): string =>
    event(body, body.type);
  return [
    named({ type: 'message_start', message: { id, content: [] } }),
    named({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
    named({ type: 'ping' }),
    ...words.map((text) =>
      named({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }),
    ),
    named({ type: 'content_block_stop', index: 0 }),
    named({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: {} }),
    named({ type: 'message_stop' }),
  ].join('');
}

type Body = {
  readonly type?: string;
  readonly id?: string;
  readonly choices?: readonly {
    readonly delta: { readonly content?: string; readonly role?: string };
  }[];
  readonly delta?: { readonly text?: string };
};

/** What a reader of the events has: all of them have to be whole. */
function read(told: string): { text: string; bodies: readonly Body[] } {
  expect(told.endsWith('\n\n')).toBe(true);
  const bodies = told
    .split('\n\n')
    .map((block) => block.split('\n').find((line) => line.startsWith('data: ')))
    .filter((line) => line !== undefined && line !== 'data: [DONE]')
    .map((line) => JSON.parse(String(line).slice(6)) as Body);
  const text = bodies
    .map(({ choices, delta }) => choices?.[0]?.delta.content ?? delta?.text ?? '')
    .join('');
  return { text, bodies };
}

function pushed(answer: ResumableAnswer, bytes: Buffer, size: number): string {
  const told: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size)
    told.push(Buffer.from(answer.push(Buffer.from(bytes.subarray(at, at + size)))));
  return Buffer.concat(told).toString();
}

/** The rest of a text in words of three units, as another model would cut it. */
function rest(prefix: string): readonly string[] {
  return TEXT.slice(prefix.length).match(/[\s\S]{1,3}/g) ?? [];
}

const WIRES: readonly ContinuedWire[] = ['openai-chat', 'anthropic-messages'];

describe.each(WIRES)('a stream in %s that is gone on with', (wire) => {
  const first = Buffer.from(stream(wire, 'one', WORDS));

  it.each([
    [1, false],
    [7, false],
    [first.length, false],
    [first.length, true],
  ])('is the same text and one message, wherever it is cut (pieces of %i, echoed %s)', (size, echoes) => {
    let resumed = 0;
    // Byte by byte is slow, and its cuts inside of a piece are those of the others.
    const step = size === 1 ? 11 : 1;
    for (let cut = 0; cut <= first.length; cut += step) {
      const answer = new ResumableAnswer(wire, budget());
      let told = pushed(answer, first.subarray(0, cut), size);
      const seam = new Seam(answer.text, echoes);
      if (!answer.mayBreak || seam.prefix === '') {
        // As in the relay: not a byte is missing.
        expect(told + answer.end()).toBe(first.toString('utf8', 0, cut));
        continue;
      }
      resumed++;
      expect(seam.prefix).toMatch(/[^\s]$/);
      answer.continueWith(seam);
      const words = echoes ? [seam.prefix, ...rest(seam.prefix)] : rest(seam.prefix);
      told += pushed(answer, Buffer.from(stream(wire, 'two', words)), size) + answer.end();
      const { text, bodies } = read(told);
      expect([cut, text]).toEqual([cut, TEXT]);
      if (wire === 'openai-chat') {
        expect(new Set(bodies.map(({ id }) => id))).toEqual(new Set(['one']));
        expect(bodies.filter(({ choices }) => choices?.[0]?.delta.role)).toHaveLength(1);
      } else {
        const count = (type: string): number => bodies.filter((body) => body.type === type).length;
        expect([count('message_start'), count('content_block_start')]).toEqual([1, 1]);
        expect([count('content_block_stop'), count('message_stop')]).toEqual([1, 1]);
      }
    }
    expect(resumed).toBeGreaterThan(first.length / 2 / step);
  });

  it('breaks off at an error and at what is no JSON, and neither is told unless nobody goes on', () => {
    const error =
      wire === 'openai-chat'
        ? event({ error: { type: 'overloaded_error', code: 529 } })
        : event({ type: 'error', error: { type: 'overloaded_error' } }, 'error');
    for (const odd of [error, 'data: {"cho\n\n']) {
      const answer = new ResumableAnswer(wire, budget());
      const begun = stream(wire, 'one', ['said']).split(/(?<=said"[^\n]*\n\n)/)[0] ?? '';
      const told = answer.push(Buffer.from(`${begun}${odd}: behind\n\n`)).toString();
      expect(told).toBe(begun);
      expect(answer.broken?.failed.reason).toBe('server_error');
      expect(answer.letGo().toString()).toBe(`${odd}: behind\n\n`);
      expect(answer.push(Buffer.from('more')).toString()).toBe('more');
    }
  });
});

describe('a stream is nobody else’s any more', () => {
  const chunk = (choice: object): string => event({ id: 'c', choices: [choice] });
  const block = (body: object): string => event(body);
  it.each<readonly [string, ContinuedWire, string]>([
    ['a call', 'openai-chat', chunk({ index: 0, delta: { tool_calls: [{ index: 0 }] } })],
    ['reasoning', 'openai-chat', chunk({ index: 0, delta: { reasoning_content: 'hm' } })],
    ['a refusal', 'openai-chat', chunk({ index: 0, delta: { refusal: 'no' } })],
    ['a second choice', 'openai-chat', chunk({ index: 1, delta: { content: 'b' } })],
    [
      'log probabilities',
      'openai-chat',
      chunk({ index: 0, delta: { content: 'b' }, logprobs: { content: [{}] } }),
    ],
    ['content in parts', 'openai-chat', chunk({ index: 0, delta: { content: [{}] } })],
    ['a finish', 'openai-chat', chunk({ index: 0, delta: {}, finish_reason: 'stop' })],
    [
      'a call',
      'anthropic-messages',
      block({ type: 'content_block_start', index: 1, content_block: { type: 'tool_use' } }),
    ],
    [
      'a thought',
      'anthropic-messages',
      block({ type: 'content_block_start', index: 0, content_block: { type: 'thinking' } }),
    ],
    ['the end of its block', 'anthropic-messages', block({ type: 'content_block_stop', index: 0 })],
  ])('once it told %s (%s)', (_, wire, odd) => {
    const answer = new ResumableAnswer(wire, budget());
    expect(answer.push(Buffer.from(odd)).toString()).toBe(odd);
    expect(answer.mayBreak).toBe(false);
    // From then on nothing is kept back.
    expect(answer.push(Buffer.from('data: {"half')).toString()).toBe('data: {"half');
  });

  it('once it is too long, or the node keeps too much, and then gives back what it took', () => {
    const long = event({
      id: 'c',
      choices: [{ index: 0, delta: { content: 'x'.repeat(20_000) } }],
    });
    const node = budget(1024 * 1024);
    const answer = new ResumableAnswer('openai-chat', node);
    while (answer.mayBreak) answer.push(Buffer.from(long));
    expect([answer.isOver, answer.text.length > TEXT_MAX_UNITS]).toEqual([true, true]);
    expect(node.keptBytes).toBeGreaterThan(TEXT_MAX_UNITS);
    answer.drop();
    expect(node.keptBytes).toBe(0);
    const small = new ResumableAnswer('openai-chat', budget(32_768));
    small.push(Buffer.from(long));
    expect([small.isOver, small.mayBreak]).toEqual([true, false]);
    const endless = new ResumableAnswer('openai-chat', budget());
    expect(endless.push(Buffer.from(`data: ${'x'.repeat(70_000)}`)).length).toBe(70_006);
  });
});

describe('a second message', () => {
  it('is collected no further than anybody could go on with it', () => {
    const word = (text: string): Buffer =>
      Buffer.from(event({ id: 'c', choices: [{ index: 0, delta: { content: text } }] }));
    const answer = new ResumableAnswer('openai-chat', budget());
    answer.push(word('One'));
    answer.continueWith(new Seam(answer.text, false));
    const end = event({ id: 'd', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    answer.push(Buffer.concat([word(' two'), Buffer.from(end)]));
    const { length } = answer.text;
    for (let i = 0; i < 100; i++) answer.push(word('x'.repeat(10_000)));
    expect(answer.text.length).toBe(length);
  });

  it('that begins with a thought is broken off, and its calls are told within the first one', () => {
    const answer = new ResumableAnswer('anthropic-messages', budget());
    answer.push(Buffer.from(stream('anthropic-messages', 'one', ['said']).slice(0, 420)));
    answer.continueWith(new Seam('said', false));
    const start = { type: 'content_block_start', index: 0, content_block: { type: 'thinking' } };
    expect(answer.push(Buffer.from(event(start))).length).toBe(0);
    expect(answer.broken?.code).toBe('NO_TEXT');
    const chat = new ResumableAnswer('openai-chat', budget());
    chat.push(Buffer.from(event({ id: 'one', choices: [{ index: 0, delta: { content: 'a' } }] })));
    chat.continueWith(new Seam('a', true));
    const call = { index: 0, delta: { role: 'assistant', tool_calls: [{ index: 0 }] } };
    expect(
      read(chat.push(Buffer.from(event({ id: 'two', choices: [call] }))).toString()).bodies,
    ).toEqual([
      {
        id: 'one',
        choices: [{ ...call, delta: { role: 'assistant', tool_calls: [{ index: 0 }] } }],
      },
    ]);
  });
});
