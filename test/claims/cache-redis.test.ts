import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { type Admin, admin, ConsoleScene } from '../support/console-scene.ts';
import { authorities } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { REDIS_MISSING, RedisServer, SlowRedis } from '../support/redis.ts';
import { answers } from '../support/routed-scene.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const [OWNER, VIEWER, HELD] = [
  admin('olga', 'owner'),
  admin('vera', 'viewer'),
  admin('tina', 'operator', ['42']),
];
const KEYS = [token({ keyId: 7n }), token({ tenantId: 43n, keyId: 8n })] as const;

let redis: RedisServer;
let slow: SlowRedis;
let upstream: ScriptedUpstream;
let nodes: readonly ConsoleScene[] = [];

const WHOLE = JSON.stringify({
  id: 'c',
  model: 'gpt-4o',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'Nobody may read this.' },
      finish_reason: 'stop',
    },
  ],
  usage: { prompt_tokens: 700, completion_tokens: 300, total_tokens: 1_000 },
});

beforeAll(async () => {
  if (REDIS_MISSING !== null) return;
  redis = await RedisServer.start();
  slow = await SlowRedis.before(redis.port);
  upstream = await startUpstream(answers(200, WHOLE));
  const scene = (): ConsoleScene =>
    new ConsoleScene([OWNER, VIEWER, HELD], {
      config: `redis_url = "${slow.url}"\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}
[policies.default]
cache = "exact"
`,
    });
  nodes = [scene(), scene()];
  for (const node of nodes) await node.ready();
  await until('both to be connected', () =>
    nodes.every(({ gateway }) => gateway.count('cache_redis_connected') === 1),
  );
});
afterAll(async () => {
  for (const node of nodes) await node.stop();
  await upstream?.close();
  await slow?.close();
  await redis?.stop();
});
beforeEach((context) => {
  if (REDIS_MISSING !== null) context.skip(REDIS_MISSING);
});

interface Told {
  readonly status: number;
  readonly cache: string | null;
  readonly text: string;
  readonly tookMs: number;
}

async function ask(at: number, question: string, key: string = KEYS[0]): Promise<Told> {
  const from = performance.now();
  const response = await fetch(`${nodes[at]?.gateway.origin}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'gpt-4o',
      temperature: 0,
      messages: [{ role: 'user', content: question }],
    }),
  });
  const text = await response.text();
  const cache = response.headers.get('x-sluice-cache');
  return { status: response.status, cache, text, tookMs: performance.now() - from };
}

const resultOf = ({ status, cache, text }: Told): unknown => [
  status,
  cache?.split(';')[0] ?? null,
  text === WHOLE,
];
const MISS = [200, 'miss', true];

/** On a busy machine Redis may be late, which is a miss: it is asked until it is not, and then nobody else was asked. */
async function hits(at: number, question: string, key: string = KEYS[0]): Promise<void> {
  await until('a hit', async () => {
    const before = upstream.requests.length;
    const told = await ask(at, question, key);
    expect(told.status).toBe(200);
    expect(told.text).toBe(WHOLE);
    if (told.cache?.startsWith('hit') !== true) return false;
    expect(upstream.requests.length).toBe(before);
    return true;
  });
}

const faults = async (fault: string): Promise<number> =>
  (await nodes[0]?.gateway.metrics())?.get(`ai_cache_redis_faults_total{fault="${fault}"}`) ?? 0;

/** Whether each node asks its Redis. */
const areUp = async (isUp: boolean): Promise<void> => {
  await until('every node to know it', async () => {
    const metrics = await Promise.all(nodes.map(({ gateway }) => gateway.metrics()));
    return metrics.every((one) => one.get('ai_cache_redis_up') === (isUp ? 1 : 0));
  });
};

test('what one gateway was answered another one tells again, byte for byte, and to nobody else’s tenant', async () => {
  let nth = 0;
  await until('the first one of a gateway to be another one’s', async () => {
    const question = `shared ${nth++}`;
    expect(resultOf(await ask(0, question))).toEqual(MISS);
    const { cache, text } = await ask(1, question);
    expect(text).toBe(WHOLE);
    return cache?.startsWith('hit') === true;
  });
  await hits(0, 'one');
  expect(resultOf(await ask(1, 'one', KEYS[1]))).toEqual(MISS);
  redis.cli('flushall');
  await hits(0, 'one');
  await hits(1, 'one', KEYS[1]);
  expect(redis.cli('dbsize')).toBe('2');
});

const purge = async (as: Admin, body: object): Promise<readonly [number, unknown]> => {
  const told = await nodes[0]?.call(as, 'POST', '/cache/purge', { body });
  return [told?.status ?? 0, told?.json()];
};

test('the console tells what is there without its content, and throws away what an operator names', async () => {
  const told = await nodes[0]?.call(VIEWER, 'GET', '/cache');
  expect(told?.status).toBe(200);
  expect(told?.json()).toMatchObject({
    store: 'redis',
    is_up: true,
    max_bytes: null,
    answers: 2,
    whole: true,
    largest: [
      { tenant: expect.stringMatching(/^4[23]$/), key: expect.stringMatching(/^[78]$/) },
      { tenant: expect.stringMatching(/^4[23]$/) },
    ],
  });
  const {
    requests,
    hit_rate: rate,
    saved_usd: saved,
  } = told?.json() as {
    requests: Record<'hit' | 'shared' | 'miss' | 'away', number>;
    hit_rate: number;
    saved_usd: string;
  };
  const { hit, shared, miss, away } = requests;
  expect(hit).toBeGreaterThanOrEqual(1);
  expect(rate).toBe((hit + shared) / (hit + shared + miss + away));
  // 700 tokens in at 2.50 and 300 out at 10 USD for a million.
  expect(Number(saved)).toBeCloseTo(0.00475 * hit, 9);
  expect(told?.text).not.toContain('Nobody may read');
  expect((await purge(VIEWER, { tenant: '42' }))[0]).toBe(403);
  expect((await nodes[0]?.call(HELD, 'GET', '/cache'))?.status).toBe(403);
  expect((await purge(HELD, { tenant: '43' }))[0]).toBe(403);
  expect((await purge(HELD, { key: '8' }))[0]).toBe(403);
  expect(redis.cli('dbsize')).toBe('2');
  expect(await purge(HELD, { tenant: '42', reason: 'it asked for it' })).toEqual([
    200,
    { answers: 1 },
  ]);
  await hits(1, 'one', KEYS[1]);
  expect(resultOf(await ask(1, 'one'))).toEqual(MISS);
  await hits(1, 'one');
  expect(await purge(OWNER, { key: '8' })).toEqual([200, { answers: 1 }]);
  expect(await purge(OWNER, { tenant: '42', key: '8' })).toEqual([200, { answers: 0 }]);
  expect(await purge(OWNER, {})).toEqual([200, { answers: 1 }]);
  expect(nodes[0]?.gateway.events('admin_audit')).toContainEqual(
    expect.objectContaining({ operation: 'purgeCache', author: 'tina', reason: 'it asked for it' }),
  );
});

test('a Redis that takes a second for each answer costs nobody 50 ms, and is a miss', async () => {
  const bare: number[] = [];
  for (let nth = 0; nth < 20; nth++) bare.push((await ask(0, `bare ${nth}`)).tookMs);
  await hits(0, 'bare 3');
  const lateBefore = await faults('late');
  slow.delayMs = 1_000;
  const late: number[] = [];
  for (let nth = 0; nth < 20; nth++) {
    const told = await ask(0, `bare ${nth}`);
    expect(resultOf(told)).toEqual(MISS);
    late.push(told.tookMs);
  }
  const middle = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[10] ?? 0;
  expect(middle(late)).toBeLessThan(middle(bare) + 50);
  // Three that are late, and from then on it is not asked.
  const lateNow = (await faults('late')) - lateBefore;
  expect(lateNow).toBeGreaterThanOrEqual(1);
  expect(lateNow).toBeLessThanOrEqual(3);
  expect(await faults('away')).toBeGreaterThanOrEqual(17);
  slow.delayMs = 0;
  await areUp(true);
  await hits(0, 'bare 3');
});

test('a Redis that is killed is a miss and no error; back again it is asked', async () => {
  await redis.down();
  await areUp(false);
  for (let nth = 0; nth < 20; nth++) expect(resultOf(await ask(0, 'bare 3'))).toEqual(MISS);
  expect(await faults('dropped')).toBeGreaterThanOrEqual(20);
  const told = await nodes[0]?.call(VIEWER, 'GET', '/cache');
  expect(told?.json()).toMatchObject({ store: 'redis', is_up: false, answers: null, largest: [] });
  await redis.up();
  await areUp(true);
  expect(resultOf(await ask(0, 'bare 3'))).toEqual(MISS);
  await hits(0, 'bare 3');
  await hits(1, 'bare 3');
  expect(nodes[0]?.gateway.count('cache_redis_failed')).toBeGreaterThanOrEqual(1);
});

test('a Redis that is full goes on telling what it has, and each that it cannot keep is counted', async () => {
  const before = await faults('full');
  redis.cli('config', 'set', 'maxmemory', '1');
  await until('it to be counted', async () => {
    expect(resultOf(await ask(0, 'too much'))).toEqual(MISS);
    return (await faults('full')) > before;
  });
  await hits(0, 'bare 3');
  expect(resultOf(await ask(0, 'too much'))).toEqual(MISS);
  redis.cli('config', 'set', 'maxmemory', '0');
});

test('no line of the log and no answer of the console has the password of a Redis', async () => {
  const secret = 'hunter2-of-redis';
  const scene = new ConsoleScene([OWNER], {
    config: `redis_url = "redis://sluice:${secret}@127.0.0.1:${redis.port}"\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}[policies.default]\ncache = "exact"\n`,
  });
  try {
    await scene.ready();
    await until('it to be refused', () => scene.gateway.count('cache_redis_failed') > 0);
    const config = await scene.call(OWNER, 'GET', '/config');
    const cache = await scene.call(OWNER, 'GET', '/cache');
    const said =
      JSON.stringify(scene.gateway.events('cache_redis_failed')) + config.text + cache.text;
    expect(said).toContain('redis_url');
    expect(said).not.toContain(secret);
    expect(said).not.toContain(Buffer.from(secret).toString('base64').slice(0, 12));
  } finally {
    await scene.stop();
  }
});
