/**
 * Bytes that are kept of earlier answers: some 50,000 rows of short questions. The oldest go. Names count with what is in them: who
 * asks chooses how long those are.
 */
export const KNOWN_BYTES_MAX = 24 * 1024 * 1024;

/** Of a row, its numbers and names; and of an answer, beside its rows and its name. In bytes. */
const ROW_BYTES = 300;
const ANSWER_BYTES = 100;

/** Answers of files to parts of questions: a screen asks the same again every few seconds. */
export class KnownAnswers<Row> {
  readonly #answers = new Map<string, readonly Row[]>();
  #bytes = 0;

  /** What is kept, in bytes: at most `KNOWN_BYTES_MAX`. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * @param name what tells the answer from all others
   * @param ask where it is not known
   */
  of(name: string, ask: () => readonly Row[]): readonly Row[] {
    const known = this.#answers.get(name);
    if (known !== undefined) return known;
    const answer = ask();
    this.#answers.set(name, answer);
    this.#bytes += bytesOf(name, answer);
    for (const [oldest, rows] of this.#answers) {
      if (this.#bytes <= KNOWN_BYTES_MAX) break;
      this.#answers.delete(oldest);
      this.#bytes -= bytesOf(oldest, rows);
    }
    return answer;
  }
}

/** A text with a letter beyond Latin-1 takes two bytes a letter: counted so for all, it is a bound. */
function bytesOf(name: string, rows: readonly unknown[]): number {
  return ANSWER_BYTES + 2 * name.length + rows.length * ROW_BYTES;
}
