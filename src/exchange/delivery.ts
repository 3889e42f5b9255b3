import type { ResponseWriter } from '../edge/door.ts';
import type { PieceSink } from '../wire/piece-sink.ts';
import { EventBoundary, EventNumbers, endsStream } from '../wire/stream-tail.ts';

/** Hands pieces of a response to the client, and knows where in an event stream they end. */
export class Delivery implements PieceSink {
  readonly #writer: ResponseWriter;
  /** Only for event streams. */
  readonly #boundary: EventBoundary | null;
  /** Only of event streams whose events are numbered. */
  readonly #numbers: EventNumbers | null;
  /** The response's end follows in this turn. */
  endFollows = false;

  /** @param isNumbered its events are those of the Responses API */
  constructor(writer: ResponseWriter, eventStream: boolean, isNumbered: boolean) {
    this.#writer = writer;
    this.#numbers = eventStream && isNumbered ? new EventNumbers() : null;
    this.#boundary = eventStream ? new EventBoundary() : null;
  }

  push(piece: Buffer): boolean {
    this.#boundary?.push(piece);
    this.#numbers?.push(piece);
    if (this.endFollows) return this.#writer.write(piece, 'last');
    const isInner = this.#boundary !== null && !endsStream(piece);
    return this.#writer.write(piece, isInner ? 'inner' : 'maybe-last');
  }

  get eventStream(): boolean {
    return this.#boundary !== null;
  }

  /** The number of an event that is put here; null where events have none. */
  get nextNumber(): number | null {
    return this.#numbers?.next ?? null;
  }

  /** True when an error event may be put here. */
  get atEventBoundary(): boolean {
    return this.#boundary?.atBoundary === true;
  }
}
