import type { Deadlines, Due } from '../ticker.ts';

/** How far an answer is read behind a client that left, in bytes: a bill is one event, and the longest has some 4 KiB. */
export const UNSEEN_BYTES = 65_536;

/** For how long at most, in milliseconds: recorded bills follow their end sign within a tenth of it. */
const UNSEEN_MS = 2_000;

/**
 * Most of them at a time on a worker. Each holds a connection to its provider and what a stream costs; who leaves a
 * thousand streams at once gets estimates for the others.
 */
const UNSEEN_MAX = 256;

/** The answers of a worker that are read on for their bills, although nobody sees them any more. */
export class UnseenAnswers {
  readonly #deadlines: Deadlines;
  readonly #answers = new Set<Due>();

  constructor(deadlines: Deadlines) {
    this.#deadlines = deadlines;
  }

  /**
   * @param answer its `onDue` ends it, and its `leave` follows
   * @returns false when there are too many: it is to end now
   */
  enter(answer: Due): boolean {
    if (this.#answers.size >= UNSEEN_MAX) return false;
    this.#answers.add(answer);
    this.#deadlines.set(answer, UNSEEN_MS);
    return true;
  }

  leave(answer: Due): void {
    this.#deadlines.clear(answer);
    this.#answers.delete(answer);
  }

  /** The worker ends: each is settled with what it has. */
  endAll(): void {
    for (const answer of [...this.#answers]) {
      try {
        answer.onDue();
      } catch (error) {
        answer.onDueBroken(error);
      }
    }
  }
}
