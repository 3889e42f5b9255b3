import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect } from 'nats';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { denyKey } from '../../src/control/deny-entry.ts';
import { pause, until } from '../support/conditions.ts';
import { seededRandom } from '../support/fixtures.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { BUCKET, denyWriter, NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const WRITES = 2_000;
/** Ids that are written; the key that is asked all the while belongs to none of them. */
const IDS = 60;
const SEED = Number(process.env['STORM_SEED'] ?? Date.now() % 1_000_000);
const VALUES = ['spend', 'fraud', '{"reason":"spend"}', 'odd'];

/** A wire between gateway and NATS that can be cut without a word, and joined again. */
class Wire {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => {
    const far = connectTcp(this.#target, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        this.#sockets.delete(from);
      });
      from.on('data', (data) => to.write(data));
      if (this.#isCut) from.pause();
    }
  });
  readonly #target: number;
  #isCut = false;

  constructor(target: number) {
    this.#target = target;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as { port: number }).port;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  join(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

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
  client.send(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Length: 2\r\n\r\n{}`,
  );
  return (await client.response()).status;
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
