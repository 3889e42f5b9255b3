import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
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

  it.each([
    [['--frob'], "Unknown option '--frob'", 'serve'],
    [['check', '--frob'], "Unknown option '--frob'", 'check'],
    [['check', '--config'], "Option '--config <value>' argument missing", 'check'],
    [['mint', '--tenant', '-1'], "Option '--tenant' argument is ambiguous", 'mint'],
    [['deny', 'tenant', '1', '--until', 'soon'], "Unknown option '--until'", 'deny'],
  ])('says in one line what is wrong with %j, and whose help says more', (argv, said, command) => {
    const { status, stderr } = sluice(argv);
    expect(status).toBe(1);
    expect(stderr).toBe(`sluice: ${said}. sluice ${command} --help says more.\n`);
  });

  it('does not repeat an argument that belongs nowhere: it may be a key', () => {
    for (const command of ['serve', 'check', 'doctor', 'mock']) {
      const { status, stderr } = sluice([command, 'sk-proj-4711']);
      expect(status).toBe(1);
      expect(stderr).toBe(
        `sluice: ${command} takes options only. sluice ${command} --help says more.\n`,
      );
    }
  });

  it('says what to do about a second [signing_keys], which keygen makes when it is appended twice', () => {
    const line = '1 = "iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="\n';
    const file = configFile(`[signing_keys]\n${line}[signing_keys]\n2${line.slice(1)}`);
    const { status, stderr } = sluice(['check', '--config', file]);
    expect(status).toBe(1);
    expect(stderr).toBe(
      `sluice: ${file}: line 3: found [signing_keys] for the second time, expected its lines under the [signing_keys] of line 1, and this line gone\n`,
    );
    const twice = configFile(`workers = 1\nworkers = 2\n`);
    expect(sluice(['check', '--config', twice]).stderr).toMatch(
      /line 2, column \d+: found a table or a key that is there already, expected each of them once/,
    );
  });

  it('says that a string does not end on its line', () => {
    const { stderr } = sluice(['check', '--config', configFile('listen = "127.0.0.1:1\n')]);
    expect(stderr).toMatch(/found a string that does not end, expected a quote at its end\n$/);
  });

  it('mock says what to change when it cannot listen', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const taken = sluice(['mock', '--port', String(port)]);
    await new Promise((resolve) => other.close(resolve));
    expect(taken.stderr).toMatch(/^sluice: mock: cannot listen .*EADDRINUSE.* another --port\.\n$/);
    const { stderr } = sluice(['mock', '--port', '0', '--host', '192.0.2.1']);
    expect(stderr).toMatch(/^sluice: mock: cannot listen .*EADDRNOTAVAIL.* another --host\.\n$/);
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

  it('serve starts without any configuration file and relays to the built-in providers', async () => {
    const env = { AI_LISTEN: '127.0.0.1:0', AI_METRICS_LISTEN: '127.0.0.1:0' };
    const child = spawn(process.execPath, [MAIN], {
      cwd: mkdtempSync(join(tmpdir(), 'sluice-command-')),
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [text] = (await once(child.stdout, 'data')) as [Buffer];
    const ready = JSON.parse(text.toString().split('\n')[0] ?? '') as Record<string, unknown>;
    expect(ready).toMatchObject({ event: 'listening', config: null });
    expect(ready['providers']).toHaveLength(12);
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
});

describe('a start without what it needs', () => {
  const OTHER_NODE = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => existsSync(path));

  /** What git holds, without what npm ci installs; not below ROOT, where packages would be found. */
  const bare = (): string => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-bare-'));
    cpSync(join(ROOT, 'src'), join(folder, 'src'), { recursive: true });
    for (const name of ['package.json', 'sluice']) cpSync(join(ROOT, name), join(folder, name));
    return folder;
  };

  it.each([
    ['the command', ['src/main.ts', 'check']],
    ['the bin', ['src/sluice.js', 'check']],
    ['the gateway', ['src/main.ts', 'serve']],
  ])('says "npm ci" where nothing is installed: %s', (_, argv) => {
    const folder = bare();
    const { status, stderr } = spawnSync(process.execPath, argv, { cwd: folder, encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^sluice.* "npm ci" in .*\n$/);
  });

  it.for([
    'start',
    'mock',
  ])('npm run %s says it in one line on a Node that cannot run it', (script, ctx) => {
    if (OTHER_NODE === undefined) return ctx.skip('needs another Node beside the pinned one');
    const { status, stderr } = spawnSync('npm', ['run', '--silent', script], {
      cwd: bare(),
      env: { ...process.env, PATH: `${dirname(OTHER_NODE)}:/usr/bin:/bin` },
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr.replaceAll(/^npm warn .*\n/gm, '')).toMatch(
      /^sluice: its packages are missing\. Run "npm ci" in .* first\.\n$/,
    );
  });
});

describe('a start by another way', () => {
  it.each([
    ['./sluice', [join(ROOT, 'sluice')]],
    ['the bin', [process.execPath, join(ROOT, 'src/sluice.js')]],
    [
      'the bin that hands over',
      [process.execPath, '--no-experimental-strip-types', join(ROOT, 'src/sluice.js')],
    ],
  ])('%s reads the .env of its folder, and the environment wins over it', (_, [
    file = '',
    ...argv
  ]) => {
    const cwd = mkdtempSync(join(tmpdir(), 'sluice env '));
    writeFileSync(join(cwd, '.env'), 'AI_WORKERS=3\nAI_MAX_IN_FLIGHT=5\n');
    const env = { ...process.env, AI_MAX_IN_FLIGHT: '7' };
    const { stdout, stderr } = spawnSync(file, [...argv, 'check'], { cwd, env, encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^workers = 3\b/m);
    expect(stdout).toMatch(/^max_in_flight = 7\b/m);
  });

  it('as the sluice bin, on a Node 22 that reads no TypeScript, hands over to the pinned one', () => {
    // Before 22.18 it had to be asked for.
    const argv = ['--no-experimental-strip-types', join(ROOT, 'src/sluice.js'), 'version'];
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^sluice \d/);
  });

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
