const THOUSANDTHS = Array.from({ length: 1_000 }, (_, ms) => `${String(ms).padStart(3, '0')}Z`);

let second = Number.NaN;
/** Of that second, all but its thousandths. */
let text = '';

/**
 * An instant as RFC 3339 has it, in UTC with milliseconds. `Date.toISOString` goes through printf, 1.0 us a call here;
 * most instants share their second with the one before.
 * @param ms whole milliseconds of the Unix epoch, `Date.now()`
 */
export function timestamp(ms: number): string {
  return wholeSecond(ms) + thousandths(ms);
}

/** The same without its thousandths, for who writes both. */
export function wholeSecond(ms: number): string {
  const now = Math.floor(ms / 1_000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1_000).toISOString().slice(0, -'000Z'.length);
  }
  return text;
}

/** What stands behind it. */
export function thousandths(ms: number): string {
  return THOUSANDTHS[ms - Math.floor(ms / 1_000) * 1_000] ?? '000Z';
}
