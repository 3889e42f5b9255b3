const LF = 0x0a;
const CR = 0x0d;

/**
 * Finds where the events of a stream end, over any chunk cuts: behind a blank line that ends with LF or CRLF (WHATWG
 * HTML §9.2.6). Lines that end with a lone CR, of which none was ever recorded, count as one long line.
 */
export class EventEnds {
  /** Bytes of the current line that earlier chunks held, a CR at their end not counted. */
  #lineHasBytes = false;
  /** The current line has a CR that may be the first half of its end. */
  #endsWithCr = false;
  /** The last line that ended was blank, or none did. */
  #wasBlank = true;

  /** True when what comes next begins an event, or is one more blank line. */
  get atBoundary(): boolean {
    return this.#wasBlank && !this.#lineHasBytes && !this.#endsWithCr;
  }

  /**
   * @param from where the last call left off, or 0 for the next chunk
   * @returns the offset behind the next blank line, or -1 when the chunk ends before
   */
  next(chunk: Buffer, from: number): number {
    let line = from;
    for (let lf = chunk.indexOf(LF, line); lf >= 0; lf = chunk.indexOf(LF, line)) {
      const isBlank = !this.#lineHasBytes && this.#isBlank(chunk, line, lf);
      this.#lineHasBytes = false;
      this.#endsWithCr = false;
      this.#wasBlank = isBlank;
      line = lf + 1;
      if (isBlank) return line;
    }
    this.#keep(chunk, line);
    return -1;
  }

  #isBlank(chunk: Buffer, line: number, lf: number): boolean {
    if (lf === line) return true;
    return !this.#endsWithCr && lf === line + 1 && chunk[line] === CR;
  }

  /** The rest of a chunk is the start of a line. */
  #keep(chunk: Buffer, line: number): void {
    const bytes = chunk.length - line;
    if (bytes === 0) return;
    const isOnlyCr = bytes === 1 && chunk[line] === CR && !this.#endsWithCr;
    if (isOnlyCr && !this.#lineHasBytes) this.#endsWithCr = true;
    else this.#lineHasBytes = true;
  }
}
