/**
 * JSON texts of one meaning as one text (RFC 8785): members sorted, no white space, one spelling of strings and numbers.
 *
 * Decision: numbers are told apart by their exact decimal value and not by the double nearest to it, as RFC 8785 has it: two
 * seeds of 64 bits may share a double, and are two requests. What is written here is hashed and never read.
 */

/** Deeper is no request: what is nested by the megabyte must not end the stack. */
const DEPTH_MAX = 256;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,9}(?!\d))?/y;
const SPACE = /[ \t\n\r]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: no JSON string has one
const PLAIN_STRING = /"[^"\\\u0000-\u001f]*"/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const STRING = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/** The members of one object, canonical, by their names. */
export type CanonicalMembers = ReadonlyMap<string, string>;

/**
 * @param text of a JSON object
 * @returns null where it is none, is nested too deep, or names a member twice: which one counts is each parser's own
 */
export function canonicalMembers(text: string): CanonicalMembers | null {
  const reader = new Reader(text);
  return reader.whole();
}

/** The object that has these members. */
export function canonicalObject(members: CanonicalMembers): string {
  // RFC 8785 §3.2.3: by UTF-16 units, which is how strings compare.
  const names = [...members.keys()].sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${members.get(name)}`).join(',')}}`;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): CanonicalMembers | null {
    this.#space();
    const members = this.#members(1);
    this.#space();
    return this.#at === this.#text.length ? members : null;
  }

  #value(depth: number): string | null {
    switch (this.#text[this.#at]) {
      case '{': {
        const members = this.#members(depth + 1);
        return members === null ? null : canonicalObject(members);
      }
      case '[':
        return this.#list(depth + 1);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true');
      case 'f':
        return this.#word('false');
      case 'n':
        return this.#word('null');
      default:
        return this.#number();
    }
  }

  #members(depth: number): Map<string, string> | null {
    if (depth > DEPTH_MAX || !this.#takes('{')) return null;
    const members = new Map<string, string>();
    this.#space();
    if (this.#takes('}')) return members;
    for (;;) {
      this.#space();
      const name = this.#string();
      this.#space();
      if (name === null || !this.#takes(':')) return null;
      this.#space();
      const value = this.#value(depth);
      const spelled: unknown = JSON.parse(name);
      if (value === null || typeof spelled !== 'string' || members.has(spelled)) return null;
      members.set(spelled, value);
      this.#space();
      if (this.#takes('}')) return members;
      if (!this.#takes(',')) return null;
    }
  }

  #list(depth: number): string | null {
    if (depth > DEPTH_MAX || !this.#takes('[')) return null;
    this.#space();
    if (this.#takes(']')) return '[]';
    let list = '[';
    for (;;) {
      this.#space();
      const value = this.#value(depth);
      if (value === null) return null;
      list += value;
      this.#space();
      if (this.#takes(']')) return `${list}]`;
      if (!this.#takes(',')) return null;
      list += ',';
    }
  }

  #string(): string | null {
    const plain = this.#match(PLAIN_STRING);
    if (plain !== null) return plain;
    const escaped = this.#match(STRING);
    return escaped === null ? null : JSON.stringify(JSON.parse(escaped));
  }

  #number(): string | null {
    const token = this.#match(NUMBER);
    return token === null ? null : exactNumber(token);
  }

  #word(word: string): string | null {
    if (!this.#text.startsWith(word, this.#at)) return null;
    this.#at += word.length;
    return word;
  }

  #takes(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #space(): void {
    this.#match(SPACE);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return null;
    this.#at += found[0].length;
    return found[0];
  }
}

/** Its digits without zeros at either end, and the power of ten that they are multiplied by. */
function exactNumber(token: string): string {
  const [mantissa = '', exponent = '0'] = token.toLowerCase().split('e');
  const sign = mantissa.startsWith('-') ? '-' : '';
  const [whole = '', fraction = ''] = mantissa.slice(sign.length).split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  const power = Number(exponent) - fraction.length + (digits.length - significant.length);
  return `${sign}${significant}e${power}`;
}
