/** A parsed JSON object whose members are not known yet. */
export interface JsonObject {
  readonly [key: string]: unknown;
}

export const EMPTY_OBJECT: JsonObject = Object.freeze({});

/** True for a JSON object: not null, not an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The member as an object, or an empty one where it is absent or something else. */
export function objectAt(from: JsonObject, key: string): JsonObject {
  const value = from[key];
  return isObject(value) ? value : EMPTY_OBJECT;
}

/** The member as a list, or an empty one. */
export function listAt(from: JsonObject, key: string): readonly unknown[] {
  const value = from[key];
  return Array.isArray(value) ? value : [];
}

/** The member as a string, or null. */
export function stringAt(from: JsonObject, key: string): string | null {
  const value = from[key];
  return typeof value === 'string' ? value : null;
}

/** The member as a finite number, or null. */
export function numberAt(from: JsonObject, key: string): number | null {
  const value = from[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Parses a request body; null where it is no JSON object. */
export function parseObject(body: Buffer): JsonObject | null {
  try {
    const value: unknown = JSON.parse(body.toString());
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
