/**
 * Who breaks the cache that providers keep of prompts, as the node's workers have seen it: one row for each key, target and part
 * of the prompt, however many sessions do the same. Kept in `data_dir`, so that `sluice usage --cache` and the next start know it.
 */

import { readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { usdText } from '../prices/money.ts';

/** One session that broke its cache time and again: what is said of it, and nothing of its prompt. */
export interface PromptBreak {
  /** Decimal. */
  readonly tenantId: string;
  /** Decimal; null for a `bai_v1` key. */
  readonly keyId: string | null;
  /** As it was asked for. */
  readonly model: string | null;
  /** `provider/model`. */
  readonly target: string;
  /** The body's member that changed: `tools`, `system`, `messages`, … */
  readonly part: string;
  /** Of the first byte that differs, in the body as the client sent it; null where the part was gone. */
  readonly offset: number | null;
  /** The same from the part's first byte on. */
  readonly partOffset: number;
  readonly turns: number;
  /** What the changed turns cost beyond what they would have; null = unpriced. */
  readonly lostPico: number | null;
}

/** All sessions of one key that broke the same part of what they sent to one target; the offsets are the last one's. */
export interface KeptBreak extends Omit<PromptBreak, 'lostPico'> {
  readonly sessions: number;
  /** Sessions of which it is not known what they lost. */
  readonly unpriced: number;
  readonly lostPico: bigint;
  /** Unix time in milliseconds. */
  readonly firstMs: number;
  readonly lastMs: number;
}

/** @returns a row as the command and the admin API tell it: money as decimal text, instants in ISO 8601 */
export function shownBreak(row: KeptBreak) {
  return {
    tenant: row.tenantId,
    key: row.keyId,
    model: row.model,
    target: row.target,
    part: row.part,
    offset: row.offset,
    part_offset: row.partOffset,
    sessions: row.sessions,
    turns: row.turns,
    lost_usd: usdText(row.lostPico),
    unpriced: row.unpriced,
    first: new Date(row.firstMs).toISOString(),
    last: new Date(row.lastMs).toISOString(),
  };
}

/** Rows that are kept, those that broke last: a table that somebody reads, of 100 KB at most in one message or file. */
export const BREAKS_MAX = 256;

/** How long rows may be unwritten, in milliseconds: a crash forgets them, and the log has them. */
const WRITE_MS = 1_000;

const VERSION = 1;

export function breaksPath(dataDir: string): string {
  return join(dataDir, 'prompt-breaks.json');
}

/** The node's list, on the main thread. */
export class PromptBreaks {
  /** The one that broke last is the last one. */
  readonly #rows = new Map<string, KeptBreak>();
  readonly #path: string | null;
  readonly #failed: (reason: string) => void;
  readonly #now: () => number;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #hasFailed = false;
  /** Rows that gave way to others. */
  dropped = 0;

  /**
   * @param dataDir null: a restart forgets them
   * @param failed told once why they cannot be read or written
   * @param now Unix time in milliseconds
   */
  constructor(
    dataDir: string | null,
    failed: (reason: string) => void,
    now: () => number = Date.now,
  ) {
    this.#path = dataDir === null ? null : breaksPath(dataDir);
    this.#failed = failed;
    this.#now = now;
    if (dataDir === null) return;
    try {
      for (const row of readBreaks(dataDir)) this.#rows.set(nameOf(row), row);
    } catch (error) {
      this.#tell(error);
    }
  }

  /** Those that broke last first. */
  get rows(): readonly KeptBreak[] {
    return [...this.#rows.values()].reverse();
  }

  add(broken: PromptBreak): void {
    const name = nameOf(broken);
    const before = this.#rows.get(name);
    const nowMs = this.#now();
    const { lostPico, turns } = broken;
    this.#rows.delete(name);
    this.#rows.set(name, {
      ...broken,
      turns: turns + (before?.turns ?? 0),
      sessions: 1 + (before?.sessions ?? 0),
      unpriced: (lostPico === null ? 1 : 0) + (before?.unpriced ?? 0),
      lostPico: BigInt(lostPico ?? 0) + (before?.lostPico ?? 0n),
      firstMs: before?.firstMs ?? nowMs,
      lastMs: nowMs,
    });
    if (this.#rows.size > BREAKS_MAX) this.#dropOldest();
    if (this.#path !== null) this.#timer ??= setTimeout(() => void this.#write(), WRITE_MS).unref();
  }

  /**
   * Writes what is not written yet.
   * @returns false: the disk has not answered within so many milliseconds
   */
  async stop(limitMs: number): Promise<boolean> {
    const written = this.#finish().then(() => true);
    const limit = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(false), limitMs).unref();
    });
    return await Promise.race([written, limit]);
  }

  async #finish(): Promise<void> {
    await this.#writing;
    if (this.#timer !== null) await this.#write();
  }

  #dropOldest(): void {
    for (const oldest of this.#rows.keys()) {
      this.#rows.delete(oldest);
      this.dropped++;
      return;
    }
  }

  async #write(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    // One at a time, on the thread pool: what comes meanwhile is written by the next one.
    await this.#writing;
    const path = this.#path;
    if (path === null) return;
    this.#writing = replaced(path, breaksText([...this.#rows.values()])).then(
      () => {
        this.#hasFailed = false;
      },
      (error: unknown) => this.#tell(error),
    );
    await this.#writing;
  }

  #tell(error: unknown): void {
    if (!this.#hasFailed) this.#failed(error instanceof Error ? error.message : 'unknown');
    this.#hasFailed = true;
  }
}

/**
 * What a gateway with this `data_dir` has seen, those that broke last at the end; none where there is no file.
 * @throws Error when there is one and it is none of ours
 */
export function readBreaks(dataDir: string): readonly KeptBreak[] {
  const path = breaksPath(dataDir);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const rows = breaksOf(text);
  if (rows === null) throw new Error(`${path} is no list of broken prompt caches. Move it away.`);
  return rows;
}

function breaksText(rows: readonly KeptBreak[]): string {
  const told = rows.map(({ lostPico, ...row }) => ({ ...row, lostPico: String(lostPico) }));
  return `${JSON.stringify({ v: VERSION, rows: told })}\n`;
}

function breaksOf(text: string): readonly KeptBreak[] | null {
  let told: unknown;
  try {
    told = JSON.parse(text);
  } catch {
    return null;
  }
  const { v, rows } = (told ?? {}) as { readonly v?: unknown; readonly rows?: unknown };
  if (v !== VERSION || !Array.isArray(rows)) return null;
  const read = rows.map(breakOf);
  return read.some((row) => row === null) ? null : read.flatMap((row) => row ?? []);
}

function breakOf(value: unknown): KeptBreak | null {
  if (typeof value !== 'object' || value === null) return null;
  const row = value as Readonly<Record<string, unknown>>;
  const text = (name: string): string | null => {
    const member = row[name];
    return typeof member === 'string' ? member : null;
  };
  const count = (name: string): number | null => {
    const member = row[name];
    return Number.isSafeInteger(member) && Number(member) >= 0 ? Number(member) : null;
  };
  const [tenantId, target, part, lost] = ['tenantId', 'target', 'part', 'lostPico'].map(text);
  const [partOffset, turns, sessions, unpriced] = [
    'partOffset',
    'turns',
    'sessions',
    'unpriced',
  ].map(count);
  const [firstMs, lastMs] = ['firstMs', 'lastMs'].map(count);
  if (tenantId == null || target == null || part == null || !/^\d{1,30}$/.test(lost ?? ''))
    return null;
  if (partOffset == null || turns == null || sessions == null || unpriced == null) return null;
  if (firstMs == null || lastMs == null) return null;
  return {
    tenantId,
    keyId: text('keyId'),
    model: text('model'),
    target,
    part,
    offset: count('offset'),
    partOffset,
    turns,
    sessions,
    unpriced,
    lostPico: BigInt(lost ?? ''),
    firstMs,
    lastMs,
  };
}

function nameOf({ tenantId, keyId, model, target, part }: Omit<PromptBreak, 'lostPico'>): string {
  return JSON.stringify([tenantId, keyId, model, target, part]);
}

/** Whoever reads the path finds the one or the other whole (rename(2) is atomic). Not synced: the log has them, too. */
async function replaced(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const fresh = `${path}.tmp`;
  await writeFile(fresh, text, { mode: 0o600 });
  await rename(fresh, path);
}
