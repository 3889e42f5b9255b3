import type { Detail, Wish } from './conversation.ts';
import { isObject, type JsonObject, rawNumber } from './json-values.ts';
import { malformed } from './losses.ts';

/** @throws Refusal where it is something else than a number, or larger than a double: that would be written as `null` */
export function numberWish(body: JsonObject, field: string): Wish<number> | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  const number = typeof value === 'number' ? value : rawNumber(value);
  if (number === null || !Number.isFinite(number)) throw malformed(field, 'expected a number');
  return { field, value: number };
}

/**
 * How many answers at once.
 * @throws Refusal where it is less than one, or no whole number: none is no answer at all
 */
export function choicesWish(body: JsonObject, field: string): Wish<number> | null {
  const wish = numberWish(body, field);
  if (wish !== null && (!Number.isInteger(wish.value) || wish.value < 1))
    throw malformed(field, 'expected a whole number from 1 on');
  return wish;
}

/** @throws Refusal where it is something else than a list, or null */
export function listAt(body: JsonObject, name: string, field = name): readonly unknown[] {
  const value = body[name];
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw malformed(field, 'expected a list');
  return value;
}

/** @throws Refusal where it is something else than an object, or null */
export function objectAt(body: JsonObject, name: string, field = name): JsonObject | null {
  const value = body[name];
  if (value === undefined || value === null) return null;
  if (!isObject(value)) throw malformed(field, 'expected an object');
  return value;
}

/** @throws Refusal where it is something else than true, false or null */
export function flagAt(body: JsonObject, field: string): boolean {
  const value = body[field];
  if (value === undefined || value === null) return false;
  if (typeof value !== 'boolean') throw malformed(field, 'expected true or false');
  return value;
}

/** Texts that end an answer. @throws Refusal where they are something else */
export function stopsWish(body: JsonObject, field: string): Wish<readonly string[]> | null {
  const value = body[field];
  if (value === undefined || value === null) return null;
  const value_ = Array.isArray(value) ? value : [value];
  const stops = value_.filter((stop): stop is string => typeof stop === 'string');
  if (stops.length < value_.length) throw malformed(field, 'expected a text or a list of texts');
  return stops.length === 0 ? null : { field, value: stops };
}

/**
 * The JSON schema of a tool's arguments: an object's, as far as it says so. More of it is its provider's to judge.
 * @throws Refusal
 */
export function argumentsSchema(value: unknown, field: string): JsonObject {
  if (!isObject(value)) throw malformed(field, 'expected a JSON schema');
  const { type, properties, required } = value;
  if (type !== undefined && type !== 'object' && !(Array.isArray(type) && type.includes('object')))
    throw malformed(`${field}.type`, 'expected object');
  if (properties !== undefined) {
    if (!isObject(properties)) throw malformed(`${field}.properties`, 'expected an object');
    for (const [name, property] of Object.entries(properties))
      if (!isObject(property) && typeof property !== 'boolean')
        throw malformed(`${field}.properties.${name}`, 'expected a JSON schema');
  }
  const isNamed = Array.isArray(required) && required.every((name) => typeof name === 'string');
  if (required !== undefined && !isNamed)
    throw malformed(`${field}.required`, 'expected a list of names');
  return value;
}

/** A picture's `detail`; what is none of these is a hint of one vendor's. */
export function detailOf(value: unknown): Detail | null {
  return value === 'low' || value === 'high' || value === 'auto' ? value : null;
}
