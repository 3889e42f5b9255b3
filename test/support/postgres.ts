import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './conditions.ts';
import { freePort } from './free-port.ts';

const INSTALLED = '/usr/lib/postgresql';
const BIN = (existsSync(INSTALLED) ? readdirSync(INSTALLED) : [])
  .map((version) => join(INSTALLED, version, 'bin'))
  .find((folder) => existsSync(join(folder, 'initdb')));

/** Postgres does not run as root: Debian's package brings a user for it. */
const USER = 'postgres';
const IDS = ids();

/** Why a test that needs Postgres cannot run here, or null when it can. Hand it to `ctx.skip`. */
export const POSTGRES_MISSING: string | null =
  BIN === undefined || IDS === null
    ? 'needs postgresql, which is not installed (apt-get install postgresql)'
    : null;

function ids(): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0)
    return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  try {
    const id = (flag: string): number =>
      Number(
        execFileSync('id', [flag, USER], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      );
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return null;
  }
}

/** A real Postgres on a folder of its own, on loopback, without passwords. */
export class PostgresServer {
  readonly port: number;
  readonly #folder: string;
  #end: (() => Promise<void>) | null = null;
  #pid: number | null = null;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.#folder = folder;
  }

  static async start(): Promise<PostgresServer> {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-postgres-'));
    chmodSync(folder, 0o777);
    const server = new PostgresServer(await freePort(), folder);
    server.#run('initdb', '-D', server.#data, '-U', USER, '-A', 'trust', '--no-sync', '-E', 'UTF8');
    await server.up();
    return server;
  }

  get url(): string {
    return `postgres://${USER}@127.0.0.1:${this.port}/postgres`;
  }

  async up(): Promise<void> {
    const options = ['-D', this.#data, '-p', String(this.port), '-c', 'listen_addresses=127.0.0.1'];
    const quick = ['-c', `unix_socket_directories=${this.#folder}`, '-c', 'fsync=off'];
    const child = spawn(join(BIN ?? '', 'postgres'), [...options, ...quick], {
      ...IDS,
      cwd: this.#folder,
      stdio: 'ignore',
    });
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.#pid = child.pid ?? null;
    process.once('exit', () => child.kill('SIGQUIT'));
    this.#end = async () => {
      child.kill('SIGQUIT');
      await exited;
    };
    await until('postgres to answer', () => {
      try {
        return this.sql('SELECT 1') === '1';
      } catch {
        return false;
      }
    });
  }

  /** At once, as a crash does. */
  async down(): Promise<void> {
    await this.#end?.();
    this.#end = null;
  }

  /** It takes connections and questions, and says nothing: the processes that answer are stopped. */
  pause(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  /** @returns its rows, a line each, columns separated by `|` */
  sql(text: string): string {
    const to = ['-h', '127.0.0.1', '-p', String(this.port), '-U', USER, '-d', 'postgres'];
    return this.#run('psql', ...to, '-v', 'ON_ERROR_STOP=1', '-qAt', '-c', text).trim();
  }

  async stop(): Promise<void> {
    await this.down();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#pid;
    if (pid === null) return;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    for (const id of [pid, ...children.filter((text) => text !== '').map(Number)])
      process.kill(id, signal);
  }

  get #data(): string {
    return join(this.#folder, 'data');
  }

  #run(program: string, ...argv: readonly string[]): string {
    return execFileSync(join(BIN ?? '', program), argv, {
      ...IDS,
      cwd: this.#folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }
}
