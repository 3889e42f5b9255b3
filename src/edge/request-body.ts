import type { HttpResponse } from 'uWebSockets.js';
import { Buffer } from 'node:buffer';
import type { Ticker, Ticking } from '../ticker.ts';
import type { RequestBody } from './door.ts';
import { REARM_TICKS } from './front-end-timers.ts';

/** Well below the front end's 8 s minimum, and above what a healthy upload ever waits between two chunks. */
const REARM_AFTER_MS = 3_000;

/**
 * What may slip in while paused, in bytes. Each look for a client that left reads what the kernel holds, and a client's
 * end is seen only behind its last byte; past this no more looks are taken until the upstream drains or the stall limit
 * ends it. Twice what Linux lets a connection buffer by default on its way here (6 MiB), and then some.
 */
const SLIP_LIMIT_BYTES = 16 * 1_048_576;

/** Told when the upstream has taken nothing of an upload for the stall limit. */
type UploadStalled = () => void;

/**
 * The request pump's client end: lends out each piece and holds the client back when the upstream is full.
 *
 * Rules of the front end that it lives by (platform facts C, uWS v20.68):
 * - The ArrayBuffer of a chunk is detached when the callback returns: what is kept must have been copied by then.
 * - Below 16 KiB/s the front end cuts an upload after about 12 s even while bytes flow. Only pause() and resume() in a
 *   row arm its timer again.
 * - While paused it sees no disconnect and has no timeout, so a paused body looks up once a tick.
 * - resume() restores the event mask that some pause() on this thread saved last (one for sockets with and one for
 *   sockets without unsent data): never without a pause() right before, and never before the first mask was saved.
 * - resume() after the last chunk arms a timer that kills the waiting response. It cannot be avoided when the last chunk
 *   slips in while paused, because a socket that stays paused notices nothing and never reads its next request; so that
 *   timer is armed again until the response is over.
 */
export class ClientBody implements RequestBody, Ticking {
  readonly #res: HttpResponse;
  readonly #ticker: Ticker;
  readonly #stallTimeoutMs: number;
  readonly #stalled: UploadStalled;
  #reading = true;
  #paused = false;
  #pausedAtMs = 0;
  #slippedBytes = 0;
  #armedAtMs: number;
  /** The last chunk came while paused: the timer that reading on has armed must not run out. */
  #awaiting = false;
  #ticks = 0;
  /** The writer waits for a writable event, which a paused socket never gets. */
  #yielding = false;

  /** True once some socket of this thread saved its event mask. */
  static #primed = false;

  constructor(res: HttpResponse, ticker: Ticker, stallTimeoutMs: number, stalled: UploadStalled) {
    this.#res = res;
    this.#ticker = ticker;
    this.#stallTimeoutMs = stallTimeoutMs;
    this.#stalled = stalled;
    this.#armedAtMs = ticker.now;
    if (!ClientBody.#primed) {
      ClientBody.#primed = true;
      this.#rearm();
    }
  }

  /** @returns a view of one chunk, which dies with the front end's callback */
  take(chunk: ArrayBuffer, last: boolean): Buffer {
    if (last) {
      this.#complete();
    } else if (this.#paused) {
      this.#slippedBytes += chunk.byteLength;
      this.#hold();
    } else if (this.#ticker.now - this.#armedAtMs > REARM_AFTER_MS) {
      this.#rearm();
    }
    return Buffer.from(chunk);
  }

  pause(): void {
    if (!this.#reading || this.#paused) return;
    this.#paused = true;
    this.#pausedAtMs = this.#ticker.now;
    this.#slippedBytes = 0;
    this.#hold();
    this.#ticker.add(this);
  }

  resume(): void {
    if (!this.#reading || !this.#paused) return;
    this.#paused = false;
    this.#ticker.remove(this);
    this.#rearm();
  }

  /** While the writer is blocked the socket must not be paused; the slip limit still bounds what comes in. */
  yieldToWriter(yielding: boolean): void {
    this.#yielding = yielding;
    if (yielding && this.#paused && this.#reading) this.#rearm();
  }

  /**
   * The response is about to end: what is left of the upload is read and thrown away by the front end, which a paused
   * socket would never do. To be called while `res` is still alive.
   */
  release(): void {
    if (this.#reading && this.#paused) this.#rearm();
    this.abandon();
  }

  /** The connection is gone. */
  abandon(): void {
    this.#reading = false;
    this.#paused = false;
    this.#ticker.remove(this);
  }

  #complete(): void {
    this.#reading = false;
    if (!this.#paused) return;
    this.#paused = false;
    this.#awaiting = true;
    this.#rearm();
  }

  onTick(nowMs: number): void {
    if (this.#awaiting) {
      if (++this.#ticks % REARM_TICKS === 0) this.#rearm();
    } else if (this.#stallTimeoutMs > 0 && nowMs - this.#pausedAtMs > this.#stallTimeoutMs)
      this.#stalled();
    else if (this.#slippedBytes < SLIP_LIMIT_BYTES) this.#rearm();
  }

  #hold(): void {
    if (!this.#yielding || this.#slippedBytes >= SLIP_LIMIT_BYTES) this.#res.pause();
  }

  #rearm(): void {
    this.#armedAtMs = this.#ticker.now;
    this.#res.pause();
    this.#res.resume();
  }
}
