import { Worker } from 'node:worker_threads';
import type { Deadlines, Due } from '../../ticker.ts';
import type { Judgement } from '../guard.ts';
import { failed, type JudgeFailure, KEEP } from './judge-failure.ts';
import { isJudgement } from './module-hooks.ts';
import type { FromThread, ModuleCall, ModulePoolSettings, ThreadStart } from './module-messages.ts';

/** Calls that wait for a thread: behind a module that needs its whole budget these are seconds. */
export const WAITING_MAX = 256;

/** How long one of them waits, in milliseconds: a burst, not an outage. */
export const WAIT_MS = 500;

/** How long a module may take to load, in milliseconds. */
const LOAD_MS = 5_000;

/** Before a thread that ended is replaced, in milliseconds; doubled for each one in a row that judged nothing. */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;

/** So many deaths in a row are waited out by who comes: the next thread is there within `WAIT_MS`. */
const DEATHS_WAITED = 2;

/** Threads that were told to end and have not: in a system call, nothing ends them. No others are begun beside so many. */
const ENDING_MAX = 4;

/** Of a thread's young objects, in MiB: it lives on one call at a time. */
const YOUNG_GENERATION_MB = 8;

/** Of a thread's machine code, and of its stack, in MiB: V8 would set aside more. */
const CODE_MB = 16;
const STACK_MB = 1;

const MIB = 1_048_576;

/** One call: it waits for a thread, then for its answer; either has its limit. */
class Call implements Due {
  dueSlot = -1;
  #isDone = false;
  readonly asked: ModuleCall;
  readonly #done: (judgement: Judgement) => void;
  readonly #onLate: () => void;

  constructor(asked: ModuleCall, done: (judgement: Judgement) => void, onLate: () => void) {
    this.asked = asked;
    this.#done = done;
    this.#onLate = onLate;
  }

  settle(judgement: Judgement): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#done(judgement);
  }

  onDue(): void {
    this.#onLate();
  }

  onDueBroken(): void {
    this.settle(failed('died'));
  }
}

/** One thread, from its start to its end. */
class ModuleThread implements Due {
  dueSlot = -1;
  state: 'loading' | 'idle' | 'busy' | 'ended' = 'loading';
  /** It has gone by itself: nobody needs to end it. */
  isGone = false;
  call: Call | null = null;
  readonly worker: Worker;
  readonly #onLate: () => void;

  constructor(worker: Worker, onLate: (thread: ModuleThread) => void) {
    this.worker = worker;
    this.#onLate = () => onLate(this);
  }

  onDue(): void {
    this.#onLate();
  }

  onDueBroken(): void {
    this.#onLate();
  }
}

/** Told how a pool fares. */
export interface PoolEvents {
  /** Its first thread has the module. */
  loaded(): void;
  /** A thread could not load it. */
  notLoaded(why: string): void;
  /** A thread was taken away, or went by itself. */
  threadLost(why: JudgeFailure): void;
}

/**
 * Runs an operator's module in threads of its own. Whatever one does to its thread (throws, hangs, takes memory without
 * end, leaves) costs the calls that it had: the thread is ended at the call's budget, and another one takes its place.
 * Nothing here waits for a thread.
 */
export class ModulePool {
  readonly #settings: ModulePoolSettings;
  readonly #deadlines: Deadlines;
  readonly #events: PoolEvents;
  #threads: ModuleThread[] = [];
  #ending = 0;
  readonly #waiting: Call[] = [];
  /** Threads in a row that ended without a verdict. */
  #deaths = 0;
  #restart: NodeJS.Timeout | null = null;
  #isClosed = false;
  /** What the module has hooks for, once a thread has said so. */
  #hooks: { readonly request: boolean; readonly response: boolean } | null = null;

  constructor(settings: ModulePoolSettings, deadlines: Deadlines, events: PoolEvents) {
    this.#settings = settings;
    this.#deadlines = deadlines;
    this.#events = events;
    for (let i = 0; i < settings.threads; i++) this.#spawn();
  }

  /**
   * @param done told once the module's verdict, or `failed` for a reason of `JUDGE_FAILURES`: at the latest when it has waited
   *   for `WAIT_MS` and had its budget
   */
  judge(asked: ModuleCall, done: (judgement: Judgement) => void): void {
    if (this.#hooks !== null && !this.#hooks[asked.phase]) {
      done(KEEP);
    } else if (this.#isDown) {
      done(failed('not_loaded'));
    } else if (this.#waiting.length >= WAITING_MAX) {
      done(failed('busy'));
    } else {
      const call: Call = new Call(asked, done, () => this.#late(call));
      this.#waiting.push(call);
      this.#deadlines.set(call, WAIT_MS);
      this.#next();
    }
  }

  /** Nobody waits for this call's verdict any more; one that is being judged goes on to its budget's end. */
  left(call: number): void {
    const at = this.#waiting.findIndex(({ asked }) => asked.call === call);
    const [gone] = at < 0 ? [] : this.#waiting.splice(at, 1);
    if (gone === undefined) return;
    this.#deadlines.clear(gone);
    gone.settle(failed('left'));
  }

  /** Ends its threads; what still waits or runs has no verdict. */
  close(): void {
    this.#isClosed = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    for (const thread of [...this.#threads]) this.#end(thread, 'not_loaded');
    this.#failWaiting('not_loaded');
  }

  /** No thread is there, nor is one to come soon. */
  get #isDown(): boolean {
    return this.#isClosed || (this.#threads.length === 0 && this.#deaths > DEATHS_WAITED);
  }

  /** Hands over what waits, to whoever is idle. */
  #next(): void {
    for (const thread of this.#threads) {
      if (thread.state !== 'idle') continue;
      const call = this.#waiting.shift();
      if (call === undefined) return;
      thread.state = 'busy';
      thread.call = call;
      this.#deadlines.set(call, this.#settings.budgetMs);
      thread.worker.postMessage(call.asked);
    }
  }

  /** It has waited too long for a thread, or its thread has had its budget. */
  #late(call: Call): void {
    const thread = this.#threads.find((one) => one.call === call);
    if (thread !== undefined) {
      this.#lose(thread, 'late');
      return;
    }
    const at = this.#waiting.indexOf(call);
    if (at >= 0) this.#waiting.splice(at, 1);
    call.settle(failed('busy'));
  }

  #spawn(): void {
    const start: ThreadStart = { url: this.#settings.url, network: this.#settings.network };
    const worker = new Worker(new URL('./module-thread.ts', import.meta.url), {
      workerData: start,
      // Pool keys and passwords may stand there.
      env: {},
      argv: [],
      stdin: false,
      // Kept from the process's own: a module may print the text that it reads.
      stdout: true,
      stderr: true,
      resourceLimits: {
        maxOldGenerationSizeMb: this.#settings.memoryMb,
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
        codeRangeSizeMb: CODE_MB,
        stackSizeMb: STACK_MB,
      },
    });
    worker.unref();
    worker.stdout.resume();
    worker.stderr.resume();
    const thread = new ModuleThread(worker, (late) => this.#unusable(late, 'it takes too long'));
    this.#threads.push(thread);
    this.#deadlines.set(thread, LOAD_MS);
    worker.on('message', (message: FromThread) => this.#hear(thread, message));
    let why: JudgeFailure = 'died';
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') why = 'memory';
    });
    worker.on('exit', () => {
      thread.isGone = true;
      if (thread.state === 'ended') this.#ending--;
      else this.#lose(thread, why);
    });
  }

  #hear(thread: ModuleThread, message: FromThread): void {
    if (thread.state === 'ended') return;
    switch (message.kind) {
      case 'ready': {
        this.#deadlines.clear(thread);
        thread.state = 'idle';
        const isFirst = this.#hooks === null;
        this.#hooks = { request: message.request, response: message.response };
        if (isFirst) this.#events.loaded();
        break;
      }
      case 'unusable':
        this.#unusable(thread, message.why);
        return;
      case 'judged':
        if (thread.call?.asked.call !== message.call) return;
        this.#judged(thread, thread.call, message);
        break;
    }
    this.#next();
  }

  #judged(
    thread: ModuleThread,
    call: Call,
    { judgement, outsideBytes }: Extract<FromThread, { kind: 'judged' }>,
  ): void {
    this.#deadlines.clear(call);
    thread.call = null;
    thread.state = 'idle';
    this.#deaths = 0;
    call.settle(isJudgement(judgement, call.asked.runs) ? judgement : failed('nonsense'));
    // V8's limits are of its own heap.
    if (outsideBytes > this.#settings.memoryMb * MIB) this.#lose(thread, 'memory');
  }

  #unusable(thread: ModuleThread, why: string): void {
    this.#events.notLoaded(why);
    this.#lose(thread, 'not_loaded');
  }

  /** Ends a thread, and begins another one. */
  #lose(thread: ModuleThread, why: JudgeFailure): void {
    if (thread.state === 'ended') return;
    this.#end(thread, why);
    this.#events.threadLost(why);
    this.#replace();
    if (this.#isDown) this.#failWaiting('not_loaded');
  }

  #end(thread: ModuleThread, why: JudgeFailure): void {
    thread.state = 'ended';
    this.#threads = this.#threads.filter((one) => one !== thread);
    this.#deadlines.clear(thread);
    const { call } = thread;
    thread.call = null;
    if (call !== null) {
      this.#deadlines.clear(call);
      call.settle(failed(why));
    }
    if (thread.isGone) return;
    this.#ending++;
    void thread.worker.terminate();
  }

  #failWaiting(why: JudgeFailure): void {
    for (const call of this.#waiting.splice(0)) {
      this.#deadlines.clear(call);
      call.settle(failed(why));
    }
  }

  #replace(): void {
    if (this.#isClosed || this.#restart !== null) return;
    const delayMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** this.#deaths++);
    this.#restart = setTimeout(() => {
      this.#restart = null;
      if (this.#ending >= ENDING_MAX) {
        this.#replace();
        return;
      }
      while (this.#threads.length < this.#settings.threads) this.#spawn();
    }, delayMs).unref();
  }
}
