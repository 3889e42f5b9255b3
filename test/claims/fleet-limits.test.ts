import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { answers, WHOLE } from '../support/routed-scene.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const RPM = 30;

let upstream: ScriptedUpstream;
let nats: NatsServer;
const gateways: Gateway[] = [];

beforeAll(async () => {
  if (NATS_MISSING !== null) return;
  upstream = await startUpstream(answers(200, WHOLE));
  nats = await startNats();
  for (let at = 0; at < 3; at++) {
    gateways.push(
      await startGateway({
        config:
          `workers = 1\nnats_url = "${nats.url}"\n[policies.few]\nrpm = ${RPM}\n[keys.1]\npolicy = "few"\n` +
          authorities({ openai: upstream.port }) +
          poolKeys({ openai: 'sk-one-pool-key' }) +
          signingKeys(),
      }),
    );
  }
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.stop();
  await upstream?.close();
  await nats?.kill();
});

async function served({ origin }: Gateway, count: number): Promise<number> {
  const statuses = await Promise.all(
    Array.from({ length: count }, async () => {
      const response = await fetch(`${origin}/v1/chat/completions`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token({ keyId: 1n })}`,
          'content-type': 'application/json',
        },
        body: '{"model":"gpt-4o","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}',
      });
      await response.arrayBuffer();
      return response.status;
    }),
  );
  expect(statuses.filter((status) => status !== 200 && status !== 429)).toEqual([]);
  return statuses.filter((status) => status === 200).length;
}

async function fleetOf(count: number, among: readonly Gateway[]): Promise<void> {
  await until(`a fleet of ${count}`, async () => {
    const nodes = await Promise.all(
      among.map(async (one) => (await one.metrics()).get('ai_fleet_nodes')),
    );
    return nodes.every((known) => known === count);
  });
}

describe('three gateways of one NATS', () => {
  it('let through together what one limit allows, and know who comes and goes', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    await fleetOf(3, gateways);
    const beganMs = performance.now();
    const each = await Promise.all(gateways.map(async (gateway) => await served(gateway, RPM)));
    const all = each.reduce((sum, one) => sum + one, 0);
    const minutes = (performance.now() - beganMs) / 60_000;
    // By itself each would let all of its own through, three times as many. Shares may move a little while they ask.
    expect(all).toBeLessThanOrEqual(RPM * 1.5 + RPM * minutes);
    expect(all).toBeGreaterThanOrEqual(RPM / 2);
    const [first, second, third] = gateways;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('three');
    third.signal('SIGTERM');
    await third.exited;
    await fleetOf(2, [first, second]);
    await second.stop();
    await fleetOf(1, [first]);
  });
});
