/**
 * The main thread's side of budgets, away from requests: knows whose each row is, shows them to whoever grants, writes what was
 * spent to the journal, and warns. What a request may take is decided by the table alone.
 */

import { join } from 'node:path';
import type { Log } from '../outlet/log.ts';
import { type BudgetCalendar, labelOf, labelText, windowOf } from './budget-calendar.ts';
import { BudgetJournal, type KeptBudgetRow, readJournal } from './budget-journal.ts';
import {
  type BudgetScope,
  type BudgetWindow,
  NANO_PER_USD,
  WARNED_AT_PERCENT,
} from './budget-settings.ts';
import { BudgetTable, createBudgetTable, NO_ROW, type RowName, rowName } from './budget-table.ts';
import { type BudgetRow, type GrantSource, type Grants, LOOK_MS } from './grant-source.ts';

const FILE_NAME = 'budgets';
/** How often the journal is synced to the disk, in milliseconds. */
const SYNC_MS = 1_000;
/** After a write that failed, in milliseconds. */
const RETRY_MS = 1_000;
/** The journal is made anew when it has so many lines more than four times what counts. */
const SPARE_LINES = 16_384;

/** What a worker tells of a budget that it met. */
export interface MetBudget {
  readonly scope: BudgetScope;
  readonly name: string;
  readonly window: BudgetWindow;
}

/** One warning: a share of a budget is spent. */
export interface BudgetWarning {
  readonly scope: BudgetScope;
  readonly name: string;
  readonly window: BudgetWindow;
  readonly label: string;
  readonly percent: number;
  readonly limit_usd: number;
  readonly spent_usd: number;
}

/** A budget that somebody uses. */
interface Known extends MetBudget {
  readonly print: RowName;
  row: number;
  /** What the journal says of it. */
  kept: { label: number; spent: number; limit: number; told: number };
  /** What was shown last of the window that counts. */
  last: BudgetRow | null;
}

/** How budgets stand on the node, for the metrics. */
export interface BudgetTotals {
  readonly rows: number;
  readonly spentNano: number;
  readonly reservedNano: number;
  /** Warnings since the start, by percent. */
  readonly warnings: ReadonlyMap<number, number>;
  readonly isJournalFailing: boolean;
  /** Looks at a row that were put off, because a worker held it for too long. */
  readonly locksGivenUp: number;
}

export class BudgetKeeper implements Grants {
  readonly memory: SharedArrayBuffer;
  readonly #table: BudgetTable;
  readonly #source: GrantSource;
  readonly #log: Log;
  readonly #calendar: () => BudgetCalendar;
  readonly #path: string | null;
  readonly #journal: BudgetJournal | null;
  readonly #known = new Map<string, Known>();
  readonly #warnings = new Map<number, number>(WARNED_AT_PERCENT.map((percent) => [percent, 0]));
  readonly #now: () => number;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #isMade = false;
  #isFailing = false;
  #retryAtMs = 0;
  #syncedAtMs = 0;
  #isSynced = true;
  /** Told of each warning, once a window. */
  onWarning: (warning: BudgetWarning) => void = () => {};

  /**
   * @param folder null: nothing outlives the process
   * @param calendar of the configuration that runs
   * @throws Error with one line that says what to do, when what was spent cannot be read
   */
  constructor(
    folder: string | null,
    workers: number,
    calendar: () => BudgetCalendar,
    source: GrantSource,
    log: Log,
    now: () => number = Date.now,
  ) {
    this.#calendar = calendar;
    this.#source = source;
    this.#log = log;
    this.#now = now;
    this.memory = createBudgetTable(workers, source.isWhole);
    this.#table = new BudgetTable(this.memory, null);
    this.#path = folder === null ? null : join(folder, FILE_NAME);
    this.#journal = this.#path === null ? null : new BudgetJournal(this.#path);
    if (this.#path !== null) this.#restore(this.#path);
  }

  #restore(path: string): void {
    let read: ReturnType<typeof readJournal>;
    try {
      read = readJournal(path);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Error(
        `data_dir: what was spent of budgets cannot be read from ${path} (${code ?? message}). Make it readable, or take it away to begin from nothing.`,
      );
    }
    if (read === null) return;
    const { day, month } = this.#calendar().at(this.#now());
    let windows = 0;
    for (const row of read.rows) {
      const label = labelOf(row.label);
      const window = windowOf(label);
      if (label < (window === 'day' ? day : month)) continue;
      const known = this.#meet({ scope: row.scope, name: row.name, window });
      if (!this.#table.restore(known.print, label, row.limit, row.spent, row.told)) continue;
      known.kept = { label, spent: row.spent, limit: row.limit, told: row.told };
      windows++;
    }
    this.#log.write('debug', 'budgets_read', { windows, passed_over: read.passedOver });
  }

  /** Called once, before any worker runs. */
  start(): void {
    this.#source.start(this);
    this.#write();
    this.#timer = setInterval(() => this.look(), LOOK_MS);
  }

  /** A worker uses a budget, for the first time or because its grant was too small. */
  met(budget: MetBudget): void {
    const known = this.#meet(budget);
    if (!this.#source.isWhole) this.#show(known);
  }

  #meet({ scope, name, window }: MetBudget): Known {
    const text = `${scope} ${name} ${window}`;
    const before = this.#known.get(text);
    if (before !== undefined) return before;
    const known: Known = {
      scope,
      name,
      window,
      print: rowName(text),
      row: NO_ROW,
      kept: { label: 0, spent: 0, limit: 0, told: 0 },
      last: null,
    };
    this.#known.set(text, known);
    return known;
  }

  /** A worker has died: what it had reserved is given back. */
  forget(worker: number): void {
    this.#table.forget(worker);
  }

  grant(row: BudgetRow, granted: number, elsewhere: number): number {
    const known = this.#known.get(`${row.scope} ${row.name} ${row.window}`);
    if (known === undefined || known.row === NO_ROW) return 0;
    return this.#table.grant(known.print, known.row, labelOf(row.label), granted, elsewhere);
  }

  reachable(isReachable: boolean): void {
    this.#table.isGranting = isReachable;
  }

  /** Looks at every row once: called by its clock. */
  look(): void {
    this.#table.giveBackOwed();
    for (const known of this.#known.values()) this.#show(known);
    this.#write();
  }

  #show(known: Known): void {
    const state = this.#stateOf(known);
    if (state === null) return;
    const row: BudgetRow = {
      scope: known.scope,
      name: known.name,
      window: known.window,
      label: labelText(state.label),
      limit: state.limit,
      granted: state.granted,
      spent: state.spent,
      reserved: state.reserved,
      wanted: state.wanted,
    };
    const { last } = known;
    const isOver = this.#isOver(state.label);
    if (last !== null && last.label !== row.label) this.#source.ended(last);
    known.last = row;
    if (isOver) {
      this.#source.ended(row);
      if (state.reserved === 0) this.#known.delete(`${known.scope} ${known.name} ${known.window}`);
      return;
    }
    if (state.wanted > 0) this.#table.heard(known.print, known.row);
    this.#source.look(row);
    this.#warn(known, row, state.told);
  }

  #isOver(label: number): boolean {
    const { day, month } = this.#calendar().at(this.#now());
    return label < (windowOf(label) === 'day' ? day : month);
  }

  #stateOf(known: Known) {
    if (known.row === NO_ROW) known.row = this.#table.find(known.print);
    if (known.row === NO_ROW) return null;
    const state = this.#table.read(known.print, known.row);
    if (state === null) known.row = NO_ROW;
    return state;
  }

  /** The highest share that was passed since the last look is told; lower ones that were passed with it are not. */
  #warn(known: Known, row: BudgetRow, told: number): void {
    if (row.limit === 0) return;
    let bits = told;
    let passed: number | null = null;
    for (const [at, percent] of WARNED_AT_PERCENT.entries()) {
      if (row.spent * 100 < row.limit * percent || (told & (1 << at)) !== 0) continue;
      bits |= 1 << at;
      passed = percent;
    }
    if (passed === null) return;
    if (!this.#table.warned(known.print, known.row, labelOf(row.label), bits)) return;
    this.#warnings.set(passed, (this.#warnings.get(passed) ?? 0) + 1);
    const warning: BudgetWarning = {
      scope: row.scope,
      name: row.name,
      window: row.window,
      label: row.label,
      percent: passed,
      limit_usd: row.limit / NANO_PER_USD,
      spent_usd: row.spent / NANO_PER_USD,
    };
    this.#log.write('warn', 'budget_warning', { ...warning });
    this.onWarning(warning);
  }

  get totals(): BudgetTotals {
    let spentNano = 0;
    let reservedNano = 0;
    for (const { last } of this.#known.values()) {
      // A day's money is in its month's too.
      reservedNano = Math.max(reservedNano, last?.reserved ?? 0);
      spentNano += last?.window === 'month' && last.scope === 'key' ? last.spent : 0;
    }
    return {
      rows: this.#known.size,
      spentNano,
      reservedNano,
      warnings: this.#warnings,
      isJournalFailing: this.#isFailing,
      locksGivenUp: this.#table.locksGivenUp,
    };
  }

  // ---- the journal -------------------------------------------------------------------------------------------------

  #write(): void {
    if (this.#journal === null || this.#writing !== null || this.#now() < this.#retryAtMs) return;
    this.#writing = this.#writeAll(this.#journal).finally(() => {
      this.#writing = null;
    });
  }

  async #writeAll(journal: BudgetJournal): Promise<void> {
    try {
      if (!this.#isMade || journal.lines > 4 * this.#known.size + SPARE_LINES) {
        const all = this.#rows(false);
        await journal.renew(all.map(({ row }) => row));
        this.#isMade = true;
        for (const { known, kept } of all) known.kept = kept;
      }
      const changed = this.#rows(true);
      if (changed.length > 0) {
        await journal.append(changed.map(({ row }) => row));
        for (const { known, kept } of changed) known.kept = kept;
        this.#isSynced = false;
      }
      const nowMs = performance.now();
      if (!this.#isSynced && nowMs - this.#syncedAtMs >= SYNC_MS) {
        this.#syncedAtMs = nowMs;
        await journal.sync();
        this.#isSynced = true;
      }
      if (this.#isFailing) this.#log.write('info', 'budgets_kept_again');
      this.#isFailing = false;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (!this.#isFailing)
        this.#log.write('error', 'budgets_not_kept', { path: this.#path, reason: code ?? message });
      this.#isFailing = true;
      this.#retryAtMs = this.#now() + RETRY_MS;
    }
  }

  /** @param changed only those of which the journal says something else */
  #rows(changed: boolean) {
    const rows: {
      readonly known: Known;
      readonly kept: Known['kept'];
      readonly row: KeptBudgetRow;
    }[] = [];
    for (const known of this.#known.values()) {
      const state = this.#stateOf(known);
      if (state === null || state.label === 0) continue;
      const { label, spent, limit, told } = state;
      const before = known.kept;
      const isSame =
        before.label === label &&
        before.spent === spent &&
        before.limit === limit &&
        before.told === told;
      if (changed && isSame) continue;
      rows.push({
        known,
        kept: { label, spent, limit, told },
        row: {
          scope: known.scope,
          name: known.name,
          label: labelText(label),
          spent,
          limit,
          told,
        },
      });
    }
    return rows;
  }

  /**
   * Everything was settled: it is written, and grants are handed back.
   * @returns false when the disk did not take it within `limitMs`
   */
  async stop(limitMs: number): Promise<boolean> {
    if (this.#timer !== null) clearInterval(this.#timer);
    const deadline = new Promise<'late'>((resolve) => setTimeout(resolve, limitMs, 'late').unref());
    const done = (async () => {
      // What was settled last is not held any more.
      this.look();
      await this.#source.stop(limitMs / 2);
      await this.#writing;
      this.look();
      await this.#writing;
      const journal = this.#journal;
      if (journal === null) return true;
      if (!this.#isFailing) await journal.sync();
      await journal.close();
      return !this.#isFailing;
    })();
    return (await Promise.race([done, deadline])) === true;
  }
}
