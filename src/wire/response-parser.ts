import { Buffer } from 'node:buffer';
import { ChunkedContent } from './chunked-content.ts';
import { isNamed, lengthIn } from './fields.ts';

/** Why a response cannot be relayed. A closed set: it goes into the log. */
export type ResponseFault =
  | 'STATUS_LINE'
  | 'FIELD_LINE'
  | 'HEAD_TOO_LONG'
  /** `Content-Length` repeated, not a number, or beside `Transfer-Encoding` (RFC 9112 §6.3: a smuggled response). */
  | 'CONTENT_LENGTH'
  /** A transfer coding that is not exactly `chunked`: what would be relayed is not what was said. */
  | 'TRANSFER_CODING'
  | 'CHUNK'
  /** A protocol that nobody asked for (101). */
  | 'SWITCHED_PROTOCOL';

/** Told what a response is made of. Pieces are views of the bytes being parsed: whoever keeps one copies it. */
export interface ResponseSink {
  /**
   * @param fields `[name, value, …]` as the wire had them: any case, one character per byte, duplicates kept
   * @param followed bytes stand behind the head in the same read: of a sized content, its first piece is told in this call
   */
  onHead(status: number, reason: string, fields: readonly string[], followed: boolean): void;
  /** @param last the content's end follows in the same call */
  onContent(piece: Buffer, last: boolean): void;
  /** @param clean nothing stood behind the message, so that another one may follow it */
  onMessageEnd(clean: boolean): void;
  onFault(fault: ResponseFault): void;
}

/** Response heads in bytes, interim ones included: 16 KiB is less than what some gateways' cookies and limits need. */
export const HEAD_LIMIT_BYTES = 65_536;

const HEAD = 0;
const CONTENTLESS = 1;
const SIZED = 2;
const CHUNKED = 3;
const UNTIL_CLOSE = 4;
const OVER = 5;

/** What a head that does not come in one read gets to begin with, in bytes: most heads are smaller. */
const HELD_ROOM_BYTES = 2_048;

const HEAD_END = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

const STATUS_LINE_START = 'HTTP/1.';
/** Where in a status line (RFC 9112 §4) its parts are. */
const VERSION_AT = STATUS_LINE_START.length;
const STATUS_AT = VERSION_AT + 2;
const REASON_AT = STATUS_AT + 4;
const ZERO = 0x30;
const ONE = 0x31;
const NINE = 0x39;
const DEL = 0x7f;
const SWITCHING_PROTOCOLS = 101;
const FIRST_FINAL_STATUS = 200;
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;

/**
 * Reads one response after the other from a connection's bytes, over any cuts (RFC 9112). As strict as llhttp, and
 * stricter where two readers could disagree (test/unit/wire/response-parser-llhttp.test.ts compares the two): what it
 * accepts has one meaning. Interim responses (1xx) are for the hop that asked (RFC 9110 §15.2) and are passed over.
 */
export class ResponseParser {
  readonly #sink: ResponseSink;
  #state = OVER;
  #method = '';
  /** Holds what came of a head that is not whole: its first `#heldBytes` bytes. */
  #held: Buffer = NOTHING;
  #heldBytes = 0;
  #interimBytes = 0;
  /** Bytes of a sized content that are still to come. */
  #left = 0;
  #chunked: ChunkedContent | null = null;
  /** Another request may be sent behind this response (RFC 9112 §9.3). */
  persistent = false;
  /** For how long the server says that it keeps an unused connection, in seconds; -1 when it does not. */
  keepAliveSeconds = -1;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** A request was sent: what comes is its response. @param method of the request: HEAD has no content */
  expect(method: string): void {
    this.#state = HEAD;
    this.#method = method;
    this.#interimBytes = 0;
    this.#chunked = null;
    this.keepAliveSeconds = -1;
  }

  /** Parses the connection's next bytes, which it may move about. Tells at most one message's end. */
  push(bytes: Buffer): void {
    // Heads nearly always come in one read; one that does not is joined, at the price of a copy.
    const seen = this.#heldBytes;
    const input = seen > 0 ? this.#hold(bytes) : bytes;
    let at = 0;
    while (this.#state === HEAD) {
      at = this.#readHead(input, at, seen);
      if (at < 0) return;
    }
    this.#letGo();
    if (this.#state === CONTENTLESS) this.#end(at === input.length);
    else if (at === input.length) return;
    else if (this.#state === SIZED) this.#readSized(input, at);
    else if (this.#state === CHUNKED) this.#readChunked(input, at);
    else if (this.#state === UNTIL_CLOSE) this.#sink.onContent(input.subarray(at), false);
  }

  /** Nothing but the connection's end says where the content ends (RFC 9112 §6.3 rule 8). */
  get endsWithConnection(): boolean {
    return this.#state === UNTIL_CLOSE;
  }

  /**
   * The connection ended.
   * @returns whether that was the content's end (RFC 9112 §6.3 rule 8); else the response is cut
   */
  close(): boolean {
    if (this.#state !== UNTIL_CLOSE) return false;
    this.#end(true);
    return true;
  }

  /**
   * @param seen bytes that an earlier read was searched for a head's end already
   * @returns the offset behind the head, or -1 when it is not whole or not legal
   */
  #readHead(bytes: Buffer, from: number, seen: number): number {
    const end = bytes.indexOf(HEAD_END, Math.max(from, seen - HEAD_END.length));
    const next = end < 0 ? bytes.length : end + HEAD_END.length;
    if (this.#interimBytes + next - from > HEAD_LIMIT_BYTES) return this.#fault('HEAD_TOO_LONG');
    if (end < 0) return this.#keep(bytes, from, seen);
    this.#interimBytes += next - from;
    const fault = this.#parseHead(bytes.toString('latin1', from, end), next < bytes.length);
    return fault === null ? next : this.#fault(fault);
  }

  /** Keeps the start of a head, unless it shows already that it will be none. Looks at no byte that was seen before. */
  #keep(bytes: Buffer, from: number, seen: number): number {
    const begins = bytes.toString('latin1', from, from + STATUS_LINE_START.length);
    if (!STATUS_LINE_START.startsWith(begins)) return this.#fault('STATUS_LINE');
    for (
      let lf = bytes.indexOf(LF, Math.max(from, seen));
      lf >= 0;
      lf = bytes.indexOf(LF, lf + 1)
    ) {
      if (bytes[lf - 1] !== CR) return this.#fault('FIELD_LINE');
    }
    if (seen === 0 || from > 0) {
      this.#letGo();
      this.#hold(bytes.subarray(from));
    }
    return -1;
  }

  /**
   * Puts bytes behind what is held. The room doubles, so that a head which comes byte by byte is copied twice and not once
   * for each of its bytes.
   * @returns all that is held
   */
  #hold(bytes: Buffer): Buffer {
    const heldBytes = this.#heldBytes + bytes.length;
    if (heldBytes > this.#held.length) {
      const room = Buffer.allocUnsafe(Math.max(HELD_ROOM_BYTES, this.#held.length * 2, heldBytes));
      this.#held.copy(room, 0, 0, this.#heldBytes);
      this.#held = room;
    }
    bytes.copy(this.#held, this.#heldBytes);
    this.#heldBytes = heldBytes;
    return this.#held.subarray(0, heldBytes);
  }

  #letGo(): void {
    this.#held = NOTHING;
    this.#heldBytes = 0;
  }

  /** @param text a head without the empty line, one character per byte */
  #parseHead(text: string, followed: boolean): ResponseFault | null {
    const lineEnd = text.indexOf('\r\n');
    const statusEnd = lineEnd < 0 ? text.length : lineEnd;
    const status = statusIn(text, statusEnd);
    if (status < 0) return 'STATUS_LINE';
    const fields: string[] = [];
    if (lineEnd >= 0 && !splitFields(text, lineEnd + 2, fields)) return 'FIELD_LINE';
    if (status === SWITCHING_PROTOCOLS) return 'SWITCHED_PROTOCOL';
    const isOld = text.charCodeAt(VERSION_AT) === ZERO;
    // HTTP/1.0 knows no interim responses (RFC 9110 §15.2): one of them is its final response to other readers.
    if (isOld && status < FIRST_FINAL_STATUS) return 'STATUS_LINE';
    const fault = this.#readFraming(status, isOld, fields);
    if (fault !== null || status < FIRST_FINAL_STATUS) return fault;
    const reason = text.slice(REASON_AT, statusEnd);
    this.#sink.onHead(status, reason, fields, followed);
    return null;
  }

  /** Where the content ends, and whether the connection outlives it (RFC 9112 §6.3, §9.3). */
  #readFraming(status: number, isOld: boolean, fields: readonly string[]): ResponseFault | null {
    let length = -1;
    let isChunked = false;
    let closes = isOld;
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? '';
      const value = fields[i + 1] ?? '';
      if (isNamed(name, 'content-length')) {
        if (length >= 0) return 'CONTENT_LENGTH';
        length = lengthIn(value);
        if (length < 0) return 'CONTENT_LENGTH';
      } else if (isNamed(name, 'transfer-encoding')) {
        if (isChunked || value.toLowerCase() !== 'chunked') return 'TRANSFER_CODING';
        isChunked = true;
      } else if (isNamed(name, 'connection')) {
        closes ||= !isNamed(value, 'keep-alive');
      } else if (isNamed(name, 'keep-alive')) {
        this.keepAliveSeconds = keepAliveSeconds(value);
      }
    }
    if (length >= 0 && isChunked) return 'CONTENT_LENGTH';
    if (status < FIRST_FINAL_STATUS) return null;
    this.persistent = !closes;
    if (this.#method === 'HEAD' || status === 204 || status === 304) {
      this.#state = CONTENTLESS;
      // A server that sends content where there is none may send it any time later: behind the next request it would
      // be that one's response. So the connection ends with this one (undici does the
      // same for HEAD).
      this.persistent = false;
    } else if (isChunked) {
      this.#state = CHUNKED;
      this.#chunked = new ChunkedContent();
    } else if (length < 0) {
      this.#state = UNTIL_CLOSE;
      this.persistent = false;
    } else {
      this.#left = length;
      this.#state = length === 0 ? CONTENTLESS : SIZED;
    }
    return null;
  }

  #readSized(bytes: Buffer, at: number): void {
    const to = Math.min(bytes.length, at + this.#left);
    this.#left -= to - at;
    const last = this.#left === 0;
    this.#sink.onContent(bytes.subarray(at, to), last);
    if (last) this.#end(to === bytes.length);
  }

  #readChunked(bytes: Buffer, at: number): void {
    const chunked = this.#chunked;
    if (chunked === null) return;
    const piece = chunked.read(bytes, at);
    if (piece.length > 0) this.#sink.onContent(piece, chunked.isOver);
    if (chunked.isBroken) this.#fault('CHUNK');
    else if (chunked.isOver) this.#end(chunked.stoppedAt === bytes.length);
  }

  #end(clean: boolean): void {
    this.#state = OVER;
    this.#sink.onMessageEnd(clean);
  }

  #fault(fault: ResponseFault): number {
    this.#state = OVER;
    this.#letGo();
    this.#sink.onFault(fault);
    return -1;
  }
}

/**
 * The status of a status line (RFC 9112 §4): a minor version of 0 or 1, three digits of which the first is not 0 (RFC 9110
 * §15), and a reason of visible characters and blanks, which may be missing with the space before it. Read character by
 * character: a pattern and what it caught were 0.5 of 100 us of a request.
 * @param end behind the line
 * @returns -1 where it is none
 */
function statusIn(text: string, end: number): number {
  if (end < REASON_AT - 1 || !text.startsWith(STATUS_LINE_START)) return -1;
  const version = text.charCodeAt(VERSION_AT);
  if ((version !== ZERO && version !== ONE) || text.charCodeAt(VERSION_AT + 1) !== SPACE) return -1;
  let status = 0;
  for (let at = STATUS_AT; at < REASON_AT - 1; at++) {
    const code = text.charCodeAt(at);
    if (code < (at === STATUS_AT ? ONE : ZERO) || code > NINE) return -1;
    status = status * 10 + code - ZERO;
  }
  if (end >= REASON_AT && text.charCodeAt(REASON_AT - 1) !== SPACE) return -1;
  for (let at = REASON_AT; at < end; at++) {
    const code = text.charCodeAt(at);
    if ((code < SPACE && code !== TAB) || code === DEL) return -1;
  }
  return status;
}

/** Field lines (RFC 9112 §5), CRLF between them: not folded, with a colon, of characters that they may hold. */
const FIELD_LINES =
  /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*$/;

/** @returns false when a line is no field line */
function splitFields(text: string, from: number, fields: string[]): boolean {
  // One look at all of them: a test for each name and value cost a microsecond more.
  if (!FIELD_LINES.test(text.slice(from))) return false;
  let line = from;
  while (line < text.length) {
    let end = text.indexOf('\r\n', line);
    if (end < 0) end = text.length;
    const colon = text.indexOf(':', line);
    const name = text.slice(line, colon);
    let start = colon + 1;
    let stop = end;
    while (start < stop && isBlank(text.charCodeAt(start))) start++;
    // To llhttp, a tab behind a coding is a part of its name: kept here, so that it is refused.
    const isBehind = isNamed(name, 'transfer-encoding') ? isSpace : isBlank;
    while (stop > start && isBehind(text.charCodeAt(stop - 1))) stop--;
    fields.push(name, text.slice(start, stop));
    line = end + 2;
  }
  return true;
}

function isSpace(code: number): boolean {
  return code === SPACE;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

const TIMEOUT = /(?:^|[,;\s])timeout\s*=\s*(\d{1,6})(?:$|[,;\s])/i;

function keepAliveSeconds(value: string): number {
  const seconds = TIMEOUT.exec(value)?.[1];
  return seconds === undefined ? -1 : Number(seconds);
}
