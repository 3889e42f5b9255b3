import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import type { LogSink } from './log-messages.ts';

/** It holds what people said: nobody but the operator is to read it. */
const MODE = 0o600;
const FOLDER_MODE = 0o700;

const DAY_MS = 86_400_000;

/** A file whose disk refused is opened anew after this, in milliseconds; what comes until then is dropped. */
const RETRY_MS = 1_000;

/**
 * One file of the exchange log, a JSON text a line. It is put aside when it is full or its day (UTC) is over, and goes when
 * it is older than it may be. Its calls wait for the disk: they are made in the log's own thread.
 */
export class LogFile {
  readonly sink: LogSink;
  readonly #now: () => number;
  #fd: number | null = null;
  #bytes = 0;
  #day = '';
  #retryAtMs = 0;
  /** Why nothing can be written; null: it can. */
  failure: string | null = null;

  constructor(sink: LogSink, now: () => number = Date.now) {
    this.sink = sink;
    this.#now = now;
  }

  /** @param line ended by a newline @returns false when it is not in the file, nor a part of it */
  append(line: Buffer): boolean {
    const nowMs = this.#now();
    if (this.failure !== null && nowMs < this.#retryAtMs) return false;
    try {
      this.#ready(line.length, nowMs);
      if (this.#fd === null) return false;
      this.#write(this.#fd, line);
      this.failure = null;
      return true;
    } catch (error) {
      this.failure = (error as NodeJS.ErrnoException).code ?? 'unknown';
      this.#retryAtMs = nowMs + RETRY_MS;
      this.close();
      return false;
    }
  }

  close(): void {
    const fd = this.#fd;
    this.#fd = null;
    try {
      if (fd !== null) closeSync(fd);
    } catch {
      // What the disk makes of it was told with what it refused.
    }
  }

  /** Takes away what was put aside long enough ago. */
  clean(): void {
    const { retentionDays, path } = this.sink;
    if (retentionDays === 0) return;
    const oldest = new Date(this.#now() - retentionDays * DAY_MS).toISOString();
    const { stem, ending } = parts(path);
    for (const name of namesIn(dirname(path))) {
      const time = asideTime(name, stem, ending);
      if (time !== null && time < stampOf(oldest)) removed(join(dirname(path), name));
    }
  }

  #ready(more: number, nowMs: number): void {
    const day = new Date(nowMs).toISOString().slice(0, 10);
    if (this.#fd === null) this.#open();
    const isFull = this.#bytes > 0 && this.#bytes + more > this.sink.maxBytes;
    if (this.#bytes > 0 && (isFull || day !== this.#day)) {
      this.#putAside(nowMs);
      this.#open();
    }
    this.#day = day;
  }

  #open(): void {
    const { path } = this.sink;
    mkdirSync(dirname(path), { recursive: true, mode: FOLDER_MODE });
    // Opened for reading, too: a pipe without a reader then is no reason to wait.
    this.#fd = openSync(path, 'a+', MODE);
    const stat = fstatSync(this.#fd);
    this.#bytes = stat.isFile() ? stat.size : 0;
    this.#day = new Date(this.#bytes > 0 ? stat.mtimeMs : this.#now()).toISOString().slice(0, 10);
  }

  #putAside(nowMs: number): void {
    this.close();
    const { path } = this.sink;
    const { stem, ending } = parts(path);
    const stamp = stampOf(new Date(nowMs).toISOString());
    const taken = new Set(namesIn(dirname(path)));
    let name = `${stem}-${stamp}${ending}`;
    for (let at = 2; taken.has(name); at++) name = `${stem}-${stamp}-${at}${ending}`;
    renameSync(path, join(dirname(path), name));
    this.clean();
  }

  /** Of a line that the disk takes in part nothing stays. */
  #write(fd: number, line: Buffer): void {
    const before = this.#bytes;
    let at = 0;
    try {
      while (at < line.length) at += writeSync(fd, line, at);
      this.#bytes += at;
    } catch (error) {
      if (at > 0 && fstatSync(fd).isFile()) ftruncateSync(fd, before);
      throw error;
    }
  }
}

function parts(path: string): { readonly stem: string; readonly ending: string } {
  const ending = extname(path);
  return { stem: basename(path, ending), ending };
}

/** As a part of a file's name: `20261129T210530Z`. */
function stampOf(iso: string): string {
  return `${iso.slice(0, 19).replace(/[-:]/g, '')}Z`;
}

/** When a file was put aside; null: it is none of ours. */
function asideTime(name: string, stem: string, ending: string): string | null {
  if (!name.startsWith(`${stem}-`) || !name.endsWith(ending)) return null;
  const middle = name.slice(stem.length + 1, name.length - ending.length);
  return /^(\d{8}T\d{6}Z)(?:-\d+)?$/.exec(middle)?.[1] ?? null;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function removed(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Tried again with the next look.
  }
}
