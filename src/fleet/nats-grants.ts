/**
 * Grants in a JetStream KV bucket, over the process's one connection. Plain KV as nats-server 2.9 has it: a write that stands on a
 * revision is the compare-and-swap, no watcher is needed, and nothing expires but with the bucket's age limit.
 */

import type { KV, NatsConnection } from 'nats';
import type { Log } from '../outlet/log.ts';
import type { GrantStore } from './grant-store.ts';

/** A month's window, and as long again for whoever wants to read what was granted; milliseconds. */
const KEPT_MS = 62 * 24 * 3_600_000;

/** For an answer of the server, in milliseconds. */
const REQUEST_MS = 2_000;

/** Between two tries to open the bucket, in milliseconds. */
const RETRY_MS = 500;

/** "wrong last sequence" (nats-server, server/errors.json): somebody else was faster. */
const WRONG_REVISION = 10_071;

export class NatsGrants implements GrantStore {
  readonly #bucket: string;
  readonly #connection: () => NatsConnection | null;
  readonly #log: Log;
  #kv: KV | null = null;
  /** Whose bucket it is. */
  #opened: NatsConnection | null = null;
  #isOpening = false;
  #timer: NodeJS.Timeout | null = null;
  /** What the log said last. */
  #told: 'nothing' | 'shared' | 'lost' = 'nothing';

  /** @param bucket the deny-set's: this one stands beside it. @param connection the process's own, while there is one */
  constructor(bucket: string, connection: () => NatsConnection | null, log: Log) {
    this.#bucket = `${bucket}-fleet`;
    this.#connection = connection;
    this.#log = log;
  }

  get isReachable(): boolean {
    return this.#kv !== null && this.#connection() === this.#opened;
  }

  /** Whether it is known how things stand: the bucket is open, or is out of reach. */
  get hasTold(): boolean {
    return this.#told !== 'nothing';
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), RETRY_MS);
    this.#look();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  async read(key: string): Promise<{ readonly text: string | null; readonly revision: number }> {
    const entry = await this.#ask((kv) => kv.get(key));
    if (entry === null) return { text: null, revision: 0 };
    const { operation, revision } = entry;
    return { text: operation === 'PUT' ? entry.string() : null, revision };
  }

  async write(key: string, text: string, revision: number): Promise<number | null> {
    return await this.#ask((kv) =>
      kv.put(key, text, { previousSeq: revision }).catch((error: unknown) => {
        if (isRefused(error)) return null;
        throw error;
      }),
    );
  }

  async #ask<Answer>(question: (kv: KV) => Promise<Answer>): Promise<Answer> {
    const kv = this.#kv;
    if (kv === null) throw new Error('the bucket is out of reach');
    try {
      return await question(kv);
    } catch (error) {
      // Whatever it was, it is asked whether it is there before it is asked for more.
      if (this.#kv === kv) this.#lose(error);
      throw error;
    }
  }

  #look(): void {
    const connection = this.#connection();
    if (connection === null) {
      if (this.#kv !== null) this.#lose(new Error('NATS is away'));
      return;
    }
    if (this.#kv !== null && this.#opened === connection) return;
    this.#kv = null;
    if (this.#isOpening) return;
    this.#isOpening = true;
    void this.#open(connection).finally(() => {
      this.#isOpening = false;
    });
  }

  async #open(connection: NatsConnection): Promise<void> {
    try {
      const { openBucket } = await import('../deny/leaderless.ts');
      const kv = await openBucket(connection, this.#bucket, KEPT_MS, REQUEST_MS);
      await kv.get('any');
      this.#kv = kv;
      this.#opened = connection;
      if (this.#told === 'lost') this.#log.write('info', 'budget_grants_reachable_again');
      this.#told = 'shared';
    } catch (error) {
      this.#lose(error);
    }
  }

  #lose(error: unknown): void {
    this.#kv = null;
    const reason = error instanceof Error ? error.message : 'unknown';
    if (this.#told !== 'lost') this.#log.write('warn', 'budget_grants_out_of_reach', { reason });
    this.#told = 'lost';
  }
}

function isRefused(error: unknown): boolean {
  const { api_error: reason } = error as { readonly api_error?: { readonly err_code?: number } };
  return reason?.err_code === WRONG_REVISION;
}
