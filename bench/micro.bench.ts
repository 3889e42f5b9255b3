// Time and allocations of everything that runs for each request, event or chunk: npm run bench:micro
// Each file is a process of its own, so that what one makes V8 believe of a function is not what the next one gets.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../test/support/gateway.ts';
import { commandLine } from './command-line.ts';

commandLine('npm run bench:micro (takes no options)', {});

for (const part of ['scanner', 'usage', 'keys', 'admission', 'policy', 'fields', 'prices']) {
  const file = join(ROOT, `bench/micro/${part}.bench.ts`);
  const { status } = spawnSync(process.execPath, ['--expose-gc', file], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
