// Runs before `npm test` on whatever Node the machine has: a fresh clone has no node_modules yet, so
// this file is plain JavaScript and imports nothing that is not built in.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';

const installed = 'node_modules/.package-lock.json';
const locked = 'package-lock.json';
const current = existsSync(installed) && statSync(installed).mtimeMs >= statSync(locked).mtimeMs;
if (!current) {
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { stdio: 'inherit' });
}
