import { Buffer } from 'node:buffer';
import type { UpstreamFailure } from '../failure.ts';
import type { Carried, Connection } from './connection.ts';

/** What the conductor is told about the upstream's side of an exchange. Nothing comes after end, failure or abort. */
export interface UpstreamEvents {
  /** The connection was dead; the request is sent again on a new one. */
  onRequestRetried(): void;
  /** Everything given of the request was handed to the upstream's connection. */
  onUploadDrained(): void;
  /**
   * @param fields as the wire had them: any case, Latin-1 values, duplicates kept
   * @param followed bytes came behind it in the same read: of a sized content, the first piece is told in the same turn
   */
  onResponseHead(
    status: number,
    reason: string,
    fields: readonly string[],
    followed: boolean,
  ): void;
  /**
   * @param chunk a view that is overwritten when the call returns: whoever keeps it copies it
   * @param last the response's end follows in the same turn
   */
  onResponseChunk(chunk: Buffer, last: boolean): void;
  onResponseEnd(): void;
  onUpstreamFailure(failure: UpstreamFailure): void;
}

/** Where a call gets its connection. `Origin` is one. */
export interface Connections {
  /** @param fresh one on which nothing was ever sent */
  connection(fresh: boolean): Connection;
}

/** How a request's content is delimited (RFC 9112 §6). */
export type RequestCoding = 'none' | 'sized' | 'chunked';

// RFC 9110 §9.2.2.
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

const LAST_CHUNK = '0\r\n\r\n';
const NOTHING: readonly Buffer[] = [];

/**
 * One request to a provider and its response. Content is given piece by piece; what is there when the request is sent
 * leaves with its head in one write. Each byte is copied once, into the buffer that the connection writes.
 *
 * A reused connection that died before any byte of the response is retried once on a new one, when the method is
 * idempotent and the request is still whole (RFC 9110 §9.2.2). Other addresses of a name are tried while connecting.
 */
export class UpstreamCall implements Carried {
  readonly #connections: Connections;
  readonly #events: UpstreamEvents;
  #connection: Connection | null = null;
  method = '';
  #coding: RequestCoding = 'none';
  /** Before the request is sent, what was given of its content; then what is to be written once the connection stands. */
  #waiting: Buffer[] = [];
  /** Bytes of content given before the request is sent. */
  givenBytes = 0;
  #isSent = false;
  /** The request's content is complete. */
  #isEnded = false;
  /** The connection stands and has the request's head. */
  #isWriting = false;
  /** A whole request that may be sent again. */
  #repeatable: Buffer | null = null;
  #isRetried = false;
  #isHeadSeen = false;
  #isOver = false;
  /** Something of the request was written to a connection. */
  reached = false;

  constructor(connections: Connections, events: UpstreamEvents) {
    this.#connections = connections;
    this.#events = events;
  }

  /**
   * The next piece of the content, borrowed: it is copied, at the latest by `send`, which follows in the same turn.
   * @returns false when the upstream takes no more for now: `onUploadDrained` follows
   */
  push(piece: Buffer): boolean {
    if (this.#isOver || piece.length === 0) return true;
    if (!this.#isSent) {
      this.#waiting.push(piece);
      this.givenBytes += piece.length;
      return false;
    }
    const framed = message('', this.#coding, [piece], piece.length, false);
    if (this.#isWriting && this.#connection !== null) return this.#connection.write(framed);
    this.#waiting.push(framed);
    return false;
  }

  /** The content is complete. */
  end(): void {
    if (this.#isEnded || this.#isOver) return;
    this.#isEnded = true;
    if (!this.#isSent) return;
    const rest = message('', this.#coding, NOTHING, 0, true);
    if (rest.length > 0) {
      if (this.#isWriting) this.#connection?.write(rest);
      else this.#waiting.push(rest);
    }
    if (this.#isWriting) this.#connection?.requestSent();
  }

  /**
   * Sends the request, with what was given of its content.
   * @param head start line and field lines, each ended by CRLF; validated, one character per byte
   */
  send(method: string, head: string, coding: RequestCoding): void {
    this.method = method;
    this.#coding = coding;
    this.#isSent = true;
    const begin = message(`${head}\r\n`, coding, this.#waiting, this.givenBytes, this.#isEnded);
    this.#waiting = [begin];
    if (this.#isEnded && IDEMPOTENT.has(method)) this.#repeatable = begin;
    this.#connect(false);
  }

  /** Response bytes stop coming, but for what one read (64 KiB) has brought already. */
  pause(): void {
    if (!this.#isOver) this.#connection?.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#connection?.resume();
  }

  /** Ends the upstream work in this turn: its connection is closed. */
  abort(): void {
    if (this.#isOver) return;
    this.#over();
    this.#connection?.close();
  }

  // ---- the connection ----------------------------------------------------------------------------------------------

  onConnected(): void {
    this.reached = true;
    this.#isWriting = true;
    const [first, ...rest] = this.#waiting;
    this.#waiting = [];
    if (first === undefined) return;
    const takesMore = this.#connection?.write(
      rest.length === 0 ? first : Buffer.concat([first, ...rest]),
    );
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

  onMessageEnd(): void {
    this.#over();
    this.#events.onResponseEnd();
  }

  onFailure(failure: UpstreamFailure): void {
    if (this.#mayRetry(failure) && this.#repeatable !== null) {
      this.#isRetried = true;
      this.#isWriting = false;
      this.#waiting = [this.#repeatable];
      this.#events.onRequestRetried();
      this.#connect(true);
      return;
    }
    this.#over();
    this.#events.onUpstreamFailure(failure);
  }

  #connect(fresh: boolean): void {
    const connection = this.#connections.connection(fresh);
    this.#connection = connection;
    connection.carry(this);
  }

  #mayRetry({ kind }: UpstreamFailure): boolean {
    const isReused = this.#connection !== null && this.#connection.requestsServed > 0;
    return kind === 'reset' && isReused && !this.#isHeadSeen && !this.#isRetried;
  }

  #over(): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#repeatable = null;
  }
}

/** What goes onto the wire, in one buffer. @param last the content ends behind the pieces */
function message(
  head: string,
  coding: RequestCoding,
  pieces: readonly Buffer[],
  bytes: number,
  last: boolean,
): Buffer {
  const isChunked = coding === 'chunked';
  const before = isChunked && bytes > 0 ? `${head}${bytes.toString(16)}\r\n` : head;
  const after = isChunked ? (bytes > 0 ? '\r\n' : '') + (last ? LAST_CHUNK : '') : '';
  const out = Buffer.allocUnsafe(before.length + bytes + after.length);
  let at = out.write(before, 'latin1');
  for (const piece of pieces) at += piece.copy(out, at);
  if (after !== '') out.write(after, at, 'latin1');
  return out;
}
