/** What a sign can be a part of: bits of one table, so that a sign is looked up once. */
export const LOWER = 1;
export const UPPER = 2;
export const DIGIT = 4;
/**
 * Part of a run: what may stand in front of an `@`. What begins a finding is looked for inside of a run, and nothing in front
 * of a run counts, so that a text can be cut in front of any of them.
 */
export const RUN = 8;
export const HEX = 16;
/** Base64 for URLs (RFC 4648, section 5). */
export const BASE64URL = 32;
/** Base64 (section 4), with its padding. */
export const BASE64 = 64;
/** Part of a password or a key as people write them: what no quoting and no code around it is made of. */
export const VALUE = 128;
/** Between the groups of a number. */
export const GROUP_GAP = 256;
export const DOMAIN = 512;

export const LETTER = LOWER | UPPER;
export const ALNUM = LETTER | DIGIT;

const TABLE = new Uint16Array(128);

function mark(signs: string, traits: number): void {
  for (let i = 0; i < signs.length; i++) {
    const code = signs.charCodeAt(i);
    TABLE[code] = (TABLE[code] ?? 0) | traits;
  }
}

const SMALL = 'abcdefghijklmnopqrstuvwxyz';
const ANYWHERE = RUN | BASE64URL | BASE64 | VALUE | DOMAIN;
mark(SMALL, LOWER | ANYWHERE);
mark(SMALL.toUpperCase(), UPPER | ANYWHERE);
mark('0123456789', DIGIT | HEX | ANYWHERE);
mark('abcdefABCDEF', HEX);
mark('._%+-', RUN);
mark('-_', BASE64URL);
mark('-', DOMAIN);
mark('+/=', BASE64);
mark('!#$%&*+-./:=?@^_|~', VALUE);
mark(' .-/()', GROUP_GAP);

/** Letters of names in Latin, Greek and Cyrillic stand in addresses too; scripts without spaces would make one run of a line. */
const FURTHER_LETTER = RUN | DOMAIN;
const NO_BREAK_SPACE = 0xa0;

/** @param code a UTF-16 unit, or TEXT_END, which is nothing */
export function traitsOf(code: number): number {
  if (code < 128) return code < 0 ? 0 : (TABLE[code] ?? 0);
  if (code >= 0xc0 && code <= 0x24f) return code === 0xd7 || code === 0xf7 ? 0 : FURTHER_LETTER;
  if (code >= 0x370 && code <= 0x52f) return FURTHER_LETTER;
  return code === NO_BREAK_SPACE ? GROUP_GAP : 0;
}
