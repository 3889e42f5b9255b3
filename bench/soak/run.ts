import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { pause, until } from '../../test/support/conditions.ts';
import { seededRandom } from '../../test/support/fixtures.ts';
import type { LogLine } from '../../test/support/gateway.ts';
import type { Metrics } from '../../test/support/metrics.ts';
import type { Mark } from './curve.ts';
import { disturbances } from './disturbances.ts';
import { Faults } from './faults.ts';
import { type Growth, growthOf } from './growth.ts';
import { Ledger } from './ledger.ts';
import type { FromLoad } from './messages.ts';
import { openFiles, type Sample, Sampler } from './sample.ts';
import { type Audience, type Doorstep, openStage, type Stage } from './stage.ts';
import { Windows } from './windows.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly seed: number;
  /** Orders a second. */
  readonly rate: number;
  readonly sampleEverySeconds: number;
  readonly disturbEverySeconds: number;
  /** Told each sample. */
  readonly onSample: (sample: Sample) => void;
  readonly onMark: (mark: Mark) => void;
  /** For tests: what stands between clients and gateway. */
  readonly doorstep?: Doorstep;
  /** For tests: false loses a line of the log. */
  readonly keepsLine?: (line: LogLine) => boolean;
}

export interface SoakResult {
  readonly samples: readonly Sample[];
  readonly marks: readonly Mark[];
  readonly growth: Growth;
  readonly totals: Readonly<Record<string, number>>;
  /** Why it failed, the first ones in words; none = it passed. */
  readonly faults: readonly string[];
  readonly faultCount: number;
}

/**
 * Descriptors that a gateway opens once and keeps: each of its two workers has one of /dev/null from its first connection to
 * a provider on (libuv's reserve for when there are no more). All others are back 20 s behind the last request.
 */
const FDS_ONCE = 2;
/** Connections towards providers are kept for 15 s, idle ones of clients for 12 s. */
const FDS_BACK_MS = 60_000;
/** The longest stream takes 20 s at its provider, and its reader may rest; a hang is told by the clients after 90 s. */
const TRAFFIC_ENDS_MS = 150_000;

/** What must be 0 behind the traffic. */
const NEVER = [
  'ai_active_streams',
  'ai_usage_facts_lost_total',
  'ai_usage_facts_spilled_total',
  'ai_log_lines_dropped_total',
  'ai_worker_restarts_total',
] as const;

/** Runs the soak once. Rejects only when it cannot run. */
export async function runSoak(options: SoakOptions): Promise<SoakResult> {
  const soak = new Soak(options);
  return await soak.run();
}

class Soak implements Audience {
  readonly #options: SoakOptions;
  readonly #faults = new Faults();
  readonly #windows = new Windows();
  readonly #ledger = new Ledger(this.#windows, this.#faults.add);
  readonly #marks: Mark[] = [];
  #load: FromLoad = { ends: [], asked: 0, inFlight: 0, heldBack: 0, isOver: false };
  #reports = 0;
  #ends = 0;
  #accessLines = 0;
  /** Before the traffic, and behind it. */
  readonly #fds = { before: 0, after: 0 };

  constructor(options: SoakOptions) {
    this.#options = options;
  }

  async run(): Promise<SoakResult> {
    const stage = await openStage(this.#options.seed, (line) => this.#takes(line), this);
    try {
      return await this.#on(stage);
    } finally {
      await stage.close();
    }
  }

  seen({ reached, wrong }: { reached: readonly number[]; wrong: readonly string[] }): void {
    this.#reports++;
    for (const number of reached) this.#ledger.reached(number);
    for (const text of wrong) this.#faults.add(text);
  }

  load(message: FromLoad): void {
    this.#load = message;
    this.#ends += message.ends.length;
    for (const end of message.ends) {
      for (const text of this.#windows.unexplained(end)) this.#faults.add(text);
      this.#ledger.end(end);
    }
  }

  #takes(line: LogLine): boolean {
    const { event } = line;
    if (event !== 'access' && event !== 'ai.usage') return false;
    if (this.#options.keepsLine?.(line) === false) return true;
    if (event === 'access') this.#accessLines++;
    else this.#ledger.fact(line);
    return true;
  }

  async #on(stage: Stage): Promise<SoakResult> {
    const { minutes, seed, rate, doorstep, onSample } = this.#options;
    const { gateway } = stage;
    await gateway.waitForLog(({ event }) => event === 'deny_set_synced');
    // Behind the overlay's first reading: that has a connection of its own, which stands until the end.
    await until('the gateway to be ready', () => isReady(gateway.metricsPort));
    const pid = gateway.child.pid ?? 0;
    this.#fds.before = openFiles(pid);
    const port = (await doorstep?.(gateway.port)) ?? gateway.port;
    stage.startLoad(port, seed, rate, this);
    const sampler = new Sampler(gateway);
    await sampler.take();
    const disturbing = this.#disturb(stage, sampler);
    const sampleMs = this.#options.sampleEverySeconds * 1_000;
    while (sampler.seconds < minutes * 60 && stage.casualties.length === 0) {
      await pause(sampleMs);
      const sample = await sampler.take().catch(() => null);
      if (sample !== null) onSample(sample);
    }
    for (const text of stage.casualties) this.#faults.add(text);
    if (stage.casualties.length > 0) {
      sampler.stop();
      return this.#result(sampler.samples);
    }
    await this.#bounded('the last disturbance to end', disturbing);
    await this.#stop(stage, sampler);
    await this.#settle(stage);
    return this.#result(sampler.samples);
  }

  async #disturb(stage: Stage, sampler: Sampler): Promise<void> {
    const { minutes, seed, disturbEverySeconds, onMark } = this.#options;
    const list = disturbances(seededRandom(seed));
    for (let at = 1; ; at++) {
      const due = at * disturbEverySeconds;
      // None begins so late that its effect falls into the end.
      if (due > minutes * 60 - disturbEverySeconds) return;
      while (sampler.seconds < due) await pause(100);
      const next = list[(at - 1) % list.length];
      if (next === undefined) return;
      const mark = { seconds: sampler.seconds, name: next.name };
      this.#marks.push(mark);
      onMark(mark);
      await next.run(stage, this.#windows).catch((error: unknown) => {
        this.#faults.add(`"${next.name}" did not have its effect: ${String(error)}`);
      });
    }
  }

  /** Traffic ends: every client is told its end, and nothing is in flight. */
  async #stop(stage: Stage, sampler: Sampler): Promise<void> {
    sampler.stop();
    stage.tellLoad({ kind: 'stop' });
    const over = until('every client to be told its end', () => this.#load.isOver, TRAFFIC_ENDS_MS);
    await this.#bounded('traffic', over);
    await this.#bounded('the gateway', stage.gateway.idle());
    const seen = this.#reports;
    await this.#bounded(
      "the upstream's last words",
      until('reports', () => this.#reports > seen + 1),
    );
  }

  async #descriptorsBack(pid: number): Promise<void> {
    const { before } = this.#fds;
    const back = (): boolean => openFiles(pid) <= before + FDS_ONCE;
    await until('descriptors', back, FDS_BACK_MS).catch(() => {
      this.#faults.add(
        `${openFiles(pid)} descriptors are open ${FDS_BACK_MS / 1_000} s behind the traffic; before it were ${before}`,
      );
    });
    this.#fds.after = openFiles(pid);
  }

  /** What must be true when nothing moves any more. */
  async #settle(stage: Stage): Promise<void> {
    const { gateway } = stage;
    await this.#descriptorsBack(gateway.child.pid ?? 0);
    const metrics = await gateway.metrics();
    const lines = metrics.get('ai_requests_total');
    // Fewer are told below, with their number.
    await until('the log', () => this.#accessLines >= lines).catch(() => {});
    this.#balance(metrics);
    this.#ledger.close();
    gateway.signal('SIGTERM');
    const { code, signal } = await gateway.exited;
    if (code !== 0) this.#faults.add(`the gateway ended with ${code ?? signal}`);
    if (gateway.stderr !== '') this.#faults.add(`the gateway's stderr: ${gateway.stderr}`);
  }

  /** What the gateway counted, beside what it printed. */
  #balance(metrics: Metrics): void {
    const requests = metrics.get('ai_requests_total');
    const rows: readonly (readonly [what: string, is: number, due: number])[] = [
      ['settled exchanges', metrics.sum('ai_exchanges_settled_total'), requests],
      ['access lines', this.#accessLines, requests],
      ['facts in the log', this.#ledger.facts, metrics.sum('ai_usage_facts_total')],
      ...NEVER.map((name) => [name, metrics.get(name), 0] as const),
    ];
    for (const [what, is, due] of rows) {
      if (is !== due) this.#faults.add(`${what}: ${is} where ${due} belong`);
    }
  }

  async #bounded(what: string, work: Promise<unknown>): Promise<void> {
    await work.catch((error: unknown) => this.#faults.add(`${what}: ${String(error)}`));
  }

  #result(samples: readonly Sample[]): SoakResult {
    const growth = growthOf(samples);
    const { reported, estimated, none } = this.#ledger.sources;
    const totals = {
      orders: this.#load.asked,
      heldBack: this.#load.heldBack,
      ended: this.#ends,
      accessLines: this.#accessLines,
      facts: this.#ledger.facts,
      reported,
      estimated,
      none,
      descriptorsBefore: this.#fds.before,
      descriptorsAfter: this.#fds.after,
    };
    const faults = [...growth.faults, ...this.#faults.kept];
    const faultCount = growth.faults.length + this.#faults.count;
    return { samples, marks: this.#marks, growth, totals, faults, faultCount };
  }
}

/** Leaves no kept connection behind, as fetch() would: descriptors are counted next. */
async function isReady(port: number): Promise<boolean> {
  const asked = get({ port, host: '127.0.0.1', path: '/readyz', agent: false });
  const [response]: IncomingMessage[] = await once(asked, 'response');
  response?.resume();
  await once(asked, 'close');
  return response?.statusCode === 200;
}
