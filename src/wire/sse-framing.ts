/** What one event of a stream is made of, told while it streams by. */
export interface SseSink {
  /** The next bytes of the event's data. Between two lines of data a line feed is told, in a buffer of its own. */
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

/** The words that matter, as the number that their bytes spell in base 256. */
const WORD_DATA = spelled('data');
const WORD_EVENT = spelled('event');
const WORD_ERROR = spelled('error');
/** More bytes than this are none of the words, and their number would no longer be exact. */
const WORD_MAX_BYTES = 6;

/** The rest of a line longer than this is searched natively; up to here a native call would cost more. */
const NEAR_BYTES = 48;

/**
 * Reads the lines of an event stream over any chunk cuts (WHATWG HTML §9.2.6): ends of LF, CRLF and lone CR, comments,
 * data over several lines. `id`, `retry` and unknown fields are passed over. A byte order mark is the caller's to skip.
 * Holds no bytes.
 */
export class SseFraming {
  #state = NAME;
  /** The field name so far, or the event's name so far. */
  #word = 0;
  #wordBytes = 0;
  /** The last chunk ended with a CR: a LF at the start of the next one belongs to it. */
  #afterCr = false;
  #lineHasBytes = false;
  #eventHasBytes = false;
  #hasData = false;
  #isError = false;

  /** True at the start of a line when the current event has no field yet: nothing before matters to what follows. */
  get betweenEvents(): boolean {
    return !this.#eventHasBytes && !this.#lineHasBytes;
  }

  /** Whether the event read last is named `error`. */
  get isError(): boolean {
    return this.#isError;
  }

  /** At the start of a chunk: behind the LF whose CR ended the chunk before. */
  skipSplitLineEnd(chunk: Buffer, at: number): number {
    if (!this.#afterCr || at >= chunk.length) return at;
    this.#afterCr = false;
    return chunk[at] === LF ? at + 1 : at;
  }

  /**
   * Reads on until the current event ends.
   * @returns the offset behind its blank line, or -1 when it goes on behind `to`
   */
  read(chunk: Buffer, from: number, to: number, sink: SseSink): number {
    let at = this.skipSplitLineEnd(chunk, from);
    if (this.betweenEvents) this.#isError = false;
    while (at < to) {
      at =
        this.#state === NAME ? this.#readName(chunk, at, to) : this.#readValue(chunk, at, to, sink);
      if (at === to || !isLineEnd(chunk[at])) continue;
      const isBlank = !this.#lineHasBytes;
      at = this.#passLineEnd(chunk, at, to);
      if (isBlank && this.#endEvent()) return at;
    }
    return -1;
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
        if (!isFirst) this.#eventHasBytes = true;
        return at + 1;
      }
      this.#eventHasBytes = true;
      this.#spell(byte);
    }
    return to;
  }

  #stateOfValue(): number {
    if (this.#word === WORD_DATA) return DATA_GAP;
    return this.#word === WORD_EVENT ? EVENT_GAP : IGNORED;
  }

  #readValue(chunk: Buffer, from: number, to: number, sink: SseSink): number {
    let at = from;
    if (this.#state === DATA_GAP || this.#state === EVENT_GAP) {
      if (chunk[at] === SPACE) at++;
      if (this.#state === DATA_GAP && this.#hasData) sink.onData(LINE_FEED, 0, 1);
      this.#hasData ||= this.#state === DATA_GAP;
      this.#state = this.#state === DATA_GAP ? DATA : EVENT;
    }
    const end = lineEnd(chunk, at, to);
    if (this.#state === DATA && end > at) sink.onData(chunk, at, end);
    else if (this.#state === EVENT) for (; at < end; at++) this.#spell(chunk[at] ?? 0);
    return end;
  }

  #passLineEnd(chunk: Buffer, at: number, to: number): number {
    if (this.#state === EVENT) this.#isError = this.#word === WORD_ERROR;
    this.#state = NAME;
    this.#word = this.#wordBytes = 0;
    this.#lineHasBytes = false;
    if (chunk[at] === LF) return at + 1;
    if (at + 1 === to) this.#afterCr = true;
    return at + 1 < to && chunk[at + 1] === LF ? at + 2 : at + 1;
  }

  /** @returns false for one more blank line between two events */
  #endEvent(): boolean {
    if (!this.#eventHasBytes) return false;
    this.#eventHasBytes = false;
    this.#hasData = false;
    return true;
  }

  #spell(byte: number): void {
    this.#word = ++this.#wordBytes > WORD_MAX_BYTES ? -1 : this.#word * 256 + byte;
  }
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
