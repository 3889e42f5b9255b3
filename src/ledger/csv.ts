/** Comma-separated values (RFC 4180) of what others wrote. */

/** @param lines the first one has the names */
export function csvText(lines: readonly (readonly string[])[]): string {
  return lines.map((cells) => cells.map(csvCell).join(',')).join('\r\n');
}

/** Callers choose names of models, and spreadsheets run what begins like a formula. A number below 0 is none. */
function csvCell(text: string): string {
  const plain = shownText(text);
  const isFormula = /^[=+\-@]/.test(plain) && !/^-\d+(?:\.\d+)?$/.test(plain);
  const safe = isFormula ? `'${plain}` : plain;
  return /[",]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Nothing of a text that somebody chose is to move a terminal's cursor, or to end a line. */
export function shownText(text: string): string {
  return text.replace(/\p{C}/gu, (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`);
}
