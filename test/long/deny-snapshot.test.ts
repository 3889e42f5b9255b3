import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { decodeSnapshot } from '../../src/deny/deny-snapshot.ts';
import { pause } from '../support/conditions.ts';
import { holds } from '../support/deny-scene.ts';
import { seededRandom } from '../support/fixtures.ts';
import { Gateway } from '../support/gateway.ts';
import {
  type DenyWriter,
  denyWriter,
  NATS_MISSING,
  type NatsServer,
  startNats,
} from '../support/nats.ts';

const KILLS = 100;
/** Gateways at a time, each with a snapshot of its own. */
const LANES = 4;
const SEED = Number(process.env['STORM_SEED'] ?? Date.now() % 1_000_000);

let nats: NatsServer;
let writer: DenyWriter;

beforeAll(async () => {
  if (NATS_MISSING !== null) return;
  nats = await startNats();
  writer = await denyWriter(nats);
});
afterAll(async () => {
  await writer?.close();
  await nats?.kill();
});

it(`a kill at any moment leaves a snapshot that is whole, or none (${KILLS} times, seed ${SEED})`, async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  const folder = mkdtempSync(join(tmpdir(), 'sluice-kill-'));
  let over = false;
  // Entries that come and go, and enough of them that a snapshot takes a while to write.
  const writing = (async () => {
    for (let id = 0; !over; id++) {
      await writer.tenant(id % 5_000, 'fraud').catch(() => {});
      if (id % 3 === 0) await writer.allowTenant((id * 7) % 5_000).catch(() => {});
    }
  })();
  let loaded = 0;
  const lane = async (number: number): Promise<void> => {
    const random = seededRandom(SEED + number);
    const path = join(folder, `${number}.snapshot`);
    let revision = 0;
    for (let round = 0; round < KILLS / LANES; round++) {
      const gateway = await new Gateway({
        config: `workers = 1\nnats_url = "${nats.url}"\nsnapshot_path = "${path}"\n`,
      }).ready();
      if (gateway.logs.some(({ event }) => event === 'deny_snapshot_loaded')) loaded++;
      expect(gateway.logs.filter(({ event }) => event === 'deny_snapshot_ignored')).toEqual([]);
      // The first snapshot is written within a second of the first whole set, which four starting gateways on two
      // cores reach at any time: around that write is where a kill hurts.
      await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
      await pause(random() * 1_500);
      await gateway.stop();
      if (!existsSync(path)) continue;
      const snapshot = decodeSnapshot(readFileSync(path));
      expect([...snapshot.records]).toHaveLength(snapshot.count);
      // Only ever a later state than the one before.
      expect(snapshot.cursor?.revision ?? 0).toBeGreaterThanOrEqual(revision);
      revision = snapshot.cursor?.revision ?? 0;
    }
    expect(revision).toBeGreaterThan(0);
  };
  try {
    await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
  } finally {
    // Left running it would spin on the closed client's refusals, and no timeout ends a file that never yields.
    over = true;
    await writing;
  }
  expect(loaded).toBeGreaterThan(KILLS / 2);
});

it("entries that the bucket's own age limit took away without a message are let in again", async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  await writer.kv.destroy();
  const aged = await denyWriter(nats, { ttl: 4_000 });
  const gateway = await new Gateway({ config: `workers = 1\nnats_url = "${nats.url}"\n` }).ready();
  await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
  await aged.tenant(1, 'fraud');
  await holds(gateway, 1);
  await holds(gateway, 0, 120_000);
  await gateway.stop();
  await aged.close();
});
