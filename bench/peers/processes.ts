import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { until } from '../../test/support/conditions.ts';
import { giveUp } from '../command-line.ts';

/** Configurations and logs of everything that a bench starts; gone when it ends. */
export const FOLDER = mkdtempSync(join(tmpdir(), 'sluice-bench-'));

/** Debian puts servers where only root's PATH leads. */
const PATH = [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter);

const running = new Set<Running>();

process.on('exit', () => {
  for (const one of running) one.kill();
  rmSync(FOLDER, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));

interface StartOptions {
  /** A file that takes its stdout; without it stdout is a pipe. */
  readonly log?: string;
  /** nginx ends its workers only when its master is told to end, not when it is killed. */
  readonly endSignal?: NodeJS.Signals;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** A process that this bench started, and ends. */
export class Running {
  readonly child: ChildProcess;
  readonly #endSignal: NodeJS.Signals;
  readonly #log: string | null;

  constructor(command: string, args: readonly string[], options: StartOptions = {}) {
    const { log, endSignal = 'SIGKILL', env = {}, cwd } = options;
    this.#log = log === undefined ? null : join(FOLDER, log);
    const out = this.#log === null ? 'pipe' : openSync(this.#log, 'w');
    this.#endSignal = endSignal;
    this.child = spawn(command, args, {
      stdio: ['pipe', out, 'inherit'],
      env: { ...process.env, PATH, ...env },
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child.on('error', (error) => process.stderr.write(`${command}: ${error.message}\n`));
    this.child.once('exit', () => running.delete(this));
    running.add(this);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null || this.pid === 0;
  }

  kill(): void {
    this.child.kill(this.#endSignal);
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    this.kill();
    await once(this.child, 'exit');
  }

  /** Resolves when something listens on the port. @throws when the process ended instead */
  async listening(port: number): Promise<this> {
    await this.#until(`port ${port}`, () => accepts(port));
    return this;
  }

  /** Resolves when its log holds a text. @throws when the process ended instead */
  async says(text: string): Promise<this> {
    await this.#until(text, () => readFileSync(this.#log ?? '', 'utf8').includes(text));
    return this;
  }

  async #until(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
    await until(what, () => {
      if (this.ended) throw new Error(`${this.child.spawnfile} ended too early: ${what}`);
      return probe();
    });
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const connected = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return connected;
}

/** Whether a command is on this machine. */
export function isThere(command: string): boolean {
  return spawnSync('which', [command], { env: { PATH } }).status === 0;
}

/** Ends the process with a line that names what to install when one of these commands is not on this machine. */
export function needCommands(...commands: readonly string[]): void {
  const missing = commands.filter((command) => !isThere(command)).join(' ');
  if (missing !== '') giveUp(`this bench needs ${missing}: apt-get install ${missing}`);
}

/** First line of what a command says of its version, on either stream; null when it is not there. */
export function versionOf(command: string, flag: string): string | null {
  const { status, stdout, stderr } = spawnSync(command, [flag], {
    env: { PATH },
    encoding: 'utf8',
  });
  return status === null ? null : (`${stdout}${stderr}`.trim().split('\n')[0] ?? null);
}
