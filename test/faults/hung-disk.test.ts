import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { decodeSnapshot } from '../../src/deny/deny-snapshot.ts';
import { until } from '../support/conditions.ts';
import { denyScene, holds, settles, synced } from '../support/deny-scene.ts';
import { ask } from '../support/every-worker.ts';
import type { Gateway } from '../support/gateway.ts';
import { token } from '../support/managed.ts';

/** A probe that waits for the disk would wait for ever; this only ends it. Milliseconds. */
const PROBE_MS = 20_000;
/** Facts of 0.6 KB: more than the 64 KiB that a pipe takes. */
const REQUESTS = 300;

const folder = mkdtempSync(join(tmpdir(), 'sluice-hung-'));
afterAll(() => rmSync(folder, { recursive: true }));
const scene = denyScene();

/** A file whose writes hang until somebody reads it: what a network disk does whose server has gone. */
function hangingFile(name: string): string {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
}

async function expectProbes({ metricsPort }: Gateway): Promise<void> {
  for (const path of ['/livez', '/readyz', '/metrics']) {
    const signal = AbortSignal.timeout(PROBE_MS);
    const response = await fetch(`http://127.0.0.1:${metricsPort}${path}`, { signal });
    expect([path, response.status]).toEqual([path, 200]);
    await response.text();
  }
}

const workerOf = (id: string): string => id.slice(0, -8);

describe('a disk that hangs', () => {
  it('under the spill file stops no probe, no request and no deny, and gets every fact in order when it is back', async () => {
    const path = hangingFile('spill');
    const gateway = await scene.gateway({ extra: `usage_spill_path = "${path}"\n` });
    await synced(gateway);
    gateway.child.stdout?.destroy();
    const ids: string[] = [];
    for (let i = 0; i < REQUESTS; i++) {
      const response = await ask(gateway, token());
      expect(response.status).toBe(200);
      ids.push(response.field('x-sluice-request-id') ?? '');
    }
    const before = (await gateway.metrics()).get('ai_usage_facts_spilled_total');
    expect(before).toBeLessThan(REQUESTS);
    await expectProbes(gateway);
    await scene.writer.tenant(42, 'spend');
    await settles([gateway], token(), 402);
    const reader = await open(path, 'r');
    let text = '';
    const reading = (async () => {
      for await (const piece of reader.createReadStream({ encoding: 'utf8' })) text += piece;
    })();
    await until('every fact', () => text.split('\n').length - 1 >= REQUESTS);
    const spilled: readonly string[] = text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line).request_id);
    expect(new Set(spilled).size).toBe(spilled.length);
    expect(ids.filter((id) => !spilled.includes(id))).toEqual([]);
    // Ids count up on each worker, and nothing is known of the order between two.
    for (const worker of new Set(ids.map(workerOf))) {
      const own = spilled.filter((id) => workerOf(id) === worker);
      expect(own).toEqual([...own].sort());
    }
    expect((await gateway.metrics()).get('ai_usage_facts_lost_total')).toBe(0);
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
    await reading;
  });

  it('under the spill file does not keep the process from ending, which says how many facts are nowhere', async () => {
    const path = hangingFile('spill-for-good');
    const gateway = await scene.gateway({ extra: `usage_spill_path = "${path}"\n` });
    gateway.child.stdout?.destroy();
    for (let i = 0; i < REQUESTS; i++) await ask(gateway, token());
    gateway.signal('SIGTERM');
    await gateway.exited;
    expect(gateway.stderr).toMatch(/^[1-9]\d* usage facts were lost/m);
    expect(gateway.stderr).toContain('The disk does not answer');
  });

  it('under the snapshot stops no probe, no deny and no log line, and is written when it is back', async () => {
    const snapshot = join(folder, 'deny.snapshot');
    hangingFile('deny.snapshot.tmp');
    const gateway = await scene.gateway({ snapshot, extra: 'access_log = true\n' });
    await synced(gateway);
    await scene.writer.tenant(42, 'fraud');
    await gateway.waitForLog(({ event }) => event === 'deny_snapshot_stalled');
    await expectProbes(gateway);
    await scene.writer.tenant(43, 'spend');
    await holds(gateway, 2);
    await settles([gateway], token({ tenantId: 43n }), 402);
    const lines = gateway.count('access');
    await ask(gateway, token());
    await until('its line', () => gateway.count('access') > lines);
    expect(gateway.count('deny_snapshot_stalled')).toBe(1);
    // Whoever reads the pipe lets the write through; it cannot be synced, so it is told and made again, as a file.
    const pipe = join(folder, 'deny.snapshot.tmp');
    const reader = await open(pipe, 'r');
    rmSync(pipe);
    await reader.readFile();
    await reader.close();
    await until('the snapshot', () => {
      try {
        return decodeSnapshot(readFileSync(snapshot)).count === 2;
      } catch {
        return false;
      }
    });
    gateway.signal('SIGTERM');
    expect((await gateway.exited).code).toBe(0);
  });

  it('under the snapshot does not keep the process from ending', async () => {
    const snapshot = join(folder, 'other.snapshot');
    hangingFile('other.snapshot.tmp');
    const gateway = await scene.gateway({ snapshot });
    await synced(gateway);
    await scene.writer.tenant(42, 'fraud');
    await settles([gateway], token(), 403);
    gateway.signal('SIGTERM');
    await gateway.exited;
    expect(gateway.stderr).toContain('The disk does not answer');
  });
});
