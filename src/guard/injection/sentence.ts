import type { TextWindow } from '../text-window.ts';
import { TEXT_END } from '../text-window.ts';
import type { Units } from '../word-trie.ts';

/** Of a sentence: what is longer is read in parts. Prose has 100 to 200, one line of minified code anything. */
export const SENTENCE_UNITS = 1_024;

const SPACE = 0x20;
const LINE_FEED = 0x0a;
/** Any letter that no phrase has. */
const OTHER_LETTER = 0x7f;
const DROPPED = 0;
const BACKSLASH = 0x5c;
const SMALL_N = 0x6e;

/** Letters, digits and blanks as phrases have them; what is left of the rest is a space. */
const PLAIN = new Uint8Array(0x250).fill(SPACE);
for (let code = 0; code < 26; code++) PLAIN[0x41 + code] = PLAIN[0x61 + code] = 0x61 + code;
for (let code = 0x30; code <= 0x39; code++) PLAIN[code] = code;
// A name of a program's is one word, and none of a sentence's.
PLAIN[0x5f] = OTHER_LETTER;
// Apostrophes and soft hyphens stand within words.
PLAIN[0x27] = PLAIN[0xad] = DROPPED;
for (let code = 0xc0; code < PLAIN.length; code++) {
  const base = String.fromCharCode(code).normalize('NFD').charCodeAt(0);
  PLAIN[code] = base < 0x80 ? (PLAIN[base] ?? SPACE) : OTHER_LETTER;
}

/** Letters of other scripts that look like Latin ones, which is what they are put into a text for. */
const LOOKALIKES: ReadonlyMap<number, number> = new Map(
  [
    ...Array.from('аеорсухіѕјһԁԛԝ', (letter, i) => [letter, 'aeopcyxisjhdqw'[i] ?? ''] as const),
    ...Array.from('АВЕКМНОРСТУХІЅЈ', (letter, i) => [letter, 'abekmhopctyxisj'[i] ?? ''] as const),
    ...Array.from('οαινρτυ', (letter, i) => [letter, 'oaivptu'[i] ?? ''] as const),
  ].map(([letter, latin]) => [letter.charCodeAt(0), latin.charCodeAt(0)]),
);

/** Tags (U+E0000 to U+E007F): letters that nobody sees and models read. */
const TAG_HIGH = 0xdb40;
const TAG_LOW = 0xdc00;
/** A flag of a part of a country has six of them. */
export const SHOWN_TAGS = 8;

const QUOTES = '“”„«»‘’「」\u201f';

const NO_QUOTE = 0;
/** A string of JSON or YAML: it is no more than that. */
const DATA = 1;
/** Somebody else's words. */
const QUOTATION = 2;
/** What stands in front of a string that is data. */
const DATA_SIGNS = ':,[{=';

/** One sentence in the form that phrases have: its words with one space behind each. */
export class Sentence implements Units {
  readonly #units = new Uint8Array(SENTENCE_UNITS + 2);
  #length = 0;
  /** Of each word: where it begins here, whether more than a blank is in front of it, and whether it stands in quotes. */
  readonly starts = new Uint16Array(SENTENCE_UNITS);
  readonly opens = new Uint8Array(SENTENCE_UNITS);
  readonly quoted = new Uint8Array(SENTENCE_UNITS);
  words = 0;
  /** Letters among them that nobody sees. */
  tags = 0;

  /** @returns the unit at a place; negative behind the last one */
  at(at: number): number {
    return at < this.#length ? (this.#units[at] ?? TEXT_END) : TEXT_END;
  }

  /**
   * Reads the sentence that begins at `from`: to a full stop or its like with a blank behind it, an empty line, or
   * SENTENCE_UNITS. One line end is a blank.
   * @returns behind it
   */
  read(window: TextWindow, from: number): number {
    this.#length = this.words = this.tags = 0;
    let inWord = false;
    let quote: number = NO_QUOTE;
    let sign = 0;
    let isOpening = true;
    let at = from;
    const most = from + SENTENCE_UNITS;
    while (at < most) {
      const code = window.at(at);
      if (code === TEXT_END) break;
      at++;
      if (isTagHigh(code)) {
        const low = window.at(at) - TAG_LOW;
        if (low >= SPACE && low < 0x7f) this.tags++;
        continue;
      }
      const plain = plainOf(code);
      if (plain === DROPPED) continue;
      if (plain !== SPACE) {
        if (!inWord) {
          this.quoted[this.words] = quote === QUOTATION ? 1 : 0;
          this.opens[this.words] = isOpening ? 1 : 0;
          isOpening = false;
          this.starts[this.words++] = this.#length;
        }
        inWord = true;
        sign = 0;
        this.#units[this.#length++] = plain;
        continue;
      }
      if (inWord) this.#units[this.#length++] = SPACE;
      inWord = false;
      if (isQuote(code) && sign !== BACKSLASH) {
        if (quote !== NO_QUOTE) quote = NO_QUOTE;
        else quote = DATA_SIGNS.includes(String.fromCharCode(sign)) ? DATA : QUOTATION;
      }
      if (code !== SPACE) {
        // Options and paths of a command line are no beginnings of orders.
        if (code !== 0x2d && code !== 0x2f) isOpening = true;
        sign = code;
      }
      // A line end in JSON's spelling, which tool results are full of.
      if (code === BACKSLASH && window.at(at) === SMALL_N) at++;
      if (this.words > 0 && endsSentence(window, code, at)) break;
    }
    if (inWord) this.#units[this.#length++] = SPACE;
    return at;
  }
}

function isQuote(code: number): boolean {
  return code < 0x80 ? code === 0x22 || code === 0x60 : QUOTES.includes(String.fromCharCode(code));
}

function isTagHigh(code: number): boolean {
  return code === TAG_HIGH;
}

function endsSentence(window: TextWindow, code: number, at: number): boolean {
  if (code === LINE_FEED) return window.at(at) === LINE_FEED || window.at(at) === 0x0d;
  if (code === 0x3002 || code === 0xff01 || code === 0xff1f) return true;
  if (code !== 0x2e && code !== 0x21 && code !== 0x3f) return false;
  const next = window.at(at);
  return next <= SPACE || next === 0x22 || next === 0x3c || next === BACKSLASH;
}

function plainOf(code: number): number {
  if (code < PLAIN.length) return PLAIN[code] ?? SPACE;
  if (code >= 0xff01 && code <= 0xff5e) return PLAIN[code - 0xfee0] ?? SPACE;
  if ((code >= 0x200b && code <= 0x200f) || code === 0x2060 || code === 0xfeff) return DROPPED;
  if (code === 0x2019) return DROPPED;
  if (code >= 0x2000 && code <= 0x2e7f) return SPACE;
  if (code >= 0x3000 && code <= 0x303f) return SPACE;
  if (code >= 0xd800 && code <= 0xdfff) return code >= 0xdc00 ? DROPPED : OTHER_LETTER;
  return LOOKALIKES.get(code) ?? OTHER_LETTER;
}
