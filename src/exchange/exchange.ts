/**
 * The conductor: one request from its first byte to its settlement, readable from top to bottom. It is the only file
 * that knows both sides. Everything it is told arrives as a call: from the client's side (`ClientEvents`), from the
 * upstream's (`UpstreamEvents`). Forward go bytes; back go only pressure and abort.
 */

// The globals of these names are getters, which optimised code calls each time (0.3 us a request, all told).
import { performance } from 'node:perf_hooks';
import { type Admittance, type Admitted, tooLarge } from '../admit/admit.ts';
import type { ClientEvents, RequestBody, RequestHead, ResponseWriter } from '../edge/door.ts';
import { Metering } from '../meter/metering.ts';
import { leaksKey, withoutKey } from '../providers/pool-keys.ts';
import {
  REJECTIONS,
  type Rejection,
  type RejectionCode,
  rejection,
  renderErrorEvent,
  renderRejection,
} from '../rejection.ts';
import type { Outcome, WorkerMetrics } from '../settle/metrics.ts';
import type { Settlement, Settler } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import { failureDetail, type UpstreamFailure } from '../upstream/failure.ts';
import {
  FirstContent,
  type RequestCoding,
  type Transports,
  type UpstreamCall,
  type UpstreamEvents,
} from '../upstream/transport.ts';
import { fieldValue } from '../wire/fields.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import { responseHead } from '../wire/response-head.ts';
import { traceId } from '../wire/trace-context.ts';
import { Delivery } from './delivery.ts';
import {
  nextRequestState,
  nextResponseState,
  type RequestState,
  type ResponseState,
} from './exchange-state.ts';

/** What every exchange of a worker shares. */
export interface WorkerContext extends Admittance {
  readonly transports: Transports;
  readonly metrics: WorkerMetrics;
  readonly settler: Settler;
  readonly scanner: JsonScanner;
  /** The grace period is over: what is still running is being closed by us, not by its clients. */
  readonly closing: boolean;
  nextRequestId(): string;
  /** A bug was met, and one request ended by it: for the log. */
  report(error: unknown): void;
}

const NOTHING: readonly Buffer[] = [];

const STALLED: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'UPLOAD_STALLED',
};

export class Exchange implements ClientEvents, UpstreamEvents {
  readonly #context: WorkerContext;
  readonly #head: RequestHead;
  readonly #body: RequestBody;
  readonly #writer: ResponseWriter;
  readonly #requestId: string;
  readonly #admitted: Admitted;
  readonly #beganMs: number;

  #requestState: RequestState = 'reading';
  #responseState: ResponseState = 'waiting';
  /** Made when there is something to send upstream. */
  #call: UpstreamCall | null = null;
  /** Only for managed requests. */
  readonly #metering: Metering | null;
  /** Made with the response's head. */
  #delivery: Delivery | null = null;
  #bytesIn = 0;
  #status = 0;
  #upstreamStatus: number | null = null;
  #rejection: RejectionCode | null = null;
  #failure: UpstreamFailure | null = null;
  #firstByteMs: number | null = null;
  /** Own time until the request left, in milliseconds. */
  #overheadMs = 0;
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
    this.#admitted = admitted;
    this.#head = head;
    this.#body = body;
    this.#writer = writer;
    this.#requestId = requestId;
    this.#beganMs = beganMs;
    const { managed, provider } = admitted;
    this.#metering =
      managed === null ? null : new Metering(context.scanner, managed.metering, provider);
  }

  /** What has no body is sent at once, the rest with its body's first piece. */
  begin(): void {
    const { chunked, contentLength } = this.#head.framing;
    if (!chunked && contentLength <= 0) {
      this.#requestState = nextRequestState(this.#requestState, 'last');
      this.#open(contentLength < 0 ? 'none' : 'sized', contentLength, NOTHING, true);
      this.#overheadMs = performance.now() - this.#beganMs;
      this.#context.metrics.observeOverhead(this.#overheadMs / 1_000);
    } else {
      this.#overheadMs = performance.now() - this.#beganMs;
    }
  }

  // ---- the client's side -------------------------------------------------------------------------------------------

  onBodyChunk(chunk: Buffer, last: boolean): void {
    // When a body does not come with its head, the front end says so with a piece of nothing: waiting for the real one
    // lets head and body leave in one write.
    if (this.#requestState !== 'reading' || (chunk.length === 0 && !last)) return;
    this.#bytesIn += chunk.length;
    const limitBytes = this.#context.maxRequestBodyBytes;
    if (limitBytes > 0 && this.#bytesIn > limitBytes) {
      this.#refuseBody(limitBytes);
      return;
    }
    if (last) this.#requestState = nextRequestState(this.#requestState, 'last');
    if (this.#call === null) {
      this.#sendFirst(chunk, last);
      return;
    }
    this.#forward(this.#call, chunk, last);
    if (!last) return;
    this.#metering?.requestEnded(this.#call);
    this.#call.end();
  }

  onUploadStalled(): void {
    // A provider that has begun to answer need not read the rest: now only its silence is a fault.
    if (this.#delivery !== null) return;
    this.#call?.abort();
    this.onUpstreamFailure(STALLED);
  }

  onWriterDrained(): void {
    this.#call?.resume();
  }

  onClientGone(): void {
    this.#requestState = nextRequestState(this.#requestState, 'gone');
    this.#responseState = nextResponseState(this.#responseState, 'gone');
    this.#call?.abort();
    this.#settle(this.#context.closing ? 'drained' : 'client_gone');
  }

  onResponseOver(): void {
    if (this.#responseState === 'complete') this.#settle('complete');
    else if (this.#responseState === 'truncated') this.#settle(this.#outcomeOfFailure());
    // The last byte of a sized body is out; the upstream's own end follows, once it may go on.
    else this.#call?.resume();
  }

  // ---- sending -----------------------------------------------------------------------------------------------------

  /** The body's first piece: often it is all of it, and then head and body leave in one write. */
  #sendFirst(chunk: Buffer, last: boolean): void {
    const beganMs = performance.now();
    const { chunked, contentLength } = this.#head.framing;
    if (last && !chunked && this.#metering === null) {
      this.#open('sized', chunk.length, [chunk], true);
    } else {
      const content = new FirstContent();
      if (last && !chunked) {
        this.#metering?.whole(chunk, content);
        this.#open('sized', content.bytes, content.pieces, true);
      } else {
        const length = this.#metering?.begin(chunked ? -1 : contentLength) ?? contentLength;
        this.#forward(content, chunk, last);
        if (last) this.#metering?.requestEnded(content);
        this.#open(chunked ? 'chunked' : 'sized', length, content.pieces, last);
      }
    }
    this.#overheadMs += performance.now() - beganMs;
    this.#context.metrics.observeOverhead(this.#overheadMs / 1_000);
  }

  #forward(upload: PieceSink, chunk: Buffer, last: boolean): void {
    const taken =
      chunk.length === 0 || (this.#metering?.request(chunk, upload) ?? upload.push(chunk));
    if (!taken && !last) this.#body.pause();
  }

  /** @param contentLength of the content as it leaves; only for `sized` */
  #open(
    coding: RequestCoding,
    contentLength: number,
    content: readonly Buffer[],
    whole: boolean,
  ): void {
    const { target, managed, provider } = this.#admitted;
    const { method, fields } = this.#head;
    const poolKey = managed?.poolKey ?? null;
    const request = { method, target, fields, poolKey, coding, contentLength };
    const transport = this.#context.transports.of(provider);
    this.#call = transport.open(request, content, whole, this);
  }

  onRequestRetried(): void {
    this.#context.metrics.retried(this.#admitted.provider.index);
  }

  onUploadDrained(): void {
    this.#body.resume();
  }

  /** The running total exceeds the cap: whatever was sent upstream is taken back. */
  #refuseBody(limitBytes: number): void {
    this.#requestState = nextRequestState(this.#requestState, 'over');
    this.#call?.abort();
    if (this.#writer.started) {
      this.#rejection = 'body_too_large';
      this.#cut(null);
    } else {
      this.#reject(tooLarge(limitBytes), 'rejected');
    }
  }

  // ---- the upstream's side -----------------------------------------------------------------------------------------

  onResponseHead(
    status: number,
    reason: string,
    fields: readonly string[],
    followed: boolean,
  ): void {
    const { provider, managed } = this.#admitted;
    this.#responseState = nextResponseState(this.#responseState, 'head');
    this.#status = status;
    this.#upstreamStatus = status;
    this.#context.metrics.responded(provider.index, status);
    const { method } = this.#head;
    const own = this.#ownLines();
    let head = responseHead(method, status, reason, fields, own);
    if (managed !== null && leaksKey(head.head, fields, managed.poolKey))
      head = responseHead(
        method,
        status,
        managed.poolKey.isIn(reason) ? '' : reason,
        withoutKey(fields, managed.poolKey),
        own,
      );
    if (head.eventStream) this.#context.metrics.streamBegan();
    this.#delivery = new Delivery(this.#writer, head.eventStream);
    const shrinks = this.#metering?.responseBegan(status, head.format) ?? false;
    const size = shrinks && head.size !== 'none' ? 'chunked' : head.size;
    this.#writer.start(head.head, size, followed);
  }

  onResponseChunk(chunk: Buffer, last: boolean): void {
    this.#firstByteMs ??= performance.now();
    const delivery = this.#delivery;
    if (delivery === null) return;
    delivery.endFollows = last;
    const more = this.#metering?.response(chunk, delivery, last) ?? delivery.push(chunk);
    if (!more) this.#call?.pause();
  }

  onResponseEnd(): void {
    if (this.#delivery !== null) this.#metering?.responseEnded(this.#delivery);
    this.#requestState = nextRequestState(this.#requestState, 'answered');
    this.#responseState = nextResponseState(this.#responseState, 'end');
    if (this.#writer.open) this.#writer.end();
    else this.#settle('complete');
  }

  onUpstreamFailure(failure: UpstreamFailure): void {
    const { provider } = this.#admitted;
    this.#failure = failure;
    this.#requestState = nextRequestState(this.#requestState, 'failed');
    if (failure.kind === 'connect') this.#context.metrics.connectFailed(provider.index);
    if (!this.#writer.open) {
      // The last byte of a sized body is with the client already: to it nothing is missing.
      this.#responseState = nextResponseState(this.#responseState, 'end');
      this.#settle('complete');
    } else if (this.#writer.started) {
      const event = this.#delivery?.atEventBoundary === true;
      this.#cut(
        event ? renderErrorEvent(failure.rejection, this.#admitted.dialect, this.#requestId) : null,
      );
    } else {
      const detail = failureDetail(failure, provider.name);
      this.#reject(rejection(failure.rejection, detail), this.#outcomeOfFailure());
    }
  }

  /** The gateway itself failed while it admitted or sent the request. */
  fail(): void {
    this.#call?.abort();
    if (this.#writer.started) this.#cut(null);
    else if (!this.#settled) this.#reject(rejection('internal_error'), 'rejected');
  }

  // ---- ends --------------------------------------------------------------------------------------------------------

  /** The gateway's own answer. Only while no byte of a head has left. */
  #reject(rejected: Rejection, outcome: Outcome): void {
    const { head, body, closes } = renderRejection(
      rejected,
      this.#admitted.dialect,
      this.#requestId,
    );
    this.#requestState = nextRequestState(this.#requestState, 'over');
    this.#responseState = nextResponseState(this.#responseState, 'unanswered');
    this.#status = REJECTIONS[rejected.code].status;
    this.#rejection = rejected.code;
    this.#writer.respond(head, body, this.#head.method === 'HEAD', closes);
    this.#settle(outcome);
  }

  /** The message cannot be completed: the client must see that it was not. */
  #cut(event: Buffer | null): void {
    this.#responseState = nextResponseState(this.#responseState, 'failed');
    this.#writer.cut(event);
  }

  #outcomeOfFailure(): Outcome {
    if (this.#failure === null) return 'rejected';
    if (this.#failure.kind === 'timeout' || this.#failure.rejection === 'upstream_timeout')
      return 'timeout';
    return this.#responseState === 'truncated' ? 'upstream_cut' : 'upstream_error';
  }

  /** Field lines of the gateway itself. */
  #ownLines(): string {
    const id = `x-sluice-request-id: ${this.#requestId}`;
    // RFC 9112 §9.6: said when the connection will not serve another request. An upload that was answered before it
    // ended is read to its end and thrown away, so the client had better not send the next one behind it.
    const closes = this.#head.closes || this.#context.draining || this.#requestState === 'reading';
    return closes ? `connection: close\r\n${id}` : id;
  }

  #settle(outcome: Outcome): void {
    if (this.#settled) return;
    this.#settled = true;
    const settlement: Settlement = {
      requestId: this.#requestId,
      traceparent: fieldValue(this.#head.fields, 'traceparent'),
      method: this.#head.method,
      path: this.#head.path,
      provider: this.#admitted.provider,
      status: this.#status,
      outcome,
      rejection: this.#rejection,
      failure: this.#failure?.code ?? null,
      eventStream: this.#delivery?.eventStream === true,
      bytesIn: this.#bytesIn,
      bytesOut: this.#writer.bytesOut,
      ttfbMs: this.#firstByteMs === null ? null : this.#firstByteMs - this.#beganMs,
      durationMs: performance.now() - this.#beganMs,
    };
    this.#context.settler.settle(settlement, this.#usageFact(settlement));
  }

  /** Null for what nobody is billed for: a caller's own key, or a request that never reached its provider. */
  #usageFact(settlement: Settlement): UsageFact | null {
    const { managed, provider, dialect, path } = this.#admitted;
    if (this.#metering === null || managed === null) return null;
    const whole = this.#requestState === 'sent' || this.#requestState === 'unread';
    const usage = this.#metering.finish(whole ? this.#bytesIn : 0);
    if (this.#call?.reached !== true) return null;
    const { tenantText, vpcText, keyText } = managed.identity;
    return {
      requestId: settlement.requestId,
      traceId: traceId(settlement.traceparent),
      dialect,
      tenantId: tenantText,
      vpcId: vpcText,
      keyId: keyText,
      provider: provider.name,
      endpoint: path,
      model: usage.model,
      requestedModel: usage.requestedModel,
      stream: usage.streamAsked || settlement.eventStream,
      counts: usage.counts,
      source: usage.source,
      raw: usage.raw,
      upstreamStatus: this.#upstreamStatus,
      outcome: settlement.outcome,
      bytesIn: settlement.bytesIn,
      bytesOut: settlement.bytesOut,
      ttfbMs: settlement.ttfbMs,
      durationMs: settlement.durationMs,
    };
  }
}
