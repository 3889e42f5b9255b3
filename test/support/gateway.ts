import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Agent, setGlobalDispatcher } from 'undici';
import { until } from './conditions.ts';
import { Metrics } from './metrics.ts';
import { expectNoSecret } from './secrets.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const MAIN = join(ROOT, 'src/main.ts');

export type LogLine = Readonly<Record<string, unknown>>;

export interface GatewayOptions {
  /** TOML; `listen` and `metrics_listen` on free loopback ports are put before it. */
  readonly config?: string;
  /** `named`: by `--config`. `found`: as ./config.toml. `absent`: as that, but it is not there yet. Default: `named`. */
  readonly place?: 'named' | 'found' | 'absent';
  readonly env?: Readonly<Record<string, string>>;
  readonly nodeArgs?: readonly string[];
  /** Starts it another way: a command that takes `--config`. Default: the pinned Node runs `src/main.ts serve`. */
  readonly command?: readonly [string, ...string[]];
  /** Sees each line of its log as it comes; what it takes (true) is not kept: a long run prints millions. */
  readonly takes?: (line: LogLine) => boolean;
}

/** The real process, driven from outside. */
export class Gateway {
  readonly child: ChildProcess;
  readonly logs: LogLine[] = [];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  stderr = '';
  port = 0;
  metricsPort = 0;
  readonly #folder: string;
  readonly file: string;

  constructor({
    config = '',
    place = 'named',
    env = {},
    nodeArgs = [],
    command,
    takes,
  }: GatewayOptions) {
    this.#folder = mkdtempSync(join(tmpdir(), 'sluice-test-'));
    this.file = join(this.#folder, 'config.toml');
    if (place !== 'absent') this.configure(config);
    const [file, ...args] = command ?? [process.execPath, ...nodeArgs, MAIN, 'serve'];
    this.child = spawn(file, [...args, ...(place === 'named' ? ['--config', this.file] : [])], {
      cwd: this.#folder,
      // Whoever kills the tests has no gateway left behind.
      env: { ...inherited(), SLUICE_STAYS_WITH_PARENT: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stderr?.on('data', (text: Buffer) => {
      this.stderr += text.toString();
      expectNoSecret("the gateway's stderr", this.stderr);
    });
    if (this.child.stdout !== null) {
      createInterface(this.child.stdout).on('line', (line) => {
        expectNoSecret('a line of the log', line);
        const parsed = JSON.parse(line) as LogLine;
        if (takes?.(parsed) !== true) this.logs.push(parsed);
      });
    }
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    running.add(this);
    void this.exited.then(() => {
      running.delete(this);
      rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  /** Writes its configuration; a running gateway reads it when it looks, or is told to. */
  configure(config: string): void {
    // A test that is not about the guardrail may ask as often as it likes.
    const rates = config.includes('rate_limit_rps')
      ? ''
      : 'rate_limit_rps = 0\nbyo_rate_limit_rps = 0\n';
    const metrics = config.includes('metrics_listen') ? '' : 'metrics_listen = "127.0.0.1:0"\n';
    const listen = /^listen/m.test(config) ? '' : 'listen = "127.0.0.1:0"\n';
    writeFileSync(this.file, `${listen}${metrics}${rates}${config}`);
  }

  /** Takes its configuration's file away. */
  unconfigure(): void {
    rmSync(this.file);
  }

  /**
   * Writes a configuration, tells the gateway by signal, and waits for what it says of it.
   * @returns the log line
   */
  async reload(config: string, event = 'config_reloaded'): Promise<LogLine> {
    const before = this.count(event);
    this.configure(config);
    this.signal('SIGHUP');
    return await until(event, () => this.events(event)[before]);
  }

  /** The lines of its log of one kind. */
  events(event: string): readonly LogLine[] {
    return this.logs.filter((line) => line['event'] === event);
  }

  count(event: string): number {
    return this.events(event).length;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async ready(): Promise<this> {
    const line = await until(`the gateway to listen. ${this.stderr}`, () => {
      if (this.child.exitCode !== null) throw new Error(`The gateway ended: ${this.stderr}`);
      return this.logs.find(({ event }) => event === 'listening');
    });
    this.port = Number(String(line['listen']).split(':').pop());
    this.metricsPort = Number(String(line['metrics_listen']).split(':').pop());
    return this;
  }

  async metrics(): Promise<Metrics> {
    const response = await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`);
    const text = await response.text();
    expectNoSecret('the metrics', text);
    return new Metrics(text);
  }

  /** Resident memory of the whole process, in bytes. */
  rssBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  }

  /** File descriptors that the process has open. */
  descriptors(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  /** Waits until nothing is in flight; every exchange must get there. */
  async idle(): Promise<Metrics> {
    return await until('nothing in flight', async () => {
      const metrics = await this.metrics();
      return metrics.get('ai_requests_in_flight') === 0 && metrics;
    });
  }

  async waitForLog(matches: (line: LogLine) => boolean): Promise<LogLine> {
    return await until('a log line', () => this.logs.find(matches));
  }

  access(): readonly LogLine[] {
    return this.events('access');
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

/** Which client the gateways of this run use: `SLUICE_TRANSPORT=undici` shows that all claims hold on the second one. */
export const TRANSPORT = process.env['SLUICE_TRANSPORT'] ?? 'h1';

/** This process's environment, without the proxies of whoever runs the tests: they know nothing of loopback. */
function inherited(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(?:https?|no)_proxy$/i.test(name));
  return { ...Object.fromEntries(kept), AI_TRANSPORT: TRANSPORT };
}

const running = new Set<Gateway>();
process.on('exit', () => {
  for (const { child } of running) child.kill('SIGKILL');
});

export async function startGateway(options: GatewayOptions = {}): Promise<Gateway> {
  return await new Gateway(options).ready();
}

/** Runs the command to its end, away from any config.toml that may lie around. */
export function sluice(
  argv: readonly string[],
  {
    env = {},
    input = '',
    cwd = mkdtempSync(join(tmpdir(), 'sluice-command-')),
  }: {
    readonly env?: Readonly<Record<string, string>>;
    readonly input?: string;
    readonly cwd?: string;
  } = {},
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...argv], {
    cwd,
    env: { ...process.env, ...env },
    input,
    encoding: 'utf8',
    timeout: 60_000,
  });
  // While it ran nothing was read here: a connection that was kept may have ended, and the next request would meet that.
  setGlobalDispatcher(new Agent());
  // What they print is the one secret that a command is asked for.
  const isMinting =
    argv[0] === 'mint' || argv[0] === 'admin-token' || argv[0] === 'init' || argv[1] === 'create';
  if (!isMinting) expectNoSecret(`what "sluice ${argv[0]}" printed`, stdout + stderr);
  return { status, stdout, stderr };
}

/** The config lines that send these providers to local upstreams. */
export function authorities(rows: Readonly<Record<string, number>>): string {
  const lines = Object.entries(rows).map(([name, port]) => `${name} = "http://127.0.0.1:${port}"`);
  return `[provider_authorities]\n${lines.join('\n')}\n`;
}
