import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { unkeptBecause } from '../../../src/cache/answer-judgement.ts';
import type { AnswerHead } from '../../../src/cache/answer-store.ts';

const WHOLE: AnswerHead = {
  status: 200,
  lines: '',
  isEventStream: false,
  streamAsked: false,
  format: 'json',
};
const STREAM: AnswerHead = { ...WHOLE, isEventStream: true, format: 'events' };
const LINES: AnswerHead = { ...WHOLE, format: 'lines' };

const whole = (value: unknown): string | null =>
  unkeptBecause(WHOLE, Buffer.from(JSON.stringify(value)));
const events = (...values: readonly unknown[]): string | null =>
  unkeptBecause(
    STREAM,
    Buffer.from(values.map((value) => `event: x\ndata: ${JSON.stringify(value)}\n\n`).join('')),
  );
const choice = (members: object): object => ({ choices: [{ index: 0, ...members }] });

describe('answers that may be told again', () => {
  test.each<readonly [string, unknown]>([
    ['a chat', choice({ message: { content: 'x', refusal: null }, finish_reason: 'stop' })],
    [
      'a call of the caller’s own tool',
      choice({ message: { tool_calls: [{ type: 'function' }] }, finish_reason: 'tool_calls' }),
    ],
    ['a completion', choice({ text: 'x', finish_reason: 'stop' })],
    ['vectors', { object: 'list', data: [{ embedding: [1] }, { embedding: 'AAAA' }] }],
    ['a message', { type: 'message', content: [{ type: 'text' }], stop_reason: 'end_turn' }],
    [
      'thoughts and a call',
      {
        type: 'message',
        content: [{ type: 'thinking' }, { type: 'tool_use' }],
        stop_reason: 'tool_use',
      },
    ],
    [
      'a response',
      {
        object: 'response',
        status: 'completed',
        error: null,
        output: [
          { type: 'reasoning' },
          { type: 'message', content: [{ type: 'output_text', annotations: [] }] },
        ],
      },
    ],
    [
      'Gemini’s',
      {
        candidates: [{ content: { parts: [{ text: 'x', thought: true }] }, finishReason: 'STOP' }],
      },
    ],
    ['Ollama’s', { message: { content: 'x' }, done: true, done_reason: 'stop' }],
  ])('%s', (_what, value) => {
    expect(whole(value)).toBeNull();
  });

  test('streams of each wire, whatever their lines end with', () => {
    const first = choice({ delta: { role: 'assistant' }, finish_reason: null });
    const last = choice({ delta: {}, finish_reason: 'stop' });
    const usage = { choices: [], usage: {} };
    expect(events(first, last, usage)).toBeNull();
    for (const end of ['\r\n', '\r', '\n']) {
      const lines = [first, last].flatMap((value) => [`data:${JSON.stringify(value)}`, '']);
      const text = [': comment', '', ...lines, 'data: [DONE]', '', ''].join(end);
      expect(unkeptBecause(STREAM, Buffer.from(text))).toBeNull();
    }
    expect(
      events(
        { type: 'message_start', message: { type: 'message', content: [], stop_reason: null } },
        { type: 'content_block_start', content_block: { type: 'text' } },
        { type: 'ping' },
        { type: 'message_delta', delta: { stop_reason: 'end_turn' } },
        { type: 'message_stop' },
      ),
    ).toBeNull();
    const said = (value: object): string => `${JSON.stringify(value)}\n`;
    const lines = said({ done: false }) + said({ done: true, done_reason: 'stop' });
    expect(unkeptBecause(LINES, Buffer.from(lines))).toBeNull();
  });
});

describe('answers that may not', () => {
  test.each<readonly [string, string, unknown]>([
    ['one that a limit ended', 'unfinished', choice({ finish_reason: 'length' })],
    [
      'one of which one choice goes on',
      'unfinished',
      {
        choices: [
          { index: 0, finish_reason: 'stop' },
          { index: 1, finish_reason: null },
        ],
      },
    ],
    ['one that a filter ended', 'refused', choice({ finish_reason: 'content_filter' })],
    ['a refusal', 'refused', choice({ message: { refusal: 'no' }, finish_reason: 'stop' })],
    ['a refusal of Anthropic’s', 'refused', { type: 'message', stop_reason: 'refusal' }],
    [
      'a refusal in a response',
      'refused',
      {
        object: 'response',
        status: 'completed',
        output: [{ type: 'message', content: [{ type: 'refusal' }] }],
      },
    ],
    ['a prompt that was blocked', 'refused', { promptFeedback: { blockReason: 'SAFETY' } }],
    ['a candidate that was blocked', 'refused', { candidates: [{ finishReason: 'SAFETY' }] }],
    ['an error', 'cut', { error: { message: 'x' } }],
    ['a turn that goes on', 'unfinished', { type: 'message', stop_reason: 'pause_turn' }],
    ['a response that is not over', 'unfinished', { object: 'response', status: 'incomplete' }],
    ['what Ollama did not end by itself', 'unfinished', { done: true, done_reason: 'load' }],
    [
      'a call of the provider’s tool',
      'tools',
      {
        type: 'message',
        content: [{ type: 'server_tool_use' }],
        stop_reason: 'end_turn',
      },
    ],
    [
      'a call of an MCP server',
      'tools',
      {
        object: 'response',
        status: 'completed',
        output: [{ type: 'mcp_call' }],
      },
    ],
    [
      'code that was run',
      'tools',
      {
        candidates: [{ content: { parts: [{ executableCode: {} }] }, finishReason: 'STOP' }],
      },
    ],
    [
      'what was looked up',
      'tools',
      {
        candidates: [{ groundingMetadata: {}, finishReason: 'STOP' }],
      },
    ],
    ['a container', 'tools', { type: 'message', container: { id: 'c' }, stop_reason: 'end_turn' }],
    [
      'a choice that broke off',
      'cut',
      choice({ finish_reason: 'stop', error: { code: 502 }, message: { content: 'x' } }),
    ],
    ['an answer beside an error', 'cut', { ...choice({ finish_reason: 'stop' }), error: {} }],
    [
      'a response with an error in it',
      'cut',
      { object: 'response', status: 'completed', error: { code: 'x' }, output: [] },
    ],
    [
      'candidates of a prompt that was blocked',
      'refused',
      { candidates: [{ finishReason: 'STOP' }], promptFeedback: { blockReason: 'SAFETY' } },
    ],
    [
      'a chat that searched by itself',
      'tools',
      { ...choice({ finish_reason: 'stop' }), citations: ['https://example.org'] },
    ],
    [
      'a chat that ran something by itself',
      'tools',
      choice({ finish_reason: 'stop', message: { executed_tools: [{ type: 'python' }] } }),
    ],
    ['nothing that is known', 'unread', { answer: 'x' }],
    ['no vectors', 'unread', { object: 'list', data: [{ id: 'm' }] }],
    ['a list of answers', 'unread', [choice({ finish_reason: 'stop' })]],
  ])('%s', (_what, why, value) => {
    expect(whole(value)).toBe(why);
  });

  test('a stream that breaks off, tells an error, or never says why it ended', () => {
    const first = choice({ delta: { content: 'x' } });
    const last = choice({ delta: {}, finish_reason: 'stop' });
    expect(events(first)).toBe('unfinished');
    expect(events()).toBe('unread');
    expect(events(first, last, { error: { message: 'x' } })).toBe('cut');
    expect(events({ type: 'error', message: 'x' })).toBe('cut');
    expect(events({ type: 'response.failed', response: {} })).toBe('cut');
    expect(events({ type: 'response.created', response: {} })).toBe('unread');
    const half = Buffer.from(`data: ${JSON.stringify(last)}\n\ndata: {"choi`);
    expect(unkeptBecause(STREAM, half)).toBe('unread');
  });

  test('a stream of which the last event did not come, that cites, or has an event of an error', () => {
    const opening = {
      type: 'message_start',
      message: { type: 'message', content: [], stop_reason: null },
    };
    const end = { type: 'message_delta', delta: { stop_reason: 'end_turn' } };
    const stop = { type: 'message_stop' };
    const cites = { type: 'content_block_delta', delta: { type: 'citations_delta' } };
    expect(events(opening, end, stop)).toBeNull();
    expect(events(opening, end)).toBe('cut');
    expect(events(opening, cites, end, stop)).toBe('tools');
    const whole = `data: ${JSON.stringify(choice({ delta: {}, finish_reason: 'stop' }))}\n\n`;
    for (const said of ['event: error\ndata: {"message":"x"}', 'event:error\r\ndata: broken'])
      expect(unkeptBecause(STREAM, Buffer.from(`${whole}${said}\n\n`))).toBe('cut');
  });

  test('any other status, and what is no JSON', () => {
    const body = Buffer.from(JSON.stringify(choice({ finish_reason: 'stop' })));
    expect(unkeptBecause({ ...WHOLE, status: 201 }, body)).toBe('status');
    expect(unkeptBecause(WHOLE, Buffer.from('<html>'))).toBe('unread');
    expect(unkeptBecause(WHOLE, Buffer.alloc(0))).toBe('unread');
  });
});
