/**
 * Stored state among the nodes of a fleet: what one node's answers brought, every node has a moment later, by a JetStream KV
 * bucket beside the deny-set's. Beside it, because the deny-set's bucket is read whole every half minute.
 *
 * Decision: told to all, and asked for only by who names what this node does not know. It asks for no id: it asks whether
 * the node was told everything (`fleet-progress.ts`), which is one question for all who wait, guessed ids included.
 *
 * Ids stand there as they do in the table: hashes under one secret, which the first node puts into the bucket. A node that
 * began with another one takes that, and forgets what it had under its own.
 */

import type { KV, KvEntry, NatsConnection, QueuedIterator } from 'nats';
import type { Log } from '../outlet/log.ts';
import { FleetProgress } from './fleet-progress.ts';
import { KEPT_SECONDS, RECORD_BYTES, renews, SECRET_BYTES } from './state-table.ts';

/** Between two tries on a connection that stands, in milliseconds: doubled up to the second. */
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

/** How often it is looked whether there is a connection, in milliseconds: the deny-set's is everybody's. */
const LOOK_MS = 250;

/** For an answer of the server. */
const REQUEST_MS = 5_000;

/** Records that wait for the bucket: 4 MiB. Beyond it they stay this node's own, counted. */
const WAITING_MAX = 95_000;

/** Records that are on their way at the same time. */
const PUBLISHED_AT_ONCE = 64;

/** The bucket forgets what nobody writes again: a secret older than this is written anew, in milliseconds. */
const RENEW_SECRET_MS = 24 * 3_600_000;
/** It is looked at so many times in that time: one connection may stand for months. */
const RENEW_LOOKS = 24;

const SECRET_KEY = 'secret';
const RECORDS = 'r.';
/** Of a record, what its key is made of: print, and provider. */
const PRINT_BYTES = 16;
const PROVIDER_AT = 24;

/** "wrong last sequence" (nats-server, server/errors.json): somebody has written it already. */
const WRITTEN_ALREADY = 10_071;

/** What a fleet tells its node. */
export interface FleetMember {
  readonly secret: Buffer;
  /** Everything under the node's own secret is forgotten. */
  adopt(secret: Buffer): void;
  /** A record of any node, its own ones too. */
  learn(record: Buffer): void;
}

export class StateFleet {
  readonly #bucket: string;
  readonly #member: FleetMember;
  readonly #log: Log;
  readonly #connection: () => NatsConnection | null;
  readonly #renewMs: number;
  #waiting: Uint8Array[] = [];
  #isStopped = false;
  #wake: () => void = () => {};
  #done: Promise<void> = Promise.resolve();
  /** Up to where which bucket was told. */
  readonly #progress = new FleetProgress();
  #created = '';
  #isTold = true;
  /** Records that never left this node. */
  lost = 0;

  /**
   * @param bucket the deny-set's
   * @param connection the process's own, while there is one
   * @param renewMs how old the secret becomes in the bucket
   */
  constructor(
    bucket: string,
    member: FleetMember,
    log: Log,
    connection: () => NatsConnection | null,
    renewMs = RENEW_SECRET_MS,
  ) {
    this.#bucket = `${bucket}-state`;
    this.#member = member;
    this.#log = log;
    this.#connection = connection;
    this.#renewMs = renewMs;
  }

  start(): void {
    this.#done = this.#run();
  }

  /** @param records whole ones, for the other nodes */
  add(records: Uint8Array): void {
    for (let at = 0; at < records.length; at += RECORD_BYTES) {
      if (this.#waiting.length >= WAITING_MAX) this.lost++;
      else this.#waiting.push(records.subarray(at, at + RECORD_BYTES));
    }
    this.#wake();
  }

  /** @returns whether this node was told everything that the bucket had when it was asked; false: nobody can say */
  caughtUp(): Promise<boolean> {
    return this.#progress.caughtUp();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#done;
  }

  async #run(): Promise<void> {
    let backoffMs = BACKOFF_MIN_MS;
    while (!this.#isStopped) {
      const connection = this.#connection();
      if (connection === null) {
        await this.#sleep(LOOK_MS);
        continue;
      }
      const reason = await this.#session(connection, () => {
        backoffMs = BACKOFF_MIN_MS;
        if (!this.#isTold) this.#log.write('info', 'stored_state_shared_again');
        this.#isTold = true;
      });
      if (this.#isStopped) return;
      if (this.#isTold) this.#log.write('warn', 'stored_state_not_shared', { reason });
      this.#isTold = false;
      await this.#sleep(backoffMs * (1 - Math.random() / 2));
      backoffMs = Math.min(BACKOFF_MAX_MS, backoffMs * 2);
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        if (!this.#isStopped) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** @returns why it ended */
  async #session(connection: NatsConnection, joined: () => void): Promise<string> {
    const { reasonOf } = await import('../deny/deny-bucket.ts');
    let isOver = false;
    let entries: QueuedIterator<KvEntry> | null = null;
    try {
      const { openBucket } = await import('../deny/leaderless.ts');
      const kv = await openBucket(connection, this.#bucket, KEPT_SECONDS * 1_000, REQUEST_MS);
      await this.#joinSecret(kv);
      joined();
      const gone = connection.closed().then((error) => {
        throw error ?? new Error('the connection was closed');
      });
      entries = await this.#watch(kv);
      this.#progress.joined(async () => (await kv.status()).streamInfo.state.last_seq);
      const learning = this.#learn(entries);
      const telling = this.#tellAll(kv, () => isOver);
      const renewing = this.#renew(kv, () => isOver);
      for (const one of [gone, learning, telling, renewing]) one.catch(() => {});
      await Promise.race([gone, learning, telling, renewing]);
      return 'stopped';
    } catch (error) {
      return reasonOf(error);
    } finally {
      // The connection is not ours to close: others go on with it.
      isOver = true;
      this.#progress.left();
      this.#wake();
      entries?.stop();
    }
  }

  /** Keeps the secret in the bucket; ends the session when it has become another one. */
  async #renew(kv: KV, isOver: () => boolean): Promise<never> {
    for (;;) {
      await pause(this.#renewMs / RENEW_LOOKS);
      if (isOver()) throw new Error('the session is over');
      if (await this.#joinSecret(kv)) throw new Error('the secret became another one');
    }
  }

  /**
   * The bucket's secret is everybody's; the first node's becomes it.
   * @returns whether it is another one than this node's was
   */
  async #joinSecret(kv: KV): Promise<boolean> {
    let entry = await kv.get(SECRET_KEY);
    if (entry === null || entry.length === 0) {
      await kv.create(SECRET_KEY, this.#member.secret).catch((error: unknown) => {
        if (!isWritten(error)) throw error;
      });
      entry = await kv.get(SECRET_KEY);
    }
    if (entry === null) throw new Error('the bucket keeps no secret');
    const secret = Buffer.from(entry.value);
    if (secret.length !== SECRET_BYTES) throw new Error('the secret in the bucket is none');
    const isOther = !secret.equals(this.#member.secret);
    if (isOther) {
      this.#member.adopt(secret);
      // What waits is under a secret that nobody has; what was told under this one is to be told again.
      this.#waiting = [];
      this.#progress.reset();
    }
    if (Date.now() - entry.created.getTime() > this.#renewMs) {
      await kv.update(SECRET_KEY, secret, entry.revision).catch((error: unknown) => {
        // By another node.
        if (!isWritten(error)) throw error;
      });
    }
    return isOther;
  }

  async #watch(kv: KV): Promise<QueuedIterator<KvEntry>> {
    const { streamInfo } = await kv.status();
    if (streamInfo.created !== this.#created) this.#progress.reset();
    this.#created = streamInfo.created;
    const from = this.#progress.revision;
    // The secret too: who was told the bucket's last revision was told all of it.
    return await kv.watch(from === 0 ? {} : { resumeFromRevision: from + 1 });
  }

  async #learn(entries: QueuedIterator<KvEntry>): Promise<never> {
    for await (const { key, operation, value, revision } of entries) {
      if (operation === 'PUT' && key.startsWith(RECORDS)) this.#member.learn(Buffer.from(value));
      this.#progress.reached(revision);
    }
    throw new Error('the watcher ended');
  }

  /** Resolves when the node stops and nothing waits, or its session is over. */
  async #tellAll(kv: KV, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const batch = this.#waiting.slice(0, PUBLISHED_AT_ONCE);
      if (batch.length > 0) {
        await Promise.all(batch.map((record) => this.#tell(kv, record)));
        // Unless it is under another secret meanwhile.
        if (this.#waiting[0] === batch[0]) this.#waiting.splice(0, batch.length);
      } else if (this.#isStopped) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  /** Whoever was first keeps the id, in the bucket as in the table; what is used is kept for longer. */
  async #tell(kv: KV, record: Uint8Array): Promise<void> {
    const bytes = Buffer.from(record);
    const print = bytes.toString('hex', 0, PRINT_BYTES);
    const provider = bytes.toString('hex', PROVIDER_AT, PROVIDER_AT + 4);
    const key = `${RECORDS}${print}${provider}`;
    const isNew = await unlessWritten(kv.create(key, bytes));
    if (isNew) return;
    const entry = await kv.get(key);
    if (entry !== null && renews(bytes, Buffer.from(entry.value)))
      await unlessWritten(kv.update(key, bytes, entry.revision));
  }
}

/** @returns false when somebody else was faster */
async function unlessWritten(writing: Promise<number>): Promise<boolean> {
  try {
    await writing;
    return true;
  } catch (error) {
    if (!isWritten(error)) throw error;
    return false;
  }
}

function isWritten(error: unknown): boolean {
  const { api_error: reason } = error as { readonly api_error?: { readonly err_code?: number } };
  return reason?.err_code === WRITTEN_ALREADY;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
