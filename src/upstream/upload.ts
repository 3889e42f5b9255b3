import { EventEmitter } from 'node:events';

const AUTO_DESTROY = { autoDestroy: true } as const;

/** Told when everything queued has been handed to the upstream connection. */
export interface UploadEvents {
  onUploadDrained(): void;
}

/**
 * A request body on its way upstream, in the shape that undici reads: it asks a body only for `on`, `off`, `pause`,
 * `resume`, `pipe` (to recognise a stream) and `destroy` (client-h1.js writeStream and request.js, undici 8.12.4;
 * test/unit/upstream/upload.test.ts breaks when that changes). A node:stream Readable does the same at several times
 * the cost, with a high-water mark of its own that would be a second buffer.
 */
export class Upload extends EventEmitter {
  /** Tells undici that destroying this at its end is not undici's work. */
  readonly _readableState = AUTO_DESTROY;
  readonly #events: UploadEvents;
  readonly #queue: Buffer[] = [];
  #begun = false;
  #flowing = false;
  #ended = false;
  #finished = false;
  destroyed = false;
  /** Bytes handed to undici. Zero means that nothing of this request has left, its head included. */
  bytesSent = 0;

  constructor(events: UploadEvents) {
    super();
    this.#events = events;
    // undici takes its error listener off when the exchange is over; a late destroy(err) must not throw.
    this.on('error', ignore);
  }

  /** @returns false when the upstream takes no more: pause the client until `onUploadDrained` */
  push(chunk: Buffer): boolean {
    if (this.destroyed) return true;
    if (this.#flowing && this.#queue.length === 0) this.#send(chunk);
    else this.#queue.push(chunk);
    return this.#flowing;
  }

  /** The client's body is complete. */
  end(): void {
    this.#ended = true;
    this.#flow();
  }

  pause(): this {
    this.#flowing = false;
    return this;
  }

  resume(): this {
    if (this.destroyed || this.#flowing) return this;
    if (this.#begun) {
      this.flow();
      return this;
    }
    // undici adds its last listeners to the socket behind its first resume(): a body that ended within it left them on
    // the socket for ever.
    this.#begun = true;
    process.nextTick(flow, this);
    return this;
  }

  /** Hands over what is queued and says when there is room for more. */
  flow(): void {
    if (this.destroyed || this.#flowing) return;
    this.#flowing = true;
    this.#flow();
    if (this.#flowing && !this.#ended) this.#events.onUploadDrained();
  }

  /** Only its presence counts: it is how undici tells a stream from an iterable. */
  pipe(): never {
    throw new Error('An upload is read by undici only.');
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#queue.length = 0;
    if (error != null && !this.#finished) this.emit('error', error);
    this.emit('close');
    return this;
  }

  #flow(): void {
    while (this.#flowing && !this.destroyed && this.#queue.length > 0) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) this.#send(chunk);
    }
    if (
      this.#flowing &&
      this.#ended &&
      !this.#finished &&
      this.#queue.length === 0 &&
      !this.destroyed
    ) {
      this.#finished = true;
      this.emit('end');
    }
  }

  #send(chunk: Buffer): void {
    this.bytesSent += chunk.length;
    this.emit('data', chunk);
  }
}

function ignore(): void {}

function flow(upload: Upload): void {
  upload.flow();
}
