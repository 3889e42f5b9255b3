import { z } from 'zod';
import type { GuardAction } from '../guard/guard.ts';
import type { GuardKind, GuardMade } from '../guard/guard-config.ts';

/** Of a module, as V8 needs it; and more than a guard has any use for. */
const MEMORY_MIN_MB = 16;
const MEMORY_MAX_MB = 4_096;
const THREADS_MAX = 64;

/** Whoever waits for a guard for longer has no stream. */
const WAIT_MAX_MS = 60_000;

const IN_FLIGHT_MAX = 1_024;
const NAMES_MAX = 256;
const FILE_MAX_MB = 65_536;

/** As the ledger's facts. */
const RETENTION_MAX_DAYS = 3_660;

const MIB = 1_048_576;

function whole(unit: string, min: number, max: number) {
  const error = `${unit}: a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error }).optional();
}

function path() {
  const error = 'a path without control characters';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
  const plain = /^[^\x00-\x1f\x7f]+$/;
  return z.string({ error }).regex(plain, { error }).optional();
}

/** A key goes into an HTTP field value (RFC 9110 §5.5), a password into `api_key`. */
function url() {
  const error = 'http:// or https://, a host and a path, without user and password';
  return z
    .string({ error })
    .refine(
      (text) => {
        const parsed = URL.parse(text);
        const isHttp = parsed?.protocol === 'http:' || parsed?.protocol === 'https:';
        return isHttp && parsed.username === '' && parsed.password === '' && parsed.hash === '';
      },
      { error },
    )
    .optional();
}

function names(what: string, form: RegExp) {
  const error = `a list of ${what}`;
  return z
    .array(z.string({ error }).regex(form, { error }), { error })
    .max(NAMES_MAX, { error: `at most ${NAMES_MAX}` })
    .optional();
}

function word(expected: string, form: RegExp) {
  return z.string({ error: expected }).regex(form, { error: expected }).optional();
}

/** What only guards of some kinds say. */
export const PART_SHAPE = {
  module: path(),
  budget_ms: whole('milliseconds', 1, WAIT_MAX_MS),
  threads: whole('threads', 1, THREADS_MAX),
  memory_mb: whole('MiB', MEMORY_MIN_MB, MEMORY_MAX_MB),
  network: z.boolean({ error: 'true or false' }).optional(),
  url: url(),
  api_key: word('a key of visible ASCII characters', /^[\x21-\x7e]+$/),
  timeout_ms: whole('milliseconds', 1, WAIT_MAX_MS),
  max_in_flight: whole('requests', 1, IN_FLIGHT_MAX),
  language: word('a language like "en"', /^[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*$/),
  entities: names('kinds like "PERSON"', /^[A-Z][A-Z0-9_]{0,63}$/),
  min_score: z
    .number({ error: 'a number from 0 to 1' })
    .min(0, { error: 'a number from 0 to 1' })
    .max(1, { error: 'a number from 0 to 1' })
    .optional(),
  model: word('a name of a model', /^[\x21-\x7e]{1,200}$/),
  categories: names('categories like "violence"', /^[A-Za-z0-9_./-]{1,64}$/),
  path: path(),
  max_file_mb: whole('MiB', 1, FILE_MAX_MB),
  retention_days: whole('days, 0 = for ever', 0, RETENTION_MAX_DAYS),
};

const PART_TABLE = z.object(PART_SHAPE);
export type PartTable = z.output<typeof PART_TABLE>;

/** Kinds that are made of such keys. */
export type PartKind = Exclude<GuardKind, 'pii' | 'injection'>;

const SERVER = ['url', 'api_key', 'timeout_ms', 'max_in_flight'] as const;

/** Which keys each kind has. */
export const PART_KEYS: Readonly<Record<PartKind, readonly (keyof PartTable)[]>> = {
  module: ['module', 'budget_ms', 'threads', 'memory_mb', 'network'],
  presidio: [...SERVER, 'language', 'entities', 'min_score'],
  moderation: [...SERVER, 'model', 'categories'],
  logger: ['path', 'max_file_mb', 'retention_days'],
};

/** What each can do with what it finds; the first one is what it does where nobody says it. A module's hooks say it themselves. */
export const PART_ACTIONS: Readonly<Record<PartKind, readonly [GuardAction, ...GuardAction[]]>> = {
  module: ['redact'],
  presidio: ['redact', 'block', 'flag'],
  moderation: ['block', 'flag'],
  logger: ['flag'],
};

/** The key without which one is nothing; null: it has none. */
export const PART_NEEDS: Readonly<Record<PartKind, keyof PartTable | null>> = {
  module: 'module',
  presidio: 'url',
  moderation: 'url',
  logger: null,
};

/** What a table makes of a guard: what it does not say is as documented. */
export function partMade(kind: PartKind, table: PartTable): GuardMade<string> {
  const server = {
    url: table.url ?? '',
    timeoutMs: table.timeout_ms ?? 1_000,
    maxInFlight: table.max_in_flight ?? 8,
    apiKey: table.api_key ?? null,
  };
  switch (kind) {
    case 'module':
      return {
        kind,
        path: table.module ?? '',
        version: '',
        budgetMs: table.budget_ms ?? 50,
        threads: table.threads ?? 1,
        memoryMb: table.memory_mb ?? 64,
        network: table.network ?? false,
      };
    case 'presidio':
      return {
        kind,
        ...server,
        language: table.language ?? 'en',
        entities: table.entities ?? [],
        minScore: table.min_score ?? 0.4,
      };
    case 'moderation':
      return { kind, ...server, model: table.model ?? '', categories: table.categories ?? [] };
    case 'logger':
      return {
        kind,
        path: table.path ?? '',
        maxBytes: (table.max_file_mb ?? 64) * MIB,
        retentionDays: table.retention_days ?? 7,
      };
  }
}
