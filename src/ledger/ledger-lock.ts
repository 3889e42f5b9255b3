import { openSqlite, type SqlFile } from './sqlite.ts';

/**
 * One process writes a ledger: a second gateway with the same `data_dir` waits. The lock is a transaction that is never
 * ended, so that it goes with its process, however that ends.
 */
export class LedgerLock {
  readonly #path: string;
  #held: SqlFile | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  get isHeld(): boolean {
    return this.#held !== null;
  }

  /** @returns false while another process has it */
  take(): boolean {
    if (this.#held !== null) return true;
    const file = openSqlite(this.#path, 'write');
    try {
      file.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
      this.#held = file;
      return true;
    } catch (error) {
      file.close();
      if (error instanceof Error && /locked|busy/.test(error.message)) return false;
      throw error;
    }
  }

  release(): void {
    this.#held?.close();
    this.#held = null;
  }
}
