import type { Detail, Wish } from './conversation.ts';
import type { JsonObject } from './json-values.ts';
import { malformed } from './losses.ts';

/** @throws Refusal where it is something else than a number */
export function numberWish(body: JsonObject, field: string): Wish<number> | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  if (typeof value !== 'number') throw malformed(field, 'expected a number');
  return { field, value };
}

/** A picture's `detail`; what is none of these is a hint of one vendor's. */
export function detailOf(value: unknown): Detail | null {
  return value === 'low' || value === 'high' || value === 'auto' ? value : null;
}
