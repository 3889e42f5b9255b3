/** What workers and the cache's thread say to each other, and the main thread to it. */

import type { MessagePort } from 'node:worker_threads';
import type { AnswerHead, KeptAnswer, PurgeScope, Survey } from './answer-store.ts';

/** Of a worker. A `call` is one request that asks, a `flight` one answer that is being made for all who ask for it. */
export type ToCache =
  /** @property isRefresh what is kept is not wanted: it is to be made anew */
  | {
      readonly kind: 'ask';
      readonly call: number;
      readonly key: string;
      readonly isRefresh: boolean;
    }
  /** It follows what its worker does not have any more: it is told all of it again. */
  | { readonly kind: 'again'; readonly call: number; readonly key: string }
  /** It asks, or follows, no more. */
  | { readonly kind: 'leave'; readonly call: number }
  /** Of whoever makes it, once others want it: what came so far, and from then on each piece. */
  | { readonly kind: 'head'; readonly flight: number; readonly head: AnswerHead }
  | { readonly kind: 'piece'; readonly flight: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'ended'; readonly flight: number }
  /** It is too long to be kept: nobody else may join. */
  | { readonly kind: 'closed'; readonly flight: number }
  /** It came to nothing: the last word on it. */
  | { readonly kind: 'failed'; readonly flight: number }
  /** It has ended, and is to be kept, or not: the last word on it. */
  | { readonly kind: 'settled'; readonly flight: number; readonly answer: KeptAnswer | null };

/** To a worker. */
export type FromCache =
  | { readonly kind: 'hit'; readonly call: number; readonly answer: KeptAnswer }
  /** Nobody has it: whoever asks makes it. */
  | { readonly kind: 'lead'; readonly call: number; readonly flight: number }
  /** Somebody is making it. @property isTold its worker was told its beginning, for another one of its requests */
  | {
      readonly kind: 'follow';
      readonly call: number;
      readonly flight: number;
      readonly isTold: boolean;
    }
  /** Its answer is its own affair, and is not kept. */
  | { readonly kind: 'alone'; readonly call: number }
  /** Others wait for what is being made, or nobody any more. */
  | { readonly kind: 'wanted'; readonly flight: number; readonly isWanted: boolean }
  /** What a worker's followers are told. */
  | { readonly kind: 'head'; readonly flight: number; readonly head: AnswerHead }
  | { readonly kind: 'piece'; readonly flight: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'ended'; readonly flight: number }
  | { readonly kind: 'failed'; readonly flight: number }
  /** What was told of it is void: somebody else makes it now, or (`isSame`) it is told once more from its beginning. */
  | { readonly kind: 'anew'; readonly flight: number; readonly isSame: boolean };

/** Of the main thread. */
export type ToCacheThread =
  | { readonly kind: 'connect'; readonly port: MessagePort }
  | { readonly kind: 'configure'; readonly maxBytes: number }
  | { readonly kind: 'purge'; readonly call: number; readonly of: PurgeScope }
  | { readonly kind: 'survey'; readonly call: number; readonly limit: number };

/** To the main thread. */
export type FromCacheThread =
  | { readonly kind: 'purged'; readonly call: number; readonly count: number }
  | { readonly kind: 'surveyed'; readonly call: number; readonly survey: Survey | null }
  /** Redis is asked from now on, or not any more. */
  | { readonly kind: 'redis'; readonly isUp: boolean; readonly reason: string | null };
