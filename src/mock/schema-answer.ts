import { isObject, type JsonObject, listAt, numberAt, objectAt, stringAt } from './json.ts';

/** Depth at which a recursive schema is answered with its emptiest value. */
const MAX_DEPTH = 8;

const FORMATS: ReadonlyMap<string, string> = new Map([
  ['date-time', '2026-01-02T03:04:05Z'],
  ['date', '2026-01-02'],
  ['time', '03:04:05Z'],
  ['email', 'mock@example.com'],
  ['uri', 'https://example.com/mock'],
  ['uuid', '00000000-0000-4000-8000-000000000000'],
]);

/**
 * A value that satisfies a simple JSON schema: const, enum, anyOf/oneOf (first), allOf (merged), local $ref,
 * objects with all their properties, arrays, strings with format and length, numbers with bounds.
 * Patterns and conditionals are not understood.
 */
export function answerSchema(schema: JsonObject): unknown {
  return valueFor(schema, schema, 0);
}

function valueFor(asked: unknown, root: JsonObject, depth: number): unknown {
  if (!isObject(asked)) return 'mock';
  const schema = resolve(asked, root);
  if ('const' in schema) return schema['const'];
  const choices = listAt(schema, 'enum');
  if (choices.length > 0) return choices[0];
  const branch = listAt(schema, 'anyOf')[0] ?? listAt(schema, 'oneOf')[0];
  if (branch !== undefined) return valueFor(leastDeep(schema, branch, depth), root, depth + 1);
  switch (typeOf(schema)) {
    case 'object':
      return objectFor(schema, root, depth);
    case 'array':
      return arrayFor(schema, root, depth);
    case 'integer':
    case 'number':
      return numberFor(schema);
    case 'boolean':
      return true;
    case 'null':
      return null;
    default:
      return stringFor(schema);
  }
}

function resolve(schema: JsonObject, root: JsonObject): JsonObject {
  const ref = stringAt(schema, '$ref');
  if (ref?.startsWith('#/')) {
    let at: unknown = root;
    for (const step of ref.slice(2).split('/')) at = isObject(at) ? at[step] : undefined;
    return isObject(at) ? at : {};
  }
  const parts = listAt(schema, 'allOf').filter(isObject);
  if (parts.length === 0) return schema;
  const resolved = [schema, ...parts.map((part) => resolve(part, root))];
  const properties = Object.assign({}, ...resolved.map((part) => objectAt(part, 'properties')));
  return { ...Object.assign({}, ...resolved), properties, allOf: [] };
}

// A schema that refers to itself ends only through the branch that is null.
function leastDeep(schema: JsonObject, first: unknown, depth: number): unknown {
  if (depth < MAX_DEPTH) return first;
  const all = [...listAt(schema, 'anyOf'), ...listAt(schema, 'oneOf')];
  return all.find((branch) => isObject(branch) && branch['type'] === 'null') ?? first;
}

function typeOf(schema: JsonObject): string {
  const type = schema['type'];
  if (typeof type === 'string') return type;
  if (Array.isArray(type)) return String(type.find((name) => name !== 'null') ?? 'null');
  if ('properties' in schema) return 'object';
  return 'items' in schema ? 'array' : 'string';
}

function objectFor(schema: JsonObject, root: JsonObject, depth: number): JsonObject {
  const required = new Set(listAt(schema, 'required'));
  const value: Record<string, unknown> = {};
  if (depth > 2 * MAX_DEPTH) return value;
  for (const [name, inner] of Object.entries(objectAt(schema, 'properties'))) {
    if (depth < MAX_DEPTH || required.has(name)) value[name] = valueFor(inner, root, depth + 1);
  }
  return value;
}

function arrayFor(schema: JsonObject, root: JsonObject, depth: number): readonly unknown[] {
  const least = numberAt(schema, 'minItems') ?? 0;
  const most = numberAt(schema, 'maxItems') ?? Number.POSITIVE_INFINITY;
  const count = depth < MAX_DEPTH ? Math.min(Math.max(least, 1), most) : least;
  return Array.from({ length: count }, () => valueFor(schema['items'], root, depth + 1));
}

function numberFor(schema: JsonObject): number {
  const step = numberAt(schema, 'multipleOf') ?? 1;
  const above = numberAt(schema, 'exclusiveMinimum');
  const floor = numberAt(schema, 'minimum') ?? (above === null ? null : above + step);
  const ceiling = numberAt(schema, 'maximum') ?? numberAt(schema, 'exclusiveMaximum');
  if (floor !== null) return Math.ceil(floor / step) * step;
  if (ceiling === null || ceiling > step) return step;
  return Math.floor((ceiling - step) / step) * step;
}

function stringFor(schema: JsonObject): string {
  const formatted = FORMATS.get(stringAt(schema, 'format') ?? '');
  if (formatted !== undefined) return formatted;
  const least = numberAt(schema, 'minLength') ?? 0;
  const most = numberAt(schema, 'maxLength') ?? Number.POSITIVE_INFINITY;
  return 'mock'.padEnd(least, 'k').slice(0, Math.max(most, 0));
}
