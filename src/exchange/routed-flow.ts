import { Buffer } from 'node:buffer';
import type { Answer } from './lane.ts';

/** An answer's bytes on their way to the client: what was held first, in order, then what comes behind it. */
export class RoutedFlow {
  readonly #answer: Answer;
  /** What is the client's, but not taken yet. */
  #waiting: Buffer[] = [];
  #isBlocked = false;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** @param held the beginning, kept until now */
  begin(held: readonly Buffer[]): void {
    this.#waiting = [...held];
  }

  /** Nothing waits for the client. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  get isBlocked(): boolean {
    return this.#isBlocked;
  }

  /**
   * Passes on what waits, as far as the client takes it.
   * @param endFollows the last piece is the answer's last
   */
  flush(endFollows: boolean): void {
    while (this.#waiting.length > 0 && !this.#isBlocked) {
      const piece = this.#waiting.shift();
      if (piece === undefined) break;
      const last = endFollows && this.#waiting.length === 0;
      if (!this.#answer.piece(piece, last)) this.#isBlocked = true;
    }
  }

  /** @param piece lent. @returns false when the client takes no more for now */
  pass(piece: Buffer, last: boolean): boolean {
    if (this.#waiting.length > 0) {
      this.#waiting.push(Buffer.from(piece));
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
    this.#waiting = [];
  }
}
