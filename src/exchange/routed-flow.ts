import type { Buffer } from 'node:buffer';
import type { HeldBytes } from './held-bytes.ts';
import type { Answer } from './lane.ts';

/** An answer's bytes on their way to the client: what was held first, in order, then what comes behind it. */
export class RoutedFlow {
  readonly #answer: Answer;
  /** What is the client's, but not taken yet. */
  #waiting: HeldBytes | null = null;
  #isBlocked = false;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** @param held the beginning, kept until now; `flush` follows in this turn */
  begin(held: HeldBytes): void {
    this.#waiting = held;
  }

  /** Nothing waits for the client. */
  get isEmpty(): boolean {
    return this.#waiting === null || this.#waiting.length === 0;
  }

  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /**
   * Passes on what waits, as far as the client takes it.
   * @param endFollows the last piece is the answer's last
   */
  flush(endFollows: boolean): void {
    while (this.#waiting !== null && !this.#isBlocked) {
      const piece = this.#waiting.shift();
      const isLast = this.#waiting.length === 0;
      if (isLast) this.#waiting = null;
      if (piece === null) break;
      if (!this.#answer.piece(piece, isLast && endFollows)) this.#isBlocked = true;
    }
    this.#waiting?.keep();
  }

  /** @param piece lent. @returns false when the client takes no more for now */
  pass(piece: Buffer, last: boolean): boolean {
    if (this.#waiting !== null) {
      this.#waiting.append(piece);
      return false;
    }
    const takesMore = this.#answer.piece(piece, last);
    this.#isBlocked = !takesMore;
    return takesMore;
  }

  /** The client has taken what it was given. */
  drained(): void {
    this.#isBlocked = false;
  }

  drop(): void {
    this.#waiting?.drop();
    this.#waiting = null;
  }
}
