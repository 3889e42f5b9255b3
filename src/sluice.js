#!/usr/bin/env node
// The `sluice` bin. Plain JavaScript, because it has to run on the very Nodes that cannot run the rest: it hands over
// to the Node 22 that the project pins, or says in one line what is missing.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('main.ts', import.meta.url));
// As `./sluice` does: a .env of the folder where it is started, under what the environment has.
if (existsSync('.env')) process.loadEnvFile?.();
const pinned = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));

// The ABI of Node 22, which reads TypeScript by itself from 22.18 on.
if (process.versions.modules === '127' && process.features.typescript) {
  await import('./main.ts');
} else if (existsSync(pinned)) {
  const child = spawn(pinned, [main, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, SLUICE_STAYS_WITH_PARENT: '1' },
  });
  // Whoever stops this process means the gateway. A signal from the terminal reaches both; it counts once there.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'])
    process.on(signal, () => child.kill(signal));
  // npm never leaves before its child of its own accord; when it is killed, nobody tells us.
  const npm = process.env.npm_command === undefined ? null : process.ppid;
  setInterval(() => {
    if (npm !== null && process.ppid !== npm) child.kill('SIGTERM');
  }, 1_000).unref();
  child.on('exit', (status) => {
    process.exitCode = status ?? 1;
  });
} else {
  process.stderr.write(
    `sluice runs on Node 22 from 22.18 on, this is ${process.version}. Run "npm ci" in its folder first.\n`,
  );
  process.exitCode = 1;
}
