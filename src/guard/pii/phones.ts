import type { TextWindow } from '../text-window.ts';
import { ALNUM, DIGIT, traitsOf } from './characters.ts';
import { type DigitGroups, MIXED_GAP, NO_GAP } from './digit-groups.ts';
import { NOT_FOUND } from './span.ts';

/** E.164: country and number together have no more; less than 8 is a short number, which is nobody's. */
const MOST_DIGITS = 15;
const LEAST_DIGITS = 8;
/** With its country, whose code is 1: always so many. */
const NORTH_AMERICAN_DIGITS = 11;
/** A number with its trunk 0: France has 10, Germany up to 12. */
const LEAST_TRUNK_DIGITS = 9;
const MOST_TRUNK_DIGITS = 12;
const LEAST_EXIT_DIGITS = 11;
/** Behind a word that says that it is one: without area, in a small town. */
const LEAST_TOLD_DIGITS = 7;
const SLASH = 0x2f;
const DOT = 0x2e;
const HYPHEN = 0x2d;

/** @param groups from behind the `+` @returns behind the number in international form; NOT_FOUND */
export function internationalEnd(window: TextWindow, groups: DigitGroups): number {
  const country = groups.digit(window, 0, 0);
  if (country < 1) return NOT_FOUND;
  if (country === 1) return endAt(window, groups, NORTH_AMERICAN_DIGITS, NORTH_AMERICAN_DIGITS, 0);
  return endAt(window, groups, LEAST_DIGITS, MOST_DIGITS, 0);
}

/**
 * A number as it is written within its country, with signs between its groups: digits alone could be an order's. `555-123-4567`
 * and `(555) 123-4567` (North America), `030 1234567` and `01 23 45 67 89` (with a trunk 0), `0049 30 1234567`.
 * @returns behind it; NOT_FOUND
 */
export function nationalEnd(window: TextWindow, groups: DigitGroups): number {
  if (groups.count < 2 || isDate(groups)) return NOT_FOUND;
  if (groups.digit(window, 0, 0) !== 0) return northAmericanEnd(window, groups);
  const second = groups.digit(window, 0, 1);
  if (second > 0) return endAt(window, groups, LEAST_TRUNK_DIGITS, MOST_TRUNK_DIGITS, 2);
  // No trunk 0 stands behind a country: that is an account's.
  if (second !== 0 || groups.digit(window, 0, 2) === 0 || groups.digit(window, 1, 0) === 0) {
    return NOT_FOUND;
  }
  return endAt(window, groups, LEAST_EXIT_DIGITS, MOST_DIGITS + 2, 2);
}

/** Of an area in brackets, when no 0 begins it: four digits are a year. */
const MOST_AREA_DIGITS = 3;

/** @param groups from behind the bracket of `(11) 91234-5678` @returns behind the number; NOT_FOUND */
export function bracketedEnd(window: TextWindow, groups: DigitGroups): number {
  const national = nationalEnd(window, groups);
  if (national !== NOT_FOUND || groups.size(0) < 2) return national;
  if (groups.size(0) > MOST_AREA_DIGITS && groups.digit(window, 0, 0) !== 0) return NOT_FOUND;
  return endAt(window, groups, LEAST_TRUNK_DIGITS, MOST_TRUNK_DIGITS, 2);
}

/** @param groups what stands behind a word such as `phone` @returns behind the number; NOT_FOUND */
export function toldEnd(window: TextWindow, groups: DigitGroups): number {
  if (isDate(groups)) return NOT_FOUND;
  return endAt(window, groups, LEAST_TOLD_DIGITS, MOST_DIGITS, 1);
}

function northAmericanEnd(window: TextWindow, groups: DigitGroups): number {
  const first = groups.size(0) === 1 && groups.digit(window, 0, 0) === 1 ? 1 : 0;
  const last = first + 2;
  const isShaped =
    groups.size(first) === 3 && groups.size(first + 1) === 3 && groups.size(last) === 4;
  if (!isShaped) return NOT_FOUND;
  // Areas and exchanges begin with 2 to 9 (NANP).
  if (groups.digit(window, first, 0) < 2 || groups.digit(window, first + 1, 0) < 2)
    return NOT_FOUND;
  if (groups.gaps[first] === SLASH || groups.gaps[first + 1] === SLASH) return NOT_FOUND;
  // A column of numbers goes on as it went so far.
  const goesOn = groups.gaps[last] ?? NO_GAP;
  if (goesOn !== NO_GAP && goesOn === groups.gaps[first + 1]) return NOT_FOUND;
  return numberEnd(window, groups, last);
}

/** Digits of an extension: `x53233`. */
const EXTENSION_DIGITS = 6;

/** @returns behind the group, or behind the extension that it has; NOT_FOUND where it is a part of a longer word */
function numberEnd(window: TextWindow, groups: DigitGroups, group: number): number {
  const end = groups.ends[group] ?? NOT_FOUND;
  if (groups.endsWord(window, group)) return end;
  if ((window.at(end) | 0x20) !== 0x78) return NOT_FOUND;
  let at = end + 1;
  while ((traitsOf(window.at(at)) & DIGIT) !== 0 && at - end <= EXTENSION_DIGITS) at++;
  return at - end > 1 && (traitsOf(window.at(at)) & ALNUM) === 0 ? at : NOT_FOUND;
}

/** @returns behind the longest beginning of whole groups that has so many digits; NOT_FOUND */
function endAt(
  window: TextWindow,
  groups: DigitGroups,
  least: number,
  most: number,
  leastGroups: number,
): number {
  for (let last = groups.count - 1; last + 1 >= Math.max(1, leastGroups); last--) {
    const digits = groups.totals[last] ?? 0;
    if (digits < least) return NOT_FOUND;
    if (digits > most) continue;
    const end = numberEnd(window, groups, last);
    if (end !== NOT_FOUND) return end;
  }
  return NOT_FOUND;
}

/** 01.02.2024, 1-2-24, 2024/01/02: what may follow is a time. */
function isDate(groups: DigitGroups): boolean {
  const gap = groups.gaps[0] ?? NO_GAP;
  if (gap === MIXED_GAP || gap !== groups.gaps[1]) return false;
  if (gap !== DOT && gap !== SLASH && gap !== HYPHEN) return false;
  const [first, second, third] = [groups.size(0), groups.size(1), groups.size(2)];
  if (first === 4) return second <= 2 && third <= 2;
  // Two digits all along are a French number when there are five groups of them.
  return first <= 2 && second <= 2 && (third === 4 || (third === 2 && groups.count < 5));
}
