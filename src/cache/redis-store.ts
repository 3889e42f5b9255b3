/**
 * Answers in a Redis, which several gateways may share. Nobody waits for it long, and nobody for one that is away: a question that
 * it does not answer in time is a miss, after a few of them it rests, and is asked in the background whether it is well again.
 * ARCHITECTURE.md, "The cache in Redis", has the states and what fails.
 */

import type { Buffer } from 'node:buffer';
import type { Redis } from 'ioredis';
import {
  decodeRecord,
  encodeRecord,
  isOf,
  ownerOf,
  RECORD_HEAD_BYTES,
  RECORD_VERSION,
} from './answer-record.ts';
import type { AnswerStore, KeptAnswer, PurgeScope, Survey, Surveyed } from './answer-store.ts';
import type { RedisFault } from './redis-faults.ts';

/** All that stands there begins so; what another version wrote begins otherwise, and ends by itself. */
export const REDIS_PREFIX = `sluice:answers:${RECORD_VERSION}:`;

/**
 * What a question may take, in milliseconds. A Redis in the same network answers in one or two; the hop to this thread, a late
 * timer and the answer's way back are to fit into 50 with it.
 */
export const GET_MS = 25;

/** Questions in a row that were not answered in time, behind which it rests: one may be a pause of either side. */
const LATE_MAX = 3;

/** How often one that rests is asked whether it is well again, and how long one that is full is given nothing; milliseconds. */
const PROBE_MS = 500;
const FULL_MS = 1_000;

/** A connection on which nothing came back for so long is made anew, in milliseconds: what it owes us is let go with it. */
const SILENT_MS = 10_000;

const CONNECT_MS = 2_000;
const RECONNECT_MAX_MS = 2_000;

/** Of answers that are on their way there, in bytes: a slow one is not to fill this thread's memory. */
const WRITES_MAX_BYTES = 16_777_216;

/** Purges that wait for it to come back; beyond them all answers go. */
const PURGES_MAX = 64;

/** Of an error's words, in units of UTF-16: they go into the log. */
const REASON_MAX = 200;

/** Keys that are looked at in one step of a purge or a survey, and in all of a survey. */
const SCAN_COUNT = 1_000;
const SURVEY_MAX = 10_000;

/** What became of questions and answers, for the node's metrics. */
export interface RedisCounts {
  fault(fault: RedisFault): void;
  /** Whether it is asked now. @param reason of its last error, where it is not and there was one */
  isUp(isUp: boolean, reason: string | null): void;
}

type State = 'away' | 'up' | 'resting';

interface Purge {
  readonly of: PurgeScope;
  readonly done: (count: number) => void;
}

export class RedisStore implements AnswerStore {
  readonly #counts: RedisCounts;
  readonly #redis: Redis;
  readonly #getMs: number;
  readonly #now: () => number;
  readonly #probe: NodeJS.Timeout;
  #state: State = 'away';
  #lateInRow = 0;
  #reason: string | null = null;
  #fullUntilMs = 0;
  #writing = 0;
  /** When the background's question was sent; 0: none is under way. */
  #probedMs = 0;
  /** The first one is under way. */
  readonly #purges: Purge[] = [];
  #isPurging = false;

  /**
   * @param redis of `connectRedis`
   * @param now Unix time in milliseconds
   * @param getMs what a question may take
   */
  constructor(
    redis: Redis,
    counts: RedisCounts,
    now: () => number = Date.now,
    getMs: number = GET_MS,
  ) {
    this.#redis = redis;
    this.#getMs = getMs;
    this.#counts = counts;
    this.#now = now;
    // Each failure has its count; without a listener the library would print them.
    redis.on('error', ({ message }: Error) => {
      this.#reason = message.slice(0, REASON_MAX);
    });
    redis.on('ready', () => this.#ready());
    redis.on('close', () => this.#become('away'));
    if (redis.status === 'ready') this.#ready();
    this.#probe = setInterval(() => this.#look(), PROBE_MS).unref();
  }

  get(key: string, found: (answer: KeptAnswer | null) => void): void {
    if (this.#state !== 'up') {
      this.#counts.fault('away');
      found(null);
      return;
    }
    let isOver = false;
    const over = (answer: KeptAnswer | null): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      found(answer);
    };
    const timer = setTimeout(() => {
      this.#counts.fault('late');
      this.#late();
      over(null);
    }, this.#getMs);
    this.#redis.getBuffer(REDIS_PREFIX + key, (error, value) => {
      if (isOver) return;
      if (error) {
        this.#counts.fault('error');
        over(null);
        return;
      }
      this.#lateInRow = 0;
      over(value == null ? null : this.#read(key, value));
    });
  }

  put(key: string, answer: KeptAnswer): void {
    const lifeMs = answer.expiresMs - this.#now();
    if (lifeMs < 1) return;
    const { length } = answer.body;
    const isRefused = this.#state !== 'up' || this.#now() < this.#fullUntilMs;
    if (isRefused || this.#writing + length > WRITES_MAX_BYTES) {
      this.#counts.fault('dropped');
      return;
    }
    this.#writing += length;
    const record = encodeRecord(key, answer);
    this.#redis.set(REDIS_PREFIX + key, record, 'PX', Math.ceil(lifeMs), (error) => {
      this.#writing -= length;
      if (error) this.#refused(error);
    });
  }

  /** While it cannot be asked nothing is told: what is to go has gone before anything of it is told again. */
  purge(of: PurgeScope, done: (count: number) => void): void {
    if (this.#purges.length >= PURGES_MAX) {
      const all = { of: { tenant: null, key: null }, done: () => {} };
      for (const { done: told } of this.#purges.splice(1, PURGES_MAX, all)) told(0);
    }
    this.#purges.push({ of, done });
    if (this.#redis.status === 'ready') void this.#purgeAll();
  }

  /** Of the first 10,000 answers that it has. */
  survey(limit: number, done: (survey: Survey | null) => void): void {
    if (this.#state === 'up') void this.#survey(limit).then(done, () => done(null));
    else done(null);
  }

  close(): void {
    clearInterval(this.#probe);
    this.#become('away');
    this.#redis.disconnect();
  }

  // ---- whether it is asked -------------------------------------------------------------------------------------------

  #become(state: State): void {
    this.#state = state;
    this.#lateInRow = 0;
    if (state === 'up') this.#reason = null;
    this.#counts.isUp(state === 'up', this.#reason);
  }

  #ready(): void {
    this.#probedMs = 0;
    if (this.#purges.length === 0) this.#become('up');
    else void this.#purgeAll();
  }

  #late(): void {
    if (++this.#lateInRow >= LATE_MAX && this.#state === 'up') this.#become('resting');
  }

  /** In the background: whether one that rests answers in time again, and whether one is there at all. */
  #look(): void {
    if (this.#redis.status !== 'ready' || this.#state === 'up') return;
    const nowMs = performance.now();
    if (this.#probedMs > 0) {
      if (nowMs - this.#probedMs > SILENT_MS) this.#redis.disconnect(true);
      return;
    }
    this.#probedMs = nowMs;
    this.#redis.ping((error) => {
      const isInTime = performance.now() - nowMs <= this.#getMs;
      this.#probedMs = 0;
      if (!error && isInTime && this.#state !== 'up') this.#ready();
    });
  }

  #refused({ message }: Error): void {
    // Of its memory's end, and of a disk that takes no snapshot any more: it goes on answering.
    const isFull = /^(?:OOM|MISCONF)\b/.test(message);
    if (isFull) this.#fullUntilMs = this.#now() + FULL_MS;
    this.#counts.fault(isFull ? 'full' : 'error');
  }

  #read(key: string, value: Buffer): KeptAnswer | null {
    const answer = decodeRecord(key, value);
    if (answer === null) this.#counts.fault('corrupt');
    return answer === null || answer.expiresMs <= this.#now() ? null : answer;
  }

  // ---- purges --------------------------------------------------------------------------------------------------------

  async #purgeAll(): Promise<void> {
    if (this.#isPurging) return;
    this.#isPurging = true;
    this.#become('away');
    try {
      for (let purge = this.#purges[0]; purge !== undefined; purge = this.#purges[0]) {
        const count = await this.#purge(purge.of);
        this.#purges.shift();
        purge.done(count);
      }
      if (this.#redis.status === 'ready') this.#become('up');
    } catch (error) {
      // It went away meanwhile, or refuses it: once more when it is back, or says that it is well.
      if (error instanceof Error) this.#reason = error.message.slice(0, REASON_MAX);
      this.#counts.fault('error');
    } finally {
      this.#isPurging = false;
    }
  }

  async #purge(of: PurgeScope): Promise<number> {
    let count = 0;
    let cursor = '0';
    do {
      const [next, keys] = await this.#scan(cursor);
      cursor = next;
      const gone = await this.#ownedBy(keys, of);
      if (gone.length > 0) count += await this.#redis.unlink(...gone);
    } while (cursor !== '0');
    return count;
  }

  async #survey(limit: number): Promise<Survey> {
    let cursor = '0';
    let [answers, bytes] = [0, 0];
    let largest: readonly Surveyed[] = [];
    do {
      const [next, keys] = await this.#scan(cursor);
      cursor = next;
      const found = await Promise.all(keys.map((key) => this.#sized(key)));
      const rows = found.flatMap((row) => row ?? []);
      answers += rows.length;
      bytes = rows.reduce((sum, row) => sum + row.bytes, bytes);
      largest = [...largest, ...rows].sort((one, other) => other.bytes - one.bytes).slice(0, limit);
    } while (cursor !== '0' && answers < SURVEY_MAX);
    return { answers, bytes, isWhole: cursor === '0', largest };
  }

  /** @returns null: it has ended meanwhile, or is none of ours */
  async #sized(key: string): Promise<Surveyed | null> {
    const [bytes, head] = await Promise.all([
      this.#redis.strlen(key),
      this.#redis.getrangeBuffer(key, 0, RECORD_HEAD_BYTES - 1),
    ]);
    if (head.length < RECORD_HEAD_BYTES) return null;
    return { ...ownerOf(head), model: null, route: null, bytes, madeMs: null, expiresMs: null };
  }

  async #scan(cursor: string): Promise<[next: string, keys: string[]]> {
    return await this.#redis.scan(cursor, 'MATCH', `${REDIS_PREFIX}*`, 'COUNT', SCAN_COUNT);
  }

  async #ownedBy(keys: readonly string[], of: PurgeScope): Promise<readonly string[]> {
    if (of.tenant === null && of.key === null) return keys;
    const heads = await Promise.all(
      keys.map((key) => this.#redis.getrangeBuffer(key, 0, RECORD_HEAD_BYTES - 1)),
    );
    return keys.filter((_, at) => {
      const head = heads[at];
      return head !== undefined && isOf(head, of);
    });
  }
}

/** @param url `redis://…` or `rediss://…`; the library is loaded now, and only where there is one */
export async function connectRedis(url: string): Promise<Redis> {
  const { Redis: Client } = await import('ioredis');
  return new Client(url, {
    connectTimeout: CONNECT_MS,
    connectionName: 'sluice-cache',
    // What every server and every proxy before one speaks.
    protocol: 2,
    disableClientInfo: true,
    // Nothing waits for a connection: it is a miss.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(RECONNECT_MAX_MS, 100 * 2 ** Math.min(times, 8)),
  });
}
