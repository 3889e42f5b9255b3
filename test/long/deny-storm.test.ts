import { connect } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { denyKey } from '../../src/deny/deny-entry.ts';
import { pause, until } from '../support/conditions.ts';
import { seededRandom } from '../support/fixtures.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { BUCKET, denyWriter, NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { Wire } from '../support/wire.ts';

const WRITES = 2_000;
/** Ids that are written; the key that is asked all the while belongs to none of them. */
const IDS = 60;
const SEED = Number(process.env['STORM_SEED'] ?? Date.now() % 1_000_000);
const VALUES = ['spend', 'fraud', '{"reason":"spend"}', 'odd'];

let upstream: ScriptedUpstream;
let nats: NatsServer;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
});
afterAll(async () => {
  await nats?.kill();
  await upstream.close();
});

async function ask(client: RawClient, key: string): Promise<number> {
  return (await client.send(post(key)).response()).status;
}

it(`${WRITES} random changes under outages of NATS end in the bucket's set, and a key that is not denied never notices (seed ${SEED})`, async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  nats = await startNats();
  const wire = new Wire(nats.port);
  const wirePort = await wire.listen();
  await (await denyWriter(nats)).close();
  const gateways: Gateway[] = [];
  for (const port of [nats.port, wirePort]) {
    gateways.push(
      await startGateway({
        config:
          `workers = 2\nrate_limit_rps = 0\nverify_rate_limit_rps = 0\nnats_url = "nats://127.0.0.1:${port}"\n` +
          authorities({ openai: upstream.port }) +
          poolKeys({ openai: 'sk-pool' }) +
          signingKeys(),
      }),
    );
  }
  const free = token({ tenantId: 10_000n });
  let over = false;
  const asked = gateways.map(async ({ port }) => {
    let count = 0;
    for (let client = new RawClient(port); !over; count++) {
      if (count % 50 === 0) {
        client.close();
        client = new RawClient(port);
      }
      expect(await ask(client, free)).toBe(200);
      await pause(2);
    }
    return count;
  });

  const random = seededRandom(SEED);
  const truth = new Map<string, string>();
  const open = () =>
    connect({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const connection = await open();
  const kvOf = () => connection.jetstream({ timeout: 2_000 }).views.kv(BUCKET);
  let kv = await kvOf();
  /** What a write came to is only known when it was answered: it is repeated until it is. */
  const surely = async (write: () => Promise<unknown>): Promise<void> => {
    await until('a write', async () => {
      try {
        await write();
        return true;
      } catch {
        kv = await kvOf().catch(() => kv);
        return false;
      }
    });
  };
  for (let i = 0; i < WRITES; i++) {
    const kind = random() < 0.5 ? 'tenant' : 'key';
    const key = denyKey(kind, BigInt(Math.floor(random() * IDS)));
    const choice = random();
    if (choice < 0.55) {
      const value = VALUES[Math.floor(random() * VALUES.length)] ?? 'odd';
      await surely(() => kv.put(key, value));
      truth.set(key, value);
    } else if (choice < 0.8) {
      await surely(() => kv.delete(key));
      truth.delete(key);
    } else {
      await surely(() => kv.purge(key));
      truth.delete(key);
    }
    const trouble = i % 200;
    if (trouble === 40) {
      await nats.kill();
      await pause(random() * 500);
      await nats.start();
    } else if (trouble === 80) wire.cut();
    else if (trouble === 130) wire.join();
    else if (trouble === 170) {
      await surely(async () => {
        await kv.destroy();
      });
      truth.clear();
      kv = await kvOf();
    }
    if (random() < 0.05) await pause(random() * 20);
  }
  wire.join();
  await connection.close();

  const statusOf = (value: string | undefined): number =>
    value === undefined ? 200 : value.includes('spend') ? 402 : 403;
  for (const { port } of gateways) {
    const client = new RawClient(port);
    for (let id = 0; id < IDS; id++) {
      const tenant = token({ tenantId: BigInt(id) });
      const expected = statusOf(truth.get(denyKey('tenant', BigInt(id))));
      await until(
        `tenant ${id} to be ${expected}`,
        async () => (await ask(client, tenant)) === expected,
        90_000,
      );
      const key = token({ tenantId: 20_000n, keyId: BigInt(id) });
      const keyExpected = statusOf(truth.get(denyKey('key', BigInt(id))));
      await until(
        `key ${id} to be ${keyExpected}`,
        async () => (await ask(client, key)) === keyExpected,
        90_000,
      );
    }
    client.close();
  }
  for (const gateway of gateways) {
    expect((await gateway.metrics()).get('ai_deny_set_size')).toBe(truth.size);
  }
  over = true;
  for (const count of await Promise.all(asked)) expect(count).toBeGreaterThan(500);
  for (const gateway of gateways) {
    expect(gateway.stderr).toBe('');
    await gateway.stop();
  }
  wire.close();
});
