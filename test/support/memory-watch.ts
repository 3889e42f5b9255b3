import type { Gateway } from './gateway.ts';

const SAMPLE_MS = 20;

/** Samples a gateway's resident memory from its construction on. */
export class MemoryWatch {
  readonly #gateway: Gateway;
  readonly #idleBytes: number;
  readonly #timer: NodeJS.Timeout;
  #peakBytes = 0;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    this.#idleBytes = gateway.rssBytes();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** @returns the peak above what there was at the start, in bytes */
  stop(): number {
    clearInterval(this.#timer);
    this.#sample();
    return this.#peakBytes;
  }

  #sample(): void {
    // A test that failed may have left it running.
    if (this.#gateway.child.exitCode !== null || this.#gateway.child.killed) return;
    this.#peakBytes = Math.max(this.#peakBytes, this.#gateway.rssBytes() - this.#idleBytes);
  }
}
