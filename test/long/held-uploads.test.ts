import { afterAll, beforeAll, expect, it } from 'vitest';
import { SLIP_NODE_LIMIT_BYTES } from '../../src/edge/slip-account.ts';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { MemoryWatch } from '../support/memory-watch.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const MIB = 1_048_576;
const UPLOADS = 100;
const UPLOAD_BYTES = 24 * MIB;
/** One buffer for all: what is told apart is the gateway's memory, not the test's. */
const PART = Buffer.alloc(MIB, 'x');

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream((turn) => {
    if (turn.request.method === 'GET') return turn.answer('ok');
    turn.socket.pause();
    return new Promise<void>((resolve) => turn.socket.once('close', () => resolve()));
  });
  gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: upstream.port })}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

function pump(client: RawClient): RawClient {
  client.send(head('POST', '/v1/x', [`Content-Length: ${UPLOAD_BYTES}`]));
  for (let sent = 0; sent < UPLOAD_BYTES; sent += PART.length) client.send(PART);
  return client;
}

const slipped = async (): Promise<number> =>
  (await gateway.metrics()).get('ai_upload_slipped_bytes');

// They took 1.7 GiB when each had 16 MiB of its own.
it('100 uploads that no provider reads stay within the bound of the node, and are refused in the end', async () => {
  const watch = new MemoryWatch(gateway);
  const clients = Array.from({ length: UPLOADS }, () => pump(new RawClient(gateway.port)));
  let most = 0;
  const isFull = async (): Promise<boolean> => {
    most = Math.max(most, await slipped());
    return most > SLIP_NODE_LIMIT_BYTES - MIB;
  };
  await until('the room to be taken', isFull, 60_000);
  // Who comes now is served, and who leaves now gives room back.
  const neighbour = new RawClient(gateway.port).send(head('GET', '/v1/x'));
  expect((await neighbour.response()).status).toBe(200);
  neighbour.close();
  const refused = async (): Promise<number> => {
    most = Math.max(most, await slipped());
    return (await gateway.metrics()).get('ai_rejections_total{reason="overloaded"}');
  };
  await until('some to be refused', async () => (await refused()) > 0, 90_000);
  expect(most).toBeLessThanOrEqual(SLIP_NODE_LIMIT_BYTES);
  for (const client of clients) client.close();
  // A client's end is seen behind its last byte: one look after the other, as there is room for looks.
  await until('all to be noticed', async () => (await slipped()) === 0, 180_000);
  await gateway.idle();
  // What slipped in, a read of each before it was held back, and what garbage collection lags behind.
  expect(watch.stop()).toBeLessThan(400 * MIB);
});
