import { describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { denyScene, synced } from '../support/deny-scene.ts';
import { DyingWorkers } from '../support/dying-worker.ts';
import { startGateway } from '../support/gateway.ts';
import { Wire } from '../support/wire.ts';

// What takes longer, the longest pauses and the return to short ones after a quiet minute, is in test/long.

/** A try is seen when the test's own loop comes to it: two may seem closer together than they were. Milliseconds. */
const SEEN_LATE_MS = 100;

// Both wait for what is doubled, at once.
describe.concurrent('a NATS that refuses', () => {
  const scene = denyScene();

  it('is tried again after ever longer pauses, and after short ones again once it was back', async () => {
    const wire = new Wire(scene.nats.port);
    wire.refuse();
    const gateway = await scene.gateway({ url: `nats://127.0.0.1:${await wire.listen()}` });
    await until('four tries', () => wire.tries.length >= 4);
    const gapsMs = wire.tries.slice(1, 4).map((at, i) => at - (wire.tries[i] ?? at));
    // 1 s, 2 s, 4 s, with up to half taken off.
    for (const [i, gapMs] of gapsMs.entries())
      expect(gapMs).toBeGreaterThan(500 * 2 ** i - SEEN_LATE_MS);
    expect(gateway.count('nats_lost')).toBe(1);

    wire.join();
    await synced(gateway);
    const lostAt = performance.now();
    const before = wire.tries.length;
    wire.refuse();
    const triedAt = await until('the next try', () => wire.tries[before]);
    // 1 s at most, and 4 s at least had it been doubled on.
    expect(triedAt - lostAt).toBeLessThan(4_000);
    await gateway.stop();
    wire.close();
  });
});

describe.concurrent('a worker that dies whenever it starts', () => {
  it('is started again after ever longer pauses, 10 s at most, and serves once it can', async () => {
    const workers = new DyingWorkers();
    const gateway = await startGateway({ config: 'workers = 2\n', nodeArgs: workers.nodeArgs });
    workers.killAtStart().killOne();
    await until('eight deaths', () => gateway.count('worker_died') >= 8, 60_000);
    workers.letLive();
    const deaths = gateway.events('worker_died');
    const delaysMs = deaths.map((line) => Number(line['restart_in_ms']));
    expect(delaysMs).toEqual([100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
    const times = deaths.map((line) => Date.parse(String(line['time'])));
    for (const [i, delayMs] of delaysMs.slice(0, -1).entries())
      expect((times[i + 1] ?? 0) - (times[i] ?? 0)).toBeGreaterThanOrEqual(delayMs - 1);
    // The other one was there all the while.
    expect((await fetch(`http://127.0.0.1:${gateway.metricsPort}/readyz`)).status).toBe(200);
    await gateway.waitForLog(({ event }) => event === 'worker_restarted');
    expect((await gateway.metrics()).get('ai_worker_restarts_total')).toBe(8);
    await gateway.stop();
  });
});
