/** What words are looked for in: UTF-16 units by their place, something negative behind the end. */
export interface Units {
  at(at: number): number;
}

/** Printable ASCII, its letters folded: enough for every word that is looked for, and one column a sign. */
const FIRST = 0x20;
const LAST = 0x7e;
const COLUMNS = 64;
const NONE = -1;

/**
 * Words as one automaton: all of them are looked for in one pass, whatever their number, and most texts leave it at their
 * first or second letter. Case is folded; who needs it looks again.
 */
export class WordTrie {
  /** Node by column: the next node, 0 where there is none (nothing leads back to the root). */
  readonly #next: Int16Array;
  /** Node: the index of the word that ends there, or NONE. */
  readonly #word: Int16Array;
  /** Behind the word that `longest` found. */
  end = 0;

  /** @param words printable ASCII (`{|}~` are taken for `[\]^`); which one was found is told by its index */
  constructor(words: readonly string[]) {
    const nodes = 1 + words.reduce((sum, word) => sum + word.length, 0);
    this.#next = new Int16Array(nodes * COLUMNS);
    this.#word = new Int16Array(nodes).fill(NONE);
    let used = 1;
    words.forEach((word, index) => {
      let node = 0;
      for (let i = 0; i < word.length; i++) {
        const at = node * COLUMNS + columnOf(word.charCodeAt(i));
        if (this.#next[at] === 0) this.#next[at] = used++;
        node = this.#next[at] ?? 0;
      }
      this.#word[node] = index;
    });
  }

  /** @returns the index of the longest word that the text goes on with at `from`, `end` being behind it; -1: none */
  longest(units: Units, from: number): number {
    let node = 0;
    let found = NONE;
    for (let at = from; ; at++) {
      const code = units.at(at);
      if (code < FIRST || code > LAST) return found;
      node = this.#next[node * COLUMNS + columnOf(code)] ?? 0;
      if (node === 0) return found;
      const word = this.#word[node] ?? NONE;
      if (word === NONE) continue;
      found = word;
      this.end = at + 1;
    }
  }
}

/** Small letters stand where the capitals do. */
function columnOf(code: number): number {
  return (code >= 0x60 ? code - 0x20 : code) - FIRST;
}
