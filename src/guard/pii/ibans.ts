import type { TextWindow } from '../text-window.ts';
import { ALNUM, DIGIT, LETTER, traitsOf } from './characters.ts';
import { NOT_FOUND } from './span.ts';

/** Units of an account's number by country, from SWIFT's IBAN registry. */
const LENGTHS =
  'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 ' +
  'FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 ' +
  'LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 ' +
  'SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30';

const LETTERS = 26;
/** First letter by second: units, 0 where there is no such country. */
const UNITS = new Uint8Array(LETTERS * LETTERS);
for (const row of LENGTHS.split(' ')) {
  UNITS[place(row.charCodeAt(0), row.charCodeAt(1))] = Number(row.slice(2));
}

const SPACE = 0x20;
const NO_BREAK_SPACE = 0xa0;
const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;
/** Country and check digits stand first and are moved behind the rest. */
const HEAD_UNITS = 4;

/**
 * An IBAN (ISO 13616) of a country's length whose check digits are right (ISO/IEC 7064, mod 97-10), with single spaces or
 * hyphens between its groups.
 * @returns behind it; NOT_FOUND
 */
export function ibanEnd(window: TextWindow, at: number): number {
  const [first, second] = [window.at(at), window.at(at + 1)];
  if ((traitsOf(first) & LETTER) === 0 || (traitsOf(second) & LETTER) === 0) return NOT_FOUND;
  if ((traitsOf(window.at(at + 2)) & traitsOf(window.at(at + 3)) & DIGIT) === 0) return NOT_FOUND;
  const units = UNITS[place(first, second)] ?? 0;
  if (units === 0) return NOT_FOUND;
  let head = 0;
  let rest = 0;
  let read = 0;
  let to = at;
  for (; read < units; to++) {
    const code = window.at(to);
    if ((traitsOf(code) & ALNUM) === 0) {
      if (!isGap(code) || (traitsOf(window.at(to + 1)) & ALNUM) === 0) return NOT_FOUND;
      continue;
    }
    if (read < HEAD_UNITS) head = appended(head, code);
    else rest = appended(rest, code);
    read++;
  }
  const code = window.at(to);
  if ((traitsOf(code) & ALNUM) !== 0 || code === UNDERSCORE) return NOT_FOUND;
  // Two letters and two digits are six digits: the rest stands in front of them.
  return (rest * 1_000_000 + head) % 97 === 1 ? to : NOT_FOUND;
}

function isGap(code: number): boolean {
  return code === SPACE || code === HYPHEN || code === NO_BREAK_SPACE;
}

function place(first: number, second: number): number {
  return ((first & 0x1f) - 1) * LETTERS + (second & 0x1f) - 1;
}

/** @returns the number with a sign behind it, modulo 97; a letter is 10 to 35 */
function appended(value: number, code: number): number {
  if (code <= 0x39) return (value * 10 + code - 0x30) % 97;
  return (value * 100 + (code & 0x1f) + 9) % 97;
}
