import { defineConfig } from 'vitest/config';
import { SkipReporter } from './test/support/skip-reporter.ts';

// `house` and `unit` are pure, the others drive real processes. Two files at a time: most claims wait for a timer of the
// platform or a slow reader, and no timing decides a result. The long ones measure memory and load both cores: one after
// the other. `sdk` runs stock clients of several languages, which it installs first.
const project = (name: string, timeoutMs: number, parallel: boolean) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: parallel,
    pool: 'forks' as const,
    maxWorkers: 2,
  },
});

export default defineConfig({
  test: {
    reporters: ['default', new SkipReporter()],
    projects: [
      project('house', 30_000, true),
      project('unit', 60_000, true),
      project('claims', 60_000, true),
      project('abuse', 120_000, true),
      project('faults', 120_000, true),
      project('long', 900_000, false),
      project('sdk', 600_000, true),
    ],
  },
});
