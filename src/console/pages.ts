/** Pages of rows: where one goes on is told to the caller as a text that is nobody's business. */

import { Problem } from './problem.ts';

/** The next page's beginning. @param place any JSON */
export function cursorOf(place: unknown): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/**
 * @param isPlace whether this is what the operation made
 * @returns null where there is no cursor
 * @throws Problem when it is none of this operation's
 */
export function placeOf<Place>(
  cursor: string | undefined,
  isPlace: (value: unknown) => value is Place,
): Place | null {
  if (cursor === undefined) return null;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    value = null;
  }
  if (isPlace(value)) return value;
  const expected = 'the "next" of a page of the same question';
  throw new Problem('malformed', 'The cursor is none of this list.', {
    parts: [{ key: 'cursor', found: 'something else', expected }],
  });
}

/** Rows that are all at hand, cut into pages by their number. */
export function pageOf<Row>(
  rows: readonly Row[],
  { cursor, limit }: { readonly cursor?: string | undefined; readonly limit: number },
): { readonly rows: readonly Row[]; readonly next: string | null } {
  const from = placeOf(cursor, isCount) ?? 0;
  const to = from + limit;
  return { rows: rows.slice(from, to), next: to < rows.length ? cursorOf(to) : null };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
