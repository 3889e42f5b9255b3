import type { NatsConnection } from 'nats';
import type { Log } from '../outlet/log.ts';
import type { DenyFeed } from './deny-feed.ts';
import { type DenyCursor, DenySet } from './deny-set.ts';
import { encodeSnapshot, readSnapshot, writeSnapshot } from './deny-snapshot.ts';
import type { DenySource } from './deny-source.ts';

/** How long a start waits for NATS to answer, and then for the first reading of the deny-set; milliseconds. */
const FIRST_CONNECT_MS = 1_500;
const FIRST_SET_MS = 5_000;

/** Holds end by the second. */
const TICK_MS = 1_000;

/**
 * Snapshots are at least so far apart, in milliseconds, and ten times as far as one takes: the disk is not ours alone.
 * But no farther than a minute: one that hung for an hour must not leave the next ten hours without.
 */
const SNAPSHOT_MIN_MS = 5_000;
const SNAPSHOT_FACTOR = 10;
const SNAPSHOT_MAX_MS = 60_000;

/** A write that takes longer, in milliseconds, is told: the disk hangs. */
const SNAPSHOT_STALL_MS = 10_000;

interface DenyKeeperOptions {
  readonly memory: SharedArrayBuffer;
  /** Null: nobody says who is cut off. */
  readonly source: DenySource | null;
  readonly bucket: string;
  /** Null: the set is kept in memory alone. */
  readonly snapshotPath: string | null;
  readonly log: Log;
}

/** Everything about the deny-set that happens on the main thread: the feed, the clock, the snapshot on disk. */
export class DenyKeeper {
  readonly #set: DenySet;
  #feed: DenyFeed | null = null;
  /** Up to where the snapshot was true. */
  readonly #loaded: DenyCursor | null;
  #isStopped = false;
  readonly #options: DenyKeeperOptions;
  #timer: NodeJS.Timeout | null = null;
  #savedChanges = 0;
  #savedRevision = -1;
  #mayFail = true;
  #saveAtMs = 0;
  /** The write that is under way. */
  #saving: Promise<void> | null = null;
  #savingSinceMs = 0;
  #isStallTold = false;
  readonly #beganMs = Date.now();
  #startedMs = Number.POSITIVE_INFINITY;
  #isSettled = false;

  constructor(options: DenyKeeperOptions) {
    const { memory } = options;
    this.#options = options;
    this.#set = new DenySet(memory);
    this.#loaded = this.#load();
    this.#savedChanges = this.#set.changes;
  }

  get size(): number {
    return this.#set.size;
  }

  /** Null when no NATS is configured. */
  get connected(): boolean | null {
    return this.#options.source === null ? null : this.#feed?.connected === true;
  }

  /** The one connection of the process to NATS, for everybody's use; null while there is none. */
  get connection(): NatsConnection | null {
    return this.#feed?.connection ?? null;
  }

  /** Seconds since the set was last known to be the bucket's; since the start when it never was. */
  get ageSeconds(): number {
    return (Date.now() - (this.#feed?.syncedAtMs ?? this.#beganMs)) / 1_000;
  }

  /**
   * False while the first word of NATS may still come in a moment: whoever is cut off would be served until then. An
   * outage of NATS keeps nobody waiting.
   */
  get isSettled(): boolean {
    if (this.#isSettled) return true;
    const limitMs = this.#feed?.connected === true ? FIRST_SET_MS : FIRST_CONNECT_MS;
    const isLate = performance.now() - this.#startedMs >= limitMs;
    this.#isSettled = this.#options.source === null || isLate || this.#feed?.hasTold === true;
    return this.#isSettled;
  }

  /** Whether NATS was found away at the start: whatever else is read from it keeps nobody waiting then either. */
  get beganAlone(): boolean {
    return this.#feed?.beganAlone === true;
  }

  start(): void {
    this.#startedMs = performance.now();
    if (this.#options.source !== null) void this.#follow(this.#options.source);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  /**
   * Ends the feed and keeps what is known.
   * @param connectionUsed until then others have something to say over the connection
   * @returns false when the disk did not take it within `limitMs`: a thread of Node's pool waits for it still
   */
  async stop(
    limitMs: number,
    connectionUsed: Promise<unknown> = Promise.resolve(),
  ): Promise<boolean> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#isStopped = true;
    void connectionUsed.finally(() => this.#feed?.stop());
    const saved = async (): Promise<boolean> => {
      await this.#saving;
      await this.#save();
      return true;
    };
    const late = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(false), limitMs).unref();
    });
    return await Promise.race([saved(), late]);
  }

  /** The client library is loaded only where there is a NATS, and behind the start: it takes a tenth of a second. */
  async #follow(source: DenySource): Promise<void> {
    const { DenyFeed } = await import('./deny-feed.ts');
    if (this.#isStopped) return;
    this.#feed = new DenyFeed(this.#set, source, this.#options.log, this.#loaded);
    this.#feed.start();
  }

  #tick(): void {
    this.#set.expire();
    if (this.#saving !== null) this.#watchSaving(this.#options.snapshotPath);
    else if (performance.now() >= this.#saveAtMs) {
      this.#saving = this.#save().finally(() => {
        this.#saving = null;
      });
    }
  }

  #watchSaving(path: string | null): void {
    const tookMs = performance.now() - this.#savingSinceMs;
    if (this.#isStallTold || tookMs < SNAPSHOT_STALL_MS) return;
    this.#isStallTold = true;
    this.#options.log.write('error', 'deny_snapshot_stalled', {
      path,
      waited_ms: Math.round(tookMs),
    });
  }

  #load(): DenyCursor | null {
    const { snapshotPath, source, bucket, log } = this.#options;
    // Without NATS there is no deny-set: nobody could lift what an old snapshot holds.
    if (snapshotPath === null || source === null) return null;
    try {
      const snapshot = readSnapshot(snapshotPath);
      if (snapshot === null) return null;
      if (snapshot.bucket !== bucket) throw new Error(`it is of the bucket ${snapshot.bucket}`);
      const rescan = this.#set.rescan();
      for (const record of snapshot.records) rescan.apply(record, record);
      rescan.commit();
      log.write('info', 'deny_snapshot_loaded', { entries: this.#set.size });
      return snapshot.cursor;
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      log.write('error', 'deny_snapshot_ignored', { path: snapshotPath, reason });
      return null;
    }
  }

  async #save(): Promise<void> {
    const { snapshotPath, bucket, log } = this.#options;
    const cursor = this.#feed?.cursor ?? null;
    // Without a feed there is nothing to save; before the first sync, what is there is what was loaded.
    if (snapshotPath === null || cursor === null) return;
    const { changes } = this.#set;
    if (changes === this.#savedChanges && cursor.revision === this.#savedRevision) return;
    const beganMs = performance.now();
    this.#savingSinceMs = beganMs;
    this.#isStallTold = false;
    let waitMs = SNAPSHOT_MIN_MS;
    try {
      const { size } = this.#set;
      const records = this.#set.records();
      const bytes = encodeSnapshot({ bucket, cursor, records, count: size });
      await writeSnapshot(snapshotPath, bytes);
      waitMs = Math.max(waitMs, (performance.now() - beganMs) * SNAPSHOT_FACTOR);
      const tookMs = Math.round(performance.now() - beganMs);
      log.write('debug', 'deny_snapshot_written', { entries: size, took_ms: tookMs });
      this.#savedChanges = changes;
      this.#savedRevision = cursor.revision;
      if (!this.#mayFail) log.write('info', 'deny_snapshot_written_again');
      this.#mayFail = true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (this.#mayFail)
        log.write('error', 'deny_snapshot_failed', { path: snapshotPath, reason: code ?? message });
      this.#mayFail = false;
    }
    this.#saveAtMs = performance.now() + Math.min(SNAPSHOT_MAX_MS, waitMs);
  }
}
