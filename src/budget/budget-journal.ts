/**
 * The file that keeps what was spent over a restart: a line for each budget's window that changed, the last one of a window
 * counts. Lines are read by people too: `key 12/7 2026-11-28 spent limit warned checksum`, amounts in nano-dollars.
 *
 * Written every `LOOK_MS`, so that a process that is killed loses no more than that and one write; synced to the disk once a
 * second, so that a machine that loses its power loses no more than that. Made anew (beside it, synced, renamed) at the start and
 * when most of it is superseded. A line that was torn or changed fails its checksum and is passed over.
 */

import { readFileSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import type { BudgetScope } from './budget-settings.ts';

/** One budget's window as it is kept. */
export interface KeptBudgetRow {
  readonly scope: BudgetScope;
  readonly name: string;
  /** `2026-11-28`, `2026-11`. */
  readonly label: string;
  readonly spent: number;
  readonly limit: number;
  /** A bit for each warning that was told. */
  readonly told: number;
}

const HEAD = 'sluice budgets 1\n';
const LINE =
  /^((key|tenant) ([0-9a-z/]{1,64}) (\d{4}-\d\d(?:-\d\d)?) (\d{1,16}) (\d{1,16}) (\d{1,3})) ([0-9a-f]{8})$/;

export function journalLine({ scope, name, label, spent, limit, told }: KeptBudgetRow): string {
  const text = `${scope} ${name} ${label} ${spent} ${limit} ${told}`;
  return `${text} ${crc32(text).toString(16).padStart(8, '0')}\n`;
}

/** What a journal says: the last line of each window, and how many lines were none. */
export interface ReadJournal {
  readonly rows: readonly KeptBudgetRow[];
  readonly passedOver: number;
}

/**
 * @returns null when there is no file
 * @throws Error with the system's code, or with a sentence when it is none of ours: what was spent must not be forgotten
 */
export function readJournal(path: string): ReadJournal | null {
  try {
    return decodeJournal(readFileSync(path, 'latin1'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export function decodeJournal(text: string): ReadJournal {
  if (!text.startsWith(HEAD)) {
    // Cut in its head: made by a process that died before it had anything to say.
    if (HEAD.startsWith(text)) return { rows: [], passedOver: 0 };
    throw new Error('it is no file of budgets');
  }
  const rows = new Map<string, KeptBudgetRow>();
  let passedOver = 0;
  const lines = text.slice(HEAD.length).split('\n');
  for (const [at, line] of lines.entries()) {
    if (line === '' && at === lines.length - 1) continue;
    const row = decodeLine(line);
    if (row === null) passedOver++;
    else rows.set(`${row.scope} ${row.name} ${row.label}`, row);
  }
  return { rows: [...rows.values()], passedOver };
}

function decodeLine(line: string): KeptBudgetRow | null {
  const match = LINE.exec(line);
  if (match === null) return null;
  const [, text = '', scope, name = '', label = '', spent, limit, told, sum = ''] = match;
  if (crc32(text) !== Number.parseInt(sum, 16)) return null;
  return {
    scope: scope === 'tenant' ? 'tenant' : 'key',
    name,
    label,
    spent: Number(spent),
    limit: Number(limit),
    told: Number(told),
  };
}

/** On the thread pool: a disk that hangs stops nobody. One call at a time. */
export class BudgetJournal {
  readonly #path: string;
  #file: FileHandle | null = null;
  #bytes = 0;
  /** Lines of it. */
  lines = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * Puts a new file in the place of the last one: whoever reads the path at any moment, and after any crash, finds the one or the
   * other whole (rename(2) is atomic; both the file and its folder are synced).
   * @throws Error with the system's code; what was there goes on
   */
  async renew(rows: readonly KeptBudgetRow[]): Promise<void> {
    const fresh = `${this.#path}.tmp`;
    const file = await open(fresh, 'w', 0o600);
    const content = Buffer.from(HEAD + rows.map(journalLine).join(''), 'latin1');
    try {
      await file.writeFile(content);
      await file.sync();
      await rename(fresh, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    const before = this.#file;
    this.#file = file;
    this.#bytes = content.length;
    this.lines = rows.length;
    await before?.close();
    const folder = await open(dirname(this.#path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  /** @throws Error with the system's code; nothing of it counts as written then */
  async append(rows: readonly KeptBudgetRow[]): Promise<void> {
    const file = this.#file;
    if (file === null) throw new Error('the file was never made');
    const content = Buffer.from(rows.map(journalLine).join(''), 'latin1');
    // At its place, not at the end: half a line of a write that failed would be in front of all that follow.
    for (let done = 0; done < content.length; ) {
      const left = content.length - done;
      const { bytesWritten } = await file.write(content, done, left, this.#bytes + done);
      done += bytesWritten;
    }
    this.#bytes += content.length;
    this.lines += rows.length;
  }

  async sync(): Promise<void> {
    await this.#file?.datasync();
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = null;
  }
}
