import { Buffer } from 'node:buffer';
import type { Reservation } from '../budget/reservation.ts';
import { type SpendingQuestion, WAITS } from '../budget/spending.ts';
import type { Metering } from '../meter/metering.ts';
import type { LimitGrant } from '../policy/limiter.ts';
import type { PoolKey } from '../providers/pool-keys.ts';
import type { Rejection } from '../rejection.ts';
import { Deadlines, type Due } from '../ticker.ts';
import {
  FirstContent,
  type RequestCoding,
  type UpstreamCall,
  type UpstreamEvents,
} from '../upstream/transport.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import type { RequestScan } from '../wire/request-scan.ts';
import { asksForStream } from '../wire/stream-wish.ts';
import { spendingQuestion } from './attempt-spending.ts';
import { type Asked, type AttemptContext, type AttemptTarget, LEFT } from './attempt-terms.ts';
import { HeldEnd } from './held-end.ts';
import { deleteRefusal, modelRefusal, takenOfLimits } from './last-byte.ts';
import { CAP_ROOM_BYTES, capped, capsOutput, isUnlimited, padded } from './output-cap.ts';

const NOTHING: readonly Buffer[] = [];
/** Responses are stored under the path that made them (platform.openai.com/docs/api-reference/responses). */
const RESPONSES = /\/responses\/?$/;

/** How long a request waits for more of its budget to be granted to this node, and how often it looks; milliseconds. */
const GRANT_WAIT_MS = 50;
const GRANT_LOOK_MS = 4;

/** The requests of this thread that wait for a grant. */
const GRANT_WAITS = new Deadlines(GRANT_LOOK_MS);

/** A request that is whole, but for that it may not be sent yet. */
interface Kept {
  readonly coding: RequestCoding;
  readonly contentLength: number;
  /** What was not sent of its content, copied. */
  readonly pieces: readonly Buffer[];
  /** As `performance.now()` has it: until then it waits. */
  readonly untilMs: number;
}

/** Whose request it is: its attempt, which is what the upstream calls. */
export interface Sending extends UpstreamEvents {
  /** It has ended, and with it its exchange. */
  readonly isOver: boolean;
  /** No more of the upload is taken until `onUploadDrained`. */
  uploadFull(): void;
  /** All of the request is known, and it is none that may proceed. Nothing follows. */
  refused(why: Rejection): void;
  /** A bug was met while it waited. */
  onDueBroken(error: unknown): void;
}

/**
 * An attempt's request on its way out: past the metering, which may put an option in, and with a pool key past the policy,
 * before its last byte is let go.
 */
export class OutgoingRequest implements Due {
  dueSlot = -1;
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
  /** While it waits for a grant; and what it asks for then. */
  #kept: Kept | null = null;
  #question: SpendingQuestion | null = null;
  /** Bytes that were declared for a limit of the answer, and are still to be sent. */
  #room = 0;
  /** In front of the call, where something may have to be put in. */
  #heldEnd: HeldEnd | null = null;
  /** More than was declared can be sent. */
  #mayGrow = true;

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
    this.#letGo(contentLength < 0 ? 'none' : 'sized', contentLength, NOTHING);
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
    else this.#forward(this.#heldEnd ?? this.call, piece, false);
  }

  /**
   * A content whose beginning was read while it was gathered; the request leaves with it.
   * @param scan this attempt's from now on
   * @param model what stands in the content in place of what was read; null: the same
   * @param content as it leaves, lent
   * @param bytes of it as the client sent them
   */
  goOnWith(
    scan: RequestScan,
    model: string | null,
    content: FirstContent,
    bytes: number,
    last: boolean,
  ): void {
    const { chunked, contentLength } = this.#asked.framing;
    this.bytes += bytes;
    this.isWhole = last;
    this.#metering?.goOnWith(scan, model, last);
    if (last) {
      this.#letGo('sized', content.bytes, content.pieces);
      return;
    }
    this.#attempt.uploadFull();
    const length = this.#lengthFor(contentLength);
    this.#openRest(chunked ? 'chunked' : 'sized', length, content);
  }

  /** Opens a request of which more comes. */
  #openRest(coding: RequestCoding, contentLength: number, content: FirstContent): void {
    if (!capsOutput(this.target)) {
      this.#open(coding, contentLength, content.pieces, false);
      return;
    }
    const begin = new FirstContent();
    const first = new HeldEnd(begin);
    for (const piece of content.pieces) first.push(piece);
    this.#open(coding, contentLength, begin.pieces, false);
    if (this.call === null) return;
    this.#heldEnd = new HeldEnd(this.call);
    this.#heldEnd.push(first.take());
  }

  /** Of a body of which more comes: with room for what may have to be put in. */
  #lengthFor(declaredBytes: number): number {
    const length = this.#metering?.lengthFor(declaredBytes) ?? declaredBytes;
    if (length < 0 || !capsOutput(this.target) || this.#metering?.isReadable !== true)
      return length;
    this.#room = CAP_ROOM_BYTES;
    return length + CAP_ROOM_BYTES;
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
      call.end();
      return;
    }
    const content = new FirstContent();
    this.#forward(content, piece, true);
    this.#letGo('sized', 0, content.pieces);
  }

  /**
   * Sends what makes the request whole, or takes the request back. Where more of its budget may be granted to this node in a moment, it
   * waits for that.
   * @param contentLength as in `#open`, where the request is opened with it
   * @param content lent
   */
  #letGo(coding: RequestCoding, declaredBytes: number, body: readonly Buffer[]): void {
    const { content, contentLength } = capsOutput(this.target)
      ? this.#limited(declaredBytes, this.#heldEnd?.before(body) ?? body)
      : { content: body, contentLength: declaredBytes };
    const why =
      this.#metering?.refusal(this.#mayFollow()) ??
      modelRefusal(this.target, this.#metering, this.bytes) ??
      deleteRefusal(this.target, this.method, this.#context.background) ??
      this.#overBudget(true);
    if (why !== WAITS) {
      this.#finish(why, coding, contentLength, content);
      return;
    }
    const pieces: Buffer[] = [];
    for (const piece of content) pieces.push(Buffer.from(piece));
    const untilMs = performance.now() + GRANT_WAIT_MS;
    this.#kept = { coding, contentLength, pieces, untilMs };
    GRANT_WAITS.set(this, GRANT_LOOK_MS);
  }

  /** The same with a limit of its answer, where it has none. What is asked of its budget says which. */
  #limited(
    declaredBytes: number,
    body: readonly Buffer[],
  ): { readonly content: readonly Buffer[]; readonly contentLength: number } {
    const asIs = { content: padded(body, this.#room), contentLength: declaredBytes };
    const question = spendingQuestion(this.target, this.#metering, this.bytes);
    if (question === null || 'code' in question || !isUnlimited(question)) return asIs;
    const { asked } = question;
    // Where the end stands of what is not sure to be one JSON text, nobody knows.
    const mayGrow = this.#mayGrow && this.#metering?.requestReading === 'sure';
    const limited = mayGrow ? capped(this.target, question, body) : null;
    if (limited === null || asked === null) {
      this.#question = { ...question, isUncapped: true };
      return asIs;
    }
    const { tokens, content, bytes } = limited;
    this.#question = { ...question, asked: { ...asked, outputTokens: tokens } };
    if (this.#room > 0) return { ...asIs, content: padded(content, this.#room - bytes) };
    const isDeclared = this.call === null && declaredBytes >= 0;
    return { content, contentLength: isDeclared ? declaredBytes + bytes : declaredBytes };
  }

  /** More may have been granted. */
  onDue(): void {
    const kept = this.#kept;
    if (kept === null || this.#attempt.isOver) return;
    const why = this.#overBudget(performance.now() < kept.untilMs);
    if (why === WAITS) {
      GRANT_WAITS.set(this, GRANT_LOOK_MS);
      return;
    }
    this.#kept = null;
    this.#finish(why, kept.coding, kept.contentLength, kept.pieces);
  }

  onDueBroken(error: unknown): void {
    this.#attempt.onDueBroken(error);
  }

  /** @param why it may not be sent; null where its budget allows it */
  #finish(
    why: Rejection | null,
    coding: RequestCoding,
    contentLength: number,
    content: readonly Buffer[],
  ): void {
    const refusal = why ?? this.#overLimit();
    if (refusal !== null) this.#attempt.refused(refusal);
    else if (this.call === null) this.#open(coding, contentLength, content, true);
    else {
      for (const piece of content) this.call.push(piece);
      this.call.end();
    }
  }

  #mayFollow(): boolean {
    const { managed, path } = this.target;
    const isStored = managed?.keepsState === true && RESPONSES.test(path);
    return isStored && this.#context.background.hasRoom;
  }

  /** Before the limits: what a refused request takes of them is not all given back. */
  #overBudget(mayWait: boolean): Rejection | typeof WAITS | null {
    const question = this.#question ?? spendingQuestion(this.target, this.#metering, this.bytes);
    if (question === null || 'code' in question) return question;
    const reserved = this.target.managed?.policy.spending?.reserve(question, mayWait) ?? null;
    this.#question = reserved === WAITS ? question : null;
    if (reserved === null || reserved === WAITS || 'code' in reserved) return reserved;
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
      this.#letGo('sized', content.bytes, content.pieces);
    } else {
      this.#metering?.begin();
      this.#forward(content, piece, last);
      const coding = chunked ? 'chunked' : 'sized';
      if (last)
        this.#letGo(
          coding,
          this.#metering?.lengthFor(contentLength) ?? contentLength,
          content.pieces,
        );
      else this.#openRest(coding, this.#lengthFor(contentLength), content);
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
    this.#mayGrow = coding === 'chunked' || this.#room > 0;
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
