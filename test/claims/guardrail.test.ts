import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { post, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const LANES = 16;

let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
});
afterAll(async () => await upstream.close());

async function withGateway(
  limits: string,
  work: (gateway: Gateway) => Promise<void>,
): Promise<void> {
  const { port } = upstream;
  const gateway = await startGateway({
    config: `workers = 2\n${limits}${authorities({ openai: port, anthropic: port })}${poolKeys({ openai: 'sk-pool', anthropic: 'ant' })}${signingKeys()}`,
  });
  try {
    await work(gateway);
  } finally {
    await gateway.stop();
  }
}

interface Asked {
  readonly admitted: number;
  readonly refused: readonly RawResponse[];
  /** From the first request to the last response. */
  readonly seconds: number;
}

/** Asks with each key in turn over several connections, so that both workers get some. */
async function askAll({ port }: Gateway, keys: readonly string[], good = 200): Promise<Asked> {
  const began = performance.now();
  let admitted = 0;
  const refused: RawResponse[] = [];
  const connection = () => new RawClient(port);
  await inLanes(keys, LANES, connection, async (key, client) => {
    const response = await client.send(post(key)).response();
    if (response.status === good) admitted++;
    else refused.push(response);
  });
  return { admitted, refused, seconds: (performance.now() - began) / 1_000 };
}

/** The part of a request id that all ids of one worker share. */
const workerOf = (response: RawResponse): string =>
  response.field('x-sluice-request-id')?.slice(0, 'req_'.length + 16) ?? '';

const times = (count: number, key: string): readonly string[] =>
  Array.from({ length: count }, () => key);

/** A token of sound grammar and a known kid, whose signature nobody made. */
const forged = (tenantId: bigint): string =>
  token({ tenantId }).replace(/[^.]*$/, `${randomBytes(64).toString('base64url')}`);

function expectRefusals(refused: readonly RawResponse[]): void {
  for (const response of refused) {
    expect(response.status).toBe(429);
    expect(response.json()).toMatchObject({ error: { code: 'rate_limited' } });
    expect(response.field('retry-after')).toMatch(/^[1-9][0-9]*$/);
  }
}

describe('each gateway key', () => {
  it('gets its limit node-wide over both workers, and not one request more', async () => {
    await withGateway('rate_limit_rps = 100\n', async (gateway) => {
      const { admitted, refused, seconds } = await askAll(gateway, times(600, token()));
      expect(admitted).toBeGreaterThanOrEqual(100);
      // One more for each worker but the first: when two put a new key into different cells at once.
      expect(admitted).toBeLessThanOrEqual(100 * (seconds + 1) + 1);
      expect(refused.length).toBe(600 - admitted);
      expectRefusals(refused);
    });
  });

  it('has a limit of its own: another key does not notice', async () => {
    await withGateway('rate_limit_rps = 20\n', async (gateway) => {
      const greedy = await askAll(gateway, times(200, token({ tenantId: 1n })));
      expect(greedy.refused.length).toBeGreaterThan(0);
      const other = await askAll(gateway, times(20, token({ tenantId: 2n })));
      expect(other.refused).toEqual([]);
    });
  });

  it("is told in Anthropic's dialect where that is spoken", async () => {
    await withGateway('rate_limit_rps = 1\n', async (gateway) => {
      const client = new RawClient(gateway.port);
      await client.send(post(token(), '/v1/messages')).response();
      const response = await client.send(post(token(), '/v1/messages')).response();
      expect(response.status).toBe(429);
      expect(response.json()).toMatchObject({ type: 'error', error: { type: 'rate_limit_error' } });
    });
  });

  it('waits as long as retry-after says, and is served', async () => {
    await withGateway('rate_limit_rps = 1\n', async (gateway) => {
      const client = new RawClient(gateway.port);
      await client.send(post(token())).response();
      const refused = await client.send(post(token())).response();
      const seconds = Number(refused.field('retry-after'));
      await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
      expect((await client.send(post(token())).response()).status).toBe(200);
    });
  });
});

describe("callers' own keys", () => {
  it('share one bucket, whatever their number', async () => {
    await withGateway('rate_limit_rps = 0\nbyo_rate_limit_rps = 50\n', async (gateway) => {
      const keys = Array.from({ length: 400 }, (_, i) => `sk-own-${i}`);
      const { admitted, refused, seconds } = await askAll(gateway, keys);
      expect(admitted).toBeGreaterThanOrEqual(50);
      expect(admitted).toBeLessThanOrEqual(50 * (seconds + 1));
      expectRefusals(refused);
      expect((await askAll(gateway, times(50, token()))).refused).toEqual([]);
    });
  });
});

describe('forged keys', () => {
  it('that repeat are refused by rate, like good ones', async () => {
    await withGateway('rate_limit_rps = 10\n', async (gateway) => {
      const { admitted, refused, seconds } = await askAll(gateway, times(200, forged(1n)), 401);
      expect(admitted).toBeGreaterThanOrEqual(10);
      expect(admitted).toBeLessThanOrEqual(10 * (seconds + 1) + 1);
      expectRefusals(refused);
    });
  });

  it('that are all different get no more signature checks than the budget, and known keys do not notice', async () => {
    await withGateway('rate_limit_rps = 0\nverify_rate_limit_rps = 40\n', async (gateway) => {
      const known = Array.from({ length: 10 }, (_, i) => token({ tenantId: BigInt(i) }));
      await askAll(gateway, Array.from({ length: 20 }, () => known).flat());
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      await askAll(gateway, Array.from({ length: 20 }, () => known).flat());
      const flood = Array.from({ length: 1_500 }, (_, i) => forged(BigInt(i)));
      const [attack, served] = await Promise.all([
        askAll(gateway, flood, 401),
        askAll(gateway, Array.from({ length: 60 }, () => known).flat()),
      ]);
      expect(served.refused).toEqual([]);
      expect(served.admitted).toBe(600);
      expect(attack.admitted).toBeGreaterThan(0);
      expect(attack.admitted).toBeLessThanOrEqual(40 * (attack.seconds + 1));
      expectRefusals(attack.refused);
      const metrics = await gateway.metrics();
      expect(metrics.get('ai_rejections_total{reason="bad_key"}')).toBe(attack.admitted);
      expect(metrics.get('ai_rejections_total{reason="rate_limited"}')).toBe(attack.refused.length);
    });
  });

  it('do not take a key that one worker knows from whoever meets the other one', async () => {
    await withGateway('rate_limit_rps = 0\nverify_rate_limit_rps = 1\n', async (gateway) => {
      const known = token({ tenantId: 77n });
      // A kept connection stays with its worker, and request ids begin with the worker's own.
      const byWorker = new Map<string, RawClient>();
      await until('a connection to each worker', async () => {
        const client = new RawClient(gateway.port);
        const response = await client.send(post('sk-own')).response();
        byWorker.set(workerOf(response), client);
        return byWorker.size === 2;
      });
      const [first, second] = [...byWorker.values()];
      if (first === undefined || second === undefined) throw new Error('two workers');
      await until('the first check', async () => {
        return (await first.send(post(known)).response()).status === 200;
      });
      let isOver = false;
      const flood = async (): Promise<void> => {
        const client = new RawClient(gateway.port);
        for (let n = 0n; !isOver; n++) await client.send(post(forged(n))).response();
      };
      const attack = Promise.all([flood(), flood(), flood(), flood()]);
      await until('the budget to be spent', async () => {
        return (await second.send(post(forged(9_999n))).response()).status === 429;
      });
      const seen: number[] = [];
      for (let i = 0; i < 20; i++) seen.push((await second.send(post(known)).response()).status);
      for (let i = 0; i < 20; i++) {
        const fresh = new RawClient(gateway.port);
        seen.push((await fresh.send(post(known)).response()).status);
        fresh.close();
      }
      isOver = true;
      await attack;
      expect([...new Set(seen)]).toEqual([200]);
    });
  });

  it('cost no check at all when their kid is unknown or their form is wrong', async () => {
    await withGateway('rate_limit_rps = 0\nverify_rate_limit_rps = 1\n', async (gateway) => {
      const unknown = Array.from({ length: 50 }, (_, i) => forged(BigInt(i)).replace('.7.', '.8.'));
      const malformed = Array.from({ length: 50 }, (_, i) => `bai_v1.7.${i}`);
      expect((await askAll(gateway, [...unknown, ...malformed], 401)).refused).toEqual([]);
      expect((await askAll(gateway, [token()])).refused).toEqual([]);
    });
  });
});

it('0 switches each limit off', async () => {
  const off = 'rate_limit_rps = 0\nbyo_rate_limit_rps = 0\nverify_rate_limit_rps = 0\n';
  await withGateway(off, async (gateway) => {
    const keys = [...times(500, token()), ...times(500, 'sk-own')];
    expect((await askAll(gateway, keys)).refused).toEqual([]);
    const flood = Array.from({ length: 500 }, (_, i) => forged(BigInt(i)));
    expect((await askAll(gateway, flood, 401)).refused).toEqual([]);
  });
});
