import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
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
import type { DenySource } from './deny-source.ts';

/** For a connect, and for one question to the server. */
export const REQUEST_MS = 5_000;

/** A connection that was cut without a word is noticed after two of these. */
const PING_MS = 5_000;

/** What `reasonOf` says of a bucket that is not there. */
export const NO_BUCKET = 'bucket not found';

function optionsOf({ urls, credsFile, caFile }: DenySource): ConnectionOptions {
  const ca = caFile === null ? [] : [...rootCertificates, readFileSync(caFile, 'utf8')];
  const tls = ca.length === 0 ? {} : { ca: ca.join('\n') };
  return {
    servers: [...urls],
    name: 'sluice',
    timeout: REQUEST_MS,
    reconnect: false,
    pingInterval: PING_MS,
    maxPingOut: 1,
    ...(urls.some((url) => url.startsWith('tls:')) ? { tls } : {}),
    ...(credsFile === null ? {} : { authenticator: credsAuthenticator(readFileSync(credsFile)) }),
  };
}

/** One watcher of the bucket. */
export interface Following {
  /** Resolves when everything that was there at its start has been told. */
  readonly seeded: Promise<void>;
  /** Rejects when it can tell nothing more; never resolves. */
  readonly ended: Promise<never>;
  stop(): void;
}

/** One connection, and the bucket behind it. */
export class DenyBucket {
  readonly #connection: NatsConnection;
  readonly #name: string;
  readonly #manager: JetStreamManager;
  /** Whether or not the bucket exists. */
  readonly kv: KV;

  private constructor(connection: NatsConnection, name: string, manager: JetStreamManager, kv: KV) {
    this.#connection = connection;
    this.#name = name;
    this.#manager = manager;
    this.kv = kv;
  }

  /**
   * @param create makes the bucket where there is none
   * @throws Error of the library; `reasonOf` makes a line of it
   */
  static async connect(source: DenySource, create = false): Promise<DenyBucket> {
    const connection = await connect(optionsOf(source));
    try {
      const manager = await connection.jetstreamManager({ timeout: REQUEST_MS });
      const jetstream = connection.jetstream({ timeout: REQUEST_MS });
      const options = { bindOnly: !create, timeout: REQUEST_MS };
      const kv = await jetstream.views.kv(source.bucket, options);
      return new DenyBucket(connection, source.bucket, manager, kv);
    } catch (error) {
      await connection.close().catch(() => {});
      throw error;
    }
  }

  /** Rejects when the connection is gone. */
  async closed(): Promise<never> {
    const error = await this.#connection.closed();
    throw error ?? new Error('the connection was closed');
  }

  /** Not drain(): a server that does not answer would be waited for. */
  async close(): Promise<void> {
    await this.#connection.close().catch(() => {});
  }

  /** @throws Error, of which `reasonOf` makes NO_BUCKET when there is none */
  async info(): Promise<StreamInfo> {
    return await this.#manager.streams.info(`KV_${this.#name}`);
  }

  /**
   * @param from the first revision to tell, or null for the last one of each key
   * @param tell called in the order of revisions
   */
  async watch(from: number | null, tell: (entry: KvEntry) => void): Promise<Following> {
    let told = 0;
    let initial = Number.POSITIVE_INFINITY;
    let seed: () => void = () => {};
    const seeded = new Promise<void>((resolve) => {
      seed = resolve;
    });
    // The library says that all was sent when it has received all, which may still wait in its queue.
    let entries: QueuedIterator<KvEntry> | null = null;
    let isInitialKnown = false;
    entries = await this.kv.watch({
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
      let last = 0;
      for await (const entry of list) {
        // The library may lose its consumer and begin another one at the front.
        if (entry.revision > last) tell(entry);
        last = Math.max(last, entry.revision);
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

/** What the library says where nobody answers for JetStream: the status of "no responders". */
const NO_JETSTREAM = '503';

/** One line, without addresses or credentials: the library's messages hold neither. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (error.message === NO_JETSTREAM) return 'JetStream is off there: nats-server -js turns it on';
  return error.message.includes('stream not found') ? NO_BUCKET : error.message;
}
