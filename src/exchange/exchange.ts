/**
 * The conductor: one request from its admission to its settlement, readable from top to bottom. It knows the client's
 * side; how the answer is come by is its lane's. Everything it is told arrives as a call: from the client
 * (`ClientEvents`), from the lane (`Answer`). Forward go bytes; back go only pressure and abort.
 */

// The globals of these names are getters, which optimised code calls each time (0.3 us a request, all told).
import { performance } from 'node:perf_hooks';
import type { Admittance, Admitted } from '../admit/admission.ts';
import { tooLarge } from '../admit/gates.ts';
import {
  type ClientEvents,
  NO_BODY,
  type RequestBody,
  type RequestHead,
  type ResponseWriter,
} from '../edge/door.ts';
import type { RepeatWatch } from '../policy/repeats.ts';
import {
  type Dialect,
  REJECTIONS,
  type Rejection,
  type RejectionCode,
  rejection,
  renderErrorEvent,
  renderRejection,
} from '../rejection.ts';
import type { Outcome } from '../settle/metrics.ts';
import type { Payer } from '../settle/refusal-tally.ts';
import { type Account, NO_ACCOUNT, type Settlement, type Settler } from '../settle/settle.ts';
import type { UpstreamFailure } from '../upstream/failure.ts';
import { fieldValue } from '../wire/fields.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import { headAsksForStream } from '../wire/stream-wish.ts';
import type { Asked } from './attempt-terms.ts';
import { type CacheContext, CachedLane, cachedRequest } from './cached-lane.ts';
import { Delivery } from './delivery.ts';
import { REQUEST, RESPONSE, type RequestState, type ResponseState } from './exchange-state.ts';
import { type AnswerKeeper, type GuardContext, GuardedLane } from './guarded-lane.ts';
import type { Answer, Lane } from './lane.ts';
import type { Recalls } from './recalls.ts';
import { RelayLane } from './relay-lane.ts';
import { type RoutedContext, RoutedLane } from './routed-lane.ts';
import { UnpackingLane } from './unpacking-lane.ts';

/** What every exchange of a worker shares. */
export interface WorkerContext extends Admittance, RoutedContext, GuardContext, CacheContext {
  readonly settler: Settler;
  /** The gateway is stopping: each answer says that its connection serves no other. */
  readonly draining: boolean;
  /** Not null: what still runs is being ended by us, and not by its clients, with this outcome. */
  readonly closing: Outcome | null;
  /** Whether clients come by TLS. */
  readonly tls: boolean;
  /** Questions to the ledger; null where there is none. */
  readonly recalls: Recalls | null;
  nextRequestId(): string;
}

/** Paths whose event streams are those of OpenAI's Responses API: an answer, or a stored one that is read again. */
const OF_RESPONSES = /\/responses(?:\/[A-Za-z0-9_-]+)?\/?$/;

const NO_FIELDS: readonly string[] = [];
const NO_FRAMING: RequestFraming = {
  contentLength: -1,
  chunked: false,
  fault: null,
  lengthMissing: false,
};

export class Exchange implements ClientEvents, Answer {
  readonly #context: WorkerContext;
  readonly #method: string;
  readonly #path: string;
  /** Until the answer's head was told: a stream may stay open for an hour behind it. */
  #head: RequestHead | null;
  /** As long as something of it may come. */
  #body: RequestBody;
  readonly #writer: ResponseWriter;
  readonly #requestId: string;
  readonly #beganMs: number;
  /** Whose error shapes the caller reads. */
  readonly #dialect: Dialect;
  readonly #payer: Payer | null;
  readonly #lane: Lane;
  /** Only where its key may not send the same again and again. */
  readonly #repeats: RepeatWatch | null;

  #requestState: RequestState = REQUEST.reading;
  #responseState: ResponseState = RESPONSE.waiting;
  /** Made with the response's head. */
  #delivery: Delivery | null = null;
  #bytesIn = 0;
  #status = 0;
  #rejection: RejectionCode | null = null;
  #failure: UpstreamFailure | null = null;
  #traceparent: string | null = null;
  /** Field lines for a browser's page; null before they were asked for. */
  #corsLines: string | null = null;
  #firstByteMs: number | null = null;
  /** Own time until the request left, in milliseconds. */
  #overheadMs = 0;
  #hasBegun = false;
  /** A bug was met: what is left of the exchange is its end. */
  #isBroken = false;
  #settled = false;

  /** @param beganMs when the request came; of `performance.now()` */
  constructor(
    context: WorkerContext,
    admitted: Admitted,
    head: RequestHead,
    body: RequestBody,
    writer: ResponseWriter,
    requestId: string,
    beganMs: number,
  ) {
    this.#context = context;
    this.#method = head.method;
    this.#path = head.path;
    this.#head = head;
    this.#body = body;
    this.#writer = writer;
    this.#requestId = requestId;
    this.#beganMs = beganMs;
    this.#dialect = admitted.dialect;
    const { managed, routed } = admitted;
    this.#payer = managed?.identity ?? routed?.identity ?? null;
    const coding = managed?.coding ?? routed?.coding ?? null;
    const virtual = managed ?? routed;
    const repeats = virtual?.policy.repeats ?? null;
    this.#repeats =
      repeats === null || virtual?.metering === 'free' ? null : repeats.watch(head.path);
    this.#lane =
      coding === null
        ? this.#laneOf(admitted, head, this)
        : new UnpackingLane(coding, context.maxRequestBodyBytes, head, this, (asked, answer) =>
            this.#laneOf(admitted, asked, answer),
          );
  }

  #laneOf(admitted: Admitted, asked: Asked, answer: Answer): Lane {
    const cached = cachedRequest(admitted, this.#method);
    return cached === null
      ? this.#guardedLane(admitted, asked, answer, null)
      : new CachedLane(this.#context, cached, asked, answer, (unkept, keeper) =>
          this.#guardedLane(admitted, unkept, keeper, keeper),
        );
  }

  #guardedLane(
    admitted: Admitted,
    asked: Asked,
    answer: Answer,
    keeper: AnswerKeeper | null,
  ): Lane {
    const { routed, managed } = admitted;
    const virtual = managed ?? routed;
    const guards = virtual?.policy.guards ?? null;
    // A list of models is nobody's text.
    const isList = virtual?.metering === 'free' && asked.method !== 'POST';
    if (virtual === null || guards === null || isList)
      return this.#ownLane(admitted, asked, answer);
    return new GuardedLane(
      this.#context,
      guards,
      { tenant: virtual.identity.tenantText, requestId: this.#requestId },
      asked,
      answer,
      keeper,
      (guarded, heard) => this.#ownLane(admitted, guarded, heard),
    );
  }

  #ownLane(admitted: Admitted, asked: Asked, answer: Answer): Lane {
    const { routed, managed } = admitted;
    if (routed === null)
      return new RelayLane(this.#context, asked, admitted, managed?.namesState === true, answer);
    this.#traceparent = fieldValue(this.#fields(), 'traceparent');
    return new RoutedLane(this.#context, asked, routed, answer, {
      requestId: this.#requestId,
      traceparent: this.#traceparent,
      payer: this.#payer,
    });
  }

  /** What has no body is sent at once, the rest with its body's first piece. */
  begin(): void {
    const { chunked, contentLength } = this.#head?.framing ?? NO_FRAMING;
    if (chunked || contentLength > 0) {
      this.#overheadMs = performance.now() - this.#beganMs;
      return;
    }
    this.#requestState = this.#requestState.last;
    this.#hasBegun = true;
    this.#lane.begin();
    this.#overheadMs = performance.now() - this.#beganMs;
    this.#context.metrics.observeOverhead(this.#overheadMs / 1_000);
  }

  // ---- the client --------------------------------------------------------------------------------------------------

  onBodyChunk(chunk: Buffer, last: boolean): void {
    // When a body does not come with its head, the front end says so with a piece of nothing: waiting for the real one
    // lets head and body leave in one write.
    if (this.#requestState !== REQUEST.reading || (chunk.length === 0 && !last)) return;
    this.#bytesIn += chunk.length;
    const limitBytes = this.#context.maxRequestBodyBytes;
    if (limitBytes > 0 && this.#bytesIn > limitBytes) {
      this.refused(tooLarge(limitBytes));
      return;
    }
    const repeated = this.#repeats === null ? null : this.#repeats.push(chunk, last);
    if (repeated !== null) {
      this.#lane.takeBack();
      this.refused(repeated);
      return;
    }
    if (last) this.#requestState = this.#requestState.last;
    if (this.#body.isOver) this.#body = NO_BODY;
    if (this.#hasBegun) this.#lane.body(chunk, last);
    else this.#beginWith(chunk, last);
  }

  onUploadSilent(): void {
    // Who is being answered need not send the rest: now only the provider's silence is a fault.
    if (this.#delivery === null) this.refused(rejection('upload_timeout'));
  }

  onUploadRefused(): void {
    this.refused(rejection('overloaded', 'The provider does not read its uploads.'));
  }

  onUploadStalled(): void {
    this.#lane.uploadStalled();
  }

  onWriterDrained(): void {
    this.#lane.writerDrained();
  }

  onClientGone(): void {
    this.#requestState = this.#requestState.gone;
    if (this.#responseState === RESPONSE.streaming && this.#context.closing === null) {
      // It may end in this turn.
      this.#responseState = this.#responseState.left;
      if (this.#lane.clientLeft()) return;
    }
    this.#responseState = this.#responseState.gone;
    this.#lane.abort();
    this.#settle(this.#context.closing ?? 'client_gone');
  }

  onResponseOver(): void {
    if (this.#responseState === RESPONSE.complete) this.#settle('complete');
    else if (this.#responseState === RESPONSE.truncated) this.#settle(this.#outcomeOfFailure());
    // The last byte of a sized body is out; the upstream's own end follows, once it may go on.
    else this.#lane.writerDrained();
  }

  #beginWith(chunk: Buffer, last: boolean): void {
    const beganMs = performance.now();
    this.#hasBegun = true;
    this.#lane.body(chunk, last);
    this.#overheadMs += performance.now() - beganMs;
    this.#context.metrics.observeOverhead(this.#overheadMs / 1_000);
  }

  // ---- the lane ----------------------------------------------------------------------------------------------------

  uploadFull(): void {
    this.#body.pause();
  }

  uploadDrained(): void {
    this.#body.resume();
  }

  head(answer: ResponseHead, followed: boolean): void {
    const { head, size, eventStream, status } = answer;
    this.#responseState = this.#responseState.head;
    this.#status = status;
    if (eventStream) this.#context.metrics.streamBegan();
    this.#delivery = new Delivery(
      this.#writer,
      eventStream,
      eventStream && OF_RESPONSES.test(this.#path),
    );
    // What comes under this name may be one JSON text, which a comment would break: an error mostly is, and so is what
    // some servers answer to whoever did not ask for a stream.
    const mayComment = eventStream && status === 200 && this.#isStreamAsked(answer);
    this.#writer.start(head + this.#ownLines(), size, followed, mayComment);
    this.#traceparent = fieldValue(this.#fields(), 'traceparent');
    this.#head = null;
  }

  #isStreamAsked({ streamAsked }: ResponseHead): boolean {
    const query = this.#head?.query ?? '';
    const asked = query === '' ? this.#path : `${this.#path}?${query}`;
    return streamAsked || headAsksForStream(asked, this.#fields());
  }

  piece(piece: Buffer, last: boolean): boolean {
    this.#firstByteMs ??= performance.now();
    const delivery = this.#delivery;
    if (delivery === null) return true;
    delivery.endFollows = last;
    return delivery.push(piece);
  }

  answered(): void {
    this.#requestState = this.#requestState.answered;
    this.#responseState = this.#responseState.end;
    if (this.#writer.open) {
      this.#giveBack();
      this.#writer.end();
    } else this.#settle(this.#outcomeOfClosed());
  }

  failed(failure: UpstreamFailure, detail: string): void {
    this.#failure = failure;
    this.#requestState = this.#requestState.failed;
    if (!this.#writer.open) {
      // The last byte of a sized body is with the client already: to it nothing is missing.
      this.#responseState = this.#responseState.end;
      this.#settle(this.#outcomeOfClosed());
    } else if (this.#writer.started) {
      this.#cut(this.#errorEvent(failure, detail));
    } else if (failure.told !== undefined) {
      this.#reject(failure.told, this.#outcomeOfFailure());
    } else {
      const ours = failure.rejection === 'overloaded' ? 'retry-after: 1\r\n' : '';
      const lines = failure.fieldLines ?? ours;
      this.#reject(rejection(failure.rejection, detail, lines), this.#outcomeOfFailure());
    }
  }

  /** @returns null where none may stand */
  #errorEvent({ rejection: code, told }: UpstreamFailure, detail: string): Buffer | null {
    const delivery = this.#delivery;
    if (delivery?.atEventBoundary !== true) return null;
    return renderErrorEvent(
      told?.code ?? code,
      told?.detail ?? detail,
      this.#dialect,
      this.#requestId,
      told?.members ?? '',
      delivery.nextNumber,
    );
  }

  refused(why: Rejection): void {
    this.#requestState = this.#requestState.over;
    this.#lane.abort();
    if (this.#writer.started) {
      this.#rejection = why.code;
      this.#cut(null);
    } else {
      // What came behind the body in the same segment would be read as the next request, and where two parsers see the
      // body end at different places it is a part of this one: an answer that closes is not followed by another.
      this.#reject(why, 'rejected', true);
    }
  }

  /** A bug ends this exchange and no other: told by the table or cut, settled once, counted and logged. */
  onBroken(error: unknown): void {
    this.#context.report(error);
    if (this.#settled) return;
    this.#isBroken = true;
    this.#requestState = this.#requestState.failed;
    try {
      this.#lane.abort();
      if (this.#writer.open && !this.#writer.started)
        this.#reject(rejection('internal_error'), 'gateway_error');
    } catch (again) {
      this.#context.report(again);
    }
    this.#responseState = this.#responseState.failed;
    // A cut would wait for a slow client, by means that may be what broke.
    if (this.#writer.open) this.#writer.destroy();
    this.#settle('gateway_error');
  }

  // ---- ends --------------------------------------------------------------------------------------------------------

  /** The gateway's own answer. Only while no byte of a head has left. */
  #reject(rejected: Rejection, outcome: Outcome, isLast = false): void {
    const { head, body, closes } = renderRejection(rejected, this.#dialect, this.#requestId);
    this.#requestState = this.#requestState.over;
    this.#responseState = this.#responseState.unanswered;
    this.#status = REJECTIONS[rejected.code].status;
    this.#rejection = rejected.code;
    this.#giveBack();
    this.#writer.respond(head + this.#cors(), body, this.#method === 'HEAD', closes || isLast);
    this.#settle(outcome);
  }

  /** The message cannot be completed: the client must see that it was not. */
  #cut(event: Buffer | null): void {
    this.#responseState = this.#responseState.failed;
    this.#giveBack();
    this.#writer.cut(event);
  }

  #giveBack(): void {
    try {
      this.#lane.giveBack(performance.now() - this.#beganMs);
    } catch (error) {
      // Its settlement tries again.
      this.#context.report(error);
    }
  }

  /** Of an answer that ends when nothing can be told any more: the client has all of it, or left it. */
  #outcomeOfClosed(): Outcome {
    return this.#responseState === RESPONSE.gone ? 'client_gone' : 'complete';
  }

  #outcomeOfFailure(): Outcome {
    if (this.#isBroken || this.#failure?.kind === 'internal') return 'gateway_error';
    if (this.#failure === null) return 'rejected';
    if (this.#failure.kind === 'stopped') return 'budget_stopped';
    if (this.#failure.kind === 'guarded') return 'guard_stopped';
    if (this.#failure.kind === 'timeout' || this.#failure.rejection === 'upstream_timeout')
      return 'timeout';
    return this.#responseState === RESPONSE.truncated ? 'upstream_cut' : 'upstream_error';
  }

  /** Field lines of the gateway itself. */
  #ownLines(): string {
    const id = `x-sluice-request-id: ${this.#requestId}${this.#cors()}`;
    // RFC 9112 §9.6: said when the connection will not serve another request. An upload that was answered before it
    // ended is read to its end and thrown away, so the client had better not send the next one behind it.
    const closes =
      this.#head?.closes === true ||
      this.#context.draining ||
      this.#requestState === REQUEST.reading;
    return closes ? `connection: close\r\n${id}` : id;
  }

  #fields(): readonly string[] {
    return this.#head?.fields ?? NO_FIELDS;
  }

  #cors(): string {
    this.#corsLines ??= this.#context.cors.lines(this.#fields());
    return this.#corsLines;
  }

  #settle(outcome: Outcome): void {
    if (this.#settled) return;
    this.#settled = true;
    const settlement: Settlement = {
      requestId: this.#requestId,
      traceparent: this.#traceparent ?? fieldValue(this.#fields(), 'traceparent'),
      method: this.#method,
      path: this.#path,
      payer: this.#payer,
      status: this.#status,
      outcome,
      rejection: this.#rejection,
      eventStream: this.#delivery?.eventStream === true,
      bytesIn: this.#bytesIn,
      bytesOut: this.#writer.bytesOut,
      ttfbMs: this.#firstByteMs === null ? null : this.#firstByteMs - this.#beganMs,
      durationMs: performance.now() - this.#beganMs,
    };
    this.#context.settler.settle(settlement, this.#account(settlement));
  }

  #account(settlement: Settlement): Account {
    try {
      return this.#lane.account(settlement);
    } catch (error) {
      // Who does not settle is in flight for ever.
      this.#context.report(error);
      return NO_ACCOUNT;
    }
  }
}
