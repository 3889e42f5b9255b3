import { expect, test } from 'vitest';
import { DenyBucket } from '../../../src/deny/deny-bucket.ts';
import { BUCKET, NATS_MISSING, startNatsCluster } from '../../support/nats.ts';

test('a cluster without a leader is connected to: nothing is asked of it that nobody would ask again', async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  const cluster = await startNatsCluster();
  try {
    const last = await cluster.leaderless();
    const source = { urls: [last.url], bucket: BUCKET, credsFile: null, caFile: null };
    const bucket = await DenyBucket.connect(source);
    expect(bucket.server).toBe(last.url.slice('nats://'.length));
    await bucket.close();
  } finally {
    await cluster.end();
  }
}, 120_000);
