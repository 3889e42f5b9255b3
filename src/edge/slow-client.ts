import type { HttpResponse } from 'uWebSockets.js';
import type { Ticker, Ticking } from '../ticker.ts';
import { REARM_TICKS } from './front-end-timers.ts';

/**
 * A client that did not take a response as fast as it came, until that response is over: keeps the front end's 10 s
 * write timer from cutting it, and gives it up when it takes nothing for the stall limit. Made at the first write that
 * was not taken, so that all others cost nothing.
 *
 * pause() and resume() in a row re-arm that timer every three ticks. (Retrying with real data does so too, but each
 * retry buffers another slice natively, and the last byte has no successor.)
 */
export class SlowClient implements Ticking {
  readonly #res: HttpResponse;
  readonly #ticker: Ticker;
  readonly #stallTimeoutMs: number;
  #blocked = false;
  #progressAtMs: number;
  #ticks = 0;

  /** @param stallTimeoutMs 0 = never given up */
  constructor(res: HttpResponse, ticker: Ticker, stallTimeoutMs: number) {
    this.#res = res;
    this.#ticker = ticker;
    this.#stallTimeoutMs = stallTimeoutMs;
    this.#progressAtMs = ticker.now;
    ticker.add(this);
  }

  /** A write was not taken: it waits for a writable event. */
  get blocked(): boolean {
    return this.#blocked;
  }

  block(): void {
    this.#blocked = true;
    this.#progressAtMs = this.#ticker.now;
  }

  /** A writable event came: the client takes bytes again. */
  unblock(): void {
    this.#blocked = false;
  }

  onTick(nowMs: number): void {
    const isStalled = this.#blocked && nowMs - this.#progressAtMs > this.#stallTimeoutMs;
    if (isStalled && this.#stallTimeoutMs > 0) {
      // Runs the abort handler, which tells the conductor that the client is gone.
      this.#res.close();
    } else if (++this.#ticks % REARM_TICKS === 0) {
      this.#res.pause();
      this.#res.resume();
    }
  }

  /** The response is over. */
  forget(): void {
    this.#ticker.remove(this);
  }
}
