// Runs before `npm test` on whatever Node the machine has: a fresh clone has no node_modules yet, so
// this file is plain JavaScript and imports nothing that is not built in. With `packages` it sees to those alone.
import { execFileSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';

const installed = 'node_modules/.package-lock.json';
const locked = 'package-lock.json';
const current = existsSync(installed) && statSync(installed).mtimeMs >= statSync(locked).mtimeMs;
if (!current) {
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { stdio: 'inherit' });
}

// The deny-set is tested against a real nats-server. Nobody's machine gets a package that nobody asked for: it is installed
// in CI (the variable CI is set, as every CI does) and with SLUICE_INSTALL=1. Else its tests say so and are skipped.
const PLACES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
const isWanted = process.argv[2] !== 'packages';
if (isWanted && !PLACES.some((folder) => existsSync(`${folder}/nats-server`))) {
  const isAsked = Boolean(process.env.CI) || process.env.SLUICE_INSTALL === '1';
  const say = (why) =>
    process.stderr.write(
      `nats-server is not here${why}: its tests are skipped. To have them: apt-get install nats-server (or brew install nats-server).\n`,
    );
  const apt = (...args) => execFileSync('apt-get', ['-qq', ...args], { stdio: 'inherit' });
  if (!isAsked) say('');
  else {
    try {
      if (process.getuid?.() !== 0) throw new Error('only root may install packages');
      apt('update');
      apt('install', '-y', '--no-install-recommends', 'nats-server');
    } catch (error) {
      say(` and could not be installed (${error.message})`);
    }
  }
}
