import { Buffer } from 'node:buffer';
import type { ReplyTerms } from '../dialect/answer.ts';
import type {
  ToldError,
  TranslatedRequest,
  TranslatedStream,
  TranslatedVectors,
  WantedVectors,
} from '../dialect/translate.ts';
import { translator } from '../dialect/translator.ts';
import {
  type AskedWire,
  type CallerWire,
  streamsLines,
  type TargetWire,
  tellingWire,
} from '../dialect/wires.ts';
import type { Rejection } from '../rejection.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import { FormatProbe } from '../wire/body-format.ts';
import type { ResponseHead } from '../wire/response-head.ts';
import type { Attempt, AttemptEnd, AttemptSink, Verdict } from './attempt.ts';
import { HeldBytes } from './held-bytes.ts';
import type { KeptBudget } from './kept-budget.ts';
import { NO_ROOM } from './routed-judgement.ts';
import { estimateAnswer } from './token-count.ts';

/** Of a whole answer, in bytes: the most that the lane holds of one, and 0.1 s of a worker that reads it at once. */
const WHOLE_MAX_BYTES = 8 * 1024 * 1024;
/** Of vectors, in bytes, as they came: 2,048 of 1,024 numbers each, which take some 12 bytes. */
const VECTORS_MAX_BYTES = 32 * 1024 * 1024;
/** Of an error's body: what is told of it is a sentence. */
const ERROR_MAX_BYTES = 64 * 1024;

/** Of a stream, in bytes: up to here what is kept of it is not counted, as with any other stream. */
const FREE_BYTES = 16 * 1024;

const OPEN_BRACKET = 0x5b;

/** Fields of a head that say what its content is. */
const OF_CONTENT = /^content-type:[^\n]*\n/gim;

/**
 * An answer on its way from an attempt to its lane, told in the caller's wire: the lane judges, holds and passes on what its
 * client would read. A stream is told event by event; a whole answer, and an error, when it is whole, its head with it.
 */
export class TranslatedAnswer implements AttemptSink {
  readonly #lane: AttemptSink;
  readonly #from: TargetWire;
  readonly #to: CallerWire;
  readonly #terms: ReplyTerms;
  /** A stream was asked for. */
  readonly #isStream: boolean;
  readonly #vectors: TranslatedRequest['vectors'];
  /** Only tokens are counted: what is told where its provider does not say; null: it is answered. */
  readonly #estimatedTokens: number | null;
  readonly #budget: KeptBudget;
  readonly #metrics: WorkerMetrics;
  #stream: TranslatedStream | null = null;
  /** Its own type says that it is no stream: until its first byte has said what it is. */
  #probe: FormatProbe | null = null;
  /** Of what is told whole: its head, and its content so far; of vectors it is what is told of them. */
  #head: ResponseHead | null = null;
  #whole: HeldBytes | null = null;
  #vectorsSoFar: TranslatedVectors | null = null;
  /** Of what is told whole, as it came. */
  #bytes = 0;
  /** Of the node's budget, for what is kept of a stream. */
  #takenBytes = 0;

  /**
   * @param caller what it is told in
   * @param said the request, as it was written for it
   * @param model that was asked for
   * @param id for answers that have none
   * @param budget what the node keeps of answers
   */
  constructor(
    lane: AttemptSink,
    caller: AskedWire,
    said: TranslatedRequest,
    model: string,
    id: string,
    budget: KeptBudget,
    metrics: WorkerMetrics,
  ) {
    const { wire, isStream, wantsUsage, choices, toolNames, echoed } = said;
    this.#lane = lane;
    this.#from = wire;
    this.#to = tellingWire(caller);
    this.#isStream = isStream;
    this.#vectors = said.vectors;
    this.#estimatedTokens = said.estimatedTokens;
    const created = Math.floor(Date.now() / 1_000);
    this.#terms = { model, id, created, wantsUsage, choices, toolNames, echoed };
    this.#budget = budget;
    this.#metrics = metrics;
  }

  uploadFull(attempt: Attempt): void {
    this.#lane.uploadFull(attempt);
  }

  uploadDrained(attempt: Attempt): void {
    this.#lane.uploadDrained(attempt);
  }

  head(attempt: Attempt, head: ResponseHead, _followed: boolean): Verdict {
    const isLines = this.#isStream && head.format === 'lines';
    if (head.status === 200 && (head.eventStream || isLines))
      return this.#begin(attempt, isLines ? asEvents(head) : this.#asAsked(head));
    this.#head = head;
    this.#whole = new HeldBytes(this.#budget);
    if (head.status === 200 && head.format !== null) {
      if (this.#isStream) this.#probe = new FormatProbe(head.format);
      else if (this.#vectors !== null) this.#vectorsSoFar = this.#newVectors(this.#vectors);
    }
    // The lane sees none of what comes: the attempt itself looks for a refusal of the pool key in it.
    return 'commit';
  }

  #begin(attempt: Attempt, told: ResponseHead): Verdict {
    const { TranslatedStream } = translator();
    this.#stream = new TranslatedStream(this.#from, this.#to, this.#terms);
    // Its first bytes need not come to anything in this turn.
    return this.#lane.head(attempt, { ...told, head: withId(told.head, this.#to) }, false);
  }

  #newVectors(wanted: WantedVectors): TranslatedVectors {
    const { TranslatedVectors } = translator();
    return new TranslatedVectors(this.#from, this.#terms.model, wanted);
  }

  /** Its own request need not say that it is a stream. */
  #asAsked(head: ResponseHead): ResponseHead {
    return { ...head, size: 'chunked', streamAsked: this.#isStream };
  }

  piece(attempt: Attempt, piece: Buffer, _last: boolean): boolean {
    if (this.#stream !== null) return this.#tellMore(attempt, this.#stream, piece);
    const head = this.#head;
    const whole = this.#whole;
    if (head === null || whole === null) return true;
    if (this.#probe !== null && this.#turnsOutAsStream(this.#probe, piece)) {
      this.#probe = this.#head = null;
      this.drop();
      if (this.#begin(attempt, asEvents(head)) === 'next') return true;
      return this.#stream === null || this.#tellMore(attempt, this.#stream, piece);
    }
    const room = (head.status < 300 ? this.#mostBytes : ERROR_MAX_BYTES) - this.#bytes;
    this.#bytes += piece.length;
    // Of what is cut off nothing is told: it is read to its end for what it cost.
    if (room > 0) whole.append(this.#held(piece.subarray(0, room)));
    if (whole.isOver) this.#endWith(attempt, NO_ROOM);
    return true;
  }

  get #mostBytes(): number {
    return this.#vectors === null ? WHOLE_MAX_BYTES : VECTORS_MAX_BYTES;
  }

  #held(piece: Buffer): Buffer {
    return this.#vectorsSoFar === null ? piece : this.#vectorsSoFar.push(piece);
  }

  /** One object of a wire that streams events is an answer of its own, or an error: it has to be whole. */
  #turnsOutAsStream(probe: FormatProbe, piece: Buffer): boolean {
    const at = probe.push(piece);
    if (at < 0) return false;
    this.#probe = null;
    if (probe.format === 'events' || probe.format === 'lines') return true;
    return probe.format === 'json' && (streamsLines(this.#from) || piece[at] === OPEN_BRACKET);
  }

  #tellMore(attempt: Attempt, stream: TranslatedStream, piece: Buffer): boolean {
    const takesMore = this.#tell(attempt, stream.push(piece), false);
    // Its provider may go on behind an error, and its client waits for an end.
    if (stream.hasFailed) this.#endWith(attempt, null);
    else if (!this.#keeps(stream.keptBytes)) this.#endWith(attempt, NO_ROOM);
    return takesMore;
  }

  /** @returns false where the node keeps as much as it may */
  #keeps(bytes: number): boolean {
    const counted = bytes <= FREE_BYTES ? 0 : bytes;
    if (counted === this.#takenBytes) return true;
    if (!this.#budget.grow(this.#takenBytes, counted)) return false;
    this.#takenBytes = counted;
    return true;
  }

  #endWith(attempt: Attempt, failure: AttemptEnd['failure']): void {
    if (attempt.isOver) return;
    if (failure !== null) this.#metrics.holdCutShort();
    attempt.abort();
    this.drop();
    this.#lane.over(attempt, { failure });
  }

  /** Nothing of it is told any more: what it took of the node's is given back. */
  drop(): void {
    this.#whole?.drop();
    this.#whole = null;
    this.#keeps(0);
  }

  over(attempt: Attempt, end: AttemptEnd): void {
    const whole = this.#whole;
    let isTaken = true;
    if (this.#estimatedTokens !== null) {
      const isCounted = end.failure === null && this.#tellCount(attempt, this.#head, whole);
      if (!isCounted) this.#tellEstimate(attempt, this.#estimatedTokens);
      this.drop();
      this.#lane.over(attempt, WELL_ENDED);
      return;
    }
    if (end.failure === null) {
      if (this.#stream !== null) this.#tell(attempt, this.#stream.end(), true);
      else if (this.#head !== null && whole !== null)
        isTaken = this.#tellWhole(attempt, this.#head, whole);
    }
    this.drop();
    if (isTaken) this.#lane.over(attempt, end);
  }

  /** @returns false where its provider has not counted */
  #tellCount(attempt: Attempt, head: ResponseHead | null, whole: HeldBytes | null): boolean {
    if (head?.status !== 200 || whole === null || this.#isTooLarge) return false;
    const tokens = translator().countIn(whole.joined());
    if (tokens === null) return false;
    const text = Buffer.from(JSON.stringify({ input_tokens: tokens }));
    this.#tellAll(attempt, this.#wholeHead(head, 200, null, text.length), text);
    return true;
  }

  #tellEstimate(attempt: Attempt, tokens: number): void {
    const { head, body } = estimateAnswer(tokens);
    this.#tellAll(attempt, head, body);
  }

  /** @returns false when the client takes no more for now */
  #tell(attempt: Attempt, told: Buffer, last: boolean): boolean {
    return told.length === 0 || this.#lane.piece(attempt, told, last);
  }

  /** @returns false when another attempt takes its place */
  #tellWhole(attempt: Attempt, head: ResponseHead, whole: HeldBytes): boolean {
    const told = this.#translated(head, whole);
    if (told instanceof HeldBytes) return this.#tellVectors(attempt, head, told);
    if (Buffer.isBuffer(told)) {
      const shown = asEvents(head);
      const named = { ...shown, head: withId(shown.head, this.#to) };
      return this.#tellAll(attempt, named, told);
    }
    const { status, body, retryAfterSeconds, isUnread } = told;
    const text = Buffer.from(JSON.stringify(body));
    const shown = this.#wholeHead(head, status, retryAfterSeconds, text.length);
    if (!isUnread) return this.#tellAll(attempt, shown, text);
    const asksInstead = this.#isTooLarge ? 'nobody' : 'another';
    return this.#tellAll(attempt, { ...shown, asksInstead }, text);
  }

  #wholeHead(
    head: ResponseHead,
    status: number,
    retryAfterSeconds: number | null,
    size: number,
  ): ResponseHead {
    return {
      ...head,
      status,
      head: withId(headAs(head, status, retryAfterSeconds), this.#to),
      size,
      eventStream: false,
      format: 'json',
    };
  }

  #tellAll(attempt: Attempt, shown: ResponseHead, told: Buffer): boolean {
    if (this.#lane.head(attempt, shown, true) === 'next') return false;
    this.#lane.piece(attempt, told, true);
    return true;
  }

  #tellVectors(attempt: Attempt, head: ResponseHead, told: HeldBytes): boolean {
    const shown = this.#wholeHead(head, head.status, null, told.length);
    if (this.#lane.head(attempt, shown, true) === 'next') return false;
    for (let piece = told.shift(); piece !== null; piece = told.shift())
      this.#lane.piece(attempt, piece, told.length === 0);
    return true;
  }

  get #isTooLarge(): boolean {
    return this.#bytes > this.#mostBytes;
  }

  #translated({ status }: ResponseHead, whole: HeldBytes): ToldError | Buffer | HeldBytes {
    const { translateError, translateAnswer, translateAsStream, untoldAnswer } = translator();
    if (status >= 300 && status < 400) {
      // Where it leads nobody takes a request of this wire.
      return { ...translateError(this.#to, status, NOTHING), status: BAD_GATEWAY };
    }
    if (status >= 400) return translateError(this.#to, status, whole.joined());
    if (this.#isTooLarge) return untoldAnswer(this.#to, true);
    if (this.#vectors !== null) {
      const end = this.#vectorsSoFar?.end() ?? null;
      if (end === null) return untoldAnswer(this.#to, false);
      whole.append(end);
      return whole;
    }
    const came = whole.joined();
    return this.#isStream
      ? translateAsStream(this.#from, this.#to, came, this.#terms)
      : translateAnswer(this.#from, this.#to, came, this.#terms);
  }

  refused(attempt: Attempt, why: Rejection): void {
    this.drop();
    this.#lane.refused(attempt, why);
  }

  onBroken(attempt: Attempt, error: unknown): void {
    this.drop();
    this.#lane.onBroken(attempt, error);
  }
}

/** The head of lines of JSON that are told as events. */
function asEvents(head: ResponseHead): ResponseHead {
  return {
    ...head,
    head: `${head.head.replace(OF_CONTENT, '')}content-type: text/event-stream\r\n`,
    size: 'chunked',
    eventStream: true,
    streamAsked: true,
    format: 'events',
  };
}

/** Statuses that a translation gives an answer of its own accord (RFC 9110 §15.6). */
const REASONS: ReadonlyMap<number, string> = new Map([
  [200, 'OK'],
  [401, 'Unauthorized'],
  [502, 'Bad Gateway'],
  [503, 'Service Unavailable'],
]);

const BAD_GATEWAY = 502;
const WELL_ENDED: AttemptEnd = { failure: null };
const NOTHING = Buffer.alloc(0);

/** A request's id as its provider gave it: Anthropic's clients look for the first one, all others for the second. */
const ANTHROPICS_ID = /^request-id: *([^\r\n]+)/im;
const OTHERS_ID = /^x-request-id: *([^\r\n]+)/im;

/** @returns the head, with the request's id where the caller's client looks for it */
function withId(head: string, to: CallerWire): string {
  const isAnthropics = to === 'anthropic-messages';
  const id = (isAnthropics ? OTHERS_ID : ANTHROPICS_ID).exec(head)?.[1];
  if (id === undefined || (isAnthropics ? ANTHROPICS_ID : OTHERS_ID).test(head)) return head;
  return `${head}${isAnthropics ? 'request-id' : 'x-request-id'}: ${id}\r\n`;
}

const WAIT = /^retry-after(?:-ms)?:/im;

/**
 * The head of an answer that is told whole: JSON, whatever it was, with the status that the caller's wire has for it.
 * @param retryAfterSeconds what only its body said: null where it did not
 */
function headAs(
  { status: came, head }: ResponseHead,
  status: number,
  retryAfterSeconds: number | null,
): string {
  const at = head.indexOf('\r\n') + 2;
  const line = status === came ? head.slice(0, at) : `${status} ${REASONS.get(status) ?? ''}\r\n`;
  const wait =
    retryAfterSeconds === null || WAIT.test(head) ? '' : `retry-after: ${retryAfterSeconds}\r\n`;
  return `${line}${head.slice(at).replace(OF_CONTENT, '')}${wait}content-type: application/json\r\n`;
}
