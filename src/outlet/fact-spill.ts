import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';

const LF = 0x0a;

/** Facts hold tenants and models; nobody but the operator is to read them. */
const MODE = 0o600;

/** The file that takes usage facts when stdout does not: one JSON line each, appended. */
export class FactSpill {
  readonly #fd: number;

  /** @throws Error with the system's code when the file cannot be opened for appending */
  constructor(path: string) {
    this.#fd = openSync(path, 'a+', MODE);
    // What a crash cut off must not swallow the next fact.
    if (!endsLine(this.#fd)) writeSync(this.#fd, '\n');
  }

  /**
   * Appends whole lines. Synchronous on purpose: it runs on the main thread, which relays nothing, and what it is given
   * is safe from a crash of this process when it returns.
   * @throws Error when the disk takes no more; then none of the lines is in the file
   */
  append(lines: Uint8Array): void {
    const before = sizeOf(this.#fd);
    try {
      for (let at = 0; at < lines.length; ) at += writeSync(this.#fd, lines, at);
    } catch (error) {
      if (before !== null) ftruncateSync(this.#fd, before);
      throw error;
    }
  }

  /** Makes what was appended outlive the machine. */
  close(): void {
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }
}

/** Null when it is no regular file (a pipe, /dev/full). */
function sizeOf(fd: number): number | null {
  const stat = fstatSync(fd);
  return stat.isFile() ? stat.size : null;
}

function endsLine(fd: number): boolean {
  const size = sizeOf(fd);
  if (size === null || size === 0) return true;
  const last = Buffer.alloc(1);
  readSync(fd, last, 0, 1, size - 1);
  return last[0] === LF;
}
