import { Buffer } from 'node:buffer';
import {
  BROKEN,
  type Failed,
  failureOfInband,
  failureOfStatus,
  REFUSED,
} from '../plan/failover.ts';
import { EventStream } from '../wire/event-stream.ts';
import { meaningOf, type StreamWire } from '../wire/first-content.ts';
import { judgeWhole } from '../wire/whole-answer.ts';

/** What an answer that is being held has come to. */
export type Holding =
  /** Nothing is known yet: more is held. */
  | 'hold'
  /** From here on no other target is tried. */
  | 'commit'
  /** This attempt is of no use. */
  | Failed;

/** Held of an event stream's opening, in bytes: thirty times the longest recorded one. */
export const OPENING_MAX_BYTES = 65_536;

/** Held of an answer that is not streamed, in bytes; nobody can use half of one. Above it, it is let go as it comes. */
export const WHOLE_MAX_BYTES = 8 * 1024 * 1024;

/** Held of an error's body, in bytes: where vendors say what was wrong. */
export const ERROR_MAX_BYTES = 65_536;

/** Of an error's body, how much is looked through for the vendor's words. */
const ERROR_READ_BYTES = 4_096;

/** How an answer is held: by its status and type. */
export type HoldMode = 'stream' | 'whole' | 'error';

/**
 * The beginning of an answer, kept back while another target could still answer instead. What it holds is bounded by its
 * mode; flushed, it is the bytes as they came.
 */
export class HeldAnswer {
  readonly #mode: HoldMode;
  readonly #wire: StreamWire;
  readonly #status: number;
  readonly #maxBytes: number;
  readonly #pieces: Buffer[] = [];
  readonly #events: EventStream | null;
  /** Data of the event that is being read. */
  #data: Buffer[] = [];
  bytes = 0;
  /** The provider's own word for what went wrong, for the trail. */
  code = '';

  /** @param maxBytes for `stream`: where even an opening without content is let go */
  constructor(mode: HoldMode, wire: StreamWire, status: number, maxBytes = OPENING_MAX_BYTES) {
    this.#mode = mode;
    this.#wire = wire;
    this.#status = status;
    this.#events = mode === 'stream' ? new EventStream() : null;
    if (mode === 'stream') this.#maxBytes = maxBytes;
    else this.#maxBytes = mode === 'whole' ? WHOLE_MAX_BYTES : ERROR_MAX_BYTES;
  }

  /** @param piece lent; it is copied */
  push(piece: Buffer): Holding {
    const kept = Buffer.from(piece);
    this.#pieces.push(kept);
    this.bytes += kept.length;
    const holding = this.#events === null ? 'hold' : this.#read(kept, this.#events);
    return holding === 'hold' && this.bytes >= this.#maxBytes ? this.#atBound() : holding;
  }

  /** The answer is complete as a message. */
  end(): Holding {
    if (this.#mode === 'error') return failureOfStatus(this.#status, this.#start()) ?? 'commit';
    if (this.#mode === 'stream') {
      // No content, no error, and no end of its own: an empty answer.
      this.code = 'EMPTY';
      return BROKEN;
    }
    return this.#judged();
  }

  /** What was held, in order, to be passed on; nothing is kept. */
  take(): readonly Buffer[] {
    this.#data = [];
    return this.#pieces.splice(0);
  }

  /** Of an error's body, what a wait may stand in. */
  get text(): string {
    return this.#start();
  }

  #atBound(): Holding {
    return this.#mode === 'error'
      ? (failureOfStatus(this.#status, this.#start()) ?? 'commit')
      : 'commit';
  }

  #read(piece: Buffer, events: EventStream): Holding {
    let at = events.begin(piece);
    for (;;) {
      const next = events.read(piece, at, this);
      if (next < 0) return 'hold';
      at = next;
      const data = Buffer.concat(this.#data).toString();
      this.#data = [];
      const meaning = meaningOf(this.#wire, events.wasError ? 'error' : '', data);
      switch (meaning.kind) {
        case 'preamble':
          break;
        case 'content':
          return 'commit';
        case 'refusal':
          this.code = 'REFUSAL';
          return REFUSED;
        case 'error':
          this.code = meaning.error.code;
          return failureOfInband(meaning.error.status, meaning.error.code) ?? 'commit';
        case 'end':
          this.code = 'EMPTY';
          return BROKEN;
        case 'malformed':
          this.code = 'MALFORMED_EVENT';
          return BROKEN;
      }
    }
  }

  /** For the tokenizer alone. */
  onData(chunk: Buffer, from: number, to: number): void {
    this.#data.push(chunk.subarray(from, to));
  }

  #judged(): Holding {
    const judged = judgeWhole(this.#wire, Buffer.concat(this.#pieces));
    if (judged.kind === 'sound') return 'commit';
    if (judged.kind === 'refusal') {
      this.code = 'REFUSAL';
      return REFUSED;
    }
    if (judged.kind === 'broken') {
      this.code = 'BROKEN_JSON';
      return BROKEN;
    }
    this.code = judged.error.code;
    return failureOfInband(judged.error.status, judged.error.code) ?? 'commit';
  }

  #start(): string {
    return Buffer.concat(this.#pieces).toString('utf8', 0, ERROR_READ_BYTES);
  }
}
