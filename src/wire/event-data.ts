import { Buffer } from 'node:buffer';
import type { EventSink } from './event-stream.ts';

/** Of one event's data, in bytes: judging a longer one would hold up a worker's other streams for milliseconds. */
const EVENT_MAX_BYTES = 1024 * 1024;
const FIRST_DATA_BYTES = 512;

/** The data of the event that is being read, copied: the pieces that it came in are lent. */
export class EventData implements EventSink {
  readonly #maxBytes: number;
  #bytes: Buffer | null = null;
  #length = 0;
  #isTooLong = false;

  constructor(maxBytes = EVENT_MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  onData(chunk: Buffer, from: number, to: number): void {
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

  /** @returns the event's data, empty for a comment; null when it is too long to be read: such a one is content */
  take(): string | null {
    const data = this.#isTooLong ? null : (this.#bytes?.toString('utf8', 0, this.#length) ?? '');
    this.#length = 0;
    this.#isTooLong = false;
    return data;
  }
}
