import { BLOCK_BYTES, brokenEscapes, escapedBytes, nextEscaped, nextHex, skipText } from './strings';
import {
  CARRY, DEPTH, ESCAPED, FLAGS, HEX, INVALID, IN_STRING, KINDS, KINDS_TOP, KIND_LEVELS, STATE, TOO_DEEP,
} from './layout';
import { equalMask, equalWithMask, hasControl, parity, rangeMask, through } from './masks';
import { brokenScalars } from './scalars';

// Why not a loop over tokens: dense JSON has a token every three bytes, and a branch on each costs more
// than the whole budget. Here a block of 63 bytes is checked at once. For each kind of token the bits of
// its last bytes are moved over the white space behind them (`through`); what they land on must be a token
// that the grammar (RFC 8259 §2 to §5) allows there. Only brackets are visited one by one, to know for every
// byte whether an object or an array surrounds it; numbers and literals only where they are not all digits.

// CARRY: what the last token of a block asks of the next token.
const WANTS_COMMA_OR_CLOSE: u32 = 1;
const WANTS_COLON: u32 = 2;
const WANTS_KEY: u32 = 4;
const WANTS_VALUE: u32 = 8;
const WANTS_VALUE_OR_CLOSE: u32 = 16;
const WANTS_KEY_OR_CLOSE: u32 = 32;
const IN_KEY_STRING: u32 = 64;
const IN_SCALAR: u32 = 128;

/** True once the bracket that `enterNested` was given has been closed. */
export let nestedClosed: bool = false;

/** Begins behind an opening bracket. */
export function enterNested(s: usize, isObject: bool): void {
  store<u32>(s + CARRY, isObject ? WANTS_KEY_OR_CLOSE : WANTS_VALUE_OR_CLOSE);
  store<u32>(s + IN_STRING, 0);
  store<u32>(s + ESCAPED, 0);
  store<u32>(s + HEX, 0);
  store<u32>(s + DEPTH, 1);
  store<u64>(s + KINDS_TOP, isObject ? 1 : 0);
}

// Results of surroundings(): which bytes an object surrounds, and where kinds are known.
let inObject: u64 = 0;
let known: u64 = 0;
/** Bit of the bracket that closed the whole nested value, or 0. */
let closing: u64 = 0;

// @ts-ignore: decorator
@inline
function from(position: u64): u64 {
  return (-2 as u64) << position;
}

/** Walks the brackets of a block; false when a bracket closes one of the other kind. */
// @ts-ignore: decorator
@inline
function surroundings(s: usize, p: usize, brackets: u64): bool {
  let depth = load<u32>(s + DEPTH);
  let kinds = load<u64>(s + KINDS_TOP);
  let isObject: u64 = 0 - (kinds & 1);
  inObject = isObject;
  known = depth > KIND_LEVELS ? 0 : -1;
  closing = 0;
  while (brackets) {
    const at = ctz(brackets);
    brackets &= brackets - 1;
    const byte = load<u8>(p + (at as usize)) as u64;
    const kind: u64 = 0 - ((byte >>> 5) & 1);
    if (byte & 4) {
      // The kind of a level that was not kept is not checked.
      if (depth <= KIND_LEVELS) {
        if (kind != isObject) return false;
        depth -= 1;
        kinds >>>= 1;
        if (!(depth & 63)) {
          if (!depth) {
            closing = (1 as u64) << at;
            return true;
          }
          kinds = load<u64>(s + KINDS + (((depth >>> 6) - 1) << 3));
        }
      } else {
        depth -= 1;
        if (depth == KIND_LEVELS) known ^= from(at);
      }
      const outer: u64 = 0 - (kinds & 1);
      inObject ^= (outer ^ isObject) & from(at);
      isObject = outer;
    } else {
      if (depth < KIND_LEVELS) {
        if (!(depth & 63)) store<u64>(s + KINDS + (((depth >>> 6) - 1) << 3), kinds);
        kinds = (kinds << 1) | (kind & 1);
        inObject ^= (kind ^ isObject) & from(at);
        isObject = kind;
      } else if (depth == KIND_LEVELS) {
        known ^= from(at);
        store<u32>(s + FLAGS, load<u32>(s + FLAGS) | TOO_DEEP);
      }
      depth += 1;
    }
  }
  store<u32>(s + DEPTH, depth);
  store<u64>(s + KINDS_TOP, kinds);
  return true;
}

/**
 * Reads on in a nested value. Returns the position behind its last bracket and sets `nestedClosed`, or
 * `end`; an error sets the slot's state to INVALID.
 */
export function skipNested(s: usize, p: usize, end: usize): usize {
  let carry: u64 = load<u32>(s + CARRY);
  let inString: u64 = load<u32>(s + IN_STRING) ? -1 : 0;
  let escaped: u64 = load<u32>(s + ESCAPED);
  let hex: u64 = load<u32>(s + HEX);
  nestedClosed = false;
  // Whether the block before was all text: only then is it worth trying for more of it, as the short
  // strings of dense documents would fail that test every time.
  let isText = inString != 0;
  while (p < end) {
    if (isText) {
      p = skipText(p, end, escaped, hex);
      escaped = nextEscaped;
      hex = nextHex;
      if (p == end) break;
    }
    const length = min<u32>(BLOCK_BYTES, (end - p) as u32);
    const valid = ((1 as u64) << length) - 1;
    const slashes = equalMask(p, 0x5c) & valid;
    let behind: u64 = 0;
    if (slashes | escaped) behind = escapedBytes(slashes, escaped, length);
    else nextEscaped = 0;
    const quotes = equalMask(p, 0x22) & ~behind & valid;
    const controls = hasControl(p) ? rangeMask(p, 0, 0, 0x20) & valid : 0;
    let broken: u64 = 0;
    if (behind | hex) broken = brokenEscapes(p, behind & valid, hex, length) & valid;
    else nextHex = 0;
    escaped = nextEscaped;
    hex = nextHex;

    if (inString && !quotes) {
      if (broken | controls) {
        store<u32>(s + STATE, INVALID);
        return end;
      }
      isText = true;
      p += length;
      continue;
    }
    isText = false;

    const inside = (parity(quotes) ^ inString) & valid;
    const outside = valid & ~(inside | quotes);
    broken |= controls & inside;
    const commas = equalMask(p, 0x2c) & outside;
    const colons = equalMask(p, 0x3a) & outside;
    const objectOpens = equalMask(p, 0x7b) & outside;
    const arrayOpens = equalMask(p, 0x5b) & outside;
    const opens = objectOpens | arrayOpens;
    const closes = equalWithMask(p, 0x20, 0x7d) & outside;
    let spaces = equalMask(p, 0x20);
    if (controls) spaces |= equalMask(p, 0x0a) | equalMask(p, 0x0d) | equalMask(p, 0x09);
    spaces &= outside;
    const scalars = outside & ~(commas | colons | opens | closes | spaces);

    if (!surroundings(s, p, opens | closes)) {
      store<u32>(s + STATE, INVALID);
      return end;
    }
    const live = closing ? closing | (closing - 1) : valid;

    const carriedScalar = (carry >>> 7) & 1;
    const scalarStarts = scalars & ~((scalars << 1) | carriedScalar);
    const scalarEnds = through(scalarStarts | carriedScalar, scalars) & valid;
    if (scalars | carriedScalar) {
      broken |= brokenScalars(s, p, scalars & live, scalarStarts & live, carriedScalar != 0, length);
    }

    const stringStarts = quotes & inside;
    const afterObjectComma = through(((commas & inObject) << 1) | ((carry >>> 2) & 1), spaces);
    const afterObjectOpen = through((objectOpens << 1) | ((carry >>> 5) & 1), spaces);
    const keyStarts = stringStarts & (afterObjectComma | afterObjectOpen);
    const keyMarks = through(keyStarts | ((carry >>> 6) & 1), inside);
    const keyEnds = keyMarks & quotes;
    const valueEnds = (quotes & ~inside & ~keyEnds) | closes;
    const afterValue = through((valueEnds << 1) | scalarEnds | (carry & 1), spaces);
    const afterKey = through((keyEnds << 1) | ((carry >>> 1) & 1), spaces);
    const afterValueMark = through((((commas & ~inObject) | colons) << 1) | ((carry >>> 3) & 1), spaces);
    const afterArrayOpen = through((arrayOpens << 1) | ((carry >>> 4) & 1), spaces);

    const valueStarts = stringStarts | opens | scalarStarts;
    const misplaced =
      (afterValue & ~(commas | closes)) |
      (afterKey & ~colons) |
      (afterObjectComma & ~stringStarts) |
      (afterValueMark & ~valueStarts) |
      (afterArrayOpen & ~(valueStarts | closes)) |
      (afterObjectOpen & ~(stringStarts | closes));
    broken |= misplaced & known & valid;
    if (broken & live) {
      store<u32>(s + STATE, INVALID);
      return end;
    }
    if (closing) {
      nestedClosed = true;
      return p + (ctz(closing) as usize) + 1;
    }

    carry =
      ((afterValue >>> length) & 1) |
      (((afterKey >>> length) & 1) << 1) |
      (((afterObjectComma >>> length) & 1) << 2) |
      (((afterValueMark >>> length) & 1) << 3) |
      (((afterArrayOpen >>> length) & 1) << 4) |
      (((afterObjectOpen >>> length) & 1) << 5) |
      (((keyMarks >>> length) & 1) << 6) |
      (((scalars >>> (length - 1)) & 1) << 7);
    inString = 0 - ((inside >>> (length - 1)) & 1);
    p += length;
  }
  store<u32>(s + CARRY, carry as u32);
  store<u32>(s + IN_STRING, inString ? 1 : 0);
  store<u32>(s + ESCAPED, escaped as u32);
  store<u32>(s + HEX, hex as u32);
  return end;
}
