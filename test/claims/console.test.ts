import { mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { admin, ConsoleScene } from '../support/console-scene.ts';
import { Gateway } from '../support/gateway.ts';

const owner = admin('olga', 'owner');
const operator = admin('otto', 'operator');
const viewer = admin('vera', 'viewer');
const tenantOwner = admin('tina', 'owner', ['7']);
const stranger = admin('mallory', 'owner');
const dataDir = mkdtempSync(join(tmpdir(), 'sluice-console-'));

let scene: ConsoleScene;

beforeAll(async () => {
  scene = await new ConsoleScene([owner, operator, viewer, tenantOwner], {
    config: `data_dir = "${dataDir}"`,
  }).ready();
});
afterAll(async () => await scene.stop());

describe('the admin listener', () => {
  it('without [admin] has no console: nothing of it is loaded, and no thread', async () => {
    const gateway = await new Gateway({ config: 'workers = 1\n' }).ready();
    const at = `http://127.0.0.1:${gateway.metricsPort}`;
    for (const path of ['/', '/admin/v1/node', '/ui/main.ts', '/oidc/start'])
      expect((await fetch(`${at}${path}`)).status).toBe(404);
    await gateway.stop();
  });

  it('has its probes and metrics beside the console, for everybody', async () => {
    for (const path of ['/metrics', '/livez', '/readyz'])
      expect((await scene.page(path)).status).toBe(200);
  });

  it('tells who was refused to those alone who may see it, as soon as there are some', async () => {
    for (const path of ['/refusals', '/refusals?tenant=7'])
      expect((await scene.page(path)).status).toBe(401);
    for (const path of ['/refusals/', '//refusals'])
      expect((await scene.page(path)).status).toBe(404);
    expect((await scene.call(null, 'GET', '/refusals')).status).toBe(401);
    expect((await scene.call(viewer, 'GET', '/refusals')).status).toBe(200);
  });

  it('turns the console on and off with a reload', async () => {
    const turned = await new ConsoleScene([]).gateway.ready();
    const at = `http://127.0.0.1:${turned.metricsPort}/admin/v1/node`;
    const headers = { authorization: `Bearer ${viewer.token}` };
    const status = async () => (await fetch(at, { headers })).status;
    expect(await status()).toBe(404);
    await turned.reload(`workers = 1\n${viewer.table}`);
    await until('the console to be on', async () => (await status()) === 200);
    await turned.reload('workers = 1\n');
    expect(await status()).toBe(404);
    await turned.stop();
  });
});

describe('the console', () => {
  it('runs niced below everything else', async () => {
    const tasks = `/proc/${scene.gateway.child.pid}/task`;
    const nices = readdirSync(tasks).map((task) => {
      const stat = readFileSync(join(tasks, task, 'stat'), 'utf8');
      // Behind the name in brackets: state is the third field, nice the nineteenth.
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
    });
    expect(nices.filter((nice) => nice === 10)).toHaveLength(1);
    expect(nices.filter((nice) => nice === 0).length).toBeGreaterThan(1);
  });

  it('answers nobody without a credential, or with one that is not of this gateway', async () => {
    for (const path of [
      '/node',
      '/now',
      '/live',
      '/audit',
      '/openapi.json',
      '/nothing',
      '/keys/1',
    ]) {
      for (const as of [null, stranger]) {
        const told = await scene.call(as, 'GET', path);
        expect([told.status, told.json()['code']]).toEqual([401, 'no_credentials']);
        expect(told.headers.get('www-authenticate')).toContain('Bearer');
      }
      // Its own tokens must not be slowed down for what the stranger did.
      if (path === '/audit') break;
    }
  });

  it('lets each role do what it may', async () => {
    expect((await scene.call(viewer, 'GET', '/node')).status).toBe(200);
    expect((await scene.call(viewer, 'GET', '/audit')).status).toBe(403);
    expect((await scene.call(operator, 'GET', '/audit')).status).toBe(200);
    expect((await scene.call(operator, 'POST', '/config/reload')).status).toBe(403);
    expect((await scene.call(owner, 'POST', '/config/reload')).json()).toEqual({
      ok: true,
      problems: [],
    });
  });

  it('shows what is the whole node’s to no token that is held to tenants', async () => {
    for (const path of ['/now', '/live', '/audit'])
      expect((await scene.call(tenantOwner, 'GET', path)).json()['code']).toBe('not_allowed');
    expect((await scene.call(tenantOwner, 'POST', '/config/reload')).status).toBe(403);
    expect((await scene.call(tenantOwner, 'GET', '/refusals')).json()).toEqual({ rows: [] });
  });

  it('writes an audit line for each change, also for one that was refused', async () => {
    await scene.call(owner, 'POST', '/config/reload', { body: { reason: 'new pool key' } });
    await scene.call(viewer, 'POST', '/config/reload');
    const { rows } = (await scene.call(owner, 'GET', '/audit?limit=2')).json() as {
      rows: Record<string, unknown>[];
    };
    expect(rows).toMatchObject([
      { author: 'vera', role: 'viewer', operation: 'reload', status: 403 },
      { author: 'olga', role: 'owner', operation: 'reload', status: 200, reason: 'new pool key' },
    ]);
    const log = scene.gateway.events('admin_audit');
    expect(log.at(-1)).toMatchObject({ author: 'vera', operation: 'reload', status: 403 });
    const file = join(dataDir, 'admin-audit.jsonl');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(file, 'utf8')).toContain('new pool key');
  });
});
