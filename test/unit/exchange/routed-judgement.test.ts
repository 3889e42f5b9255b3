import { describe, expect, test } from 'vitest';
import {
  failureOfEnd,
  holdModeOf,
  waitAskedFor,
  waitOf,
} from '../../../src/exchange/routed-judgement.ts';
import { FAILURES } from '../../../src/plan/failover.ts';
import {
  CLOSED_EARLY,
  CONNECT_TIMEOUT,
  FIRST_BYTE_TIMEOUT,
  IDLE_TIMEOUT,
  poolKeyRefusal,
} from '../../../src/upstream/failure.ts';
import type { ResponseHead } from '../../../src/wire/response-head.ts';

const head = (status: number, more: Partial<ResponseHead> = {}): ResponseHead => ({
  status,
  head: `HTTP/1.1 ${status} Said\r\n`,
  size: 'chunked',
  eventStream: false,
  streamAsked: false,
  format: 'json',
  ...more,
});

describe('how an answer is held while another target is left', () => {
  test.each([
    [head(200, { eventStream: true }), 'relay', 'stream'],
    [head(200, { eventStream: true }), 'hold', 'stream-to-end'],
    [head(200), 'relay', 'whole'],
    [head(200), 'hold', 'whole'],
    [head(200, { size: 'none' }), 'relay', null],
    [head(200, { format: null }), 'relay', null],
    [head(302, { eventStream: true }), 'relay', null],
    [head(304), 'relay', null],
    [head(400), 'relay', 'error'],
    [head(503, { eventStream: true }), 'hold', 'error'],
  ] as const)('%o with %s: %s', (answer, safety, mode) => {
    expect(holdModeOf(answer, safety)).toBe(mode);
  });
});

describe("what an attempt's end says of its target", () => {
  test.each([
    ['an end without an answer', null, FAILURES.server_error],
    ['a refused pool key', poolKeyRefusal(401, false), FAILURES.key_refused],
    ['a connection that takes too long', CONNECT_TIMEOUT, FAILURES.unreachable_in_time],
    [
      'a connection that is refused',
      { kind: 'connect', rejection: 'upstream_unreachable', code: 'ECONNREFUSED' },
      FAILURES.unreachable,
    ],
    ['no head in time', FIRST_BYTE_TIMEOUT, FAILURES.timeout],
    ['silence in the middle', IDLE_TIMEOUT, FAILURES.timeout],
    ['an early close', CLOSED_EARLY, FAILURES.server_error],
    [
      'a framing that is none',
      { kind: 'framing', rejection: 'upstream_unreachable', code: 'X' },
      FAILURES.server_error,
    ],
    [
      'an upload that stalls: the caller’s',
      { kind: 'timeout', rejection: 'upstream_timeout', code: 'UPLOAD_STALLED' },
      null,
    ],
    ['a bug of ours', { kind: 'internal', rejection: 'internal_error', code: 'X' }, null],
  ] as const)('%s', (_, failure, said) => {
    expect(failureOfEnd(failure)).toBe(said);
  });
});

describe('how long a provider asks to be left alone', () => {
  const waiting = (lines: string): ResponseHead =>
    head(429, { head: `HTTP/1.1 429 Slow\r\ncontent-type: a: b\r\n${lines}` });

  test.each([
    ['retry-after: 7\r\n', 7_000],
    ['Retry-After: 1\r\nretry-after-ms: 250\r\n', 250],
    ['retry-after: soon\r\n', null],
    ['x-other: 7\r\n', null],
  ])('%j in its head: %s', (lines, ms) => {
    expect(waitOf(waiting(lines))).toBe(ms);
  });

  test('its head goes before its body', () => {
    const body = '{"error":{"details":[{"retryDelay":"17s"}]}}';
    expect(waitAskedFor(waiting(''), body)).toBe(17_000);
    expect(waitAskedFor(waiting('retry-after: 3\r\n'), body)).toBe(3_000);
    expect(waitAskedFor(waiting(''), '')).toBeNull();
  });
});
