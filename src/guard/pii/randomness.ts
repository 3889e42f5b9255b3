import { DIGIT, LETTER, LOWER, traitsOf, UPPER } from './characters.ts';

/** How mixed a text is: what tells a key from a word. */
export class Randomness {
  units = 0;
  digits = 0;
  capitals = 0;
  smalls = 0;
  /** Neither letters nor digits. */
  signs = 0;
  /** How often a letter stands beside a digit: a word has one number at its end, if any. */
  turns = 0;
  /** Shannon's, in bits a unit. */
  entropy = 0;
  readonly #counts = new Uint16Array(128);

  /** @param to behind the last unit; all are ASCII */
  measure(text: string, from: number, to: number): void {
    this.#counts.fill(0);
    this.units = to - from;
    this.digits = this.capitals = this.smalls = this.signs = this.turns = 0;
    let before = 0;
    for (let at = from; at < to; at++) {
      const code = text.charCodeAt(at) & 0x7f;
      this.#counts[code] = (this.#counts[code] ?? 0) + 1;
      const traits = traitsOf(code);
      if ((traits & DIGIT) !== 0) this.digits++;
      else if ((traits & UPPER) !== 0) this.capitals++;
      else if ((traits & LOWER) !== 0) this.smalls++;
      else this.signs++;
      const side = (traits & LETTER) !== 0 ? LETTER : traits & DIGIT;
      if (side !== 0 && before !== 0 && before !== side) this.turns++;
      before = side;
    }
    this.entropy = 0;
    for (const count of this.#counts) {
      if (count > 0) this.entropy -= (count / this.units) * Math.log2(count / this.units);
    }
  }
}
