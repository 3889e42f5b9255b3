import type { Buffer } from 'node:buffer';
import type { Reservation } from '../budget/spending.ts';
import type { Metering } from '../meter/metering.ts';
import type { LimitGrant } from '../policy/limiter.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Rejection } from '../rejection.ts';
import {
  FirstContent,
  type RequestCoding,
  type UpstreamCall,
  type UpstreamEvents,
} from '../upstream/transport.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import type { RequestScan } from '../wire/request-scan.ts';
import { asksForStream } from '../wire/stream-wish.ts';
import { reservedSpending } from './attempt-spending.ts';
import { type Asked, type AttemptContext, type AttemptTarget, LEFT } from './attempt-terms.ts';
import { deleteRefusal, modelRefusal, takenOfLimits } from './last-byte.ts';

const NOTHING: readonly Buffer[] = [];
/** Responses are stored under the path that made them (platform.openai.com/docs/api-reference/responses). */
const RESPONSES = /\/responses\/?$/;

/** Whose request it is: its attempt, which is what the upstream calls. */
export interface Sending extends UpstreamEvents {
  /** It has ended, and with it its exchange. */
  readonly isOver: boolean;
  /** No more of the upload is taken until `onUploadDrained`. */
  uploadFull(): void;
  /** All of the request is known, and it is none that may proceed. Nothing follows. */
  refused(why: Rejection): void;
}

/**
 * An attempt's request on its way out: past the metering, which may put an option in, and with a pool key past the policy,
 * before its last byte is let go.
 */
export class OutgoingRequest {
  readonly #context: AttemptContext;
  /** Until the request has left: an answer may stream for an hour behind it. */
  #asked: Asked;
  readonly method: string;
  target: AttemptTarget;
  /** Only with a pool key. */
  readonly #metering: Metering | null;
  readonly #attempt: Sending;
  /** Made when there is something to send. */
  call: UpstreamCall | null = null;
  /** Of the content, as the client sent it. */
  bytes = 0;
  /** Everything of the request was given, or the answer came without it. */
  isWhole = false;
  wasRefused = false;
  /** Of a caller's own key: the content asked for a stream, as far as anybody looked. */
  asksForStream = false;
  /** What it has taken of its key's limits. */
  grant: LimitGrant | null = null;
  /** What it may cost, taken of its key's budgets. */
  reservation: Reservation | null = null;

  constructor(
    context: AttemptContext,
    asked: Asked,
    target: AttemptTarget,
    metering: Metering | null,
    attempt: Sending,
  ) {
    this.#context = context;
    this.#asked = asked;
    this.method = asked.method;
    this.target = target;
    this.#metering = metering;
    this.#attempt = attempt;
  }

  /** Sends a request that is whole with its head. */
  begin(): void {
    const { contentLength } = this.#asked.framing;
    this.isWhole = true;
    if (this.#isRefused()) return;
    this.#open(contentLength < 0 ? 'none' : 'sized', contentLength, NOTHING, true);
  }

  /** The content's next piece, lent; the request leaves with the first one. */
  body(piece: Buffer, last: boolean): void {
    this.bytes += piece.length;
    if (this.#metering === null && !this.asksForStream) this.asksForStream = asksForStream(piece);
    if (last) this.isWhole = true;
    if (this.call === null) {
      this.#openWith(piece, last);
      return;
    }
    if (last) this.#forwardLast(this.call, piece);
    else this.#forward(this.call, piece, false);
  }

  /**
   * A content whose beginning was read while it was gathered; the request leaves with it.
   * @param scan this attempt's from now on
   * @param content as it leaves, lent
   * @param bytes of it as the client sent them
   */
  goOnWith(scan: RequestScan, content: FirstContent, bytes: number, last: boolean): void {
    const { chunked, contentLength } = this.#asked.framing;
    this.bytes += bytes;
    this.isWhole = last;
    this.#metering?.goOnWith(scan, last);
    if (last) {
      if (!this.#isRefused()) this.#open('sized', content.bytes, content.pieces, true);
      return;
    }
    this.#attempt.uploadFull();
    const length = this.#metering?.lengthFor(contentLength) ?? contentLength;
    this.#open(chunked ? 'chunked' : 'sized', length, content.pieces, false);
  }

  /** Before anything of it is sent: the account that it goes to. */
  useKey(poolKey: PoolKey): void {
    const { managed } = this.target;
    if (managed !== null) this.target = { ...this.target, managed: { ...managed, poolKey } };
  }

  /** A provider cannot begin to work without the last piece: it is let go when all of the request is known. */
  #forwardLast(call: UpstreamCall, piece: Buffer): void {
    if (this.#metering === null) {
      this.#forward(call, piece, true);
    } else {
      const content = new FirstContent();
      this.#forward(content, piece, true);
      if (this.#isRefused()) return;
      for (const one of content.pieces) call.push(one);
    }
    call.end();
  }

  /** Takes a request back that must not become whole. */
  #isRefused(): boolean {
    const why =
      this.#metering?.refusal(this.#mayFollow) ??
      modelRefusal(this.target, this.#metering, this.bytes) ??
      deleteRefusal(this.target, this.method, this.#context.background) ??
      this.#overBudget() ??
      this.#overLimit();
    if (why === null) return false;
    this.#attempt.refused(why);
    return true;
  }

  get #mayFollow(): boolean {
    const { managed, path } = this.target;
    const isStored = managed?.keepsState === true && RESPONSES.test(path);
    return isStored && this.#context.background.hasRoom;
  }

  /** Before the limits: what a refused request takes of them is not all given back. */
  #overBudget(): Rejection | null {
    const reserved = reservedSpending(this.target, this.#metering, this.bytes);
    if (reserved === null || 'code' in reserved) return reserved;
    this.reservation = reserved;
    return null;
  }

  /** What it takes is given back when the attempt has ended. */
  #overLimit(): Rejection | null {
    const taken = takenOfLimits(this.target, this.method, this.#metering, this.bytes);
    if (taken === null || 'code' in taken) return taken;
    this.grant = taken;
    return null;
  }

  /** Often the first piece is all of the content, and then it leaves in one write with the head. */
  #openWith(piece: Buffer, last: boolean): void {
    const { chunked, contentLength } = this.#asked.framing;
    if (last && !chunked && this.#metering === null) {
      this.#open('sized', piece.length, [piece], true);
      return;
    }
    const content = new FirstContent();
    if (last && !chunked) {
      this.#metering?.whole(piece, content);
      if (!this.#isRefused()) this.#open('sized', content.bytes, content.pieces, true);
    } else {
      this.#metering?.begin();
      this.#forward(content, piece, last);
      if (last && this.#isRefused()) return;
      const length = this.#metering?.lengthFor(contentLength) ?? contentLength;
      this.#open(chunked ? 'chunked' : 'sized', length, content.pieces, last);
    }
  }

  #forward(upload: PieceSink, piece: Buffer, last: boolean): void {
    const taken =
      piece.length === 0 || (this.#metering?.request(piece, upload) ?? upload.push(piece));
    if (last) this.#metering?.requestEnded(upload);
    else if (!taken) this.#attempt.uploadFull();
  }

  /** @param contentLength of the content as it leaves; only for `sized` */
  #open(
    coding: RequestCoding,
    contentLength: number,
    content: readonly Buffer[],
    whole: boolean,
  ): void {
    const { target, managed, provider } = this.target;
    const { method, fields } = this.#asked;
    this.#asked = LEFT;
    const poolKey = managed?.poolKey ?? null;
    const owner =
      managed === null ? '' : `${managed.identity.tenantText}/${managed.identity.vpcText}`;
    const request = { method, target, fields, poolKey, owner, coding, contentLength };
    const transport = this.#context.transports.of(provider);
    const call = transport.open(request, content, whole, this.#attempt);
    this.call = call;
    // What it told while it was opened may have ended the exchange.
    if (this.#attempt.isOver) call.abort();
  }
}
