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

// The deny-set is tested against a real nats-server, the dashboard in a real Chromium (with the argument `browser`). Nobody's
// machine gets a package that nobody asked for: they are installed in CI (the variable CI is set, as every CI does) and with
// SLUICE_INSTALL=1. Else their tests say so and are skipped.
const PLACES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
const isHere = (name) => PLACES.some((folder) => existsSync(`${folder}/${name}`));

function need(name, alternatives = []) {
  if ([name, ...alternatives].some(isHere)) return;
  const isAsked = Boolean(process.env.CI) || process.env.SLUICE_INSTALL === '1';
  const say = (why) =>
    process.stderr.write(
      `${name} is not here${why}: its tests are skipped. To have them: apt-get install ${name} (or brew install ${name}).\n`,
    );
  const apt = (...args) => execFileSync('apt-get', ['-qq', ...args], { stdio: 'inherit' });
  if (!isAsked) {
    say('');
    return;
  }
  try {
    if (process.getuid?.() !== 0) throw new Error('only root may install packages');
    apt('update');
    apt('install', '-y', '--no-install-recommends', name);
  } catch (error) {
    say(` and could not be installed (${error.message})`);
  }
}

const wanted = process.argv[2];
if (wanted !== 'packages') need('nats-server');
if (wanted === 'browser') need('chromium', ['chromium-browser', 'google-chrome']);
