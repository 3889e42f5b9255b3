import { pathToFileURL } from 'node:url';
import type { Log } from '../outlet/log.ts';
import { Deadlines } from '../ticker.ts';
import type { Judgement } from './guard.ts';
import type { GuardConfig } from './guard-config.ts';
import { createJudgeCounts, JudgeCounts } from './judges/judge-counts.ts';
import type { JudgeFailure } from './judges/judge-failure.ts';
import type { ModuleCall, ModuleSettings } from './judges/module-messages.ts';
import { ModuleProcesses } from './judges/module-processes.ts';
import { LogKeeper } from './logger/log-keeper.ts';
import type { LogRecord, LogSink } from './logger/log-messages.ts';
import { createLogRoom } from './logger/log-room.ts';

/** How exact the time limits of modules' processes are, in milliseconds; the clock runs only while one has calls. */
const DUE_PERIOD_MS = 100;

/** More workers than a machine has cores: a call's number is its worker's, and which worker's. */
const WORKERS_MAX = 1_024;

/** What guards have on the main thread: the processes of the operator's modules, and the exchange log. */
export class NodeGuards {
  /** What all workers share. @see JudgeCounts @see LogRoom */
  readonly memory = { judgeCounts: createJudgeCounts(), logRoom: createLogRoom() };
  readonly #counts = new JudgeCounts(this.memory.judgeCounts);
  readonly #modules: ModuleProcesses;
  readonly #log: LogKeeper;
  readonly #lost = new Map<JudgeFailure, number>();

  constructor(log: Log) {
    this.#log = new LogKeeper(this.memory.logRoom, log);
    this.#modules = new ModuleProcesses(new Deadlines(DUE_PERIOD_MS), {
      lost: (_guard, why) => this.#lost.set(why, (this.#lost.get(why) ?? 0) + 1),
      event: (level, event, fields) => log.write(level, event, fields),
    });
  }

  /** Since the start: calls of judges without a verdict, ends of modules' threads and processes, exchanges logged or not. */
  get totals(): {
    readonly failures: ReadonlyMap<JudgeFailure, number>;
    readonly lost: ReadonlyMap<JudgeFailure, number>;
    readonly logged: number;
    readonly notLogged: number;
  } {
    return {
      failures: this.#counts.totals(),
      lost: this.#lost,
      logged: this.#log.written,
      notLogged: this.#log.dropped,
    };
  }

  /** Runs the modules and logs that these tables name, from now on; those that are as before go on. */
  configure(guards: ReadonlyMap<string, Pick<GuardConfig<unknown>, 'name' | 'made'>>): void {
    const modules: ModuleSettings[] = [];
    const sinks: LogSink[] = [];
    for (const { name, made } of guards.values()) {
      if (made.kind === 'module') {
        const { kind: _, path, ...settings } = made;
        modules.push({ name, url: pathToFileURL(path).href, ...settings });
      } else if (made.kind === 'logger') {
        const { path, maxBytes, retentionDays } = made;
        sinks.push({ guard: name, path, maxBytes, retentionDays });
      }
    }
    this.#modules.configure(modules);
    this.#log.configure(sinks);
  }

  /** @param done told once, maybe in this turn */
  judge(worker: number, asked: ModuleCall, done: (judgement: Judgement) => void): void {
    this.#modules.judge({ ...asked, call: asked.call * WORKERS_MAX + worker }, done);
  }

  left(worker: number, guard: string, call: number): void {
    this.#modules.left(guard, call * WORKERS_MAX + worker);
  }

  record(record: LogRecord): void {
    this.#log.add(record);
  }

  /** No exchange is open any more. @returns false when what was said is not written within `limitMs` */
  async stop(limitMs: number): Promise<boolean> {
    this.#modules.stop();
    return await this.#log.stop(limitMs);
  }
}
