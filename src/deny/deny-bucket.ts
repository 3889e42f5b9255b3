import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
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
import { ASK_AGAIN_MS, askedAgain, openBucket, unasked } from './leaderless.ts';

/** For a connect, and for an answer of the server. */
export const REQUEST_MS = 5_000;

/** For a connect where there are other servers to go to. */
const CONNECT_OF_SEVERAL_MS = 1_500;

/** For one message, which any replica may answer; milliseconds. */
const MESSAGE_MS = 1_000;
const MESSAGE_AGAIN_MS = 200;

/** A connection that was cut without a word is noticed after two of these. */
const PING_MS = 5_000;

/** What `reasonOf` says of a bucket that is not there. */
export const NO_BUCKET = 'bucket not found';

/** How any part of the gateway connects to NATS. */
export function natsOptions({
  urls,
  credsFile,
  caFile,
}: Omit<DenySource, 'bucket'>): ConnectionOptions {
  // Beside all that Node trusts otherwise, NODE_EXTRA_CA_CERTS included: `ca` alone would replace it.
  const ca = caFile === null ? [] : [...getCACertificates('default'), readFileSync(caFile, 'utf8')];
  const tls = ca.length === 0 ? {} : { ca: ca.join('\n') };
  return {
    servers: [...urls],
    name: 'sluice',
    timeout: urls.length > 1 ? CONNECT_OF_SEVERAL_MS : REQUEST_MS,
    reconnect: false,
    pingInterval: PING_MS,
    maxPingOut: 1,
    ...(urls.some((url) => url.startsWith('tls:')) ? { tls } : {}),
    ...(credsFile === null ? {} : { authenticator: credsAuthenticator(readFileSync(credsFile)) }),
  };
}

/** What the bucket tells of a key. */
export type DenyChange = Pick<KvEntry, 'key' | 'operation' | 'revision' | 'value'>;

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
  /** Others of the process may use it too; who opened it closes it. */
  readonly connection: NatsConnection;
  readonly #name: string;
  readonly #manager: JetStreamManager;
  /** Whether or not the bucket exists. */
  readonly kv: KV;

  private constructor(connection: NatsConnection, name: string, manager: JetStreamManager, kv: KV) {
    this.connection = connection;
    this.#name = name;
    this.#manager = manager;
    this.kv = kv;
  }

  /**
   * @param create makes the bucket where there is none
   * @throws Error of the library; `reasonOf` makes a line of it
   */
  static async connect(source: DenySource, create = false): Promise<DenyBucket> {
    const connection = await connect(natsOptions(source));
    try {
      const asked = unasked(REQUEST_MS);
      const manager = await connection.jetstreamManager(asked);
      const kv = create
        ? await openBucket(connection, source.bucket, 0, REQUEST_MS)
        : await connection.jetstream(asked).views.kv(source.bucket, { bindOnly: true });
      return new DenyBucket(connection, source.bucket, manager, kv);
    } catch (error) {
      await connection.close().catch(() => {});
      throw error;
    }
  }

  /** Which of the servers this connection is to. */
  get server(): string {
    return this.connection.getServer();
  }

  /** Rejects when the connection is gone. */
  async closed(): Promise<never> {
    const error = await this.connection.closed();
    throw error ?? new Error('the connection was closed');
  }

  /** Not drain(): a server that does not answer would be waited for. */
  async close(): Promise<void> {
    await this.connection.close().catch(() => {});
  }

  /** @throws Error when the server does not say within `limitMs` that it is there */
  async ping(limitMs: number): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    const silent = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error('the server does not answer')), limitMs);
    });
    await Promise.race([this.connection.flush(), silent]).finally(() => clearTimeout(late));
  }

  /**
   * The change behind a revision, from any replica, without a consumer (NATS ADR-31, direct access).
   * @returns null when there is none
   * @throws Error when none was told
   */
  async next(revision: number): Promise<DenyChange | null> {
    const prefix = `$KV.${this.#name}.`;
    const query = JSON.stringify({ seq: revision + 1, next_by_subj: `${prefix}>` });
    const to = `$JS.API.DIRECT.GET.KV_${this.#name}`;
    // Any replica may be asked, one that is frozen too.
    const { headers, data } = await askedAgain(
      this.connection,
      () => this.connection.request(to, query, { timeout: MESSAGE_MS }),
      MESSAGE_AGAIN_MS,
      MESSAGE_MS,
    );
    if (headers === undefined || headers.hasError) {
      if (headers?.code === NO_MESSAGE) return null;
      throw new Error(headers?.description ?? 'not a message of the bucket');
    }
    const operation = headers.get('KV-Operation');
    return {
      key: headers.get('Nats-Subject').slice(prefix.length),
      operation: operation === 'DEL' || operation === 'PURGE' ? operation : 'PUT',
      revision: Number(headers.get('Nats-Sequence')),
      value: data,
    };
  }

  /**
   * @param limitMs how long it is asked for
   * @throws Error, of which `reasonOf` makes NO_BUCKET when there is none
   */
  async info(limitMs = REQUEST_MS): Promise<StreamInfo> {
    return await askedAgain(
      this.connection,
      () => this.#manager.streams.info(`KV_${this.#name}`),
      ASK_AGAIN_MS,
      limitMs,
    );
  }

  /**
   * @param from the first revision to tell, or null for the last one of each key
   * @param tell called in the order of revisions
   */
  async watch(from: number | null, tell: (change: DenyChange) => void): Promise<Following> {
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

/** The status of a message that is not there. */
const NO_MESSAGE = 404;

function isWithoutJetStream(error: unknown): boolean {
  return error instanceof Error && error.message === NO_JETSTREAM;
}

/** One line, without addresses or credentials: the library's messages hold neither. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  if (isWithoutJetStream(error)) return 'JetStream is off there: nats-server -js turns it on';
  return error.message.includes('stream not found') ? NO_BUCKET : error.message;
}
