import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../support/gateway.ts';

function run(file: string, argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return spawnSync(process.execPath, [join(ROOT, 'bench', file), ...argv], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
}

describe('a bench', () => {
  it.each([
    'main.ts',
    'e2e.bench.ts',
    'growth.bench.ts',
    'deny.bench.ts',
    'micro.bench.ts',
    'soak.ts',
  ])('%s explains itself in one line, and measures nothing then', (file) => {
    const { status, stdout, stderr } = run(file, ['--help']);
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^npm run (?:bench|soak).*\n$/);
  });

  it.each([
    ['main.ts', ['--quik'], "Unknown option '--quik'"],
    ['main.ts', ['--quick', 'e2e'], "Unexpected argument 'e2e'"],
    ['main.ts', ['--against'], "Option '--against <value>' argument missing"],
    ['main.ts', ['--against', 'HEAD', '--rounds', 'many'], '--rounds takes a number above 0'],
    ['e2e.bench.ts', ['--seconds', '0'], '--seconds takes a number above 0'],
    ['deny.bench.ts', ['--million'], "Unknown option '--million'"],
    ['soak.ts', ['--hours', '1'], "Unknown option '--hours'"],
    ['soak.ts', ['--minutes', 'ten'], '--minutes takes a number above 0'],
    ['soak.ts', ['--rate', '0'], '--rate takes a number above 0'],
    ['soak.ts', ['--seed', 'x'], '--seed takes a number above 0'],
  ])('%s with %j says in one line what is wrong', (file, argv, said) => {
    const { status, stderr } = run(file, argv);
    expect(status).toBe(1);
    expect(stderr.startsWith(`${said}. npm run `)).toBe(true);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  it('names a ref that git does not know', () => {
    const { status, stderr } = run('main.ts', ['--against', 'no-such-ref', '--quick']);
    expect(status).toBe(1);
    expect(stderr).toBe('--against: git knows no commit by the name no-such-ref.\n');
  });

  it('names what is to be installed', () => {
    const { status, stderr } = run('bodies.bench.ts', ['--quick'], { PATH: '/nowhere' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^this bench needs nginx: apt-get install nginx\n$/);
  });
});
