const LF = 0x0a;
const CR = 0x0d;

/**
 * The offset behind the last event that ends in `chunk[from, to)`, or `from` when none does. `from` must be the start of
 * an event. Finds blank lines that end with LF or CRLF (WHATWG HTML §9.2.6); a stream whose lines end with a lone CR, of
 * which none was ever recorded, has no findable end here and goes through `SseFraming` byte by byte instead.
 */
export function lastEventEnd(chunk: Buffer, from: number, to: number): number {
  for (let at = to - 1; at > from; at--) {
    if (chunk[at] !== LF) at = chunk.lastIndexOf(LF, at);
    if (at <= from) return from;
    if (endsBlankLine(chunk, at, from)) return at + 1;
  }
  return from;
}

/** The offset behind the blank line that follows `at`, or `to` when there is none before it. */
export function nextEventEnd(chunk: Buffer, at: number, to: number): number {
  for (let lf = chunk.indexOf(LF, at); lf >= 0 && lf < to; lf = chunk.indexOf(LF, lf + 1)) {
    if (lf > at && endsBlankLine(chunk, lf, at)) return lf + 1;
  }
  return to;
}

/** Whether the LF at `at` ends a line of no bytes; looks no further back than `from`. */
function endsBlankLine(chunk: Buffer, at: number, from: number): boolean {
  const before = chunk[at - 1];
  if (before === LF) return true;
  if (before !== CR || at - 2 < from) return false;
  const line = chunk[at - 2];
  return line === LF || line === CR;
}
