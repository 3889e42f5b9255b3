import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { OverlayBucket } from '../../src/overlay/overlay-bucket.ts';
import { OverlayConflict } from '../../src/overlay/overlay-store.ts';
import { until } from '../support/conditions.ts';
import { statuses } from '../support/every-worker.ts';
import { authorities, Gateway, sluice } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { BUCKET, NATS_MISSING, type NatsServer, startNats } from '../support/nats.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

let upstream: ScriptedUpstream;
beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer('{"usage":{"prompt_tokens":1,"completion_tokens":1}}');
  });
});
afterAll(async () => await upstream.close());

const gateways: Gateway[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A folder with a configuration that commands and gateways share. */
function place(store: string, extra = ''): { readonly folder: string; readonly config: string } {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-overlay-'));
  folders.push(folder);
  const config =
    `workers = ${store.startsWith('nats') ? 2 : 1}\n${store.replaceAll('FOLDER', folder)}\n${extra}` +
    `[policies.agents]\nrpm = 600\n[policies.fixed]\nlocked = true\nrpm = 7\n` +
    authorities({ openai: upstream.port }) +
    poolKeys({ openai: 'sk-pool' }) +
    signingKeys();
  writeFileSync(join(folder, 'config.toml'), config);
  return { folder, config };
}

async function start(config: string): Promise<Gateway> {
  const gateway = new Gateway({ config });
  gateways.push(gateway);
  await gateway.ready();
  await until('it to be ready', async () => {
    const { status } = await fetch(`http://127.0.0.1:${gateway.metricsPort}/readyz`);
    return status === 200;
  });
  return gateway;
}

async function gets(gateway: Gateway, key: string, status: number): Promise<void> {
  await until(`${status} for the key from every worker`, async () => {
    const seen = await statuses(gateway, key);
    return seen.length === 1 && seen[0] === status;
  });
}

const counting = async (gateway: Gateway): Promise<number> =>
  (await gateway.metrics()).get('ai_overlay_entries{state="counting"}');

const key = (id: bigint): string => token({ tenantId: 1n, keyId: id, keyClass: 'agent' });

describe('an overlay in data_dir', () => {
  it('is taken by a running gateway, is there after its restart, and is the file alone again when it is gone', async () => {
    const { folder, config } = place('data_dir = "FOLDER/data"');
    mkdirSync(join(folder, 'data'));
    const gateway = await start(config);
    await gets(gateway, key(7n), 200);
    expect(sluice(['keys', 'expire', '7'], { cwd: folder })).toMatchObject({
      status: 0,
      stdout: 'key 7 has ended.\n',
    });
    await gets(gateway, key(7n), 401);
    await gets(gateway, key(8n), 200);
    await gateway.stop();
    const again = await start(config);
    expect(await statuses(again, key(7n))).toEqual([401]);
    rmSync(join(folder, 'data', 'overlay.json'));
    await gets(again, key(7n), 200);
    expect(again.count('overlay_empty')).toBe(1);
  });

  it('that cannot be read leaves what was known last, and a start goes by the file, saying so', async () => {
    const { folder, config } = place('data_dir = "FOLDER"');
    const path = join(folder, 'overlay.json');
    const gateway = await start(config);
    sluice(['keys', 'expire', '7'], { cwd: folder });
    await gets(gateway, key(7n), 401);
    writeFileSync(path, '{"revision":');
    await gateway.waitForLog(({ event }) => event === 'overlay_unreadable');
    expect(await statuses(gateway, key(7n))).toEqual([401]);
    await gateway.stop();
    const again = await start(config);
    expect(again.count('overlay_unreadable')).toBe(1);
    expect(await statuses(again, key(7n))).toEqual([200]);
  });

  it('lets an entry end by itself', async () => {
    const { folder, config } = place('data_dir = "FOLDER"');
    const gateway = await start(config);
    const past = '{ expires = 2020-01-01T00:00:00Z }';
    const set = sluice(['overlay', 'set', 'keys.7', past, '--for', '1h'], { cwd: folder });
    expect(set).toMatchObject({ status: 0 });
    await gets(gateway, key(7n), 401);
    const path = join(folder, 'overlay.json');
    const soon = new Date(Date.now() + 1_500).toISOString();
    const text = readFileSync(path, 'utf8').replace(
      /"expires":"[^"]*"\}\n/,
      `"expires":"${soon}"}\n`,
    );
    expect(text).toContain(soon);
    writeFileSync(path, text);
    await gets(gateway, key(7n), 200);
    expect(await counting(gateway)).toBe(0);
    expect(sluice(['overlay', 'list'], { cwd: folder }).stdout).toMatch(/^keys\.7 .*, ended /);
  });

  it('with a bad entry in it takes the others, tells it, and keeps what ran', async () => {
    const { folder, config } = place('data_dir = "FOLDER"');
    const gateway = await start(config);
    const entry = (revision: number, value: object) => ({
      revision,
      value,
      author: 'by hand',
      reason: '',
      at: '2026-01-01T00:00:00Z',
    });
    const entries = {
      'keys.7': entry(1, { expires: '2020-01-01T00:00:00Z' }),
      'keys.8': entry(2, { class: 'robot' }),
      'policies.fixed': entry(3, { rpm: 1_000 }),
      'policies.agents': entry(4, { rpm: -1 }),
    };
    writeFileSync(join(folder, 'overlay.json'), JSON.stringify({ revision: 4, entries }));
    await gets(gateway, key(7n), 401);
    const refused = await gateway.waitForLog(({ event }) => event === 'overlay_refused');
    const told = (refused['problems'] as readonly string[]).join('\n');
    expect(told).toMatch(/overlay: keys\.8\.class: found "robot", expected "developer"/);
    expect(told).toMatch(
      /overlay: policies\.fixed: found an entry, expected none: .* locked = true/,
    );
    expect(told).toMatch(/overlay: policies\.agents\.rpm: found -1, expected/);
    const metrics = await gateway.metrics();
    expect(metrics.get('ai_overlay_entries{state="refused"}')).toBe(3);
    await gets(gateway, key(8n), 200);
  });
});

describe('sluice keys and sluice overlay', () => {
  it('make a key that works at once, list and show it, and end it, without any pool key', async () => {
    const { folder, config } = place('data_dir = "FOLDER"');
    const gateway = await start(config);
    const bare = config.replace('"sk-pool"', '"${NOT_SET_ANYWHERE}"');
    writeFileSync(join(folder, 'config.toml'), bare);
    const secret = `7:${Buffer.alloc(32, 1).toString('base64')}`;
    const options = { cwd: folder, env: { SLUICE_SIGNING_SECRET: secret } };
    const made = sluice(
      'keys create --name ci --tenant 7 --class agent --policy agents --expires 30d --key 55'.split(
        ' ',
      ),
      options,
    );
    expect(made).toMatchObject({ status: 0, stdout: expect.stringMatching(/^bai_v3\.7\.\S+\n$/) });
    await until('the entry', async () => (await counting(gateway)) === 1);
    await gets(gateway, made.stdout.trim(), 200);
    const { stdout: list } = sluice(['keys', 'list'], options);
    expect(list).toMatch(/^55 +ci +7 +agent +agents +20\S+ +overlay +20\S+ \S+@/m);
    const { stdout: shown } = sluice(['keys', 'show', '55'], options);
    expect(shown).toMatch(/rpm +600 +# \[policies\.agents\], by \[keys\.55\] \(overlay, /);
    const { stdout: exported } = sluice(['overlay', 'export'], options);
    expect(exported).toMatch(/^\[keys\.55\]\nname = "ci"\n/m);
    expect(sluice(['keys', 'expire', '55'], options).status).toBe(0);
    await gets(gateway, made.stdout.trim(), 401);
  });

  it('refuse with what is wrong, and write nothing', () => {
    const { folder } = place('data_dir = "FOLDER"');
    const secret = `7:${Buffer.alloc(32, 1).toString('base64')}`;
    const make = ['keys', 'create', '--name', 'x', '--tenant', '1'];
    const set = ['overlay', 'set'];
    const cases: readonly (readonly [argv: readonly string[], said: RegExp])[] = [
      [[...make, '--class', 'robot'], /--class takes one of/],
      [
        [...make, '--policy', 'gone'],
        /keys\.\d+\.policy: found "gone", expected one of agents, fixed/,
      ],
      [
        [...set, 'policies.fixed', '{ rpm = 9 }'],
        /policies\.fixed: found an entry, expected none: config\.toml says locked = true there/,
      ],
      [
        [...set, 'policies.p', '{ models = ["nope"] }'],
        /policies\.p\.models.*: found "nope", expected a route/,
      ],
      [[...set, 'keys.7', '{ name = "file:/etc/passwd" }'], /found a reference/],
      [[...set, 'keys.7', 'name = "x"\n[pool_keys]'], /one inline table of TOML/],
      [['overlay', 'delete', 'keys.7'], /has no keys\.7/],
    ];
    for (const [argv, said] of cases) {
      const env = { SLUICE_SIGNING_SECRET: secret };
      expect(sluice(argv, { cwd: folder, env })).toMatchObject({
        status: 1,
        stdout: '',
        stderr: expect.stringMatching(said),
      });
    }
    expect(sluice(['overlay', 'list'], { cwd: folder }).stdout).toMatch(/is empty/);
  });

  it('say that there is no place for an entry, and take no secret that the gateway does not know', () => {
    const { folder } = place('');
    expect(sluice(['overlay', 'list'], { cwd: folder }).stderr).toMatch(/set data_dir/);
    const other = place('data_dir = "FOLDER"');
    const secret = `7:${Buffer.alloc(32, 2).toString('base64')}`;
    const made = sluice(['keys', 'create', '--name', 'x', '--tenant', '1'], {
      cwd: other.folder,
      env: { SLUICE_SIGNING_SECRET: secret },
    });
    expect(made).toMatchObject({ status: 1, stdout: '' });
    expect(made.stderr).toMatch(/No gateway would take it/);
  });
});

describe('an overlay in NATS', () => {
  it('holds on every node, outlives an outage in memory, and one that was lost is the file alone', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const nats: NatsServer = await startNats();
    try {
      const { folder, config } = place(`nats_url = "${nats.url}"`);
      const nodes = [await start(config), await start(config)];
      for (const node of nodes) await gets(node, key(7n), 200);
      sluice(['keys', 'expire', '7'], { cwd: folder });
      for (const node of nodes) await gets(node, key(7n), 401);
      // A node that is ready goes by it from its first request on.
      const late = await start(config);
      expect(await statuses(late, key(7n))).toEqual([401]);
      await nats.kill();
      for (const node of nodes) {
        await node.waitForLog(({ event }) => event === 'nats_lost');
        expect(await statuses(node, key(7n))).toEqual([401]);
      }
      await nats.start();
      await until('the command to reach NATS', () => {
        return sluice(['keys', 'expire', '8'], { cwd: folder }).status === 0;
      });
      for (const node of nodes) {
        await gets(node, key(8n), 401);
        expect(await statuses(node, key(7n))).toEqual([401]);
      }
      const connection = await connect(nats.client);
      const manager = await connection.jetstreamManager();
      await manager.streams.delete(`KV_${BUCKET}-overlay`);
      await connection.close();
      for (const node of nodes) {
        await gets(node, key(7n), 200);
        expect(node.count('overlay_empty')).toBe(1);
      }
    } finally {
      await nats.kill();
    }
  });

  it('lets one of two writers of the same entry through, whatever its name', async (ctx) => {
    if (NATS_MISSING !== null) ctx.skip(NATS_MISSING);
    const nats: NatsServer = await startNats();
    const source = { urls: [nats.url], credsFile: null, bucket: BUCKET, caFile: null };
    const writers = await Promise.all([1, 2].map(() => OverlayBucket.connect(source, true)));
    try {
      const change = {
        table: 'prices' as const,
        name: 'openai/gpt-4.1:free*',
        value: { free: true },
        author: 'ada',
        reason: '',
        atMs: 1_000,
        expiresMs: null,
      };
      for (let expected: number | null = null; expected === null || expected < 4; ) {
        const of: number | null = expected;
        const all: readonly PromiseSettledResult<number>[] = await Promise.allSettled(
          writers.map((writer) => writer.put(change, of)),
        );
        const put = all.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
        const refused = all.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
        expect(refused).toEqual([expect.any(OverlayConflict)]);
        expect(put).toHaveLength(1);
        expected = put[0] ?? 4;
      }
      const [writer] = writers;
      const entries = (await writer?.list()) ?? [];
      expect(entries).toEqual([{ ...change, revision: 4 }]);
      await expect(writer?.delete('prices', change.name, 3)).rejects.toEqual(
        expect.any(OverlayConflict),
      );
      await writer?.delete('prices', change.name, 4);
      expect(await writer?.list()).toEqual([]);
    } finally {
      for (const writer of writers) await writer.close();
      await nats.kill();
    }
  });
});
