import type { HttpResponse } from 'uWebSockets.js';
import { Buffer } from 'node:buffer';
import type { Ticker } from '../ticker.ts';
import type { ClientEvents, ResponseSize, ResponseWriter } from './door.ts';
import { LATE_HEAD_COMMENT, LateHead } from './late-head.ts';
import type { ClientBody } from './request-body.ts';
import { SlowClient } from './slow-client.ts';
import { PHASE, type WriterPhase } from './writer-phase.ts';
import {
  endSharesCork,
  headLeavesAlone,
  isShort,
  pieceBytes,
  type WritingProgress,
} from './writing-decisions.ts';

const EMPTY = Buffer.alloc(0);
const NOTHING = (): void => {};

/** Heads are put there to be written, up to this length; in bytes. Nearly all are shorter. */
const HEAD_ROOM_BYTES = 4_096;
const HEAD_ROOM = Buffer.allocUnsafeSlow(HEAD_ROOM_BYTES);
/** The beginning of it that was written last: heads that follow each other are often equally long. */
let headRoom = HEAD_ROOM;

/**
 * A head's bytes: lent, until the next one's. Field values are bytes, and a string would be sent as UTF-8; to look whether that
 * is the same, and to let the front end copy it, was 1 of 100 us of a request.
 */
function headBytes(head: string): Buffer {
  if (head.length > HEAD_ROOM_BYTES) return Buffer.from(head, 'latin1');
  if (headRoom.length !== head.length) headRoom = HEAD_ROOM.subarray(0, head.length);
  headRoom.write(head, 0, head.length, 'latin1');
  return headRoom;
}

// cork() takes a function. One at module level and the writer it works for spare a closure per write; cork() runs its
// function before it returns, so there is never more than one.
let corked: UwsResponseWriter;
const step = (): void => corked.writeCorked();

/**
 * Writes one response without losing a byte. Its discipline (platform facts B; each rule has a claim in
 * test/claims/edge-writer-*.test.ts), seen on uWS C++ v20.68 as packed in uws-pack 20.0.8:
 *
 * 1. No cork holds more than CORK_BUDGET_BYTES (`writing-decisions.ts` decides what goes into one); everything is corked (uncorked writes print a warning each).
 * 2. Chunked: write() false means taken and buffered: never again, and no more until a writable event.
 * 3. Sized: tryEnd() false means not taken beyond getWriteOffset(): the rest is kept here.
 * 4. The first statement of every writable event is an empty cork: with a handler set, the front end does not drain its
 *    own buffer, and if nothing is written polling stops (4.4 of 8 MB stranded).
 * 5. The writable handler is set once, before the first write: without one, a quiet stream is cut after 10 s.
 * 6. While a client is slow, the 10 s write timer is armed again and again (`slow-client.ts`).
 * 7. end() only after the last write was taken; a body short of its size is never ended, but cut.
 *
 * Decision: the head of a chunked response leaves with its first body byte. This build has no header flush (the blank
 * line is part of the first chunk's framing); newer ones have beginWrite(). In return a provider that dies between
 * head and body still gives the client a clean 502. That of a 200's event stream waits 0.75 s at most (`late-head.ts`).
 */
export class UwsResponseWriter implements ResponseWriter {
  readonly #res: HttpResponse;
  readonly #ticker: Ticker;
  readonly #headTicker: Ticker;
  readonly #stallTimeoutMs: number;
  #events: ClientEvents | null = null;
  #body: ClientBody | null = null;

  #phase: WriterPhase = PHASE.idle;
  readonly #progress: WritingProgress = {
    size: 'none',
    headBytes: 0,
    bytesOut: 0,
    slow: false,
    mayBeLast: true,
  };
  /** The head as long as it was not written; null afterwards. */
  #head: string | null = null;
  /** Body pieces not yet taken, in order. At most one upstream read: the upstream is paused while it is not empty. */
  #queue: Buffer[] = [];
  /** How many of them are copies of our own; the others die with the turn. */
  #owned = 0;
  #cutEvent: Buffer | null = null;
  #slowClient: SlowClient | null = null;
  #lateHead: LateHead | null = null;

  /** Hand-over between #cork() and writeCorked(). */
  #piece: Buffer = EMPTY;
  #taken = true;
  #endsInCork = false;
  #isWatched = false;

  constructor(res: HttpResponse, ticker: Ticker, headTicker: Ticker, stallTimeoutMs: number) {
    this.#res = res;
    this.#ticker = ticker;
    this.#headTicker = headTicker;
    this.#stallTimeoutMs = stallTimeoutMs;
  }

  /** @param body the request's body when it has one: reading and writing share one socket's event mask */
  bind(events: ClientEvents, body: ClientBody | null): void {
    this.#events = events;
    this.#body = body;
  }

  /** It is over, and was not held back: nothing of its socket is its own any more. */
  forgetBody(): void {
    this.#body = null;
  }

  get open(): boolean {
    return this.#phase !== PHASE.closed;
  }

  get started(): boolean {
    return this.#phase !== PHASE.idle && this.#head === null;
  }

  get bytesOut(): number {
    return this.#progress.bytesOut;
  }

  respond(head: string, body: string, bodyless: boolean, closes: boolean): void {
    if (!this.#moves(this.#phase.answer)) return;
    this.#head = null;
    if (!closes) {
      this.#answer(head, body, bodyless, false);
      return;
    }
    // Whoever is told to go away may have sent more in the same segment. Answered here, inside the parser, the front
    // end would go on to parse that as the next request, although it is told to close: a smuggled request arrived. As
    // long as a response is pending it closes the connection on the next request instead, so the answer waits.
    setImmediate(() => {
      try {
        if (this.open) this.#answer(head, body, bodyless, true);
      } catch (error) {
        this.onBroken(error);
      }
    });
  }

  #answer(head: string, body: string, bodyless: boolean, closes: boolean): void {
    this.#body?.release();
    this.#over();
    const res = this.#res;
    res.cork(() => {
      if (!bodyless) res.writeStatus(head).end(body, closes);
      else if (closes) res.writeStatus(head).end(EMPTY, true);
      else
        res.writeStatus(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}`).endWithoutBody();
    });
  }

  start(head: string, size: ResponseSize, followed: boolean, mayComment: boolean): void {
    if (!this.#moves(this.#phase.start)) return;
    this.#head = head;
    this.#progress.headBytes = head.length;
    this.#progress.size = size;
    if (typeof size === 'number' && size > 0 && !followed) this.#cork(EMPTY);
    else if (mayComment && !followed) this.#lateHead = new LateHead(this.#headTicker, this);
  }

  /** The head of an event stream leaves before the first event, with a comment that is no byte of the provider's. */
  sendHead(): void {
    if (this.#phase !== PHASE.open || this.#head === null) return;
    this.#cork(LATE_HEAD_COMMENT);
    this.#progress.bytesOut -= LATE_HEAD_COMMENT.length;
  }

  write(chunk: Buffer, place: 'last' | 'maybe-last' | 'inner'): boolean {
    if (this.#phase !== PHASE.open || chunk.length === 0) return true;
    this.#progress.mayBeLast = place !== 'inner';
    // Most responses are one piece: an array that grows has room for seventeen.
    if (this.#queue.length === 0) this.#queue = [chunk];
    else this.#queue.push(chunk);
    if (place === 'last') return true;
    this.#pump();
    this.#own();
    return this.#phase !== PHASE.open || !this.#blocked();
  }

  end(): void {
    if (!this.#moves(this.#phase.end)) return;
    this.#pump();
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
    if (!this.#moves(this.#phase.cut)) return;
    this.#cutEvent = this.#progress.size === 'chunked' && this.#head === null ? event : null;
    this.#pump();
    this.#own();
  }

  /** The front end says the connection is gone; every method of `res` throws from here on. */
  onAborted(): void {
    if (!this.open) return;
    try {
      this.#over();
      this.#events?.onClientGone();
    } catch (error) {
      this.onBroken(error);
    }
  }

  /** A bug was met while this exchange was served. */
  onBroken(error: unknown): void {
    if (this.#events === null) this.destroy();
    else this.#events.onBroken(error);
  }

  destroy(): void {
    this.#moves(this.#phase.over);
    try {
      this.#over();
      this.#res.close();
    } catch {
      // It was gone already, or its state is what broke: there is nothing left to close it with.
    }
  }

  /** Runs inside a cork: writes the head if it is still here, then #piece. */
  writeCorked(): void {
    const res = this.#res;
    const { size } = this.#progress;
    this.#writeHead();
    if (this.#endsInCork && typeof size === 'number') {
      res.end(this.#piece);
    } else if (typeof size === 'number') {
      const [ok, done] = res.tryEnd(this.#piece, size);
      this.#taken = ok;
      if (done) this.#moves(this.#phase.over);
    } else if (this.#piece.length > 0) {
      this.#taken = res.write(this.#piece);
      if (this.#endsInCork) res.end();
    }
  }

  #writeHead(): void {
    const head = this.#head;
    if (head === null) return;
    this.#head = null;
    this.#progress.headBytes = 0;
    this.#lateHead?.forget();
    this.#lateHead = null;
    this.#res.writeStatus(headBytes(head));
  }

  /** For a client whose own upload is held back (`request-body.ts`); it took nothing while this fails. */
  retry(): void {
    const client = this.#slowClient;
    if (client?.blocked !== true) return;
    client.isRetrying = true;
    this.#onWritable();
    client.isRetrying = false;
  }

  #onWritable(): boolean {
    if (!this.open) return true;
    this.#res.cork(NOTHING);
    if (!this.open) return true;
    // Also where no write was refused: then a cork's flush has failed silently.
    const client = this.#becomeSlow();
    if (client.blocked) {
      client.unblock();
      this.#pump();
      if (this.#phase === PHASE.open && !this.#blocked()) this.#events?.onWriterDrained();
    }
    return true;
  }

  /** Writes what is queued until it is all taken or the connection is full; then does what is due. */
  #pump(): void {
    const queue = this.#queue;
    while (queue.length > 0 && !this.#blocked() && this.open) {
      const chunk = queue[0] ?? EMPTY;
      const length = pieceBytes(this.#progress, chunk.length);
      if (length === chunk.length && this.#mayEndWith(length)) {
        this.#endWith(chunk);
        return;
      }
      const taken = this.#cork(length === chunk.length ? chunk : chunk.subarray(0, length));
      if (taken < chunk.length) queue[0] = chunk.subarray(taken);
      else {
        queue.shift();
        if (this.#owned > 0) this.#owned--;
      }
    }
    if (this.#blocked()) return;
    if (this.#phase === PHASE.ending) this.#finish();
    else if (this.#phase === PHASE.cutting) this.#finishCut();
    else if (!this.open) this.#delivered();
  }

  #mayEndWith(lastBytes: number): boolean {
    if (this.#phase !== PHASE.ending || this.#queue.length > 1) return false;
    return endSharesCork(this.#progress, lastBytes);
  }

  /** Rule 5. What leaves whole in one cork needs none, and registering a handler costs more than writing a short head. */
  #watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    this.#res.onWritable(() => {
      try {
        return this.#onWritable();
      } catch (error) {
        this.onBroken(error);
        return true;
      }
    });
  }

  /** @param piece the only one that is queued */
  #endWith(piece: Buffer): void {
    this.#queue.pop();
    this.#body?.release();
    this.#piece = piece;
    this.#endsInCork = true;
    corked = this;
    this.#res.cork(step);
    this.#progress.bytesOut += piece.length;
    this.#delivered();
  }

  /** One cork. Returns how many bytes of `piece` are off our hands. */
  #cork(piece: Buffer): number {
    const progress = this.#progress;
    const { size, bytesOut } = progress;
    this.#watch();
    if (headLeavesAlone(progress.headBytes)) {
      this.#piece = EMPTY;
      corked = this;
      this.#res.cork(step);
    }
    if (typeof size === 'number' && bytesOut + piece.length >= size) this.#body?.release();
    this.#piece = piece;
    this.#taken = true;
    corked = this;
    this.#res.cork(step);
    this.#piece = EMPTY;
    let taken = piece.length;
    if (!this.#taken) {
      if (typeof size === 'number') taken = this.#res.getWriteOffset() - bytesOut;
      this.#becomeSlow().block(typeof size === 'number' && taken > 0);
    } else {
      this.#slowClient?.took();
    }
    progress.bytesOut += taken;
    return taken;
  }

  #blocked(): boolean {
    return this.#slowClient?.blocked === true;
  }

  #becomeSlow(): SlowClient {
    this.#progress.slow = true;
    this.#slowClient ??= new SlowClient(
      this.#res,
      this.#ticker,
      this.#stallTimeoutMs,
      this.#body,
      (error) => this.onBroken(error),
    );
    return this.#slowClient;
  }

  /** Every byte was taken: ends the message, or cuts it when it is short of its size. */
  #finish(): void {
    if (isShort(this.#progress)) {
      this.#finishCut();
      return;
    }
    const res = this.#res;
    const bodyless = this.#progress.size === 'none';
    this.#body?.release();
    this.#moves(this.#phase.over);
    res.cork(() => {
      this.#writeHead();
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
    this.#over();
    this.#res.close();
    this.#events?.onResponseOver();
  }

  #delivered(): void {
    this.#over();
    this.#events?.onResponseOver();
  }

  /** @param phase what follows an event. @returns whether that changed anything */
  #moves(phase: WriterPhase): boolean {
    const before = this.#phase;
    this.#phase = phase;
    return phase !== before;
  }

  #over(): void {
    this.#moves(this.#phase.over);
    // Setting a length goes through the runtime, 0.2 us of each request, and is needed for what was given up alone.
    if (this.#queue.length > 0) this.#queue.length = 0;
    this.#owned = 0;
    this.#slowClient?.forget();
    this.#lateHead?.forget();
    this.#body?.abandon();
  }
}
