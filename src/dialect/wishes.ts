import type { Wish } from './conversation.ts';
import type { JsonObject } from './json-values.ts';
import { malformed } from './losses.ts';

/** @throws Refusal where it is something else than a number */
export function numberWish(body: JsonObject, field: string): Wish<number> | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number') throw malformed(field, 'expected a number');
  return { field, value };
}
