import { type ChildProcess, fork } from 'node:child_process';
import { writeFile } from 'node:fs';
import type { Deadlines, Due } from '../../ticker.ts';
import type { Judgement } from '../guard.ts';
import { failed, type JudgeFailure } from './judge-failure.ts';
import type {
  FromModuleProcess,
  ModuleCall,
  ModulePoolSettings,
  ToModuleProcess,
} from './module-messages.ts';
import { WAIT_MS } from './module-pool.ts';

/** Calls of the node that one process has, and their texts in UTF-16 units: they wait in a pipe, and in its memory. */
const CALLS_MAX = 1_024;
const CALLS_MAX_UNITS = 16 * 1_048_576;

/** A process that has calls and answers none for so long beyond what one may take, in milliseconds, is stuck. */
const STUCK_MS = 2_000;

/** Before a process that ended is replaced, in milliseconds; doubled for each one in a row that judged nothing. */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;

/** So many ends in a row are waited out by who comes. */
const ENDS_WAITED = 2;

/** Of the process's own heap, in MiB; its threads have theirs. Calls on their way through it are most of it. */
const HEAP_MB = 128;

/** Where memory runs out on the machine, this one goes first (proc(5)). */
const OOM_SCORE = '1000';

interface Asked {
  readonly done: (judgement: Judgement) => void;
  readonly units: number;
}

/** Told how a process fares. */
export interface ProcessEvents {
  loaded(isOffline: boolean): void;
  notLoaded(why: string): void;
  /** A thread of it, or all of it, was ended or went by itself. */
  lost(why: JudgeFailure): void;
}

/**
 * The gateway's side of a process that runs an operator's module. What it does to itself ends there: it is begun anew, and
 * the calls that it had have no verdict.
 *
 * Decision: a process, and threads in it. With threads of the gateway alone a module that runs out of memory within one of
 * V8's own functions (`new Array(2 ** 27).fill(1)`) ended the gateway, whatever the thread's limits said.
 */
export class ModuleProcess implements Due {
  dueSlot = -1;
  readonly #settings: ModulePoolSettings;
  readonly #deadlines: Deadlines;
  readonly #events: ProcessEvents;
  readonly #asked = new Map<number, Asked>();
  #units = 0;
  #child: ChildProcess | null = null;
  #ends = 0;
  #restart: NodeJS.Timeout | null = null;
  #isRetired = false;
  #isClosed = false;

  constructor(settings: ModulePoolSettings, deadlines: Deadlines, events: ProcessEvents) {
    this.#settings = settings;
    this.#deadlines = deadlines;
    this.#events = events;
    this.#spawn();
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** @param done told the verdict once, `failed` where there is none; maybe in this turn */
  judge(asked: ModuleCall, done: (judgement: Judgement) => void): void {
    let units = 0;
    for (const { text } of asked.runs) units += text.length;
    const isDown = this.#child === null && this.#ends > ENDS_WAITED;
    if (this.#isClosed || isDown) done(failed('not_loaded'));
    else if (this.#asked.size >= CALLS_MAX || this.#units + units > CALLS_MAX_UNITS)
      done(failed('busy'));
    else if (this.#child === null) this.#waitFor(asked, done, units);
    else this.#hand(asked, done, units);
  }

  /** Nobody waits for its verdict any more. */
  left(call: number): void {
    if (this.#asked.has(call)) this.#tell({ kind: 'left', call });
  }

  /** Nobody asks it any more: it ends with the last of its calls. */
  retire(): void {
    this.#isRetired = true;
    if (this.#asked.size === 0) this.close();
  }

  /** Ends it; calls that it has get no verdict. */
  close(): void {
    this.#isClosed = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    this.#child?.kill('SIGKILL');
    this.#failAll('not_loaded');
  }

  /** It has calls, and nothing comes of them: not even that they are late. */
  onDue(): void {
    this.#child?.kill('SIGKILL');
  }

  onDueBroken(): void {
    this.close();
  }

  /** The next one comes within the time that a call may wait. */
  #waitFor(asked: ModuleCall, done: (judgement: Judgement) => void, units: number): void {
    setTimeout(() => {
      if (this.#child === null) done(failed('not_loaded'));
      else this.#hand(asked, done, units);
    }, WAIT_MS / 2).unref();
  }

  #hand(asked: ModuleCall, done: (judgement: Judgement) => void, units: number): void {
    this.#asked.set(asked.call, { done, units });
    this.#units += units;
    if (this.#asked.size === 1) this.#watch();
    this.#tell({ kind: 'call', asked });
  }

  #watch(): void {
    this.#deadlines.set(this, this.#settings.budgetMs + WAIT_MS + STUCK_MS);
  }

  #tell(message: ToModuleProcess): void {
    // What cannot be told is told by its end.
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }

  #spawn(): void {
    const child = fork(new URL('./module-host.ts', import.meta.url), [], {
      // Pool keys and passwords may stand there.
      env: {},
      execArgv: [
        '--no-warnings',
        `--max-old-space-size=${HEAP_MB}`,
        // No file is written, and no process begun; addons are for koffi, which then closes the network.
        ...(this.#settings.network
          ? []
          : ['--permission', '--allow-fs-read=*', '--allow-worker', '--allow-addons']),
      ],
      // A module may print the text that it reads.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      serialization: 'json',
    });
    this.#child = child;
    if (child.pid !== undefined) writeFile(`/proc/${child.pid}/oom_score_adj`, OOM_SCORE, () => {});
    child.unref();
    child.channel?.unref();
    child.on('message', (message: FromModuleProcess) => this.#hear(message));
    // Killed by nobody here, and not to be begun: its end says so, too, where there was a beginning.
    child.on('error', () => this.#onExit(child));
    child.on('exit', () => this.#onExit(child));
    this.#tell({ kind: 'start', settings: this.#settings });
  }

  #hear(message: FromModuleProcess): void {
    switch (message.kind) {
      case 'loaded':
        this.#events.loaded(message.isOffline);
        break;
      case 'not-loaded':
        this.#events.notLoaded(message.why);
        break;
      case 'thread-lost':
        this.#events.lost(message.why);
        break;
      case 'judged':
        this.#judged(message.call, message.judgement);
        break;
    }
  }

  #judged(call: number, judgement: Judgement): void {
    const asked = this.#asked.get(call);
    if (asked === undefined) return;
    this.#asked.delete(call);
    this.#units -= asked.units;
    if (judgement.verdict !== 'failed') this.#ends = 0;
    if (this.#asked.size > 0) this.#watch();
    else this.#deadlines.clear(this);
    asked.done(judgement);
    if (this.#isRetired && this.#asked.size === 0) this.close();
  }

  #onExit(child: ChildProcess): void {
    if (this.#child !== child) return;
    this.#child = null;
    this.#failAll('died');
    if (this.#isClosed || this.#isRetired) return;
    this.#events.lost('died');
    const delayMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** this.#ends++);
    this.#restart = setTimeout(() => this.#spawn(), delayMs).unref();
  }

  #failAll(why: JudgeFailure): void {
    this.#deadlines.clear(this);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    this.#units = 0;
    for (const { done } of asked) done(failed(why));
  }
}
