import type { IncomingHttpHeaders } from 'node:http';
import type { JsonObject } from './json.ts';
import type { Voice } from './vendor-errors.ts';

/** One request that an endpoint answers, read and parsed. */
export interface Asked {
  /** The raw path without its query. */
  readonly path: string;
  /** Without its question mark. */
  readonly query: string;
  readonly fields: IncomingHttpHeaders;
  /** The JSON body; empty for endpoints that take none. */
  readonly body: JsonObject;
  /** The model named in the body or the path, '' where none is. */
  readonly model: string;
  /** SHA-256 of path and body in hex: ids are cut from it, so that equal requests get equal bytes. */
  readonly seed: string;
  readonly voice: Voice;
}

/** Unix seconds that every answer claims to be created at: fixed, so that equal requests get equal bytes. */
export const CREATED_S = 1_767_323_045;

/** An id in a vendor's style: its prefix, then hex digits of the seed. */
export function idFrom(seed: string, prefix: string, digits = 24): string {
  return prefix + seed.slice(0, digits);
}

/** The id of one of several things of an answer: the first one's is the seed's beginning, the others differ in front. */
export function idAt(seed: string, prefix: string, at: number, digits = 24): string {
  return at === 0 ? idFrom(seed, prefix, digits) : idFrom(seed, `${prefix}${at}`, digits - 1);
}

/** A size in bytes that a test asks for by the field `x-mock-bytes`; `fallback` where absent or no number. */
export function askedBytes(asked: Asked, fallback: number, most: number): number {
  const text = asked.fields['x-mock-bytes'];
  if (typeof text !== 'string' || !/^\d{1,12}$/u.test(text)) return fallback;
  return Math.min(Number(text), most);
}
