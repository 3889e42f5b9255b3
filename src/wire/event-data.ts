import { Buffer } from 'node:buffer';
import type { EventSink } from './event-stream.ts';

/** Of one event's data, in bytes: judging a longer one would hold up a worker's other streams for milliseconds. */
const EVENT_MAX_BYTES = 1024 * 1024;
const FIRST_DATA_BYTES = 512;
/** Kept from one event for the next, in bytes: most are shorter. */
const USUAL_MAX_BYTES = 65_536;

/**
 * The data of the event that is being read. Most events lie whole in one piece, where their data is read from as it is; what a
 * piece ends within is copied, because pieces are lent.
 */
export class EventData implements EventSink {
  readonly #maxBytes: number;
  /** What there is of it lies in the piece that is being read, in one row. */
  #piece: Buffer | null = null;
  #from = 0;
  #to = 0;
  #bytes: Buffer | null = null;
  #length = 0;
  #isTooLong = false;

  constructor(maxBytes = EVENT_MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  onData(chunk: Buffer, from: number, to: number): void {
    const isFirst = this.#piece === null && this.#length === 0 && !this.#isTooLong;
    if (isFirst && to - from <= this.#maxBytes) {
      this.#piece = chunk;
      this.#from = from;
      this.#to = to;
      return;
    }
    this.keep();
    this.#append(chunk, from, to);
  }

  /** The piece ends within the event: what there is of it outlives the piece. */
  keep(): void {
    const piece = this.#piece;
    if (piece === null) return;
    this.#piece = null;
    this.#append(piece, this.#from, this.#to);
  }

  #append(chunk: Buffer, from: number, to: number): void {
    const needed = this.#length + to - from;
    if (needed > this.#maxBytes) this.#isTooLong = true;
    if (this.#isTooLong) return;
    const room = this.#bytes?.length ?? 0;
    if (this.#bytes === null || needed > room) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_DATA_BYTES, needed, room * 2));
      this.#bytes?.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    this.#length += chunk.copy(this.#bytes, this.#length, from, to);
  }

  /** Bytes that are kept of it, and to have room for more. */
  get keptBytes(): number {
    return this.#bytes?.length ?? 0;
  }

  /** @returns the event's data, empty for a comment; null when it is too long to be read: such a one is content */
  take(): string | null {
    const data = this.#isTooLong ? null : this.#text();
    this.#piece = null;
    this.#length = 0;
    this.#isTooLong = false;
    // Few events are so long: the next one begins small again.
    if (this.keptBytes > USUAL_MAX_BYTES) this.#bytes = null;
    return data;
  }

  #text(): string {
    if (this.#piece !== null) return this.#piece.toString('utf8', this.#from, this.#to);
    return this.#bytes?.toString('utf8', 0, this.#length) ?? '';
  }
}
