import type { Buffer } from 'node:buffer';
import { FAILURES, type Failed, failureOfInband, failureOfStatus } from '../plan/failover.ts';
import { FormatProbe } from '../wire/body-format.ts';
import { EventData } from '../wire/event-data.ts';
import { EventStream } from '../wire/event-stream.ts';
import { endsAnswer, finishesAnswer, meaningOf, type StreamWire } from '../wire/first-content.ts';
import { judgeWhole, mayBeNone } from '../wire/whole-answer.ts';
import { HeldBytes } from './held-bytes.ts';
import type { KeptBudget } from './kept-budget.ts';

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

/** Held of a whole answer, in bytes, streamed or not. Above it, it is let go as it comes. */
export const WHOLE_MAX_BYTES = 8 * 1024 * 1024;

/** Held of an error's body, in bytes: where vendors say what was wrong. */
export const ERROR_MAX_BYTES = 65_536;

/** Of an error's body, how much is looked through for the vendor's words. */
const ERROR_READ_BYTES = 4_096;

/** How an event stream is held: to its first content, or to its end. */
type StreamMode = 'stream' | 'stream-to-end';

/** How an answer is held: an event stream, a whole answer to its end, an error's body. */
export type HoldMode = StreamMode | 'whole' | 'error';

const MAX_BYTES: Readonly<Record<HoldMode, number>> = {
  stream: OPENING_MAX_BYTES,
  'stream-to-end': WHOLE_MAX_BYTES,
  whole: WHOLE_MAX_BYTES,
  error: ERROR_MAX_BYTES,
};

interface Events {
  readonly stream: EventStream;
  /** Of the event that is being read. */
  readonly data: EventData;
}

/**
 * An answer or its beginning, kept back while another target could still answer instead. What it holds is bounded by its
 * mode and by what the node may hold; flushed, it is the bytes as they came.
 */
export class HeldAnswer {
  #mode: HoldMode;
  /** Until its first byte has told what it is, whatever its type says. */
  #probe: FormatProbe | null;
  readonly #streamMode: StreamMode;
  readonly #wire: StreamWire;
  readonly #status: number;
  readonly #held: HeldBytes;
  /** Only of an event stream. */
  #events: Events | null = null;
  /** A second answer would be another one from here on. */
  #hasContent = false;
  /** It said why it ended: if nothing but its marker is missing, it is whole. */
  #isFinished = false;
  #bytes = 0;
  /** What was pushed last held content: pings and openings are none. */
  broughtContent = false;
  /** The provider's own word for what went wrong, for the trail. */
  code = '';

  /**
   * @param mode by its status and its type
   * @param streamMode of an event stream under another type
   */
  constructor(
    mode: HoldMode,
    wire: StreamWire,
    status: number,
    budget: KeptBudget,
    streamMode: StreamMode = 'stream',
  ) {
    const isStream = mode === 'stream' || mode === 'stream-to-end';
    this.#mode = mode;
    this.#streamMode = isStream ? mode : streamMode;
    this.#probe = mode === 'error' ? null : new FormatProbe(isStream ? 'events' : 'json');
    this.#wire = wire;
    this.#status = status;
    this.#held = new HeldBytes(budget);
  }

  /** By what it is made of, as far as that is known; until then by its type. */
  get mode(): HoldMode {
    return this.#mode;
  }

  /** Of the answer so far. */
  get bytes(): number {
    return this.#bytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  /** It is let go because it, or what the node holds, is more than may be held. */
  get isOver(): boolean {
    return this.#held.isOver || this.#bytes >= MAX_BYTES[this.#mode];
  }

  /**
   * @param piece lent; it is copied where it is to be held behind this turn, and else left as it is: what is taken, or judged
   *   at the end, is passed on in the turn in which that was said
   * @param last `end` follows in this turn
   */
  push(piece: Buffer, last = false): Holding {
    this.#held.lend(piece);
    this.#bytes += piece.length;
    this.broughtContent = false;
    const text = this.#probe === null ? piece : this.#textIn(piece, this.#probe);
    const events = this.#events;
    const holding = events === null || text === null ? 'hold' : this.#read(text, events);
    if (holding !== 'hold') return holding;
    if (!last) this.#held.keep();
    return this.isOver ? this.#atBound() : holding;
  }

  /**
   * The answer is complete as a message.
   * @param isOneText somebody has read it as one JSON text that reports usage
   */
  end(isOneText = false): Holding {
    if (this.#mode === 'error') return this.#judgedError();
    if (this.#mode === 'whole') return this.#judged(isOneText);
    const last = this.#lastEvent();
    if (last !== 'hold') return last;
    if (this.#isFinished) return 'commit';
    // No error, and no end of its own: an empty answer, or half of one.
    this.code = this.#hasContent ? 'NO_TERMINAL' : 'EMPTY';
    return FAILURES.server_error;
  }

  /** What was held, in order, to be passed on. */
  take(): HeldBytes {
    return this.#held;
  }

  /** Nothing of it reaches anybody. */
  drop(): void {
    this.#held.drop();
  }

  /** Of an error's body, what a wait may stand in. */
  get text(): string {
    return this.#held.start(ERROR_READ_BYTES);
  }

  /** @returns what is to be read of the first piece that is more than white space; null: none yet */
  #textIn(piece: Buffer, probe: FormatProbe): Buffer | null {
    const at = probe.push(piece);
    if (at < 0) return null;
    this.#probe = null;
    const isStream = probe.format === 'events';
    this.#mode = isStream ? this.#streamMode : 'whole';
    if (isStream) this.#events = { stream: new EventStream(), data: new EventData() };
    return at === 0 ? piece : piece.subarray(at);
  }

  /** Some providers end their last event with no blank line. */
  #lastEvent(): Holding {
    if (this.#events === null) return 'hold';
    const { stream, data } = this.#events;
    if (stream.betweenEvents) return 'hold';
    stream.finish();
    return this.#readEvent(data.take(), stream.wasError);
  }

  #atBound(): Holding {
    return this.#mode === 'error' ? this.#judgedError() : 'commit';
  }

  #judgedError(): Holding {
    return failureOfStatus(this.#status, this.text) ?? 'commit';
  }

  #read(piece: Buffer, { stream, data }: Events): Holding {
    let at = stream.begin(piece);
    for (;;) {
      const next = stream.read(piece, at, data);
      if (next < 0) {
        data.keep();
        return 'hold';
      }
      at = next;
      const holding = this.#readEvent(data.take(), stream.wasError);
      if (holding !== 'hold') return holding;
    }
  }

  /** @param data null: it is too long to be read */
  #readEvent(data: string | null, isError: boolean): Holding {
    if (data === null) return this.#content('');
    const meaning = meaningOf(this.#wire, isError ? 'error' : '', data);
    switch (meaning.kind) {
      case 'preamble':
        return 'hold';
      case 'content':
        return this.#content(data);
      case 'refusal':
        this.code = 'REFUSAL';
        return FAILURES.refusal;
      case 'error':
        this.code = meaning.error.code;
        return failureOfInband(meaning.error.status, meaning.error.code, data) ?? 'commit';
      case 'end':
        if (this.#hasContent) return 'commit';
        this.code = 'EMPTY';
        return FAILURES.server_error;
      case 'malformed':
        this.code = 'MALFORMED_EVENT';
        return FAILURES.server_error;
    }
  }

  #content(data: string): Holding {
    this.#hasContent = true;
    this.broughtContent = true;
    this.#isFinished ||= finishesAnswer(this.#wire, data);
    return this.#mode === 'stream' || endsAnswer(this.#wire, data) ? 'commit' : 'hold';
  }

  #judged(isOneText: boolean): Holding {
    const body = this.#held.joined();
    if (isOneText && !mayBeNone(this.#wire, body)) return 'commit';
    const judged = judgeWhole(this.#wire, body);
    if (judged.kind === 'sound') return 'commit';
    if (judged.kind === 'refusal') {
      this.code = 'REFUSAL';
      return FAILURES.refusal;
    }
    if (judged.kind === 'broken') {
      this.code = 'BROKEN_JSON';
      return FAILURES.server_error;
    }
    this.code = judged.error.code;
    return failureOfInband(judged.error.status, judged.error.code, this.text) ?? 'commit';
  }
}
