import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { Log } from '../outlet/log.ts';
import type { PolicyConfig } from '../policy/policy-settings.ts';
import type { Secret } from '../secret.ts';
import type { PurgeScope, Survey } from './answer-store.ts';
import { CacheCounts, type CacheStart, createCacheCounts } from './cache-counts.ts';
import type { FromCacheThread, ToCacheThread } from './cache-messages.ts';

/** Before a thread that died is replaced, in milliseconds. */
const RESTART_MS = 1_000;

/** Of the thread's young objects, in megabytes: it lives on one message at a time. */
const YOUNG_GENERATION_MB = 16;

/** What of a configuration the cache depends on. */
export interface CacheConfig {
  readonly policy: PolicyConfig;
  /** Of the node's cache, in bytes. */
  readonly cacheMaxBytes: number;
}

/** What of it a restart alone changes. */
interface FixedConfig {
  /** Where answers are kept; null: in the thread's memory. */
  readonly redisUrl: Secret | null;
}

/** Gives a worker its way to the cache's thread. */
type Give = (port: MessagePort) => void;

/** The main thread's side of the cache: its thread, once a policy has a cache, and the workers' ways to it. */
export class CacheKeeper {
  readonly #log: Log;
  readonly #memory = createCacheCounts();
  readonly #workers = new Map<number, Give>();
  readonly #purges = new Map<number, (count: number) => void>();
  readonly #surveys = new Map<number, (survey: Survey | null) => void>();
  readonly #redisUrl: Secret | null;
  #config: CacheConfig;
  #thread: Worker | null = null;
  #calls = 0;
  #isStopping = false;
  readonly counts: CacheCounts;

  constructor(config: CacheConfig & FixedConfig, log: Log) {
    this.#config = config;
    this.#redisUrl = config.redisUrl;
    this.counts = new CacheCounts(this.#memory, config.redisUrl !== null);
    this.#log = log;
    if (isCacheWanted(config)) this.#spawn();
  }

  /** Another configuration: the thread is started when it is first needed, and kept. */
  configure(config: CacheConfig): void {
    this.#config = config;
    if (this.#thread !== null) this.#tell({ kind: 'configure', maxBytes: config.cacheMaxBytes });
    else if (isCacheWanted(config)) this.#spawn();
  }

  /** @param give is called now if there is a thread, and with each one that there will be */
  connect(worker: number, give: Give): void {
    this.#workers.set(worker, give);
    if (this.#thread !== null) this.#open(give);
  }

  disconnect(worker: number): void {
    this.#workers.delete(worker);
  }

  /** @param done told how many answers there were */
  purge(of: PurgeScope, done: (count: number) => void): void {
    if (this.#thread === null) {
      done(0);
      return;
    }
    const call = ++this.#calls;
    this.#purges.set(call, done);
    this.#tell({ kind: 'purge', call, of });
  }

  /** @param done told null where there is nothing, or nobody who could say */
  survey(limit: number, done: (survey: Survey | null) => void): void {
    if (this.#thread === null) {
      done(null);
      return;
    }
    const call = ++this.#calls;
    this.#surveys.set(call, done);
    this.#tell({ kind: 'survey', call, limit });
  }

  /** Where answers are kept; null: nowhere, no policy has a cache. */
  get store(): 'memory' | 'redis' | null {
    if (this.#thread === null) return null;
    return this.#redisUrl === null ? 'memory' : 'redis';
  }

  stop(): void {
    this.#isStopping = true;
  }

  #spawn(): void {
    const start: CacheStart = {
      counts: this.#memory,
      maxBytes: this.#config.cacheMaxBytes,
      redisUrl: this.#redisUrl?.reveal() ?? null,
    };
    const thread = new Worker(new URL('./cache-thread.ts', import.meta.url), {
      workerData: start,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    // What is cached is worth no second of a process that is to end.
    thread.unref();
    this.#thread = thread;
    thread.on('message', (message: FromCacheThread) => this.#hear(message));
    thread.on('error', (error) =>
      this.#log.write('error', 'cache_thread_failed', { reason: error.message }),
    );
    thread.on('exit', () => this.#onExit());
    for (const give of this.#workers.values()) this.#open(give);
  }

  #open(give: Give): void {
    const { port1, port2 } = new MessageChannel();
    this.#thread?.postMessage({ kind: 'connect', port: port1 } satisfies ToCacheThread, [port1]);
    give(port2);
  }

  #tell(message: ToCacheThread): void {
    this.#thread?.postMessage(message);
  }

  #hear(message: FromCacheThread): void {
    if (message.kind === 'purged') this.#purged(message.call, message.count);
    else if (message.kind === 'surveyed') this.#surveyed(message.call, message.survey);
    else if (message.isUp) this.#log.write('info', 'cache_redis_connected');
    else this.#log.write('warn', 'cache_redis_failed', { reason: message.reason });
  }

  #surveyed(call: number, survey: Survey | null): void {
    const done = this.#surveys.get(call);
    this.#surveys.delete(call);
    done?.(survey);
  }

  #purged(call: number, count: number): void {
    const done = this.#purges.get(call);
    this.#purges.delete(call);
    done?.(count);
  }

  #onExit(): void {
    this.#thread = null;
    for (const call of [...this.#purges.keys()]) this.#purged(call, 0);
    for (const call of [...this.#surveys.keys()]) this.#surveyed(call, null);
    this.counts.redisUp(false);
    if (this.#isStopping) return;
    setTimeout(() => {
      if (!this.#isStopping && this.#thread === null) this.#spawn();
    }, RESTART_MS).unref();
  }
}

/** Whether a policy has a cache. */
export function isCacheWanted({ policy: { policies } }: CacheConfig): boolean {
  return [...policies.values()].some(({ cache }) => cache === 'exact');
}
