/**
 * A cap on what a worker has under way with one provider, before either transport. A connection carries one request in
 * HTTP/1.1, so that requests under way are connections; of HTTP/2 they are its streams. Only a provider that has a cap
 * passes through here.
 */

import type { Ticking } from '../ticker.ts';
import { ownFailure, type UpstreamFailure } from './failure.ts';
import type { Transport, UpstreamCall, UpstreamEvents, UpstreamRequest } from './transport.ts';

/** Told what waits, for the metrics. */
export interface QueueWatch {
  /** @param change 1 or -1 */
  waiting(change: number): void;
  turnedAway(): void;
}

const NO_ROOM: UpstreamFailure = {
  kind: 'exhausted',
  rejection: 'overloaded',
  code: 'CONNECTION_LIMIT',
};

/** How many of one provider's requests may run and wait on this worker; goes on over reloads, which may change it. */
export class ConnectionLimit implements Ticking {
  readonly #watch: QueueWatch;
  readonly #waiting: LimitedCall[] = [];
  #running = 0;
  #connections = 0;
  #queue = 0;
  #patienceMs = 0;

  constructor(watch: QueueWatch) {
    this.#watch = watch;
  }

  /**
   * @param connections at least 1
   * @param queue requests that may wait; the next one is turned away
   * @param patienceMs how long one may wait; 0 = for ever
   */
  set(connections: number, queue: number, patienceMs: number): void {
    this.#connections = connections;
    this.#queue = queue;
    this.#patienceMs = patienceMs;
    this.#next();
  }

  /** @returns whether it may run, waits, or is turned away */
  enter(call: LimitedCall): 'run' | 'wait' | 'full' {
    if (this.#running < this.#connections && this.#waiting.length === 0) {
      this.#running++;
      return 'run';
    }
    if (this.#waiting.length >= this.#queue) {
      this.#watch.turnedAway();
      return 'full';
    }
    this.#waiting.push(call);
    this.#watch.waiting(1);
    return 'wait';
  }

  /** One that ran is over. */
  leave(): void {
    this.#running--;
    // Its connection is freed behind this call: whoever is next shall find it.
    if (this.#waiting.length > 0) queueMicrotask(() => this.#next());
  }

  /** One that waited will not run. */
  giveUp(call: LimitedCall): void {
    const at = this.#waiting.indexOf(call);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#watch.waiting(-1);
  }

  onTick(nowMs: number): void {
    if (this.#patienceMs === 0) return;
    // First come, first served: who came first has waited longest.
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || nowMs - first.beganMs <= this.#patienceMs) return;
      this.giveUp(first);
      this.#watch.turnedAway();
      first.turnAway();
    }
  }

  #next(): void {
    while (this.#running < this.#connections) {
      const call = this.#waiting.shift();
      if (call === undefined) return;
      this.#watch.waiting(-1);
      this.#running++;
      call.start();
    }
  }
}

/** A transport before which requests wait. */
export class LimitedTransport implements Transport {
  readonly #transport: Transport;
  readonly #limit: ConnectionLimit;
  readonly #clock: { readonly now: number };

  constructor(transport: Transport, limit: ConnectionLimit, clock: { readonly now: number }) {
    this.#transport = transport;
    this.#limit = limit;
    this.#clock = clock;
  }

  open(
    request: UpstreamRequest,
    content: readonly Buffer[],
    whole: boolean,
    events: UpstreamEvents,
  ): UpstreamCall {
    const call = new LimitedCall(
      this.#transport,
      this.#limit,
      request,
      whole,
      events,
      this.#clock.now,
    );
    call.begin(content);
    return call;
  }
}

/** A request that may have to wait for its turn. What is there of its content meanwhile is kept; its client is paused. */
class LimitedCall implements UpstreamCall, UpstreamEvents {
  readonly #transport: Transport;
  readonly #limit: ConnectionLimit;
  readonly #request: UpstreamRequest;
  readonly #events: UpstreamEvents;
  /** When it began to wait; milliseconds of the ticker. */
  readonly beganMs: number;
  #held: Buffer[] = [];
  #isWhole: boolean;
  #isPaused = false;
  #isOver = false;
  #call: UpstreamCall | null = null;

  constructor(
    transport: Transport,
    limit: ConnectionLimit,
    request: UpstreamRequest,
    whole: boolean,
    events: UpstreamEvents,
    nowMs: number,
  ) {
    this.#transport = transport;
    this.#limit = limit;
    this.#request = request;
    this.#isWhole = whole;
    this.#events = events;
    this.beganMs = nowMs;
  }

  begin(content: readonly Buffer[]): void {
    const entered = this.#limit.enter(this);
    if (entered === 'run') this.#open(content);
    else if (entered === 'wait') this.#held = content.map((piece) => Buffer.from(piece));
    // Whoever opened it has no call yet.
    else queueMicrotask(() => this.turnAway());
  }

  /** It is its turn. */
  start(): void {
    const held = this.#held;
    this.#held = [];
    try {
      this.#open(held);
    } catch (error) {
      // Nobody called who could be told but the exchange itself.
      this.#isOver = true;
      this.#events.onUpstreamFailure(ownFailure(error));
      return;
    }
    if (this.#isPaused) this.#call?.pause();
  }

  turnAway(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#held = [];
    this.#events.onUpstreamFailure(NO_ROOM);
  }

  #open(content: readonly Buffer[]): void {
    try {
      this.#call = this.#transport.open(this.#request, content, this.#isWhole, this);
    } catch (error) {
      this.#limit.leave();
      throw error;
    }
  }

  get reached(): boolean {
    return this.#call?.reached === true;
  }

  push(piece: Buffer): boolean {
    if (this.#call !== null) return this.#call.push(piece);
    if (!this.#isOver) this.#held.push(Buffer.from(piece));
    return false;
  }

  end(): void {
    this.#isWhole = true;
    this.#call?.end();
  }

  pause(): void {
    this.#isPaused = true;
    this.#call?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#call?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#call === null) {
      this.#held = [];
      this.#limit.giveUp(this);
    } else {
      this.#call.abort();
      this.#limit.leave();
    }
  }

  // ---- what the call tells -----------------------------------------------------------------------------------------

  onRequestRetried(): void {
    this.#events.onRequestRetried();
  }

  onUploadDrained(): void {
    this.#events.onUploadDrained();
  }

  onResponseHead(
    status: number,
    reason: string,
    fields: readonly string[],
    followed: boolean,
  ): void {
    this.#events.onResponseHead(status, reason, fields, followed);
  }

  onResponseChunk(chunk: Buffer, last: boolean): void {
    this.#events.onResponseChunk(chunk, last);
  }

  onResponseEnd(byConnection?: boolean): void {
    this.#over();
    this.#events.onResponseEnd(byConnection);
  }

  onUpstreamFailure(failure: UpstreamFailure): void {
    this.#over();
    this.#events.onUpstreamFailure(failure);
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#limit.leave();
  }
}
