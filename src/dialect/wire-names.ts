/** Names and ids that one wire allows and another does not: changed the same way each time, and mapped back. */

import { createHash } from 'node:crypto';

const PLAIN = /^[a-zA-Z0-9_-]+$/;
const NOT_PLAIN = /[^a-zA-Z0-9_-]/g;
/** Of a hash, in hexadecimal digits: 2^48 names before two of one request are likely to be one. */
const HASH_DIGITS = 12;

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** What stands for a text in ids: 2^96 of them. */
export function shortHash(text: string): string {
  return hashOf(text).slice(0, 24);
}

/**
 * A call's id as Anthropic takes it (`^[a-zA-Z0-9_-]+$`): histories of other vendors have `functions.search:0`. Pure, so
 * that a call and its result, and this turn and the next one, have the same.
 */
export function plainId(id: string): string {
  return PLAIN.test(id) ? id : `toolu_${shortHash(id)}`;
}

/** A tool's name of at most so many characters of `[a-zA-Z0-9_-]`. */
export function plainName(name: string, maxChars: number): string {
  return name.length <= maxChars && PLAIN.test(name) ? name : markedName(name, maxChars);
}

/** One that no other name of the request is likely to have. */
function markedName(name: string, maxChars: number): string {
  const kept = name.replace(NOT_PLAIN, '_').slice(0, maxChars - HASH_DIGITS - 1);
  return `${kept}_${hashOf(name).slice(0, HASH_DIGITS)}`;
}

/** An opaque name of at most so many characters. */
export function boundedName(name: string, maxChars: number): string {
  return name.length <= maxChars ? name : hashOf(name);
}

/** The tools of one request under the names that its provider is given. */
export class ToolNames {
  readonly #maxChars: number;
  readonly #opensWithLetter: boolean;
  /** By the given name: those that are not the caller's own. */
  readonly changed = new Map<string, string>();

  /** @param opensWithLetter a name that begins with a digit or a dash is refused there */
  constructor(maxChars: number, opensWithLetter = false) {
    this.#maxChars = maxChars;
    this.#opensWithLetter = opensWithLetter;
  }

  given(name: string): string {
    const isOdd = this.#opensWithLetter && /^[0-9-]/.test(name);
    const plain = isOdd ? markedName(`_${name}`, this.#maxChars) : plainName(name, this.#maxChars);
    if (plain !== name) this.changed.set(plain, name);
    return plain;
  }
}
