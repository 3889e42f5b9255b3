import type { Rejection } from '../rejection.ts';
import type { Account, Settlement } from '../settle/settle.ts';
import type { UpstreamFailure } from '../upstream/failure.ts';
import type { ResponseHead } from '../wire/response-head.ts';

/**
 * The way by which a request gets its answer. The exchange gives it the request and is told the answer; what is asked
 * of whom, how often and with which key is the lane's own.
 */
export interface Lane {
  /** The request is whole with its head. */
  begin(): void;
  /**
   * The next piece of the request's content.
   * @param piece lent: whoever keeps it copies it
   */
  body(piece: Buffer, last: boolean): void;
  /** The client has taken what it was given: more may come. */
  writerDrained(): void;
  /** Nothing of the upload was taken for too long. */
  uploadStalled(): void;
  /**
   * The client has gone while it was answered. Where the answer has said its end, but not what it cost, the lane reads on,
   * unseen, and tells the end as ever (`answered`, `failed`), which may be in this turn.
   * @returns false when nothing is to be waited for: `abort` follows
   */
  clientLeft(): boolean;
  /** Ends what runs and whatever would have come, in this turn; nothing is told any more. */
  abort(): void;
  /** The same of a request that must not become whole: no provider could begin to work, and no fact tells of it. */
  takeBack(): void;
  /**
   * Nothing more comes, and the answer's end is about to leave: what was reserved for it goes back, so that whoever has read it
   * and asks again is not refused for what is over.
   * @param durationMs since the request came
   */
  giveBack(durationMs: number): void;
  /** Releases everything, and says what came of it. Called once, when the exchange ends. */
  account(settlement: Settlement): Account;
}

/** The client's side, as a lane sees it. Nothing is told behind `answered`, `failed` and `refused`. */
export interface Answer {
  /** The lane takes no more of the upload until `uploadDrained`. */
  uploadFull(): void;
  uploadDrained(): void;
  /** @param followed of a sized content, the first piece is told in the same turn */
  head(head: ResponseHead, followed: boolean): void;
  /**
   * @param piece lent: it dies with the turn
   * @param last `answered` follows in the same turn
   * @returns false when the client takes no more for now: `writerDrained` follows
   */
  piece(piece: Buffer, last: boolean): boolean;
  answered(): void;
  /** @param detail a sentence for the caller, or empty */
  failed(failure: UpstreamFailure, detail: string): void;
  /** The request turned out to be none that may proceed, or has nowhere to go: what was sent of it is taken back. */
  refused(why: Rejection): void;
  /** A bug was met. Must not throw. */
  onBroken(error: unknown): void;
}
