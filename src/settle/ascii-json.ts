import { isAscii } from '../wire/fields.ts';

// Log lines and facts are written in ASCII, which every reader of UTF-8 and of Latin-1 reads alike: a line is copied
// into its batch byte by byte of the string that V8 holds already, with a length that needs no counting (0.5 us a fact).

const BEYOND_ASCII = /[^\0-\x7f]/g;

/**
 * The same JSON text with everything beyond ASCII as `\u` escapes (RFC 8259 §7), in UTF-16 units.
 * @param json in which such characters can stand in strings alone, as the grammar has it
 */
export function asciiJson(json: string): string {
  if (isAscii(json)) return json;
  return json.replace(
    BEYOND_ASCII,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
