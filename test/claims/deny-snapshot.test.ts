import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeSnapshot } from '../../src/deny/deny-snapshot.ts';
import { pause, until } from '../support/conditions.ts';
import { denyScene, settles, synced } from '../support/deny-scene.ts';
import { statuses } from '../support/every-worker.ts';
import type { Gateway } from '../support/gateway.ts';
import { token } from '../support/managed.ts';

const scene = denyScene();

/** Snapshots that a storm of changes lasts for; the bound on its writes is far above what that takes. */
const REWRITES = 3;
const STORM_WRITES = 30_000;
const IDS = 100;

const TENANT = token({ tenantId: 42n });
const NEIGHBOUR = token({ tenantId: 43n });
const KEY = token({ tenantId: 44n, keyId: 7n });

describe('the snapshot', () => {
  const saved = async (gateway: Gateway, path: string): Promise<void> => {
    const { size } = { size: (await gateway.metrics()).get('ai_deny_set_size') };
    await until('the snapshot', () => {
      try {
        return readFileSync(path).includes(`"count":${size}`);
      } catch {
        return false;
      }
    });
  };

  it('is enforced before NATS answers, and what was written since holds when it does', async () => {
    const snapshot = join(scene.folder, 'a.snapshot');
    const first = await scene.gateway({ snapshot });
    await synced(first);
    await scene.writer.tenant(42, 'fraud');
    await scene.writer.key(7, 'spend');
    await settles([first], KEY, 402);
    await saved(first, snapshot);
    await first.stop();
    await scene.writer.allowTenant(42);
    await scene.writer.tenant(43, 'spend');
    await scene.writer.close();
    await scene.nats.kill();
    const second = await scene.gateway({ snapshot });
    expect(await statuses(second, TENANT)).toEqual([403]);
    expect(await statuses(second, KEY)).toEqual([402]);
    expect(await statuses(second, NEIGHBOUR)).toEqual([200]);
    expect(second.logs.find(({ event }) => event === 'deny_snapshot_loaded')).toMatchObject({
      entries: 2,
    });
    await scene.nats.start();
    await settles([second], NEIGHBOUR, 402);
    await settles([second], TENANT, 200);
    expect(await statuses(second, KEY)).toEqual([402]);
    expect(await synced(second)).toMatchObject({ how: 'resumed' });
  });

  it('that is torn, changed, foreign, of another bucket or unreadable is ignored whole, and said so', async () => {
    const snapshot = join(scene.folder, 'b.snapshot');
    const first = await scene.gateway({ snapshot });
    await synced(first);
    await scene.writer.tenant(42, 'fraud');
    await settles([first], TENANT, 403);
    await saved(first, snapshot);
    await first.stop();
    await scene.writer.close();
    await scene.nats.kill();
    const bytes = readFileSync(snapshot);
    const changed = Buffer.from(bytes);
    changed[bytes.length - 40] = (changed[bytes.length - 40] ?? 0) ^ 1;
    const files: readonly (readonly [string, Buffer, RegExp, string])[] = [
      ['torn', bytes.subarray(0, bytes.length - 5), /checksum/, ''],
      ['empty', Buffer.alloc(0), /too short/, ''],
      ['changed', changed, /checksum/, ''],
      ['foreign', Buffer.from('x'.repeat(500)), /not a snapshot/, ''],
      ['other', bytes, /bucket ai-gateway/, 'config_bucket = "other"\n'],
    ];
    for (const [name, content, reason, extra] of files) {
      const path = join(scene.folder, `${name}.snapshot`);
      writeFileSync(path, content);
      const gateway = await scene.gateway({ snapshot: path, extra });
      const line = await gateway.waitForLog(({ event }) => event === 'deny_snapshot_ignored');
      expect([name, line['reason']]).toEqual([name, expect.stringMatching(reason)]);
      expect(await statuses(gateway, TENANT)).toEqual([200]);
      await gateway.stop();
    }
    const nobody = await scene.gateway({ url: null, snapshot });
    expect(await statuses(nobody, TENANT)).toEqual([200]);
    const gateway = await scene.gateway({ snapshot: scene.folder });
    await gateway.waitForLog(({ event }) => event === 'deny_snapshot_ignored');
  });

  it('is written at most once in 5 s, however much changes, and then holds the last of it', async () => {
    const snapshot = join(scene.folder, 'c.snapshot');
    const gateway = await scene.gateway({ snapshot });
    await synced(gateway);
    const versions: bigint[] = [];
    const look = (): void => {
      const { mtimeNs } = statSync(snapshot, { bigint: true, throwIfNoEntry: false }) ?? {};
      if (mtimeNs !== undefined && mtimeNs !== versions.at(-1)) versions.push(mtimeNs);
    };
    let writes = 0;
    for (; versions.length < REWRITES && writes < STORM_WRITES; writes++) {
      await scene.writer.tenant(writes % IDS, writes % 3 === 0 ? 'spend' : 'fraud');
      look();
      await pause(1);
    }
    const gapsMs = versions.slice(1).map((at, i) => Number(at - (versions[i] ?? at)) / 1e6);
    // Times of files come from the kernel's tick, of at most 10 ms.
    for (const gapMs of gapsMs) expect(gapMs).toBeGreaterThan(4_980);
    expect(gapsMs).toHaveLength(REWRITES - 1);
    expect(writes).toBeGreaterThan(500);
    await until('the last change in it', () => {
      const { cursor, count } = decodeSnapshot(readFileSync(snapshot));
      return cursor?.revision === writes && count === IDS;
    });
  });

  it('without one, a deny that was written while the gateway was down holds once NATS answers', async () => {
    await scene.writer.tenant(42, 'fraud');
    const gateway = await scene.gateway();
    await settles([gateway], TENANT, 403);
    expect(await synced(gateway)).toMatchObject({ how: 'read', entries: 1 });
  });
});
