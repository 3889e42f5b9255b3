import { isDeepStrictEqual } from 'node:util';
import type { Deadlines } from '../../ticker.ts';
import type { Judgement } from '../guard.ts';
import { failed, type JudgeFailure } from './judge-failure.ts';
import type { ModuleCall, ModuleSettings } from './module-messages.ts';
import { ModuleProcess, type ProcessEvents } from './module-process.ts';

/** Of a reason in the log, in UTF-16 units. */
const REASON_MAX = 500;

/** Told how modules fare; never with a text that was judged. */
export interface ModuleReport {
  /** A thread or the process of a module was ended, or went by itself; another one takes its place. */
  lost(guard: string, why: JudgeFailure): void;
  event(level: 'info' | 'warn' | 'error', event: string, fields: Record<string, string>): void;
}

interface Running {
  settings: ModuleSettings;
  process: ModuleProcess;
  /** Of a changed file or table, while it loads. */
  next: ModuleProcess | null;
}

/**
 * The operator's modules of the node, each in a process of its own. A changed file gets another process, which takes over
 * when it has loaded it; a file that cannot be loaded is told to the operator, and the process of before goes on.
 */
export class ModuleProcesses {
  readonly #deadlines: Deadlines;
  readonly #report: ModuleReport;
  readonly #running = new Map<string, Running>();

  constructor(deadlines: Deadlines, report: ModuleReport) {
    this.#deadlines = deadlines;
    this.#report = report;
  }

  /** Runs these from now on; those whose table and file are as before go on. */
  configure(modules: readonly ModuleSettings[]): void {
    const names = new Set(modules.map(({ name }) => name));
    for (const [name, { process, next }] of this.#running) {
      if (names.has(name)) continue;
      this.#running.delete(name);
      next?.close();
      process.retire();
    }
    for (const settings of modules) {
      const running = this.#running.get(settings.name);
      if (running === undefined) this.#begin(settings);
      else if (!isDeepStrictEqual(running.settings, settings)) this.#replace(running, settings);
    }
  }

  /** @param done told the verdict once, maybe in this turn */
  judge(asked: ModuleCall, done: (judgement: Judgement) => void): void {
    const running = this.#running.get(asked.context.guard);
    if (running === undefined) done(failed('not_loaded'));
    else running.process.judge(asked, done);
  }

  /** Nobody waits for a call's verdict any more. */
  left(guard: string, call: number): void {
    this.#running.get(guard)?.process.left(call);
  }

  stop(): void {
    for (const { process, next } of this.#running.values()) {
      next?.close();
      process.close();
    }
    this.#running.clear();
  }

  #begin(settings: ModuleSettings): void {
    const { name } = settings;
    let isTold = false;
    const process = new ModuleProcess(
      settings,
      this.#deadlines,
      this.#events(settings, {
        loaded: () => {},
        notLoaded: (why) => {
          // Tried again and again, and told once.
          if (!isTold) this.#tell('error', 'guard_module_not_loaded', name, why);
          isTold = true;
        },
      }),
    );
    this.#running.set(name, { settings, process, next: null });
  }

  #replace(running: Running, settings: ModuleSettings): void {
    const { name } = settings;
    running.settings = settings;
    running.next?.close();
    const next: ModuleProcess = new ModuleProcess(
      settings,
      this.#deadlines,
      this.#events(settings, {
        loaded: () => {
          if (running.next !== next) return;
          running.next = null;
          running.process.retire();
          running.process = next;
          this.#tell('info', 'guard_module_reloaded', name, '');
        },
        notLoaded: (why) => {
          if (running.next !== next) return;
          running.next = null;
          next.close();
          this.#tell('error', 'guard_module_not_reloaded', name, why);
        },
      }),
    );
    running.next = next;
  }

  #events(
    { name, network }: ModuleSettings,
    on: { loaded(): void; notLoaded(why: string): void },
  ): ProcessEvents {
    let isTold = network;
    return {
      loaded: (isOffline) => {
        if (!isOffline && !isTold)
          this.#tell('warn', 'guard_module_fence_only', name, 'the kernel closes no network here');
        isTold = true;
        on.loaded();
      },
      notLoaded: on.notLoaded,
      lost: (why) => this.#report.lost(name, why),
    };
  }

  /** What a module says when it is loaded may be wrong in it, not what it has read: no text has come by then. */
  #tell(level: 'info' | 'warn' | 'error', event: string, guard: string, reason: string): void {
    this.#report.event(level, event, {
      guard,
      ...(reason === '' ? {} : { reason: reason.slice(0, REASON_MAX) }),
    });
  }
}
