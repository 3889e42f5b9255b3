/**
 * The door: all that the rest of the house knows of the listener. Another front end (a newer build of
 * uWebSockets.js, or another listener altogether) has to offer exactly this, and pass `test/claims/edge-*`.
 */

import type { RequestFraming } from '../wire/request-framing.ts';
import type { SlipAccount } from './slip-account.ts';

/** The head of one request, copied out of the front end before its callback returned. */
export interface RequestHead {
  /** Case-sensitive, as sent. */
  readonly method: string;
  /** Raw path: no decoding, no dot-segment removal. One character per byte. */
  readonly path: string;
  /** Raw query without its `?`; empty when there is none. */
  readonly query: string;
  /** `[name, value, …]`, names lower-case, values one character per byte, wire order, duplicates kept. */
  readonly fields: readonly string[];
  readonly framing: RequestFraming;
  /** The client will close after this exchange (`Connection: close`). */
  readonly closes: boolean;
}

/** Why an upload cannot go on. May be told again, once a tick, until the exchange is over. */
export interface UploadEvents {
  /** The client has sent nothing of its body for `uploadSilenceTimeoutMs`, and nobody held it back. */
  onUploadSilent(): void;
  /** The upstream has taken nothing of the upload for `uploadStallTimeoutMs`. */
  onUploadStalled(): void;
  /** It is held back, and the node holds too much of such uploads to find out whether its client is still there. */
  onUploadRefused(): void;
}

/** What the conductor is told about the client's side of an exchange. Only `onBroken` may follow `onClientGone`. */
export interface ClientEvents extends UploadEvents {
  /** One piece of the request body: a view that dies when the call returns. Whoever keeps it copies it. */
  onBodyChunk(chunk: Buffer, last: boolean): void;
  /** Everything queued was taken by the connection: the upstream may go on. */
  onWriterDrained(): void;
  /** The response is over: handed to the connection whole, or cut as the conductor asked. */
  onResponseOver(): void;
  /** The client closed, was cut by the front end's own timers, or stopped reading for too long. */
  onClientGone(): void;
  /**
   * A bug: what one of these methods threw, or the listener itself while it served this exchange. Must not throw.
   * It ends one exchange; thousands of others share its thread.
   */
  onBroken(error: unknown): void;
}

/** The client's body. Pausing is advisory: what one read already holds is still delivered. */
export interface RequestBody {
  /** Everything of it was lent out, and it is not held back: neither method has anything to do any more. */
  readonly isOver: boolean;
  pause(): void;
  resume(): void;
}

/** What has no body, or has it no longer. */
export const NO_BODY: RequestBody = { isOver: true, pause() {}, resume() {} };

/** How a response's body is delimited towards the client. */
export type ResponseSize = number | 'chunked' | 'none';

/** The response. Its one job is the writing discipline; see `response-writer.ts`. */
export interface ResponseWriter {
  /**
   * @param head status code, reason and field lines joined by CRLF, without the last CRLF and without
   *   `Content-Length`, `Transfer-Encoding`, `Date`; one character per byte
   * @param size body length in bytes, `'chunked'` when unknown, `'none'` when the status or method forbids one
   * @param followed of a sized body, that `write` follows in the same turn: then both leave together. Else the head
   *   leaves at once; the head of a chunked one waits for `write`
   * @param mayComment the body is an event stream, so that its head need not wait long: it may leave with a comment,
   *   which is not counted in `bytesOut`
   */
  start(head: string, size: ResponseSize, followed: boolean, mayComment: boolean): void;
  /**
   * Forwards a chunk at once. False: taken, but send no more until `onWriterDrained`.
   * @param chunk a view that is overwritten when the caller returns to the event loop
   * @param place `last`: `end()` follows in the same turn, and they leave together. `maybe-last`: the message may end
   *   behind it, which is worth a second write to know that it was taken
   */
  write(chunk: Buffer, place: 'last' | 'maybe-last' | 'inner'): boolean;
  /** The body is complete: ends the message once every byte was taken. */
  end(): void;
  /** Ends a message that is not complete, so that no client can take it for one. `event` goes out before it. */
  cut(event: Buffer | null): void;
  /** A whole small response in one piece; `closes` also closes the connection. Only instead of `start`. */
  respond(head: string, body: string, bodyless: boolean, closes: boolean): void;
  /** Closes the connection at once, in whatever state a bug has left the response. Tells nobody, and never throws. */
  destroy(): void;
  /** True until the response ended or the client left. */
  readonly open: boolean;
  /** True once a byte of the head may have left. */
  readonly started: boolean;
  /** Body bytes handed to the connection so far. */
  readonly bytesOut: number;
}

/** Makes the conductor for one request. Called with the front end's stack still in place: must not throw. */
export type Receive = (
  head: RequestHead,
  body: RequestBody,
  writer: ResponseWriter,
) => ClientEvents;

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  readonly timeouts: ClientTimeouts;
  readonly slips: SlipAccount;
}

/** Read at each look at a client: a reload changes them for requests that run as well. */
export interface ClientTimeouts {
  /** A client that takes no byte for so long is gone. 0 = never. */
  clientStallTimeoutMs: number;
  /** An upload of which the client sends no byte for so long, although it may, is given up. 0 = never. */
  uploadSilenceTimeoutMs: number;
  /** An upload of which the upstream takes no byte for so long is given up. 0 = never. */
  uploadStallTimeoutMs: number;
}

export interface Door {
  /** Takes no new connections; running ones go on. */
  stopListening(): void;
  /** Closes every connection at once. */
  close(): void;
}
