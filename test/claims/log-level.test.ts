import { join } from 'node:path';
import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { denyScene, settles, synced } from '../support/deny-scene.ts';
import type { Gateway } from '../support/gateway.ts';
import { token } from '../support/managed.ts';

const scene = denyScene();

const DEBUG_EVENTS = [
  'worker_listening',
  'nats_connected',
  'deny_set_read',
  'deny_changed',
  'deny_snapshot_written',
];

async function denied(level: string): Promise<Gateway> {
  const snapshot = join(scene.folder, `${level}.snapshot`);
  const gateway = await scene.gateway({ snapshot, extra: `log_level = "${level}"\n` });
  await synced(gateway);
  await scene.writer.tenant(42, 'spend');
  await settles([gateway], token(), 402);
  return gateway;
}

it('debug tells what the main thread does with the deny-set and its workers, info does not', async () => {
  const debug = await denied('debug');
  await until('every kind of line', () => DEBUG_EVENTS.every((event) => debug.count(event) > 0));
  expect(debug.events('deny_changed')[0]).toMatchObject({
    level: 'debug',
    key: 'blackhole.42',
    operation: 'PUT',
  });
  const info = await denied('info');
  expect(info.logs.filter(({ level }) => level === 'debug')).toEqual([]);
});

it('a reload names the keys that changed, and none of their values', async () => {
  const gateway = await scene.gateway({ url: null });
  gateway.configure('max_in_flight = 717171\nidle_timeout_secs = 5\nallow_empty = true\n');
  gateway.signal('SIGHUP');
  const line = await gateway.waitForLog(({ event }) => event === 'config_reloaded');
  expect(line['changed']).toEqual(
    expect.arrayContaining(['max_in_flight', 'idle_timeout_secs', 'pool_keys', 'signing_keys']),
  );
  // No number that a time stamp may hold.
  expect(JSON.stringify(line)).not.toMatch(/sk-pool|717171/);
});
