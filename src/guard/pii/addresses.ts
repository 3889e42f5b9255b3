import type { TextWindow } from '../text-window.ts';
import { ALNUM, DIGIT, HEX, traitsOf } from './characters.ts';
import { NOT_FOUND } from './span.ts';

const DOT = 0x2e;
const COLON = 0x3a;
const UNDERSCORE = 0x5f;
const ZERO = 0x30;
const PARTS = 4;
const LOOPBACK = 127;
const GROUPS = 8;
const GROUP_UNITS = 4;

/**
 * An IPv4 address in its usual form. This machine (127.0.0.0/8, 0.0.0.0/8), masks (255.…) and what ends in `.0.0.0` are
 * nobody's: those stand in code and in names of versions.
 * @returns behind it; NOT_FOUND
 */
export function ipv4End(window: TextWindow, from: number): number {
  let at = from;
  let rest = 0;
  for (let part = 0; part < PARTS; part++) {
    const start = at;
    let value = 0;
    let code = window.at(at);
    while ((traitsOf(code) & DIGIT) !== 0 && at - start < 3) {
      value = 10 * value + code - ZERO;
      code = window.at(++at);
    }
    const isPart = at > start && value <= 255 && (at - start === 1 || window.at(start) !== ZERO);
    if (!isPart) return NOT_FOUND;
    if (part === 0 && (value === 0 || value === LOOPBACK || value === 255)) return NOT_FOUND;
    if (part > 0) rest |= value;
    if (part === PARTS - 1) break;
    if (code !== DOT) return NOT_FOUND;
    at++;
  }
  if (rest === 0 || goesOn(window, at)) return NOT_FOUND;
  // Five parts are a version's.
  return window.at(at) === DOT && (traitsOf(window.at(at + 1)) & DIGIT) !== 0 ? NOT_FOUND : at;
}

/**
 * An IPv6 address (RFC 4291, section 2.2) that begins with four digits, as all that are given out do (2000::/3, fc00::/7,
 * fe80::/10): `a::b` is a name in many languages, and 12:30:45 a time.
 * @returns behind it; NOT_FOUND
 */
export function ipv6End(window: TextWindow, from: number): number {
  if (!isGivenOut(window, from)) return NOT_FOUND;
  let at = from;
  let groups = 0;
  let gapAt = 0;
  let end = NOT_FOUND;
  while (groups < GROUPS) {
    const start = at;
    while ((traitsOf(window.at(at)) & HEX) !== 0 && at - start < GROUP_UNITS) at++;
    if (at === start) break;
    groups++;
    if (groups === 1 && at - start < GROUP_UNITS) return NOT_FOUND;
    end = at;
    if (window.at(at) !== COLON) break;
    at++;
    if (window.at(at) !== COLON) continue;
    if (gapAt !== 0) break;
    gapAt = at;
    end = ++at;
  }
  const isWhole = gapAt === 0 ? groups === GROUPS : groups < GROUPS;
  return isWhole && end !== NOT_FOUND && !goesOn(window, end) ? end : NOT_FOUND;
}

function isGivenOut(window: TextWindow, from: number): boolean {
  const first = window.at(from);
  if (first === 0x32 || first === 0x33) return true;
  const second = window.at(from + 1) | 0x20;
  return (first | 0x20) === 0x66 && second >= 0x63 && second <= 0x65;
}

function goesOn(window: TextWindow, at: number): boolean {
  const code = window.at(at);
  return (traitsOf(code) & ALNUM) !== 0 || code === UNDERSCORE;
}
