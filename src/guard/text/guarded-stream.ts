import { Buffer } from 'node:buffer';
import { type EventSink, EventStream } from '../../wire/event-stream.ts';
import type { JsonElements } from '../../wire/json-elements.ts';
import type { JsonLines } from '../../wire/json-lines.ts';
import type { GuardSession } from '../guard-session.ts';
import { type EventTexts, eventTexts, type TextPart } from './event-texts.ts';
import { type DataSegment, HeldEvent, keptCopy } from './held-event.ts';
import { jsonTree } from './json-tree.ts';
import { SourceRun } from './source-run.ts';
import type { RunStage } from './text-piece.ts';

/** One event, in bytes: a longer one is nothing that a model says at once. */
const EVENT_MAX_BYTES = 1_048_576;

/** Of one answer: choices, blocks and calls that are open. Above it all of them end, as at the end of the answer. */
const RUNS_MAX = 1_024;

/**
 * Events that wait, in bytes, above which they leave without the text that is held: it goes on in the last one. Few values are
 * written over more events.
 */
const WAITING_BYTES = 4_096;

/**
 * What is held of texts that can still become a part of something, in UTF-16 units: 4 KiB of text in ASCII. A private key in PEM is
 * the longest that a detector looks for.
 */
const HELD_MAX_UNITS = 4_096;

const DONE = '[DONE]';
const LF = 0x0a;
const CLOSE_BRACKET = 0x5d;
const NOTHING = Buffer.alloc(0);
/** In place of an offset: what parts two lines of data is no byte of the event. */
const LINE_END = -1;

/** What tells where one event ends and the next begins. */
type Framing = EventStream | JsonLines | JsonElements;

/**
 * An answer that comes event by event, on any wire: each leaves, in its order, when no guard changes any text of it any more. One of
 * which nothing was changed leaves byte for byte.
 */
export class GuardedStream implements EventSink {
  readonly #framing: Framing;
  readonly #session: GuardSession;
  readonly #runs = new Map<string, RunStage>();
  #waiting: HeldEvent[] = [];
  #waitingBytes = 0;
  /** What came of an event whose end has not: copied. */
  #begun: Buffer[] = [];
  #begunBytes = 0;
  /** The event that is begun is longer than any that is read. */
  #isUnread = false;
  /** Of the block that is being read: where its data stands in the chunk. */
  #segments: DataSegment[] = [];
  #dataBytes = 0;
  /** Of the chunk that is being read: where the block begins that is being read. */
  #blockFrom = 0;
  #chunk: Buffer = NOTHING;
  #out: Buffer[] = [];

  constructor(framing: Framing, session: GuardSession) {
    this.#framing = framing;
    this.#session = session;
  }

  onData(chunk: Buffer, from: number, to: number): void {
    // Of a block that began before this chunk it is read again, when it is whole.
    const at = chunk === this.#chunk ? from - this.#blockFrom : LINE_END;
    this.#segments.push({ at: this.#dataBytes, from: at, bytes: to - from });
    this.#dataBytes += to - from;
  }

  /** @param chunk lent */
  push(chunk: Buffer): void {
    let at = this.#framing.begin(chunk);
    this.#chunk = chunk;
    this.#blockFrom = 0;
    while (at < chunk.length) {
      const end = this.#framing.read(chunk, at, this);
      if (end < 0) break;
      this.#block(chunk.subarray(this.#blockFrom, end));
      this.#blockFrom = at = end;
    }
    if (this.#blockFrom < chunk.length) this.#begin(chunk.subarray(this.#blockFrom));
    for (const event of this.#waiting) event.keep();
    this.#chunk = NOTHING;
    this.#bound();
  }

  /** The answer is over: every run is, and a last event may have no end. */
  finish(): void {
    this.#isUnread = false;
    if (this.#begunBytes > 0) this.#block(NOTHING);
    this.#end('');
  }

  /** The answer breaks off: what is whole of it may leave, and no half event. */
  cut(): void {
    this.#begun = [];
    this.#begunBytes = 0;
    this.#end('');
  }

  /** What is held has been held for as long as it may be. */
  flush(): void {
    let hasLeft = false;
    for (const run of this.#runs.values()) hasLeft = run.flush() || hasLeft;
    if (hasLeft) this.#session.heldTooLong++;
    this.#pass();
  }

  /** Something that was held may leave. What still waits could not go on meanwhile: its time begins now. */
  judged(): void {
    this.#pass();
    const nowMs = performance.now();
    for (const event of this.#waiting) event.heldSinceMs = nowMs;
  }

  /** For how long the first of those that wait has done so, in milliseconds. */
  get heldMs(): number {
    const sinceMs = this.#waiting[0]?.heldSinceMs ?? -1;
    return sinceMs < 0 ? 0 : performance.now() - sinceMs;
  }

  /** Events wait for what comes. */
  get isHolding(): boolean {
    return this.#waiting.length > 0;
  }

  /** What may leave. */
  take(): Buffer {
    const [first = NOTHING] = this.#out;
    const all = this.#out.length > 1 ? Buffer.concat(this.#out) : first;
    this.#out = [];
    return all;
  }

  /** The beginning of an event, in the chunk's last bytes. */
  #begin(part: Buffer): void {
    this.#begun.push(keptCopy(part));
    this.#begunBytes += part.length;
    this.#segments = [];
    this.#dataBytes = 0;
    if (this.#begunBytes > EVENT_MAX_BYTES || this.#isUnread) this.#beginUnread(NOTHING);
  }

  /** What came of an event that is too long to be read leaves behind those that wait. @param rest its last bytes */
  #beginUnread(rest: Buffer): void {
    const event = new HeldEvent(Buffer.concat([...this.#begun, rest]), []);
    this.#begun = [];
    this.#begunBytes = 0;
    this.#isUnread = true;
    this.#session.unscanned('response', event.bytes);
    if (this.#session.blockedBy !== null) return;
    event.isRead = true;
    this.#waiting.push(event);
    this.#waitingBytes += event.bytes;
    this.#end('');
  }

  /** A block is whole. @param rest what of it stands in this chunk */
  #block(rest: Buffer): void {
    if (this.#isUnread) {
      this.#segments = [];
      this.#dataBytes = 0;
      this.#beginUnread(rest);
      this.#isUnread = false;
      return;
    }
    let raw = rest;
    if (this.#begunBytes > 0) {
      raw = Buffer.concat([...this.#begun, rest]);
      this.#begun = [];
      this.#begunBytes = 0;
      const chunk = this.#chunk;
      this.#reread(raw);
      this.#chunk = chunk;
    }
    const segments = this.#segments;
    const bytes = this.#dataBytes;
    this.#segments = [];
    this.#dataBytes = 0;
    const event = new HeldEvent(raw, segments);
    this.#waiting.push(event);
    this.#waitingBytes += raw.length;
    if (bytes > 0) this.#event(event, dataOf(raw, segments, bytes));
    event.isRead = true;
    this.#pass();
  }

  /** Its data, of a block that came in several chunks. */
  #reread(raw: Buffer): void {
    this.#segments = [];
    this.#dataBytes = 0;
    this.#blockFrom = 0;
    this.#chunk = raw;
    if (this.#framing instanceof EventStream) {
      const again = new EventStream();
      again.read(raw, again.begin(raw), this);
      return;
    }
    const from = leadOf(raw);
    const to = raw[raw.length - 1] === LF ? raw.length - 1 : raw.length;
    // A list's last bracket is no element.
    if (to > from && raw[from] !== CLOSE_BRACKET) this.onData(raw, from, to);
  }

  #event(event: HeldEvent, data: Buffer): void {
    if (data.length <= DONE.length + 2 && data.toString().trim() === DONE) {
      this.#end('');
      return;
    }
    const root = jsonTree(data);
    const texts = root === null ? null : eventTexts(data, root);
    if (texts === null) {
      this.#end('');
      this.#session.unscanned('response', data.length);
      return;
    }
    if (texts.endsBefore !== null) this.#end(texts.endsBefore);
    this.#guard(event, texts);
    for (const run of texts.endsBehind) this.#end(run);
  }

  #guard(event: HeldEvent, { parts, texts, unscannedBytes }: EventTexts): void {
    const session = this.#session;
    session.unscanned('response', unscannedBytes);
    if (this.isHolding) this.#leave(parts);
    // All of them before any is settled: an event is ready when the last one is.
    const pieces = parts.map(({ text, at }) => event.piece(text, at.from, at.to, false));
    const wholes = texts.map(({ text, at, isBare }) => event.piece(text, at.from, at.to, isBare));
    for (const [at, piece] of wholes.entries()) {
      const whole = texts[at];
      if (whole === undefined) continue;
      session.scannedBytes += whole.at.to - whole.at.from;
      const stages = this.#stagesOf(whole);
      stages.push(piece);
      stages.end();
    }
    for (const [at, piece] of pieces.entries()) {
      const part = parts[at];
      if (part === undefined) continue;
      session.scannedBytes += part.at.to - part.at.from;
      this.#runOf(part).push(piece);
    }
  }

  /**
   * A choice that goes on with another of its texts is done with the one before: behind its last thought nothing of an answer would
   * leave else before `max_hold_ms`. What goes on all the same is found as behind that.
   */
  #leave(parts: readonly TextPart[]): void {
    for (const { run } of parts) {
      const choice = run.slice(0, run.indexOf('.') + 1);
      for (const [name, stages] of this.#runs)
        if (name.startsWith(choice) && !parts.some((part) => part.run === name)) stages.flush();
    }
  }

  #runOf(part: TextPart): RunStage {
    const known = this.#runs.get(part.run);
    if (known !== undefined) return known;
    if (this.#runs.size >= RUNS_MAX) this.#end('');
    const made = this.#stagesOf(part);
    this.#runs.set(part.run, made);
    return made;
  }

  #stagesOf({ kind, isSource }: Pick<TextPart, 'kind' | 'isSource'>): RunStage {
    const stages = this.#session.stagesOf(kind);
    return isSource ? new SourceRun(stages) : stages;
  }

  #end(beginning: string): void {
    for (const [name, run] of this.#runs) {
      if (!name.startsWith(beginning)) continue;
      this.#runs.delete(name);
      run.end();
    }
    this.#pass();
  }

  #bound(): void {
    if (this.#waitingBytes > WAITING_BYTES) {
      for (const run of this.#runs.values()) run.compact();
      this.#pass();
    }
    let held = 0;
    for (const run of this.#runs.values()) held += run.heldUnits;
    // While a judge is asked nothing more is taken of the provider, and what is held waits for nobody else.
    if (held > HELD_MAX_UNITS && this.isHolding && !this.#session.isAsking) this.flush();
  }

  /** Events leave in their order. */
  #pass(): void {
    const session = this.#session;
    if (session.blockedBy !== null) return;
    let count = 0;
    while (this.#waiting[count]?.isReady === true) count++;
    if (count === 0) return;
    for (const event of this.#waiting.splice(0, count)) {
      this.#waitingBytes -= event.bytes;
      if (event.isChanged) session.isChanged = true;
      this.#out.push(event.written);
    }
  }
}

function dataOf(raw: Buffer, segments: readonly DataSegment[], bytes: number): Buffer {
  const [first] = segments;
  if (segments.length === 1 && first !== undefined)
    return raw.subarray(first.from, first.from + first.bytes);
  const data = Buffer.allocUnsafe(bytes);
  for (const { at, from, bytes: length } of segments) {
    // Between two lines of data stands a line feed, which has no place among the event's bytes.
    if (from === LINE_END) data[at] = LF;
    else raw.copy(data, at, from, from + length);
  }
  return data;
}

/** Bytes before an element of a list: what parts it from the one before. */
function leadOf(raw: Buffer): number {
  let at = 0;
  while (at < raw.length && LEADS.has(raw[at] ?? 0)) at++;
  return at;
}

const LEADS: ReadonlySet<number> = new Set(Buffer.from(' \t\r\n,['));
