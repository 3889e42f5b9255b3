import { afterAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { synced } from '../support/deny-scene.ts';
import { DyingWorkers } from '../support/dying-worker.ts';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { BUCKET, denyWriter, NATS_MISSING, startNats } from '../support/nats.ts';
import { Wire } from '../support/wire.ts';

// Mostly pauses: they run side by side.

/** Longer than a worker must live to count as healthy. */
const HEALTHY_MS = 61_000;
const ENTRIES = 2_000;
/** Reading the entries at this rate takes more than a second. */
const SLOW_BYTES_PER_SECOND = 200_000;

const ends: (() => Promise<void> | void)[] = [];
afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

async function gatewayOf(config: string, nodeArgs: readonly string[] = []): Promise<Gateway> {
  const gateway = await startGateway({ config: `workers = 1\n${config}`, nodeArgs });
  ends.push(() => gateway.stop());
  return gateway;
}

async function natsOver(bytesPerSecond: number) {
  const nats = await startNats();
  const wire = new Wire(nats.port, { bytesPerSecond });
  const url = `nats://127.0.0.1:${await wire.listen()}`;
  ends.push(
    () => nats.kill(),
    () => wire.close(),
  );
  return { nats, wire, config: `nats_url = "${url}"\n` };
}

const gapsOf = (times: readonly number[]): readonly number[] =>
  times.slice(1).map((at, i) => at - (times[i] ?? at));

describe.concurrent('in the long run', () => {
  it('a NATS that is never there is tried at least every 30 s', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const { wire, config } = await natsOver(0);
    wire.refuse();
    await gatewayOf(config);
    await until('nine tries', () => wire.tries.length >= 9, 300_000);
    const gapsMs = gapsOf(wire.tries);
    // The seventh and eighth would be 32 s and 64 s at least, had they been doubled on.
    expect(gapsMs[5]).toBeGreaterThan(14_900);
    expect(gapsMs[6]).toBeGreaterThan(14_900);
    expect(gapsMs[7]).toBeLessThan(60_000);
  });

  it.for([
    ['quickly', 0],
    ['slowly', SLOW_BYTES_PER_SECOND],
  ] as const)('a bucket that is read %s is read whole after 30 s, or 50 times what it takes', async ([
    ,
    rate,
  ], ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const { nats, config } = await natsOver(rate);
    const writer = await denyWriter(nats);
    ends.push(() => writer.close());
    const ids = Array.from({ length: ENTRIES }, (_, id) => id);
    await inLanes(
      ids,
      10,
      () => null,
      (id) => writer.tenant(id, 'fraud'),
    );
    // The server tells whenever a reader begins.
    const readings: number[] = [];
    writer.connection.subscribe(`$JS.EVENT.ADVISORY.CONSUMER.CREATED.KV_${BUCKET}.>`, {
      callback: () => readings.push(performance.now()),
    });
    await writer.connection.flush();
    const gateway = await gatewayOf(config);
    await synced(gateway);
    const tookMs = performance.now() - (readings[0] ?? 0);
    if (rate > 0) expect(tookMs).toBeGreaterThan(1_000);
    await until('the next reading', () => readings.length > 1, 400_000);
    const [gapMs = 0] = gapsOf(readings);
    // A tenth less than promised: how long it took is seen from outside.
    expect(gapMs).toBeGreaterThan(Math.max(30_000, 45 * (rate > 0 ? tookMs : 0)));
    expect(gateway.count('nats_lost')).toBe(0);
  });

  it('a worker that lived for a minute is replaced as fast as at first', async () => {
    const workers = new DyingWorkers();
    const gateway = await gatewayOf('', workers.nodeArgs);
    const dies = async (times: number): Promise<unknown> => {
      workers.killOne();
      await until('its replacement', () => gateway.count('worker_restarted') === times);
      return gateway.events('worker_died').at(-1)?.['restart_in_ms'];
    };
    expect([await dies(1), await dies(2), await dies(3)]).toEqual([100, 200, 400]);
    await pause(HEALTHY_MS);
    expect([await dies(4), await dies(5)]).toEqual([100, 200]);
  });
});
