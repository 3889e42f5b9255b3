import type { SqlFile, SqlStatement, SqlValue } from './sqlite.ts';

/** Rows that one statement writes: a call into SQLite costs as much as a row (measured; more than these gains nothing). */
const ROWS_AT_ONCE = 16;

/** Writes rows of a table, several with one statement. What was added is there when it is flushed. */
export class RowWriter {
  readonly #width: number;
  readonly #many: SqlStatement;
  readonly #one: SqlStatement;
  #values: SqlValue[] = [];
  #written = 0;

  /**
   * @param into `table (columns)`
   * @param width columns
   * @param onConflict `ON CONFLICT …`
   */
  constructor(file: SqlFile, into: string, width: number, onConflict: string) {
    const row = `(${Array.from({ length: width }, () => '?').join(', ')})`;
    const statement = (rows: number): SqlStatement => {
      const all = Array.from({ length: rows }, () => row).join(', ');
      return file.prepare(`INSERT INTO ${into} VALUES ${all} ${onConflict}`);
    };
    this.#width = width;
    this.#many = statement(ROWS_AT_ONCE);
    this.#one = statement(1);
  }

  /** @param values one for each column; bytes are read when they are written, a few rows later */
  add(...values: readonly SqlValue[]): void {
    for (const value of values) this.#values.push(value);
    if (this.#values.length < this.#width * ROWS_AT_ONCE) return;
    this.#written += this.#many.run(...this.#values);
    this.#values = [];
  }

  /** Forgets what was added since the last flush. */
  clear(): void {
    this.#values = [];
    this.#written = 0;
  }

  /** @returns how many rows were written since the last time */
  flush(): number {
    for (let at = 0; at < this.#values.length; at += this.#width)
      this.#written += this.#one.run(...this.#values.slice(at, at + this.#width));
    const written = this.#written;
    this.clear();
    return written;
  }
}
