/**
 * Keeps the deny-set in step with a JetStream KV bucket: reads it whole, then follows it, and over every outage ends up
 * with what the bucket says. It never takes anything away from the relay: while NATS is not there, the last known set
 * stays in force.
 *
 * Decision: one session is one connection, and any doubt ends the session. The client library could reconnect and resume
 * by itself, but what it resumes on may be another bucket of the same name, with other revisions; a session begins by
 * asking who the bucket is and how far it goes, and then knows whether to resume or to read it anew.
 */

import { readFileSync } from 'node:fs';
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type JetStreamManager,
  type KV,
  type KvEntry,
  type NatsConnection,
  type QueuedIterator,
  type StreamInfo,
} from 'nats';
import { denySubject, denyValue } from './deny-entry.ts';
import type { DenyCursor, DenyRescan, DenySet } from './deny-set.ts';
import type { Log } from './log.ts';

/** Where the deny-set comes from. */
export interface DenySource {
  readonly urls: readonly string[];
  /** Read again at each connect, so that credentials may be replaced. */
  readonly credsFile: string | null;
  readonly bucket: string;
}

/** Between two tries to connect, in milliseconds: doubled up to the second, with up to half taken off at random. */
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

/** For a connect, and for one question to the server. */
const REQUEST_MS = 5_000;

/** A connection that was cut without a word is noticed after two of these. */
const PING_MS = 5_000;

/** How often the bucket is asked whether it is still the same, in milliseconds. */
const LOOK_MS = 2_000;

/**
 * Between two readings of the whole bucket: what expires there by the bucket's own age limit vanishes without a message.
 * At least so many milliseconds, and at least so many times as long as a reading takes (a million entries: some seconds).
 */
const RESCAN_MIN_MS = 30_000;
const RESCAN_FACTOR = 50;

/** Text of the error that ends a session whose bucket is not there. */
const NO_BUCKET = 'bucket not found';

export class DenyFeed {
  readonly #set: DenySet;
  readonly #source: DenySource;
  readonly #log: Log;
  #cursor: DenyCursor | null;
  #isStopped = false;
  #end: () => void = () => {};
  #done: Promise<void> = Promise.resolve();
  #connected = false;
  /** What the log said last, so that it says each change once. */
  #told: 'nothing' | 'synced' | 'lost' | 'missing' = 'nothing';
  /** When the set was last known to be the bucket's; milliseconds of `Date.now()`. */
  syncedAtMs: number | null = null;
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

  get connected(): boolean {
    return this.#connected;
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
      this.#connected = false;
      if (this.#isStopped) return;
      if (this.#told !== 'lost') this.#log.write('warn', 'nats_lost', { reason });
      this.#told = 'lost';
      await this.#sleep(backoffMs * (1 - Math.random() / 2));
      backoffMs = Math.min(BACKOFF_MAX_MS, backoffMs * 2);
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
    let connection: NatsConnection | null = null;
    try {
      connection = await connect(this.#options());
      const stopped = new Promise<void>((resolve) => {
        this.#end = resolve;
      });
      const session = new Session(connection, this.#source.bucket);
      await session.open();
      this.#connected = true;
      await Promise.race([
        stopped,
        this.#follow(session, synced),
        connection.closed().then((error) => {
          throw error ?? new Error('the connection was closed');
        }),
      ]);
      return 'stopped';
    } catch (error) {
      return reasonOf(error);
    } finally {
      // Not drain(): a server that does not answer would be waited for.
      await connection?.close().catch(() => {});
    }
  }

  #options(): ConnectionOptions {
    const { urls, credsFile } = this.#source;
    return {
      servers: [...urls],
      name: 'sluice',
      timeout: REQUEST_MS,
      reconnect: false,
      pingInterval: PING_MS,
      maxPingOut: 1,
      ...(urls.some((url) => url.startsWith('tls:')) ? { tls: {} } : {}),
      ...(credsFile === null ? {} : { authenticator: credsAuthenticator(readFileSync(credsFile)) }),
    };
  }

  async #follow(session: Session, synced: () => void): Promise<void> {
    const info = await this.#bucketInfo(session);
    const isKnown = this.#cursor !== null && resumes(this.#cursor, info, this.#set.size);
    let live: Following;
    if (isKnown && this.#cursor !== null) {
      live = await this.#resume(session, this.#cursor);
    } else {
      live = await this.#rescan(session, info, null);
    }
    this.#tellSynced(isKnown ? 'resumed' : 'read');
    synced();
    let rescanAtMs = performance.now() + this.#rescanDelayMs();
    for (;;) {
      await Promise.race([live.ended, pause(LOOK_MS)]);
      const now = await session.info();
      const { cursor } = this;
      if (cursor === null || !continues(cursor, now, this.#set.size)) {
        live = await this.#rescan(session, now, live);
        this.#tellSynced('read');
      } else if (performance.now() >= rescanAtMs) {
        live = await this.#rescan(session, now, live);
        rescanAtMs = performance.now() + this.#rescanDelayMs();
      }
      // The revision that it had when it was asked: whatever came up to there has been applied.
      if ((this.#cursor?.revision ?? 0) >= now.state.last_seq) this.syncedAtMs = Date.now();
    }
  }

  /** What the bucket is; waits for it where it does not exist yet. */
  async #bucketInfo(session: Session): Promise<StreamInfo> {
    for (;;) {
      try {
        return await session.info();
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

  /** Follows from the cursor on. */
  async #resume(session: Session, cursor: DenyCursor): Promise<Following> {
    return await session.watch(cursor.revision + 1, (entry) => {
      this.#apply(entry);
      this.#cursor = { ...cursor, revision: entry.revision };
    });
  }

  /**
   * Reads the whole bucket beside the set that counts, and lets it count once it is whole and not behind.
   * @param live what follows meanwhile; it is stopped when the new one has taken over
   */
  async #rescan(session: Session, info: StreamInfo, live: Following | null): Promise<Following> {
    const beganMs = performance.now();
    const { created } = info;
    let rescan: DenyRescan | null = this.#set.rescan();
    // Whatever was there when the bucket was asked is part of the reading.
    let revision = info.state.last_seq;
    const following = await session.watch(null, (entry) => {
      revision = Math.max(revision, entry.revision);
      if (rescan === null) {
        this.#apply(entry);
        this.#cursor = { bucketCreated: created, revision };
        return;
      }
      const subject = denySubject(entry.key);
      if (subject !== null) rescan.apply(subject, valueIn(entry));
    });
    try {
      await Promise.race([following.seeded, following.ended]);
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
      if (this.#set.overflow > 0)
        this.#log.write('error', 'deny_set_full', { left_out: this.#set.overflow });
      return following;
    } catch (error) {
      following.stop();
      throw error;
    }
  }

  #apply(entry: KvEntry): void {
    const subject = denySubject(entry.key);
    if (subject !== null) this.#set.apply(subject, valueIn(entry));
  }
}

/** One watcher of the bucket. */
interface Following {
  /** Resolves when everything that was there at its start has been told. */
  readonly seeded: Promise<void>;
  /** Rejects when it can tell nothing more; never resolves. */
  readonly ended: Promise<never>;
  stop(): void;
}

/** One connection, and the bucket behind it. */
class Session {
  readonly #connection: NatsConnection;
  readonly #bucket: string;
  #manager: JetStreamManager | null = null;
  #kv: KV | null = null;

  constructor(connection: NatsConnection, bucket: string) {
    this.#connection = connection;
    this.#bucket = bucket;
  }

  async open(): Promise<void> {
    this.#manager = await this.#connection.jetstreamManager({ timeout: REQUEST_MS });
    const jetstream = this.#connection.jetstream({ timeout: REQUEST_MS });
    this.#kv = await jetstream.views.kv(this.#bucket, { bindOnly: true, timeout: REQUEST_MS });
  }

  async info(): Promise<StreamInfo> {
    if (this.#manager === null) throw new Error('not open');
    return await this.#manager.streams.info(`KV_${this.#bucket}`);
  }

  /**
   * @param from the first revision to tell, or null for the last one of each key
   * @param tell called in the order of revisions
   */
  async watch(from: number | null, tell: (entry: KvEntry) => void): Promise<Following> {
    if (this.#kv === null) throw new Error('not open');
    let told = 0;
    let initial = Number.POSITIVE_INFINITY;
    let seed: () => void = () => {};
    const seeded = new Promise<void>((resolve) => {
      seed = resolve;
    });
    // The library says that all was sent when it has received all, which may still wait in its queue.
    let entries: QueuedIterator<KvEntry> | null = null;
    let isInitialKnown = false;
    entries = await this.#kv.watch({
      key: '>',
      ...(from === null ? {} : { resumeFromRevision: from }),
      initializedFn: () => {
        isInitialKnown = true;
        if (entries !== null) initial = entries.getReceived();
        if (told >= initial) seed();
      },
    });
    if (isInitialKnown && initial === Number.POSITIVE_INFINITY) {
      initial = entries.getReceived();
      if (told >= initial) seed();
    }
    const list = entries;
    const read = async (): Promise<never> => {
      for await (const entry of list) {
        tell(entry);
        if (++told >= initial) seed();
      }
      throw new Error('the watcher ended');
    };
    const ended = read();
    // Whoever waits for it hears of it; nobody else need to.
    ended.catch(() => {});
    return { seeded, ended, stop: () => list.stop() };
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
function valueIn(entry: KvEntry) {
  return entry.operation === 'PUT' ? denyValue(DECODER.decode(entry.value)) : null;
}

/** One line, without addresses or credentials: the library's messages hold neither. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return error.message.includes('stream not found') ? NO_BUCKET : error.message;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
