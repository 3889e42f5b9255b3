import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { freePort } from '../support/free-port.ts';
import { MAIN, ROOT } from '../support/gateway.ts';

/** An environment in which a gateway listens where it can be found, and what it has of npm's. */
async function place(more: Readonly<Record<string, string>> = {}) {
  const port = await freePort();
  const { npm_command: _, ...rest } = process.env;
  const env = {
    ...rest,
    AI_LISTEN: `127.0.0.1:${port}`,
    AI_METRICS_LISTEN: '127.0.0.1:0',
    AI_WORKERS: '1',
    ...more,
  };
  const isServed = async (): Promise<boolean> =>
    await fetch(`http://127.0.0.1:${port}/v1`).then(
      () => true,
      () => false,
    );
  return { env, isServed, cwd: mkdtempSync(join(tmpdir(), 'sluice-launcher-')) };
}

/** A parent that starts the gateway and then does nothing. */
const PARENT = `
  import { spawn } from 'node:child_process';
  spawn(process.execPath, [${JSON.stringify(MAIN)}, 'serve'], { stdio: 'ignore' });
  setInterval(() => {}, 1000);
`;

it.each([
  ['npm', { npm_command: 'run-script' }],
  ['whoever says so', { SLUICE_STAYS_WITH_PARENT: '1' }],
])('a gateway that was started by %s leaves when its parent was killed', async (_, more) => {
  const { isServed, ...options } = await place(more);
  const argv = ['--input-type=module', '-e', PARENT];
  const parent = spawn(process.execPath, argv, { ...options, stdio: 'ignore' });
  await until('the gateway', isServed);
  parent.kill('SIGKILL');
  await until('the gateway to leave', async () => !(await isServed()));
});

it.each([
  'SIGTERM',
  'SIGKILL',
] as const)('the bin leaves no gateway behind at %s', async (signal) => {
  const { isServed, ...options } = await place();
  // A Node that cannot run it by itself: the pinned one becomes its child.
  const argv = ['--no-experimental-strip-types', join(ROOT, 'src/sluice.js')];
  const bin = spawn(process.execPath, argv, { ...options, stdio: 'ignore' });
  await until('the gateway', isServed);
  bin.kill(signal);
  await until('the gateway to leave', async () => !(await isServed()));
});

it('./sluice becomes the gateway: its process ends by SIGTERM with 0', async () => {
  const { isServed, ...options } = await place();
  const child = spawn(join(ROOT, 'sluice'), [], { ...options, stdio: 'ignore' });
  await until('the gateway', isServed);
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

it('a gateway whose terminal is closed leaves; a SIGHUP before that is a reload', async (ctx) => {
  if (spawnSync('script', ['--version']).error !== undefined)
    return ctx.skip('needs script, of util-linux');
  const { isServed, ...options } = await place();
  // A log in a file: one that was written to the terminal would break with it.
  const log = join(options.cwd, 'log');
  const command = '"$NODE" "$MAIN" serve > log & echo $! > pid; fg > /dev/null';
  const argv = ['-qec', `bash -mc '${command}'`, '/dev/null'];
  const env = { ...options.env, NODE: process.execPath, MAIN };
  // Its input must not end: that would end what it runs.
  const terminal = spawn('script', argv, { ...options, env, stdio: ['pipe', 'ignore', 'ignore'] });
  await until('the gateway', isServed);
  process.kill(Number(readFileSync(join(options.cwd, 'pid'), 'utf8')), 'SIGHUP');
  await until('the reload', () => readFileSync(log, 'utf8').includes('config_reloaded'));
  expect(await isServed()).toBe(true);
  terminal.kill('SIGKILL');
  await until('the gateway to leave', async () => !(await isServed()));
});
