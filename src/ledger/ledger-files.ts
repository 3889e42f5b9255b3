import { existsSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { QUARTERS_A_DAY } from './ledger-schema.ts';

/** Where the ledger is, in `data_dir`. */
export const LEDGER_FOLDER = 'ledger';

/** What outlives the files of days. */
const KEPT = 'kept.db';
const DAY_FILE = /^(\d{4}-\d{2}-\d{2})\.db$/;
const BACKLOG_FILE = /^backlog-.+\.jsonl$/;

const DAY_MS = 86_400_000;

/** A UTC day, counted from 1970 on. */
export type DayNumber = number;

export function dayOf(ms: number): DayNumber {
  return Math.floor(ms / DAY_MS);
}

export function quarterOf(ms: number): number {
  return Math.floor((ms * QUARTERS_A_DAY) / DAY_MS);
}

/** `2026-11-28` */
export function dayText(day: DayNumber): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 'yyyy-mm-dd'.length);
}

/** The names of the ledger's files. */
export class LedgerFiles {
  readonly folder: string;

  /** @param dataDir the configuration's `data_dir` */
  constructor(dataDir: string) {
    this.folder = join(dataDir, LEDGER_FOLDER);
  }

  get exists(): boolean {
    return existsSync(this.kept);
  }

  get kept(): string {
    return join(this.folder, KEPT);
  }

  /** Held by the one process that writes. */
  get lock(): string {
    return join(this.folder, 'lock.db');
  }

  day(day: DayNumber): string {
    return join(this.folder, `${dayText(day)}.db`);
  }

  /** The days that have a file, the oldest first. */
  days(): readonly DayNumber[] {
    return readdirSync(this.folder)
      .flatMap((name) => {
        const text = DAY_FILE.exec(name)?.[1];
        return text === undefined ? [] : [dayOf(Date.parse(text))];
      })
      .sort((a, b) => a - b);
  }

  /** @param name of the folder's */
  at(name: string): string {
    return join(this.folder, name);
  }

  /**
   * A file of facts that wait.
   * @param owner the process's: two that share a folder must not write one file
   */
  backlog(owner: string, number: number): string {
    return `backlog-${owner}-${number}.jsonl`;
  }

  /** The names of all such files, the oldest first. */
  backlogs(): readonly string[] {
    return readdirSync(this.folder)
      .filter((name) => BACKLOG_FILE.test(name))
      .sort();
  }

  /** Takes a day's file away, with what SQLite keeps beside it. */
  unlinkDay(day: DayNumber): void {
    // The file first: without it the others are nobody's.
    for (const suffix of ['', '-wal', '-shm']) {
      try {
        unlinkSync(this.day(day) + suffix);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }
}
