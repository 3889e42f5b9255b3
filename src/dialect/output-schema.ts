/** JSON schemas as Anthropic's structured output takes them (its SDK's `transformJSONSchema` does the same). */

import { isObject, type JsonObject } from './json-values.ts';

const FORMATS: ReadonlySet<unknown> = new Set([
  'date-time',
  'time',
  'date',
  'duration',
  'email',
  'hostname',
  'uri',
  'ipv4',
  'ipv6',
  'uuid',
]);

/** What is taken as it stands. */
const KEPT: ReadonlySet<string> = new Set([
  '$ref',
  'type',
  'enum',
  'const',
  'description',
  'title',
  'required',
]);

/** Nested further than this it is taken as it stands: nobody writes it, and a stack is finite. */
const DEPTH_MAX = 64;

/**
 * Objects are closed; of several alternatives any may hold; what a decoder cannot hold a model to (bounds, patterns) goes
 * into the description, where the model reads it.
 */
export function closedSchema(schema: JsonObject, depth = 0): JsonObject {
  if (depth > DEPTH_MAX) return schema;
  const closed: Record<string, unknown> = {};
  const told: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(schema)) {
    if (name === '$schema') continue;
    if (KEPT.has(name)) closed[name] = value;
    else if (name === '$defs' || name === 'definitions' || name === 'properties')
      closed[name] = eachClosed(value, depth);
    else if (name === 'anyOf' || name === 'oneOf') closed['anyOf'] = listClosed(value, depth);
    else if (name === 'allOf') closed[name] = listClosed(value, depth);
    else if (name === 'items' && isObject(value)) closed[name] = closedSchema(value, depth + 1);
    else if (name === 'format' && FORMATS.has(value)) closed[name] = value;
    else if (name === 'minItems' && (value === 0 || value === 1)) closed[name] = value;
    else if (name !== 'additionalProperties') told[name] = value;
  }
  if (schema['type'] === 'object') closed['additionalProperties'] = false;
  return withTold(closed, told);
}

function withTold(closed: Record<string, unknown>, told: JsonObject): JsonObject {
  const names = Object.entries(told);
  if (names.length === 0) return closed;
  const words = `{${names.map(([name, value]) => `${name}: ${JSON.stringify(value)}`).join(', ')}}`;
  const { description } = closed;
  closed['description'] = typeof description === 'string' ? `${description}\n\n${words}` : words;
  return closed;
}

function eachClosed(value: unknown, depth: number): unknown {
  if (!isObject(value)) return value;
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([name, one]) => [name, oneClosed(one, depth)]));
}

function listClosed(value: unknown, depth: number): unknown {
  return Array.isArray(value) ? value.map((one) => oneClosed(one, depth)) : value;
}

function oneClosed(value: unknown, depth: number): unknown {
  return isObject(value) ? closedSchema(value, depth + 1) : value;
}
