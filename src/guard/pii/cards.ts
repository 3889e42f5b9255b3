import type { TextWindow } from '../text-window.ts';
import { type DigitGroups, NO_GAP } from './digit-groups.ts';
import { passesLuhn } from './luhn.ts';
import { NOT_FOUND } from './span.ts';

/** Beginnings of numbers, as their first six digits, and how long they are: both ends inclusive. */
interface Issuer {
  readonly from: number;
  readonly to: number;
  readonly least: number;
  readonly most: number;
}

/**
 * Ranges that the schemes publish. Visa's old 13 digits are left out: a bar code has 13 as well, and one in ten of those
 * that begin with 4 would be taken for a card.
 */
const ISSUERS: readonly Issuer[] = [
  { from: 300_000, to: 305_999, least: 14, most: 19 }, // Diners Club
  { from: 340_000, to: 349_999, least: 15, most: 15 }, // American Express
  { from: 352_800, to: 358_999, least: 16, most: 19 }, // JCB
  { from: 360_000, to: 369_999, least: 14, most: 19 }, // Diners Club
  { from: 370_000, to: 379_999, least: 15, most: 15 }, // American Express
  { from: 380_000, to: 399_999, least: 14, most: 19 }, // Diners Club
  { from: 400_000, to: 499_999, least: 16, most: 16 }, // Visa
  { from: 400_000, to: 499_999, least: 19, most: 19 }, // Visa
  { from: 500_000, to: 509_999, least: 12, most: 19 }, // Maestro
  { from: 510_000, to: 559_999, least: 16, most: 16 }, // Mastercard
  { from: 222_100, to: 272_099, least: 16, most: 16 }, // Mastercard
  { from: 560_000, to: 589_999, least: 12, most: 19 }, // Maestro
  { from: 601_100, to: 601_199, least: 16, most: 19 }, // Discover
  { from: 620_000, to: 629_999, least: 16, most: 19 }, // UnionPay
  { from: 630_000, to: 639_999, least: 12, most: 19 }, // Maestro
  { from: 644_000, to: 659_999, least: 16, most: 19 }, // Discover
  { from: 670_000, to: 679_999, least: 12, most: 19 }, // Maestro
];

const BEGINNING_DIGITS = 6;
/** A first group is never shorter: what is, is a number of something else. */
const FIRST_GROUP = 4;
const SPACE = 0x20;
const HYPHEN = 0x2d;

/**
 * A payment card's number: an issuer's beginning, a length that it gives out, and Luhn's sum. The longest one counts; what
 * follows in a group of its own (a check number, a date) is none of it.
 * @returns behind it; NOT_FOUND
 */
export function cardEnd(window: TextWindow, groups: DigitGroups): number {
  if (groups.size(0) < FIRST_GROUP) return NOT_FOUND;
  const from = groups.starts[0] ?? 0;
  let last = 0;
  while (last + 1 < groups.count && isCardGap(groups, last)) last++;
  for (; last >= 0; last--) {
    const digits = groups.totals[last] ?? 0;
    const end = groups.ends[last] ?? 0;
    if (digits < 12 || digits > 19 || !groups.endsWord(window, last)) continue;
    if (isIssued(beginning(window, from), digits) && passesLuhn(window, from, end)) return end;
  }
  return NOT_FOUND;
}

/** The same sign between all groups, as on the card. */
function isCardGap(groups: DigitGroups, group: number): boolean {
  const gap = groups.gaps[group] ?? NO_GAP;
  return (gap === SPACE || gap === HYPHEN) && gap === groups.gaps[0];
}

function beginning(window: TextWindow, from: number): number {
  let value = 0;
  let digits = 0;
  for (let at = from; digits < BEGINNING_DIGITS; at++) {
    const digit = window.at(at) - 0x30;
    if (digit < 0 || digit > 9) continue;
    value = 10 * value + digit;
    digits++;
  }
  return value;
}

function isIssued(beginning: number, digits: number): boolean {
  for (const { from, to, least, most } of ISSUERS) {
    if (beginning >= from && beginning <= to && digits >= least && digits <= most) return true;
  }
  return false;
}
