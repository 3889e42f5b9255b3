import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KeptAnswer, Survey } from '../../../src/cache/answer-store.ts';
import type { RedisFault } from '../../../src/cache/redis-faults.ts';
import { connectRedis, GET_MS, REDIS_PREFIX, RedisStore } from '../../../src/cache/redis-store.ts';
import { until } from '../../support/conditions.ts';
import { REDIS_MISSING, RedisServer, SlowRedis } from '../../support/redis.ts';

let server: RedisServer;
let slow: SlowRedis;
let opened: { store: RedisStore; faults: Map<RedisFault, number>; states: boolean[] }[] = [];

beforeAll(async () => {
  if (REDIS_MISSING !== null) return;
  server = await RedisServer.start();
  slow = await SlowRedis.before(server.port);
});
afterAll(async () => {
  if (REDIS_MISSING !== null) return;
  await slow.close();
  await server.stop();
});
beforeEach((context) => {
  if (REDIS_MISSING !== null) context.skip(REDIS_MISSING);
  slow.delayMs = 0;
  server.cli('flushall');
});
afterEach(() => {
  for (const { store } of opened) store.close();
  opened = [];
});

/** What a question may take where it is not what is asked about: this machine may be busy. */
const PATIENT_MS = 10_000;

async function open(url = server.url, now: () => number = Date.now, getMs = PATIENT_MS) {
  const faults = new Map<RedisFault, number>();
  const states: boolean[] = [];
  const counts = {
    fault: (fault: RedisFault): void => {
      faults.set(fault, (faults.get(fault) ?? 0) + 1);
    },
    isUp: (isUp: boolean): void => {
      states.push(isUp);
    },
  };
  const store = new RedisStore(await connectRedis(url), counts, now, getMs);
  const one = { store, faults, states };
  opened.push(one);
  return one;
}

async function up(url = server.url, now: () => number = Date.now, getMs = PATIENT_MS) {
  const one = await open(url, now, getMs);
  await until('it to be asked', () => one.states.at(-1) === true);
  return one;
}

const answer = (
  over: Partial<KeptAnswer['made']> = {},
  body = 'An answer.',
  lifeMs = 60_000,
): KeptAnswer => ({
  head: {
    status: 200,
    lines: 'content-type: application/json\r\n',
    isEventStream: false,
    streamAsked: false,
    format: 'json',
  },
  body: new Uint8Array(Buffer.from(body)),
  made: {
    model: 'gpt-4o',
    targetModel: null,
    route: 'chat',
    costUsd: '0.01',
    tenant: '18446744073709551615',
    key: '7',
    ...over,
  },
  madeMs: Date.now(),
  expiresMs: Date.now() + lifeMs,
});

interface Got {
  readonly answer: KeptAnswer | null;
  readonly tookMs: number;
}

const got = (store: RedisStore, key: string): Promise<Got> =>
  new Promise((resolve) => {
    const from = performance.now();
    store.get(key, (found) => resolve({ answer: found, tookMs: performance.now() - from }));
  });

/** What was put is there: it is not told when. */
const there = async (key: string): Promise<void> => {
  await until('it to be there', () => server.cli('exists', REDIS_PREFIX + key) === '1');
};

describe('answers in Redis', () => {
  test('come back as they were, with bytes of every kind, for another gateway, too', async () => {
    const [one, other] = [await up(), await up()];
    const kept = answer();
    const bytes = { ...kept, body: new Uint8Array(randomBytes(262_144)) };
    one.store.put('a', kept);
    one.store.put('b', bytes);
    await there('b');
    expect((await got(other.store, 'a')).answer).toEqual(kept);
    expect((await got(other.store, 'b')).answer).toEqual(bytes);
    expect((await got(other.store, 'c')).answer).toBeNull();
    expect([...one.faults, ...other.faults]).toEqual([]);
  });

  test('end with their time, there and here', async () => {
    const clock = { ms: Date.now() };
    const { store } = await up(server.url, () => clock.ms);
    store.put('a', answer({}, 'x', 60_000));
    store.put('gone', answer({}, 'x', -1));
    await there('a');
    const ttl = Number(server.cli('pttl', `${REDIS_PREFIX}a`));
    expect(ttl).toBeGreaterThan(50_000);
    expect(ttl).toBeLessThan(61_000);
    expect((await got(store, 'a')).answer).not.toBeNull();
    clock.ms += 61_000;
    expect((await got(store, 'a')).answer, 'this node’s clock counts, too').toBeNull();
    expect(server.cli('exists', `${REDIS_PREFIX}gone`)).toBe('0');
  });

  test.each([
    ['cut', (record: Buffer) => record.subarray(0, -1)],
    ['one bit of its content changed', (record: Buffer) => flipped(record, record.length - 1)],
    ['one bit of its owner changed', (record: Buffer) => flipped(record, 20)],
    ['shorter than any', () => Buffer.from('no')],
  ])('that are %s are misses, and counted', async (_, change) => {
    const { store, faults } = await up();
    store.put('a', answer());
    await there('a');
    const redis = await connectRedis(server.url);
    await until('a connection', () => redis.status === 'ready');
    const record = (await redis.getBuffer(`${REDIS_PREFIX}a`)) ?? Buffer.alloc(0);
    await redis.set(`${REDIS_PREFIX}a`, change(record));
    await redis.set(`${REDIS_PREFIX}moved`, record);
    redis.disconnect();
    expect((await got(store, 'a')).answer).toBeNull();
    expect((await got(store, 'moved')).answer, 'under another key').toBeNull();
    expect([...faults]).toEqual([['corrupt', 2]]);
  });

  test('are thrown away by tenant, by key, or all: nobody else’s, and however many', async () => {
    const { store, states } = await up();
    const purged = (tenant: string | null, key: string | null): Promise<number> =>
      new Promise((resolve) => store.purge({ tenant, key }, resolve));
    for (let at = 0; at < 2_500; at++)
      store.put(
        `${at}`,
        answer({ tenant: String(at % 2), key: at % 5 === 0 ? null : String(at % 5) }, 'x'),
      );
    await until('all to be there', () => server.cli('dbsize') === '2500');
    server.cli('set', 'somebody-elses', '1');
    expect(await purged('1', '3')).toBe(250);
    expect((await got(store, '13')).answer).toBeNull();
    expect((await got(store, '8')).answer?.made).toMatchObject({ tenant: '0', key: '3' });
    expect(await purged('1', null)).toBe(1_000);
    expect(await purged(null, '0'), 'no key is not key 0').toBe(0);
    expect(await purged(null, null)).toBe(1_250);
    expect(server.cli('keys', '*')).toBe('somebody-elses');
    expect(states.at(-1)).toBe(true);
  });
});

describe('a survey', () => {
  test('tells how many there are, and the largest with their owners, of what is there alone', async () => {
    const { store } = await up();
    for (const [at, size] of [10, 3_000, 200, 70_000, 5].entries())
      store.put(`${at}`, answer({ tenant: `${at}`, key: at === 1 ? null : '7' }, 'x'.repeat(size)));
    await until('all to be there', () => server.cli('dbsize') === '5');
    server.cli('set', 'somebody-elses', 'x'.repeat(100_000));
    const survey = await new Promise<Survey | null>((resolve) => store.survey(2, resolve));
    expect(survey).toMatchObject({ answers: 5, isWhole: true });
    expect(survey?.largest.map(({ tenant, key }) => [tenant, key])).toEqual([
      ['3', '7'],
      ['1', null],
    ]);
    expect(survey?.bytes).toBeGreaterThan(73_215);
    expect(JSON.stringify(survey)).not.toContain('xxx');
  });

  test('is nobody’s to tell where Redis is away', async () => {
    const { store } = await open('redis://127.0.0.1:1');
    expect(await new Promise((resolve) => store.survey(2, resolve))).toBeNull();
  });
});

describe('a Redis', () => {
  test('that is away costs nobody a millisecond, is counted, and is asked again when it is back', async () => {
    const { store, faults, states } = await up();
    store.put('a', answer());
    await there('a');
    await server.down();
    await until('it to be known', () => states.at(-1) === false);
    const times: number[] = [];
    for (let nth = 0; nth < 1_000; nth++) {
      const { answer: found, tookMs } = await got(store, 'a');
      expect(found).toBeNull();
      times.push(tookMs);
      store.put('b', answer());
    }
    times.sort((a, b) => a - b);
    expect(times[990]).toBeLessThan(1);
    expect([...faults]).toEqual([
      ['away', 1_000],
      ['dropped', 1_000],
    ]);
    await server.up();
    await until('it to be asked again', () => states.at(-1) === true);
    store.put('a', answer());
    await there('a');
    expect((await got(store, 'a')).answer).not.toBeNull();
  });

  test('that was never there is away', async () => {
    const { store, faults } = await open('redis://127.0.0.1:1');
    expect((await got(store, 'a')).answer).toBeNull();
    expect([...faults]).toEqual([['away', 1]]);
  });

  test('that takes a second for an answer costs three questions 25 ms each, then nobody anything, and is asked again when it is quick', async () => {
    const { store, faults, states } = await up(slow.url, Date.now, GET_MS);
    store.put('a', answer());
    await there('a');
    slow.delayMs = 1_000;
    const times: number[] = [];
    for (let nth = 0; nth < 20; nth++) {
      const from = performance.now();
      const [{ answer: found, tookMs }, timerMs] = await Promise.all([
        got(store, 'a'),
        // As late as a timer of this machine is just now.
        sleep(GET_MS).then(() => performance.now() - from),
      ]);
      expect(found).toBeNull();
      expect(tookMs).toBeLessThan(timerMs + 10);
      times.push(tookMs);
    }
    expect(times.filter((ms) => ms > 1)).toHaveLength(3);
    expect(times.filter((ms) => ms >= GET_MS - 1)).toHaveLength(3);
    expect([...faults]).toEqual([
      ['late', 3],
      ['away', 17],
    ]);
    slow.delayMs = 0;
    await until('it to be asked again', () => states.at(-1) === true);
    await until('it to be told', async () => (await got(store, 'a')).answer !== null);
  });

  test('that hangs is left alone, and what it owes does not come back as somebody’s answer', async () => {
    const { store, states } = await up(server.url, Date.now, GET_MS);
    store.put('a', answer({}, 'of a'));
    store.put('b', answer({}, 'of b'));
    await there('b');
    server.pause();
    const lost = await Promise.all(['a', 'a', 'a', 'a'].map((key) => got(store, key)));
    expect(lost.map(({ answer: found }) => found)).toEqual([null, null, null, null]);
    expect(states.at(-1)).toBe(false);
    server.resume();
    await until('it to be asked again', () => states.at(-1) === true);
    const found = await until('it to be told', async () => (await got(store, 'b')).answer ?? false);
    expect(Buffer.from(found.body).toString()).toBe('of b');
  });

  test('that is full answers what it has, and is not given more for a second', async () => {
    const clock = { ms: Date.now() };
    const { store, faults, states } = await up(server.url, () => clock.ms);
    store.put('a', answer());
    await there('a');
    server.cli('config', 'set', 'maxmemory', '1');
    store.put('b', answer());
    await until('it to be told', () => faults.get('full') === 1);
    store.put('c', answer());
    expect(faults.get('dropped')).toBe(1);
    expect((await got(store, 'a')).answer).not.toBeNull();
    expect((await got(store, 'b')).answer).toBeNull();
    server.cli('config', 'set', 'maxmemory', '0');
    clock.ms += 1_001;
    store.put('d', answer());
    await there('d');
    expect(states.at(-1)).toBe(true);
    expect([...faults.keys()].sort()).toEqual(['dropped', 'full']);
  });

  test('that is away when answers are to be thrown away tells none of them when it is back', async () => {
    const { store, states } = await up(slow.url);
    store.put('a', answer({ tenant: '1' }));
    store.put('b', answer({ tenant: '2' }));
    await there('b');
    slow.cut();
    await until('it to be known', () => states.at(-1) === false);
    let count: number | null = null;
    store.purge({ tenant: '1', key: null }, (gone) => {
      count = gone;
    });
    expect((await got(store, 'a')).answer).toBeNull();
    expect(count).toBeNull();
    expect(server.cli('dbsize')).toBe('2');
    slow.mend();
    await until('it to be asked again', () => states.at(-1) === true);
    expect(count).toBe(1);
    expect((await got(store, 'a')).answer).toBeNull();
    expect((await got(store, 'b')).answer).not.toBeNull();
  });
});

function flipped(record: Buffer, at: number): Buffer {
  const changed = Buffer.from(record);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}
