import { mkdirSync, unlinkSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { FactSpill } from '../outlet/fact-spill.ts';
import { countLines } from '../outlet/line-outlet.ts';
import type { Log } from '../outlet/log.ts';
import { LedgerFiles } from './ledger-files.ts';
import type { FromLedger, LedgerStart, ToLedger } from './ledger-messages.ts';

/**
 * Facts that the thread has been told and not yet kept, in bytes: half a second of 20,000 a second. What comes then waits in
 * a file.
 */
export const IN_FLIGHT_MAX_BYTES = 16 * 1_048_576;

/** Facts that wait in files, in bytes: what comes then is lost to the ledger, and counted; stdout has it all the same. */
export const BACKLOG_MAX_BYTES = 4 * 1_024 * 1_048_576;

/** Questions that wait for the thread's answer. */
export const FINDS_MAX = 256;

/** How long one may wait, in milliseconds. */
const FIND_MS = 2_000;

/** Before a thread that died is replaced, in milliseconds. */
const RESTART_MS = 1_000;

/** For what is waited for however long it takes: the longest that a timer can count, in milliseconds. */
const FOREVER_MS = 2 ** 31 - 1;

/** Of the thread's young objects, in megabytes: it lives on one batch at a time. */
const YOUNG_GENERATION_MB = 16;

const FOLDER_MODE = 0o700;

interface Find {
  readonly done: (lines: readonly string[] | null) => void;
  readonly limit: NodeJS.Timeout;
}

/**
 * The main thread's side of the ledger: hands facts on to its thread, and puts them into a file where that one is behind,
 * fails or is gone. Nothing here waits for it.
 */
export class LedgerKeeper {
  readonly #start: LedgerStart;
  readonly #log: Log;
  readonly #files: LedgerFiles;
  #worker: Worker | null = null;
  /** Told, and not yet said to be kept: a thread that dies is told them again. */
  #told: Uint8Array[] = [];
  #toldBytes = 0;
  #failure: string | null = null;
  #isReady = false;
  #isStopping = false;
  /** The file that takes what the thread does not; open before it is needed, for a disk that hangs by then. */
  #spill: FactSpill;
  #spillName: string;
  #spills = 0;
  #spilledBytes = 0;
  /** In files that the thread has not taken yet. */
  readonly #backlogs = new Map<string, number>();
  /** Of these the one that is still being written to its end. */
  #handingOver: string | null = null;
  readonly #finds = new Map<number, Find>();
  #calls = 0;
  #ready: (refused: Error | null) => void = () => {};
  #stopped: () => void = () => {};
  /** Facts that are in the ledger, of those of this process. */
  added = 0;
  lost = 0;
  /** Facts that the data base of `ledger_url` has been sent, and those that it refused for good. */
  sent = 0;
  refused = 0;

  /** @throws Error with one line that says what to do, when the folder cannot be made */
  constructor(start: Omit<LedgerStart, 'owner'>, log: Log) {
    // Sorted by their names, files are sorted by their age.
    this.#start = { ...start, owner: `${Date.now()}-${process.pid}` };
    this.#log = log;
    this.#files = new LedgerFiles(start.dataDir);
    try {
      mkdirSync(this.#files.folder, { recursive: true, mode: FOLDER_MODE });
      this.#spillName = this.#nextName();
      this.#spill = this.#openSpill(this.#spillName);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Error(
        `data_dir: cannot write to ${this.#files.folder} (${code ?? message}). Name a folder that this user may write to, or set ledger = false.`,
      );
    }
  }

  /** Facts that wait in files, in bytes. */
  get backlogBytes(): number {
    let bytes = this.#spilledBytes;
    for (const of of this.#backlogs.values()) bytes += of;
    return bytes;
  }

  /** It keeps what comes. */
  get isKeeping(): boolean {
    return this.#failure === null;
  }

  /**
   * Starts the thread.
   * @throws Error with one line that says what to do, where this version must not write the files
   */
  async start(): Promise<void> {
    const refused = await new Promise<Error | null>((resolve) => {
      this.#ready = resolve;
      this.#spawn();
    });
    if (refused !== null) throw refused;
  }

  /** @param lines usage facts, each ended by a newline; read only */
  add(lines: Uint8Array): void {
    const fits = this.#toldBytes + lines.length <= IN_FLIGHT_MAX_BYTES;
    if (!fits || this.#failure !== null || this.#isStopping) {
      this.#wait(lines);
      return;
    }
    this.#told.push(lines);
    this.#toldBytes += lines.length;
    this.#tell({ kind: 'facts', lines });
  }

  /**
   * What is known of a request, JSON texts.
   * @param done told null where nobody can say: too many ask, or the thread does not answer
   */
  find(requestId: string, done: (lines: readonly string[] | null) => void): void {
    if (this.#finds.size >= FINDS_MAX || this.#worker === null || this.#isStopping) {
      done(null);
      return;
    }
    const call = ++this.#calls;
    const limit = setTimeout(() => this.#found(call, null), FIND_MS).unref();
    this.#finds.set(call, { done, limit });
    this.#tell({ kind: 'find', call, requestId });
  }

  /** Everything that was told is kept, in the ledger or in a file. @returns false when that took longer than `limitMs` */
  async stop(limitMs: number): Promise<boolean> {
    this.#isStopping = true;
    for (const call of [...this.#finds.keys()]) this.#found(call, null);
    const isStopped = await Promise.race([
      new Promise<boolean>((resolve) => {
        this.#stopped = () => resolve(true);
        if (this.#worker === null) resolve(false);
        else this.#tell({ kind: 'stop' });
      }),
      new Promise<boolean>((resolve) => setTimeout(resolve, limitMs, false).unref()),
    ]);
    for (const lines of this.#told.splice(0)) this.#wait(lines);
    this.lost += await this.#spill.close(limitMs);
    if (this.#spilledBytes === 0 && !this.#spill.isBusy)
      unlinkSync(this.#files.at(this.#spillName));
    return isStopped && !this.#spill.isBusy;
  }

  #tell(message: ToLedger): void {
    this.#worker?.postMessage(message);
  }

  #spawn(): void {
    const worker = new Worker(new URL('./ledger-thread.ts', import.meta.url), {
      workerData: this.#start,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#worker = worker;
    worker.on('message', (message: FromLedger) => this.#hear(message));
    worker.on('error', (error) => {
      this.#log.write('error', 'ledger_thread_failed', { reason: error.message });
    });
    worker.on('exit', () => this.#onExit());
    for (const name of this.#backlogs.keys())
      if (name !== this.#handingOver) this.#tell({ kind: 'backlog', name });
    for (const lines of this.#told) this.#tell({ kind: 'facts', lines });
  }

  #onExit(): void {
    this.#worker = null;
    this.#stopped();
    if (!this.#isReady)
      this.#ready(new Error('the ledger ended while it was starting; the log says why'));
    for (const call of [...this.#finds.keys()]) this.#found(call, null);
    if (this.#isStopping) return;
    setTimeout(() => {
      if (!this.#isStopping) this.#spawn();
    }, RESTART_MS);
  }

  #hear(message: FromLedger): void {
    switch (message.kind) {
      case 'ready':
        this.#isReady = true;
        this.#ready(null);
        break;
      case 'refused':
        if (this.#isReady) this.#setFailure(message.reason);
        else this.#ready(new Error(message.reason));
        break;
      case 'taken':
        this.added += message.added;
        if (message.unreadable > 0)
          this.#log.write('error', 'ledger_facts_unreadable', { facts: message.unreadable });
        for (const lines of this.#told.splice(0, message.batches)) this.#toldBytes -= lines.length;
        this.#handOver();
        break;
      case 'backlog-taken': {
        const bytes = this.#backlogs.get(message.name) ?? 0;
        this.#backlogs.delete(message.name);
        if (bytes > 0 && this.backlogBytes === 0) this.#log.write('info', 'ledger_caught_up');
        break;
      }
      case 'state':
        this.#setFailure(message.failure);
        this.#handOver();
        break;
      case 'sent':
        this.sent += message.facts;
        this.refused += message.refused;
        if (message.refused > 0)
          this.#log.write('error', 'ledger_outbox_refused', { facts: message.refused });
        break;
      case 'found':
        this.#found(message.call, message.lines);
        break;
      case 'log':
        this.#log.write(message.level, message.event, message.fields);
        break;
      case 'stopped':
        this.#stopped();
        break;
    }
  }

  #setFailure(failure: string | null): void {
    if ((failure === null) === (this.#failure === null)) return;
    this.#failure = failure;
    if (failure === null) this.#log.write('info', 'ledger_recovered');
    else this.#log.write('error', 'ledger_failed', { reason: failure });
  }

  #found(call: number, lines: readonly string[] | null): void {
    const find = this.#finds.get(call);
    if (find === undefined) return;
    this.#finds.delete(call);
    clearTimeout(find.limit);
    find.done(lines);
  }

  #wait(lines: Uint8Array): void {
    if (this.backlogBytes + lines.length > BACKLOG_MAX_BYTES || !this.#spill.append(lines)) {
      this.lost += countLines(lines);
      return;
    }
    if (this.#spilledBytes === 0 && this.#failure === null && !this.#isStopping)
      this.#log.write('warn', 'ledger_behind');
    this.#spilledBytes += lines.length;
  }

  #nextName(): string {
    return this.#files.backlog(this.#start.owner, ++this.#spills);
  }

  #openSpill(name: string): FactSpill {
    const spill = new FactSpill(this.#files.at(name));
    spill.onProgress = () => this.#handOver();
    return spill;
  }

  /** The thread keeps up again: it gets the file, and the next one is begun. */
  #handOver(): void {
    if (this.#spilledBytes === 0 || this.#failure !== null || this.#handingOver !== null) return;
    if (this.#isStopping || this.#toldBytes > IN_FLIGHT_MAX_BYTES / 2) return;
    const full = this.#spill;
    // The disk has not taken all of it.
    if (full.waitingBytes > 0) return;
    const name = this.#spillName;
    const next = this.#nextName();
    try {
      this.#spill = this.#openSpill(next);
    } catch {
      // Tried again with the next word of the thread.
      return;
    }
    this.#spillName = next;
    this.#handingOver = name;
    this.#backlogs.set(name, this.#spilledBytes);
    this.#spilledBytes = 0;
    void full.close(FOREVER_MS).then((lost) => {
      this.lost += lost;
      this.#handingOver = null;
      this.#tell({ kind: 'backlog', name });
      this.#handOver();
    });
  }
}
