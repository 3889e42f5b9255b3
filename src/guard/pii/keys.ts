import type { TextWindow } from '../text-window.ts';
import { ALNUM, BASE64URL, DIGIT, traitsOf, UPPER } from './characters.ts';
import type { KeyShape } from './key-shapes.ts';
import { NOT_FOUND, type Span } from './span.ts';

const DOT = 0x2e;
const COLON = 0x3a;
const SIGN = 0x40;
const HYPHEN = 0x2d;
const DOLLAR = 0x24;

/** Where runs of base64 for URLs end. A hostile one has a beginning every three units: it is read once, whoever asks. */
class Base64Run {
  #from = 0;
  #to = 0;

  reset(): void {
    this.#from = this.#to = 0;
  }

  /** @returns behind the run, or `from + most` where it is longer */
  end(window: TextWindow, from: number, most: number): number {
    const isKnown = from >= this.#from && from <= this.#to;
    const limit = from + most;
    let at = isKnown ? this.#to : from;
    while (at < limit && (traitsOf(window.at(at)) & BASE64URL) !== 0) at++;
    if (!isKnown) this.#from = from;
    this.#to = at;
    return Math.min(at, limit);
  }
}

/** Of a JWT's parts: `x5c` puts a certificate into a header, and claims may be long. */
const JWT_HEADER_UNITS = 600;
const JWT_PART_UNITS = 1_500;
const JWT_PART_LEAST = 8;

/** Credentials that are told by how they begin. What it remembers of a text makes it quicker, and nothing else. */
export class Keys {
  readonly #run = new Base64Run();
  /** Of second parts: hundreds of headers may end in front of the same one. */
  readonly #payloads = new Base64Run();

  /** Another text. */
  reset(): void {
    this.#run.reset();
    this.#payloads.reset();
  }

  /**
   * A key whose beginning is its maker's.
   * @param end behind the beginning, whose case may be another one still
   * @returns behind the key; NOT_FOUND
   */
  keyEnd(window: TextWindow, at: number, end: number, shape: KeyShape): number {
    if (!window.text.startsWith(shape.prefix, at)) return NOT_FOUND;
    const most = end + shape.most;
    let to = end;
    if (shape.of === BASE64URL) to = this.#run.end(window, end, shape.most);
    else while (to < most && (traitsOf(window.at(to)) & shape.of) !== 0) to++;
    const isCut = to === most && shape.most > shape.least;
    // A sentence's end is none of it.
    while (to > end && (traitsOf(window.at(to - 1)) & (ALNUM | BASE64URL)) === 0) to--;
    if (to - end < shape.least) return NOT_FOUND;
    if (!isCut && (traitsOf(window.at(to)) & ALNUM) !== 0) return NOT_FOUND;
    return shape.isMixed && !isMixed(window, end, to) ? NOT_FOUND : to;
  }

  /**
   * A JSON Web Token in its compact form (RFC 7515, section 3.1): three parts of base64 for URLs, of which the first begins as
   * `{"` does. The signature may be missing.
   * @returns behind it; NOT_FOUND
   */
  tokenEnd(window: TextWindow, at: number): number {
    if (!window.text.startsWith('eyJ', at)) return NOT_FOUND;
    const header = this.#run.end(window, at, JWT_HEADER_UNITS);
    if (header - at < JWT_PART_LEAST || window.at(header) !== DOT) return NOT_FOUND;
    const begin = header + 1;
    const payload = this.#payloads.end(window, begin, JWT_PART_UNITS);
    if (payload - begin < JWT_PART_LEAST || window.at(payload) !== DOT) return NOT_FOUND;
    return partEnd(window, payload + 1);
  }
}

function partEnd(window: TextWindow, from: number): number {
  let at = from;
  while ((traitsOf(window.at(at)) & BASE64URL) !== 0 && at - from < JWT_PART_UNITS) at++;
  return at;
}

/** Of what follows a beginning: a key shows in them that it is none of words. */
const MIXED_UNITS = 64;
const DIGITS_OF_SMALLS = 6;

/** Words have no digits, or one number; what is drawn by chance has digits, and capitals too unless it is hexadecimal. */
function isMixed(window: TextWindow, from: number, to: number): boolean {
  const most = Math.min(to, from + MIXED_UNITS);
  let digits = 0;
  let hasCapital = false;
  for (let at = from; at < most; at++) {
    const traits = traitsOf(window.at(at));
    if ((traits & DIGIT) !== 0) digits++;
    else if ((traits & UPPER) !== 0) hasCapital = true;
    if (digits >= DIGITS_OF_SMALLS || (hasCapital && digits > 0)) return true;
  }
  return false;
}

const PEM_LABEL = 'PRIVATE KEY-----';
/** `ENCRYPTED`, `OPENSSH`, `RSA`, `EC` and whatever comes. */
const PEM_LABEL_UNITS = 48;
/** An RSA key of 4,096 bits has 3,300; what is longer is found up to here. */
const PEM_UNITS = 3_600;
const PEM_LEAST = 64;

/**
 * A private key in PEM (RFC 7468), its end included where it comes in time: what has only a beginning is one, too. Between its
 * lines may stand line ends in JSON's spelling.
 * @param at where `-----BEGIN ` stands
 * @param end behind that
 * @returns behind it; NOT_FOUND
 */
export function pemEnd(window: TextWindow, at: number, end: number): number {
  let to = end;
  let label = 0;
  for (; label < PEM_LABEL.length; to++) {
    const code = window.at(to);
    if (to - end > PEM_LABEL_UNITS) return NOT_FOUND;
    if (code === PEM_LABEL.charCodeAt(label)) label++;
    else if (label > 0 && code !== PEM_LABEL.charCodeAt(0)) return NOT_FOUND;
    else if ((traitsOf(code) & ALNUM) === 0 && code !== 0x20) return NOT_FOUND;
    else label = code === PEM_LABEL.charCodeAt(0) ? 1 : 0;
  }
  const body = to;
  let last = to;
  while (to - at < PEM_UNITS) {
    const code = window.at(to);
    if (code === HYPHEN && window.at(to + 1) === HYPHEN) break;
    if (!isPemBody(code)) break;
    to++;
    if (code > 0x20) last = to;
  }
  if (last - body < PEM_LEAST) return NOT_FOUND;
  return closingEnd(window, to) || last;
}

/** Base64, its lines, and the fields of old keys (`Proc-Type: 4,ENCRYPTED`). */
function isPemBody(code: number): boolean {
  if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) return true;
  if ((traitsOf(code) & ALNUM) !== 0) return true;
  return '+/=:,-\\'.includes(String.fromCharCode(code));
}

const CLOSING = '-----END ';

function closingEnd(window: TextWindow, from: number): number {
  let to = from;
  for (let i = 0; i < CLOSING.length; i++, to++) {
    if (window.at(to) !== CLOSING.charCodeAt(i)) return NOT_FOUND;
  }
  const most = to + PEM_LABEL_UNITS;
  while (to < most && window.at(to) !== HYPHEN && window.at(to) > 0) to++;
  while (to < most && window.at(to) === HYPHEN) to++;
  return to;
}

/** Of a URL's user and of its password. */
const USER_UNITS = 64;
const PASSWORD_UNITS = 128;

/**
 * The password within a URL (`postgres://app:…@db/`): scheme, user and host stay.
 * @param from behind `://`
 */
export function urlPassword(window: TextWindow, from: number, found: Span): boolean {
  let at = from;
  while (isUserInfo(window.at(at)) && window.at(at) !== COLON && at - from <= USER_UNITS) at++;
  if (window.at(at) !== COLON) return false;
  const start = at + 1;
  // A variable's name is no password.
  if (window.at(start) === DOLLAR) return false;
  for (at = start; isUserInfo(window.at(at)) && at - start <= PASSWORD_UNITS; ) at++;
  return at > start && window.at(at) === SIGN && found.set(start, at);
}

/** What nothing that quotes a URL is made of: a blank, a quote, a bracket. */
function isUserInfo(code: number): boolean {
  return code > 0x20 && code < 128 && !'/@"\\<>{}`'.includes(String.fromCharCode(code));
}
