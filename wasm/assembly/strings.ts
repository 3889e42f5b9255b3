import { ESCAPED, HEX, INVALID, STATE } from './layout';
import { equalMask, escapableMask, hasControl, hexMask, isPlainText, rangeMask } from './masks';

/** Even bit positions are 0, odd ones 1. */
const ODD_BITS: u64 = 0xaaaaaaaaaaaaaaaa;

/** Bytes of one masked block: 63, so that bit 63 is free to hold what carries over into the next. */
export const BLOCK_BYTES: u32 = 63;

/** What `escapes` leaves for the next block. */
export let nextEscaped: u64 = 0;
export let nextHex: u64 = 0;

/**
 * Bits of bytes that stand behind an active backslash. Runs of backslashes are settled by one
 * subtraction: a run's carry lands behind it, and whether that is an odd distance away says whether the
 * byte there is escaped. `escaped` (0 or 1) carries in, `nextEscaped` carries out.
 */
// @ts-ignore: decorator
@inline
export function escapedBytes(slashes: u64, escaped: u64, length: u32): u64 {
  const active = slashes & ~escaped;
  const ahead = (active << 1) | ODD_BITS;
  const marks = (ahead - active) ^ ODD_BITS;
  nextEscaped = ((marks & slashes) >>> (length - 1)) & 1;
  return marks ^ (slashes | escaped);
}

/**
 * Bits of bytes that break the rules of escapes (RFC 8259 §7): a byte that may not follow a backslash,
 * or one of the four behind `\u` that is no hexadecimal digit. `hex` carries in, `nextHex` out.
 */
// @ts-ignore: decorator
@inline
export function brokenEscapes(p: usize, escaped: u64, hex: u64, length: u32): u64 {
  let broken: u64 = 0;
  let left: i32 = (64 - (clz(hex) as i32)) - (length as i32);
  let digits = hex;
  if (escaped) {
    broken = escaped & ~(escapableMask(p) | equalMask(p, 0x22));
    const unicode = escaped & equalMask(p, 0x75);
    if (unicode) {
      digits |= (unicode << 1) | (unicode << 2) | (unicode << 3) | (unicode << 4);
      left = 63 - (clz(unicode) as i32) + 5 - (length as i32);
    }
  }
  if (digits) broken |= digits & ~hexMask(p);
  nextHex = left > 0 ? ((1 as u64) << left) - 1 : 0;
  return broken;
}

/**
 * Passes over whole blocks of 64 bytes inside a string, for as long as they hold neither its closing quote nor an
 * error; `nextEscaped` and `nextHex` hold what carries over at the position that is returned.
 */
export function skipText(p: usize, end: usize, escaped: u64, hex: u64): usize {
  while (p + 64 <= end) {
    const slashes = equalMask(p, 0x5c);
    const quotes = equalMask(p, 0x22);
    if (hasControl(p)) break;
    if (!(slashes | escaped | hex)) {
      if (quotes) break;
      p += 64;
      while (p + 64 <= end && isPlainText(p)) p += 64;
      continue;
    }
    const active = slashes & ~escaped;
    const marks = (((active << 1) | ODD_BITS) - active) ^ ODD_BITS;
    const behind = marks ^ (slashes | escaped);
    const unicode = behind & equalMask(p, 0x75);
    const digits = hex | (unicode << 1) | (unicode << 2) | (unicode << 3) | (unicode << 4);
    // One branch for all that may stop here: each of them alone is too rare to be worth its own.
    let stops = (quotes & ~behind) | (behind & ~(quotes | escapableMask(p)));
    if (digits) stops |= digits & ~hexMask(p);
    if (stops) break;
    // Without a \u, clz is 64 and nothing is left.
    const left = 4 - (clz(unicode) as i32);
    escaped = (marks & slashes) >>> 63;
    hex = left > 0 ? ((1 as u64) << left) - 1 : 0;
    p += 64;
  }
  nextEscaped = escaped;
  nextHex = hex;
  return p;
}

/**
 * Reads a string whose opening quote was consumed. Returns the position behind its closing quote and sets
 * `stringClosed`, or `end`; an error sets the slot's state to INVALID.
 */
export let stringClosed: bool = false;

export function skipString(s: usize, p: usize, end: usize): usize {
  let escaped: u64 = load<u32>(s + ESCAPED);
  let hex: u64 = load<u32>(s + HEX);
  stringClosed = false;
  while (p < end) {
    if (p + 64 <= end) {
      p = skipText(p, end, escaped, hex);
      escaped = nextEscaped;
      hex = nextHex;
      if (p == end) break;
    }
    const length = min<u32>(BLOCK_BYTES, (end - p) as u32);
    let valid = ((1 as u64) << length) - 1;
    const behind = escapedBytes(equalMask(p, 0x5c) & valid, escaped, length);
    const quotes = equalMask(p, 0x22) & ~behind & valid;
    if (quotes) valid &= quotes ^ (quotes - 1);
    let broken = rangeMask(p, 0, 0, 0x20);
    if ((behind & valid) | hex) broken |= brokenEscapes(p, behind & valid, hex, length);
    else nextHex = 0;
    if (broken & valid) {
      store<u32>(s + STATE, INVALID);
      return end;
    }
    if (quotes) {
      stringClosed = true;
      return p + (ctz(quotes) as usize) + 1;
    }
    escaped = nextEscaped;
    hex = nextHex;
    p += length;
  }
  store<u32>(s + ESCAPED, escaped as u32);
  store<u32>(s + HEX, hex as u32);
  return end;
}
