import { defineConfig } from 'vitest/config';
import { SkipReporter } from './test/support/skip-reporter.ts';

// `house` and `unit` are pure, the others drive real processes. Three of their files at a time, on two cores: most claims wait
// for a timer of the platform or a slow reader, and no timing decides a result; a limit of time only ends what hangs. Attacks
// and faults load the machine themselves: two. The long ones measure memory and load both cores: one after the other. `sdk`
// runs stock clients of several languages, which it installs first; `browser` looks at the dashboard in a real one.
const project = (name: string, timeoutMs: number, filesAtOnce: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: filesAtOnce > 1,
    pool: 'forks' as const,
    maxWorkers: filesAtOnce,
  },
});

export default defineConfig({
  test: {
    reporters: ['default', new SkipReporter()],
    projects: [
      project('house', 30_000, 3),
      project('unit', 60_000, 3),
      project('claims', 120_000, 3),
      project('abuse', 120_000, 2),
      project('faults', 120_000, 2),
      project('long', 900_000, 1),
      project('sdk', 600_000, 2),
      project('browser', 120_000, 1),
    ],
  },
});
