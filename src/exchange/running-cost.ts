import type { Reservation } from '../budget/reservation.ts';
import { type KeySpending, WAITS } from '../budget/spending.ts';
import type { MeteredUsage, Metering } from '../meter/metering.ts';
import { type Cost, nanoOfCost } from '../prices/cost.ts';
import type { Rejection } from '../rejection.ts';
import { EventBoundary } from '../wire/stream-tail.ts';

/** How long a stream goes on that needs more than this node was granted, where more may be granted; milliseconds. */
const GRANT_WAIT_MS = 50;
/** Of an event that does not end, how much is passed on behind the word that its stream ends; bytes. */
const OPEN_EVENT_BYTES = 65_536;
/** Tokens until an answer is looked at again that has no price so far: its model may not be told yet. */
const UNPRICED_TOKENS = 4_096;
/** Tokens by which it is seen what one more costs. */
const SAMPLE_TOKENS = 1_000;

const NOTHING = Buffer.alloc(0);
const LF = 0x0a;

/** How a stream's parts end: events with a blank line, lines of JSON with a line's end; an array's parts need no look. */
export type StreamParts = 'events' | 'lines' | 'array';

/** Whose answer it is: its attempt. */
export interface Running {
  /** @param usage what it has used so far */
  costSoFar(usage: MeteredUsage): Cost;
  /** Bytes of the request's body. */
  readonly requestBytes: number;
}

/**
 * What a stream has cost so far, where a budget of its key ends what passes it (`hard_stop`). States: ARCHITECTURE.md, "Budgets".
 *
 * Of each piece only two numbers are added up. What that is in money is worked out when so many tokens were seen that it may be more
 * than is reserved: then the rest is reserved, too, or the stream ends where its current part does.
 */
export class RunningCost {
  readonly #spending: KeySpending;
  readonly #reservation: Reservation;
  readonly #metering: Metering;
  readonly #answer: Running;
  readonly #parts: StreamParts;
  readonly #boundary = new EventBoundary();
  #endsWithLine = true;
  /** It is looked at when so many tokens were seen. */
  #lookAt = 0;
  /** As `performance.now()` has it, since when more has to be granted; negative: it need not. */
  #shortSinceMs = -1;
  /** Passed on since it was known that it ends. */
  #behind = 0;
  /** Why it ends, once that is known. */
  why: Rejection | null = null;
  /** Its current part is over: nothing more of it is passed on. */
  isOver = false;

  constructor(
    spending: KeySpending,
    reservation: Reservation,
    metering: Metering,
    answer: Running,
    parts: StreamParts,
  ) {
    this.#spending = spending;
    this.#reservation = reservation;
    this.#metering = metering;
    this.#answer = answer;
    this.#parts = parts;
  }

  /** @param piece as it would be passed on. @returns what of it is the client's */
  passed(piece: Buffer): Buffer {
    if (this.isOver) return NOTHING;
    if (this.why === null) {
      if (this.#parts === 'events') this.#boundary.push(piece);
      else this.#endsWithLine = piece[piece.length - 1] === LF;
      return piece;
    }
    const end = this.#parts === 'events' ? this.#boundary.pushToEnd(piece) : piece.indexOf(LF) + 1;
    this.isOver = end > 0;
    this.#behind += piece.length;
    if (!this.isOver && this.#behind > OPEN_EVENT_BYTES) this.isOver = true;
    return end > 0 ? piece.subarray(0, end) : piece;
  }

  /** Behind each piece: whether the answer may go on. What it comes to is in `why` and `isOver`. */
  look(): void {
    const tokens = this.#metering.tokensSeen;
    if (this.why !== null || tokens < this.#lookAt) return;
    // Ended now, it would cost as much.
    if (this.#metering.isWritten) return;
    const why = this.#judge(tokens);
    if (why === null) return;
    this.why = why;
    this.isOver = this.#isBetween;
  }

  get #isBetween(): boolean {
    if (this.#parts === 'array') return true;
    return this.#parts === 'events' ? this.#boundary.atBoundary : this.#endsWithLine;
  }

  #judge(tokens: number): Rejection | null {
    // An answer that somebody limits is as long as that at most: more than reserved is only what was reported.
    const used = this.#metering.usedSoFar(this.#answer.requestBytes, !this.#reservation.isLimited);
    const nano = nanoOfCost(this.#answer.costSoFar(used));
    if (nano === null) {
      this.#lookAt = tokens + UNPRICED_TOKENS;
      return null;
    }
    if (nano > this.#reservation.reserved) {
      const mayWait =
        this.#shortSinceMs < 0 || performance.now() < this.#shortSinceMs + GRANT_WAIT_MS;
      const why = this.#spending.goesOn(this.#reservation, nano, mayWait);
      if (why === WAITS) {
        if (this.#shortSinceMs < 0) this.#shortSinceMs = performance.now();
        return null;
      }
      this.#shortSinceMs = -1;
      if (why !== null) return why;
    }
    const perToken = this.#tokenCost(used, nano);
    const left = this.#reservation.reserved - nano;
    this.#lookAt = perToken > 0 ? tokens + Math.max(1, Math.floor(left / perToken)) : Infinity;
    return null;
  }

  /** Nano-dollars of one more token, of the dearer kind. */
  #tokenCost(used: MeteredUsage, nano: number): number {
    const { inputTokens, outputTokens } = used.counts;
    const more = (counts: Partial<MeteredUsage['counts']>): number => {
      const sample = { ...used, lines: null, counts: { ...used.counts, ...counts } };
      return (nanoOfCost(this.#answer.costSoFar(sample)) ?? nano) - nano;
    };
    const input = more({ inputTokens: (inputTokens ?? 0) + SAMPLE_TOKENS });
    const output = more({ outputTokens: (outputTokens ?? 0) + SAMPLE_TOKENS });
    return Math.max(input, output, 0) / SAMPLE_TOKENS;
  }
}
