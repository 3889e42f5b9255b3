import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './conditions.ts';
import { freePort } from './free-port.ts';
import { ROOT } from './gateway.ts';

/** ClickHouse's engine as a Python package; its other dependencies are for data frames. */
const PACKAGES = ['chdb==4.4.0', 'chdb-core==26.9.0'];
const FOLDER = join(ROOT, 'node_modules/.cache/chdb-4.4.0');
const PYTHON = join(FOLDER, 'bin/python');
const STAMP = join(FOLDER, '.installed');
const FRONT = join(ROOT, 'test/support/clickhouse-front.py');

/**
 * Installs it once, some 570 MB.
 * @returns why it cannot be had here, or null
 */
export function installClickHouse(): string | null {
  if (existsSync(STAMP)) return null;
  rmSync(FOLDER, { recursive: true, force: true });
  const steps = [
    ['python3', '-m', 'venv', FOLDER],
    [PYTHON, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-compile', ...PACKAGES],
  ];
  for (const [command = '', ...argv] of steps) {
    const ran = spawnSync(command, argv, { encoding: 'utf8' });
    if (ran.status === 0) continue;
    const said = (ran.stderr ?? '').trim().split('\n').at(-1) ?? '';
    return `needs python3 with venv and the package chdb, which cannot be installed: ${said}`;
  }
  writeFileSync(STAMP, '');
  return null;
}

/** ClickHouse's engine behind its HTTP interface, on a folder of its own. */
export class ClickHouse {
  readonly url: string;
  readonly #port: number;
  readonly #password: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'sluice-clickhouse-'));
  #end: (() => Promise<void>) | null = null;

  private constructor(port: number) {
    this.#port = port;
    this.#password = 'p:w@rd/?';
    this.url = `http://sluice:${encodeURIComponent(this.#password)}@127.0.0.1:${port}/usage`;
  }

  static async start(): Promise<ClickHouse> {
    const server = new ClickHouse(await freePort());
    await server.up();
    await server.sql('CREATE DATABASE IF NOT EXISTS usage', 'default');
    return server;
  }

  async up(): Promise<void> {
    const argv = [FRONT, this.#folder, String(this.#port), this.#password];
    const child = spawn(PYTHON, argv, { stdio: ['ignore', 'ignore', 'inherit'] });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    process.once('exit', () => child.kill('SIGKILL'));
    this.#end = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    await until('ClickHouse to answer', async () => {
      const answer = await this.sql('SELECT 1', 'default').catch(() => null);
      return answer === '1';
    });
  }

  /** At once, as a crash does. */
  async down(): Promise<void> {
    await this.#end?.();
    this.#end = null;
  }

  /** @returns its rows, columns separated by tabs */
  async sql(text: string, database = 'usage'): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/?database=${database}`, {
      method: 'POST',
      headers: { 'x-clickhouse-user': 'sluice', 'x-clickhouse-key': this.#password },
      body: text,
    });
    const answer = (await response.text()).trim();
    if (!response.ok) throw new Error(answer);
    return answer;
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
