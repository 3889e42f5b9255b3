/**
 * The one door of the room: a request, an answer, a stream and an error from one wire to another. Pure: no I/O, no clock, no
 * chance; the same in gives the same out, byte for byte, on every node. Two sides of one wire never come here.
 */

import { Buffer } from 'node:buffer';
import { EventData } from '../wire/event-data.ts';
import { type EventSink, EventStream } from '../wire/event-stream.ts';
import { JsonElements } from '../wire/json-elements.ts';
import { JsonLines } from '../wire/json-lines.ts';
import type { AnswerSink, ReplyTerms } from './answer.ts';
import { MessageAnswerReader } from './anthropic-messages/answer-reader.ts';
import { MessageAnswerWriter } from './anthropic-messages/answer-writer.ts';
import { messageError } from './anthropic-messages/errors.ts';
import { readCountRequest, readMessagesRequest } from './anthropic-messages/request-reader.ts';
import { writeMessagesRequest } from './anthropic-messages/request-writer.ts';
import { MessageStreamWriter } from './anthropic-messages/stream-writer.ts';
import type { Conversation } from './conversation.ts';
import { ReadEmbeddings } from './embeddings/translation.ts';
import type { WantedVectors } from './embeddings/vectors.ts';
import { type Failure, failureOf, TOO_LARGE, UNREADABLE } from './failures.ts';
import { GeminiAnswerReader } from './gemini/answer-reader.ts';
import {
  geminiCount,
  geminiCountPath,
  geminiPath,
  geminiQuery,
  writeGeminiCount,
  writeGeminiRequest,
} from './gemini/request-writer.ts';
import { type JsonObject, withoutMark } from './json-values.ts';
import { Losses, malformed, Refusal } from './losses.ts';
import { OllamaAnswerReader } from './ollama/answer-reader.ts';
import { writeOllamaRequest } from './ollama/request-writer.ts';
import { ChatAnswerReader } from './openai-chat/answer-reader.ts';
import { ChatAnswerWriter } from './openai-chat/answer-writer.ts';
import { chatError } from './openai-chat/errors.ts';
import { readChatRequest } from './openai-chat/request-reader.ts';
import { writeChatRequest } from './openai-chat/request-writer.ts';
import { ChatStreamWriter } from './openai-chat/stream-writer.ts';
import { ResponseAnswerWriter } from './openai-responses/answer-writer.ts';
import { readResponsesRequest } from './openai-responses/request-reader.ts';
import { ResponseStreamWriter } from './openai-responses/stream-writer.ts';
import { ToolNames } from './wire-names.ts';
import { type AskedWire, type CallerWire, streamsLines, type TargetWire } from './wires.ts';

export { TranslatedVectors } from './embeddings/translation.ts';
export type { WantedVectors } from './embeddings/vectors.ts';
export { withoutForeignThoughts } from './foreign-thoughts.ts';

/** What a request is written for. */
export interface TranslationTarget {
  /** Its name in the provider table. */
  readonly provider: string;
  /** The name that the provider knows. */
  readonly model: string;
  /** A stream's usage has to be asked for (OpenAI's chat wire). */
  readonly asksForUsage: boolean;
}

export interface TranslatedRequest {
  /** What it is written in. */
  readonly wire: TargetWire;
  /** JSON in UTF-8. */
  readonly body: Buffer;
  /** Behind the prefix of the target's wire: `/chat/completions`, `/messages`, `/models/NAME:generateContent`. */
  readonly path: string;
  /** Without its question mark; `''` where there is none. */
  readonly query: string;
  readonly isStream: boolean;
  /** What the answer needs to know of it. */
  readonly wantsUsage: boolean;
  /** How many answers at once. */
  readonly choices: number;
  readonly toolNames: ReadonlyMap<string, string>;
  readonly echoed: JsonObject | null;
  /** The vectors that its caller wants; null: it is a conversation. */
  readonly vectors: WantedVectors | null;
  /** Only its tokens are counted; what is told where its provider does not say. Null: it is answered. */
  readonly estimatedTokens: number | null;
  /** Names of what is lost, for `x-sluice-dropped`. */
  readonly dropped: readonly string[];
  /** `name=value` of what is carried changed, for `x-sluice-adjusted`. */
  readonly adjusted: readonly string[];
}

interface AnswerReader {
  /** What it keeps of a stream between two events, in UTF-16 units. */
  readonly keptUnits: number;
  event(data: string, isError: boolean): void;
  /** The stream is over, in good order. */
  end(): void;
  /** It broke. */
  cut(): void;
  whole(text: string): void;
}

interface AnswerWriter extends AnswerSink {
  readonly answer: object;
  readonly failure: Failure | null;
}

interface StreamWriter extends AnswerSink {
  /** What it keeps between two events, in UTF-16 units. */
  readonly keptUnits: number;
  /** It told an error: nothing may follow. */
  readonly hasFailed: boolean;
  take(): string;
}

/** Of a wire that callers ask in. */
interface CallerDoors {
  readonly read: (text: string) => Conversation;
  readonly answerWriter: (terms: ReplyTerms) => AnswerWriter;
  readonly streamWriter: (terms: ReplyTerms) => StreamWriter;
  readonly error: (failure: Failure) => Told;
}

/** Of a wire that providers are asked in. */
interface TargetDoors {
  readonly path: (model: string, isStream: boolean) => string;
  readonly query: (isStream: boolean) => string;
  /** Of a tool's name. */
  readonly nameMaxChars: number;
  /** One that begins with a digit or a dash is refused. */
  readonly nameOpensWithLetter?: true;
  readonly write: (
    said: Conversation,
    target: TranslationTarget,
    losses: Losses,
    names: ToolNames,
  ) => object;
  readonly reader: (sink: AnswerSink) => AnswerReader;
}

/** A status, and the body that goes with it. */
interface Told {
  readonly status: number;
  readonly body: object;
}

export interface ToldError extends Told {
  /** When to try again, where only the body said so; null: it did not. */
  readonly retryAfterSeconds: number | null;
  /** What came was a success, and none that could be read: it may be billed. */
  readonly isUnread: boolean;
}

const CALLERS: Readonly<Record<CallerWire, CallerDoors>> = {
  'openai-chat': {
    read: readChatRequest,
    answerWriter: (terms) => new ChatAnswerWriter(terms),
    streamWriter: (terms) => new ChatStreamWriter(terms),
    error: chatError,
  },
  'openai-responses': {
    read: readResponsesRequest,
    answerWriter: (terms) => new ResponseAnswerWriter(terms),
    streamWriter: (terms) => new ResponseStreamWriter(terms),
    error: chatError,
  },
  'anthropic-messages': {
    read: readMessagesRequest,
    answerWriter: (terms) => new MessageAnswerWriter(terms),
    streamWriter: (terms) => new MessageStreamWriter(terms),
    error: messageError,
  },
};

const TARGETS: Readonly<Record<TargetWire, TargetDoors>> = {
  'openai-chat': {
    path: () => '/chat/completions',
    query: () => '',
    nameMaxChars: 64,
    write: writeChatRequest,
    reader: (sink) => new ChatAnswerReader(sink),
  },
  'anthropic-messages': {
    path: () => '/messages',
    query: () => '',
    nameMaxChars: 128,
    write: (said, { model }, losses, names) => writeMessagesRequest(said, model, losses, names),
    reader: (sink) => new MessageAnswerReader(sink),
  },
  gemini: {
    path: geminiPath,
    query: geminiQuery,
    nameMaxChars: 64,
    nameOpensWithLetter: true,
    write: (said, { model }, losses, names) => writeGeminiRequest(said, model, losses, names),
    reader: (sink) => new GeminiAnswerReader(sink),
  },
  ollama: {
    path: () => '/chat',
    query: () => '',
    nameMaxChars: 64,
    write: (said, { model }, losses, names) => writeOllamaRequest(said, model, losses, names),
    reader: (sink) => new OllamaAnswerReader(sink),
  },
};

/** A request that was read: written as often as there are targets. */
export class ReadRequest {
  readonly #said: Conversation;

  private constructor(said: Conversation) {
    this.#said = said;
  }

  /**
   * @param body JSON in UTF-8, whole
   * @returns a refusal where it is none of its wire, or asks for what that wire alone can carry
   */
  static of(from: CallerWire, body: Buffer): ReadRequest | Refusal {
    return orRefusal(() => new ReadRequest(CALLERS[from].read(withoutMark(body.toString()))));
  }

  /** A body whose tokens are to be counted: Anthropic's callers ask for that in a request of its own. */
  static ofCount(body: Buffer): ReadRequest | Refusal {
    return orRefusal(() => new ReadRequest(readCountRequest(withoutMark(body.toString()))));
  }

  /**
   * How many tokens it has, asked of Gemini: nobody else's wire counts what is written anew.
   * @param estimatedTokens what is told where Gemini does not say
   */
  countedBy(target: TranslationTarget, estimatedTokens: number): TranslatedRequest | Refusal {
    const losses = new Losses();
    const { nameMaxChars, nameOpensWithLetter } = TARGETS.gemini;
    const names = new ToolNames(nameMaxChars, nameOpensWithLetter);
    return orRefusal(() => {
      const written = writeGeminiRequest(this.#said, target.model, losses, names);
      return {
        wire: 'gemini',
        body: Buffer.from(JSON.stringify(writeGeminiCount(written, target.model))),
        path: geminiCountPath(target.model),
        query: '',
        isStream: false,
        wantsUsage: false,
        choices: 1,
        toolNames: names.changed,
        echoed: null,
        vectors: null,
        estimatedTokens,
        dropped: losses.dropped,
        adjusted: losses.adjusted,
      };
    });
  }

  /** @returns a refusal where it asks for what the target's wire cannot carry */
  writtenFor(to: TargetWire, target: TranslationTarget): TranslatedRequest | Refusal {
    const doors = TARGETS[to];
    const losses = new Losses();
    const names = new ToolNames(doors.nameMaxChars, doors.nameOpensWithLetter);
    const { isStream } = this.#said;
    return orRefusal(() => {
      const written = doors.write(this.#said, target, losses, names);
      return {
        wire: to,
        body: Buffer.from(JSON.stringify(written)),
        path: doors.path(target.model, isStream),
        query: doors.query(isStream),
        isStream,
        wantsUsage: this.#said.wantsUsage,
        choices: this.#said.choices?.value ?? 1,
        toolNames: names.changed,
        echoed: this.#said.echoed,
        vectors: null,
        estimatedTokens: null,
        dropped: losses.dropped,
        adjusted: losses.adjusted,
      };
    });
  }
}

/** Texts to be made vectors of, read: written as often as there are targets. */
class ReadTexts {
  readonly #read: ReadEmbeddings;

  constructor(read: ReadEmbeddings) {
    this.#read = read;
  }

  writtenFor(to: TargetWire, { model }: TranslationTarget): TranslatedRequest | Refusal {
    const written = this.#read.writtenFor(to, model);
    if (written instanceof Refusal) return written;
    return {
      wire: to,
      body: written.body,
      path: written.path,
      query: '',
      isStream: false,
      wantsUsage: false,
      choices: 1,
      toolNames: NO_NAMES,
      echoed: null,
      vectors: this.#read.wanted,
      estimatedTokens: null,
      dropped: [],
      adjusted: [],
    };
  }
}

const NO_NAMES: ReadonlyMap<string, string> = new Map();

/** A request that was read, whatever it asks. */
export interface ReadAsked {
  /** @returns a refusal where it asks for what the target's wire cannot carry */
  writtenFor(to: TargetWire, target: TranslationTarget): TranslatedRequest | Refusal;
}

/** @param body JSON in UTF-8, whole. @returns as `ReadRequest.of` */
export function readAsked(asked: AskedWire, body: Buffer): ReadAsked | Refusal {
  if (asked !== 'openai-embeddings') return ReadRequest.of(asked, body);
  const read = ReadEmbeddings.of(body);
  return read instanceof Refusal ? read : new ReadTexts(read);
}

function orRefusal<T>(work: () => T): T | Refusal {
  try {
    return work();
  } catch (refusal) {
    if (refusal instanceof Refusal) return refusal;
    if (isTooDeep(refusal)) return malformed('body', 'its JSON is nested too deeply');
    throw refusal;
  }
}

/** JSON is read to any depth, but written by a stack: thousands of levels are nobody's tools, and have no room on it. */
function isTooDeep(error: unknown): boolean {
  return error instanceof RangeError;
}

/** Reads and writes at once. */
export function translateRequest(
  from: CallerWire,
  to: TargetWire,
  body: Buffer,
  target: TranslationTarget,
): TranslatedRequest | Refusal {
  const read = ReadRequest.of(from, body);
  return read instanceof Refusal ? read : read.writtenFor(to, target);
}

/** What Gemini says that was asked to count; null: nothing. */
export function countIn(body: Buffer): number | null {
  return geminiCount(withoutMark(body.toString()));
}

/** A whole answer with a status of success. @returns an error's status where it holds none after all */
export function translateAnswer(
  from: TargetWire,
  to: CallerWire,
  body: Buffer,
  terms: ReplyTerms,
): ToldError {
  const writer = CALLERS[to].answerWriter(terms);
  try {
    TARGETS[from].reader(writer).whole(withoutMark(body.toString()));
  } catch (error) {
    if (isTooDeep(error)) return toldError(to, UNREADABLE);
    throw error;
  }
  const { failure } = writer;
  if (failure !== null) return toldError(to, failure);
  return { status: 200, body: writer.answer, retryAfterSeconds: null, isUnread: false };
}

/**
 * A whole answer where a stream was asked for.
 * @returns the stream's text, from its opening to its end, or an error as `translateAnswer` has it
 */
export function translateAsStream(
  from: TargetWire,
  to: CallerWire,
  body: Buffer,
  terms: ReplyTerms,
): Buffer | ToldError {
  const told = translateAnswer(from, to, body, terms);
  if (told.status !== 200) return told;
  const writer = CALLERS[to].streamWriter(terms);
  TARGETS[from].reader(writer).whole(withoutMark(body.toString()));
  return Buffer.from(writer.take());
}

/** @param isTooLarge else it is no answer at all */
export function untoldAnswer(to: CallerWire, isTooLarge: boolean): ToldError {
  return toldError(to, isTooLarge ? TOO_LARGE : UNREADABLE);
}

/** @param body of an answer with an error's status, in whatever form: what is no JSON is not told */
export function translateError(to: CallerWire, status: number, body: Buffer): ToldError {
  return toldError(to, failureOf(status, parsedJson(withoutMark(body.toString()))));
}

function toldError(to: CallerWire, failure: Failure): ToldError {
  return {
    ...CALLERS[to].error(failure),
    retryAfterSeconds: failure.retryAfterSeconds ?? null,
    isUnread: failure === UNREADABLE || failure === TOO_LARGE,
  };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Of one event, in bytes: pictures come whole in one. A longer one ends the stream with an error. */
const EVENT_MAX_BYTES = 16 * 1024 * 1024;

/** Of UTF-16. */
const UNIT_BYTES = 2;
/** Of all that is kept of a stream, in bytes: more ends it with an error. */
const KEPT_MAX_BYTES = 32 * 1024 * 1024;

/** How a stream is made of its events. */
type Tokenizer = Pick<EventStream, 'begin' | 'read' | 'finish' | 'wasError'>;

/** All of a text is one: an error, or a whole answer where a stream was asked for. */
class WholeText implements Tokenizer {
  readonly wasError = false;

  begin(): number {
    return 0;
  }

  read(chunk: Buffer, from: number, sink: EventSink): number {
    sink.onData(chunk, from, chunk.length);
    return -1;
  }

  finish(): void {}
}

const SPACE = 0x20;
const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;
const BYTE_ORDER_MARK: ReadonlySet<number> = new Set([0xef, 0xbb, 0xbf]);

/** @returns where the first byte is that says what a text is made of; -1: it has not come */
function firstByteAt(piece: Buffer): number {
  return piece.findIndex((byte) => byte > SPACE && !BYTE_ORDER_MARK.has(byte));
}

/**
 * By its first byte, since relays and small servers send streams under every type: an array's elements are events (Gemini
 * without `alt=sse`), an object is one line of several, or an answer of its own.
 */
function tokenizerOf(from: TargetWire, first: number): Tokenizer {
  if (first === OPEN_BRACKET) return new JsonElements();
  if (first === OPEN_BRACE) return streamsLines(from) ? new JsonLines() : new WholeText();
  return new EventStream();
}

/** An event stream on its way from one wire to another: each event leaves in the turn in which its last byte came. */
export class TranslatedStream {
  readonly #from: TargetWire;
  /** Null until its first byte has come. */
  #events: Tokenizer | null = null;
  readonly #data = new EventData(EVENT_MAX_BYTES);
  readonly #reader: AnswerReader;
  readonly #writer: StreamWriter;

  constructor(from: TargetWire, to: CallerWire, terms: ReplyTerms) {
    this.#from = from;
    this.#writer = CALLERS[to].streamWriter(terms);
    this.#reader = TARGETS[from].reader(this.#writer);
  }

  /** @param piece lent @returns what it amounts to, perhaps nothing */
  push(piece: Buffer): Buffer {
    const first = this.#events === null ? firstByteAt(piece) : 0;
    if (first < 0) return NO_BYTES;
    this.#events ??= tokenizerOf(this.#from, piece[first] ?? 0);
    const events = this.#events;
    // What stands in front of the first byte is no part of any event: a byte order mark, white space that keeps alive.
    let at = Math.max(first, events.begin(piece));
    while (at >= 0 && at < piece.length) {
      at = events.read(piece, at, this.#data);
      if (at >= 0) this.#tell(events);
    }
    this.#data.keep();
    if (this.keptBytes > KEPT_MAX_BYTES) this.#reader.cut();
    return this.#taken();
  }

  /** Bytes that are kept from one piece to the next: of an open event, of its reader, of its writer. */
  get keptBytes(): number {
    const units = this.#reader.keptUnits + this.#writer.keptUnits;
    return this.#data.keptBytes + units * UNIT_BYTES;
  }

  /** An error was told, with which it is over: nothing that comes is told any more. */
  get hasFailed(): boolean {
    return this.#writer.hasFailed;
  }

  /** The upstream ended its message in good order. */
  end(): Buffer {
    const events = this.#events;
    events?.finish();
    if (events instanceof WholeText) this.#tellWhole();
    else if (events !== null) this.#tell(events);
    this.#reader.end();
    return this.#taken();
  }

  /** The upstream broke, or was given up: the caller is never told a clean end. */
  cut(): Buffer {
    this.#reader.cut();
    return this.#taken();
  }

  #tell({ wasError }: Tokenizer): void {
    const data = this.#data.take();
    if (data === null) this.#reader.cut();
    else
      try {
        this.#reader.event(data, wasError);
      } catch (error) {
        this.#broke(error);
      }
  }

  #tellWhole(): void {
    const data = this.#data.take();
    if (data === null) this.#reader.cut();
    else
      try {
        this.#reader.whole(data);
      } catch (error) {
        this.#broke(error);
      }
  }

  #broke(error: unknown): void {
    if (!isTooDeep(error)) throw error;
    this.#writer.failed(UNREADABLE);
    this.#reader.cut();
  }

  #taken(): Buffer {
    return Buffer.from(this.#writer.take());
  }
}

const NO_BYTES = Buffer.alloc(0);
