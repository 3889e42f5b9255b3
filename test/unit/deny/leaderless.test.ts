import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { DenyBucket } from '../../../src/deny/deny-bucket.ts';
import { NatsGrants } from '../../../src/fleet/nats-grants.ts';
import type { Log } from '../../../src/outlet/log.ts';
import { StateFleet } from '../../../src/stored/state-fleet.ts';
import { SECRET_BYTES } from '../../../src/stored/state-table.ts';
import { until } from '../../support/conditions.ts';
import {
  NATS_MISSING,
  type NatsCluster,
  type NatsServer,
  questionsTo,
  startNatsCluster,
} from '../../support/nats.ts';

/** Until it is out of reach, and until the cluster that is whole again has elected its leader. */
const LIMIT_MS = 60_000;

let cluster: NatsCluster;
let last: NatsServer;
let connection: NatsConnection;
let questions: readonly string[];

beforeAll(async () => {
  if (NATS_MISSING !== null) return;
  cluster = await startNatsCluster();
  last = await cluster.leaderless();
  connection = await connect({ ...last.client, reconnect: false });
  questions = await questionsTo(await connect({ ...last.client, reconnect: false }));
}, 120_000);
beforeEach((ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
});
afterAll(async () => {
  await connection?.close();
  await cluster?.end();
});

class Told implements Log {
  readonly events: string[] = [];
  write(_: string, event: string): void {
    this.events.push(event);
  }
  async has(event: string): Promise<void> {
    await until(event, () => this.events.includes(event), LIMIT_MS);
  }
}

const grantsLog = new Told();
const grants = new NatsGrants('a', () => connection, grantsLog);
const stateLog = new Told();
const member = { secret: Buffer.alloc(SECRET_BYTES, 7), adopt: () => {}, learn: () => {} };
const state = new StateFleet('a', member, stateLog, () => connection);

/** How often a bucket was asked for before it was given up. */
const asked = (bucket: string): number =>
  questions.filter((question) => question === `STREAM.INFO.KV_${bucket}`).length;

test('budget grants ask a cluster without a leader for their bucket again and again before they give it up', async () => {
  grants.start();
  await grantsLog.has('budget_grants_out_of_reach');
  expect(asked('a-fleet')).toBeGreaterThan(1);
});

test('stored state asks a cluster without a leader for its bucket again and again before it gives it up', async () => {
  state.start();
  await stateLog.has('stored_state_not_shared');
  expect(asked('a-state')).toBeGreaterThan(1);
});

test('a bucket that is made where there is none is asked for again and again, too', async () => {
  const source = { urls: [last.url], bucket: 'made', credsFile: null, caFile: null };
  await expect(DenyBucket.connect(source, true)).rejects.toThrow();
  expect(asked('made')).toBeGreaterThan(1);
});

test('nobody asks whether JetStream is there: that question would be waited for, and never be asked again', () => {
  expect(questions.filter((question) => question === 'INFO')).toEqual([]);
});

test('all of them have their bucket as soon as the cluster has a leader again', async () => {
  const source = { urls: [last.url], bucket: 'made', credsFile: null, caFile: null };
  await cluster.complete();
  await until('the grants', () => grants.isReachable, LIMIT_MS);
  await stateLog.has('stored_state_shared_again');
  const bucket = await until(
    'the bucket',
    () => DenyBucket.connect(source, true).catch(() => null),
    LIMIT_MS,
  );
  expect((await bucket.info()).config.name).toBe('KV_made');
  await bucket.close();
  grants.stop();
  await state.stop();
}, 180_000);
