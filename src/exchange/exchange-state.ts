import { type LinkedState, linkedStates, type StateTable } from '../state-links.ts';

/**
 * Where each side of an exchange stands. Two small tables; ARCHITECTURE.md prints them. A pair that is not listed
 * stays, and a terminal state absorbs everything, so a late event can never undo an end.
 */

type RequestName = 'reading' | 'sent' | 'refused' | 'unread' | 'gone' | 'dropped';
export type RequestEvent = 'last' | 'over' | 'answered' | 'gone' | 'failed';

type ResponseName =
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

export const REQUEST_SIDE: StateTable<RequestName, RequestEvent> = {
  reading: { last: 'sent', over: 'refused', answered: 'unread', gone: 'gone', failed: 'dropped' },
  sent: {},
  refused: {},
  unread: {},
  gone: {},
  dropped: {},
};

export const RESPONSE_SIDE: StateTable<ResponseName, ResponseEvent> = {
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

export type RequestState = LinkedState<RequestEvent>;
export type ResponseState = LinkedState<ResponseEvent>;

export const REQUEST = linkedStates(REQUEST_SIDE);
export const RESPONSE = linkedStates(RESPONSE_SIDE);
