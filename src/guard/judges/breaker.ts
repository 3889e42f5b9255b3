/** Failures in a row behind which a server is left alone. */
const FAILURES = 5;

/** For how long, in milliseconds; doubled each time that it still fails. */
const REST_MIN_MS = 1_000;
const REST_MAX_MS = 30_000;

/**
 * Leaves alone who fails time and again: whoever asks is told so at once, in place of waiting for a time limit. When the
 * rest is over one call tries.
 */
export class Breaker {
  #failures = 0;
  #restMs = REST_MIN_MS;
  #untilMs = 0;
  #isTrying = false;

  /** @param nowMs of a clock that does not jump @returns whether it may be asked; then what came of it is told */
  mayAsk(nowMs: number): boolean {
    if (this.#failures < FAILURES) return true;
    if (nowMs < this.#untilMs || this.#isTrying) return false;
    this.#isTrying = true;
    return true;
  }

  succeeded(): void {
    this.#isTrying = false;
    this.#failures = 0;
    this.#restMs = REST_MIN_MS;
  }

  failed(nowMs: number): void {
    this.#failures++;
    if (this.#failures < FAILURES) return;
    // Those that were under way when it began to rest say nothing new.
    if (this.#failures > FAILURES && !this.#isTrying) return;
    this.#isTrying = false;
    this.#untilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(REST_MAX_MS, this.#restMs * 2);
  }

  /** It was asked, and nothing came of it: whoever asked has gone. */
  unknown(): void {
    this.#isTrying = false;
  }
}
