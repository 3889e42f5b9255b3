import type { HttpResponse } from 'uWebSockets.js';
import type { Ticker, Ticking } from '../ticker.ts';
import { REARM_TICKS } from './front-end-timers.ts';
import type { ClientBody } from './request-body.ts';

/**
 * A client that did not take a response as fast as it came, until that response is over: keeps the front end's 10 s
 * write timer from cutting it, and gives it up when it takes nothing for the stall limit. Made at the first write that
 * was not taken, so that all others cost nothing.
 *
 * pause() and resume() in a row re-arm that timer every three ticks; while the client's own upload is held back, its
 * looks do it, and where there is no look there is no timer. (Retrying with real data does so too, but each
 * retry buffers another slice natively, and the last byte has no successor.)
 */
export class SlowClient implements Ticking {
  readonly #res: HttpResponse;
  readonly #ticker: Ticker;
  readonly #stallTimeoutMs: number;
  readonly #body: Pick<ClientBody, 'held'> | null;
  readonly #broken: (error: unknown) => void;
  #blocked = false;
  #progressAtMs: number;
  #ticks = 0;
  /** What is written now is a try without word from the client: if it fails, nothing was taken since the last one. */
  isRetrying = false;

  /**
   * @param stallTimeoutMs 0 = never given up
   * @param broken told what a tick threw
   */
  constructor(
    res: HttpResponse,
    ticker: Ticker,
    stallTimeoutMs: number,
    body: Pick<ClientBody, 'held'> | null,
    broken: (error: unknown) => void,
  ) {
    this.#res = res;
    this.#ticker = ticker;
    this.#stallTimeoutMs = stallTimeoutMs;
    this.#body = body;
    this.#broken = broken;
    this.#progressAtMs = ticker.now;
    ticker.add(this);
  }

  /** A write was not taken: it waits for a writable event. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** @param tookSome the write that failed was taken in part */
  block(tookSome: boolean): void {
    this.#blocked = true;
    if (tookSome || !this.isRetrying) this.took();
  }

  /** The client's connection takes bytes. */
  took(): void {
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
    } else if (++this.#ticks % REARM_TICKS === 0 && this.#body?.held !== true) {
      this.#res.pause();
      this.#res.resume();
    }
  }

  onBroken(error: unknown): void {
    this.#broken(error);
  }

  /** The response is over. */
  forget(): void {
    this.#ticker.remove(this);
  }
}
