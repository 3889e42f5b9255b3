import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { DyingWorkers } from '../support/dying-worker.ts';
import { facts, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { startSiege } from '../support/siege.ts';

const STREAMS = 20;
const EVENT = 'data: {"choices":[{"delta":{"content":"Hello you"}}]}\n\n';

it('a worker that throws ends its streams uncleanly, its exchanges are out of flight, and their facts are told', async () => {
  const workers = new DyingWorkers();
  const siege = await startSiege(
    async (turn) => {
      await turn.bodyDone();
      await turn.stream();
      await turn.chunk(EVENT);
    },
    { nodeArgs: workers.nodeArgs },
  );
  const { gateway, upstream } = siege;
  const asked = '{"model":"m","stream":true,"stream_options":{"include_usage":true}}';
  const clients = Array.from({ length: STREAMS }, () =>
    new RawClient(gateway.port).send(post(token(), CHAT, asked)),
  );
  await until('all to stream', () => clients.every(({ receivedBytes }) => receivedBytes > 0));
  workers.killOne();
  for (const client of clients) expect((await client.response()).complete).toBe(false);
  await gateway.waitForLog(({ event }) => event === 'worker_restarted');
  await until('the provider to be let go', () =>
    upstream.requests.every(({ peerClosed }) => peerClosed),
  );
  const metrics = await gateway.idle();
  expect(metrics.get('ai_active_streams')).toBe(0);
  expect(metrics.sum('ai_exchanges_settled_total')).toBe(metrics.get('ai_requests_total'));
  await until('a fact each', () => facts(gateway).length >= STREAMS);
  expect(facts(gateway).length).toBe(STREAMS);
  // Neither its clients left, nor was it asked to stop.
  for (const fact of facts(gateway)) expect(fact).toMatchObject({ outcome: 'gateway_error' });
  await siege.close();
});
