import { Buffer } from 'node:buffer';
import { type Billed, BilledUsage } from './billed-usage.ts';
import type { BodyFormat } from './body-format.ts';
import { isError } from './error-object.ts';
import { type EventSink, EventStream, lastBlockStart } from './event-stream.ts';
import { JsonCaptures } from './json-captures.ts';
import { pathBits, RESPONSE_PATH, RESPONSE_PATHS } from './json-paths.ts';
import type { JsonScanner } from './json-scanner.ts';
import { MODEL_MAX_BYTES } from './request-facts.ts';
import { ToolCalls } from './tool-calls.ts';
import { objectOf, type Usage } from './usage-counters.ts';
import { UsageSkim } from './usage-skim.ts';
import { decodedString } from './value-capture.ts';

/** What a response says of itself. */
export interface UsageReading extends Billed {
  /** What the provider says it served: the first name that is not empty. */
  readonly model: string | null;
  /** The last usage object, as sent; null when there was none, or none of at most USAGE_RAW_MAX_BYTES. */
  readonly raw: string | null;
  /** The body, or an event of it, holds an error. */
  readonly sawError: boolean;
  /** Of what was read, something was a JSON text. */
  readonly sawJson: boolean;
  /** No scan was free for some of it: what it says is not known. */
  readonly isBlind: boolean;
  /** Of an event stream: only what its opening event announced was told, not what it came to. */
  readonly isOpening: boolean;
  /** An event stream said that it is complete, or broke off with its bill: nothing after it changes a count. */
  readonly sawEnd: boolean;
  /** An event stream reported usage behind its end sign: that is the bill, even if its last words never came. */
  readonly sawBill: boolean;
  /** Bytes of answer text seen in the deltas of an event stream, or in the texts of a JSON answer; errs low. */
  readonly textBytes: number;
}

/** What `usage_raw` of a fact may hold (contracts: the `ai.usage` fact). */
export const USAGE_RAW_MAX_BYTES = 4_096;

const P = RESPONSE_PATH;

/** In the order in which they are asked: of two usages in one text, the last one counts. */
const USAGE_PATHS = [
  P.xGroqUsage,
  P.meta,
  P.responseMeta,
  P.deltaUsage,
  P.messageUsage,
  P.interactionUsage,
  P.responseUsage,
  P.usageMetadata,
  P.usage,
] as const;
const MODEL_PATHS = [P.model, P.messageModel, P.responseModel, P.modelVersion] as const;
const ERROR_PATHS = [P.error, P.responseError] as const;
const TIER_PATHS = [P.serviceTier, P.responseServiceTier] as const;
const TOOL_PATHS = [P.toolUsage, P.responseToolUsage] as const;
/** Ollama's counters: its usage object is the answer itself. */
const COUNTER_PATHS = [P.promptEvalCount, P.evalCount] as const;
/** Of a whole answer that reports, nobody asks whether it is an error, or what it ends. */
const WANTED_OF_WHOLE = pathBits(
  ...USAGE_PATHS,
  ...MODEL_PATHS,
  ...TIER_PATHS,
  ...TOOL_PATHS,
  ...COUNTER_PATHS,
);
const WANTED = WANTED_OF_WHOLE | pathBits(...ERROR_PATHS, P.type, P.object);
/** Each value that is told costs as much as 50 bytes that are not: what few bodies need is asked for where it is needed. */
const WANTED_OF_PART = WANTED | pathBits(P.choices);
/** A long answer's choices are not kept to look for usage in them. */
const WANTED_OF_LONG = WANTED | pathBits(P.root);
const WANTED_OF_ODD = WANTED | pathBits(P.root, P.choices);

/**
 * Most bytes kept of an event that reads cut, to count its text when it is whole: deltas are far smaller. Held only while
 * the event is open.
 */
const CUT_MAX_BYTES = 4_096;

/** An answer that may be an error of a kind of its own is kept so far: FastAPI's `{"detail":…}`. In bytes. */
const SMALL_MAX_BYTES = 4_096;

/** Events behind which a stream says nothing more about usage. */
const FINAL_TYPES: ReadonlySet<string> = new Set([
  'message_stop',
  'response.completed',
  'response.incomplete',
  'response.failed',
]);
const ERROR = 'error';
const DONE = Buffer.from('[DONE]');
const LETTER_N = 0x6e;
const LF = 0x0a;
/** JSON's white space, and the separator of RFC 7464, are what is not above it. */
const SPACE = 0x20;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Reads model and usage from a response while it streams by.
 *
 * Decision: no tail of the body is kept. A 64 KiB tail for each open stream would alone cost three times what a stream
 * may cost (brief: 20 KB), and the truth can stand outside of it: ahead of a long answer (Mistral, Perplexity,
 * background Responses), in `message_start`, in an event of 100 KB. The scanner sees every byte instead, holds a slot of
 * 256 bytes and the captured values, and only while an event that may matter is open.
 *
 * Event streams: whole events of a chunk are skimmed for the few keys that matter and scanned only where one occurs;
 * an event that the chunk cuts is scanned as it comes.
 */
export class UsageReader implements EventSink {
  readonly #scanner: JsonScanner;
  readonly #format: BodyFormat;
  /** Made when they are first needed: most JSON answers need neither. */
  #madeStream: EventStream | null = null;
  #madeSkim: UsageSkim | null = null;
  #captures: JsonCaptures | null = null;
  readonly #usage = new BilledUsage();
  readonly #countsCalls: boolean;
  /** What came of a small JSON body in several pieces; null before and where it is none. */
  #small: Buffer[] | null = null;
  #smallBytes = 0;
  /** Bits of the paths that the next JSON text is read for. */
  #wanted: number;
  /** Of the current JSON text. */
  #calls: ToolCalls | null = null;
  #raw: string | null = null;
  #model: string | null = null;
  #sawError = false;
  #sawEnd = false;
  #sawBill = false;
  #sawJson = false;
  #isOneText = false;
  #isBlind = false;
  #isOpening = false;
  /** Data of an event that reads cut, as far as it is kept to count its text. */
  #cut: Buffer[] | null = null;
  #cutBytes = 0;
  /** The event being read lies whole in a chunk, where its text is counted. */
  #isWhole = false;
  /** Something of the current chunk was read. */
  #hasRead = false;
  /** Bytes of `[DONE]` that the open event's data has so far; -1 when it is something else. */
  #doneBytes = 0;

  /** @param countsCalls the calls of a provider's tools in an answer are counted (the Responses API) */
  constructor(scanner: JsonScanner, format: BodyFormat, countsCalls = false) {
    this.#scanner = scanner;
    this.#format = format;
    this.#countsCalls = countsCalls;
    this.#wanted = format === 'json' ? WANTED_OF_LONG : WANTED_OF_PART;
  }

  /**
   * @param last the body is complete with it, as far as its framing tells in time
   * @returns false when it is known that no usage stands in it, nor a part of one
   */
  push(chunk: Buffer, last: boolean): boolean {
    if (this.#format === 'events') return this.#pushEvents(chunk);
    if (this.#format === 'lines') this.#pushLines(chunk);
    else if (last && this.#captures === null && this.#smallBytes === 0) this.#pushWhole(chunk);
    else {
      this.#keepSmall(chunk);
      this.#pushTexts(chunk, last);
    }
    if (last) this.#readText();
    // Most answers have one piece, and usage in it: then nobody asks for their text.
    if (!last || !this.#usage.hasCounts) this.#skim.deltas.countAnswer(chunk);
    return true;
  }

  /** The body is complete. */
  end(): void {
    if (this.#format === 'json') this.#judgeSmall();
    if (this.#format !== 'events') this.#readText();
    // An event that no blank line ended is none (WHATWG HTML §9.2.6), but some providers end their last one so.
    else if (!this.#stream.betweenEvents) {
      this.#stream.finish();
      this.#endEvent();
    }
  }

  #keepSmall(chunk: Buffer): void {
    this.#smallBytes += chunk.length;
    if (this.#smallBytes > SMALL_MAX_BYTES) {
      this.#small = null;
      return;
    }
    this.#small ??= [];
    this.#small.push(Buffer.from(chunk));
  }

  /** What names no model and no usage may be an error that does not say so. */
  #judgeSmall(): void {
    const small = this.#small;
    this.#small = null;
    if (small === null || this.#smallBytes === 0 || this.#usage.hasCounts || this.#model !== null)
      return;
    try {
      if (isError(JSON.parse(Buffer.concat(small).toString()))) this.#sawError = true;
    } catch {
      // Several texts, or none.
    }
  }

  /** An event stream has said why its answer is over (its end sign), and neither its bill nor its last word came. */
  get awaitsBill(): boolean {
    return this.#sawEndSign && !this.#sawBill && !this.#sawEnd;
  }

  get #stream(): EventStream {
    this.#madeStream ??= new EventStream();
    return this.#madeStream;
  }

  get #skim(): UsageSkim {
    this.#madeSkim ??= new UsageSkim();
    return this.#madeSkim;
  }

  get #sawEndSign(): boolean {
    return this.#madeSkim?.sawEndSign === true;
  }

  /** The body came in one piece, and is one JSON text that reports usage. */
  get isOneText(): boolean {
    return this.#isOneText;
  }

  /** All tokens that the body has reported so far. */
  get tokensTold(): number {
    return this.#usage.tokensTold;
  }

  /** Bytes of text that were counted so far. */
  get textBytes(): number {
    return this.#madeSkim?.deltas.textBytes ?? 0;
  }

  /** An event stream has told why it is over, or that it is: no more of it is written. */
  get isWritten(): boolean {
    return this.#sawEnd || this.#sawEndSign;
  }

  reading(): UsageReading {
    this.#countCut();
    // A text that was cut may have told before: then that is what is known.
    if (this.#format === 'json') this.#readText();
    return this.soFar();
  }

  /** What it has said so far, while more of it comes. */
  soFar(): UsageReading {
    const { counts, lines, details, serviceTier, toolUses } = this.#usage.billed(this.#model);
    return {
      counts,
      lines,
      details,
      serviceTier,
      toolUses,
      model: this.#model,
      raw: this.#raw,
      sawError: this.#sawError,
      sawJson: this.#sawJson,
      isBlind: this.#isBlind,
      isOpening: this.#isOpening && this.#format === 'events',
      sawEnd: this.#sawEnd,
      sawBill: this.#sawBill,
      textBytes: this.textBytes,
    };
  }

  /** Gives the scan back, if one is open. */
  release(): void {
    this.#captures?.recycle();
    this.#captures = null;
  }

  /** @param isEnd the text is read before its bytes are overwritten */
  #scan(bytes: Buffer, isEnd: boolean): void {
    this.#captures ??= this.#capture();
    this.#captures?.push(bytes, isEnd);
    if (!this.#countsCalls) return;
    this.#calls ??= new ToolCalls();
    this.#calls.push(bytes);
  }

  /** A body in one piece, as most answers are: one JSON text that reports, or it is looked at again as something odd. */
  #pushWhole(chunk: Buffer): void {
    this.#wanted = WANTED_OF_WHOLE;
    this.#scan(chunk, true);
    const isJson = this.#captures?.isJson === true;
    this.#readText();
    this.#isOneText = isJson && this.#usage.hasCounts;
    if (this.#isOneText) return;
    this.#keepSmall(chunk);
    this.#wanted = WANTED_OF_ODD;
    this.#pushTexts(chunk, true);
  }

  /**
   * One JSON text, or several: some stream lines of JSON under the type of one, and Gemini an array of its events, which
   * is read as its elements.
   */
  #pushTexts(chunk: Buffer, last: boolean): void {
    let at = 0;
    for (;;) {
      if (this.#captures === null || this.#captures.hasEnded) at = nextText(chunk, at);
      if (at === chunk.length) return;
      if (this.#captures?.hasEnded === true) this.#readText();
      this.#scan(at === 0 ? chunk : chunk.subarray(at), last);
      if (this.#captures?.hasEnded !== true) return;
      at += this.#captures.endedAt;
    }
  }

  #capture(): JsonCaptures | null {
    const captures = JsonCaptures.open(this.#scanner, RESPONSE_PATHS, this.#wanted) ?? null;
    this.#isBlind ||= captures === null;
    return captures;
  }

  #pushLines(chunk: Buffer): void {
    let line = 0;
    for (let lf = chunk.indexOf(LF); lf >= 0; lf = chunk.indexOf(LF, line)) {
      this.#scan(chunk.subarray(line, lf), true);
      this.#readText();
      line = lf + 1;
    }
    if (line < chunk.length) this.#scan(chunk.subarray(line), false);
  }

  /** @returns whether anything was read, and not jumped over */
  #pushEvents(chunk: Buffer): boolean {
    const stream = this.#stream;
    let at = stream.begin(chunk);
    this.#hasRead = false;
    if (at < chunk.length && !stream.betweenEvents) at = this.#readEvents(chunk, at, at);
    if (at < chunk.length && stream.betweenEvents) at = this.#skimEvents(chunk, at);
    if (at < chunk.length) this.#readEvents(chunk, at, chunk.length);
    return this.#hasRead;
  }

  /**
   * Reads the whole events of a chunk that hold something of interest.
   * @returns where the events begin that the chunk may cut
   */
  #skimEvents(chunk: Buffer, from: number): number {
    const to = lastBlockStart(chunk, from, chunk.length);
    let at = from;
    for (;;) {
      const hit = this.#skim.next(chunk, at, to, this.#model === null);
      if (hit < 0) return to;
      this.#isWhole = true;
      at = this.#readEvents(chunk, lastBlockStart(chunk, at, hit), hit);
      this.#isWhole = false;
      this.#skim.countIn(chunk, hit, at);
    }
  }

  /** @returns the offset behind the event that holds the byte at `past`, or the chunk's length */
  #readEvents(chunk: Buffer, from: number, past: number): number {
    let at = from;
    this.#hasRead = true;
    do {
      const end = this.#stream.read(chunk, at, this);
      if (end < 0) return chunk.length;
      this.#endEvent();
      at = end;
    } while (at <= past && at < chunk.length);
    return at;
  }

  onData(chunk: Buffer, from: number, to: number): void {
    if (this.#doneBytes >= 0) this.#matchDone(chunk, from, to);
    this.#scan(chunk.subarray(from, to), this.#isWhole);
    if (this.#isWhole || this.#cutBytes >= CUT_MAX_BYTES) return;
    const kept = chunk.subarray(from, Math.min(to, from + CUT_MAX_BYTES - this.#cutBytes));
    this.#cut ??= [];
    this.#cut.push(Buffer.from(kept));
    this.#cutBytes += kept.length;
  }

  #matchDone(chunk: Buffer, from: number, to: number): void {
    for (let at = from; at < to; at++) {
      if (chunk[at] !== DONE[this.#doneBytes]) {
        this.#doneBytes = -1;
        return;
      }
      this.#doneBytes++;
    }
  }

  #endEvent(): void {
    if (this.#doneBytes === DONE.length) this.#sawEnd = true;
    this.#doneBytes = 0;
    this.#countCut();
    if (this.#stream.wasError) this.#sawError = true;
    this.#readText();
  }

  #countCut(): void {
    if (this.#cut === null) return;
    const data = Buffer.concat(this.#cut, this.#cutBytes);
    this.#skim.countIn(data, 0, data.length);
    this.#cut = null;
    this.#cutBytes = 0;
  }

  /** One JSON text is over: takes what it said. */
  #readText(): void {
    const captures = this.#captures;
    if (captures === null) return;
    const reported = this.#takeReports(captures);
    // Some report in every event: of several choices, the first that ends is not all.
    if (reported && this.#sawEndSign && hasNoChoices(captures)) this.#sawBill = true;
    for (const path of MODEL_PATHS) {
      if (captures.has(path)) this.#model ??= nameAt(captures, path);
    }
    for (const path of TIER_PATHS) {
      if (captures.has(path)) this.#usage.tier(nameAt(captures, path));
    }
    for (const path of ERROR_PATHS) {
      if (!captures.has(path)) continue;
      const value = captures.at(path);
      if (value === undefined || value.first === LETTER_N) continue;
      this.#sawError = true;
      // OpenRouter's error chunk can carry the usage of what it broke off: that is all there will be.
      if (reported) this.#sawEnd = true;
    }
    const type = captures.has(P.type) ? nameAt(captures, P.type) : null;
    if (type !== null && FINAL_TYPES.has(type)) this.#sawEnd = true;
    // vLLM and Mistral spell an error so, with its message at the root.
    const object = captures.has(P.object) ? captures.at(P.object) : undefined;
    if (type === ERROR || (object?.length === ERROR.length + 2 && object.text() === `"${ERROR}"`))
      this.#sawError = true;
    if (captures.isJson) this.#sawJson = true;
    this.#calls = null;
    this.release();
  }

  /** @returns whether the text reported usage */
  #takeReports(captures: JsonCaptures): boolean {
    let reported = false;
    for (const path of USAGE_PATHS) {
      if (!captures.has(path)) continue;
      if (path === P.xGroqUsage && textAt(captures, P.usage)?.startsWith('{') === true) continue;
      if (!this.#takeUsage(textAt(captures, path))) continue;
      reported = true;
      this.#isOpening = path === P.messageUsage;
    }
    for (const path of TOOL_PATHS) {
      const tools = captures.has(path) ? parsedObject(textAt(captures, path)) : null;
      if (tools !== null) this.#usage.toolUsage(tools);
    }
    if (reported && this.#calls !== null) this.#usage.calls(this.#calls.uses);
    return reported || this.#takeChoices(captures) || this.#takeCounters(captures);
  }

  #takeUsage(text: string | null): boolean {
    const usage = parsedObject(text);
    if (text === null || usage === null || !this.#usage.report(usage)) return false;
    // At most three bytes of UTF-8 a character: most need no counting.
    const isShort = text.length * 3 <= USAGE_RAW_MAX_BYTES;
    this.#raw = isShort || Buffer.byteLength(text) <= USAGE_RAW_MAX_BYTES ? text : null;
    return true;
  }

  /** Moonshot reports a stream's usage in its last choice (https://platform.moonshot.ai/docs/api/chat). */
  #takeChoices(captures: JsonCaptures): boolean {
    const text = captures.has(P.choices) ? textAt(captures, P.choices) : null;
    if (text?.includes('"usage"') !== true) return false;
    const choices = parsed(text);
    if (!Array.isArray(choices)) return false;
    const usage = choices.map((choice) => objectOf(choice?.usage)).findLast((one) => one !== null);
    return usage !== undefined && this.#takeUsage(JSON.stringify(usage));
  }

  /** Ollama's own API counts at the root of its answer, or of a stream's last line. */
  #takeCounters(captures: JsonCaptures): boolean {
    if (!COUNTER_PATHS.some((path) => captures.has(path))) return false;
    const [prompt, written] = COUNTER_PATHS.map((path) => textAt(captures, path) ?? 'null');
    return this.#takeUsage(`{"prompt_eval_count":${prompt},"eval_count":${written}}`);
  }
}

function hasNoChoices(captures: JsonCaptures): boolean {
  return !captures.has(P.choices) || textAt(captures, P.choices) === '[]';
}

/** Where behind white space, and what holds the elements of an array together, a JSON text begins. */
function nextText(chunk: Buffer, from: number): number {
  let at = from;
  while (at < chunk.length && isBetweenTexts(chunk[at] ?? 0)) at++;
  return at;
}

function isBetweenTexts(byte: number): boolean {
  return byte <= SPACE || byte === COMMA || byte === OPEN_BRACKET || byte === CLOSE_BRACKET;
}

/** The whole value at a path; null without one, or when it is larger than what is kept. */
function textAt(captures: JsonCaptures, path: number): string | null {
  const value = captures.at(path);
  return value === undefined || value.isTruncated ? null : value.text();
}

function nameAt(captures: JsonCaptures, path: number): string | null {
  const value = captures.at(path);
  const text = value === undefined ? null : decodedString(value, MODEL_MAX_BYTES)?.text;
  return text === undefined || text === '' ? null : text;
}

function parsed(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function parsedObject(text: string | null): Usage | null {
  return objectOf(parsed(text));
}
