/**
 * The metering of one managed exchange: what was asked for, what the provider says it used, and the fact that finance
 * bills from. Request and response pass through it piece by piece; it holds nothing back but what may be the one event
 * that the client did not ask for.
 */

import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import type { Provider } from '../providers/providers.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { UsageSource } from '../settle/metrics.ts';
import {
  estimateUsage,
  HIGH_BYTES_PER_TOKEN,
  highEstimate,
  type Relayed,
  type TokenEstimate,
} from '../settle/usage-estimate.ts';
import { type AskedSpending, askedSpending } from '../wire/asked-spending.ts';
import { type Billed, type BillingLine, NO_TOOL_USES } from '../wire/billed-usage.ts';
import { type BodyFormat, FormatProbe } from '../wire/body-format.ts';
import type { FurtherModels } from '../wire/further-models.ts';
import type { JsonScanner } from '../wire/json-scanner.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import type { RequestFacts } from '../wire/request-facts.ts';
import { RequestScan } from '../wire/request-scan.ts';
import type { SpendingFields } from '../wire/spending-fields.ts';
import { UsageEventWithholder } from '../wire/sse-withhold.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import { UsageReader, type UsageReading } from '../wire/usage-reader.ts';
import { type TokenRatios, teaches } from './token-ratios.ts';

/** What an exchange was found to have used. */
export interface MeteredUsage extends Billed {
  /** What the provider says it served. */
  readonly model: string | null;
  readonly requestedModel: string | null;
  readonly streamAsked: boolean;
  readonly source: UsageSource;
  readonly counts: UsageCounts;
  /** Null where it was one model's single pass; else `counts` is their sum. */
  readonly lines: readonly BillingLine[] | null;
  /** The provider's own usage object, as sent. */
  readonly raw: string | null;
  /** What it can have been at most: the counts where the provider said, else an estimate that errs high. */
  readonly high: TokenEstimate;
}

/** The last one counts, and the provider reads it: it must be the one that led there. */
export const TWO_MODELS = rejection('invalid_body', 'It names two different models.');

/** Whether a provider is to be asked for what a stream of it costs. */
export function asksForUsage(endpoint: EndpointMetering, provider: Provider): boolean {
  return endpoint === 'completions' && provider.streamUsage === 'ask';
}

const NO_TOKENS: TokenEstimate = { inputTokens: 0, outputTokens: 0 };
/** For what is kept of a limit before a request is answered: bytes of a prompt's text a token, and least tokens of an answer. */
const EXPECTED_BYTES_PER_TOKEN = 4;
const EXPECTED_OUTPUT_TOKENS = 1_024;
const NOTHING: UsageCounts = {
  inputTokens: null,
  outputTokens: null,
  cacheReadTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
};

/**
 * What is said of an exchange whose metering itself broke.
 * @param requestBytes of the body that were received; 0 when it never came to its end
 */
export function unmetered(requestBytes: number): MeteredUsage {
  const relayed: Relayed = {
    requestBytes,
    requestTextBytes: null,
    bytesPerToken: null,
    responseTextBytes: 0,
    answered: false,
  };
  const counts = { ...NOTHING, ...estimateUsage(relayed) };
  return {
    model: null,
    requestedModel: null,
    streamAsked: false,
    source: 'estimated',
    counts,
    lines: null,
    details: null,
    serviceTier: null,
    toolUses: NO_TOOL_USES,
    raw: null,
    high: highEstimate(relayed),
  };
}

/**
 * How sure it is that a provider reads the model that was read here: `doubtful` where it is named twice, is longer than any,
 * or stands in what is no JSON; `unread` where nobody looked.
 */
export type RequestReading = 'sure' | 'doubtful' | 'unread';

export class Metering {
  readonly #scanner: JsonScanner;
  readonly #endpoint: EndpointMetering;
  readonly #asks: boolean;
  readonly #readsModels: boolean;
  /** What the request names beside its model; null where nobody has to know. */
  furtherModels: FurtherModels | null = null;
  readonly #ratios: TokenRatios;
  readonly #provider: Provider;
  readonly #readsSpending: boolean;
  readonly #pathModel: string | null;
  /** Its own, and only while the request comes; a stream may stay open for an hour behind it. */
  #scan: RequestScan | null = null;
  /** By which somebody planned who read the body's beginning. */
  #plannedModel: string | null = null;
  /** What the provider reads in its place; null: the same. */
  #sentModel: string | null = null;
  #namesOther = false;
  #requestedModel: string | null = null;
  /** With its provider; null until somebody asks, and where it is read anew. */
  #askedFor: string | null = null;
  #streamAsked = false;
  #reading: RequestReading = 'unread';
  #requestTextBytes: number | null = null;
  /** Until somebody asks what its price depends on. */
  #spending: SpendingFields | null = null;
  #asked: AskedSpending | null = null;
  #goesOnAs: RequestFacts['goesOnAs'] = null;
  #isDeferred = false;
  /** The request says that nothing of its answer is to be stored. */
  storesNothing = false;
  /** The provider was asked for an event that the client did not ask for. */
  #asksUnseen = false;
  /** Until the response's format is known; null where nothing is read. */
  #probe: FormatProbe | null = null;
  /** Null while nothing but white space came, and where nothing is read. */
  #format: FormatProbe['format'] = null;
  #isRead = false;
  #reader: UsageReader | null = null;
  #withholder: UsageEventWithholder | null = null;
  #status = 0;
  #withEvents = false;
  #ended = false;
  /** Nothing but the connection's end said so. */
  #endedByConnection = false;
  /** What was passed on last may hold an error, as far as the reader knows. */
  mayTell = true;

  /**
   * @param readsModels every model that the request names has to be known
   * @param readsSpending somebody asks for `askedSpending`
   * @param pathModel what the path names, where bodies name none
   */
  constructor(
    scanner: JsonScanner,
    ratios: TokenRatios,
    endpoint: EndpointMetering,
    provider: Provider,
    readsModels = false,
    readsSpending = false,
    pathModel: string | null = null,
  ) {
    this.#pathModel = pathModel;
    this.#readsModels = readsModels;
    this.#readsSpending = readsSpending;
    this.#scanner = scanner;
    this.#ratios = ratios;
    this.#provider = provider;
    this.#endpoint = endpoint;
    this.#asks = asksForUsage(endpoint, provider);
  }

  // ---- the request -------------------------------------------------------------------------------------------------

  /** A body that came in one piece: what the upload gets is all of it. */
  whole(body: Buffer, upload: PieceSink): void {
    this.begin();
    this.request(body, upload);
    this.#requestIsOver();
  }

  /** A body that comes in several pieces begins. */
  begin(): void {
    this.#scan = RequestScan.open(
      this.#scanner,
      this.#asks,
      this.#readsModels,
      this.#readsSpending,
    );
  }

  /**
   * A body begins, or is here, that somebody else has read so far, and whose `model` has led here: another one behind it is
   * refused.
   * @param scan this metering's from now on
   * @param model what is sent in place of what was read; null: the same
   */
  goOnWith(scan: RequestScan, model: string | null, isWhole: boolean): void {
    this.#scan = scan;
    this.#sentModel = model;
    this.#plannedModel = scan.facts?.model ?? null;
    if (isWhole) this.#requestIsOver();
  }

  /** What is known of the request by now asks for a stream. */
  get asksForStream(): boolean {
    this.#readRequest();
    return this.#streamAsked;
  }

  /** @returns the length to declare upstream, once the first piece was taken; -1 for chunked */
  lengthFor(declaredBytes: number): number {
    return declaredBytes < 0 ? -1 : (this.#scan?.lengthFor(declaredBytes) ?? declaredBytes);
  }

  /** @returns false when the upload takes no more for now */
  request(chunk: Buffer, upload: PieceSink): boolean {
    return this.#scan?.read(chunk, upload) ?? upload.push(chunk);
  }

  requestEnded(upload: PieceSink): void {
    this.#scan?.end(upload);
    this.#requestIsOver();
  }

  /** Keeps what was found, and gives the scan back. */
  #requestIsOver(): void {
    this.#readRequest();
    this.furtherModels = this.#scan?.furtherModels ?? this.furtherModels;
    this.#scan?.release();
    this.#scan = null;
  }

  /**
   * Why the request must not become whole; null when it may. Asked when everything of it is known and before its last piece
   * is let go: a provider cannot begin to work before that.
   * @param mayFollow what its provider stores of it can be looked at until it has ended
   */
  refusal(mayFollow: boolean): Rejection | null {
    if (this.#namesOther) return TWO_MODELS;
    if (mayFollow && !this.#isDeferred && !this.storesNothing) return null;
    return this.#goesOnAs === null || this.#endpoint === 'reports' || this.#endpoint === 'free'
      ? null
      : rejection('not_followed', `The field is ${this.#goesOnAs}.`);
  }

  /** The answer is written behind the response. */
  get isBackground(): boolean {
    return this.#goesOnAs === 'background';
  }

  /**
   * What a request that is whole will take, as far as it tells. Of the answer nothing is known before it is there.
   * @param requestBytes of its body
   */
  expected(requestBytes: number): TokenEstimate {
    if (this.#endpoint === 'free') return NO_TOKENS;
    const ratio = this.#ratios.of(this.#ratioKey) ?? EXPECTED_BYTES_PER_TOKEN;
    const text = Math.min(requestBytes, this.#requestTextBytes ?? requestBytes);
    const inputTokens = Math.ceil(text / ratio);
    const writes = this.#endpoint !== 'reports';
    return {
      inputTokens,
      outputTokens: writes ? Math.max(inputTokens, EXPECTED_OUTPUT_TOKENS) : 0,
    };
  }

  /**
   * What its price depends on, once it is whole; null: nobody looked.
   * @param requestBytes of its body
   */
  askedSpending(requestBytes: number): AskedSpending | null {
    const fields = this.#spending;
    this.#spending = null;
    if (fields !== null)
      this.#asked = askedSpending(this.#requestTextBytes ?? 0, fields, requestBytes);
    return this.#asked;
  }

  /** The body so far is JSON, in an encoding that can be added to. */
  get isReadable(): boolean {
    return this.#scan?.facts?.isSound === true;
  }

  /** What the request asks for, once it is whole; null: it names none. */
  get requestedModel(): string | null {
    return this.#requestedModel;
  }

  get requestReading(): RequestReading {
    return this.#reading;
  }

  #readRequest(): void {
    const scan = this.#scan;
    const facts = scan?.facts ?? null;
    if (scan === null || facts === null) return;
    const { model, isJson, modelCount, isModelTruncated } = facts;
    this.#spending = facts.spending;
    this.#goesOnAs = facts.goesOnAs;
    this.#isDeferred = facts.isDeferred;
    this.storesNothing = facts.storesNothing;
    this.#requestTextBytes = facts.textBytes;
    this.#requestedModel = this.#sentModel ?? model;
    this.#askedFor = null;
    this.#reading = isJson && modelCount === 1 && !isModelTruncated ? 'sure' : 'doubtful';
    this.#streamAsked = facts.stream === 'true';
    this.#asksUnseen = this.#asks && scan.asksUnseen;
    this.#namesOther =
      this.#plannedModel !== null && model !== null && model !== this.#plannedModel;
  }

  // ---- the response ------------------------------------------------------------------------------------------------

  /**
   * @param format by the content type; null when the body cannot be read: compressed, although that was refused
   * @returns true when bytes may be taken out of the body, so that its length cannot be promised
   */
  responseBegan(status: number, format: BodyFormat | null): boolean {
    this.#status = status;
    if (this.#endpoint === 'free' || format === null) return false;
    this.#probe = new FormatProbe(format);
    this.#isRead = true;
    // An answer may begin before the request is over.
    this.#readRequest();
    return this.#asksUnseen && (format === 'events' || status < 300);
  }

  /**
   * Reads a piece, and passes on what is the client's.
   * @param last the response is complete with it
   * @returns false when the client takes no more for now
   */
  response(chunk: Buffer, client: PieceSink, last: boolean): boolean {
    if (this.#probe === null) return this.#content(chunk, client, last);
    const at = this.#probe.push(chunk);
    // White space keeps a connection alive: it must not wait.
    if (at < 0) return client.push(chunk);
    this.#recognised(this.#probe.format);
    this.#probe = null;
    if (at === 0) return this.#content(chunk, client, last);
    const more = client.push(chunk.subarray(0, at));
    return this.#content(chunk.subarray(at), client, last) && more;
  }

  #recognised(format: FormatProbe['format']): void {
    this.#format = format;
    if (format === null || format === 'page' || format === 'packed') return;
    this.#withEvents = format === 'events';
    this.#reader = new UsageReader(this.#scanner, format, this.#endpoint === 'answers');
    if (this.#withEvents && this.#asksUnseen) this.#withholder = new UsageEventWithholder();
  }

  #content(chunk: Buffer, client: PieceSink, last: boolean): boolean {
    const mayReport = this.#reader?.push(chunk, last) ?? true;
    this.mayTell = mayReport;
    if (this.#withholder === null) return client.push(chunk);
    return this.#withholder.write(chunk, client, mayReport);
  }

  /** An event stream has said that its answer is over, and neither what it cost nor that this is all. */
  get awaitsBill(): boolean {
    return this.#status < 300 && this.#reader?.awaitsBill === true;
  }

  /** The answer came in one piece, and is one JSON text that reports usage. */
  get isOneText(): boolean {
    return this.#reader?.isOneText === true;
  }

  /**
   * The provider's response is complete.
   * @param byConnection nothing but the connection's end said so
   */
  responseEnded(client: PieceSink, byConnection = false): void {
    this.#ended = true;
    this.#endedByConnection = byConnection;
    this.#reader?.end();
    this.#withholder?.end(client);
  }

  /**
   * A 200 may hold nothing that anybody bills: an error instead of an answer, a page, not a word, or an event stream
   * without an event that names a model or holds a text. Where only the connection's end says that this is all, it counts
   * as that when it says so itself (a whole JSON text, `[DONE]`): a provider that dies has begun to bill, and looks the same.
   */
  #holdsNothing(reading: UsageReading | null): boolean {
    if (!this.#isRead || this.#format === 'packed') return false;
    if (this.#format === 'page') return true;
    if ((reading?.textBytes ?? 0) > 0) return false;
    if (reading?.sawError === true) return true;
    if (!this.#ended || this.#endpoint === 'reports') return false;
    if (this.#endedByConnection && !this.#saysItsEnd(reading)) return false;
    if (reading === null) return true;
    if (reading.isBlind || reading.model !== null) return false;
    return this.#withEvents || !reading.sawJson;
  }

  #saysItsEnd(reading: UsageReading | null): boolean {
    return reading?.sawEnd === true || (!this.#withEvents && reading?.sawJson === true);
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  /**
   * What was used, as far as anybody can tell; releases everything.
   * @param requestBytes of the body that were received; 0 when it never came to its end, which no provider bills
   */
  finish(requestBytes: number): MeteredUsage {
    this.#requestIsOver();
    const reading = this.#reader?.reading() ?? null;
    const counts = reading?.counts ?? null;
    const told = reading?.lines ?? null;
    this.#reader?.release();
    // What is still passed on of a piece that ended its attempt is read no more.
    this.#reader = null;
    // A stream that breaks off with an error event, or behind its opening, may end well as a message; what it had told was
    // the beginning.
    const broken = this.#withEvents && (reading?.sawError === true || reading?.isOpening === true);
    const final = reading?.sawEnd === true || reading?.sawBill === true || (this.#ended && !broken);
    if (counts !== null && final) {
      this.#learn(requestBytes, counts);
      const high = { inputTokens: inputOf(counts), outputTokens: counts.outputTokens ?? 0 };
      return this.#used(reading, 'reported', counts, told, high);
    }
    const failed = this.#status >= 300;
    if (counts === null && (this.#endpoint === 'free' || failed || this.#holdsNothing(reading))) {
      return this.#used(reading, 'none', NOTHING, told, NO_TOKENS);
    }
    return this.#estimated(reading, requestBytes);
  }

  /** A stream has told why it is over, or that it is. */
  get isWritten(): boolean {
    return this.#reader?.isWritten === true;
  }

  /** How many tokens were seen of a running answer, reported and by its text: it grows at least as fast as what the answer costs. */
  get tokensSeen(): number {
    const reader = this.#reader;
    return reader === null ? 0 : reader.tokensTold + reader.textBytes / HIGH_BYTES_PER_TOKEN;
  }

  /**
   * What a running answer has used so far; nothing is released.
   * @param isHigh the text is counted as for budgets, else as for bills; what was reported is told as it was
   */
  usedSoFar(requestBytes: number, isHigh: boolean): MeteredUsage {
    const used = this.#estimated(this.#reader?.soFar() ?? null, requestBytes);
    if (!isHigh) return used;
    const { inputTokens, outputTokens } = used.high;
    const isTold = this.#reader !== null && this.#reader.tokensTold > 0;
    const counts = {
      ...used.counts,
      inputTokens: isTold ? used.counts.inputTokens : inputTokens,
      outputTokens,
    };
    return { ...used, counts, lines: withTotals(used.lines, counts) };
  }

  #estimated(reading: UsageReading | null, requestBytes: number): MeteredUsage {
    const counts = reading?.counts ?? null;
    const told = reading?.lines ?? null;
    const relayed: Relayed = {
      requestBytes,
      requestTextBytes: this.#requestTextBytes,
      bytesPerToken: this.#ratios.of(this.#ratioKey),
      // Of what is not a model's writing (embeddings, reranked documents) no text is output.
      responseTextBytes: this.#endpoint === 'reports' ? 0 : (reading?.textBytes ?? 0),
      answered: this.#ended && this.#endpoint !== 'reports',
    };
    const { inputTokens, outputTokens } = estimateUsage(relayed);
    const most = highEstimate(relayed);
    const estimate = {
      ...(counts ?? NOTHING),
      inputTokens: counts?.inputTokens ?? inputTokens,
      outputTokens: Math.max(counts?.outputTokens ?? 0, outputTokens),
    };
    // What was not reported is the answering model's: lines that were told of others stay as they are.
    const lines = withTotals(told, estimate);
    const high = {
      inputTokens: counts?.inputTokens == null ? most.inputTokens : inputOf(counts),
      outputTokens: Math.max(estimate.outputTokens, most.outputTokens),
    };
    return this.#used(reading, 'estimated', estimate, lines, high);
  }

  /** Written out: copied by spreading, it was 0.6 KB and 0.4 us of each request. */
  #used(
    reading: UsageReading | null,
    source: UsageSource,
    counts: UsageCounts,
    lines: readonly BillingLine[] | null,
    high: TokenEstimate,
  ): MeteredUsage {
    return {
      model: reading?.model ?? null,
      requestedModel: this.#requestedModel,
      streamAsked: this.#streamAsked,
      source,
      counts,
      lines,
      raw: reading?.raw ?? null,
      details: reading?.details ?? null,
      serviceTier: reading?.serviceTier ?? null,
      toolUses: reading?.toolUses ?? NO_TOOL_USES,
      high,
    };
  }

  /** Put together once a request: the text is hashed anew each time. */
  get #ratioKey(): string {
    const model = this.#requestedModel ?? this.#pathModel ?? '';
    this.#askedFor ??= `${this.#provider.name}/${model}`;
    return this.#askedFor;
  }

  #learn(requestBytes: number, counts: UsageCounts): void {
    const textBytes = this.#requestTextBytes;
    if (textBytes === null || counts.inputTokens === null || this.#endpoint === 'reports') return;
    if (!teaches(requestBytes, textBytes)) return;
    // What one server adds of its own (a file searched, an earlier turn) is no text of this request.
    const tokens = this.#provider.dialect === 'anthropic' ? inputOf(counts) : counts.inputTokens;
    this.#ratios.learn(this.#ratioKey, textBytes, tokens);
  }
}

/** All input tokens, where cached ones are told beside the others (Anthropic); else more than there were. */
function inputOf({ inputTokens, cacheReadTokens, cacheWriteTokens }: UsageCounts): number {
  return (inputTokens ?? 0) + (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0);
}

/** The lines, the first one changed so that they add up to `counts`. */
function withTotals(
  lines: readonly BillingLine[] | null,
  counts: UsageCounts,
): readonly BillingLine[] | null {
  const [own, ...others] = lines ?? [];
  if (own === undefined) return null;
  const rest = (name: 'inputTokens' | 'outputTokens'): number =>
    others.reduce((sum, line) => sum - (line.counts[name] ?? 0), counts[name] ?? 0);
  const changed = {
    ...own.counts,
    inputTokens: rest('inputTokens'),
    outputTokens: rest('outputTokens'),
  };
  return [{ ...own, counts: changed }, ...others];
}
