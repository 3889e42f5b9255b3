import { Buffer } from 'node:buffer';
import { ownFailure, type UpstreamFailure } from '../failure.ts';
import { requestHead } from '../outgoing-head.ts';
import {
  IDEMPOTENT,
  type RequestCoding,
  type UpstreamCall,
  type UpstreamEvents,
  type UpstreamRequest,
} from '../transport.ts';
import type { Carried, Connection } from './connection.ts';
import { UploadBuffers } from './upload-buffers.ts';

/** Where a call gets its connection. `Origin` is one. */
export interface Connections {
  /** A connection that stands takes at once what a request begins with (`direct-send.ts`). */
  readonly takesAtOnce: boolean;
  /** @param fresh one on which nothing was ever sent */
  connection(fresh: boolean): Connection;
}

/** Of this thread. */
const UPLOAD_BUFFERS = new UploadBuffers();

/** A chunk's size in hexadecimal, and its two line ends, are no longer. */
const FRAMING_BYTES = 32;

/**
 * Of this thread: what a request begins with is put together here where its connection takes it at once, and it is no
 * larger; in bytes.
 */
const ROOM = Buffer.allocUnsafeSlow(65_536);

const LAST_CHUNK = '0\r\n\r\n';
const NOTHING: readonly Buffer[] = [];

/**
 * One request to a provider and its response. Content is given piece by piece; what is there when the request is opened
 * leaves with its head in one write. Each byte is copied once, into the buffer that the connection writes.
 *
 * A reused connection that died before any byte of the response is retried once on a new one, when the method is
 * idempotent and the request is still whole (RFC 9110 §9.2.2). Other addresses of a name are tried while connecting.
 */
export class Http1Call implements UpstreamCall, Carried {
  readonly #connections: Connections;
  readonly #events: UpstreamEvents;
  readonly method: string;
  readonly #coding: RequestCoding;
  #connection: Connection | null = null;
  /** What is to be written once the connection stands; null: nothing. */
  #waiting: Buffer | null;
  /** Behind it; made for the first piece that comes before the connection stands. */
  #behind: Buffer[] | null = null;
  /** The request's content is complete. */
  #isEnded: boolean;
  /** The connection stands and has the request's head. */
  #isWriting = false;
  /** A whole request that may be sent again. */
  #repeatable: Buffer | null;
  #isHeadSeen = false;
  #isOver = false;
  reached = false;

  /**
   * Sends the request.
   * @param host the provider's Host field value
   * @param content as `Transport.open` has it
   */
  constructor(
    connections: Connections,
    events: UpstreamEvents,
    request: UpstreamRequest,
    host: string,
    content: readonly Buffer[],
    whole: boolean,
  ) {
    const { method, coding } = request;
    this.#connections = connections;
    this.#events = events;
    this.method = method;
    this.#coding = coding;
    this.#isEnded = whole;
    const isRepeatable = whole && IDEMPOTENT.has(method);
    const room = connections.takesAtOnce && !isRepeatable ? ROOM : undefined;
    const begin = message(`${requestHead(request, host)}\r\n`, coding, content, whole, room);
    this.#waiting = begin;
    this.#repeatable = isRepeatable ? begin : null;
    this.#connect(false);
    // The connection does not stand yet, and the room is the next request's.
    if (this.#waiting !== null && isLent(begin)) this.#waiting = Buffer.from(begin);
  }

  push(piece: Buffer): boolean {
    if (this.#isOver || piece.length === 0) return true;
    const connection = this.#isWriting ? this.#connection : null;
    const buffer = connection === null ? null : UPLOAD_BUFFERS.take(piece.length + FRAMING_BYTES);
    const framed = message('', this.#coding, [piece], false, buffer?.bytes);
    if (connection !== null) return connection.write(framed, buffer?.written);
    this.#wait(framed);
    return false;
  }

  end(): void {
    if (this.#isEnded || this.#isOver) return;
    this.#isEnded = true;
    const rest = message('', this.#coding, NOTHING, true);
    if (rest.length > 0) {
      if (this.#isWriting) this.#connection?.write(rest);
      else this.#wait(rest);
    }
    if (this.#isWriting) this.#connection?.requestSent();
  }

  /** A read of the client's may hold a hundred thousand chunks of one byte: each is only put behind the others. */
  #wait(bytes: Buffer): void {
    this.#behind ??= [];
    this.#behind.push(bytes);
  }

  pause(): void {
    if (!this.#isOver) this.#connection?.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#connection?.resume();
  }

  abort(): void {
    if (this.#isOver) return;
    this.#over();
    this.#connection?.close();
  }

  // ---- the connection ----------------------------------------------------------------------------------------------

  onConnected(): void {
    this.reached = true;
    this.#isWriting = true;
    const waiting = this.#waiting;
    const behind = this.#behind;
    this.#waiting = null;
    this.#behind = null;
    if (waiting === null) return;
    const bytes = behind === null ? waiting : Buffer.concat([waiting, ...behind]);
    const takesMore = isLent(bytes)
      ? this.#connection?.writeLent(bytes)
      : this.#connection?.write(bytes);
    if (this.#isEnded) this.#connection?.requestSent();
    else if (takesMore === true) this.#events.onUploadDrained();
  }

  onDrained(): void {
    if (!this.#isEnded) this.#events.onUploadDrained();
  }

  onHead(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    this.#isHeadSeen = true;
    this.#repeatable = null;
    this.#events.onResponseHead(status, reason, fields, followed);
  }

  onContent(piece: Buffer, last: boolean): void {
    this.#events.onResponseChunk(piece, last);
  }

  onMessageEnd(byConnection: boolean): void {
    this.#over();
    this.#events.onResponseEnd(byConnection);
  }

  onFailure(failure: UpstreamFailure): void {
    if (!this.#mayRetry(failure) || this.#repeatable === null) {
      this.#fail(failure);
      return;
    }
    try {
      this.#isWriting = false;
      this.#waiting = this.#repeatable;
      this.#events.onRequestRetried();
      this.#connect(true);
    } catch (error) {
      // The connection that called reports it, and has nobody left to tell.
      this.#fail(ownFailure(error));
      throw error;
    }
  }

  #fail(failure: UpstreamFailure): void {
    this.#over();
    this.#events.onUpstreamFailure(failure);
  }

  #connect(fresh: boolean): void {
    const connection = this.#connections.connection(fresh);
    this.#connection = connection;
    connection.carry(this);
  }

  /** Once: the new connection has served nothing. */
  #mayRetry({ kind }: UpstreamFailure): boolean {
    const isReused = this.#connection !== null && this.#connection.requestsServed > 0;
    return kind === 'reset' && isReused && !this.#isHeadSeen;
  }

  #over(): void {
    this.#isOver = true;
    this.#waiting = null;
    this.#behind = null;
    this.#repeatable = null;
  }
}

function isLent(bytes: Buffer): boolean {
  return bytes.buffer === ROOM.buffer;
}

/**
 * What goes onto the wire, in one buffer.
 * @param last the content ends behind the pieces
 * @param room where it is put if there is room enough; else it has a buffer of its own
 */
function message(
  head: string,
  coding: RequestCoding,
  pieces: readonly Buffer[],
  last: boolean,
  room?: Buffer,
): Buffer {
  let bytes = 0;
  for (const { length } of pieces) bytes += length;
  const isChunked = coding === 'chunked';
  const before = isChunked && bytes > 0 ? `${head}${bytes.toString(16)}\r\n` : head;
  const after = isChunked ? (bytes > 0 ? '\r\n' : '') + (last ? LAST_CHUNK : '') : '';
  const length = before.length + bytes + after.length;
  const out =
    room === undefined || length > room.length
      ? Buffer.allocUnsafe(length)
      : room.subarray(0, length);
  let at = out.write(before, 'latin1');
  for (const piece of pieces) at += piece.copy(out, at);
  if (after !== '') out.write(after, at, 'latin1');
  return out;
}
