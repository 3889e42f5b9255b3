import type { Dispatcher } from 'undici';
import { classify, type UpstreamFailure } from './failure.ts';
import { Upload, type UploadEvents } from './upload.ts';

/** What the conductor is told about the upstream's side of an exchange. Nothing comes after end, failure or abort. */
export interface UpstreamEvents extends UploadEvents {
  /** The connection was dead; the request is sent again on a new one. */
  onRequestRetried(): void;
  /** @param fields as the wire had them: any case, Latin-1 values, duplicates kept */
  onResponseHead(status: number, reason: string, fields: readonly string[]): void;
  onResponseChunk(chunk: Buffer): void;
  onResponseEnd(): void;
  onUpstreamFailure(failure: UpstreamFailure): void;
}

/** A connection, as far as a retry decision depends on it. */
export interface Connection {
  /** Requests that its current socket has carried before this one. */
  readonly requestsServed: number;
}

/** Where a call gets its connection. `Origin` is one. */
export interface Connections {
  readonly pool: Dispatcher;
  dispatchOnce(use: (fresh: Dispatcher) => void): void;
}

/** What is asked of the provider. */
export interface OutgoingRequest {
  readonly method: string;
  readonly target: string;
  /** `[name, value, …]`, validated: a dispatch that fails undici's validation leaves its client busy for ever. */
  readonly fields: string[];
  /** A whole small body, a body that is still arriving, or none. */
  readonly body: Buffer | Upload | null;
}

// RFC 9110 §9.2.2.
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** One for all aborts: a stack trace per client that left would say nothing. */
const ABORTED = new Error('The exchange is over.');

/** A body that was delimited by the connection's end, and a reset instead of that end. */
const CUT_BY_RESET: UpstreamFailure = {
  kind: 'reset',
  rejection: 'upstream_unreachable',
  code: 'ECONNRESET',
};

const FOREIGN_CODING: UpstreamFailure = {
  kind: 'framing',
  rejection: 'upstream_unreachable',
  code: 'TRANSFER_CODING',
};

/** The Node HTTP parser's limit on statuses; RFC 9110 §15 knows none below 100. */
const FIRST_FINAL_STATUS = 200;

/**
 * One request to a provider and its response: undici's handler, reduced to the events that the conductor needs.
 *
 * A reused connection that died before any byte of the response is retried once on a new one, but only when nothing of
 * the request had left, or the method is idempotent and its body, if any, is still whole (RFC 9110 §9.2.2). Other
 * addresses of a name are tried while connecting, by Node's happy eyeballs.
 */
export class UpstreamCall implements Dispatcher.DispatchHandler {
  readonly #connections: Connections;
  readonly #events: UpstreamEvents;
  readonly #request: OutgoingRequest;
  #controller: Dispatcher.DispatchController | null = null;
  #over = false;
  #headSeen = false;
  #retried = false;
  #reused = false;
  #paused = false;
  /** True while the error of some socket is being told: an end that comes inside is none. */
  static socketFails = false;
  /** Something of the request was, or is about to be, written to a connection. */
  reached = false;

  constructor(connections: Connections, request: OutgoingRequest, events: UpstreamEvents) {
    this.#connections = connections;
    this.#request = request;
    this.#events = events;
  }

  /** Sends the request on a pooled connection. */
  send(): void {
    this.#dispatch(this.#connections.pool);
  }

  /** Response bytes stop coming at once; what was read already waits in undici (at most one read, 64 KiB). */
  pause(): void {
    this.#paused = true;
    this.#controller?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#controller?.resume();
  }

  /** Ends the upstream work in this turn: its connection is closed, or the request is never written. */
  abort(): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller?.abort(ABORTED);
    if (this.#request.body instanceof Upload) this.#request.body.destroy();
  }

  /** The pool chose a connection. Called by its client. */
  onAssigned(connection: Connection): void {
    this.#reused = connection.requestsServed > 0;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(ABORTED);
    else this.reached = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    reason: string | undefined,
  ): void {
    // An informational response is for the hop that asked for it (RFC 9110 §15.2); the front end cannot send any.
    if (this.#over || status < FIRST_FINAL_STATUS) return;
    const fields = wireFields(controller.rawHeaders as readonly Buffer[]);
    if (hasForeignCoding(fields)) {
      this.#over = true;
      controller.abort(ABORTED);
      this.#events.onUpstreamFailure(FOREIGN_CODING);
      return;
    }
    this.#headSeen = true;
    this.#events.onResponseHead(status, reason ?? '', fields);
    if (this.#paused) controller.pause();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#over) this.#events.onResponseChunk(chunk);
  }

  onResponseEnd(): void {
    if (this.#over) return;
    this.#over = true;
    if (UpstreamCall.socketFails) this.#events.onUpstreamFailure(CUT_BY_RESET);
    else this.#events.onResponseEnd();
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    if (this.#over) return;
    const failure = classify(error, this.#controller !== null);
    if (this.#mayRetry(failure)) {
      this.#retried = true;
      this.#controller = null;
      this.#events.onRequestRetried();
      this.#connections.dispatchOnce((fresh) => this.#dispatch(fresh));
      return;
    }
    this.#over = true;
    this.#events.onUpstreamFailure(failure);
  }

  #mayRetry(failure: UpstreamFailure): boolean {
    if (this.#headSeen || this.#retried || !this.#reused || failure.kind !== 'reset') return false;
    const { method, body } = this.#request;
    if (body instanceof Upload) return body.bytesSent === 0 && !body.destroyed;
    return IDEMPOTENT.has(method);
  }

  #dispatch(dispatcher: Dispatcher): void {
    const { method, target, fields, body } = this.#request;
    dispatcher.dispatch(
      {
        path: target,
        method: method as Dispatcher.HttpMethod,
        headers: fields,
        body: body as Buffer | null,
      },
      this,
    );
  }
}

/**
 * A transfer coding beside `chunked` (RFC 9112 §7): undici takes the chunks apart and leaves the rest coded, so what
 * would be relayed is not what was said.
 */
function hasForeignCoding(fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const isCoding = fields[i]?.length === 17 && fields[i]?.toLowerCase() === 'transfer-encoding';
    if (isCoding && fields[i + 1]?.trim().toLowerCase() !== 'chunked') return true;
  }
  return false;
}

/** undici 8.12.4 keeps the fields as Buffers, in wire case and order. */
function wireFields(raw: readonly Buffer[]): readonly string[] {
  const fields: string[] = [];
  for (const piece of raw) fields.push(piece.toString('latin1'));
  return fields;
}
