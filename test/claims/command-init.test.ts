import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { Gateway, sluice } from '../support/gateway.ts';
import { factOf } from '../support/managed.ts';
import { startUpstream } from '../support/scripted-upstream.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-init-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const text = (file: string): string => readFileSync(join(folder, file), 'utf8');

it('init in an empty folder writes a configuration with which its first key is served and billed', async () => {
  const { status, stdout, stderr } = sluice(['init', '--mock'], { cwd: folder });
  expect(stderr).toMatch(/curl http:\/\/localhost:8080/);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^bai_v3\.1\.\S+\n$/);
  expect(stderr).not.toContain(stdout.trim());
  const [adminToken = ''] = /sat_[\w-]{43}/.exec(stderr) ?? [];
  const written = ['.env', 'config.toml', 'signing-1.secret', 'sluice-data'];
  expect(readdirSync(folder).sort()).toEqual(written);
  for (const file of ['.env', 'signing-1.secret'])
    expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
  expect(sluice(['keys', 'list'], { cwd: folder }).stdout).toMatch(/^\d+ +first +1 +developer/m);

  const upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer(
      '{"model":"gpt-4o-mini","choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}',
    );
  });
  const config = text('config.toml')
    .replaceAll('http://127.0.0.1:8081', `http://127.0.0.1:${upstream.port}`)
    .replace('"sluice-data"', JSON.stringify(join(folder, 'sluice-data')));
  const env = Object.fromEntries(
    [...text('.env').matchAll(/^(AI_\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  ) as Record<string, string>;
  const gateway = new Gateway({ config, env });
  try {
    await gateway.ready();
    const response = await fetch(`${gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stdout.trim()}`, 'content-type': 'application/json' },
      body: '{"model":"chat","messages":[{"role":"user","content":"Hello"}]}',
    });
    expect(await response.text()).toContain('Hi');
    expect(response.status).toBe(200);
    const fact = await factOf(gateway, response.headers.get('x-sluice-request-id'));
    expect(fact).toMatchObject({
      tenant_id: '1',
      key_class: 'developer',
      route: 'chat',
      policy: 'developers',
      cost_status: 'priced',
    });
    // Nothing that was written signs anybody in; what was shown does.
    for (const file of ['config.toml', '.env']) expect(text(file)).not.toContain(adminToken);
    const headers = { authorization: `Bearer ${adminToken}` };
    const at = `http://127.0.0.1:${gateway.metricsPort}/admin/v1/session`;
    const session = await until('the console', async () => {
      const told = await fetch(at, { headers });
      return told.status === 200 && told;
    });
    expect(await session.json()).toMatchObject({ name: 'owner', role: 'owner', tenants: null });
  } finally {
    await gateway.stop();
    await upstream.close();
  }
});

it('init turns the dashboard on: its token is shown once, beside the address, and only its hash is kept', async () => {
  const env = { AI_METRICS_LISTEN: '127.0.0.1:9190' };
  const { stdout, stderr } = sluice(['init', '--mock'], { cwd: folder, env });
  const [token = ''] = /sat_\S+/.exec(stderr) ?? [];
  expect(stderr.split(token)).toHaveLength(2);
  expect(stderr).toContain('http://127.0.0.1:9190/');
  expect(stdout).not.toContain('sat_');
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const kept = readFileSync(join(file.parentPath, file.name), 'latin1');
    expect(kept, file.name).not.toContain(token);
  }
  const config = text('config.toml').replace(
    '"sluice-data"',
    JSON.stringify(join(folder, 'sluice-data')),
  );
  const gateway = new Gateway({
    config,
    env: { AI_POOL_KEY_OPENAI: 'a', AI_POOL_KEY_ANTHROPIC: 'b' },
  });
  try {
    await gateway.ready();
    const at = `http://127.0.0.1:${gateway.metricsPort}`;
    const session = async (authorization: string) =>
      await fetch(`${at}/admin/v1/session`, { headers: { authorization } });
    const told = await until('the console to answer', async () => {
      const response = await session(`Bearer ${token}`);
      return response.status === 503 ? null : response;
    });
    expect(told.status).toBe(200);
    expect(await told.json()).toMatchObject({ name: 'owner', role: 'owner', tenants: null });
    expect((await session(`Bearer sat_${'A'.repeat(43)}`)).status).toBe(401);
    const page = await fetch(`${at}/`);
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ]);
    expect((await fetch(`${at}/ui/main.ts`)).status).toBe(200);
    expect(gateway.stderr).toBe('');
  } finally {
    await gateway.stop();
  }
});

it('init refuses to overwrite, and writes nothing then', () => {
  for (const file of ['config.toml', '.env', 'signing-1.secret']) {
    writeFileSync(join(folder, file), '# mine\n');
    expect(sluice(['init'], { cwd: folder })).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining(`${file} exists here already, and nothing was written`),
    });
    expect(readdirSync(folder)).toEqual([file]);
    rmSync(join(folder, file));
  }
});

it('init that fails late leaves nothing behind, and works when it is run again', () => {
  writeFileSync(join(folder, 'sluice-data'), 'a file where a folder is to be\n');
  const { status, stdout, stderr } = sluice(['init'], { cwd: folder });
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/sluice-data/);
  expect(readdirSync(folder)).toEqual(['sluice-data']);
  rmSync(join(folder, 'sluice-data'));
  expect(sluice(['init'], { cwd: folder }).status).toBe(0);
});
