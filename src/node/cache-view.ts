import { UNKEPT_REASONS } from '../cache/answer-judgement.ts';
import type { PurgeScope, Survey } from '../cache/answer-store.ts';
import type { CacheKeeper } from '../cache/cache-keeper.ts';
import type { CacheCounted, CacheState } from '../cache/cache-state.ts';
import { CACHE_RESULTS } from '../settle/metrics.ts';
import type { NodeCounts } from '../settle/node-counts.ts';

/** Answers that are told of, the largest ones. */
const LARGEST = 20;

/** How long the cache's thread may look, and how long it may throw away, in milliseconds: somebody waits at a screen. */
const SURVEY_MS = 2_000;
const PURGE_MS = 10_000;

/** The cache of answers as whoever runs the node sees it. On the main thread. */
export class CacheView {
  readonly #keeper: CacheKeeper;
  readonly #counts: NodeCounts;
  readonly #maxBytes: () => number;

  /** @param maxBytes as the configuration says it now */
  constructor(keeper: CacheKeeper, counts: NodeCounts, maxBytes: () => number) {
    this.#keeper = keeper;
    this.#counts = counts;
    this.#maxBytes = maxBytes;
  }

  async state(): Promise<CacheState> {
    const { store, counts } = this.#keeper;
    const survey = await within<Survey | null>(SURVEY_MS, (done) =>
      this.#keeper.survey(LARGEST, done),
    );
    return {
      store,
      isUp: counts.isRedisUp ?? store !== null,
      maxBytes: store === 'memory' ? this.#maxBytes() : null,
      evicted: counts.answersEvicted,
      survey,
      ...this.#counted(),
    };
  }

  /** @returns how many answers there were; null: they will have gone before any of them is told again */
  async purge(of: PurgeScope): Promise<number | null> {
    return await within<number>(PURGE_MS, (done) => this.#keeper.purge(of, done));
  }

  #counted(): CacheCounted {
    const { cacheRequests, cacheUnkept, cacheKept, cacheSavedNano } = this.#counts.layout;
    return {
      requests: this.#counts.named(CACHE_RESULTS, cacheRequests),
      kept: this.#counts.sum(cacheKept),
      unkept: this.#counts.named(UNKEPT_REASONS, cacheUnkept),
      savedNano: this.#counts.sum(cacheSavedNano),
    };
  }
}

/** What is told in time; null: nothing was. */
function within<Told>(
  limitMs: number,
  ask: (done: (told: Told) => void) => void,
): Promise<Told | null> {
  return new Promise((resolve) => {
    const limit = setTimeout(() => resolve(null), limitMs);
    ask((told) => {
      clearTimeout(limit);
      resolve(told);
    });
  });
}
