// Everything that is measured, in one file of results: npm run bench [-- --quick]
// Or this checkout beside another one: npm run bench -- --against REF [--quick --rounds 5 --seconds 2]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../test/support/gateway.ts';
import { against } from './against.ts';
import { forgetResults, warnWhenBusy } from './results.ts';
import { AGAINST, extent, QUICK } from './rounds.ts';

const PARTS = ['micro', 'start', 'e2e', 'streams', 'translation', 'bodies', 'growth'];

function everything(): void {
  forgetResults();
  for (const part of PARTS) {
    const file = join(ROOT, `bench/${part}.bench.ts`);
    process.stdout.write(`\n==== ${part}\n`);
    const began = performance.now();
    const args = QUICK ? [file, '--quick'] : [file];
    const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
    process.stdout.write(`\n(${((performance.now() - began) / 1_000).toFixed(0)} s)\n`);
    // One part that cannot run here (no nginx, no wrk) is no reason to hide the others.
    if (status !== 0) process.exitCode = 1;
  }
}

warnWhenBusy();
if (AGAINST === undefined) {
  everything();
} else {
  await against(AGAINST, extent({ rounds: 5, seconds: 2 }, { rounds: 2, seconds: 1 }));
  process.exit(0);
}
