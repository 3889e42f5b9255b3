import type { HttpResponse } from 'uWebSockets.js';
import { Buffer } from 'node:buffer';
import type { Ticker, Ticking } from '../ticker.ts';
import type { ClientTimeouts, RequestBody, UploadEvents } from './door.ts';
import { REARM_TICKS } from './front-end-timers.ts';
import { type SlipAccount, SlipShare } from './slip-account.ts';

// A function for each turn would be one per chunk that slips in.
const holdAgain = (body: ClientBody): void => {
  try {
    body.hold();
  } catch (error) {
    body.onBroken(error);
  }
};

const retryBehind = (body: ClientBody): void => {
  try {
    body.retryWriter();
  } catch (error) {
    body.onBroken(error);
  }
};

/** The response of a client that is, or was, held back. */
interface HeldWriter {
  /** Writes what waits for the client: no writable event comes to say that it may. */
  retry(): void;
  onBroken(error: unknown): void;
}

/**
 * The request pump's client end: lends out each piece, holds the client back when the upstream is full, and gives up a
 * client that goes silent in the middle of its body.
 *
 * Rules of the front end that it lives by (platform facts C, uWS v20.68):
 * - The ArrayBuffer of a chunk is detached when the callback returns: what is kept must have been copied by then.
 * - An upload that is silent, or below 16 KiB/s, is cut after 8 to 12 s without an answer. Only pause() and resume() in a
 *   row arm that timer again, so it is armed every few ticks and the limit on silence is ours.
 * - While held back the front end sees no disconnect and has no timeout, so a held body looks up once a tick. What such a
 *   look finds has slipped in; how much may is decided by `slip-account.ts`.
 * - A write that fails opens a paused socket for reading again, also the flush at the end of the callback that brought a
 *   chunk: a pause from within it does not hold while a response waits for this client (64 of 64 MiB came). So it is
 *   said again behind the poll phase. And while paused a response gets no writable event: it tries once a tick.
 * - resume() restores the event mask that some pause() on this thread saved last (one for sockets with and one for
 *   sockets without unsent data): never without a pause() right before, and never before the first mask was saved.
 *   The mask of a socket with unsent data waits for writable, the other's does not, and the flush at the end of an upload's
 *   callback may have sent that data unseen: a response that waited then waits for ever (a 54 MB upload answered early, 1
 *   time in 20). So whoever resumes lets the response try at once.
 * - resume() after the last chunk arms a timer that kills the waiting response. It cannot be avoided when the last chunk
 *   slips in while held, because a socket that stays paused notices nothing and never reads its next request; so that
 *   timer is armed again until the response is over.
 */
export class ClientBody implements RequestBody, Ticking {
  readonly #res: HttpResponse;
  readonly #ticker: Ticker;
  readonly #timeouts: ClientTimeouts;
  readonly #slips: SlipAccount;
  /** Made when it is held back: most bodies never are. */
  #slip: SlipShare | null = null;
  #events: UploadEvents | null = null;
  #writer: HeldWriter | null = null;
  #state: 'reading' | 'held' | 'awaiting' | 'over' = 'reading';
  #heldAtMs = 0;
  /** When the client's last byte came, or reading on began. */
  #heardAtMs: number;
  #ticks = 0;
  #isTicking = false;

  /** True once some socket of this thread saved its event mask. */
  static #primed = false;

  constructor(res: HttpResponse, ticker: Ticker, timeouts: ClientTimeouts, slips: SlipAccount) {
    this.#res = res;
    this.#ticker = ticker;
    this.#timeouts = timeouts;
    this.#slips = slips;
    this.#heardAtMs = ticker.now;
    if (!ClientBody.#primed) {
      ClientBody.#primed = true;
      this.#rearm();
    }
  }

  bind(events: UploadEvents, writer: HeldWriter): void {
    this.#events = events;
    this.#writer = writer;
  }

  /** Its last byte came while it was not held back, or its response is over. */
  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** The client is held back: its socket's event mask and timer are this body's. */
  get held(): boolean {
    return this.#state === 'held';
  }

  /** @returns a view of one chunk, which dies with the front end's callback */
  take(chunk: ArrayBuffer, last: boolean): Buffer {
    if (this.#state === 'over') return Buffer.from(chunk);
    this.#heardAtMs = this.#ticker.now;
    if (this.#state === 'held') {
      this.#slip?.add(chunk.byteLength);
      if (last) {
        this.#state = 'awaiting';
        this.#rearm();
        setImmediate(retryBehind, this);
      } else {
        this.#res.pause();
        setImmediate(holdAgain, this);
      }
    } else if (last) {
      this.#leave();
    } else if (!this.#isTicking) {
      this.#isTicking = true;
      this.#ticker.add(this);
    }
    return Buffer.from(chunk);
  }

  /** Holds the socket if the upload is still to be held. */
  hold(): void {
    if (this.#state === 'held') this.#res.pause();
  }

  pause(): void {
    if (this.#state !== 'reading') return;
    this.#state = 'held';
    this.#heldAtMs = this.#ticker.now;
    this.#slip ??= new SlipShare(this.#slips);
    this.#slip.begin(this.#ticker.now);
    this.#res.pause();
  }

  resume(): void {
    // What slipped in has left for the upstream.
    this.#slip?.giveBack();
    if (this.#state !== 'held') return;
    this.#state = 'reading';
    this.#heardAtMs = this.#ticker.now;
    this.#rearm();
    this.retryWriter();
  }

  /** The socket's event mask was another's: whether it tells when the response may go on is not known. */
  retryWriter(): void {
    this.#writer?.retry();
  }

  /**
   * The response is about to end: what is left of the upload is read and thrown away by the front end, which a paused
   * socket would never do. To be called while `res` is still alive.
   */
  release(): void {
    if (this.#state === 'held') this.#rearm();
    this.abandon();
  }

  /** The connection is gone. */
  abandon(): void {
    this.#slip?.giveBack();
    this.#leave();
  }

  #leave(): void {
    this.#state = 'over';
    if (this.#isTicking) this.#ticker.remove(this);
    this.#isTicking = false;
  }

  onTick(nowMs: number): void {
    if (this.#state === 'held') {
      this.#lookUp(nowMs);
      return;
    }
    if (++this.#ticks % REARM_TICKS === 0) this.#rearm();
    if (this.#state === 'reading' && this.#isSilent(nowMs)) this.#events?.onUploadSilent();
  }

  onBroken(error: unknown): void {
    this.#writer?.onBroken(error);
  }

  #isSilent(nowMs: number): boolean {
    const limitMs = this.#timeouts.uploadSilenceTimeoutMs;
    return limitMs > 0 && nowMs - this.#heardAtMs > limitMs;
  }

  #lookUp(nowMs: number): void {
    const limitMs = this.#timeouts.uploadStallTimeoutMs;
    if (limitMs > 0 && nowMs - this.#heldAtMs > limitMs) this.#events?.onUploadStalled();
    // A provider that has begun to answer need not read the rest.
    if (this.held) this.#writer?.retry();
    if (!this.held) return;
    const verdict = this.#slip?.judge(nowMs) ?? 'wait';
    if (verdict === 'look') this.#rearm();
    // A write that failed has opened the socket for reading, with a timer.
    else if (verdict === 'wait') this.#res.pause();
    else {
      this.release();
      this.#events?.onUploadRefused();
    }
  }

  #rearm(): void {
    this.#res.pause();
    this.#res.resume();
  }
}
