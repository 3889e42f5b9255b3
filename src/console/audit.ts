/**
 * What was changed through the console, by whom and why: a line in the log for each write, and a file in `data_dir` that the
 * console reads back. No secret is in either: what an operation says of before and after is what it answers with.
 */

import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import type { Log } from '../outlet/log.ts';
import type { AUDIT_ROW } from './shapes.ts';

export type AuditRow = z.output<typeof AUDIT_ROW>;

/** Of one file, in bytes, and how many older ones are kept: some ten thousand changes. The log has them all. */
export const AUDIT_FILE_MAX_BYTES = 4 * 1_048_576;
export const AUDIT_FILES_MAX = 4;

/** Of one line, in bytes: behind it, what was there before and is there now is left out. */
export const AUDIT_LINE_MAX_BYTES = 65_536;

/**
 * Of one file, in bytes, what lines take that have changed nothing: sign-ins, and what was refused. The others are in the log
 * alone, so that who may change nothing cannot push out of the files what others have changed.
 */
export const AUDIT_UNCHANGING_MAX_BYTES = AUDIT_FILE_MAX_BYTES / 4;

/** Of a path in a line, in characters. */
const PLACE_MAX = 512;

/** Rows that are kept in memory where there is no `data_dir`. */
export const AUDIT_MEMORY_MAX = 1_000;

const FILE = 'admin-audit.jsonl';

export interface AuditPage {
  readonly rows: readonly AuditRow[];
  /** Of the next older one. */
  readonly next: string | null;
}

interface Numbered {
  readonly n: number;
  readonly row: AuditRow;
}

export class Audit {
  readonly #log: Log;
  readonly #folder: string | null;
  readonly #recent: Numbered[] = [];
  #bytes = 0;
  /** Of them, those of lines that have changed nothing. */
  #unchanging = 0;
  #next = 1;
  #isFailing = false;

  /** @param folder `data_dir`, or null: it is kept as long as the thread lives */
  constructor(folder: string | null, log: Log) {
    this.#folder = folder;
    this.#log = log;
    if (folder === null) return;
    try {
      const youngest = numbered(this.#read(0));
      this.#next = (youngest.at(-1)?.n ?? numbered(this.#read(1)).at(-1)?.n ?? 0) + 1;
      for (const { n, row } of youngest)
        if (!isChange(row)) this.#unchanging += Buffer.byteLength(lineOf(n, row));
      this.#bytes = statSync(this.#path(0), { throwIfNoEntry: false })?.size ?? 0;
      // What a crash has cut must not take the next line along.
      if (this.#bytes > 0 && !this.#read(0).endsWith('\n')) appendFileSync(this.#path(0), '\n');
    } catch (error) {
      this.#failed(error);
    }
  }

  write(said: Omit<AuditRow, 'at'>): void {
    const row: AuditRow = {
      at: new Date().toISOString(),
      ...said,
      place: said.place.slice(0, PLACE_MAX),
    };
    const { author, role, operation, place, reason, status } = row;
    const level = status < 400 ? 'info' : 'warn';
    this.#log.write(level, 'admin_audit', { author, role, operation, place, reason, status });
    if (this.#folder === null) {
      this.#remember({ n: this.#next++, row });
      return;
    }
    let line = lineOf(this.#next, row);
    if (Buffer.byteLength(line) > AUDIT_LINE_MAX_BYTES)
      line = lineOf(this.#next, { ...row, before: null, after: null });
    const bytes = Buffer.byteLength(line);
    const unchanging = isChange(row) ? 0 : bytes;
    if (this.#unchanging + unchanging > AUDIT_UNCHANGING_MAX_BYTES) return;
    this.#next++;
    try {
      if (this.#bytes + bytes > AUDIT_FILE_MAX_BYTES) this.#turn();
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      appendFileSync(this.#path(0), line, { mode: 0o600 });
      this.#bytes += bytes;
      this.#unchanging += unchanging;
      this.#isFailing = false;
    } catch (error) {
      this.#failed(error);
    }
  }

  /**
   * The youngest first.
   * @param before from a page's `next`; null: from the youngest
   * @throws Error when the disk does not give it
   */
  page(before: string | null, limit: number): AuditPage {
    const below = before === null ? Number.POSITIVE_INFINITY : Number(before);
    const rows: Numbered[] = [];
    // One more than is shown: there is a next page only where there is something on it.
    for (let file = 0; file <= AUDIT_FILES_MAX && rows.length <= limit; file++) {
      const older =
        this.#folder === null ? (file === 0 ? this.#recent : []) : numbered(this.#read(file));
      for (let at = older.length - 1; at >= 0 && rows.length <= limit; at--) {
        const line = older[at];
        if (line !== undefined && line.n < below) rows.push(line);
      }
    }
    const shown = rows.slice(0, limit);
    const next = rows.length > limit ? String(shown.at(-1)?.n ?? 0) : null;
    return { rows: shown.map(({ row }) => row), next };
  }

  /** One that has changed nothing makes room before one that has. */
  #remember(line: Numbered): void {
    this.#recent.push(line);
    if (this.#recent.length <= AUDIT_MEMORY_MAX) return;
    const least = this.#recent.findIndex(({ row }) => !isChange(row));
    this.#recent.splice(Math.max(0, least), 1);
  }

  #path(file: number): string {
    return join(this.#folder ?? '', file === 0 ? FILE : `${FILE}.${file}`);
  }

  #read(file: number): string {
    try {
      return readFileSync(this.#path(file), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    }
  }

  /** The full file becomes the youngest of the older ones; the oldest goes. */
  #turn(): void {
    rmSync(this.#path(AUDIT_FILES_MAX), { force: true });
    for (let file = AUDIT_FILES_MAX - 1; file >= 0; file--) {
      if (statSync(this.#path(file), { throwIfNoEntry: false }) !== undefined)
        renameSync(this.#path(file), this.#path(file + 1));
    }
    this.#bytes = 0;
    this.#unchanging = 0;
  }

  /** Once, until it works again: the log has every line all the same. */
  #failed(error: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const reason = error instanceof Error ? error.message : 'unknown';
    this.#log.write('error', 'admin_audit_unkept', { reason });
  }
}

function isChange({ status, operation }: AuditRow): boolean {
  return status < 400 && operation !== 'signIn' && operation !== 'signOut';
}

function lineOf(n: number, row: AuditRow): string {
  return `${JSON.stringify({ n, ...row })}\n`;
}

/** A line that was cut by a crash is passed over. */
function numbered(text: string): readonly Numbered[] {
  return text.split('\n').flatMap((line) => {
    try {
      const { n, ...row } = JSON.parse(line) as AuditRow & { n: number };
      return [{ n, row }];
    } catch {
      return [];
    }
  });
}
