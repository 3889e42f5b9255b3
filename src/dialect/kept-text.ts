import { Buffer } from 'node:buffer';

/** Of UTF-16. */
const UNIT_BYTES = 2;
/** Some seventy words. */
const FIRST_BYTES = 1_024;

/**
 * Text that is kept piece by piece, outside of the heap: as one string of many it would be two objects for each piece, 160 bytes
 * for 28 characters, which all collections of garbage move and look through until the stream ends. As UTF-16, because a piece may
 * end within a character. It has room for up to twice what it keeps.
 */
export class KeptText {
  #bytes: Buffer | null = null;
  #length = 0;

  append(text: string): void {
    const needed = this.#length + text.length * UNIT_BYTES;
    const room = this.#bytes?.length ?? 0;
    if (this.#bytes === null || needed > room) {
      const grown = Buffer.allocUnsafeSlow(Math.max(FIRST_BYTES, needed, room * 2));
      this.#bytes?.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    this.#length += this.#bytes.write(text, this.#length, 'utf16le');
  }

  /** In UTF-16 units. */
  get length(): number {
    return this.#length / UNIT_BYTES;
  }

  /** All of it, in one piece. */
  toString(): string {
    return this.#bytes?.toString('utf16le', 0, this.#length) ?? '';
  }
}
