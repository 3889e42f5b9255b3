import { appendFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { couldHaveRun, type Ran, reasonsOf } from './skips.ts';
import { ROOT } from './source-tree.ts';

/**
 * Says at the end of a run why what was skipped was skipped, and how many tests passed, failed and were skipped. In CI
 * (the variable CI is set) a suite that was skipped whole although it could have run fails the run; the counts are also
 * appended to the file that SLUICE_TEST_COUNTS names, for the sum over all runs.
 */
export class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const files = modules.map((module) => ran(nameOf(module), [...module.children.allTests()]));
    const suites = modules.flatMap((module) =>
      [...module.children.allSuites()].map((suite) =>
        ran(`${nameOf(module)}, "${suite.fullName}"`, [...suite.children.allTests()]),
      ),
    );
    const print = (line: string): void => void process.stdout.write(`${line}\n`);
    for (const line of reasonsOf(files)) print(line);
    const [passed, failed, skipped] = [
      sum(files, (file) => file.passed),
      sum(files, (file) => file.failed),
      sum(files, (file) => file.skips.length),
    ];
    print(`${passed} passed, ${failed} failed, ${skipped} skipped`);
    if (!process.env['CI']) return;
    const counts = process.env['SLUICE_TEST_COUNTS'];
    if (counts) appendFileSync(counts, `${passed} ${failed} ${skipped}\n`);
    const wrong = couldHaveRun([...files, ...suites]);
    for (const line of wrong) print(`FAILED ${line}`);
    if (wrong.length > 0) process.exitCode = 1;
  }
}

function nameOf(module: TestModule): string {
  return relative(ROOT, module.moduleId);
}

function ran(name: string, tests: readonly TestCase[]): Ran {
  const results = tests.map((test) => test.result());
  return {
    name,
    passed: results.filter(({ state }) => state === 'passed').length,
    failed: results.filter(({ state }) => state === 'failed').length,
    skips: results.flatMap((result) => (result.state === 'skipped' ? [result.note ?? null] : [])),
  };
}

function sum(files: readonly Ran[], count: (file: Ran) => number): number {
  return files.reduce((total, file) => total + count(file), 0);
}
