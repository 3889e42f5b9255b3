import { createRequire } from 'node:module';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { withoutWarning } from '../known-warning.ts';

/** What a statement takes for one of its parameters. */
export type SqlValue = string | number | bigint | null | Uint8Array;

/** One row; which members it has is the statement's word. */
export type SqlRow = Readonly<Record<string, SqlValue>>;

/** Made once, run often. */
export interface SqlStatement {
  /** @returns rows that it changed */
  run(...values: readonly SqlValue[]): number;
  all(...values: readonly SqlValue[]): readonly SqlRow[];
  /** The first row; null where there is none. */
  first(...values: readonly SqlValue[]): SqlRow | null;
}

/** The few things that the ledger asks of an embedded database. */
export interface SqlFile {
  exec(sql: string): void;
  prepare(sql: string): SqlStatement;
  /** All of it is in the file, or nothing is. */
  transaction<Result>(work: () => Result): Result;
  /** The same within a transaction, which goes on either way. */
  savepoint<Result>(work: () => Result): Result;
  close(): void;
}

/** How long a statement waits for another process that reads or checkpoints, in milliseconds. */
const BUSY_MS = 2_000;

const require = createRequire(import.meta.url);
let loaded: typeof import('node:sqlite') | null = null;

function sqlite(): typeof import('node:sqlite') {
  loaded ??= withoutWarning(
    'SQLite is an experimental feature',
    () => require('node:sqlite') as typeof import('node:sqlite'),
  );
  return loaded;
}

/**
 * Opens a file of SQLite's (`node:sqlite`), which is made where it is missing.
 * @param mode `read` takes no lock that a writer would wait for, and makes nothing
 * @throws Error with SQLite's words
 */
export function openSqlite(path: string, mode: 'write' | 'read'): SqlFile {
  const { DatabaseSync: Database } = sqlite();
  const database = new Database(path, { readOnly: mode === 'read' });
  const file = new OpenFile(database);
  try {
    file.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
    return file;
  } catch (error) {
    database.close();
    throw error;
  }
}

class OpenFile implements SqlFile {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  prepare(sql: string): SqlStatement {
    return new OpenStatement(this.#database.prepare(sql));
  }

  transaction<Result>(work: () => Result): Result {
    return this.#within('BEGIN IMMEDIATE', 'COMMIT', 'ROLLBACK', work);
  }

  savepoint<Result>(work: () => Result): Result {
    return this.#within('SAVEPOINT work', 'RELEASE work', 'ROLLBACK TO work; RELEASE work', work);
  }

  #within<Result>(begin: string, end: string, undo: string, work: () => Result): Result {
    this.#database.exec(begin);
    try {
      const result = work();
      this.#database.exec(end);
      return result;
    } catch (error) {
      // A disk that is full has rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec(undo);
      throw error;
    }
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

class OpenStatement implements SqlStatement {
  readonly #statement: StatementSync;

  constructor(statement: StatementSync) {
    this.#statement = statement;
  }

  run(...values: readonly SqlValue[]): number {
    return Number(this.#statement.run(...values).changes);
  }

  all(...values: readonly SqlValue[]): readonly SqlRow[] {
    return this.#statement.all(...values) as readonly SqlRow[];
  }

  first(...values: readonly SqlValue[]): SqlRow | null {
    return (this.#statement.get(...values) as SqlRow | undefined) ?? null;
  }
}
