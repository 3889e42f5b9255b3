/**
 * Knows whether a relayed event stream stands at an event boundary, so that a cut can be preceded by an error event
 * without landing in the middle of somebody else's event. An event ends with an empty line; lines end with LF, CRLF
 * or CR (WHATWG HTML §9.2.5).
 *
 * The verdict depends on at most the last four bytes, so that is all the state there is: work per chunk is constant.
 */
export class EventBoundary {
  /** The last four bytes seen, newest lowest; 0x0a0a0a0a at the start, because nothing sent is a boundary too. */
  #last = 0x0a0a0a0a;

  push(chunk: Uint8Array): void {
    for (let i = Math.max(0, chunk.length - 4); i < chunk.length; i++) {
      this.#last = ((this.#last << 8) | (chunk[i] ?? 0)) >>> 0;
    }
  }

  /** True when every byte so far belongs to a finished event. */
  get atBoundary(): boolean {
    const two = this.#last & 0xffff;
    if (two === 0x0a0a || two === 0x0d0d || two === 0x0a0d) return true;
    const three = this.#last & 0xffffff;
    return three === 0x0a0d0a || three === 0x0d0d0a;
  }
}
