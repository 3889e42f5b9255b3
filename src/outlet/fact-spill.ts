import {
  close,
  fstat,
  fstatSync,
  fsync,
  ftruncate,
  openSync,
  readSync,
  write,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { countLines, joined, type Spill } from './line-outlet.ts';

const LF = 0x0a;
const NEWLINE = Buffer.of(LF);

/** Facts hold tenants and models; nobody but the operator is to read them. */
const MODE = 0o600;

/**
 * Facts that wait for the disk, in bytes: as many as wait for stdout, since all of those come at once when its reader
 * goes. What does not fit is lost, and counted.
 */
export const SPILL_QUEUE_MAX_BYTES = 64 * 1_048_576;

/** Written at once, in bytes. */
const WRITE_BYTES = 1_048_576;

/** How often a disk that is full is tried again, in milliseconds. */
const RETRY_MS = 1_000;

const fstatOf = promisify(fstat);
const truncateTo = promisify(ftruncate);
const syncOf = promisify(fsync);
const closeOf = promisify(close);
const writeTo = promisify(write);

/** How much of some lines is in the file, in bytes, whole lines; and why not all. */
interface Put {
  readonly bytes: number;
  readonly error: Error | null;
}

/**
 * The file that takes usage facts when stdout does not: one JSON line each, appended in order.
 *
 * The system calls run on Node's thread pool, one at a time: a disk that hangs takes one of its threads, and the main
 * thread goes on with probes, denies and log lines. What a disk refuses waits until it has room again.
 */
export class FactSpill implements Spill {
  readonly #fd: number;
  readonly #queue: Uint8Array[] = [];
  #waitingBytes = 0;
  /** A system call is under way. */
  #isBusy = false;
  #isClosed = false;
  #retry: NodeJS.Timeout | null = null;
  #fails = false;
  /** The file may end in part of a line. */
  #isTorn = false;
  #idle: () => void = () => {};
  written = 0;
  onProgress: () => void = () => {};
  onChange: (error: Error | null) => void = () => {};

  /** @throws Error with the system's code when the file cannot be opened for appending */
  constructor(path: string) {
    this.#fd = openSync(path, 'a+', MODE);
    // What a crash cut off must not swallow the next fact.
    if (!endsLine(this.#fd)) writeSync(this.#fd, '\n');
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get maxBytes(): number {
    return SPILL_QUEUE_MAX_BYTES;
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  append(lines: Uint8Array): boolean {
    if (this.#isClosed || this.#waitingBytes + lines.length > SPILL_QUEUE_MAX_BYTES) return false;
    this.#queue.push(lines);
    this.#waitingBytes += lines.length;
    if (!this.#isBusy && this.#retry === null) void this.#write();
    return true;
  }

  async close(limitMs: number): Promise<number> {
    this.#isClosed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    const finish = async (): Promise<void> => {
      if (this.#isBusy) await new Promise<void>((resolve) => (this.#idle = resolve));
      // A last try where the disk was full.
      if (this.#queue.length > 0) await this.#write();
      this.#isBusy = true;
      // What was appended is to outlive the machine.
      await syncOf(this.#fd).catch(() => {});
      await closeOf(this.#fd).catch(() => {});
      this.#isBusy = false;
    };
    await Promise.race([finish(), new Promise((resolve) => setTimeout(resolve, limitMs).unref())]);
    return this.#queue.reduce((sum, lines) => sum + countLines(lines), 0);
  }

  /** Until the queue is empty or the disk refuses. */
  async #write(): Promise<void> {
    this.#isBusy = true;
    let error: Error | null = null;
    while (this.#queue.length > 0 && error === null) {
      let bytes = 0;
      let count = 0;
      while (count < this.#queue.length && (count === 0 || bytes < WRITE_BYTES))
        bytes += this.#queue[count++]?.length ?? 0;
      const lines = joined(this.#queue.slice(0, count));
      const put = await this.#put(lines);
      const rest = lines.subarray(put.bytes);
      this.#queue.splice(0, count, ...(rest.length === 0 ? [] : [rest]));
      this.#waitingBytes -= put.bytes;
      this.written += countLines(lines.subarray(0, put.bytes));
      error = put.error;
      this.#tell(error);
    }
    this.#isBusy = false;
    if (error !== null && !this.#isClosed) {
      this.#retry = setTimeout(() => {
        this.#retry = null;
        void this.#write();
      }, RETRY_MS);
    }
    this.#idle();
  }

  /** Writes from the front; of the line that the disk takes in part nothing stays. */
  async #put(lines: Uint8Array): Promise<Put> {
    let at = 0;
    try {
      if (this.#isTorn) await writeTo(this.#fd, NEWLINE);
      this.#isTorn = false;
      while (at < lines.length) at += (await writeTo(this.#fd, lines, at)).bytesWritten;
      return { bytes: at, error: null };
    } catch (error) {
      const bytes = at === 0 ? 0 : lines.lastIndexOf(LF, at - 1) + 1;
      if (bytes < at) this.#isTorn = !(await this.#takenBack(at - bytes));
      return { bytes, error: error instanceof Error ? error : new Error(String(error)) };
    }
  }

  /** Takes so many bytes off the end. @returns false where that cannot be done */
  async #takenBack(bytes: number): Promise<boolean> {
    try {
      const stat = await fstatOf(this.#fd);
      if (!stat.isFile()) return false;
      await truncateTo(this.#fd, Math.max(0, stat.size - bytes));
      return true;
    } catch {
      return false;
    }
  }

  #tell(error: Error | null): void {
    this.onProgress();
    if ((error !== null) === this.#fails) return;
    this.#fails = error !== null;
    this.onChange(error);
  }
}

function endsLine(fd: number): boolean {
  const stat = fstatSync(fd);
  if (!stat.isFile() || stat.size === 0) return true;
  const last = Buffer.alloc(1);
  readSync(fd, last, 0, 1, stat.size - 1);
  return last[0] === LF;
}
