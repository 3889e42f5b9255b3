import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { credsAuthenticator } from 'nats';
import { describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { denyScene, holds, settles, synced } from '../support/deny-scene.ts';
import { ask, statuses } from '../support/every-worker.ts';
import { inLanes } from '../support/lanes.ts';
import { token } from '../support/managed.ts';
import { BUCKET, denyWriter, startNats } from '../support/nats.ts';
import { natsAuthentication } from '../support/nats-jwt.ts';
import { selfSigned } from '../support/tls.ts';

const scene = denyScene();

/** Entries of the bucket before the gateway starts, and at least so many more while it starts. */
const EARLY = 2_000;
const LATE = 500;
const LATE_MAX = 20_000;
/** Writes that are on their way at the same time. */
const WRITERS = 4;
const nothing = (): null => null;

const TENANT = token({ tenantId: 42n });
const NEIGHBOUR = token({ tenantId: 43n });
const KEY = token({ tenantId: 44n, keyId: 7n });
const KEY_NEIGHBOUR = token({ tenantId: 44n, keyId: 8n });

describe('a deny', () => {
  it("holds on every worker of every gateway, for its tenant alone, and is told in the caller's dialect", async () => {
    const both = [await scene.gateway(), await scene.gateway()];
    for (const gateway of both) await synced(gateway);
    const cases = [
      ['spend', 402, 'spend_limit'],
      ['fraud', 403, 'denied'],
      ['whatever else', 403, 'denied'],
      ['', 403, 'denied'],
      ['{"reason":"spend"}', 402, 'spend_limit'],
      ['{"reason":"spend","exp":4000000000}', 402, 'spend_limit'],
      ['{"reason":', 403, 'denied'],
    ] as const;
    for (const [value, status, code] of cases) {
      await scene.writer.tenant(42, value);
      await settles(both, TENANT, status);
      for (const gateway of both) {
        expect((await ask(gateway, TENANT)).json()).toMatchObject({ error: { code } });
        const anthropic = await ask(gateway, TENANT, '/v1/messages');
        expect([anthropic.status, (anthropic.json() as { type: string }).type]).toEqual([
          status,
          'error',
        ]);
        expect(await statuses(gateway, NEIGHBOUR)).toEqual([200]);
        expect(await statuses(gateway, 'sk-callers-own')).toEqual([200]);
      }
    }
    await scene.writer.allowTenant(42);
    await settles(both, TENANT, 200);
    await scene.writer.tenant(42, 'spend');
    await settles(both, TENANT, 402);
    await scene.writer.kv.purge('blackhole.42');
    await settles(both, TENANT, 200);
  });

  it('that is written while the bucket is read at the start is not lost', async () => {
    const tenants = Array.from({ length: EARLY }, (_, id) => 1_000 + id);
    await inLanes(tenants, WRITERS, nothing, (id) => scene.writer.tenant(id, 'fraud'));
    const gateway = scene.launch();
    // From before the start until after the reading, so that some fall into it wherever it is.
    const late: number[] = [];
    let told = -1;
    while (late.length < LATE || told === -1) {
      if (late.length > LATE_MAX) throw new Error('the gateway does not start');
      const ids = Array.from({ length: WRITERS }, (_, id) => 10_000 + late.length + id);
      await Promise.all(ids.map((id) => scene.writer.tenant(id, 'spend')));
      late.push(...ids);
      await pause(2);
      if (told === -1 && gateway.count('deny_set_synced') > 0) told = late.length;
    }
    await gateway.ready();
    const { entries } = await synced(gateway);
    expect(entries).toBeGreaterThan(EARLY);
    await holds(gateway, EARLY + late.length);
    const around = late.slice(Math.max(0, told - 200), told + 50);
    for (const id of [...around, late[0] ?? 0, late.at(-1) ?? 0]) {
      expect([id, (await ask(gateway, token({ tenantId: BigInt(id) }))).status]).toEqual([id, 402]);
    }
    expect(await statuses(gateway, token({ tenantId: 1_000n }))).toEqual([403]);
    expect(await statuses(gateway, TENANT)).toEqual([200]);
  });

  it("of a key leaves the tenant's other keys alone; of the tenant, holds for all of them", async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    await scene.writer.key(7, 'spend');
    await settles([gateway], KEY, 402);
    expect(await statuses(gateway, KEY_NEIGHBOUR)).toEqual([200]);
    await scene.writer.tenant(44, 'fraud');
    await settles([gateway], KEY_NEIGHBOUR, 403);
    expect(await statuses(gateway, KEY)).toEqual([403]);
    await scene.writer.allowTenant(44);
    await settles([gateway], KEY_NEIGHBOUR, 200);
    expect(await statuses(gateway, KEY)).toEqual([402]);
  });

  it('ends by itself at its exp, and one that has ended never begins', async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    const exp = Math.floor(Date.now() / 1_000) + 3;
    await scene.writer.tenant(42, JSON.stringify({ reason: 'spend', exp }));
    await scene.writer.tenant(43, JSON.stringify({ reason: 'fraud', exp: 1_000 }));
    await settles([gateway], TENANT, 402);
    expect(await statuses(gateway, NEIGHBOUR)).toEqual([200]);
    await settles([gateway], TENANT, 200);
    expect(Date.now() / 1_000).toBeGreaterThanOrEqual(exp);
    expect((await gateway.metrics()).get('ai_deny_set_size')).toBe(0);
  });

  it('is counted, and keys that are not about the deny-set are not', async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    for (const key of [
      'blackhole.042',
      'blackhole.x',
      'blackhole.key.',
      'other',
      'blackhole.99999999999999999999',
    ])
      await scene.writer.kv.put(key, 'fraud').catch(() => {});
    await scene.writer.tenant(42, 'fraud');
    await scene.writer.key(42, 'spend');
    await settles([gateway], TENANT, 403);
    const metrics = await until('both', async () => {
      const scraped = await gateway.metrics();
      return scraped.get('ai_deny_set_size') === 2 && scraped;
    });
    expect(metrics.get('ai_nats_connected')).toBe(1);
    expect(metrics.get('ai_deny_set_age_seconds')).toBeLessThan(30);
    expect(metrics.get('ai_rejections_total{reason="denied"}')).toBeGreaterThan(0);
  });
});

describe('a NATS behind TLS that wants credentials', () => {
  it('is followed with ca_file, a tls:// address and nats_creds_file, and not without', async () => {
    const { key, cert } = selfSigned(['localhost', '127.0.0.1']);
    const [certFile, keyFile, credsFile] = ['nats.pem', 'nats.key', 'user.creds'].map((name) =>
      join(scene.folder, name),
    );
    if (certFile === undefined || keyFile === undefined || credsFile === undefined)
      throw new Error();
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
    const authentication = natsAuthentication(credsFile);
    const guarded = await startNats(
      `tls { cert_file: "${certFile}", key_file: "${keyFile}" }\n${authentication}`,
      { tls: { ca: cert }, authenticator: credsAuthenticator(readFileSync(credsFile)) },
    );
    const hand = await denyWriter(guarded);
    await hand.tenant(42, 'fraud');
    const url = `tls://localhost:${guarded.port}`;
    const trusted = `ca_file = "${certFile}"\n`;
    const gateway = await scene.gateway({
      url,
      extra: `${trusted}nats_creds_file = "${credsFile}"\n`,
    });
    await settles([gateway], TENANT, 403);
    for (const extra of [trusted, `nats_creds_file = "${credsFile}"\n`]) {
      const stranger = await scene.gateway({ url, extra });
      await stranger.waitForLog(({ event }) => event === 'nats_lost');
      expect(await statuses(stranger, TENANT)).toEqual([200]);
    }
    await hand.close();
    await guarded.kill();
  });
});

describe('without NATS', () => {
  it('the gateway serves at once, and enforces what it says when it comes', async () => {
    await scene.writer.tenant(42, 'fraud');
    await scene.writer.close();
    await scene.nats.kill();
    const gateway = await scene.gateway();
    expect(await statuses(gateway, TENANT)).toEqual([200]);
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect((await gateway.metrics()).get('ai_nats_connected')).toBe(0);
    await scene.nats.start();
    await synced(gateway);
    await settles([gateway], TENANT, 403);
    expect(gateway.logs.filter(({ event }) => event === 'nats_lost')).toHaveLength(1);
  });

  it('the last known set stays, and what was written meanwhile holds as soon as it is back', async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    await scene.writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    await scene.nats.kill();
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect(await statuses(gateway, TENANT)).toEqual([403]);
    expect(await statuses(gateway, NEIGHBOUR)).toEqual([200]);
    await scene.writer.close();
    await scene.nats.start();
    await scene.writeAnew();
    await scene.writer.tenant(43, 'spend');
    await scene.writer.allowTenant(42);
    await settles([gateway], NEIGHBOUR, 402);
    await settles([gateway], TENANT, 200);
  });

  it('a server that stops answering without a word is noticed, and nothing is lost', async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    scene.nats.freeze();
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect(await statuses(gateway, TENANT)).toEqual([200]);
    scene.nats.thaw();
    await scene.writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
  });
});

describe('a bucket', () => {
  it('that does not exist yet is waited for', async () => {
    const manager = await scene.writer.connection.jetstreamManager();
    await manager.streams.delete(`KV_${BUCKET}`);
    const gateway = await scene.gateway();
    await gateway.waitForLog(({ event }) => event === 'deny_bucket_missing');
    expect(await statuses(gateway, TENANT)).toEqual([200]);
    const again = await denyWriter(scene.nats);
    await again.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    await again.close();
  });

  it('that was deleted and made again is read anew, although its revisions begin anew as well', async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    for (let id = 100; id < 120; id++) await scene.writer.tenant(id, 'fraud');
    await scene.writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    await scene.writer.kv.destroy();
    const again = await denyWriter(scene.nats);
    await again.tenant(43, 'spend');
    await settles([gateway], NEIGHBOUR, 402);
    await settles([gateway], TENANT, 200);
    await again.close();
  });

  it('that was purged, so that no marker tells of it, is read anew', async () => {
    const gateway = await scene.gateway();
    await synced(gateway);
    await scene.writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    const manager = await scene.writer.connection.jetstreamManager();
    await manager.streams.purge(`KV_${BUCKET}`);
    await settles([gateway], TENANT, 200);
    await scene.writer.tenant(43, 'fraud');
    await settles([gateway], NEIGHBOUR, 403);
  });
});
