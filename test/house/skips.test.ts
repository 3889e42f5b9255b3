import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { couldHaveRun, type Ran, reasonsOf } from '../support/skips.ts';
import { ROOT } from '../support/source-tree.ts';

const whole = (...skips: readonly (string | null)[]): Ran => ({
  name: 'x.test.ts',
  passed: 0,
  failed: 0,
  skips,
});

describe('what is skipped whole', () => {
  const here = { says: /^needs water$/, isMet: () => true };
  const absent = { says: /^needs air$/, isMet: () => false };
  const needs = [here, absent];

  test('may be, for a reason that is known and true', () => {
    expect(couldHaveRun([whole('needs air', 'needs air')], needs)).toEqual([]);
  });

  test.each([
    ['nothing says why', null],
    ['does not know', 'because'],
    ['is not so', 'needs water'],
  ])('is a failure where %s', (words, reason) => {
    const [line, ...more] = couldHaveRun([whole('needs air', reason)], needs);
    expect(line).toMatch(new RegExp(`^x\\.test\\.ts: skipped whole.*${words}`));
    expect(more).toEqual([]);
  });

  test('is not what ran in part, and not what has no tests', () => {
    const part = { ...whole(null), passed: 1 };
    expect(couldHaveRun([part, whole()], needs)).toEqual([]);
  });

  test('has each reason told once, with its number and its files', () => {
    expect(reasonsOf([whole('a', 'a', null), { ...whole('a'), name: 'y.test.ts' }])).toEqual([
      '3 skipped: a (x.test.ts, y.test.ts)',
      '1 skipped: no reason given (a filter?) (x.test.ts)',
    ]);
  });
});

describe('a run of tests in CI', () => {
  /** Runs one file of tests in a folder of its own, with the repository's reporter. */
  function run(tests: string, ci: string) {
    const folder = mkdtempSync(join(tmpdir(), 'sluice skips '));
    mkdirSync(join(folder, 'test'));
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(folder, 'vitest.config.ts'),
      `import { SkipReporter } from ${JSON.stringify(join(ROOT, 'test/support/skip-reporter.ts'))};
       export default { test: { reporters: [new SkipReporter()], include: ['test/*.test.ts'] } };`,
    );
    writeFileSync(
      join(folder, 'test/a.test.ts'),
      `import { describe, expect, test } from 'vitest';\n${tests}`,
    );
    const counts = join(folder, 'counts');
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--root', folder],
      {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, CI: ci, SLUICE_TEST_COUNTS: counts },
      },
    );
    return { status, said: stdout + stderr };
  }

  /** Each starts the runner twice: on a machine that is busy with much else, this ends only what hangs. */
  const RUNS_MS = 180_000;

  const SKIPPED = "describe.skip('b', () => { test('c', () => {}); });\ntest('d', () => {});";

  test(
    'fails when a suite was skipped whole and nothing says why; outside CI it passes and says so',
    () => {
      const inCi = run(SKIPPED, 'true');
      expect(inCi.said).toMatch(
        /^FAILED .*a\.test\.ts, "b": skipped whole, and nothing says why$/m,
      );
      expect(inCi.said).toMatch(/^1 passed, 0 failed, 1 skipped$/m);
      expect(inCi.status).toBe(1);
      const outside = run(SKIPPED, '');
      expect(outside.said).toMatch(/^1 skipped: no reason given .*a\.test\.ts\)$/m);
      expect(outside.status).toBe(0);
    },
    RUNS_MS,
  );

  test(
    'fails when the reason is not so, and passes when there is none',
    () => {
      const untrue = run(
        "test('e', (ctx) => ctx.skip('needs npm, which is not on the path'));",
        '1',
      );
      expect(untrue.said).toMatch(/^FAILED .*but it could run: "needs npm/m);
      expect(untrue.status).toBe(1);
      const fine = run("test('f', () => { expect(1).toBe(1); });", '1');
      expect([fine.status, fine.said]).toEqual([
        0,
        expect.stringMatching(/^1 passed, 0 failed, 0 skipped$/m),
      ]);
    },
    RUNS_MS,
  );
});
