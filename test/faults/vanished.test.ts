import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../support/gateway.ts';

const SCRIPT = join(ROOT, 'test/support/vanished-peers.ts');
const UNSHARE = ['unshare', '--net', '--kill-child', '--fork'] as const;

it('peers that vanish without a word are given up in time, settled once, and never look complete', async (ctx) => {
  const [file, ...args] = UNSHARE;
  if (spawnSync(file, [...args, 'ip', 'link', 'set', 'lo', 'up']).status !== 0)
    return ctx.skip('needs the right to make a network namespace, and ip (root, iproute2)');
  const child = spawn(file, [...args, process.execPath, SCRIPT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (data: Buffer) => {
    text += data.toString();
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code).toBe(0);
  const told = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const once = { lines: 1, usage_source: 'estimated' };
  expect(told).toMatchObject([
    { peer: 'provider', phase: 'silent', clientStatus: 504, outcome: 'timeout', ...once },
    { peer: 'provider', phase: 'events', complete: false, outcome: 'timeout', ...once },
    { peer: 'provider', phase: 'unread', clientStatus: 504, outcome: 'timeout', ...once },
    { peer: 'client', phase: 'flood', outcome: 'client_gone', ...once },
  ]);
});
