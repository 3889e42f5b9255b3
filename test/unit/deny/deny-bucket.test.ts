import { connect } from 'nats';
import { expect, test } from 'vitest';
import { DenyBucket } from '../../../src/deny/deny-bucket.ts';
import { until } from '../../support/conditions.ts';
import { BUCKET, NATS_MISSING, startNatsCluster } from '../../support/nats.ts';

/** A server that is left alone gives up leading after some 20 s, by its own clock. */
const LEADERLESS_MS = 100_000;

test('a cluster without a leader is connected to: nothing is asked of it that nobody would ask again', async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  const cluster = await startNatsCluster();
  try {
    const [last, ...others] = cluster.servers;
    // One of three elects nobody.
    for (const server of others) await server.kill();
    const asking = await connect({ ...last?.client });
    await until(
      'nobody to lead',
      async () => {
        const asked = asking.jetstreamManager({ timeout: 500 });
        return await asked.then(
          () => false,
          () => true,
        );
      },
      LEADERLESS_MS,
    );
    await asking.close();
    const source = { urls: [last?.url ?? ''], bucket: BUCKET, credsFile: null, caFile: null };
    const bucket = await DenyBucket.connect(source);
    expect(bucket.server).toBe(last?.url.slice('nats://'.length));
    await bucket.close();
  } finally {
    await cluster.end();
  }
}, 120_000);
