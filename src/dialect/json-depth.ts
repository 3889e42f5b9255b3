/** Whether JSON text that comes in pieces is a whole value so far: by its brackets, which is all that it takes for an object. */
export class JsonDepth {
  #depth = 0;
  #hasBegun = false;
  #isInText = false;
  #isEscaped = false;

  push(text: string): void {
    for (let at = 0; at < text.length; at++) this.#pass(text.charCodeAt(at));
  }

  /** False before its first bracket. */
  get isWhole(): boolean {
    return this.#hasBegun && this.#depth === 0;
  }

  #pass(char: number): void {
    if (this.#isInText) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (char === BACKSLASH) this.#isEscaped = true;
      else if (char === QUOTE) this.#isInText = false;
    } else if (char === QUOTE) this.#isInText = true;
    else if (char === BRACE || char === BRACKET) {
      this.#depth++;
      this.#hasBegun = true;
    } else if (char === END_BRACE || char === END_BRACKET) this.#depth--;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACKET = 0x5b;
const END_BRACKET = 0x5d;
const BRACE = 0x7b;
const END_BRACE = 0x7d;
