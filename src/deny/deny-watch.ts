import type { DenyBucket, DenyChange, Following } from './deny-bucket.ts';

/**
 * The watcher of a session: opened again whenever it was lost, without anybody waiting for it. A cluster that looks for
 * a leader may take seconds to give one.
 */
export class DenyWatch {
  readonly #bucket: DenyBucket;
  readonly #tell: (change: DenyChange) => void;
  #following: Following | null = null;
  #isOpening = false;

  /** @param tell called in the order of revisions; what it knows already may come again */
  constructor(bucket: DenyBucket, tell: (change: DenyChange) => void) {
    this.#bucket = bucket;
    this.#tell = tell;
  }

  /** Null while there is none. */
  get following(): Following | null {
    return this.#following;
  }

  /** @param following tells by itself; the one before it is stopped */
  take(following: Following): void {
    this.drop();
    this.#following = following;
    following.ended.catch(() => {
      if (this.#following === following) this.#following = null;
    });
  }

  /** Opens one where there is none. @param from the first revision that it is to tell */
  keep(from: number): void {
    if (this.#following !== null || this.#isOpening) return;
    this.#isOpening = true;
    const opened = (following: Following): void => {
      this.#isOpening = false;
      if (this.#following === null) this.take(following);
      else following.stop();
    };
    this.#bucket.watch(from, this.#tell).then(opened, () => {
      // Whoever looks after the bucket asks again.
      this.#isOpening = false;
    });
  }

  drop(): void {
    this.#following?.stop();
    this.#following = null;
  }
}
