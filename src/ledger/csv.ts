/** Comma-separated values (RFC 4180) of what others wrote. */

/** @param lines the first one has the names */
export function csvText(lines: readonly (readonly string[])[]): string {
  return lines.map((cells) => cells.map(csvCell).join(',')).join('\r\n');
}

/**
 * Where a formula begins, in both widths: at the beginning of a cell, also as a spreadsheet sees it in whose country cells end
 * at semicolons.
 */
const FORMULA = /(^\s*|;\s*"*\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g;

/** Callers choose names of models, and spreadsheets run what begins like a formula. A number below 0 is none. */
function csvCell(text: string): string {
  const plain = shownText(text);
  const isNumber = /^-\d+(?:\.\d+)?$/.test(plain);
  const safe = isNumber ? plain : plain.replace(FORMULA, "$1'");
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Nothing of a text that somebody chose is to move a terminal's cursor, or to end a line. */
export function shownText(text: string): string {
  return text.replace(/\p{C}/gu, (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`);
}
