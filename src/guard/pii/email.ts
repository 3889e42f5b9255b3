import type { TextWindow } from '../text-window.ts';
import { DOMAIN, LETTER, traitsOf } from './characters.ts';
import { NOT_FOUND } from './span.ts';

/** RFC 5321, section 4.5.3.1: of what stands in front of the `@`. */
export const LOCAL_PART_UNITS = 64;
const DOMAIN_UNITS = 253;
const LABEL_UNITS = 63;
const SHORTEST_TOP_LEVEL = 2;
const DOT = 0x2e;
const HYPHEN = 0x2d;

/**
 * Reads a domain: labels joined by dots, at least two of them, the last one of letters (or `xn--`). A dot or a hyphen behind
 * it belongs to its sentence.
 * @param from behind the `@`
 * @returns behind the domain; NOT_FOUND where there is none
 */
export function domainEnd(window: TextWindow, from: number): number {
  let end = NOT_FOUND;
  let label = from;
  while (label - from < DOMAIN_UNITS) {
    let at = label;
    let letters = 0;
    let code = window.at(at);
    let traits = traitsOf(code);
    while ((traits & DOMAIN) !== 0 && at - label <= LABEL_UNITS) {
      if (letters === at - label && (code >= 128 || (traits & LETTER) !== 0)) letters++;
      code = window.at(++at);
      traits = traitsOf(code);
    }
    const units = at - label;
    if (units === 0 || units > LABEL_UNITS || window.at(label) === HYPHEN) return end;
    if (label > from) {
      if (isPunycode(window, label)) end = at;
      else if (letters >= SHORTEST_TOP_LEVEL) {
        if (letters === units || window.at(label + letters) === HYPHEN) end = label + letters;
      }
    }
    if (code !== DOT || window.at(at - 1) === HYPHEN) return end;
    label = at + 1;
  }
  return end;
}

function isPunycode(window: TextWindow, at: number): boolean {
  return (
    (window.at(at) | 0x20) === 0x78 &&
    (window.at(at + 1) | 0x20) === 0x6e &&
    window.at(at + 2) === HYPHEN &&
    window.at(at + 3) === HYPHEN
  );
}

/** What a domain seems to be, and is the end of a picture's name (`logo@2x.png`). */
const PICTURES: readonly string[] = ['.png', '.jpg', '.jpeg', '.gif', '.svg', '.webp'];
/** The account that every Git server has. */
const GIT = 'git';

/** @returns whether it is nobody's address, although it looks like one */
export function isNobodys(window: TextWindow, from: number, sign: number, end: number): boolean {
  if (sign - from === GIT.length && window.text.startsWith(GIT, from)) return true;
  for (const ending of PICTURES) {
    if (window.text.startsWith(ending, end - ending.length)) return true;
  }
  return false;
}
