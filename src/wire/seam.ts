/** The first half of a character whose second one has not come. */
const HALF = /[\ud800-\udbff]$/;

/**
 * A text of this length that comes again from its first character on is no coincidence: the provider tells the prefix
 * first, or began anew.
 */
const ECHO_MIN_CHARACTERS = 32;

/** Where two texts of one answer meet: what of the second one its reader does not have yet. */
export class Seam {
  /**
   * What the next provider is given: the text so far, without the white space at its end (Anthropic refuses it), and without
   * half a character, which is no text.
   */
  readonly prefix: string;
  /** The reader has it, the next provider was not given it. */
  #tail: string;
  readonly #echo: string;
  /** Characters of the echo that came again; -1: it is none, or all of it came. */
  #echoed: number;

  /**
   * @param text all that the reader has
   * @param echoes the provider tells the prefix once more in front of its own text
   */
  constructor(text: string, echoes: boolean) {
    const whole = HALF.test(text) ? text.slice(0, -1) : text;
    // A pattern would look at a long run of white space once from each of its characters.
    this.prefix = whole.trimEnd();
    this.#tail = text.slice(this.prefix.length);
    this.#echo = this.prefix;
    this.#echoed = echoes || this.prefix.length >= ECHO_MIN_CHARACTERS ? 0 : -1;
  }

  /** @param text the next of what the second provider says. @returns what of it is new; the rest of it may follow later */
  take(text: string): string {
    return this.#withoutTail(this.#withoutEcho(text));
  }

  /** The text ends here. @returns what was taken for an echo, and was none */
  rest(): string {
    const held = this.#echoed > 0 ? this.#echo.slice(0, this.#echoed) : '';
    this.#echoed = -1;
    return this.#withoutTail(held);
  }

  #withoutEcho(text: string): string {
    if (this.#echoed < 0) return text;
    const alike = commonLength(text, this.#echo, this.#echoed);
    const echoed = this.#echoed + alike;
    if (echoed < this.#echo.length && alike === text.length) {
      this.#echoed = echoed;
      return '';
    }
    this.#echoed = -1;
    const rest = text.slice(alike);
    return echoed === this.#echo.length ? rest : this.#echo.slice(0, echoed) + rest;
  }

  #withoutTail(text: string): string {
    if (this.#tail === '' || text === '') return text;
    const alike = commonLength(text, this.#tail, 0);
    this.#tail = alike === text.length ? this.#tail.slice(alike) : '';
    return text.slice(alike);
  }
}

/** How many characters `text` has in common with `other` from `from` on. */
function commonLength(text: string, other: string, from: number): number {
  let at = 0;
  while (at < text.length && from + at < other.length && text[at] === other[from + at]) at++;
  return at;
}
