import type { TextWindow } from '../text-window.ts';
import { ALNUM, DIGIT, LETTER, LOWER, traitsOf, VALUE } from './characters.ts';
import { Randomness } from './randomness.ts';
import type { Span } from './span.ts';

/** Words behind which a password stands: people choose those, so that little tells them from words. */
export const PASSWORD_WORDS: readonly string[] = [
  'password',
  'passwd',
  'passphrase',
  'passcode',
  'pwd',
  'passwort',
  'kennwort',
  'mot de passe',
  'senha',
];

/** Words behind which something stands that a machine drew. */
export const KEY_WORDS: readonly string[] = [
  'secret',
  'token',
  'api key',
  'api_key',
  'api-key',
  'apikey',
  'access key',
  'access_key',
  'accesskey',
  'private key',
  'private_key',
  'signing key',
  'signing_key',
  'encryption key',
  'encryption_key',
  'auth',
  'authorization',
  'bearer',
  'basic',
  'credential',
  'credentials',
];

/** Between a word and what it names: `_access_key": "`, `s are: `, ` for it is `. */
const NAME_UNITS = 32;
const GAP_UNITS = 40;
const FILLERS: ReadonlySet<string> = new Set([
  ...[
    'is',
    'are',
    'was',
    'to',
    'as',
    'be',
    'set',
    'value',
    'the',
    'my',
    'for',
    'it',
    'this',
    'new',
  ],
  ...['number', 'no', 'nr', 'at', 'me', 'us', 'on', 'bearer', 'basic', 'ist', 'est', 'es', 'key'],
]);
const FILLER_UNITS = 6;
const GAP_SIGNS = ' \t\n\r:=>"\'`*(,#.';
const ASSIGNING = ':=>';

/**
 * Reads from behind a word to what it names: over the rest of a name (`_access_key`, `AccessKey`, `s`), signs that assign and
 * quote, and small words.
 * @returns where the named thing begins, `assigns` saying how; -1: the word was part of another one, or nothing is named
 */
export class NamedGap {
  /** By a sign or by `is`, and not only by standing beside it. */
  assigns = false;

  end(window: TextWindow, from: number): number {
    this.assigns = false;
    let at = nameEnd(window, from);
    if (at < 0) return -1;
    const most = at + GAP_UNITS;
    const start = at;
    while (at < most) {
      const code = window.at(at);
      const isWord = (traitsOf(code) & ALNUM) !== 0;
      if (isWord) {
        const filler = this.#fillerEnd(window, at);
        if (filler === 0) break;
        at = filler;
      } else {
        if (code < 0 || !GAP_SIGNS.includes(String.fromCharCode(code))) break;
        if (ASSIGNING.includes(String.fromCharCode(code))) this.assigns = true;
        at++;
      }
    }
    return at === start ? -1 : at;
  }

  #fillerEnd(window: TextWindow, from: number): number {
    let at = from;
    while ((traitsOf(window.at(at)) & ALNUM) !== 0) {
      if (++at - from > FILLER_UNITS) return 0;
    }
    const word = window.text.slice(from, at).toLowerCase();
    if (!FILLERS.has(word)) return 0;
    if (word === 'is' || word === 'ist' || word === 'est') this.assigns = true;
    return at;
  }
}

const PLURAL = 0x73;

/** @returns behind the name that the word is a part of; -1 where it is a part of another word (`tokenizer`) */
function nameEnd(window: TextWindow, from: number): number {
  let at = from;
  if (window.at(at) === PLURAL && (traitsOf(window.at(at + 1)) & ALNUM) === 0) at++;
  if ((traitsOf(window.at(at)) & LOWER) !== 0) return -1;
  for (; at - from < NAME_UNITS; at++) {
    const code = window.at(at);
    if ((traitsOf(code) & ALNUM) === 0 && code !== 0x5f && code !== 0x2d) return at;
  }
  return -1;
}

const LEAST_UNITS = 8;
const MOST_UNITS = 128;
/** From here on it needs no sign that assigns it. */
const LONG_UNITS = 20;
/** Bits a unit, of long ones and of others: hexadecimal of 20 units has 3.3 on average, `aaaa1111b2` 1.9. */
const LONG_ENTROPY = 3;
const ENTROPY = 2.5;
const TURNS = 2;
const DOLLAR = 0x24;
const randomness = new Randomness();

/**
 * Whether what is named looks like a secret: for a key as mixed as chance mixes, for a password of letters and digits, as
 * passwords must be. Code is none: what is called, or begins as a variable does; nor is an address of a page.
 * @param isPassword whether people choose such things
 * @param assigns whether it was named by a sign, and does not only stand there
 */
export function toldSecret(
  window: TextWindow,
  from: number,
  isPassword: boolean,
  assigns: boolean,
  found: Span,
): boolean {
  if (window.text.startsWith('http', from)) return false;
  let to = valueEnd(window, from, isPassword);
  // The sentence's; a password often ends with an exclamation mark.
  while (to > from && '.?:'.includes(window.text.charAt(to - 1))) to--;
  if (to - from < LEAST_UNITS) return false;
  randomness.measure(window.text, from, to);
  // `$PASSWORD` stands for something that is not here.
  if (window.at(from) === DOLLAR && isName(window.text, from + 1, to)) return false;
  const { digits, capitals, smalls, signs, turns, units, entropy } = randomness;
  if (digits === 0 || capitals + smalls === 0) return false;
  const isLong = units >= LONG_UNITS;
  const isDrawn =
    turns >= TURNS && (isLong || assigns) && entropy >= (isLong ? LONG_ENTROPY : ENTROPY);
  // `config.token1` and `user_password2` are names, not what they name.
  const isChosen = isPassword && assigns && (signs === 0 || !isName(window.text, from, to));
  return (isDrawn || isChosen) && found.set(from, to);
}

const BRACKET = 0x28;

/**
 * @param isPassword whether brackets may be part of it; behind letters alone they call something
 * @returns behind the value; `from` where it is code, or has no digit, which it must have
 */
function valueEnd(window: TextWindow, from: number, isPassword: boolean): number {
  let to = from;
  let areLetters = true;
  let hasDigit = false;
  for (; to - from < MOST_UNITS; to++) {
    const code = window.at(to);
    const traits = traitsOf(code);
    if ((traits & DIGIT) !== 0) hasDigit = true;
    if ((traits & VALUE) !== 0) {
      if ((traits & LETTER) === 0 && code !== 0x5f && code !== 0x2e) areLetters = false;
    } else if (!isPassword || (code !== BRACKET && code !== BRACKET + 1)) break;
    else if (areLetters && to > from && code === BRACKET) return from;
  }
  const behind = window.at(to);
  const isCode = behind > 0 && '([{'.includes(String.fromCharCode(behind));
  return isCode || !hasDigit ? from : to;
}

function isName(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at);
    if ((traitsOf(code) & ALNUM) === 0 && code !== 0x5f && code !== 0x2e) return false;
  }
  return true;
}
