/**
 * Keeps the deny-set in step with a JetStream KV bucket: reads it whole, then follows it, and over every outage ends up
 * with what the bucket says. It never takes anything away from the relay: while NATS is not there, the last known set
 * stays in force.
 *
 * Decision: one session is one connection, and any doubt ends the session. The client library could reconnect and resume
 * by itself, but what it resumes on may be another bucket of the same name, with other revisions; a session begins by
 * asking who the bucket is and how far it goes, and then knows whether to resume or to read it anew.
 */

import type { NatsConnection, StreamInfo } from 'nats';
import type { Log } from '../outlet/log.ts';
import {
  DenyBucket,
  type DenyChange,
  type Following,
  NO_BUCKET,
  REQUEST_MS,
  reasonOf,
} from './deny-bucket.ts';
import { denySubject, denyValue } from './deny-entry.ts';
import type { DenyCursor, DenyRescan, DenySet } from './deny-set.ts';
import type { DenySource } from './deny-source.ts';
import { DenyWatch } from './deny-watch.ts';
import { isUnanswered } from './leaderless.ts';

/** Between two tries to connect, in milliseconds: doubled up to the second, with up to half taken off at random. */
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

/** So long after the set was last the bucket's it is not doubled, in milliseconds: a cluster is finding a new leader. */
const RECOVERY_MS = 30_000;

/** How often a bucket that is not there, or one that is being read, is asked for, in milliseconds. */
const LOOK_MS = 2_000;

/**
 * How often the bucket that is followed is asked how far it goes, in milliseconds. A watcher may have lost its consumer
 * with the server that led it, and hears of it from the client library only after two heartbeats, 10 s later.
 */
const FOLLOW_LOOK_MS = 400;

/** A bucket that is ahead for so long, in milliseconds, although nothing comes of it, is read anew. */
const STUCK_MS = 5_000;

/** Changes that are fetched one by one, between two looks: each is a question. What is more comes by the watcher. */
const CATCH_UP_MAX = 256;

/** For an answer about the bucket, and for the server's word that it lives; milliseconds. */
const ASK_MS = 1_500;

/** How long a server that lives may say nothing of the bucket, in milliseconds, before another one is asked. */
const LEADERLESS_MS = 15_000;

/**
 * Between two readings of the whole bucket: what expires there by the bucket's own age limit vanishes without a message.
 * At least so many milliseconds, and at least so many times as long as a reading takes (a million entries: some seconds).
 */
const RESCAN_MIN_MS = 30_000;
const RESCAN_FACTOR = 50;

export class DenyFeed {
  readonly #set: DenySet;
  readonly #source: DenySource;
  readonly #log: Log;
  #cursor: DenyCursor | null;
  #isStopped = false;
  #end: () => void = () => {};
  #done: Promise<void> = Promise.resolve();
  #connection: NatsConnection | null = null;
  /** What the log said last, so that it says each change once. */
  #told: 'nothing' | 'synced' | 'lost' | 'missing' = 'nothing';
  /** When the set was last known to be the bucket's; milliseconds of `Date.now()`. */
  syncedAtMs: number | null = null;
  /** Whether the first session ended before anything was known: NATS is not there, or refuses. */
  beganAlone = false;
  #rescanMs = 0;

  /** @param cursor up to where the set is true already (a snapshot's), or null */
  constructor(set: DenySet, source: DenySource, log: Log, cursor: DenyCursor | null) {
    this.#set = set;
    this.#source = source;
    this.#log = log;
    this.#cursor = cursor;
  }

  /** Up to where the set is true; null when nothing is known. */
  get cursor(): DenyCursor | null {
    return this.#cursor;
  }

  /** Whether it is known how things stand: synced, no bucket, or no NATS. */
  get hasTold(): boolean {
    return this.#told !== 'nothing';
  }

  get connected(): boolean {
    return this.#connection !== null;
  }

  /** The one connection of the process to NATS, while it stands; it may be closed at any moment. */
  get connection(): NatsConnection | null {
    return this.#connection;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#end();
    await this.#done;
  }

  async #run(): Promise<void> {
    let backoffMs = BACKOFF_MIN_MS;
    while (!this.#isStopped) {
      const reason = await this.#session(() => {
        backoffMs = BACKOFF_MIN_MS;
      });
      this.#connection = null;
      if (this.#isStopped) return;
      if (this.#told === 'nothing') this.beganAlone = true;
      const natsUrl = this.#source.urls.join(',');
      if (this.#told !== 'lost')
        this.#log.write('warn', 'nats_lost', { reason, nats_url: natsUrl });
      this.#told = 'lost';
      await this.#sleep(backoffMs * (1 - Math.random() / 2));
      const isRecent = this.syncedAtMs !== null && Date.now() - this.syncedAtMs < RECOVERY_MS;
      if (!isRecent) backoffMs = Math.min(BACKOFF_MAX_MS, backoffMs * 2);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /**
   * Connects, and follows the bucket until anything goes wrong.
   * @param synced called when the set has become the bucket's
   * @returns why it ended
   */
  async #session(synced: () => void): Promise<string> {
    let bucket: DenyBucket | null = null;
    try {
      bucket = await DenyBucket.connect(this.#source);
      const stopped = new Promise<void>((resolve) => {
        this.#end = resolve;
      });
      this.#connection = bucket.connection;
      this.#log.write('debug', 'nats_connected', { server: bucket.server });
      await Promise.race([stopped, this.#follow(bucket, synced), bucket.closed()]);
      return 'stopped';
    } catch (error) {
      return reasonOf(error);
    } finally {
      await bucket?.close();
    }
  }

  async #follow(bucket: DenyBucket, synced: () => void): Promise<void> {
    const info = await this.#bucketInfo(bucket);
    const isKnown = this.#cursor !== null && resumes(this.#cursor, info, this.#set.size);
    const watch = new DenyWatch(bucket, (change) => this.#tell(change));
    if (!isKnown) watch.take(await this.#rescan(bucket, info, null));
    let rescanAtMs = performance.now() + this.#rescanDelayMs();
    // Up to where the set was at the last look, when the bucket was ahead; and since when it has been there.
    let behindAt = -1;
    let behindSinceMs = 0;
    for (let now = info; ; now = await this.#ask(bucket)) {
      const isStuck = behindAt >= 0 && performance.now() - behindSinceMs > STUCK_MS;
      const { cursor } = this;
      if (cursor === null || isStuck || !continues(cursor, now, this.#set.size)) {
        watch.take(await this.#rescan(bucket, now, watch.following));
      } else if (performance.now() >= rescanAtMs) {
        watch.take(await this.#rescan(bucket, now, watch.following));
        rescanAtMs = performance.now() + this.#rescanDelayMs();
      } else if (behindAt === cursor.revision || watch.following === null) {
        // The watcher may have lost its consumer with the server that held it.
        if (behindAt === cursor.revision) watch.drop();
        await this.#catchUp(bucket);
      }
      // The revision that it had when it was asked: whatever came up to there has been applied.
      const revision = this.#cursor?.revision ?? 0;
      if (revision >= now.state.last_seq) {
        behindAt = -1;
        synced();
        this.#tellSynced(isKnown ? 'resumed' : 'read');
      } else if (revision !== behindAt) {
        behindSinceMs = performance.now();
        behindAt = revision;
      }
      watch.keep(revision + 1);
      await pause(FOLLOW_LOOK_MS);
    }
  }

  /** Applies what the bucket holds behind the cursor: what a watcher would tell, and cannot just now. */
  async #catchUp(bucket: DenyBucket): Promise<void> {
    try {
      for (let count = 0; count < CATCH_UP_MAX; count++) {
        const change = await bucket.next(this.#cursor?.revision ?? 0);
        if (change === null) return;
        this.#tell(change);
      }
    } catch (error) {
      // A bucket without direct access, or nobody answers: the watcher will tell.
      if (!(error instanceof Error)) throw error;
    }
  }

  /** @throws Error when it is not a cluster that looks for its leader, but something else that keeps it from answering */
  async #ask(bucket: DenyBucket): Promise<StreamInfo> {
    const giveUpAtMs = performance.now() + LEADERLESS_MS;
    for (;;) {
      try {
        return await bucket.info(ASK_MS);
      } catch (error) {
        if (!isUnanswered(error) || performance.now() >= giveUpAtMs) throw error;
        await bucket.ping(ASK_MS);
      }
    }
  }

  /** What the bucket is; waits for it where it does not exist yet. */
  async #bucketInfo(bucket: DenyBucket): Promise<StreamInfo> {
    for (;;) {
      try {
        return await this.#ask(bucket);
      } catch (error) {
        if (reasonOf(error) !== NO_BUCKET) throw error;
        if (this.#told !== 'missing')
          this.#log.write('warn', 'deny_bucket_missing', { bucket: this.#source.bucket });
        this.#told = 'missing';
        await pause(LOOK_MS);
      }
    }
  }

  #rescanDelayMs(): number {
    const delayMs = Math.max(RESCAN_MIN_MS, this.#rescanMs * RESCAN_FACTOR);
    return delayMs * (1 + Math.random() / 10);
  }

  #tellSynced(how: string): void {
    this.syncedAtMs = Date.now();
    if (this.#told === 'synced') return;
    this.#told = 'synced';
    this.#log.write('info', 'deny_set_synced', { how, entries: this.#set.size });
  }

  /** A change behind the cursor; one that is known already is passed over. */
  #tell(change: DenyChange): void {
    const { cursor } = this;
    if (cursor === null || change.revision <= cursor.revision) return;
    this.#apply(change);
    this.#cursor = { ...cursor, revision: change.revision };
    const { key, operation, revision } = change;
    this.#log.write('debug', 'deny_changed', { key, operation, revision });
  }

  /**
   * Reads the whole bucket beside the set that counts, and lets it count once it is whole and not behind.
   * @param live what follows meanwhile; it is stopped when the new one has taken over
   */
  async #rescan(bucket: DenyBucket, info: StreamInfo, live: Following | null): Promise<Following> {
    const beganMs = performance.now();
    const { created } = info;
    let rescan: DenyRescan | null = this.#set.rescan();
    // Whatever was there when the bucket was asked is part of the reading.
    let revision = info.state.last_seq;
    let told = 0;
    let toldBefore = -1;
    const following = await bucket.watch(null, (entry) => {
      told++;
      revision = Math.max(revision, entry.revision);
      if (rescan === null) {
        this.#tell(entry);
        return;
      }
      const subject = denySubject(entry.key);
      if (subject !== null) rescan.apply(subject, valueIn(entry));
    });
    try {
      let isSeeded = false;
      void following.seeded.then(() => {
        isSeeded = true;
      });
      while (!isSeeded) {
        await Promise.race([following.seeded, following.ended, pause(LOOK_MS)]);
        const now = await bucket.info();
        // What was counted on may be gone: the library would wait for it for ever.
        if (now.created !== created || (!isSeeded && told === toldBefore))
          throw new Error('the bucket changed while it was read');
        toldBefore = told;
      }
      // The old follower may be ahead by what has just been written; the new one gets it too, in a moment.
      const target = sameBucket(this.#cursor, created) ? (this.#cursor?.revision ?? 0) : 0;
      const deadline = performance.now() + REQUEST_MS;
      while (live !== null && revision < target && rescan.isAlive) {
        if (performance.now() > deadline)
          throw new Error('a new watcher is not told what the old one was');
        await Promise.race([following.ended, pause(1)]);
      }
      if (!rescan.isAlive) throw new Error('the set was compacted while it was read anew');
      live?.stop();
      rescan.commit();
      rescan = null;
      this.#cursor = { bucketCreated: created, revision };
      this.#rescanMs = performance.now() - beganMs;
      const read = { entries: this.#set.size, revision, took_ms: Math.round(this.#rescanMs) };
      this.#log.write('debug', 'deny_set_read', read);
      if (this.#set.overflow > 0)
        this.#log.write('error', 'deny_set_full', { left_out: this.#set.overflow });
      return following;
    } catch (error) {
      following.stop();
      throw error;
    }
  }

  #apply(entry: DenyChange): void {
    const subject = denySubject(entry.key);
    if (subject !== null) this.#set.apply(subject, valueIn(entry));
  }
}

/** Whether what is known up to the cursor is still what this bucket holds, so that only what follows is missing. */
function continues(cursor: DenyCursor, { created, state }: StreamInfo, entries: number): boolean {
  // Every entry needs a message of its own: with fewer, some were purged without a marker.
  return (
    sameBucket(cursor, created) && state.last_seq >= cursor.revision && state.messages >= entries
  );
}

/** The same behind a gap: what was written in it may be gone from the front already, markers of deleted keys with it. */
function resumes(cursor: DenyCursor, info: StreamInfo, entries: number): boolean {
  return continues(cursor, info, entries) && info.state.first_seq <= cursor.revision + 1;
}

function sameBucket(cursor: DenyCursor | null, created: string): boolean {
  return cursor?.bucketCreated === created;
}

const DECODER = new TextDecoder();

/** Null when the entry lifts the hold. */
function valueIn(entry: DenyChange) {
  return entry.operation === 'PUT' ? denyValue(DECODER.decode(entry.value)) : null;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
