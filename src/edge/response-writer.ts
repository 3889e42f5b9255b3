import type { HttpResponse } from 'uWebSockets.js';
import { Buffer } from 'node:buffer';
import type { Ticker, Ticking } from '../ticker.ts';
import { isAscii } from '../wire/fields.ts';
import type { ClientEvents, ResponseSize, ResponseWriter } from './door.ts';
import { REARM_TICKS } from './front-end-timers.ts';
import type { ClientBody } from './request-body.ts';

/**
 * What one cork may hold, in bytes, framing counted. The front end's cork buffer has 16,384; a write that does not fit
 * flushes it first, and if that flush fails the new piece is dropped while write() says "buffered" (161 of 200
 * responses damaged). At 15,000 and less per cork: 0 of 200, and 0 of 30 over TLS (platform facts B).
 */
const CORK_BUDGET_BYTES = 15_000;

/** What the front end adds itself: `Date`, `Transfer-Encoding: chunked` or `Content-Length`, and one chunk's framing. */
const FRAMING_BYTES = 128;

/** A longer head leaves in a cork of its own. */
const HEAD_ALONE_BYTES = 12_000;

/**
 * Sized bodies go through tryEnd, which never drops: it takes what fits and says how much. Bigger pieces mean fewer
 * system calls; one upstream read is at most 64 KiB.
 */
const SIZED_PIECE_BYTES = 65_536;

/**
 * The kernel takes so much of a response whether or not its client reads (SEND_BUFFER_BYTES has room for more). Behind
 * it, chunks from PROBE_FROM_BYTES on, all chunks of a client that was ever slow, and what may be the message's end leave
 * in two corks, the last byte alone. A cork's flush can fail silently; only the next write that carries data reports it.
 * Without that probe the end of a message could be declared while its tail waits in the front end, whose 10 s timer then
 * cuts a slow reader.
 */
const UNREAD_BYTES = 65_536;
const PROBE_FROM_BYTES = 4_096;

const EMPTY = Buffer.alloc(0);
const NOTHING = (): void => {};

// cork() takes a function. One at module level and the writer it works for spare a closure per write; cork() runs its
// function before it returns, so there is never more than one.
let corked: UwsResponseWriter;
const step = (): void => corked.writeCorked();

type Phase = 'idle' | 'open' | 'ending' | 'cutting' | 'closed';

/**
 * Writes one response without losing a byte. Its discipline (platform facts B; each rule has a claim in
 * test/claims/edge-writer-*.test.ts), seen on uWS C++ v20.68 as packed in uws-pack 20.0.8:
 *
 * 1. No cork holds more than CORK_BUDGET_BYTES; everything is corked (uncorked writes print a warning each).
 * 2. Chunked: write() false means taken and buffered: never again, and no more until a writable event.
 * 3. Sized: tryEnd() false means not taken beyond getWriteOffset(): the rest is kept here.
 * 4. The first statement of every writable event is an empty cork: with a handler set, the front end does not drain its
 *    own buffer, and if nothing is written polling stops (4.4 of 8 MB stranded).
 * 5. The writable handler is set once, before the first write: without one, a quiet stream is cut after 10 s.
 * 6. While a client is slow, pause() and resume() in a row re-arm the 10 s write timer every three ticks. (Retrying
 *    with real data does so too, but each retry buffers another slice natively and the last byte has no successor.)
 * 7. end() only after the last write was taken; a body short of its size is never ended, but cut.
 *
 * Decision: the head of a chunked response leaves with its first body byte. This build has no header flush (the blank
 * line is part of the first chunk's framing); newer ones have beginWrite(). In return a provider that dies between
 * head and body still gives the client a clean 502.
 */
export class UwsResponseWriter implements ResponseWriter, Ticking {
  readonly #res: HttpResponse;
  readonly #ticker: Ticker;
  readonly #stallTimeoutMs: number;
  #events: ClientEvents | null = null;
  #body: ClientBody | null = null;

  #phase: Phase = 'idle';
  #size: ResponseSize = 'none';
  /** The head as long as it was not written; null afterwards. */
  #head: string | null = null;
  /** Body pieces not yet taken, in order. At most one upstream read: the upstream is paused while it is not empty. */
  readonly #queue: Buffer[] = [];
  /** How many of them are copies of our own; the others die with the turn. */
  #owned = 0;
  #cutEvent: Buffer | null = null;
  #blocked = false;
  #slow = false;
  /** What was given last may be the end of the message. */
  #mayBeLast = true;
  #ticks = 0;
  #progressAtMs = 0;
  bytesOut = 0;

  /** Hand-over between #cork() and writeCorked(). */
  #piece: Buffer = EMPTY;
  #taken = true;
  #endsInCork = false;
  #isWatched = false;

  constructor(res: HttpResponse, ticker: Ticker, stallTimeoutMs: number) {
    this.#res = res;
    this.#ticker = ticker;
    this.#stallTimeoutMs = stallTimeoutMs;
  }

  /** @param body the request's body when it has one: reading and writing share one socket's event mask */
  bind(events: ClientEvents, body: ClientBody | null): void {
    this.#events = events;
    this.#body = body;
  }

  get open(): boolean {
    return this.#phase !== 'closed';
  }

  get started(): boolean {
    return this.#phase !== 'idle' && this.#head === null;
  }

  respond(head: string, body: string, bodyless: boolean, closes: boolean): void {
    if (this.#phase === 'closed') return;
    if (!closes) {
      this.#answer(head, body, bodyless, false);
      return;
    }
    // Whoever is told to go away may have sent more in the same segment. Answered here, inside the parser, the front
    // end would go on to parse that as the next request, although it is told to close: a smuggled request arrived. As
    // long as a response is pending it closes the connection on the next request instead, so the answer waits.
    this.#phase = 'ending';
    setImmediate(() => {
      if (this.#phase !== 'closed') this.#answer(head, body, bodyless, true);
    });
  }

  #answer(head: string, body: string, bodyless: boolean, closes: boolean): void {
    this.#body?.release();
    this.#close();
    const res = this.#res;
    res.cork(() => {
      if (!bodyless) res.writeStatus(head).end(body, closes);
      else if (closes) res.writeStatus(head).end(EMPTY, true);
      else
        res.writeStatus(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}`).endWithoutBody();
    });
  }

  start(head: string, size: ResponseSize, followed: boolean): void {
    if (this.#phase !== 'idle') return;
    this.#phase = 'open';
    this.#head = head;
    this.#size = size;
    if (typeof size === 'number' && size > 0 && !followed) this.#cork(EMPTY);
  }

  write(chunk: Buffer, place: 'last' | 'maybe-last' | 'inner'): boolean {
    if (this.#phase !== 'open' || chunk.length === 0) return true;
    this.#mayBeLast = place !== 'inner';
    this.#queue.push(chunk);
    if (place === 'last') return true;
    if (!this.#blocked) this.#pump();
    this.#own();
    return this.#phase !== 'open' || !this.#blocked;
  }

  end(): void {
    if (this.#phase !== 'open') return;
    this.#phase = 'ending';
    if (!this.#blocked) this.#pump();
    this.#own();
  }

  /** What could not be written is copied: its buffer is about to be read into again. */
  #own(): void {
    while (this.#owned < this.#queue.length) {
      this.#queue[this.#owned] = Buffer.from(this.#queue[this.#owned] ?? EMPTY);
      this.#owned++;
    }
  }

  cut(event: Buffer | null): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'cutting';
    this.#cutEvent = this.#size === 'chunked' && this.#head === null ? event : null;
    if (!this.#blocked) this.#pump();
    this.#own();
  }

  /** The front end says the connection is gone; every method of `res` throws from here on. */
  onAborted(): void {
    if (this.#phase === 'closed') return;
    this.#close();
    this.#events?.onClientGone();
  }

  onTick(nowMs: number): void {
    if (this.#phase === 'closed') return;
    if (
      this.#blocked &&
      this.#stallTimeoutMs > 0 &&
      nowMs - this.#progressAtMs > this.#stallTimeoutMs
    ) {
      // close() runs onAborted, which tells the conductor that the client is gone.
      this.#res.close();
    } else if (++this.#ticks % REARM_TICKS === 0) {
      this.#res.pause();
      this.#res.resume();
    }
  }

  /** Runs inside a cork: writes the head if it is still here, then #piece. */
  writeCorked(): void {
    const res = this.#res;
    if (this.#head !== null) {
      // Field values are bytes; a string would be sent as UTF-8.
      res.writeStatus(isAscii(this.#head) ? this.#head : Buffer.from(this.#head, 'latin1'));
      this.#head = null;
    }
    if (this.#endsInCork && typeof this.#size === 'number') {
      res.end(this.#piece);
    } else if (typeof this.#size === 'number') {
      const [ok, done] = res.tryEnd(this.#piece, this.#size);
      this.#taken = ok;
      if (done) this.#phase = 'closed';
    } else if (this.#piece.length > 0) {
      this.#taken = res.write(this.#piece);
      if (this.#endsInCork) res.end();
    }
  }

  #onWritable(): boolean {
    if (!this.open) return true;
    this.#res.cork(NOTHING);
    if (!this.open) return true;
    this.#progressAtMs = this.#ticker.now;
    this.#becomeSlow();
    if (this.#blocked) {
      this.#blocked = false;
      this.#body?.yieldToWriter(false);
      this.#pump();
      if (this.#phase === 'open' && !this.#blocked) this.#events?.onWriterDrained();
    }
    return true;
  }

  /** Writes what is queued until it is all taken or the connection is full; then does what is due. */
  #pump(): void {
    const queue = this.#queue;
    while (queue.length > 0 && !this.#blocked && this.open) {
      const chunk = queue[0] ?? EMPTY;
      const piece = this.#slice(chunk);
      if (piece === chunk && this.#mayEndWith(chunk)) {
        this.#endWith(chunk);
        return;
      }
      const taken = this.#cork(piece);
      if (taken < chunk.length) queue[0] = chunk.subarray(taken);
      else {
        queue.shift();
        if (this.#owned > 0) this.#owned--;
      }
    }
    if (this.#blocked) return;
    if (this.#phase === 'ending') this.#finish();
    else if (this.#phase === 'cutting') this.#finishCut();
    else if (!this.open) this.#delivered();
  }

  /** The next piece of `chunk` that one cork may carry. */
  #slice(chunk: Buffer): Buffer {
    let budget = CORK_BUDGET_BYTES - FRAMING_BYTES;
    if (typeof this.#size === 'number') budget = SIZED_PIECE_BYTES;
    else if (this.#head !== null && this.#head.length <= HEAD_ALONE_BYTES)
      budget -= this.#head.length;
    const length = Math.min(this.#probed(chunk) ? chunk.length - 1 : chunk.length, budget);
    return length < chunk.length ? chunk.subarray(0, length) : chunk;
  }

  /** Whether the last byte of `chunk` waits for a cork of its own. Of a sized body only the very last one has to. */
  #probed(chunk: Buffer): boolean {
    if (chunk.length === 1) return false;
    const isTaken = !this.#slow && this.bytesOut + chunk.length <= UNREAD_BYTES;
    if (isTaken || !(this.#slow || this.#mayBeLast || chunk.length >= PROBE_FROM_BYTES))
      return false;
    return typeof this.#size !== 'number' || this.bytesOut + chunk.length >= this.#size;
  }

  /** Rule 5. What leaves whole in one cork needs none, and registering a handler costs more than writing a short head. */
  #watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#res.onWritable(() => this.#onWritable());
  }

  /** Whether the end of the message may share a cork with its last piece: nothing of it can be left behind. */
  #mayEndWith(piece: Buffer): boolean {
    if (this.#phase !== 'ending' || this.#queue.length > 1 || this.#slow) return false;
    if (this.#head !== null && this.#head.length > HEAD_ALONE_BYTES) return false;
    if (this.#size !== 'chunked') return this.#isWholeIn(piece);
    return this.bytesOut + piece.length <= UNREAD_BYTES;
  }

  /** A sized message of which nothing has left, and which fits into one cork. */
  #isWholeIn(piece: Buffer): boolean {
    if (this.#head === null || piece.length !== this.#size) return false;
    return this.#head.length + piece.length + FRAMING_BYTES <= CORK_BUDGET_BYTES;
  }

  #endWith(piece: Buffer): void {
    this.#body?.release();
    this.#piece = piece;
    this.#endsInCork = true;
    corked = this;
    this.#res.cork(step);
    this.bytesOut += piece.length;
    this.#delivered();
  }

  /** One cork. Returns how many bytes of `piece` are off our hands. */
  #cork(piece: Buffer): number {
    this.#watch();
    if (this.#head !== null && this.#head.length > HEAD_ALONE_BYTES) {
      this.#piece = EMPTY;
      corked = this;
      this.#res.cork(step);
    }
    if (typeof this.#size === 'number' && this.bytesOut + piece.length >= this.#size) {
      this.#body?.release();
    }
    this.#piece = piece;
    this.#taken = true;
    corked = this;
    this.#res.cork(step);
    this.#piece = EMPTY;
    let taken = piece.length;
    if (!this.#taken) {
      if (typeof this.#size === 'number') taken = this.#res.getWriteOffset() - this.bytesOut;
      this.#block();
    }
    this.bytesOut += taken;
    return taken;
  }

  #block(): void {
    this.#blocked = true;
    this.#progressAtMs = this.#ticker.now;
    this.#becomeSlow();
    this.#body?.yieldToWriter(true);
  }

  #becomeSlow(): void {
    if (this.#slow) return;
    this.#slow = true;
    this.#ticker.add(this);
  }

  /** Every byte was taken: ends the message, or cuts it when it is short of its size. */
  #finish(): void {
    if (typeof this.#size === 'number' && this.bytesOut < this.#size) {
      this.#finishCut();
      return;
    }
    const res = this.#res;
    const head = this.#head;
    const bodyless = this.#size === 'none';
    this.#body?.release();
    this.#head = null;
    this.#phase = 'closed';
    res.cork(() => {
      if (head !== null) res.writeStatus(isAscii(head) ? head : Buffer.from(head, 'latin1'));
      if (bodyless) res.endWithoutBody();
      else res.end();
    });
    this.#delivered();
  }

  #finishCut(): void {
    const event = this.#cutEvent;
    this.#cutEvent = null;
    if (event !== null) this.#cork(event);
    // close() runs onAborted synchronously; the conductor knows already.
    this.#close();
    this.#res.close();
    this.#events?.onResponseOver();
  }

  #delivered(): void {
    this.#close();
    this.#events?.onResponseOver();
  }

  #close(): void {
    this.#phase = 'closed';
    this.#queue.length = 0;
    this.#owned = 0;
    this.#ticker.remove(this);
    this.#body?.abandon();
  }
}
