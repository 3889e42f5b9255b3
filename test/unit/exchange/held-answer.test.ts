import { Buffer } from 'node:buffer';
import { describe, expect, test, vi } from 'vitest';
import {
  ERROR_MAX_BYTES,
  HeldAnswer,
  type Holding,
  type HoldMode,
  OPENING_MAX_BYTES,
  WHOLE_MAX_BYTES,
} from '../../../src/exchange/held-answer.ts';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import type { StreamWire } from '../../../src/wire/first-content.ts';

const unbounded = new KeptBudget(createKeptMemory(1), 0, 0);

const shown = (holding: Holding): string =>
  typeof holding === 'string' ? holding : holding.reason;

/** Pushes the text cut at `cut`; the answer ends behind it. @returns what it came to, and what comes out */
function held(wire: StreamWire, text: string, cut: number, mode: HoldMode = 'stream') {
  const answer = new HeldAnswer(mode, wire, 200, unbounded);
  const bytes = Buffer.from(text);
  let last: Holding = 'hold';
  for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
    // Lent: overwritten when the call returns.
    const lent = Buffer.from(piece);
    if (last === 'hold') last = answer.push(lent);
    lent.fill(0x21);
  }
  if (last === 'hold') last = answer.end();
  return { came: shown(last), code: answer.code };
}

const ROLE = 'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n';
const WORD = 'data: {"choices":[{"delta":{"content":"Hé"}}]}\n\n';

describe('an event stream', () => {
  test.each([
    ['openai-chat', `: OPENROUTER PROCESSING\n\n${ROLE}${WORD}`, 'commit', ''],
    ['openai-chat', ROLE, 'server_error', 'EMPTY'],
    ['openai-chat', '', 'server_error', 'EMPTY'],
    ['openai-chat', `${ROLE}data: [DONE]\n\n`, 'server_error', 'EMPTY'],
    ['openai-chat', `${ROLE}data: {"choi\n\n`, 'server_error', 'MALFORMED_EVENT'],
    ['openai-chat', `${ROLE}data: {"error":{"code":429}}\n\n`, 'rate_limit', '429'],
    ['openai-chat', `${ROLE}data: {"error":{"code":400}}\n\n`, 'commit', '400'],
    [
      'anthropic-messages',
      'event: message_start\r\ndata: {"type":"message_start"}\r\n\r\nevent: error\r\ndata: {"type":"error","error":{"type":"overloaded_error"}}\r\n\r\n',
      'server_error',
      'overloaded_error',
    ],
    [
      'anthropic-messages',
      'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"refusal"}}\n\n',
      'refusal',
      'REFUSAL',
    ],
  ] as const)('%s %j comes to %s, at every cut', (wire, text, came, code) => {
    for (let cut = 0; cut <= Buffer.byteLength(text); cut++)
      expect(held(wire, text, cut)).toEqual({ came, code });
  });

  test.each([
    ['openai-chat', `${ROLE}${WORD}`, 'commit', ''],
    ['openai-chat', `\n${ROLE}data: [DONE]\n\n`, 'server_error', 'EMPTY'],
    ['openai-chat', `${ROLE}data: {"error":{"code":429}}\n\n`, 'rate_limit', '429'],
  ] as const)('%s %j under the type of JSON comes to %s all the same', (wire, text, came, code) => {
    for (let cut = 0; cut <= Buffer.byteLength(text); cut++)
      expect(held(wire, text, cut, 'whole')).toEqual({ came, code });
  });

  test.each([
    [WORD.trimEnd(), 'commit', ''],
    [`${ROLE}${WORD.trimEnd()}`, 'commit', ''],
    [`${ROLE}data: {"error":{"code":429}}`, 'rate_limit', '429'],
    [`${ROLE}data: [DONE]`, 'server_error', 'EMPTY'],
  ])('%j, whose last event no blank line ends, comes to %s', (text, came, code) => {
    for (let cut = 0; cut <= Buffer.byteLength(text); cut++)
      expect(held('openai-chat', text, cut)).toEqual({ came, code });
  });

  test('no more than 64 KiB of an opening is held (F4)', () => {
    const answer = new HeldAnswer('stream', 'openai-chat', 200, unbounded);
    const ping = Buffer.from(`: ${'x'.repeat(1_020)}\n\n`);
    let pushed = 0;
    while (answer.push(Buffer.from(ping)) === 'hold') pushed += ping.length;
    expect(pushed).toBeGreaterThan(62 * 1_024);
    expect(pushed).toBeLessThanOrEqual(64 * 1_024);
  });

  test('what is held comes out as it came, although each piece was lent', () => {
    const answer = new HeldAnswer('stream', 'openai-chat', 200, unbounded);
    const lent = Buffer.from(ROLE);
    expect(answer.push(lent)).toBe('hold');
    lent.fill(0);
    expect(answer.push(Buffer.from(WORD))).toBe('commit');
    expect(answer.take().joined().toString()).toBe(ROLE + WORD);
  });

  test('an opening that never comes to content is let go at its bound', () => {
    const answer = new HeldAnswer('stream', 'openai-chat', 200, unbounded);
    const ping = Buffer.from(': still here\n\n'.repeat(100));
    let came: Holding = 'hold';
    while (came === 'hold') came = answer.push(ping);
    expect(came).toBe('commit');
    expect(answer.bytes).toBeLessThan(OPENING_MAX_BYTES + ping.length);
  });
});

describe('an event stream that is held to its end', () => {
  const DONE = 'data: [DONE]\n\n';
  const FINISH = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n';
  const START = 'data: {"type":"message_start"}\n\n';
  const DELTA =
    'data: {"type":"content_block_delta","delta":{"text":"\\"type\\":\\"message_stop\\""}}\n\n';
  const REASON = 'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"}}\n\n';
  const STOP = 'event: message_stop\ndata: {"type": "message_stop"}\n\n';
  test.each([
    ['openai-chat', `${ROLE}${WORD}${WORD}${FINISH}${DONE}`, 'commit', ''],
    ['openai-chat', `${ROLE}${WORD}${FINISH}`, 'commit', ''],
    ['openai-text', 'data: {"choices":[{"text":"a","finish_reason":"stop"}]}\n\n', 'commit', ''],
    ['anthropic-messages', `${START}${DELTA}${REASON}`, 'commit', ''],
    ['openai-chat', `${ROLE}${WORD}`, 'server_error', 'NO_TERMINAL'],
    ['openai-chat', `${ROLE}`, 'server_error', 'EMPTY'],
    ['openai-chat', `${ROLE}${DONE}`, 'server_error', 'EMPTY'],
    ['openai-chat', `${ROLE}${WORD}data: {"error":{"code":429}}\n\n`, 'rate_limit', '429'],
    ['openai-chat', `${ROLE}${WORD}data: {"choi\n\n${DONE}`, 'server_error', 'MALFORMED_EVENT'],
    ['anthropic-messages', `${START}${DELTA}${STOP}`, 'commit', ''],
    ['anthropic-messages', `${START}${DELTA}`, 'server_error', 'NO_TERMINAL'],
    [
      'openai-responses',
      'data: {"type":"response.output_text.delta","delta":"a"}\n\ndata: {"type":"response.completed","response":{"output":[{}]}}\n\n',
      'commit',
      '',
    ],
    [
      'gemini',
      'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n\ndata: {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}]}\n\n',
      'commit',
      '',
    ],
  ] as const)('%s %j comes to %s, at every cut', (wire, text, came, code) => {
    for (let cut = 0; cut <= Buffer.byteLength(text); cut++)
      expect(held(wire, text, cut, 'stream-to-end')).toEqual({ came, code });
  });

  test('is whole when no blank line ends its last event', () => {
    for (const last of [DONE, FINISH]) {
      const text = `${ROLE}${WORD}${last.trimEnd()}`;
      for (let cut = 0; cut <= Buffer.byteLength(text); cut++)
        expect(held('openai-chat', text, cut, 'stream-to-end').came).toBe('commit');
    }
  });

  test('is held so under the type of JSON too', () => {
    const under = (text: string): Holding => {
      const answer = new HeldAnswer('whole', 'openai-chat', 200, unbounded, 'stream-to-end');
      const came = answer.push(Buffer.from(text));
      return came === 'hold' ? answer.end() : came;
    };
    expect(under(`${ROLE}${WORD}${FINISH}`)).toBe('commit');
    expect(under(`${ROLE}${WORD}`)).toMatchObject({ reason: 'server_error' });
  });

  test('tells content from pings, and an event of more than a mebibyte is content', () => {
    const answer = new HeldAnswer('stream-to-end', 'openai-chat', 200, unbounded);
    const seen: boolean[] = [];
    for (const text of [ROLE, WORD, ': ping\n\n', WORD]) {
      expect(answer.push(Buffer.from(text))).toBe('hold');
      seen.push(answer.broughtContent);
    }
    expect(seen).toEqual([false, true, false, true]);
    const long = new HeldAnswer('stream-to-end', 'openai-chat', 200, unbounded);
    expect(long.push(Buffer.from(`data: ${'x'.repeat(1024 * 1024 + 1)}\n\n`))).toBe('hold');
    expect(long.hasContent).toBe(true);
    expect(long.push(Buffer.from(`data: x\n\n`))).toMatchObject({ reason: 'server_error' });
  });
});

describe('an answer that is not streamed', () => {
  const whole = (text: string, wire: StreamWire = 'openai-chat') => {
    const answer = new HeldAnswer('whole', wire, 200, unbounded);
    const came = answer.push(Buffer.from(text));
    return shown(came === 'hold' ? answer.end() : came);
  };

  test.each([
    ['{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}', 'commit'],
    ['{"choices":[{"message":{"content":"h', 'server_error'],
    ['', 'server_error'],
    ['<html>502</html>', 'server_error'],
    ['{"error":{"code":503}}', 'server_error'],
    ['{"error":{"message":"bad","type":"invalid_request_error"}}', 'commit'],
    ['{"error":null,"output":[{}]}', 'commit'],
    ['{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}', 'refusal'],
  ])('%s comes to %s', (text, came) => {
    expect(whole(text)).toBe(came);
  });

  test.each([
    'stream',
    'stream-to-end',
  ] as const)('under an event stream’s type is no broken %s', (mode) => {
    const SAID = '{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}';
    for (const [text, came] of [
      [SAID, 'commit'],
      [`\ufeff \n${SAID}`, 'commit'],
      [SAID.slice(0, -9), 'server_error'],
      ['{"error":{"code":429}}', 'rate_limit'],
      ['<html>502</html>', 'server_error'],
    ] as const)
      for (let cut = 0; cut <= text.length; cut++)
        expect([text, held('openai-chat', text, cut, mode).came]).toEqual([text, came]);
  });

  test('a 403 inside a 200 for what the caller wrote is a refusal: no key has a part in it', () => {
    const moderated = '{"error":{"code":403,"message":"Your input was flagged"}}';
    expect(whole(moderated)).toBe('refusal');
    expect(whole('{"error":{"code":403,"message":"Key disabled"}}')).toBe('auth');
    expect(held('openai-chat', `data: ${moderated}\n\n`, 0).came).toBe('refusal');
  });

  test('a refusal is seen in every dialect', () => {
    expect(whole('{"stop_reason":"refusal","content":[]}', 'anthropic-messages')).toBe('refusal');
    expect(
      whole(
        '{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}',
        'openai-responses',
      ),
    ).toBe('refusal');
    expect(whole('{"promptFeedback":{"blockReason":"SAFETY"}}', 'gemini')).toBe('refusal');
  });

  test('a refusal and an error are seen in what its metering read as one text, and nothing else is parsed', () => {
    const said = (text: string, wire: StreamWire): string | Holding => {
      const answer = new HeldAnswer('whole', wire, 200, unbounded);
      answer.push(Buffer.from(text));
      return shown(answer.end(true));
    };
    const filtered = '{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]}';
    const escaped = filtered.replace('content_filter', 'content\\u005ffilter');
    for (const text of [filtered, escaped]) expect(said(text, 'openai-chat')).toBe('refusal');
    expect(said('{"stop_reason":"refusal"}', 'anthropic-messages')).toBe('refusal');
    expect(said('{"promptFeedback":{"blockReason":"SAFETY"}}', 'gemini')).toBe('refusal');
    const incomplete = '{"incomplete_details":{"reason":"content_filter"}}';
    expect(said(incomplete, 'openai-responses')).toBe('refusal');
    const error = '{"error":{"code":503},"usage":{"prompt_tokens":1}}';
    expect(said(error, 'openai-chat')).toBe('server_error');
    expect(said(error.replace('error', '\\u0065rror'), 'openai-chat')).toBe('server_error');
    const parse = vi.spyOn(JSON, 'parse');
    try {
      const plain = '{"choices":[{"message":{"content":"hi"}}],"usage":{}}';
      expect(said(plain, 'openai-chat')).toBe('commit');
      expect(parse).not.toHaveBeenCalled();
    } finally {
      parse.mockRestore();
    }
  });

  test('one that is larger than anybody holds is let go as it comes', () => {
    const answer = new HeldAnswer('whole', 'openai-chat', 200, unbounded);
    const piece = Buffer.alloc(1024 * 1024, 'x');
    let pushed = 0;
    let came: Holding = 'hold';
    while (came === 'hold') {
      came = answer.push(piece);
      pushed += piece.length;
    }
    expect([came, pushed]).toEqual(['commit', WHOLE_MAX_BYTES]);
  });
});

describe("an error's body", () => {
  test('is held to its end, or to its bound, and judged by its status and its words', () => {
    const answer = new HeldAnswer('error', 'openai-chat', 400, unbounded);
    expect(answer.push(Buffer.from('{"error":{"code":"context_'))).toBe('hold');
    expect(answer.push(Buffer.from('length_exceeded"}}'))).toBe('hold');
    expect(shown(answer.end())).toBe('context_length');
    const long = new HeldAnswer('error', 'openai-chat', 500, unbounded);
    expect(shown(long.push(Buffer.alloc(ERROR_MAX_BYTES, 'x')))).toBe('server_error');
    const callers = new HeldAnswer('error', 'openai-chat', 422, unbounded);
    expect(callers.push(Buffer.from('{"detail":"no"}'))).toBe('hold');
    expect(shown(callers.end())).toBe('commit');
  });
});
