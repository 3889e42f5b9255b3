/**
 * Stored state among the nodes of a fleet: what one node's answers brought, every node has a moment later, by a JetStream KV
 * bucket beside the deny-set's. Beside it, because the deny-set's bucket is read whole every half minute.
 *
 * Decision: told to all, not asked for. A question to the bucket would stand between a request and its provider, and each
 * guessed id would cost one; so a node that has not been told yet says 404, for some milliseconds behind the answer.
 *
 * Ids stand there as they do in the table: hashes under one secret, which the first node puts into the bucket. A node that
 * began with another one takes that, and forgets what it had under its own.
 */

import type { KV, NatsConnection } from 'nats';
import type { DenySource } from '../deny/deny-source.ts';
import type { Log } from '../outlet/log.ts';
import { KEPT_SECONDS, RECORD_BYTES, SECRET_BYTES } from './state-table.ts';

/** Between two tries to connect, in milliseconds: doubled up to the second. */
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 30_000;

/** While the deny-set's connection is down this one is not tried: one of the two looks for a NATS that is gone. */
const LOOK_MS = 250;

/** For a connect, and for an answer of the server. */
const REQUEST_MS = 5_000;

/** Records that wait for the bucket: 4 MiB. Beyond it they stay this node's own, counted. */
const WAITING_MAX = 95_000;

/** Records that are on their way at the same time. */
const PUBLISHED_AT_ONCE = 64;

/** The bucket forgets what nobody writes again: the secret is written anew so often, in milliseconds. */
const RENEW_SECRET_MS = 24 * 3_600_000;

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
  readonly #source: DenySource;
  readonly #member: FleetMember;
  readonly #log: Log;
  readonly #isReachable: () => boolean;
  #waiting: Uint8Array[] = [];
  #isStopped = false;
  #wake: () => void = () => {};
  #done: Promise<void> = Promise.resolve();
  /** Up to where which bucket was told. */
  #revision = 0;
  #created = '';
  #isTold = true;
  /** Records that never left this node. */
  lost = 0;

  /** @param isReachable whether another connection to the same NATS stands */
  constructor(source: DenySource, member: FleetMember, log: Log, isReachable: () => boolean) {
    this.#source = { ...source, bucket: `${source.bucket}-state` };
    this.#member = member;
    this.#log = log;
    this.#isReachable = isReachable;
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

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#done;
  }

  async #run(): Promise<void> {
    let backoffMs = BACKOFF_MIN_MS;
    while (!this.#isStopped) {
      if (!this.#isReachable()) {
        await this.#sleep(LOOK_MS);
        continue;
      }
      const reason = await this.#session(() => {
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
  async #session(joined: () => void): Promise<string> {
    const { natsOptions, reasonOf } = await import('../deny/deny-bucket.ts');
    const { connect } = await import('nats');
    let connection: NatsConnection | null = null;
    try {
      connection = await connect(natsOptions(this.#source));
      const jetstream = connection.jetstream({ timeout: REQUEST_MS });
      const kv = await jetstream.views.kv(this.#source.bucket, {
        history: 1,
        ttl: KEPT_SECONDS * 1_000,
        timeout: REQUEST_MS,
      });
      await this.#joinSecret(kv);
      joined();
      const gone = connection.closed().then((error) => {
        throw error ?? new Error('the connection was closed');
      });
      const learning = this.#learn(kv);
      const telling = this.#tellAll(kv);
      for (const one of [gone, learning, telling]) one.catch(() => {});
      await Promise.race([gone, learning, telling]);
      return 'stopped';
    } catch (error) {
      return reasonOf(error);
    } finally {
      await connection?.close().catch(() => {});
    }
  }

  /** The bucket's secret is everybody's; the first node's becomes it. */
  async #joinSecret(kv: KV): Promise<void> {
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
    if (!secret.equals(this.#member.secret)) {
      this.#member.adopt(secret);
      // What waits is under a secret that nobody has.
      this.#waiting = [];
    }
    if (Date.now() - entry.created.getTime() > RENEW_SECRET_MS) await kv.put(SECRET_KEY, secret);
  }

  async #learn(kv: KV): Promise<never> {
    const { streamInfo } = await kv.status();
    if (streamInfo.created !== this.#created) this.#revision = 0;
    this.#created = streamInfo.created;
    const from = this.#revision;
    const entries = await kv.watch({
      key: `${RECORDS}>`,
      ...(from === 0 ? {} : { resumeFromRevision: from + 1 }),
    });
    for await (const { operation, value, revision } of entries) {
      if (operation === 'PUT') this.#member.learn(Buffer.from(value));
      this.#revision = Math.max(this.#revision, revision);
    }
    throw new Error('the watcher ended');
  }

  /** Resolves when the node stops and nothing waits. */
  async #tellAll(kv: KV): Promise<void> {
    for (;;) {
      const batch = this.#waiting.slice(0, PUBLISHED_AT_ONCE);
      if (batch.length > 0) {
        await Promise.all(batch.map((record) => this.#tell(kv, record)));
        this.#waiting.splice(0, batch.length);
      } else if (this.#isStopped) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  /** Whoever was first keeps the id, in the bucket as in the table. */
  async #tell(kv: KV, record: Uint8Array): Promise<void> {
    const bytes = Buffer.from(record);
    const print = bytes.toString('hex', 0, PRINT_BYTES);
    const provider = bytes.toString('hex', PROVIDER_AT, PROVIDER_AT + 4);
    await kv.create(`${RECORDS}${print}${provider}`, bytes).catch((error: unknown) => {
      if (!isWritten(error)) throw error;
    });
  }
}

function isWritten(error: unknown): boolean {
  const { api_error: reason } = error as { readonly api_error?: { readonly err_code?: number } };
  return reason?.err_code === WRITTEN_ALREADY;
}
