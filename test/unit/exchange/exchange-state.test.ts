import { describe, expect, it } from 'vitest';
import {
  nextRequestState,
  nextResponseState,
  REQUEST_SIDE,
  RESPONSE_SIDE,
  type RequestEvent,
  type RequestState,
  type ResponseEvent,
  type ResponseState,
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
    for (const state of ['sent', 'refused', 'unread', 'gone', 'dropped'] satisfies RequestState[]) {
      for (const event of requestEvents) expect(nextRequestState(state, event)).toBe(state);
    }
  });
  it('on the response side', () => {
    for (const state of ['complete', 'rejected', 'truncated', 'gone'] satisfies ResponseState[]) {
      for (const event of responseEvents) expect(nextResponseState(state, event)).toBe(state);
    }
  });
});

it('every listed pair leads where the table says, every other stays', () => {
  for (const event of requestEvents) {
    expect(nextRequestState('reading', event)).toBe(REQUEST_SIDE.reading[event] ?? 'reading');
  }
  for (const state of ['waiting', 'streaming', 'unseen'] as const) {
    for (const event of responseEvents) {
      expect(nextResponseState(state, event)).toBe(RESPONSE_SIDE[state][event] ?? state);
    }
  }
  expect(nextResponseState('waiting', 'end')).toBe('waiting');
});

it('only an answer that streams is read on unseen, and whatever ends it then, its client is gone', () => {
  expect(nextResponseState('streaming', 'left')).toBe('unseen');
  expect(nextResponseState('waiting', 'left')).toBe('waiting');
  for (const event of ['end', 'failed', 'gone'] as const)
    expect(nextResponseState('unseen', event)).toBe('gone');
});
