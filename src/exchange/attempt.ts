import type { KeyIdentity } from '../keys/virtual-key.ts';
import { type MeteredUsage, Metering, unmetered } from '../meter/metering.ts';
import type { TokenRatios } from '../meter/token-ratios.ts';
import type { LimitGrant } from '../policy/limiter.ts';
import type { ModelPermission } from '../policy/model-permission.ts';
import { notAllowed } from '../policy/policy-refusals.ts';
import type { EffectivePolicy } from '../policy/policy-table.ts';
import { COST_UNKNOWN, type Cost, type Pricing } from '../prices/cost.ts';
import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import { leaksKey, type PoolKey, withoutKey } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import type { Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { StateHomes } from '../stored/state-homes.ts';
import type { Due } from '../ticker.ts';
import { poolKeyRefusal, type UpstreamFailure } from '../upstream/failure.ts';
import { followable } from '../upstream/references.ts';
import {
  FirstContent,
  type RequestCoding,
  type Transports,
  type UpstreamCall,
  type UpstreamEvents,
} from '../upstream/transport.ts';
import { AnswerIds } from '../wire/answer-ids.ts';
import { isNamed } from '../wire/fields.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import { type EndingSink, KeyWatch } from '../wire/key-watch.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import type { RequestScan } from '../wire/request-scan.ts';
import { type Audience, type ResponseHead, responseHead } from '../wire/response-head.ts';
import { SecretFilter } from '../wire/secret-filter.ts';
import { ANSWER_ID } from '../wire/state-places.ts';
import { asksForStream } from '../wire/stream-wish.ts';
import { ToldErrors } from '../wire/told-errors.ts';
import { traceId } from '../wire/trace-context.ts';
import type { BackgroundAnswers } from './background-answers.ts';
import { DoubtfulRefusal } from './doubtful-refusal.ts';
import { UNSEEN_BYTES, type UnseenAnswers } from './unseen-answers.ts';

/** What the attempts of a worker share. */
export interface AttemptContext {
  readonly transports: Transports;
  readonly metrics: WorkerMetrics;
  readonly scanner: JsonScanner;
  readonly ratios: TokenRatios;
  readonly unseen: UnseenAnswers;
  readonly stored: StateHomes;
  readonly background: BackgroundAnswers;
  readonly pricing: Pricing;
  /** What pages may read is the gateway's to say, not the provider's. */
  readonly ownsCors: boolean;
  /** A bug was met, and one request ended by it: for the log. */
  report(error: unknown): void;
}

/** What an attempt reads of the client's request. The door's `RequestHead` is one. */
export interface Asked {
  readonly method: string;
  readonly fields: readonly string[];
  readonly framing: RequestFraming;
}

/** Who is asked, for what, and with which key. What admission says of a request is one. */
export interface AttemptTarget {
  readonly provider: Provider;
  /** The path asked for, without query. */
  readonly path: string;
  /** Path and query. */
  readonly target: string;
  /** Null where the caller's own key goes upstream. */
  readonly managed: {
    readonly identity: KeyIdentity;
    readonly policy: EffectivePolicy;
    readonly poolKey: PoolKey;
    readonly metering: EndpointMetering;
    /** Of the model that the request names; null: it may name any, or names none. */
    readonly permission: ModelPermission | null;
    /** The model that the path names; null: the body says it. */
    readonly pathModel: string | null;
    /** Its answer may name what the provider has stored. */
    readonly keepsState: boolean;
  } | null;
  /** What the routed lane says of it; null in the relay lane. */
  readonly routing: Routing | null;
}

/** One attempt among those of a routed request. */
interface Routing {
  /** What the caller asked for. */
  readonly requestedModel: string;
  /** Null when it was no route. */
  readonly route: string | null;
  /** From 1 on. */
  readonly attempt: number;
  /** `provider/model`. */
  readonly targetModel: string;
  /** It is asked for the rest of an answer that another one began. */
  readonly resumed: boolean;
}

/**
 * What a lane says to an answer's head. `commit`: it is the client's. `hold`: the lane keeps what comes until it knows.
 * `next`: another attempt takes its place, and this one ends here.
 */
export type Verdict = 'commit' | 'hold' | 'next';

/** @property failure null when the answer is complete */
export interface AttemptEnd {
  readonly failure: UpstreamFailure | null;
}

/** Where an attempt's answer goes: its lane. Nothing is told behind `over`, behind `next`, or once it was aborted. */
export interface AttemptSink {
  /** The attempt takes no more of the upload until `uploadDrained`. */
  uploadFull(attempt: Attempt): void;
  uploadDrained(attempt: Attempt): void;
  head(attempt: Attempt, head: ResponseHead, followed: boolean): Verdict;
  /**
   * @param piece lent: it dies with the turn
   * @param last `over` follows in the same turn
   * @returns false for no more until `resume()`
   */
  piece(attempt: Attempt, piece: Buffer, last: boolean): boolean;
  over(attempt: Attempt, end: AttemptEnd): void;
  /** The request is known, is none that may proceed, and was not sent whole. Nothing follows. */
  refused(attempt: Attempt, why: Rejection): void;
  /** A bug was met: by the attempt, which ends with it, or in one of these methods. Must not throw. */
  onBroken(attempt: Attempt, error: unknown): void;
}

const NOTHING: readonly Buffer[] = [];
const RESPONSES = /\/responses\/?$/;
/** An id that can stand in a path as it is. */
const PLAIN_ID = /^[A-Za-z0-9_-]{1,256}$/;
/** What is left of a request that was given to its call. */
export const LEFT: Asked = {
  method: '',
  fields: [],
  framing: { contentLength: -1, chunked: false, fault: null, lengthMissing: false },
};
/** RFC 9110 §15.5.4. */
const FORBIDDEN = 403;
const COMPLETE: AttemptEnd = { failure: null };
/** Other bodies have every scan that the worker can make: no fault of this one's. */
const NOT_READ = rejection('overloaded', '', 'retry-after: 1\r\n');
const STALLED: UpstreamFailure = {
  kind: 'timeout',
  rejection: 'upstream_timeout',
  code: 'UPLOAD_STALLED',
};

/**
 * One try of one target with one key: its call, its metering, its failure and its fact. It is what the upstream calls,
 * so that what comes late for an attempt that was dropped ends here, and cannot reach its successor.
 */
export class Attempt implements UpstreamEvents, PieceSink, Audience, Due {
  readonly #context: AttemptContext;
  /** Until the request has left: an answer may stream for an hour behind it. */
  #asked: Asked;
  readonly #method: string;
  #target: AttemptTarget;
  readonly #sink: AttemptSink;
  /** Only with a pool key. */
  readonly #metering: Metering | null;
  /** Made when there is something to send. */
  #call: UpstreamCall | null = null;
  #requestBytes = 0;
  /** Everything of the request was given, or the answer came without it. */
  #isRequestWhole = false;
  #wasRefused = false;
  /** Of a caller's own key: the content asked for a stream, as far as anybody looked. */
  #asksForStream = false;
  #isOver = false;
  #status: number | null = null;
  #isEventStream = false;
  /** The answer's end follows in this turn. */
  #endFollows = false;
  /** Only for what is no success and came for a pool key. */
  #filter: SecretFilter | null = null;
  /** Only for a success that came for a pool key. */
  #told: ToldErrors | null = null;
  /** A 403 whose body says whom it means, until it has. */
  #doubt: DoubtfulRefusal | null = null;
  /** Only of an answer that may name what the provider has stored. */
  #ids: AnswerIds | null = null;
  /** What the provider has stored it as; null when nothing told. */
  #storedId: string | null = null;
  #mayHaveContainers = false;
  /** Read since the client left, of an answer that is read on; else -1. */
  #unseenBytes = -1;
  /** Of an answer that was whole before it was told. */
  #billed: MeteredUsage | null = null;
  /** What it has taken of its key's limits. */
  #grant: LimitGrant | null = null;
  failure: UpstreamFailure | null = null;

  constructor(context: AttemptContext, asked: Asked, target: AttemptTarget, sink: AttemptSink) {
    this.#context = context;
    this.#asked = asked;
    this.#method = asked.method;
    this.#target = target;
    this.#sink = sink;
    const { managed, provider } = target;
    this.#metering =
      managed === null
        ? null
        : new Metering(context.scanner, context.ratios, managed.metering, provider);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  /** Sends a request that is whole with its head. */
  begin(): void {
    const { contentLength } = this.#asked.framing;
    this.#isRequestWhole = true;
    if (this.#isRefused()) return;
    this.#open(contentLength < 0 ? 'none' : 'sized', contentLength, NOTHING, true);
  }

  /** The content's next piece, lent; the request leaves with the first one. */
  body(piece: Buffer, last: boolean): void {
    if (this.#isOver) return;
    this.#requestBytes += piece.length;
    if (this.#metering === null && !this.#asksForStream) this.#asksForStream = asksForStream(piece);
    if (last) this.#isRequestWhole = true;
    if (this.#call === null) {
      this.#openWith(piece, last);
      return;
    }
    if (last) this.#forwardLast(this.#call, piece);
    else this.#forward(this.#call, piece, false);
  }

  /**
   * A content whose beginning was read while it was gathered; the request leaves with it.
   * @param scan this attempt's from now on
   * @param content as it leaves, lent
   * @param bytes of it as the client sent them
   */
  goOnWith(scan: RequestScan, content: FirstContent, bytes: number, last: boolean): void {
    const { chunked, contentLength } = this.#asked.framing;
    this.#requestBytes += bytes;
    this.#isRequestWhole = last;
    this.#metering?.goOnWith(scan, last);
    if (last) {
      if (!this.#isRefused()) this.#open('sized', content.bytes, content.pieces, true);
      return;
    }
    this.#sink.uploadFull(this);
    const length = this.#metering?.lengthFor(contentLength) ?? contentLength;
    this.#open(chunked ? 'chunked' : 'sized', length, content.pieces, false);
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

  /** Before anything of it is sent: the account that it goes to. */
  useKey(poolKey: PoolKey): void {
    const { managed } = this.#target;
    if (managed !== null) this.#target = { ...this.#target, managed: { ...managed, poolKey } };
  }

  /** Before its answer: the request offers a tool that leaves containers. */
  expectContainers(): void {
    this.#mayHaveContainers = true;
  }

  /** The request must not become whole: what was sent of it is aborted, and no fact tells of it. */
  takeBack(): void {
    this.#wasRefused = true;
    this.abort();
  }

  /** Takes a request back that must not become whole. */
  #isRefused(): boolean {
    const why = this.#metering?.refusal(this.#mayFollow) ?? this.#notAllowed() ?? this.#overLimit();
    if (why === null) return false;
    this.takeBack();
    this.#sink.refused(this, why);
    return true;
  }

  /** The permission is on what the provider is about to read, whatever a plan was made from. */
  #notAllowed(): Rejection | null {
    const { managed, provider } = this.#target;
    const permission = managed?.permission ?? null;
    if (managed === null || permission === null || this.#metering === null) return null;
    const { pathModel } = managed;
    const { requestedModel, requestReading } = this.#metering;
    if (requestReading === 'unread' && this.#requestBytes > 0) return NOT_READ;
    // Of two names nobody can say which one counts: both have to be allowed.
    if (pathModel !== null && !permission.allows(`${provider.name}/${pathModel}`))
      return notAllowed(`${provider.name}/${pathModel}`, permission);
    if (requestedModel === null && pathModel !== null) return null;
    if (requestedModel === null || requestReading === 'doubtful')
      return notAllowed(null, permission);
    const name = `${provider.name}/${requestedModel}`;
    return permission.allows(name) ? null : notAllowed(name, permission);
  }

  /** Last of all: what it takes is given back when the attempt has ended (`fact`). */
  #overLimit(): Rejection | null {
    const { managed, provider, routing } = this.#target;
    const limits = managed?.policy.limits ?? null;
    if (limits === null || managed === null || this.#metering === null) return null;
    const name = managed.pathModel ?? this.#metering.requestedModel;
    const model = name === null ? null : `${provider.name}/${name}`;
    const expected = this.#metering.expected(this.#requestBytes);
    const isFirst = (routing?.attempt ?? 1) === 1;
    const admitted = limits.admit(provider.name, model, expected, isFirst);
    if ('code' in admitted) return admitted;
    this.#grant = admitted;
    return null;
  }

  /** The lane takes more of the answer. */
  resume(): void {
    this.#call?.resume();
  }

  /** A provider that has begun to answer need not read the rest of an upload: then only its silence is a fault. */
  uploadStalled(): void {
    if (this.#status !== null || this.#isOver) return;
    this.#call?.abort();
    this.onUpstreamFailure(STALLED);
  }

  /**
   * The client has left. Behind an end sign of a stream whose bill has not come, the answer is read on for it: nothing is
   * told of it but `over`, which may be in this turn.
   * @returns false when nothing is to be waited for, or too many are waited for already
   */
  readOn(): boolean {
    if (this.#isOver || !this.#isRequestWhole || this.#metering?.awaitsBill !== true) return false;
    if (!this.#context.unseen.enter(this)) {
      this.#context.metrics.billUnread();
      return false;
    }
    this.#unseenBytes = 0;
    // The client may have been slow.
    this.#call?.resume();
    return true;
  }

  /** The time of an answer that is read on is over. */
  onDue(): void {
    if (!this.#isOver) this.#endUnseen();
  }

  onDueBroken(error: unknown): void {
    this.#break(error);
  }

  #readUnseen(chunk: Buffer, last: boolean): void {
    const room = UNSEEN_BYTES - this.#unseenBytes;
    this.#unseenBytes += chunk.length;
    const isFull = chunk.length >= room;
    this.#metering?.response(isFull ? chunk.subarray(0, room) : chunk, this, last && !isFull);
    // Its own end leaves the connection for others.
    if (isFull || (!last && this.#metering?.awaitsBill !== true)) this.#endUnseen();
  }

  #endUnseen(): void {
    this.#isOver = true;
    this.#call?.abort();
    this.#sink.over(this, COMPLETE);
  }

  /** Ends the upstream work in this turn; what still comes of it is nobody's. */
  abort(): void {
    this.#isOver = true;
    this.#call?.abort();
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
    else if (!taken) this.#sink.uploadFull(this);
  }

  /** @param contentLength of the content as it leaves; only for `sized` */
  #open(
    coding: RequestCoding,
    contentLength: number,
    content: readonly Buffer[],
    whole: boolean,
  ): void {
    const { target, managed, provider } = this.#target;
    const { method, fields } = this.#asked;
    this.#asked = LEFT;
    const poolKey = managed?.poolKey ?? null;
    const owner =
      managed === null ? '' : `${managed.identity.tenantText}/${managed.identity.vpcText}`;
    const request = { method, target, fields, poolKey, owner, coding, contentLength };
    const call = this.#context.transports.of(provider).open(request, content, whole, this);
    this.#call = call;
    // What it told while it was opened may have ended the exchange.
    if (this.#isOver) call.abort();
  }

  // ---- the upstream ------------------------------------------------------------------------------------------------
  // Each is an entry from outside, by any transport: what it throws ends this exchange and no other.

  onRequestRetried(): void {
    if (this.#isOver) return;
    this.#context.metrics.retried(this.#target.provider.index);
  }

  onUploadDrained(): void {
    if (this.#isOver) return;
    try {
      this.#sink.uploadDrained(this);
    } catch (error) {
      this.#break(error);
    }
  }

  onResponseHead(
    status: number,
    reason: string,
    fields: readonly string[],
    followed: boolean,
  ): void {
    if (this.#isOver) return;
    try {
      this.#begun(status, reason, fields, followed);
    } catch (error) {
      this.#break(error);
    }
  }

  #begun(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    this.#status = status;
    this.#context.metrics.responded(this.#target.provider.index, status);
    const poolKey = this.#target.managed?.poolKey;
    // A provider that takes no key has none to quote.
    const isGiven = poolKey !== undefined && poolKey.field !== null;
    const mayQuote = isGiven && status >= 300;
    const refusal = mayQuote ? poolKeyRefusal(status, poolKey.hasOthers) : null;
    if (refusal === null) {
      this.#answerBegan(status, reason, fields, followed);
      return;
    }
    this.#metering?.responseBegan(status, null);
    if (status === FORBIDDEN) this.#doubt = new DoubtfulRefusal(reason, fields, refusal);
    else this.#poolKeyRefused(refusal);
  }

  #answerBegan(status: number, reason: string, fields: readonly string[], followed: boolean): void {
    const poolKey = this.#target.managed?.poolKey;
    const isGiven = poolKey !== undefined && poolKey.field !== null;
    const mayQuote = isGiven && status >= 300;
    let head = this.#shown(status, reason, fields);
    if (this.#grant !== null) head = withLines(head, this.#grant, this.#target.provider);
    this.#isEventStream = head.eventStream;
    if (status < 300) this.#ids = this.#idsOfAnswer();
    const shrinks = this.#metering?.responseBegan(status, head.format) ?? false;
    if (mayQuote) {
      const isPacked = head.format === null;
      if (isPacked) {
        head = this.#shown(status, reason, withoutCoding(fields));
        if (this.#grant !== null) head = withLines(head, this.#grant, this.#target.provider);
      }
      this.#filter = this.#errorFilter(poolKey, isPacked);
    } else if (isGiven && head.size !== 'none') {
      this.#told = this.#successFilter(poolKey, head.format);
    }
    const isOpen = shrinks || mayQuote;
    const shown: ResponseHead =
      isOpen && typeof head.size === 'number' ? { ...head, size: 'chunked' } : head;
    if (this.#sink.head(this, shown, followed) === 'next') this.abort();
  }

  #idsOfAnswer(): AnswerIds | null {
    const { managed, provider } = this.#target;
    if (managed === null) return null;
    const keeps = managed.keepsState && this.#metering?.storesNothing !== true;
    const mayHaveContainers = this.#mayHaveContainers;
    if (!keeps && !mayHaveContainers) return null;
    const { identity, poolKey: key } = managed;
    const { stored } = this.#context;
    return new AnswerIds((id, place) => {
      if (place === ANSWER_ID) this.#storedId = id;
      // An answer that is not stored has an id as well.
      if (keeps || place !== ANSWER_ID)
        stored.remember(id, identity.tenantWords, { provider, key });
    }, mayHaveContainers);
  }

  /**
   * The body of a 403 is whole.
   * @returns false when nothing of it is the caller's
   */
  #isAnswer(doubt: DoubtfulRefusal): boolean {
    this.#doubt = null;
    if (!doubt.isOfRequest) {
      this.#poolKeyRefused(doubt.refusal);
      return false;
    }
    this.#answerBegan(FORBIDDEN, doubt.reason, doubt.fields, true);
    if (!this.#isOver) this.onResponseChunk(doubt.body, true);
    return !this.#isOver;
  }

  /** Nothing of such an answer is the caller's: it speaks of a key that is not its own. */
  #poolKeyRefused(refusal: UpstreamFailure): void {
    this.#doubt = null;
    this.#context.metrics.poolKeyRefused(this.#target.provider.index);
    this.#call?.abort();
    this.onUpstreamFailure(refusal);
  }

  onResponseChunk(chunk: Buffer, last: boolean): void {
    if (this.#isOver) return;
    this.#endFollows = last;
    try {
      if (this.#doubt !== null) {
        if (!this.#doubt.add(chunk)) this.#poolKeyRefused(this.#doubt.refusal);
        return;
      }
      if (this.#unseenBytes >= 0) {
        this.#readUnseen(chunk, last);
        return;
      }
      // Before the caller can have read it.
      if (this.#ids?.push(chunk) === false) this.#ids = null;
      const more = this.#metering?.response(chunk, this, last) ?? this.push(chunk);
      if (!more) this.#call?.pause();
    } catch (error) {
      this.#break(error);
    }
  }

  onResponseEnd(byConnection = false): void {
    if (this.#isOver) return;
    try {
      if (this.#doubt !== null && !this.#isAnswer(this.#doubt)) return;
      this.#isOver = true;
      this.#isRequestWhole = true;
      this.#metering?.responseEnded(this, byConnection);
      this.#filter?.end();
      if (this.#unseenBytes < 0) this.#told?.end();
      this.#sink.over(this, COMPLETE);
    } catch (error) {
      this.#break(error);
    }
  }

  onUpstreamFailure(failure: UpstreamFailure): void {
    if (this.#isOver) return;
    if (this.#doubt !== null) {
      // What would have told is not there: the status is what counts.
      this.#poolKeyRefused(this.#doubt.refusal);
      return;
    }
    this.#isOver = true;
    this.failure = failure;
    try {
      if (failure.kind === 'connect')
        this.#context.metrics.connectFailed(this.#target.provider.index);
      // Of a success, what came before its cut is the client's.
      if (this.#unseenBytes < 0) this.#told?.end();
      this.#sink.over(this, { failure });
    } catch (error) {
      this.#break(error);
    }
  }

  #break(error: unknown): void {
    this.#isOver = true;
    // The lane aborts what it has left: this one too.
    this.#sink.onBroken(this, error);
  }

  /** What the metering passes on of the answer. */
  push(piece: Buffer): boolean {
    if (this.#unseenBytes >= 0) return true;
    if (this.#told !== null)
      return this.#told.push(piece, this.#metering?.mayTell ?? true, this.#endFollows);
    if (this.#filter !== null) return this.#filter.push(piece);
    return this.show(piece);
  }

  /**
   * What a provider says of a pool key in an error is not the caller's to read. Nothing can be found in what is packed,
   * although that was refused: such an error keeps its status and loses its content.
   */
  #errorFilter({ traces }: PoolKey, isPacked: boolean): SecretFilter {
    return new SecretFilter(traces, {
      push: (piece) => isPacked || this.#sink.piece(this, piece, false),
    });
  }

  /** Nobody knows what a provider takes for a success: a key in one is hidden too, byte for byte. */
  #successFilter(poolKey: PoolKey, format: ResponseHead['format']): ToldErrors {
    const client = new Shown(this);
    const { pattern } = poolKey;
    return new ToldErrors(
      poolKey,
      format,
      pattern === null ? client : new KeyWatch(pattern, client),
    );
  }

  /** For its own filters alone: what is left for the client. */
  show(piece: Buffer): boolean {
    return this.#sink.piece(this, piece, this.#endFollows);
  }

  /** The head as the client may see it: an upstream that repeats what it was sent must not hand out the pool key. */
  #shown(status: number, reason: string, fields: readonly string[]): ResponseHead {
    const method = this.#method;
    const { managed } = this.#target;
    const head = responseHead(method, status, reason, fields, this);
    if (managed === null || !leaksKey(status, head.head, fields, managed.poolKey)) return head;
    const { poolKey } = managed;
    const named = poolKey.isTracedIn(reason) ? '' : reason;
    return responseHead(method, status, named, withoutKey(fields, poolKey), this);
  }

  get isManaged(): boolean {
    return this.#target.managed !== null;
  }

  get asksForStream(): boolean {
    return this.#metering?.asksForStream ?? this.#asksForStream;
  }

  get ownsCors(): boolean {
    return this.#context.ownsCors;
  }

  followable(reference: string): string | null {
    return followable(reference, this.#target.provider, this.#target.target);
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /**
   * Releases everything, and says what is to be billed: null for a caller's own key, and for a request that never
   * reached its provider, or was taken back before it was whole. Called once.
   * @param final no other attempt follows
   */
  fact(settlement: Settlement, final = true): UsageFact | null {
    const { managed } = this.#target;
    if (this.#unseenBytes >= 0) this.#context.unseen.leave(this);
    if (this.#metering === null || managed === null) return null;
    const usage = this.#billed ?? this.#used(this.#metering);
    const isBilled = this.#call?.reached === true && !this.#wasRefused;
    this.#grant?.settle(isBilled ? limitedTokens(usage, this.#target.provider) : 0);
    if (this.#call?.reached !== true || this.#wasRefused) return null;
    const fact = this.#factOf(managed.identity, managed.policy, usage, settlement, final);
    const atMs = Date.now() - settlement.durationMs;
    return usage.source !== 'reported' && this.#isFollowed(fact, usage, atMs) ? null : fact;
  }

  /** Responses are stored under the path that made them (platform.openai.com/docs/api-reference/responses). */
  get #mayFollow(): boolean {
    const { managed, path } = this.#target;
    const isStored = managed?.keepsState === true && RESPONSES.test(path);
    return isStored && this.#context.background.hasRoom;
  }

  /** An answer that is written behind its response has its fact when it has ended. */
  #isFollowed(fact: UsageFact, { requestedModel }: MeteredUsage, atMs: number): boolean {
    const { managed, provider, path } = this.#target;
    const id = this.#storedId;
    if (managed === null || id === null || this.#metering?.isBackground !== true) return false;
    if (!PLAIN_ID.test(id)) return false;
    const { identity, poolKey } = managed;
    return this.#context.background.follow({
      provider,
      poolKey,
      transports: this.#context.transports,
      target: `${path.replace(/\/$/, '')}/${id}`,
      owner: `${identity.tenantText}/${identity.vpcText}`,
      fact,
      priced: (usage) => this.#cost({ ...usage, requestedModel }, atMs),
      requestBytes: this.#requestBytes,
    });
  }

  #factOf(
    { tenantText, vpcText, keyText }: KeyIdentity,
    { keyClass, name: policy }: EffectivePolicy,
    usage: MeteredUsage,
    settlement: Settlement,
    final: boolean,
  ): UsageFact {
    const { provider, path, routing } = this.#target;
    return {
      requestId: settlement.requestId,
      traceId: traceId(settlement.traceparent),
      dialect: provider.dialect,
      tenantId: tenantText,
      vpcId: vpcText,
      keyId: keyText,
      keyClass,
      policy,
      provider: provider.name,
      endpoint: path,
      model: usage.model,
      requestedModel: routing?.requestedModel ?? usage.requestedModel,
      stream: usage.streamAsked || this.#isEventStream,
      counts: usage.counts,
      lines: usage.lines,
      serviceTier: usage.serviceTier,
      toolUses: usage.toolUses,
      cost: this.#cost(usage, Date.now() - settlement.durationMs),
      source: usage.source,
      raw: usage.raw,
      upstreamStatus: this.#status,
      outcome: settlement.outcome,
      bytesIn: settlement.bytesIn,
      bytesOut: settlement.bytesOut,
      ttfbMs: settlement.ttfbMs,
      durationMs: settlement.durationMs,
      lane: routing === null ? 'relay' : 'routed',
      route: routing?.route ?? null,
      attempt: routing?.attempt ?? 1,
      final,
      targetModel: routing?.targetModel ?? null,
      resumed: routing?.resumed ?? false,
    };
  }

  /**
   * USD that an answer cost which has ended, before anything of it is told; null: unpriced, not reported, or a caller's own
   * key.
   */
  costOfWhole(): string | null {
    if (this.#metering === null) return null;
    this.#billed = this.#used(this.#metering);
    return this.#billed.source === 'reported' ? this.#cost(this.#billed, Date.now()).usd : null;
  }

  #cost(usage: MeteredUsage, atMs: number): Cost {
    const { provider, routing } = this.#target;
    try {
      return this.#context.pricing.cost({
        provider: provider.name,
        model: usage.model,
        asked: routing === null ? usage.requestedModel : modelOf(routing.targetModel),
        counts: usage.counts,
        details: usage.details,
        lines: usage.lines,
        serviceTier: usage.serviceTier,
        toolUses: usage.toolUses,
        source: usage.source,
        // By the prices of when it began: one that changes meanwhile is the next request's.
        atMs,
      });
    } catch (error) {
      // What was used is told, whatever it cost.
      this.#context.report(error);
      return COST_UNKNOWN;
    }
  }

  #used(metering: Metering): MeteredUsage {
    const requestBytes = this.#isRequestWhole ? this.#requestBytes : 0;
    try {
      return metering.finish(requestBytes);
    } catch (error) {
      // Whatever broke, what reached a provider is billed.
      this.#context.report(error);
      return unmetered(requestBytes);
    }
  }
}

/** Where the filters of an answer end. A class, because an open stream would pay for two closures and what they close over. */
class Shown implements EndingSink {
  readonly #attempt: Attempt;

  constructor(attempt: Attempt) {
    this.#attempt = attempt;
  }

  push(piece: Buffer): boolean {
    return this.#attempt.show(piece);
  }

  end(): void {}
}

/** @param target `provider/model`; no provider's name has a slash */
function modelOf(target: string): string {
  return target.slice(target.indexOf('/') + 1);
}

function withoutCoding(fields: readonly string[]): readonly string[] {
  return fields.filter((_, at) => !isNamed(fields[at - (at % 2)] ?? '', 'content-encoding'));
}

/** What counts to a limit on tokens: cached input does not, as with Anthropic (docs.claude.com/en/api/rate-limits). */
function limitedTokens({ counts }: MeteredUsage, { dialect }: Provider): number {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = counts;
  const input = inputTokens ?? 0;
  const uncached =
    dialect === 'anthropic' ? input + (cacheWriteTokens ?? 0) : input - (cacheReadTokens ?? 0);
  return Math.max(0, uncached) + (outputTokens ?? 0);
}

function withLines(head: ResponseHead, grant: LimitGrant, { dialect }: Provider): ResponseHead {
  return { ...head, head: head.head + grant.lines(dialect) };
}
