import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configProof } from '../../src/config/config-proof.ts';
import { Secret } from '../../src/secret.ts';
import { until } from '../support/conditions.ts';
import { type Admin, admin, ConsoleScene } from '../support/console-scene.ts';
import { sluice } from '../support/gateway.ts';
import { poolKeys } from '../support/managed.ts';

const POOL_KEY = 'sk-pool-key-of-the-pages';
const PAGES = ['/targets', '/limits', '/refusals', '/targets?name=openai%2Fgpt-4o'];

const viewer = admin('vera', 'viewer');
const held = admin('tina', 'owner', ['7']);
const stranger = admin('mallory', 'owner');

const CONFIG = `${poolKeys({ openai: POOL_KEY })}
[policies.default]
rpm = 10
[routes.chat]
targets = ["openai/gpt-4o"]
`;

let scene: ConsoleScene;

beforeAll(async () => {
  scene = await new ConsoleScene([viewer, held], { config: CONFIG }).ready();
});
afterAll(async () => await scene.stop());

const bearer = ({ token }: Admin) => ({ authorization: `Bearer ${token}` });

/** The status of a request that is written by hand: no client of ours would send such fields. */
async function statusOf(
  target: string,
  fields: readonly string[],
  { gateway }: ConsoleScene = scene,
  host = '127.0.0.1',
): Promise<number> {
  const socket = connect(gateway.metricsPort, host);
  socket.write(
    `GET ${target} HTTP/1.1\r\n${[...fields, 'connection: close'].join('\r\n')}\r\n\r\n`,
  );
  let heard = '';
  for await (const piece of socket) heard += String(piece);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(heard)?.[1]);
}

describe('what the listener tells of targets, limits and refusals', () => {
  it('is told to nobody without a credential once there is somebody who has one', async () => {
    for (const path of PAGES) {
      const told = await scene.page(path);
      expect([path, told.status, told.json()['code']]).toEqual([path, 401, 'no_credentials']);
      expect(told.headers.get('www-authenticate')).toContain('Bearer');
    }
  });

  it.each([
    ['host: localhost'],
    ['host: 127.0.0.1:9090'],
    ['host: [::1]:9090'],
    ['host: [::ffff:127.0.0.1]'],
    ['host: x', 'x-forwarded-for: 127.0.0.1'],
    ['host: x', 'x-real-ip: ::1', 'forwarded: for="[::ffff:7f00:1]"'],
    ['host: x', 'origin: http://127.0.0.1:9090', 'sec-fetch-site: same-origin'],
    ['host: x', 'authorization: Basic dmVyYTp4'],
    ['host: x', 'authorization: Sluice-Config '],
  ])('is not told because of where a request says it comes from: %s', async (...fields) => {
    expect(await statusOf('/targets', fields)).toBe(401);
  });

  it('is not told to this machine either, by whichever of its addresses: a proxy beside us comes from there', async () => {
    const own = await new ConsoleScene([viewer], { config: 'metrics_listen = "[::]:0"' }).ready();
    for (const host of ['127.0.0.1', '::1'])
      expect(await statusOf('/targets', ['host: localhost'], own, host)).toBe(401);
    await own.stop();
  });

  it('is told to a viewer’s token and session, and to none that is held to tenants', async () => {
    for (const path of PAGES) {
      const told = await scene.page(path, { headers: bearer(viewer) });
      expect([path, told.status]).toEqual([path, 200]);
      expect(told.headers.get('cache-control')).toBe('no-store');
      expect((await scene.page(path, { headers: bearer(held) })).status).toBe(403);
    }
    const signIn = await scene.call(null, 'POST', '/session', { body: { token: viewer.token } });
    const cookie = /sluice_session=[^;]*/.exec(signIn.headers.get('set-cookie') ?? '')?.[0] ?? '';
    const told = await scene.page('/targets?name=openai%2Fgpt-4o', { headers: { cookie } });
    expect(told.json()).toMatchObject({ targets: [{ name: 'openai/gpt-4o', state: 'closed' }] });
    const posted = await scene.page('/targets', { method: 'POST', headers: bearer(viewer) });
    expect(posted.status).toBe(405);
  });

  it('is counted and slowed where the credentials are wrong, as everywhere', async () => {
    const own = await new ConsoleScene([viewer]).ready();
    await until('wrong ones not to be looked at', async () => {
      const told = await own.page('/limits', { headers: bearer(stranger) });
      expect([401, 429]).toContain(told.status);
      return told.status === 429;
    });
    expect(own.gateway.events('admin_credential_refused').length).toBeGreaterThan(0);
    await own.stop();
  });
});

describe('sluice explain beside a gateway with a console', () => {
  const explained = (from: string) =>
    sluice(['explain', 'chat', '--key', '1', '--tenant', '7', '--config', from], {
      env: { AI_METRICS_LISTEN: `127.0.0.1:${scene.gateway.metricsPort}` },
    }).stdout;
  const at = () => `127.0.0.1:${scene.gateway.metricsPort}`;

  it('needs no token: it has read the same configuration, and shows that', () => {
    const told = explained(scene.gateway.file);
    expect(told).toContain(`breakers and rests are those of the gateway at ${at()}`);
    expect(told).toContain('limit of the key: 10 of 10 requests a minute left');
  });

  it.each([
    ['another pool key', POOL_KEY, 'sk-pool-key-of-somebody-else'],
    ['another token', viewer.table, stranger.table],
  ])('is told nothing with %s in it, and says why', (_, own, another) => {
    const file = join(mkdtempSync(join(tmpdir(), 'sluice-pages-')), 'config.toml');
    const text = readFileSync(scene.gateway.file, 'utf8');
    expect(text).toContain(own);
    writeFileSync(file, text.replace(own, another));
    const told = explained(file);
    const why = `the gateway at ${at()} runs with other pool keys or another [admin] than are written here`;
    expect(told).toContain(`breakers and rests are not known: ${why}`);
    expect(told).toContain(`what is left of them is not known: ${why}`);
  });

  it('is another one’s after a reload that changes who may: the proof is of what runs', async () => {
    const own = await new ConsoleScene([viewer], { config: CONFIG }).ready();
    const shown = (by: Admin) => {
      const tokens = [{ name: 'vera', hash: hashOf(by), role: 'viewer' as const, tenants: null }];
      const poolKeysOf = new Map([['openai', [new Secret(POOL_KEY)]]]);
      return configProof({ admin: { origin: null, tokens, oidc: null }, poolKeys: poolKeysOf });
    };
    const status = async (by: Admin) =>
      (await own.page('/targets', { headers: { authorization: shown(by).reveal() } })).status;
    expect([await status(viewer), await status(stranger)]).toEqual([200, 401]);
    const other = stranger.table.replace('mallory', 'vera');
    await own.gateway.reload(`workers = 1\n${CONFIG}\n${other}`);
    expect([await status(viewer), await status(stranger)]).toEqual([401, 200]);
    await own.stop();
  });
});

const hashOf = ({ table }: Admin): string => /sha256:([0-9a-f]{64})/.exec(table)?.[1] ?? '';
