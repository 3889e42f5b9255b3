import { existsSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import type { OverlayEntry } from '../overlay/overlay-entry.ts';
import { MASK } from '../secret.ts';
import { type ConfigProblem, nearest, showSecret, showValue } from './config-problem.ts';
import { type Environment, readText, resolveReferences } from './config-reference.ts';
import { isSecretAt, KEYS, SHAPES, type Shape } from './config-schema.ts';
import { fileSignature } from './file-signature.ts';

/** Variables that are read elsewhere: where the file is, and which build of the scanner runs (`json-scanner.ts`). */
const NOT_KEYS: ReadonlySet<string> = new Set(['AI_CONFIG', 'AI_WASM']);

/** Where a value came from: a file and its key, or the environment and the variable's name. */
interface Origin {
  readonly file: string;
  readonly key: string;
}

/** What can be told of the file as a text. */
export interface FileShape {
  /** Of the file alone, tables counted as one. */
  readonly keys: number;
  /** Whether its last line is ended. Without a file, it is. */
  readonly endsLine: boolean;
}

/** File and environment merged, references resolved, nothing validated yet. */
export interface RawConfig {
  readonly source: string | null;
  fileShape: FileShape;
  /** Top-level key to value; a table is a Map, so that no entry's name can reach a prototype. */
  readonly values: Map<string, unknown>;
  /** `key` or `table.entry` to its origin, also where resolving the value failed. */
  readonly origins: Map<string, Origin>;
  /** Dotted path of each value that came by reference to how a problem quotes it. */
  readonly references: Map<string, string>;
  readonly problems: ConfigProblem[];
  /** `table.entry` of what cannot be overridden at run time. */
  readonly locked: Set<string>;
  /** `table.entry` to what was made there at run time. */
  readonly overlaid: Map<string, OverlayEntry>;
  /** Every file that was read, or should have been, and its signature from before. */
  readonly files: Map<string, string>;
}

/** The name under which problems list the environment. */
const ENVIRONMENT = 'environment';
/** The same of what was made at run time. */
export const OVERLAY = 'overlay';
const DEFAULT_FILE = 'config.toml';
const CONFIG_FILE_MAX_BYTES = 1024 * 1024;
const POOL_KEY_PREFIX = 'AI_POOL_KEY_';

/** What an orchestrator sets for a service called `ai` or `ai-…`; not meant for us. */
const SERVICE_LINK = /^AI_(?:[A-Z0-9_]+_)?(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|PORT_\d+_.+)$/;

/** Reads the file, lays the environment's overrides over it, and resolves what is left. */
export function readSources(
  path: string | undefined,
  found: string | null,
  env: Environment,
  only: readonly string[] | null = null,
): RawConfig {
  // Before it is looked for: a file that comes in between is then seen as a change.
  const placeSignature = fileSignature(DEFAULT_FILE);
  const explicit = path ?? env['AI_CONFIG'];
  const source = explicit ?? found ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : null);
  const raw: RawConfig = {
    source,
    fileShape: { keys: 0, endsLine: true },
    values: new Map(),
    origins: new Map(),
    references: new Map(),
    problems: [],
    locked: new Set(),
    overlaid: new Map(),
    files: new Map(),
  };
  if (source === null) raw.files.set(DEFAULT_FILE, placeSignature);
  else readFile(raw, source, namedBy(path, explicit));
  if (only !== null) {
    for (const key of [...raw.values.keys()].filter((key) => !only.includes(key))) {
      raw.values.delete(key);
      raw.origins.delete(key);
    }
  }
  const wanted = only?.map(variableOf);
  for (const [name, value] of Object.entries(env)) {
    if (wanted !== undefined && !wanted.includes(name)) continue;
    if (name.startsWith('AI_') && !NOT_KEYS.has(name) && value !== undefined) {
      overlay(raw, name, value);
    }
  }
  resolveAll(raw, env);
  return raw;
}

function namedBy(path: string | undefined, explicit: string | undefined): string {
  if (explicit === undefined) return `./${DEFAULT_FILE}`;
  return path === undefined ? 'AI_CONFIG' : '--config';
}

/** A problem at a path into the values, told with the file or variable that the value came from. */
export function problemAt(
  raw: RawConfig,
  at: readonly PropertyKey[],
  expected: string,
  found?: string,
): ConfigProblem {
  const path = withoutSingleIndex(raw.values, at);
  const origin = originAt(raw, path);
  const show = isSecretAt(path) ? showSecret : showValue;
  const place = origin?.file === OVERLAY ? { at: path.slice(0, 3).map(String) } : {};
  return {
    file: origin?.file ?? raw.source ?? ENVIRONMENT,
    key: origin?.file === ENVIRONMENT ? origin.key : dotted(shownPath(path)),
    found: found ?? raw.references.get(dotted(path)) ?? show(valueAt(raw.values, path)),
    expected,
    ...place,
  };
}

/** Models have long names, and nobody puts a key where one belongs. */
const TABLES_OF_MODELS: ReadonlySet<unknown> = new Set(['prices', 'models']);

function shownPath(path: readonly PropertyKey[]): readonly PropertyKey[] {
  return TABLES_OF_MODELS.has(path[0]) ? path : path.map(withoutSecret);
}

/**
 * Name and key swapped, `"sk-…" = "openai"`, would put the key into the path. Names are words, and
 * a misspelt long one must stay readable, as ids must.
 */
function withoutSecret(part: PropertyKey): PropertyKey {
  if (typeof part !== 'string' || /^(?:[a-z]+(?:_[a-z]+)*|\d{1,20})$/.test(part)) return part;
  return showValue(part) === MASK ? MASK : part;
}

/** One key may stand for a list of one; a problem then names the key, not an index into it. */
function withoutSingleIndex(
  values: ReadonlyMap<string, unknown>,
  path: readonly PropertyKey[],
): readonly PropertyKey[] {
  const parent = path.slice(0, -1);
  const isIndex = typeof path.at(-1) === 'number';
  return isIndex && !Array.isArray(valueAt(values, parent)) ? parent : path;
}

function originAt({ origins }: RawConfig, path: readonly PropertyKey[]): Origin | undefined {
  const own = origins.get(dotted(path.slice(0, 3))) ?? origins.get(dotted(path.slice(0, 2)));
  return own ?? origins.get(String(path[0]));
}

function dotted(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

/** What stands at a path into the values. */
export function valueAt(
  values: ReadonlyMap<string, unknown>,
  path: readonly PropertyKey[],
): unknown {
  return path.reduce<unknown>((at, part) => {
    if (at instanceof Map) return at.get(part);
    if (isPlainTable(at) && typeof part === 'string' && Object.hasOwn(at, part)) return at[part];
    return Array.isArray(at) && typeof part === 'number' ? at[part] : undefined;
  }, values);
}

function readFile(raw: RawConfig, path: string, namedBy: string): void {
  raw.files.set(path, fileSignature(path));
  const file = readText(path, CONFIG_FILE_MAX_BYTES);
  if ('failure' in file) {
    const expected = 'a readable TOML file';
    raw.problems.push({ file: path, key: namedBy, found: file.failure, expected });
    return;
  }
  try {
    const entries = Object.entries(parse(file.text));
    raw.fileShape = { keys: entries.length, endsLine: file.text.endsWith('\n') };
    for (const [key, value] of entries) {
      const isTable = SHAPES.get(key) === 'table' && isPlainTable(value);
      raw.values.set(key, isTable ? new Map(Object.entries(value)) : value);
      raw.origins.set(key, { file: path, key });
    }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    raw.problems.push(secondTable(path, error, file.text) ?? syntaxProblem(path, error));
  }
}

/** A table as TOML and JSON have it. */
export function isPlainTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

/** How a reason of the parser begins, what is told instead, and what to do: the slips that people make. */
const SYNTAX: readonly (readonly [
  begin: string,
  said: readonly [found: string, expected: string],
])[] = [
  ['invalid value', ['invalid value', 'a quoted string, a number, true, false, a list or a table']],
  [
    'control characters are not allowed in strings',
    ['a string that does not end', 'a quote at its end'],
  ],
  [
    'trying to redefine',
    [
      'a table or a key that is there already',
      'each of them once: the lines of a second [table] go under the first one',
    ],
  ],
];

/** What `keygen >> config.toml` makes when it is done twice; null where it is something else. */
function secondTable(file: string, error: TomlError, text: string): ConfigProblem | null {
  const lines = text.split('\n').map((line) => /^\s*\[(\w+)\]\s*(?:#.*)?$/.exec(line)?.[1]);
  const name = lines[error.line - 1];
  const first = name === undefined ? -1 : lines.indexOf(name);
  if (name === undefined || !KEYS.includes(name) || first < 0 || first >= error.line - 1)
    return null;
  return {
    file,
    key: `line ${error.line}`,
    found: `[${name}] for the second time`,
    expected: `its lines under the [${name}] of line ${first + 1}, and this line gone`,
  };
}

/** The parser's code block is left out: the line that does not parse may hold a key. */
function syntaxProblem(file: string, error: TomlError): ConfigProblem {
  const [line = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
  const reason = /^[a-z][a-z :,-]*$/.test(line) ? line : 'text that is not TOML';
  const [found, expected] = SYNTAX.find(([begin]) => reason.startsWith(begin))?.[1] ?? [
    reason,
    'TOML 1.0: key = value lines, and [table] lines',
  ];
  return { file, key: `line ${error.line}, column ${error.column}`, found, expected };
}

/** Lays one variable over the file's value. */
function overlay(raw: RawConfig, name: string, value: string): void {
  const origin = { file: ENVIRONMENT, key: name };
  if (name.startsWith(POOL_KEY_PREFIX) && name.length > POOL_KEY_PREFIX.length) {
    const provider = name.slice(POOL_KEY_PREFIX.length).toLowerCase();
    const keys = raw.values.get('pool_keys') ?? new Map();
    if (!(keys instanceof Map)) return;
    raw.values.set('pool_keys', keys.set(provider, splitList(value)));
    raw.origins.set(`pool_keys.${provider}`, origin);
    return;
  }
  const key = KEYS.find((known) => variableOf(known) === name);
  if (key === undefined || SHAPES.get(key) === 'table') {
    if (!isServiceLink(name, value)) raw.problems.push(unknownVariable(name, key));
    return;
  }
  raw.values.set(key, SHAPES.get(key) === 'list' ? splitList(value) : value);
  raw.origins.set(key, origin);
}

function variableOf(key: string): string {
  return key === 'pool_keys' ? `${POOL_KEY_PREFIX}<PROVIDER>` : `AI_${key.toUpperCase()}`;
}

function splitList(value: string): readonly string[] {
  return value.split(',').map((piece) => piece.trim());
}

function isServiceLink(name: string, value: string): boolean {
  return (
    SERVICE_LINK.test(name) || (name.endsWith('_PORT') && /^(?:tcp|udp|sctp):\/\//.test(value))
  );
}

function unknownVariable(name: string, table: string | undefined): ConfigProblem {
  if (table !== undefined && table !== 'pool_keys') {
    const expected = `the table [${table}] in the configuration file`;
    return { file: ENVIRONMENT, key: name, found: 'a variable for a table', expected };
  }
  const names = KEYS.filter((key) => key === 'pool_keys' || SHAPES.get(key) !== 'table');
  const known = name.startsWith('AI_POOL_KEY')
    ? variableOf('pool_keys')
    : nearest(name, ['AI_CONFIG', ...names.map(variableOf)]);
  return {
    file: ENVIRONMENT,
    key: name,
    found: 'an unknown variable',
    expected: `${known} (nearest)`,
  };
}

/** Resolves references in place; a value that cannot be resolved is taken out and reported. */
function resolveAll(raw: RawConfig, env: Environment): void {
  for (const [key, value] of raw.values) {
    if (value instanceof Map) {
      for (const [entry, held] of value) {
        if (isPlainTable(held)) {
          resolveTable(raw, [key, entry], held, env);
          continue;
        }
        const resolved = resolveAt(raw, [key, entry], held, env, 'text');
        if (resolved !== undefined) value.set(entry, resolved);
        else forget(raw, value, key, entry);
      }
      continue;
    }
    const resolved = resolveAt(raw, [key], value, env, SHAPES.get(key) ?? 'text');
    if (resolved === undefined) raw.values.delete(key);
    else raw.values.set(key, resolved);
  }
}

/** A provider's own table. */
function resolveTable(
  raw: RawConfig,
  path: readonly PropertyKey[],
  table: Record<string, unknown>,
  env: Environment,
): void {
  for (const [key, held] of Object.entries(table)) {
    const resolved = resolveAt(raw, [...path, key], held, env, SHAPES.get(key) ?? 'text');
    if (resolved === undefined) delete table[key];
    else table[key] = resolved;
  }
}

/** The entry's value is gone, its name still counts: a provider is known, whatever its authority. */
function forget(raw: RawConfig, table: Map<unknown, unknown>, key: string, entry: unknown): void {
  const origin = originAt(raw, [key, String(entry)]);
  if (origin !== undefined) raw.origins.set(`${key}.${entry}`, origin);
  table.delete(entry);
}

/** @returns undefined when a reference leads nowhere; the problem is recorded then */
function resolveAt(
  raw: RawConfig,
  path: readonly PropertyKey[],
  value: unknown,
  env: Environment,
  shape: Shape,
): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item, index) => resolveAt(raw, [...path, index], item, env, 'text'));
    return items.includes(undefined) ? undefined : items;
  }
  if (typeof value !== 'string') return value;
  const resolved = resolveReferences(value, env);
  if (resolved.file !== undefined) raw.files.set(resolved.file.path, resolved.file.signature);
  if ('found' in resolved) {
    raw.problems.push(problemAt(raw, path, resolved.expected, resolved.found));
    return undefined;
  }
  if (resolved.referenced) raw.references.set(dotted(path), quoteReference(path, value));
  const isText = !resolved.referenced && originAt(raw, path)?.file !== ENVIRONMENT;
  return isText ? resolved.value : fromText(resolved.value, shape);
}

/** What a reference brought is never quoted; the reference itself is, where it stands alone. */
function quoteReference(path: readonly PropertyKey[], text: string): string {
  const alone = /^(?:\$\{\w+\}|file:.*)$/.test(text);
  const show = isSecretAt(path) ? showSecret : showValue;
  return `${alone ? JSON.stringify(text) : show(text)} (what it stands for is not shown)`;
}

/** Text from a variable or a reference as the shape that the key holds; text that is none stays text. */
function fromText(text: string, shape: Shape): unknown {
  if (shape === 'number' && /^-?\d+(?:\.\d+)?$/.test(text)) return Number(text);
  if (shape === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return shape === 'list' ? splitList(text) : text;
}
