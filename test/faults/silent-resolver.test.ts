import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from '../support/gateway.ts';

const SCRIPT = join(ROOT, 'test/support/silent-resolver.ts');
const ARGS = ['--net', '--mount', '--fork', '--kill-child'];

it('a provider whose name nobody answers for is a 504, and keeps no other provider from being reached', (ctx) => {
  if (spawnSync('unshare', [...ARGS, 'ip', 'link', 'set', 'lo', 'up']).status !== 0)
    return ctx.skip(
      'needs the right to make network and mount namespaces, and ip (root, iproute2)',
    );
  const { status, stdout, stderr } = spawnSync('unshare', [...ARGS, process.execPath, SCRIPT], {
    encoding: 'utf8',
  });
  expect([status, stderr]).toEqual([0, '']);
  expect(JSON.parse(stdout)).toEqual({ beside: [200], late: [504] });
});
