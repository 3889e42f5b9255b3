/**
 * Where each side of an exchange stands. Two small tables; ARCHITECTURE.md prints them. A pair that is not listed
 * stays, and a terminal state absorbs everything, so a late event can never undo an end.
 */

export type RequestState = 'reading' | 'sent' | 'refused' | 'unread' | 'gone' | 'dropped';
export type RequestEvent = 'last' | 'over' | 'answered' | 'gone' | 'failed';

export type ResponseState =
  | 'waiting'
  | 'streaming'
  | 'unseen'
  | 'complete'
  | 'rejected'
  | 'truncated'
  | 'gone';
/**
 * `failed` before any byte of the head left is `unanswered`: the client can still be told properly. `left` is a client
 * that went behind an end sign, whose bill may still come; `gone` every other one.
 */
export type ResponseEvent = 'head' | 'end' | 'unanswered' | 'failed' | 'left' | 'gone';

type Table<State extends string, Event extends string> = Readonly<
  Record<State, Readonly<Partial<Record<Event, State>>>>
>;

export const REQUEST_SIDE: Table<RequestState, RequestEvent> = {
  reading: { last: 'sent', over: 'refused', answered: 'unread', gone: 'gone', failed: 'dropped' },
  sent: {},
  refused: {},
  unread: {},
  gone: {},
  dropped: {},
};

export const RESPONSE_SIDE: Table<ResponseState, ResponseEvent> = {
  waiting: { head: 'streaming', unanswered: 'rejected', gone: 'gone' },
  streaming: {
    end: 'complete',
    unanswered: 'rejected',
    failed: 'truncated',
    left: 'unseen',
    gone: 'gone',
  },
  unseen: { end: 'gone', failed: 'gone', gone: 'gone' },
  complete: {},
  rejected: {},
  truncated: {},
  gone: {},
};

export function nextRequestState(state: RequestState, event: RequestEvent): RequestState {
  return REQUEST_SIDE[state][event] ?? state;
}

export function nextResponseState(state: ResponseState, event: ResponseEvent): ResponseState {
  return RESPONSE_SIDE[state][event] ?? state;
}
