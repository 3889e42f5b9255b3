import type { Worker } from 'node:worker_threads';
import type { BudgetKeeper } from '../budget/budget-keeper.ts';
import type { CacheKeeper } from '../cache/cache-keeper.ts';
import type { ConfigDocument } from '../config/config-document.ts';
import type { ModuleCall } from '../guard/judges/module-messages.ts';
import type { NodeGuards } from '../guard/node-guards.ts';
import type { LedgerKeeper } from '../ledger/ledger-keeper.ts';
import type { LineOutlet } from '../outlet/line-outlet.ts';
import type { NodeLog } from '../outlet/log.ts';
import type { PromptBreak, PromptBreaks } from '../plan/prompt-breaks.ts';
import { LimitTable } from '../policy/limit-table.ts';
import { usdText } from '../prices/money.ts';
import type { StateKeeper } from '../stored/state-keeper.ts';
import type { ToMain, ToWorker, WorkerStart } from './messages.ts';
import type { RefusalList } from './refusal-list.ts';
import { openThread, type WarmThread } from './worker-thread.ts';

/** Before a dead worker is replaced, in milliseconds; doubled for each death in a row. */
const RESTART_MIN_MS = 100;
const RESTART_MAX_MS = 10_000;

/** A worker that lived so long, in milliseconds, starts its next backoff anew. */
const HEALTHY_AFTER_MS = 60_000;

/** The memory that all workers share. */
type SharedTables = Pick<
  WorkerStart,
  | 'memory'
  | 'rates'
  | 'tokens'
  | 'deny'
  | 'factGate'
  | 'health'
  | 'pins'
  | 'limits'
  | 'repeats'
  | 'budgets'
  | 'replay'
  | 'held'
  | 'stored'
  | 'followed'
  | 'judgeCounts'
  | 'logRoom'
>;

interface Slot {
  readonly index: number;
  worker: Worker | null;
  state: 'starting' | 'listening' | 'drained' | 'closed';
  deaths: number;
  startedAtMs: number;
}

/** Starts the workers, replaces those that die, and takes them down in the order that does not abort the process. */
export class Supervisor {
  #document: ConfigDocument;
  #providerSlots: readonly string[];
  readonly #shared: SharedTables;
  readonly #out: LineOutlet;
  readonly #refusals: RefusalList;
  readonly #breaks: PromptBreaks;
  readonly #stored: StateKeeper;
  readonly #budgets: BudgetKeeper;
  readonly #limits: LimitTable;
  readonly #ledger: LedgerKeeper | null;
  readonly #cache: CacheKeeper;
  readonly #guards: NodeGuards;
  readonly #log: NodeLog;
  readonly #slots: Slot[];
  readonly #warm: WarmThread;
  #stopping = false;
  #changed: () => void = () => {};
  restarts = 0;

  /**
   * @param document its `listen` has a concrete port
   * @param warm the thread of the first worker
   */
  constructor(
    document: ConfigDocument,
    providerSlots: readonly string[],
    shared: SharedTables,
    out: LineOutlet,
    refusals: RefusalList,
    breaks: PromptBreaks,
    stored: StateKeeper,
    budgets: BudgetKeeper,
    ledger: LedgerKeeper | null,
    cache: CacheKeeper,
    guards: NodeGuards,
    log: NodeLog,
    warm: WarmThread,
  ) {
    this.#warm = warm;
    this.#document = document;
    this.#providerSlots = providerSlots;
    this.#shared = shared;
    this.#out = out;
    this.#refusals = refusals;
    this.#breaks = breaks;
    this.#stored = stored;
    this.#budgets = budgets;
    this.#limits = new LimitTable(shared.limits, null);
    this.#ledger = ledger;
    this.#cache = cache;
    this.#guards = guards;
    this.#log = log;
    this.#slots = Array.from({ length: document.workers }, (_, index) => ({
      index,
      worker: null,
      state: 'starting',
      deaths: 0,
      startedAtMs: 0,
    }));
  }

  /** True while at least one worker takes connections and nobody asked to stop. */
  get ready(): boolean {
    return !this.#stopping && this.#slots.some(({ state }) => state === 'listening');
  }

  /**
   * Starts every worker.
   * @throws Error when one cannot listen
   */
  async start(): Promise<void> {
    await Promise.all(this.#slots.map((slot) => this.#firstListen(slot)));
  }

  /** Exchanges that begin from now on, on every worker and on those to come, go by this configuration. */
  reload(document: ConfigDocument, providerSlots: readonly string[]): void {
    this.#document = document;
    this.#providerSlots = providerSlots;
    this.#tellAll({ kind: 'reload', document, providerSlots });
  }

  /** Listening stops; resolves when nothing is in flight, or after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#tellAll({ kind: 'drain', graceMs });
    await this.#until((slot) => slot.state !== 'listening' && slot.state !== 'starting', graceMs);
  }

  /** Closes every connection and ends the threads; resolves after `limitMs` at the latest. */
  async close(limitMs: number): Promise<boolean> {
    this.#stopping = true;
    this.#tellAll({ kind: 'close' });
    return await this.#until((slot) => slot.state === 'closed', limitMs);
  }

  #firstListen(slot: Slot): Promise<void> {
    return new Promise((resolve, reject) => this.#spawn(slot, resolve, reject));
  }

  #spawn(slot: Slot, listening: () => void, failed: (error: Error) => void): void {
    const start: WorkerStart = {
      document: this.#document,
      ...this.#shared,
      providerSlots: this.#providerSlots,
      index: slot.index,
    };
    const worker = this.#warm.take() ?? openThread();
    worker.postMessage({ kind: 'start', start } satisfies ToWorker);
    this.#cache.connect(slot.index, (port) =>
      worker.postMessage({ kind: 'cache', port } satisfies ToWorker, [port]),
    );
    slot.worker = worker;
    slot.state = 'starting';
    slot.startedAtMs = performance.now();
    worker.on('message', (message: ToMain) => this.#onMessage(slot, message, listening, failed));
    worker.on('error', (error) =>
      this.#log.write('error', 'worker_failed', { worker: slot.index, reason: error.message }),
    );
    worker.on('exit', () => {
      // One that died while it was loading has told nothing.
      if (slot.state === 'starting' && slot.deaths === 0)
        failed(new Error('a worker ended while it was starting; the log says why'));
      this.#onExit(slot);
    });
  }

  #onMessage(
    slot: Slot,
    message: ToMain,
    listening: () => void,
    failed: (error: Error) => void,
  ): void {
    switch (message.kind) {
      case 'listening':
        slot.state = 'listening';
        this.#log.write('debug', 'worker_listening', {
          worker: slot.index,
          took_ms: Math.round(performance.now() - slot.startedAtMs),
        });
        listening();
        break;
      case 'lines':
        this.#out.log(message.lines);
        break;
      case 'facts':
        // First: what it is given is copied on its way to the ledger's thread.
        this.#ledger?.add(message.lines);
        this.#out.facts(message.lines);
        break;
      case 'stored':
        this.#stored.add(message.records);
        break;
      case 'budget':
        this.#budgets.met(message.budget);
        break;
      case 'refusals':
        this.#refusals.add(message.rows, message.unnamed);
        break;
      case 'broke-cache':
        this.#brokeCache(message.broken);
        break;
      case 'log':
        this.#log.write(message.level, message.event, message.fields);
        break;
      case 'recall':
        this.#recall(slot, message.call, message.requestId);
        break;
      case 'judge':
        this.#judge(slot, message.asked);
        break;
      case 'judge-left':
        this.#guards.left(slot.index, message.guard, message.call);
        break;
      case 'exchange':
        this.#guards.record(message.record);
        break;
      case 'catch-up':
        this.#catchUp(slot);
        break;
      case 'drained':
        slot.state = 'drained';
        break;
      case 'closed':
        slot.state = 'closed';
        break;
      case 'failed':
        if (slot.state === 'starting' && slot.deaths === 0) failed(new Error(message.reason));
        else
          this.#log.write('error', 'worker_failed', { worker: slot.index, reason: message.reason });
        break;
    }
    this.#changed();
  }

  #brokeCache(broken: PromptBreak): void {
    this.#breaks.add(broken);
    const { tenantId, keyId, model, target, part, offset, partOffset, turns, lostPico } = broken;
    this.#log.write('warn', 'prompt_cache_broken', {
      tenant_id: tenantId,
      key_id: keyId,
      model,
      target,
      part,
      offset,
      part_offset: partOffset,
      turns,
      lost_usd: lostPico === null ? null : usdText(lostPico),
    });
  }

  #recall({ worker }: Slot, call: number, requestId: string): void {
    const tell = (lines: readonly string[] | null): void =>
      worker?.postMessage({ kind: 'recalled', call, lines } satisfies ToWorker);
    if (this.#ledger === null) tell([]);
    else this.#ledger.find(requestId, tell);
  }

  #judge({ worker, index }: Slot, asked: ModuleCall): void {
    const { call } = asked;
    this.#guards.judge(index, asked, (judgement) =>
      worker?.postMessage({ kind: 'judged', call, judgement } satisfies ToWorker),
    );
  }

  #catchUp({ worker }: Slot): void {
    const tell = (isTold: boolean): void =>
      worker?.postMessage({ kind: 'caught-up', isTold } satisfies ToWorker);
    this.#stored.caughtUp().then(tell, () => tell(false));
  }

  #onExit(slot: Slot): void {
    const bornDead = slot.state === 'starting' && slot.deaths === 0;
    slot.worker = null;
    slot.state = 'closed';
    // At once: others may wait for what it holds.
    this.#budgets.forget(slot.index);
    this.#limits.forget(slot.index);
    this.#cache.disconnect(slot.index);
    this.#changed();
    if (this.#stopping || bornDead) return;
    this.restarts++;
    if (performance.now() - slot.startedAtMs > HEALTHY_AFTER_MS) slot.deaths = 0;
    const delayMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** slot.deaths++);
    this.#log.write('error', 'worker_died', { worker: slot.index, restart_in_ms: delayMs });
    setTimeout(() => {
      if (!this.#stopping)
        this.#spawn(
          slot,
          () => this.#log.write('info', 'worker_restarted', { worker: slot.index }),
          () => {},
        );
    }, delayMs);
  }

  #tellAll(message: ToWorker): void {
    for (const { worker } of this.#slots) worker?.postMessage(message);
  }

  /** Resolves true when `done` holds for every slot, false after `limitMs`. */
  #until(done: (slot: Slot) => boolean, limitMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (result: boolean): void => {
        clearTimeout(limit);
        this.#changed = () => {};
        resolve(result);
      };
      const limit = setTimeout(() => finish(false), limitMs);
      this.#changed = () => {
        if (this.#slots.every(done)) finish(true);
      };
      this.#changed();
    });
  }
}
