import type { UnkeptReason } from './answer-judgement.ts';
import type { Survey } from './answer-store.ts';

/** What the cache of answers had to say of requests, as the node's metrics count it. */
export interface CacheCounted {
  /** By what it had to say. */
  readonly requests: Readonly<Record<'hit' | 'shared' | 'miss' | 'bypass' | 'away', number>>;
  readonly kept: number;
  readonly unkept: Readonly<Record<UnkeptReason, number>>;
  /** Nano-dollars that the answers that were told again had cost. */
  readonly savedNano: number;
}

/** How a node's cache of answers stands. */
export interface CacheState extends CacheCounted {
  /** Null: no policy has a cache. */
  readonly store: 'memory' | 'redis' | null;
  readonly isUp: boolean;
  /** Bytes; null: the store's own affair. */
  readonly maxBytes: number | null;
  /** Since the start: answers that gave way to newer ones. */
  readonly evicted: number;
  /** Null: nobody could say in time. */
  readonly survey: Survey | null;
}
