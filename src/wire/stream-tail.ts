import { Buffer } from 'node:buffer';

// What the last bytes of an event stream alone tell, at a cost that does not depend on how much came before: all that a
// stream needs to know which nobody meters.

/**
 * Knows whether a relayed event stream stands at an event boundary, so that a cut can be preceded by an error event
 * without landing in the middle of somebody else's event. An event ends with a blank line; lines end with LF, CRLF or a
 * lone CR (WHATWG HTML §9.2.5), as `EventStream` reads them.
 *
 * The verdict depends on at most the last three bytes, so that is all the state there is.
 */
export class EventBoundary {
  /** The last four bytes seen, newest lowest; 0x0a0a0a0a at the start, because nothing sent is a boundary too. */
  #last = 0x0a0a0a0a;

  push(chunk: Uint8Array): void {
    for (let i = Math.max(0, chunk.length - 4); i < chunk.length; i++) this.#add(chunk[i] ?? 0);
  }

  #add(byte: number): void {
    this.#last = ((this.#last << 8) | byte) >>> 0;
  }

  /** @returns up to where the first event reaches that ends in a chunk, of which nothing behind that was pushed; -1: none ends */
  pushToEnd(chunk: Uint8Array): number {
    for (let at = 0; at < chunk.length; at++) {
      this.#add(chunk[at] ?? 0);
      if (!this.atBoundary) continue;
      const isHalf = chunk[at] === CR && chunk[at + 1] === LF;
      return isHalf ? at + 2 : at + 1;
    }
    return -1;
  }

  /** True when every byte so far belongs to a finished event. */
  get atBoundary(): boolean {
    const two = this.#last & 0xffff;
    if (two === 0x0a0a || two === 0x0d0d || two === 0x0a0d) return true;
    const three = this.#last & 0xffffff;
    return three === 0x0a0d0a || three === 0x0d0d0a;
  }
}

const CR = 0x0d;
const BRACE = 0x7d;
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
const LF = 0x0a;

/**
 * The numbers of a Responses stream's events, which count up from 0. What translations write has its number last in each event,
 * and is known exactly; of a relayed stream nothing but its pieces is counted: to look for a number in each took a quarter of a
 * microsecond, and nobody goes by that of an error.
 */
export class EventNumbers {
  #pieces = 0;
  #last = -1;

  push(piece: Uint8Array): void {
    this.#pieces++;
    let at = piece.length - 1;
    while (at >= 0 && piece[at] === LF) at--;
    if (piece[at] !== BRACE) return;
    let number = 0;
    let place = 1;
    for (at--; at >= 0; at--) {
      const byte = piece[at] ?? 0;
      if (byte < ZERO || byte > NINE) break;
      number += (byte - ZERO) * place;
      place *= 10;
    }
    if (place > 1 && piece[at] === COLON && Number.isSafeInteger(number)) this.#last = number;
  }

  /** Of the event that comes behind those so far. */
  get next(): number {
    return Math.max(this.#last + 1, this.#pieces);
  }
}

const ENDS = ['[DONE]', '"message_stop"}'].map((text) => Buffer.from(text));

/** The longest of them, and line ends behind the last event, a space or two. */
const TAIL_BYTES = 24;

/** Whether an event stream says in this piece that it is over. Others end behind an event like any other. */
export function endsStream(piece: Buffer): boolean {
  // Byte by byte: a string of the tail took 0.15 us an event.
  for (let at = Math.max(0, piece.length - TAIL_BYTES); at < piece.length; at++) {
    for (const end of ENDS) if (piece[at] === end[0] && standsAt(end, piece, at)) return true;
  }
  return false;
}

function standsAt(text: Buffer, piece: Buffer, at: number): boolean {
  for (let i = 0; i < text.length; i++) if (piece[at + i] !== text[i]) return false;
  return true;
}
