/**
 * Requests at a constant rate, whatever the answers do: request i is due at `begin + i / rate`, and its latency counts
 * from that moment. A peer that stalls for a second delays everything that was due in that second, and all of it shows;
 * a generator that waits for answers would have sent one request, and called the rest on time (coordinated omission).
 */
export class OpenLoop {
  readonly #gapMs: number;
  readonly #total: number;
  readonly #latencies: Float64Array;
  #beginMs = 0;
  #taken = 0;
  #answered = 0;

  /** @param total requests to make */
  constructor(ratePerSecond: number, total: number) {
    this.#gapMs = 1_000 / ratePerSecond;
    this.#total = total;
    this.#latencies = new Float64Array(total).fill(Number.NaN);
  }

  begin(nowMs: number): void {
    this.#beginMs = nowMs;
  }

  /** When request `index` is due, on the clock of `begin`. */
  dueMs(index: number): number {
    return this.#beginMs + index * this.#gapMs;
  }

  /** @returns the index of a request that is due by now and was not taken yet, or -1 */
  take(nowMs: number): number {
    if (this.#taken >= this.#total || this.dueMs(this.#taken) > nowMs) return -1;
    return this.#taken++;
  }

  answered(index: number, nowMs: number): void {
    this.#answered++;
    this.#latencies[index] = nowMs - this.dueMs(index);
  }

  get isOver(): boolean {
    return this.#answered === this.#total;
  }

  get unanswered(): number {
    return this.#total - this.#answered;
  }

  /** Sorted, in milliseconds. What was never answered has waited until `nowMs`, and counts so. */
  latenciesMs(nowMs: number): Float64Array {
    return this.#latencies
      .map((latency, index) => (Number.isNaN(latency) ? nowMs - this.dueMs(index) : latency))
      .sort();
  }
}
