import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { BUCKET, NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { ResponseAccounts } from '../support/stored-responses.ts';

let upstream: ScriptedUpstream;
let nats: NatsServer;
const gateways: Gateway[] = [];
const folder = mkdtempSync(join(tmpdir(), 'sluice-fleet-'));

beforeAll(async () => {
  upstream = await startUpstream(new ResponseAccounts().act, { keepBodies: true });
});
afterAll(async () => {
  await upstream.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  nats = await startNats();
});
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop();
  await nats?.kill();
});

async function node(more = ''): Promise<Gateway> {
  const gateway = await startGateway({
    config:
      `workers = 2\nnats_url = "${nats.url}"\n${more}` +
      authorities({ openai: upstream.port }) +
      poolKeys({ openai: ['sk-one-pool-key', 'sk-two-pool-key'] }) +
      signingKeys(),
  });
  gateways.push(gateway);
  return gateway;
}

async function makes({ origin }: Gateway): Promise<string> {
  const response = await fetch(`${origin}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token()}`, 'content-type': 'application/json' },
    body: '{"model":"m","input":"x"}',
  });
  return ((await response.json()) as { id: string }).id;
}

async function finds({ origin }: Gateway, id: string, key = token()): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, connection: 'close' };
  const response = await fetch(`${origin}/v1/responses/${id}`, { headers });
  await response.arrayBuffer();
  return response.status;
}

async function known(gateway: Gateway, id: string): Promise<void> {
  await until(`${id} to be known`, async () => (await finds(gateway, id)) === 200);
}

/** What a request that names an earlier answer is told. */
async function goesOn({ origin }: Gateway, path: string, id: string): Promise<number> {
  const response = await fetch(`${origin}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token()}`,
      'content-type': 'application/json',
      connection: 'close',
    },
    body: JSON.stringify({ model: 'm', previous_response_id: id, input: 'x' }),
  });
  await response.arrayBuffer();
  return response.status;
}

/** Records that the fleet's bucket has. */
async function told(connection: NatsConnection): Promise<number> {
  const kv = await connection.jetstream().views.kv(`${BUCKET}-state`);
  return (await kv.status()).values;
}

/** Both have one secret: what was made before that may be forgotten. */
async function joined(from: Gateway, to: Gateway): Promise<void> {
  await until('an answer of one to be known to the other', async () => {
    const id = await makes(from);
    for (let look = 0; look < 20; look++) {
      if ((await finds(to, id)) === 200) return true;
      await pause(50);
    }
    return false;
  });
}

describe('stored state of a fleet', () => {
  it('is known to every node, whoever made it, and to one that comes later or comes again', async () => {
    const first = await node();
    const second = await node();
    await joined(first, second);
    await joined(second, first);
    const ids = [await makes(first), await makes(second)];
    for (const id of ids) for (const gateway of [first, second]) await known(gateway, id);
    expect(await finds(second, ids[0] ?? '', token({ tenantId: 43n }))).toBe(404);
    const third = await node();
    for (const id of ids) await known(third, id);
    expect(await finds(third, ids[0] ?? '', token({ tenantId: 43n }))).toBe(404);
  });

  it('is asked for by a node that was not told yet, whether a path or a body of either lane names it', async () => {
    const first = await node();
    const second = await node();
    await joined(first, second);
    await joined(second, first);
    const connection = await connect(nats.client);
    try {
      // Four of each: without a question, some of them come before the node has read what it was told.
      const kinds = [
        (id: string) => finds(second, id),
        (id: string) => goesOn(second, '/v1/responses', id),
        (id: string) => goesOn(second, '/openai/v1/responses', id),
      ];
      const asks = kinds.flatMap((kind) => [kind, kind, kind, kind]);
      const before = await told(connection);
      second.signal('SIGSTOP');
      const ids: string[] = [];
      for (const _ of asks) ids.push(await makes(first));
      await until('all of them in the bucket', async () => {
        return (await told(connection)) >= before + ids.length;
      });
      const statuses = asks.map((ask, at) => ask(ids[at] ?? ''));
      const others = [finds(second, ids[0] ?? '', token({ tenantId: 43n })), finds(second, 'none')];
      second.signal('SIGCONT');
      expect(await Promise.all(statuses)).toEqual(asks.map(() => 200));
      expect(await Promise.all(others)).toEqual([404, 404]);
    } finally {
      second.signal('SIGCONT');
      await connection.close();
    }
  });

  it('goes on at each node while NATS is away, and is shared when it is back', async () => {
    const first = await node();
    const second = await node();
    await joined(first, second);
    await nats.kill();
    await first.waitForLog(({ event }) => event === 'stored_state_not_shared');
    const id = await makes(first);
    expect(await finds(first, id)).toBe(200);
    expect(await finds(second, id)).toBe(404);
    await nats.start();
    await known(second, id);
    expect(first.count('stored_state_not_shared')).toBe(1);
  });

  it("of a node that begins without NATS is that of its file, which is the fleet's", async () => {
    const more = `data_dir = "${folder}"\n`;
    const first = await node(more);
    const second = await node();
    await joined(first, second);
    const id = await makes(second);
    await known(first, id);
    first.signal('SIGTERM');
    expect((await first.exited).code).toBe(0);
    await nats.kill();
    const again = await node(more);
    expect(await finds(again, id)).toBe(200);
    await nats.start();
    const later = await makes(second);
    await known(again, later);
    expect(again.count('stored_state_forgotten')).toBe(0);
  });
});
