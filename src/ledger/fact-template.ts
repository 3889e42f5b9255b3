/**
 * A fact's line taken apart: what facts of one kind have in common, and what differs from one to the next.
 *
 * A line has 1.2 KB, of which a request's own are a tenth: numbers, its id, its instant. Kept apart, ten million facts are a
 * gigabyte instead of twelve, and every member that facts will ever get is kept without a word here. Lossless: put together
 * again it is the same line, byte for byte.
 */

/** Where a number stood, and where a text did: no line holds them (it is ASCII without control characters). */
const NUMBER = '\u0001';
const TEXT = '\u0002';
const SLOT = new RegExp(`[${NUMBER}${TEXT}]`);

/** Members whose texts are each request's own. */
const OWN_TEXTS: ReadonlySet<string> = new Set([
  'time',
  'request_id',
  'trace_id',
  'cost_usd',
  'saved_usd',
]);

/** A number that says what kind of fact it is: it stays in the template. */
const STATUS = 'upstream_status';

/** Digits that a double holds whatever they are. */
const DIGITS_MAX = 15;

const QUOTE = 0x22;
const BACKSLASH = '\\';

/** What differs: numbers, and texts without their quotes. */
export type FactPart = number | string;

/** A line in two. */
export interface SplitFact {
  readonly template: string;
  /** In the order in which they stand in the line. */
  readonly parts: readonly FactPart[];
}

/** @param line one JSON text in ASCII, without its newline */
export function splitFact(line: string): SplitFact {
  const parts: FactPart[] = [];
  let template = '';
  let from = 0;
  for (let at = line.indexOf('":'); at >= 0; at = line.indexOf('":', at + 2)) {
    // Only behind a name does a quote follow a letter and come before a colon: inside a text quotes have a backslash before
    // them, and a text that begins with a colon has no letter before its quote.
    if (!isNameCharacter(line.charCodeAt(at - 1))) continue;
    const start = at + 2;
    const first = line.charCodeAt(start);
    if (isDigit(first)) {
      const end = digitsEnd(line, start);
      if (end === 0 || isStatus(line, at)) continue;
      template += line.slice(from, start) + NUMBER;
      parts.push(Number(line.slice(start, end)));
      from = end;
    } else if (first === QUOTE && isOwnText(line, at)) {
      const end = line.indexOf('"', start + 1);
      const text = line.slice(start + 1, end);
      if (end < 0 || text.includes(BACKSLASH)) continue;
      template += line.slice(from, start + 1) + TEXT;
      parts.push(text);
      from = end;
    }
  }
  return { template: template + line.slice(from), parts };
}

/** What stands around a template's parts: before the first one, between two, and behind the last. */
export function templatePieces(template: string): readonly string[] {
  return template.split(SLOT);
}

/**
 * Where a part of a line ends that stands at a place where others of its kind have one.
 * @returns -1 where there is none that `splitFact` would take out
 */
export function slotEnd(line: string, start: number, isText: boolean): number {
  if (!isText) return isDigit(line.charCodeAt(start)) ? digitsEnd(line, start) || -1 : -1;
  const end = line.indexOf('"', start);
  return end >= start && !line.slice(start, end).includes(BACKSLASH) ? end : -1;
}

/** The line that `splitFact` took apart. */
export function joinFact(template: string, parts: readonly FactPart[]): string {
  let line = '';
  let part = 0;
  for (const piece of templatePieces(template)) {
    if (part > 0) line += String(parts[part - 1]);
    line += piece;
    part++;
  }
  return line;
}

/**
 * A template as JSON that tells where a fact's own parts are: each one's place among them takes its place, a text's as a text.
 * @throws SyntaxError when the line was no JSON
 */
export function templateMembers(template: string): Readonly<Record<string, unknown>> {
  let places = '';
  let part = 0;
  let from = 0;
  for (let at = 0; at < template.length; at++) {
    const character = template[at];
    if (character !== NUMBER && character !== TEXT) continue;
    places += template.slice(from, at) + String(part++);
    from = at + 1;
  }
  return JSON.parse(places + template.slice(from)) as Readonly<Record<string, unknown>>;
}

/** Which of a template's parts are texts. */
export function textParts(template: string): readonly boolean[] {
  const are: boolean[] = [];
  for (const character of template) {
    if (character === NUMBER) are.push(false);
    else if (character === TEXT) are.push(true);
  }
  return are;
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function isNameCharacter(code: number): boolean {
  const letter = code | 0x20;
  return isDigit(code) || code === 0x5f || (letter >= 0x61 && letter <= 0x7a);
}

/** @returns where a whole number ends that is written as it would be again; 0 where it is none */
function digitsEnd(line: string, start: number): number {
  let end = start + 1;
  while (isDigit(line.charCodeAt(end))) end++;
  if (end - start > DIGITS_MAX || (end - start > 1 && line.charCodeAt(start) === 0x30)) return 0;
  const next = line[end];
  return next === ',' || next === '}' || next === ']' ? end : 0;
}

function isStatus(line: string, nameEnd: number): boolean {
  return line.startsWith(STATUS, nameEnd - STATUS.length);
}

function isOwnText(line: string, nameEnd: number): boolean {
  // All of them end so: looked at first, because most names do not.
  const last = line[nameEnd - 1];
  if (last !== 'e' && last !== 'd') return false;
  return OWN_TEXTS.has(line.slice(line.lastIndexOf('"', nameEnd - 1) + 1, nameEnd));
}
