/**
 * What an exchange knows of the way to a provider: a request is opened, and events come back. Two clients stand behind
 * it: `h1/`, the house's own HTTP/1.1 client, and `undici/`. Who the provider is (`target.ts`) is apart from how its
 * connections are made and kept.
 */

import type { PoolKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import type { UpstreamFailure } from './failure.ts';

/** How a request's content is delimited (RFC 9112 §6). */
export type RequestCoding = 'none' | 'sized' | 'chunked';

/** One request as it goes to a provider, not rendered yet: what is a line of text here is a frame in HTTP/2. */
export interface UpstreamRequest {
  readonly method: string;
  /** Path and query (RFC 9112 §3.2.1), validated. */
  readonly target: string;
  /**
   * Flat list with lower-case names, validated, as the client sent them. Which of them leave is told by
   * `outgoing-head.ts`, in whose loops they are rendered: a list in between would cost a fourth of a head.
   */
  readonly fields: readonly string[];
  /** Null: the caller's own key stands in the fields. Else this one goes in its place, and only listed fields beside it. */
  readonly poolKey: PoolKey | null;
  /** Whose a request with a pool key is: tenant and vpc. Ids that the provider remembers are made this one's own. */
  readonly owner: string;
  readonly coding: RequestCoding;
  /** Bytes of content as it leaves, only for `sized`. */
  readonly contentLength: number;
}

/** Methods that may be sent again (RFC 9110 §9.2.2): a kept connection that was dead is retried once. */
export const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']);

/** What the conductor is told about the upstream's side of an exchange. Nothing comes after end, failure or abort. */
export interface UpstreamEvents {
  /** The connection was dead; the request is sent again on a new one. */
  onRequestRetried(): void;
  /** Everything given of the request was handed to the upstream's connection. */
  onUploadDrained(): void;
  /**
   * @param fields as the wire had them: any case, Latin-1 values, duplicates kept
   * @param followed a hint, which may always be false: bytes came behind it in the same read; of a sized content, the
   *   first piece is told in the same turn
   */
  onResponseHead(
    status: number,
    reason: string,
    fields: readonly string[],
    followed: boolean,
  ): void;
  /**
   * @param chunk a view that is overwritten when the call returns: whoever keeps it copies it
   * @param last a hint, which may always be false: the response's end follows in the same turn
   */
  onResponseChunk(chunk: Buffer, last: boolean): void;
  /**
   * @param byConnection nothing but the connection's end said so (RFC 9112 §6.3 rule 8): a server that died looks the same.
   *   Never for HTTP/2, whose streams announce their end
   */
  onResponseEnd(byConnection?: boolean): void;
  onUpstreamFailure(failure: UpstreamFailure): void;
}

/** One request under way, and its response. */
export interface UpstreamCall extends PieceSink {
  /** Something of the request was written to a connection. */
  readonly reached: boolean;
  /**
   * The next piece of the content, borrowed: it is copied.
   * @returns false when the upstream takes no more for now: `onUploadDrained` follows
   */
  push(piece: Buffer): boolean;
  /** The content is complete. */
  end(): void;
  /** Response bytes stop coming, but for what one read (64 KiB) has brought already. */
  pause(): void;
  resume(): void;
  /** Ends the upstream work in this turn. */
  abort(): void;
}

/** One provider's way out. */
export interface Transport {
  /**
   * Sends a request.
   * @param content what is there of its content, borrowed until this returns: it leaves with the head, in one write
   *   where the protocol can
   * @param whole the content is complete: neither `push` nor `end` follows
   */
  open(
    request: UpstreamRequest,
    content: readonly Buffer[],
    whole: boolean,
    events: UpstreamEvents,
  ): UpstreamCall;
}

/** Every provider's way out. */
export interface Transports {
  of(provider: Provider): Transport;
}

/** The content that is there when a request is opened: gathered, so that its length is known before its head. */
export class FirstContent implements PieceSink {
  pieces: Buffer[] = [];
  bytes = 0;

  /** @returns false: what comes behind it waits until the request has left */
  push(piece: Buffer): boolean {
    // Mostly it is one: an array that grows has room for seventeen.
    if (this.pieces.length === 0) this.pieces = [piece];
    else this.pieces.push(piece);
    this.bytes += piece.length;
    return false;
  }
}
