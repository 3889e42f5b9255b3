import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

/** Facts hold tenants and models; nobody but the operator is to read them. */
const MODE = 0o600;

/** The file that takes usage facts when stdout does not: one JSON line each, appended. */
export class FactSpill {
  readonly #fd: number;

  /** @throws Error with the system's code when the file cannot be opened for appending */
  constructor(path: string) {
    this.#fd = openSync(path, 'a', MODE);
  }

  /**
   * Appends whole lines. Synchronous on purpose: it runs on the main thread, which relays nothing, and what it is given
   * is safe from a crash of this process when it returns.
   * @throws Error when the disk takes no more; then part of the lines may be in the file
   */
  append(lines: string): void {
    const bytes = Buffer.from(lines);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
  }

  /** Makes what was appended outlive the machine. */
  close(): void {
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }
}
