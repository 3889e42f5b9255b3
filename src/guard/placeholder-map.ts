import { inspect } from 'node:util';
import { MASK } from '../secret.ts';
import type { Edit, Placeholders, RunKind } from './guard.ts';
import { TextWindow } from './text-window.ts';

/** Values of one exchange: a table of customers has some hundreds. What is more is redacted, not kept. */
export const MOST_VALUES = 1_024;
/** Of all of them together: UTF-16 units. */
export const MOST_VALUE_UNITS = 65_536;
/** Of what looks like a placeholder in the caller's own text; above it nothing is masked, because nothing could be told apart. */
export const MOST_SEEN = 4_096;

/** Of a kind's name within a placeholder. */
const NAME_UNITS = 24;
/** Numbers end at MOST_VALUES plus MOST_SEEN. */
const NUMBER_DIGITS = 4;
/** The longest there is, each of its signs escaped or not: what is held back at most. */
export const PLACEHOLDER_UNITS = 2 * (NAME_UNITS + NUMBER_DIGITS + 3);

const OPENING = 0x5b;
const CLOSING = 0x5d;
const UNDERSCORE = 0x5f;
const BACKSLASH = 0x5c;
/** Bracket, name, number, bracket; the name's own underscores belong to it. */
const LOOKS_LIKE = /\[[A-Z][A-Z0-9_]{0,23}_[0-9]{1,4}\]/g;

/**
 * What one exchange has masked: `[EMAIL_1]` for an address, the same for the same one. ASCII without `<`, in a form that
 * models repeat as it is; without anything drawn by chance, so that the same conversation is masked in the same way again and a
 * provider's prompt cache knows it. Made for an exchange and dropped with it; prints as `***`.
 */
export class PlaceholderMap implements Placeholders {
  readonly #ofValue = new Map<string, string>();
  readonly #valueOf = new Map<string, string>();
  readonly #seen = new Set<string>();
  /** Kind: the number given out last. */
  readonly #last = new Map<string, number>();
  readonly #window = new TextWindow();
  #units = 0;

  get isEmpty(): boolean {
    return this.#valueOf.size === 0;
  }

  saw(text: string): void {
    if (!text.includes('[')) return;
    // An answer may repeat it with Markdown's escapes, or without those that it has.
    const plain = text.includes('\\') ? text.replaceAll('\\', '') : text;
    for (const [placeholder] of plain.matchAll(LOOKS_LIKE)) {
      if (this.#seen.size > MOST_SEEN) return;
      this.#seen.add(placeholder);
    }
  }

  mask(what: string, value: string): string | null {
    const name = nameOf(what);
    const key = `${name} ${value}`;
    const known = this.#ofValue.get(key);
    if (known !== undefined) return known;
    if (this.#valueOf.size >= MOST_VALUES || this.#seen.size > MOST_SEEN) return null;
    if (this.#units + value.length > MOST_VALUE_UNITS) return null;
    this.#units += value.length;
    const placeholder = this.#next(name);
    // A part of a string keeps the whole alive, which is a prompt.
    const own = Buffer.from(value, 'utf16le').toString('utf16le');
    this.#ofValue.set(`${name} ${own}`, placeholder);
    this.#valueOf.set(placeholder, own);
    return placeholder;
  }

  restored(
    text: string,
    kind: RunKind,
    isEnd: boolean,
  ): { readonly edits: readonly Edit[]; readonly settledTo: number } {
    const edits: Edit[] = [];
    if (this.isEmpty) return { edits, settledTo: text.length };
    const window = this.#window;
    window.open(text);
    // Arguments are data: what is escaped there was meant to be. In prose it is Markdown.
    const mayEscape = kind !== 'tool_args';
    let at = 0;
    while (at < text.length) {
      const code = text.charCodeAt(at);
      const isEscaped = code === BACKSLASH && mayEscape;
      if (code !== OPENING && !isEscaped) {
        at++;
        continue;
      }
      window.touched = false;
      const to = this.#placeholderEnd(at, mayEscape);
      if (window.touched && !isEnd) break;
      if (to < 0) {
        at++;
        continue;
      }
      edits.push({ from: at, to, text: this.#value });
      at = to;
    }
    window.close();
    return { edits, settledTo: at };
  }

  /** Of the placeholder that `#placeholderEnd` found. */
  #value = '';

  /**
   * @param from its bracket, or the backslash in front of it, when there must be one in front of the other bracket, too
   * @returns behind it; -1: there is none
   */
  #placeholderEnd(from: number, mayEscape: boolean): number {
    const window = this.#window;
    const isEscaped = window.at(from) === BACKSLASH;
    let at = isEscaped ? from + 1 : from;
    if (window.at(at) !== OPENING) return -1;
    let placeholder = '[';
    const most = at + PLACEHOLDER_UNITS;
    for (at++; at < most; at++) {
      let code = window.at(at);
      if (code === BACKSLASH && mayEscape) {
        code = window.at(++at);
        if (code !== UNDERSCORE && (code !== CLOSING || !isEscaped)) return -1;
      } else if (code === CLOSING && isEscaped) return -1;
      if (code === CLOSING) break;
      if (!isNamePart(code)) return -1;
      placeholder += String.fromCharCode(code);
      if (placeholder.length > NAME_UNITS + NUMBER_DIGITS + 2) return -1;
    }
    const value = this.#valueOf.get(`${placeholder}]`);
    if (value === undefined) return -1;
    this.#value = value;
    return at + 1;
  }

  #next(name: string): string {
    let number = this.#last.get(name) ?? 0;
    let placeholder: string;
    do placeholder = `[${name}_${++number}]`;
    while (this.#seen.has(placeholder));
    this.#last.set(name, number);
    return placeholder;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [inspect.custom](): string {
    return MASK;
  }
}

/** Capitals, digits and underscores: detectors elsewhere have kinds of their own. */
function nameOf(what: string): string {
  const name = what
    .toUpperCase()
    .replace(/[^A-Z0-9]+/g, '_')
    .slice(0, NAME_UNITS);
  return /^[A-Z]/.test(name) ? name : `X${name}`.slice(0, NAME_UNITS);
}

function isNamePart(code: number): boolean {
  return (code >= 0x41 && code <= 0x5a) || (code >= 0x30 && code <= 0x39) || code === UNDERSCORE;
}
