import { describe, expect, it } from 'vitest';
import {
  REQUEST,
  REQUEST_SIDE,
  RESPONSE,
  RESPONSE_SIDE,
  type RequestEvent,
  type ResponseEvent,
} from '../../../src/exchange/exchange-state.ts';

const requestEvents: readonly RequestEvent[] = ['last', 'over', 'answered', 'gone', 'failed'];
const responseEvents: readonly ResponseEvent[] = [
  'head',
  'end',
  'unanswered',
  'failed',
  'left',
  'gone',
];

describe('terminal states absorb everything', () => {
  it('on the request side', () => {
    for (const name of ['sent', 'refused', 'unread', 'gone', 'dropped'] as const) {
      for (const event of requestEvents) expect(REQUEST[name][event]).toBe(REQUEST[name]);
    }
  });
  it('on the response side', () => {
    for (const name of ['complete', 'rejected', 'truncated', 'gone'] as const) {
      for (const event of responseEvents) expect(RESPONSE[name][event]).toBe(RESPONSE[name]);
    }
  });
});

it('every listed pair leads where the table says, every other stays', () => {
  for (const event of requestEvents) {
    expect(REQUEST.reading[event]).toBe(REQUEST[REQUEST_SIDE.reading[event] ?? 'reading']);
  }
  for (const state of ['waiting', 'streaming', 'unseen'] as const) {
    for (const event of responseEvents) {
      expect(RESPONSE[state][event]).toBe(RESPONSE[RESPONSE_SIDE[state][event] ?? state]);
    }
  }
  expect(RESPONSE.waiting.end).toBe(RESPONSE.waiting);
});

it('only an answer that streams is read on unseen, and whatever ends it then, its client is gone', () => {
  expect(RESPONSE.streaming.left).toBe(RESPONSE.unseen);
  expect(RESPONSE.waiting.left).toBe(RESPONSE.waiting);
  for (const event of ['end', 'failed', 'gone'] as const)
    expect(RESPONSE.unseen[event]).toBe(RESPONSE.gone);
});
