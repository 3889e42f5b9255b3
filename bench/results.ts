/** The tables that benches print, and the one file that keeps them. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '../src/version.ts';
import { ROOT } from '../test/support/gateway.ts';
import { PORTKEY_VERSION } from './peers/portkey.ts';
import { versionOf } from './peers/processes.ts';
import type { Spread } from './statistics.ts';

const FILE = join(ROOT, 'bench/results/latest.json');

/** Of the minute before this bench: on a machine that does other things, ratios are off, and tails say nothing. */
const LOAD_BEFORE = loadavg()[0] ?? 0;

/** Above this, for each core, the machine was not idle. */
const BUSY_LOAD = 0.25;

export function warnWhenBusy(): void {
  if (LOAD_BEFORE <= BUSY_LOAD * cpus().length) return;
  process.stdout.write(
    `This machine is busy (load ${LOAD_BEFORE.toFixed(1)}, ${cpus().length} cores): expect ratios to be off, and tails to say nothing.\n`,
  );
}

interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
}

/** The first column is text, the others are numbers. */
export function printTable<Row>(
  title: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): void {
  const lines = [columns.map((column) => column.title)];
  for (const row of rows) lines.push(columns.map(({ cell }) => cell(row)));
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  process.stdout.write(`\n${title}\n`);
  for (const line of lines) {
    const cells = line.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0),
    );
    process.stdout.write(`${cells.join('  ')}\n`);
  }
}

export function fixed(value: number | null | undefined, digits: number): string {
  return value === null || value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits);
}

/** "2.41 (2.38 to 2.47)" */
export function ranged(spread: Spread | null, digits: number): string {
  if (spread === null) return '-';
  const [median, low, high] = [spread.median, spread.low, spread.high].map((n) => fixed(n, digits));
  return `${median} (${low} to ${high})`;
}

export function mebibytes(bytes: number | null | undefined, digits = 0): string {
  return bytes === null || bytes === undefined ? '-' : (bytes / 1_048_576).toFixed(digits);
}

interface Results {
  readonly sections: Readonly<Record<string, unknown>>;
}

function read(): Results {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results) : { sections: {} };
}

/** Keeps one part's numbers; those of the other parts stay, each with its own date. */
export function writeSection(name: string, content: object): void {
  const { sections } = read();
  const date = new Date().toISOString();
  const all = {
    ...sections,
    [name]: { date, commit: commit(), loadBefore: LOAD_BEFORE, ...content },
  };
  mkdirSync(join(ROOT, 'bench/results'), { recursive: true });
  const text = { date, sluice: VERSION, machine: machine(), versions: versions(), sections: all };
  writeFileSync(FILE, `${JSON.stringify(text, rounded, 2)}\n`);
}

/** No measurement here has more than five digits that mean something. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value)
    ? Number(value.toPrecision(5))
    : value;
}

/** Forgets what is kept: what follows is one run. */
export function forgetResults(): void {
  rmSync(FILE, { force: true });
}

/** What is measured; "+" behind the commit says that files differ from it. */
function commit(): string | null {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }).trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return null;
  }
}

function machine(): object {
  return {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
  };
}

function versions(): object {
  const text = readFileSync(join(ROOT, 'package.json'), 'utf8');
  const { dependencies, devDependencies } = JSON.parse(text) as {
    readonly dependencies: Record<string, string>;
    readonly devDependencies: Record<string, string>;
  };
  return {
    node: process.version,
    'uWebSockets.js': dependencies['uWebSockets.js'],
    undici: devDependencies['undici'],
    nginx: versionOf('nginx', '-v'),
    haproxy: versionOf('haproxy', '-v'),
    wrk: versionOf('wrk', '-v'),
    portkey: PORTKEY_VERSION,
  };
}
