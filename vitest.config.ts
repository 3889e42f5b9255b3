import { defineConfig } from 'vitest/config';

// Four projects: `house` and `unit` are pure and parallel; `claims` and `long` drive real processes
// on a shared 2-core machine, so their files run one after the other and no timing decides a result.
const project = (name: string, timeoutMs: number, parallel: boolean) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    fileParallelism: parallel,
    pool: 'forks' as const,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('house', 30_000, true),
      project('unit', 60_000, true),
      project('claims', 60_000, false),
      project('long', 900_000, false),
    ],
  },
});
