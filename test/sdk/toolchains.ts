import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../support/gateway.ts';
import type { ToolchainName } from './clients.ts';

/** What a client's program is written for: whether it is here, what it needs installed, how a program is run. */
export interface Toolchain {
  readonly name: ToolchainName;
  /** Why its clients cannot run here, null when they can. */
  missing(): string | null;
  /** Installs what the lock files pin, unless that was done before. */
  install(): Promise<void>;
  /** The program as a command, to be run in the toolchain's folder. */
  command(program: string): readonly string[];
}

export function folderOf(name: ToolchainName): string {
  return join(ROOT, 'test/sdk', name);
}

function versionOf(command: string, argv: readonly string[]): string {
  const ran: SpawnSyncReturns<string> = spawnSync(command, argv, { encoding: 'utf8' });
  return ran.error === undefined && ran.status === 0 ? ran.stdout.trim() : '';
}

/** Kept of what an installation prints: its end says why it failed. */
const PRINTED_CHARACTERS = 2_000;

/** @throws Error with the end of what it printed when it fails */
async function done(cwd: string, command: string, argv: readonly string[]): Promise<void> {
  const child = spawn(command, argv, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const pipe of [child.stdout, child.stderr]) {
    pipe.on('data', (text: Buffer) => {
      printed = (printed + text.toString()).slice(-PRINTED_CHARACTERS);
    });
  }
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return;
  throw new Error(`"${command} ${argv.join(' ')}" in ${cwd} failed: ${printed}`);
}

/**
 * Fills a git-ignored folder of a toolchain once for each state of its lock file and each version of its runtime. The
 * stamp is written last: an installation that was interrupted is made again.
 */
async function once(
  { name, target, lock, runtime }: Installed,
  fill: (cwd: string, target: string) => Promise<void>,
): Promise<void> {
  const cwd = folderOf(name);
  const into = join(cwd, target);
  const hash = createHash('sha256')
    .update(runtime)
    .update(readFileSync(join(cwd, lock)));
  const state = hash.digest('hex');
  const stamp = join(into, '.locked-state');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === state) return;
  rmSync(into, { recursive: true, force: true });
  await fill(cwd, into);
  writeFileSync(stamp, state);
}

interface Installed {
  readonly name: ToolchainName;
  readonly target: string;
  readonly lock: string;
  readonly runtime: string;
}

/** The Node that runs the tests; the SDKs are a package of their own, so that the root stays small. */
export const NODE: Toolchain = {
  name: 'node',
  missing: () =>
    versionOf('npm', ['--version']) === '' ? 'needs npm, which is not on the path' : null,
  install: () =>
    once(
      {
        name: 'node',
        target: 'node_modules',
        lock: 'package-lock.json',
        runtime: process.version,
      },
      (cwd) => done(cwd, 'npm', ['ci', '--no-audit', '--no-fund']),
    ),
  command: (program) => [process.execPath, program],
};

/** The oldest that the pinned packages run on. */
const PYTHON_MINOR_MIN = 11;
const pythonVersion = (): string =>
  versionOf('python3', ['-c', 'import sys, venv, ensurepip; print(sys.version)']);

export const PYTHON: Toolchain = {
  name: 'python',
  missing: () => {
    const found = pythonVersion();
    const minor = Number(/^3\.(\d+)/.exec(found)?.[1] ?? 0);
    if (minor >= PYTHON_MINOR_MIN) return null;
    const wanted = `python3 3.${PYTHON_MINOR_MIN} or newer with venv and pip`;
    return `needs ${wanted}, found ${found.split(' ')[0] || 'none'}`;
  },
  install: () =>
    once(
      { name: 'python', target: '.venv', lock: 'requirements.txt', runtime: pythonVersion() },
      async (cwd, target) => {
        await done(cwd, 'python3', ['-m', 'venv', target]);
        const pip = [
          '-m',
          'pip',
          'install',
          '--quiet',
          '--no-deps',
          '--no-compile',
          '-r',
          'requirements.txt',
        ];
        await done(cwd, join(target, 'bin/python'), pip);
      },
    ),
  command: (program) => [join(folderOf('python'), '.venv/bin/python'), program],
};

/** The oldest that openai-go v3 compiles with. */
const GO_MINOR_MIN = 26;
/** Compiled without optimisation: openai-go alone takes a third less time, and runs for seconds. */
const GO_BUILD = ['build', '-buildvcs=false', '-gcflags=all=-N -l', '-ldflags=-s -w'];

/** Go keeps its own cache of modules and builds; only the programs are put here. */
export const GO: Toolchain = {
  name: 'go',
  missing: () => {
    const found = versionOf('go', ['env', 'GOVERSION']);
    const minor = Number(/^go1\.(\d+)/.exec(found)?.[1] ?? 0);
    if (minor >= GO_MINOR_MIN) return null;
    return `needs go 1.${GO_MINOR_MIN} or newer, found ${found || 'none'}`;
  },
  install: () => done(folderOf('go'), 'go', [...GO_BUILD, '-o', 'bin/', './...']),
  command: (program) => [join(folderOf('go'), 'bin', program)],
};

/** The program that calls curl runs on the Node that runs the tests. */
export const CURL: Toolchain = {
  name: 'curl',
  missing: () =>
    versionOf('curl', ['--version']) === '' ? 'needs curl, which is not on the path' : null,
  install: () => Promise.resolve(),
  command: (program) => [process.execPath, program],
};

/** Coding agents that are commands of their own: a folder of their own too, for they are ten times what the SDKs weigh. */
export const COMMANDS: Toolchain = {
  name: 'commands',
  missing: NODE.missing,
  install: () =>
    once(
      {
        name: 'commands',
        target: 'node_modules',
        lock: 'package-lock.json',
        runtime: process.version,
      },
      (cwd) => done(cwd, 'npm', ['ci', '--no-audit', '--no-fund']),
    ),
  command: (program) => [process.execPath, join(folderOf('commands'), 'node_modules', program)],
};

/** The first that runs a file of source, and the HTTP client that is part of every JDK. */
const JAVA_MAJOR_MIN = 11;

export const JAVA: Toolchain = {
  name: 'java',
  missing: () => {
    const found = versionOf('java', ['--version']);
    const major = Number(/^\w+ (\d+)/.exec(found)?.[1] ?? 0);
    if (major < JAVA_MAJOR_MIN)
      return `needs a JDK ${JAVA_MAJOR_MIN} or newer, found ${found || 'none'}`;
    return versionOf('javac', ['--version']) === '' ? 'needs javac, found a runtime alone' : null;
  },
  install: () => Promise.resolve(),
  command: (program) => ['java', join(folderOf('java'), program)],
};
