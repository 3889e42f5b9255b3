import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credsAuthenticator } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import {
  BUCKET,
  type DenyWriter,
  denyWriter,
  NATS_MISSING,
  type NatsServer,
  startNats,
} from '../support/nats.ts';
import { natsAuthentication } from '../support/nats-jwt.ts';
import { RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { selfSigned } from '../support/tls.ts';

/** Enough fresh connections that both workers of a gateway get some: all but 1 time in 16,384. */
const ASKERS = 15;

let upstream: ScriptedUpstream;
let nats: NatsServer;
let writer: DenyWriter;
const gateways: Gateway[] = [];
const folder = mkdtempSync(join(tmpdir(), 'sluice-deny-'));

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
});
afterAll(async () => await upstream.close());
beforeEach(async (ctx) => {
  if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
  nats = await startNats();
  writer = await denyWriter(nats);
});
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop();
  await writer?.close().catch(() => {});
  await nats?.kill();
});

interface Options {
  readonly url?: string;
  readonly snapshot?: string;
  readonly extra?: string;
}

async function gatewayOf({ url = nats.url, snapshot, extra = '' }: Options = {}): Promise<Gateway> {
  const { port } = upstream;
  const gateway = await startGateway({
    config:
      `workers = 2\nnats_url = "${url}"\n${extra}` +
      (snapshot === undefined ? '' : `snapshot_path = "${snapshot}"\n`) +
      authorities({ openai: port, anthropic: port }) +
      poolKeys({ openai: 'sk-pool', anthropic: 'ant-pool' }) +
      signingKeys(),
  });
  gateways.push(gateway);
  return gateway;
}

const synced = (gateway: Gateway) => gateway.waitForLog(({ event }) => event === 'deny_set_synced');

async function ask(gateway: Gateway, key: string, target = '/v1/chat/completions') {
  const client = new RawClient(gateway.port);
  client.send(
    `POST ${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\nContent-Length: 2\r\n\r\n{}`,
  );
  const response = await client.response();
  client.close();
  return response;
}

/** The statuses that a key gets on every worker, each once. */
async function statuses(gateway: Gateway, key: string): Promise<readonly number[]> {
  const answers = await Promise.all(Array.from({ length: ASKERS }, () => ask(gateway, key)));
  return [...new Set(answers.map(({ status }) => status))];
}

/** Resolves when a key gets this status from every worker of every gateway. */
async function settles(list: readonly Gateway[], key: string, status: number): Promise<void> {
  for (const gateway of list) {
    await until(`${status} for the key`, async () => {
      const seen = await statuses(gateway, key);
      return seen.length === 1 && seen[0] === status;
    });
  }
}

const TENANT = token({ tenantId: 42n });
const NEIGHBOUR = token({ tenantId: 43n });
const KEY = token({ tenantId: 44n, keyId: 7n });
const KEY_NEIGHBOUR = token({ tenantId: 44n, keyId: 8n });

describe('a deny', () => {
  it("holds on every worker of every gateway, for its tenant alone, and is told in the caller's dialect", async () => {
    const both = [await gatewayOf(), await gatewayOf()];
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
      await writer.tenant(42, value);
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
    await writer.allowTenant(42);
    await settles(both, TENANT, 200);
    await writer.tenant(42, 'spend');
    await settles(both, TENANT, 402);
    await writer.kv.purge('blackhole.42');
    await settles(both, TENANT, 200);
  });

  it("of a key leaves the tenant's other keys alone; of the tenant, holds for all of them", async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    await writer.key(7, 'spend');
    await settles([gateway], KEY, 402);
    expect(await statuses(gateway, KEY_NEIGHBOUR)).toEqual([200]);
    await writer.tenant(44, 'fraud');
    await settles([gateway], KEY_NEIGHBOUR, 403);
    expect(await statuses(gateway, KEY)).toEqual([403]);
    await writer.allowTenant(44);
    await settles([gateway], KEY_NEIGHBOUR, 200);
    expect(await statuses(gateway, KEY)).toEqual([402]);
  });

  it('ends by itself at its exp, and one that has ended never begins', async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    const exp = Math.floor(Date.now() / 1_000) + 3;
    await writer.tenant(42, JSON.stringify({ reason: 'spend', exp }));
    await writer.tenant(43, JSON.stringify({ reason: 'fraud', exp: 1_000 }));
    await settles([gateway], TENANT, 402);
    expect(await statuses(gateway, NEIGHBOUR)).toEqual([200]);
    await settles([gateway], TENANT, 200);
    expect(Date.now() / 1_000).toBeGreaterThanOrEqual(exp);
    expect((await gateway.metrics()).get('ai_deny_set_size')).toBe(0);
  });

  it('is counted, and keys that are not about the deny-set are not', async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    for (const key of [
      'blackhole.042',
      'blackhole.x',
      'blackhole.key.',
      'other',
      'blackhole.99999999999999999999',
    ])
      await writer.kv.put(key, 'fraud').catch(() => {});
    await writer.tenant(42, 'fraud');
    await writer.key(42, 'spend');
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
      join(folder, name),
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
    const gateway = await gatewayOf({ url, extra: `${trusted}nats_creds_file = "${credsFile}"\n` });
    await settles([gateway], TENANT, 403);
    for (const extra of [trusted, `nats_creds_file = "${credsFile}"\n`]) {
      const stranger = await gatewayOf({ url, extra });
      await stranger.waitForLog(({ event }) => event === 'nats_lost');
      expect(await statuses(stranger, TENANT)).toEqual([200]);
    }
    await hand.close();
    await guarded.kill();
  });
});

describe('without NATS', () => {
  it('the gateway serves at once, and enforces what it says when it comes', async () => {
    await writer.tenant(42, 'fraud');
    await writer.close();
    await nats.kill();
    const gateway = await gatewayOf();
    expect(await statuses(gateway, TENANT)).toEqual([200]);
    expect((await fetch(`http://127.0.0.1:${gateway.metricsPort}/readyz`)).status).toBe(200);
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect((await gateway.metrics()).get('ai_nats_connected')).toBe(0);
    await nats.start();
    await synced(gateway);
    await settles([gateway], TENANT, 403);
    expect(gateway.logs.filter(({ event }) => event === 'nats_lost')).toHaveLength(1);
  });

  it('the last known set stays, and what was written meanwhile holds as soon as it is back', async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    await writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    await nats.kill();
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect(await statuses(gateway, TENANT)).toEqual([403]);
    expect(await statuses(gateway, NEIGHBOUR)).toEqual([200]);
    await writer.close();
    await nats.start();
    writer = await denyWriter(nats);
    await writer.tenant(43, 'spend');
    await writer.allowTenant(42);
    await settles([gateway], NEIGHBOUR, 402);
    await settles([gateway], TENANT, 200);
  });

  it('a server that stops answering without a word is noticed, and nothing is lost', async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    nats.freeze();
    await gateway.waitForLog(({ event }) => event === 'nats_lost');
    expect(await statuses(gateway, TENANT)).toEqual([200]);
    nats.thaw();
    await writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
  });
});

describe('a bucket', () => {
  it('that does not exist yet is waited for', async () => {
    const manager = await writer.connection.jetstreamManager();
    await manager.streams.delete(`KV_${BUCKET}`);
    const gateway = await gatewayOf();
    await gateway.waitForLog(({ event }) => event === 'deny_bucket_missing');
    expect(await statuses(gateway, TENANT)).toEqual([200]);
    const again = await denyWriter(nats);
    await again.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    await again.close();
  });

  it('that was deleted and made again is read anew, although its revisions begin anew as well', async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    for (let id = 100; id < 120; id++) await writer.tenant(id, 'fraud');
    await writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    await writer.kv.destroy();
    const again = await denyWriter(nats);
    await again.tenant(43, 'spend');
    await settles([gateway], NEIGHBOUR, 402);
    await settles([gateway], TENANT, 200);
    await again.close();
  });

  it('that was purged, so that no marker tells of it, is read anew', async () => {
    const gateway = await gatewayOf();
    await synced(gateway);
    await writer.tenant(42, 'fraud');
    await settles([gateway], TENANT, 403);
    const manager = await writer.connection.jetstreamManager();
    await manager.streams.purge(`KV_${BUCKET}`);
    await settles([gateway], TENANT, 200);
    await writer.tenant(43, 'fraud');
    await settles([gateway], NEIGHBOUR, 403);
  });
});

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
    const snapshot = join(folder, 'a.snapshot');
    const first = await gatewayOf({ snapshot });
    await synced(first);
    await writer.tenant(42, 'fraud');
    await writer.key(7, 'spend');
    await settles([first], KEY, 402);
    await saved(first, snapshot);
    await first.stop();
    await writer.allowTenant(42);
    await writer.tenant(43, 'spend');
    await writer.close();
    await nats.kill();
    const second = await gatewayOf({ snapshot });
    expect(await statuses(second, TENANT)).toEqual([403]);
    expect(await statuses(second, KEY)).toEqual([402]);
    expect(await statuses(second, NEIGHBOUR)).toEqual([200]);
    expect(second.logs.find(({ event }) => event === 'deny_snapshot_loaded')).toMatchObject({
      entries: 2,
    });
    await nats.start();
    await settles([second], NEIGHBOUR, 402);
    await settles([second], TENANT, 200);
    expect(await statuses(second, KEY)).toEqual([402]);
    expect(await synced(second)).toMatchObject({ how: 'resumed' });
  });

  it('that is torn, changed, foreign, of another bucket or unreadable is ignored whole, and said so', async () => {
    const snapshot = join(folder, 'b.snapshot');
    const first = await gatewayOf({ snapshot });
    await synced(first);
    await writer.tenant(42, 'fraud');
    await settles([first], TENANT, 403);
    await saved(first, snapshot);
    await first.stop();
    await writer.close();
    await nats.kill();
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
      const path = join(folder, `${name}.snapshot`);
      writeFileSync(path, content);
      const gateway = await gatewayOf({ snapshot: path, extra });
      const line = await gateway.waitForLog(({ event }) => event === 'deny_snapshot_ignored');
      expect([name, line['reason']]).toEqual([name, expect.stringMatching(reason)]);
      expect(await statuses(gateway, TENANT)).toEqual([200]);
      await gateway.stop();
    }
    const nobody = await startGateway({
      config: `workers = 2\nsnapshot_path = "${snapshot}"\n${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool' })}${signingKeys()}`,
    });
    expect(await statuses(nobody, TENANT)).toEqual([200]);
    await nobody.stop();
    const gateway = await gatewayOf({ snapshot: folder });
    await gateway.waitForLog(({ event }) => event === 'deny_snapshot_ignored');
  });

  it('without one, a deny that was written while the gateway was down holds once NATS answers', async () => {
    await writer.tenant(42, 'fraud');
    const gateway = await gatewayOf();
    await settles([gateway], TENANT, 403);
    expect(await synced(gateway)).toMatchObject({ how: 'read', entries: 1 });
  });
});
