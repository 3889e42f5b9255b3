import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MAIN, ROOT, sluice, startGateway } from '../support/gateway.ts';

function configFile(text: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-command-')), 'config.toml');
  writeFileSync(file, text);
  return file;
}

describe('the command', () => {
  it('lists its commands and explains each', () => {
    const { status, stdout } = sluice(['--help']);
    expect(status).toBe(0);
    for (const name of ['serve', 'check', 'keygen', 'mint', 'inspect', 'mock', 'version']) {
      expect(stdout).toContain(name);
      const help = sluice([name, '--help']);
      expect(help.status).toBe(0);
      expect(help.stdout).toContain(`sluice ${name}`);
    }
  });

  it('prints its version, and refuses what it does not know in one line', () => {
    expect(sluice(['version']).stdout).toMatch(/^sluice \d+\.\d+\.\d+ \(node v22\./);
    const { status, stderr } = sluice(['sevre']);
    expect(status).toBe(2);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('check shows the effective configuration with every secret masked', () => {
    const file = configFile('max_in_flight = 7\n[pool_keys]\nopenai = "sk-very-secret-1"\n');
    const { status, stdout, stderr } = sluice(['check', '--config', file], {
      env: { AI_POOL_KEY_GROQ: 'gsk-very-secret-2' },
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toContain('max_in_flight = 7');
    expect(stdout).toContain('***');
    expect(stdout).not.toContain('very-secret');
  });

  it('check says file, key, what was found and what was expected', () => {
    const file = configFile('max_inflight = 7\nworkers = "many"\n');
    const { status, stderr } = sluice(['check', '--config', file]);
    expect(status).toBe(1);
    expect(stderr).toContain(file);
    expect(stderr).toContain('max_in_flight');
    expect(stderr).toMatch(/workers: found "many", expected/);
  });

  it('serve does not start with a bad configuration', () => {
    const { status, stderr } = sluice(['serve', '--config', configFile('listen = 5')]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/listen/);
  });

  it('serve starts without any configuration file and relays to the ten providers', async () => {
    const env = { AI_LISTEN: '127.0.0.1:0', AI_METRICS_LISTEN: '127.0.0.1:0' };
    const child = spawn(process.execPath, [MAIN], {
      cwd: mkdtempSync(join(tmpdir(), 'sluice-command-')),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [text] = (await once(child.stdout, 'data')) as [Buffer];
    const ready = JSON.parse(text.toString().split('\n')[0] ?? '') as Record<string, unknown>;
    expect(ready).toMatchObject({ event: 'listening', config: null });
    expect(ready['providers']).toHaveLength(10);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('serve says what to do when its port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const env = { AI_LISTEN: `127.0.0.1:${port}`, AI_METRICS_LISTEN: '127.0.0.1:0' };
    const { status, stderr } = sluice([], { env });
    await new Promise((resolve) => other.close(resolve));
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(/Another process has that port.*AI_LISTEN/);
  });

  it('a second gateway on the same port is refused, not given half of the connections', async () => {
    const first = await startGateway({ config: 'workers = 1' });
    const env = { AI_LISTEN: `127.0.0.1:${first.port}`, AI_METRICS_LISTEN: '127.0.0.1:0' };
    const { status, stderr } = sluice([], { env });
    await first.stop();
    expect(status).toBe(1);
    expect(stderr).toMatch(/Another process has that port/);
  });

  it('the demo shows tokens from both SDKs and ends by itself', () => {
    const { status, stdout } = spawnSync(process.execPath, [join(ROOT, 'test/demo/main.ts')], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    expect(status).toBe(0);
    expect(stdout).toMatch(/openai, streamed: +You said/);
    expect(stdout).toMatch(/anthropic, whole: +You said/);
    expect(stdout).toMatch(/settled complete +4/);
  });
});

describe('a start by another way', () => {
  it('as npm start, hands SIGTERM on to the gateway, which drains and ends', async () => {
    const gateway = await startGateway({
      command: ['npm', '--prefix', ROOT, 'start', '--silent', '--'],
    });
    gateway.signal('SIGTERM');
    await gateway.waitForLog(({ event }) => event === 'stopped');
    await gateway.exited;
  });

  it('as the sluice bin, hands SIGTERM on, also from another Node', async () => {
    const other = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => existsSync(path));
    const bin = join(ROOT, 'src/sluice.js');
    const gateway = await startGateway({ command: [other ?? process.execPath, bin, 'serve'] });
    gateway.signal('SIGTERM');
    expect(await gateway.exited).toEqual({ code: 0, signal: null });
    await gateway.waitForLog(({ event }) => event === 'stopped');
  });
});
