import type { FactPart } from './fact-template.ts';

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
const MORE = 0x80;
const LOW = 0x7f;

/** Made at once for the parts of some hundred facts. Those of one fact have its line's length at most. */
const PIECE_BYTES = 16_384;

/** Writes the parts of facts as bytes: numbers in few of them. */
export class FactPartsWriter {
  #bytes = Buffer.allocUnsafeSlow(PIECE_BYTES);
  #from = 0;
  #length = 0;

  /** @param skipped places of parts that stand elsewhere */
  write(parts: readonly FactPart[], skipped: ReadonlySet<number>): Uint8Array {
    this.#from = this.#length;
    for (let at = 0; at < parts.length; at++) {
      if (skipped.has(at)) continue;
      const part = parts[at];
      if (typeof part === 'number') this.#number(part);
      else if (part !== undefined) this.#text(part);
    }
    return new Uint8Array(this.#bytes.buffer, this.#from, this.#length - this.#from);
  }

  #number(value: number): void {
    this.#need(8);
    let rest = value;
    while (rest > LOW) {
      this.#bytes[this.#length++] = (rest % MORE) | MORE;
      rest = Math.floor(rest / MORE);
    }
    this.#bytes[this.#length++] = rest;
  }

  #text(text: string): void {
    this.#number(text.length);
    this.#need(text.length);
    this.#length += this.#bytes.write(text, this.#length, 'latin1');
  }

  #need(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    // What was written before is somebody's: it stays where it is, and goes with them.
    const begun = this.#length - this.#from;
    const next = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, 2 * (begun + bytes)));
    this.#bytes.copy(next, 0, this.#from, this.#length);
    this.#bytes = next;
    this.#from = 0;
    this.#length = begun;
  }
}

/**
 * Reads what a `FactPartsWriter` wrote.
 * @param texts which parts are texts
 * @param known parts that stand elsewhere, by their places
 */
export function readFactParts(
  bytes: Uint8Array,
  texts: readonly boolean[],
  known: ReadonlyMap<number, FactPart>,
): readonly FactPart[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const number = (): number => {
    let value = 0;
    let weight = 1;
    for (;;) {
      const byte = buffer[at++] ?? 0;
      value += (byte & LOW) * weight;
      if (byte < MORE) return value;
      weight *= MORE;
    }
  };
  return texts.map((isText, place) => {
    const told = known.get(place);
    if (told !== undefined) return told;
    const value = number();
    if (!isText) return value;
    at += value;
    return buffer.toString('latin1', at - value, at);
  });
}
