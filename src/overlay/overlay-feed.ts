/**
 * Follows the bucket of a fleet's overlay. One session is one connection and any doubt ends it, as with the deny-set
 * (`deny/deny-feed.ts`); entries are few, so each session reads them whole and resumes nothing. While NATS is away what was
 * known last counts; a bucket that is gone or was made anew counts as it is found: empty is the file's word alone.
 */

import { DenyBucket, NO_BUCKET, reasonOf } from '../deny/deny-bucket.ts';
import type { DenySource } from '../deny/deny-source.ts';
import type { Log } from '../outlet/log.ts';
import { OverlayReading, overlaySource } from './overlay-bucket.ts';
import { NOTHING_OVERLAID, type OverlayState } from './overlay-store.ts';

/** Between two tries, in milliseconds: doubled up to the second. */
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 10_000;

/** While the deny-set's connection is down this one is not tried: one of the two looks for a NATS that is gone. */
const REACHABLE_LOOK_MS = 250;

/** How often the bucket is asked whether it is the same and how far it goes, in milliseconds. */
const LOOK_MS = 1_000;

/** So many looks in a row at which the bucket is ahead of what the watcher told, and it is read anew. */
const BEHIND_LOOKS = 2;

export class OverlayFeed {
  readonly #source: DenySource;
  readonly #log: Log;
  readonly #isReachable: () => boolean;
  readonly #tell: (state: OverlayState) => void;
  #isStopped = false;
  #wake: () => void = () => {};
  #isLostTold = false;
  /** Whether it is known how things stand. */
  hasTold = false;

  /** @param tell called with all of it whenever some of it changed */
  constructor(
    source: DenySource,
    log: Log,
    isReachable: () => boolean,
    tell: (state: OverlayState) => void,
  ) {
    this.#source = overlaySource(source);
    this.#log = log;
    this.#isReachable = isReachable;
    this.#tell = tell;
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  async #run(): Promise<void> {
    let backoffMs = BACKOFF_MIN_MS;
    while (!this.#isStopped) {
      if (!this.#isReachable()) {
        await this.#pause(REACHABLE_LOOK_MS);
        continue;
      }
      const reason = await this.#session(() => {
        backoffMs = BACKOFF_MIN_MS;
        this.#isLostTold = false;
      });
      if (this.#isStopped) return;
      if (!this.#isLostTold) this.#log.write('warn', 'overlay_not_followed', { reason });
      this.#isLostTold = true;
      await this.#pause(backoffMs * (1 - Math.random() / 2));
      backoffMs = Math.min(BACKOFF_MAX_MS, backoffMs * 2);
    }
  }

  /** @returns why it ended */
  async #session(followed: () => void): Promise<string> {
    let bucket: DenyBucket | null = null;
    try {
      bucket = await DenyBucket.connect(this.#source);
      await Promise.race([this.#follow(bucket, followed), bucket.closed()]);
      return 'stopped';
    } catch (error) {
      return reasonOf(error);
    } finally {
      await bucket?.close();
    }
  }

  async #follow(bucket: DenyBucket, followed: () => void): Promise<void> {
    while (!this.#isStopped) {
      const created = await createdOf(bucket);
      if (created === null) {
        this.#told(NOTHING_OVERLAID, followed);
        await this.#pause(LOOK_MS);
      } else await this.#followOne(bucket, created, followed);
    }
  }

  /** Until it is another bucket, or the watcher tells no more of it. */
  async #followOne(bucket: DenyBucket, created: string, followed: () => void): Promise<void> {
    const reading = new OverlayReading();
    let isSeeded = false;
    const following = await bucket.watch(null, (change) => {
      reading.apply(change);
      if (isSeeded) this.#tell(reading.state());
    });
    try {
      const late = this.#pause(LOOK_MS * 5).then(() => {
        throw new Error('the bucket is not told whole');
      });
      late.catch(() => {});
      await Promise.race([following.seeded, following.ended, late]);
      isSeeded = true;
      this.#told(reading.state(), followed);
      let behind = 0;
      while (!this.#isStopped && behind < BEHIND_LOOKS) {
        await Promise.race([following.ended, this.#pause(LOOK_MS)]);
        const { revision } = reading;
        const info = await bucket.info();
        if (info.created !== created || info.state.last_seq < revision) return;
        behind = info.state.last_seq > revision ? behind + 1 : 0;
      }
    } catch (error) {
      if (reasonOf(error) !== NO_BUCKET) throw error;
    } finally {
      following.stop();
    }
  }

  #told(state: OverlayState, followed: () => void): void {
    this.hasTold = true;
    followed();
    this.#tell(state);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** When the bucket was made; null: there is none. */
async function createdOf(bucket: DenyBucket): Promise<string | null> {
  try {
    return (await bucket.info()).created;
  } catch (error) {
    if (reasonOf(error) === NO_BUCKET) return null;
    throw error;
  }
}
