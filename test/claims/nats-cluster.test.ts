import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { ask } from '../support/every-worker.ts';
import { authorities, Gateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { NATS_MISSING, type NatsCluster, startNatsCluster } from '../support/nats.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

/**
 * From the bucket's word that it took a deny until the gateway refuses: 2 s, in looks of our own at the bucket, one after the
 * other and as far apart as the gateway's. Without its looks it would hear from its watcher, by some fifteen.
 */
const HOLD_LOOKS = 5;
const LOOK_MS = 400;
/** A cluster needs some 5 s for a new leader; what fails in the gateway must have failed by then. */
const BETWEEN_MS = 500;

let cluster: NatsCluster;
const gateways: Gateway[] = [];
const ends: (() => Promise<void>)[] = [];

beforeEach(async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  cluster = await startNatsCluster();
  ends.push(() => cluster.end());
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  gateways.splice(0);
});

async function follow(urls: readonly string[]): Promise<void> {
  const upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
  const gateway = await new Gateway({
    config:
      `workers = 1\nnats_url = "${urls.join(',')}"\n${authorities({ openai: upstream.port })}` +
      poolKeys({ openai: 'sk-pool' }) +
      signingKeys(),
  }).ready();
  gateways.push(gateway);
  ends.push(async () => {
    await gateway.stop();
    await upstream.close();
  });
  await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
}

/** @returns how many looks at the bucket came to their end before every gateway refused the tenant */
async function holds(tenantId: bigint): Promise<number> {
  let looks = 0;
  let isOver = false;
  const looking = (async () => {
    while (!isOver) {
      await cluster.leader().catch(() => {});
      await pause(LOOK_MS);
      looks++;
    }
  })();
  const refusals = gateways.map(async (gateway) => {
    await until('the hold', async () => {
      return (await ask(gateway, token({ tenantId }))).status === 402;
    });
  });
  await Promise.all(refusals).finally(() => {
    isOver = true;
  });
  const counted = looks;
  await looking;
  return counted;
}

describe('a cluster whose leader', () => {
  it.each([
    ['dies', async (at: number) => await cluster.servers[at]?.kill()],
    ['freezes', async (at: number) => cluster.servers[at]?.freeze()],
  ])('%s: a deny holds within 2 s of the bucket taking it', async (_, strike) => {
    await cluster.put(41n, 'spend');
    const urls = cluster.servers.map(({ url }) => url);
    const leader = await cluster.leader();
    await follow(urls);
    // One that knows a follower alone, by what may be the name of a load balancer.
    await follow(urls.slice((leader + 1) % 3, ((leader + 1) % 3) + 1));
    expect(await holds(41n)).toBeLessThan(HOLD_LOOKS);
    await strike(leader);
    await pause(BETWEEN_MS);
    await cluster.put(42n, 'spend');
    expect(await holds(42n)).toBeLessThan(HOLD_LOOKS);
    // What came before is not forgotten over it.
    expect(await holds(41n)).toBeLessThan(HOLD_LOOKS);
    await cluster.put(43n, 'spend');
    expect(await holds(43n)).toBeLessThan(HOLD_LOOKS);
  });
});
