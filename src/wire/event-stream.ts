import { Buffer } from 'node:buffer';

/** What the events of a stream are made of, told while they stream by. */
export interface EventSink {
  /** The next bytes of an event's data. Between two lines of data a line feed is told, in a buffer of its own. */
  onData(chunk: Buffer, from: number, to: number): void;
}

/** Where in a line the reader stands: in the name, behind the colon (one space may follow), or in the value. */
const NAME = 0;
const DATA_GAP = 1;
const DATA = 2;
const EVENT_GAP = 3;
const EVENT = 4;
const IGNORED = 5;

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SPACE = 0x20;
const LINE_FEED = Buffer.from('\n');
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/** The words that matter, as the number that their bytes spell in base 256. */
const WORD_DATA = spelled('data');
const WORD_EVENT = spelled('event');
const WORD_ERROR = spelled('error');
/** More bytes than this are none of the words, and their number would no longer be exact. */
const WORD_MAX_BYTES = 6;
const NO_WORD = -1;

/** The rest of a line longer than this is searched natively; up to here a native call would cost more. */
const NEAR_BYTES = 48;

/**
 * The one tokenizer of event streams (WHATWG HTML §9.2.5, §9.2.6), over any chunk cuts: lines end with LF, CRLF or a lone
 * CR; a byte order mark may open the stream; a line that begins with a colon is a comment; a field may have no colon; data
 * may have several lines; a blank line ends what came before it. `id`, `retry` and unknown fields are passed over.
 *
 * A block is what stands up to and with a blank line: an event, comments alone, or nothing. Holds no bytes of the stream.
 */
export class EventStream {
  #state = NAME;
  /** The field name so far, or the event's name so far. */
  #word = 0;
  #wordBytes = 0;
  /** Bytes of a byte order mark seen at the very start; -1 behind it. */
  #markBytes = 0;
  /** The last byte was a CR that ended a line: a LF at the start of the next chunk belongs to it. */
  #afterCr = false;
  #lineHasBytes = false;
  #blockHasFields = false;
  #hasData = false;
  #isNamedError = false;
  #wasError = false;

  /**
   * True at the start of a line when the current block has no field yet: nothing before matters to what follows. Asked
   * behind `begin`, which may find that what looked like a byte order mark was none.
   */
  get betweenEvents(): boolean {
    return !this.#blockHasFields && !this.#lineHasBytes;
  }

  /** Whether the block that ended last is an event named `error`. */
  get wasError(): boolean {
    return this.#wasError;
  }

  /** @returns where in the next chunk to read on: behind a byte order mark, and the LF whose CR ended the chunk before */
  begin(chunk: Buffer): number {
    if (this.#markBytes >= 0) return this.#passMark(chunk);
    if (!this.#afterCr || chunk.length === 0) return 0;
    this.#afterCr = false;
    return chunk[0] === LF ? 1 : 0;
  }

  /**
   * Reads on until the current block ends.
   * @returns the offset behind its blank line, or -1 when it goes on behind the chunk
   */
  read(chunk: Buffer, from: number, sink: EventSink | null): number {
    const to = chunk.length;
    let at = from;
    while (at < to) {
      at =
        this.#state === NAME ? this.#readName(chunk, at, to) : this.#readValue(chunk, at, to, sink);
      if (at === to || !isLineEnd(chunk[at])) continue;
      const isBlank = !this.#lineHasBytes;
      at = this.#passLineEnd(chunk, at, to, sink);
      if (!isBlank) continue;
      this.#endBlock();
      return at;
    }
    return -1;
  }

  /** The stream is over: ends the block that no blank line ended (some providers end their last event so). */
  finish(): void {
    this.#endField(null);
    this.#endBlock();
  }

  /** Reads up to the end of the line, or behind the colon. */
  #readName(chunk: Buffer, from: number, to: number): number {
    for (let at = from; at < to; at++) {
      const byte = chunk[at] ?? 0;
      if (isLineEnd(byte)) return at;
      const isFirst = !this.#lineHasBytes;
      this.#lineHasBytes = true;
      if (byte === COLON) {
        this.#state = this.#stateOfValue();
        this.#word = this.#wordBytes = 0;
        if (!isFirst) this.#blockHasFields = true;
        return at + 1;
      }
      this.#blockHasFields = true;
      this.#spell(byte);
    }
    return to;
  }

  #stateOfValue(): number {
    if (this.#word === WORD_DATA) return DATA_GAP;
    return this.#word === WORD_EVENT ? EVENT_GAP : IGNORED;
  }

  #readValue(chunk: Buffer, from: number, to: number, sink: EventSink | null): number {
    let at = from;
    if (this.#state === DATA_GAP) {
      if (chunk[at] === SPACE) at++;
      this.#beginData(sink);
      this.#state = DATA;
    } else if (this.#state === EVENT_GAP) {
      if (chunk[at] === SPACE) at++;
      this.#state = EVENT;
    }
    const end = lineEnd(chunk, at, to);
    if (this.#state === DATA && end > at) sink?.onData(chunk, at, end);
    else if (this.#state === EVENT) for (; at < end; at++) this.#spell(chunk[at] ?? 0);
    return end;
  }

  #beginData(sink: EventSink | null): void {
    if (this.#hasData) sink?.onData(LINE_FEED, 0, 1);
    this.#hasData = true;
  }

  #passLineEnd(chunk: Buffer, at: number, to: number, sink: EventSink | null): number {
    this.#endField(sink);
    if (chunk[at] === LF) return at + 1;
    if (at + 1 === to) this.#afterCr = true;
    return at + 1 < to && chunk[at + 1] === LF ? at + 2 : at + 1;
  }

  #endField(sink: EventSink | null): void {
    if (this.#state === EVENT || this.#state === EVENT_GAP)
      this.#isNamedError = this.#word === WORD_ERROR;
    // Nothing behind the colon, or no colon: an empty value.
    else if (this.#state === DATA_GAP) this.#beginData(sink);
    else if (this.#state === NAME && this.#word === WORD_DATA) this.#beginData(sink);
    else if (this.#state === NAME && this.#word === WORD_EVENT) this.#isNamedError = false;
    this.#state = NAME;
    this.#word = this.#wordBytes = 0;
    this.#lineHasBytes = false;
  }

  #endBlock(): void {
    this.#wasError = this.#isNamedError;
    this.#isNamedError = false;
    this.#blockHasFields = false;
    this.#hasData = false;
  }

  #spell(byte: number): void {
    this.#word = ++this.#wordBytes > WORD_MAX_BYTES ? NO_WORD : this.#word * 256 + byte;
  }

  #passMark(chunk: Buffer): number {
    for (let at = 0; at < chunk.length; at++) {
      if (chunk[at] !== BYTE_ORDER_MARK[this.#markBytes]) {
        // What looked like the mark was the start of a name that nobody knows.
        if (this.#markBytes > 0) {
          this.#lineHasBytes = this.#blockHasFields = true;
          this.#wordBytes = WORD_MAX_BYTES;
        }
        this.#markBytes = -1;
        return at;
      }
      if (++this.#markBytes === BYTE_ORDER_MARK.length) {
        this.#markBytes = -1;
        return at + 1;
      }
    }
    return chunk.length;
  }
}

/**
 * An offset in `[from, to]` at which a block begins, as near to `to` as a look back at line feeds can tell; `from` must be
 * one itself. Lets a reader jump over whole blocks that hold nothing of interest. It sees blank lines that end with LF or
 * CRLF: in a stream of lone CRs, of which none was ever recorded, it finds `from`, and whoever reads on from there reads
 * all of it.
 */
export function lastBlockStart(chunk: Buffer, from: number, to: number): number {
  for (let at = to - 1; at > from; at--) {
    if (chunk[at] !== LF) at = chunk.lastIndexOf(LF, at);
    if (at <= from) return from;
    if (endsBlankLine(chunk, at, from)) return at + 1;
  }
  return from;
}

/** Whether the LF at `at` ends a line of no bytes; looks no further back than `from`. */
function endsBlankLine(chunk: Buffer, at: number, from: number): boolean {
  const before = chunk[at - 1];
  if (before === LF) return true;
  if (before !== CR || at - 2 < from) return false;
  const line = chunk[at - 2];
  return line === LF || line === CR;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR;
}

/** The offset of the first CR or LF, or `to`. */
function lineEnd(chunk: Buffer, from: number, to: number): number {
  const near = Math.min(to, from + NEAR_BYTES);
  for (let at = from; at < near; at++) if (isLineEnd(chunk[at])) return at;
  if (near === to) return to;
  const rest = chunk.subarray(near, to);
  const lf = rest.indexOf(LF);
  const cr = (lf < 0 ? rest : rest.subarray(0, lf)).indexOf(CR);
  if (cr >= 0) return near + cr;
  return lf < 0 ? to : near + lf;
}

function spelled(word: string): number {
  return Buffer.from(word).reduce((number, byte) => number * 256 + byte, 0);
}
