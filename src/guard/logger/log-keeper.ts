import { isDeepStrictEqual } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { Log } from '../../outlet/log.ts';
import type { FromLog, LogRecord, LogSink, ToLog } from './log-messages.ts';
import { LogRoom } from './log-room.ts';

/** Before a thread that died is replaced, in milliseconds. */
const RESTART_MS = 1_000;

/** Of the thread's young objects, in megabytes: it lives on one exchange at a time. */
const YOUNG_GENERATION_MB = 16;

/**
 * The main thread's side of the exchange log: hands exchanges on to the thread that writes them. Nothing here waits for it:
 * what has come and is not written when it stalls is bounded by the room, and what comes then is dropped on its worker.
 */
export class LogKeeper {
  readonly #room: LogRoom;
  readonly #log: Log;
  #sinks: readonly LogSink[] = [];
  #worker: Worker | null = null;
  /** Handed over, and not yet written or dropped: records, and what they take of the room. */
  #told = 0;
  #toldUnits = 0;
  #isStopping = false;
  #stopped: () => void = () => {};
  /** Exchanges that are in a file. */
  written = 0;

  /** @param memory from `createLogRoom` */
  constructor(memory: SharedArrayBuffer, log: Log) {
    this.#room = new LogRoom(memory);
    this.#log = log;
  }

  /** Exchanges that are in none. */
  get dropped(): number {
    return this.#room.dropped;
  }

  /** Writes to these from now on; without any there is no thread. */
  configure(sinks: readonly LogSink[]): void {
    if (this.#isStopping || isDeepStrictEqual(sinks, this.#sinks)) return;
    this.#sinks = sinks;
    if (this.#worker === null && sinks.length > 0) this.#spawn();
    else this.#tell({ kind: 'sinks', sinks });
  }

  /** @param record whose room its worker has taken */
  add(record: LogRecord): void {
    if (this.#worker === null || this.#isStopping) {
      this.#room.giveBack(record.units);
      this.#room.drop();
      return;
    }
    this.#told++;
    this.#toldUnits += record.units;
    this.#tell({ kind: 'record', record });
  }

  /** What has come is written. @returns false when that took longer than `limitMs` */
  async stop(limitMs: number): Promise<boolean> {
    this.#isStopping = true;
    if (this.#worker === null) return true;
    return await new Promise<boolean>((resolve) => {
      this.#stopped = () => resolve(true);
      setTimeout(resolve, limitMs, false).unref();
      this.#tell({ kind: 'stop' });
    });
  }

  #tell(message: ToLog): void {
    this.#worker?.postMessage(message);
  }

  #spawn(): void {
    const worker = new Worker(new URL('./log-thread.ts', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#worker = worker;
    worker.on('message', (message: FromLog) => this.#hear(message));
    worker.on('error', (error) => {
      // Its message may quote what it could not mask.
      this.#log.write('error', 'exchange_log_thread_failed', { reason: error.name });
    });
    worker.on('exit', () => this.#onExit());
    this.#tell({ kind: 'sinks', sinks: this.#sinks });
  }

  #hear(message: FromLog): void {
    switch (message.kind) {
      case 'taken':
        this.#told--;
        this.#toldUnits -= message.units;
        this.#room.giveBack(message.units);
        if (message.isWritten) this.written++;
        else this.#room.drop();
        break;
      case 'state':
        if (message.failure === null)
          this.#log.write('info', 'exchange_log_recovered', { path: message.path });
        else
          this.#log.write('error', 'exchange_log_failed', {
            path: message.path,
            reason: message.failure,
          });
        break;
      case 'stopped':
        this.#stopped();
        break;
    }
  }

  #onExit(): void {
    this.#worker = null;
    this.#room.giveBack(this.#toldUnits);
    for (; this.#told > 0; this.#told--) this.#room.drop();
    this.#toldUnits = 0;
    this.#stopped();
    if (this.#isStopping) return;
    setTimeout(() => {
      if (!this.#isStopping && this.#sinks.length > 0) this.#spawn();
    }, RESTART_MS).unref();
  }
}
