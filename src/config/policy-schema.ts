import { z } from 'zod';
import { BUDGET_ESTIMATES, UNPRICED_WAYS } from '../budget/budget-settings.ts';
import {
  CACHE_MATCHES,
  CACHE_MODES,
  CACHE_SCOPES,
  HASH_STRATEGIES,
} from '../cache/cache-settings.ts';
import { KEY_CLASSES } from '../keys/key-class.ts';
import type { Limits, LimitsConfig } from '../policy/limit-settings.ts';
import {
  type KeySettings,
  POLICY_MODES,
  type PolicySettings,
  type TenantSettings,
} from '../policy/policy-settings.ts';
import { decimalOf } from '../prices/money.ts';

/** Entries of one list of models: more is a list that nobody reads. */
const MODELS_MAX = 1_000;

const CLASSES = KEY_CLASSES.map((name) => `"${name}"`).join(', ');

function models() {
  const error = 'a list of routes, provider/model and provider/beginning*; empty = all';
  return z
    .array(z.string({ error }).regex(/^[\x20-\x7e]{1,200}$/, { error }), { error })
    .max(MODELS_MAX, { error: `at most ${MODELS_MAX} entries` })
    .nullable()
    .prefault(null);
}

function label() {
  const error = 'a text of at most 200 characters';
  return z.string({ error }).max(200, { error }).nullable().prefault(null);
}

function policy() {
  return z.string({ error: 'the name of a policy' }).nullable().prefault(null);
}

function keyClass() {
  return z.enum(['developer', 'application', 'agent'], { error: CLASSES });
}

/** RFC 3339 §5.6, with its offset: without one nobody could say when it is. */
const INSTANT = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:[Zz]|[+-]\d\d:\d\d)$/;

function instant() {
  const error = 'a time with its offset, like 2027-01-31T00:00:00Z';
  return z
    .unknown()
    .transform((value, context) => {
      if (value == null) return null;
      const text = value instanceof Date ? value.toISOString() : value;
      const ms = typeof text === 'string' && INSTANT.test(text) ? Date.parse(text) : Number.NaN;
      if (!Number.isNaN(ms)) return ms;
      context.addIssue({ code: 'custom', message: error });
      return z.NEVER;
    })
    .prefault(null);
}

function tableOnly(kind: string) {
  return {
    error: (issue: { readonly code: string }) =>
      issue.code === 'invalid_type' ? `a table like ${kind}` : undefined,
  };
}

const COUNT_MAX = 1_000_000_000;

function count(unit: string) {
  const error = `${unit}: 0 (off), or a whole number up to ${COUNT_MAX}`;
  return z.int({ error }).min(0, { error }).max(COUNT_MAX, { error });
}

/** Decimals of USD that a nano-dollar has. */
const NANO_DECIMALS = 9;
/** Of one budget: what is reserved and spent of all is added up exactly to nine times as much. */
const USD_MAX = 1_000_000;

/** USD, as a number or a decimal text, to whole nano-dollars. */
function usd(what: string) {
  const error = `${what} in USD: 0 (off), or a number or decimal text up to ${USD_MAX}, with ${NANO_DECIMALS} decimals at most`;
  return z
    .union([z.number({ error }), z.string({ error })], { error })
    .transform((value, context) => {
      const nano = decimalOf(String(value), NANO_DECIMALS);
      if (nano !== null && nano <= USD_MAX * 10 ** NANO_DECIMALS) return nano;
      context.addIssue({ code: 'custom', message: error });
      return z.NEVER;
    })
    .nullable()
    .prefault(null);
}

function onExceeded() {
  const error = '"refuse", a route, or provider/model';
  return z.string({ error }).nullable().prefault(null);
}

function unpriced() {
  const error = UNPRICED_WAYS.map((way) => `"${way}"`).join(', ');
  return z.enum(UNPRICED_WAYS, { error }).nullable().prefault(null);
}

/** Of one policy: each reads all that passes. */
const GUARDS_MAX = 16;

function guards() {
  const error = 'a list of guards: "pii", or what stands behind [guards.';
  return z
    .array(z.string({ error }).regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, { error }), { error })
    .max(GUARDS_MAX, { error: `at most ${GUARDS_MAX} guards` })
    .nullable()
    .prefault(null);
}

/** Counted in milliseconds: more a minute would be counted with an error that shows. */
const IDENTICAL_MAX = 1_000;

function identical() {
  const error = `identical requests a minute: 0 (off), or a whole number up to ${IDENTICAL_MAX}`;
  return z.int({ error }).min(0, { error }).max(IDENTICAL_MAX, { error }).nullable().prefault(null);
}

/** One of a few words. */
function word<const Word extends string>(words: readonly Word[]) {
  const error = words.map((one) => `"${one}"`).join(', ');
  return z.enum(words, { error }).nullable().prefault(null);
}

/** A month: what is told again for longer is no cache. */
const CACHE_TTL_MAX_SECS = 2_678_400;

function ttl() {
  const error = `seconds: a whole number from 1 to ${CACHE_TTL_MAX_SECS}`;
  return z
    .int({ error })
    .min(1, { error })
    .max(CACHE_TTL_MAX_SECS, { error })
    .nullable()
    .prefault(null);
}

/** Of what all keys share; a class that has nothing of it is one without keys. */
function share() {
  const error = 'a share above 0, up to 1';
  return z.number({ error }).gt(0, { error }).max(1, { error }).prefault(1);
}

const COUNTS = {
  rpm: count('requests a minute'),
  tpm: count('tokens a minute'),
  max_in_flight: count('requests'),
};

const POLICY_TABLE = z.strictObject(
  {
    models: models(),
    rpm: COUNTS.rpm.nullable().prefault(null),
    tpm: COUNTS.tpm.nullable().prefault(null),
    max_in_flight: COUNTS.max_in_flight.nullable().prefault(null),
    identical_rpm: identical(),
    budget_usd_per_day: usd('a budget'),
    budget_usd_per_month: usd('a budget'),
    max_cost_per_request_usd: usd('a limit'),
    unpriced: unpriced(),
    budget_estimate: z
      .enum(BUDGET_ESTIMATES, { error: '"likely" or "strict"' })
      .nullable()
      .prefault(null),
    cap_output: z.boolean({ error: 'true or false' }).nullable().prefault(null),
    hard_stop: z.boolean({ error: 'true or false' }).nullable().prefault(null),
    on_exceeded: onExceeded(),
    cache: word(CACHE_MODES),
    cache_match: word(CACHE_MATCHES),
    cache_scope: word(CACHE_SCOPES),
    hash_strategy: word(HASH_STRATEGIES),
    cache_ttl_secs: ttl(),
    rehearse: z.boolean({ error: 'true or false' }).nullable().prefault(null),
    strict: z.boolean({ error: 'true or false' }).nullable().prefault(null),
    guards: guards(),
    mode: z.enum(POLICY_MODES, { error: '"enforce", "warn" or "off"' }).nullable().prefault(null),
  },
  tableOnly('[policies.NAME]'),
);

const PURSE = {
  rpm: COUNTS.rpm.prefault(0),
  tpm: COUNTS.tpm.prefault(0),
  max_in_flight: COUNTS.max_in_flight.prefault(0),
};
const PURSE_TABLE = z
  .strictObject(PURSE, tableOnly('{ rpm = 60, tpm = 200000, max_in_flight = 8 }'))
  .transform(purse);

function purse(table: { rpm: number; tpm: number; max_in_flight: number }): Limits {
  return { rpm: table.rpm, tpm: table.tpm, maxInFlight: table.max_in_flight };
}

function purses(kind: string) {
  return z
    .record(z.string(), PURSE_TABLE, { error: `a table like [limits.${kind}.NAME]` })
    .prefault({})
    .transform((table) => new Map(Object.entries(table)));
}

const CLASS_PURSES = z
  .strictObject(
    {
      developer: PURSE_TABLE.optional(),
      application: PURSE_TABLE.optional(),
      agent: PURSE_TABLE.optional(),
    },
    tableOnly('[limits.classes.agent]'),
  )
  .prefault({})
  .transform(
    (table) =>
      new Map(
        KEY_CLASSES.flatMap((name) => {
          const limits = table[name];
          return limits === undefined ? [] : [[name, limits] as const];
        }),
      ),
  );

const SHARES = z
  .strictObject(
    { developer: share(), application: share(), agent: share() },
    tableOnly('[limits.shares]'),
  )
  .prefault({})
  .transform(
    (table) =>
      new Map(
        KEY_CLASSES.flatMap((name) => (table[name] < 1 ? [[name, table[name]] as const] : [])),
      ),
  );

const LIMITS_TABLE = z.strictObject(
  {
    ...PURSE,
    models: purses('models'),
    providers: purses('providers'),
    classes: CLASS_PURSES,
    shares: SHARES,
  },
  tableOnly('[limits]'),
);

/** The keys of `[limits]`, and of every table below it. */
export const LIMITS_KEYS: readonly string[] = Object.keys(LIMITS_TABLE.shape);

/** The `[limits]` table. */
export const LIMITS = LIMITS_TABLE.prefault({}).transform(
  (table): LimitsConfig => ({
    gateway: purse(table),
    models: table.models,
    providers: table.providers,
    classes: table.classes,
    shares: table.shares,
  }),
);

/** An id as it was minted; a text, or a number where that is exact. */
function id() {
  const error = 'an id as it was minted: a decimal number from 0 to 18446744073709551615';
  return z
    .union([z.int({ error }).min(0, { error }), z.string({ error })], { error })
    .transform(String)
    .refine((text) => /^(?:0|[1-9][0-9]{0,19})$/.test(text) && BigInt(text) < 2n ** 64n, { error })
    .nullable()
    .prefault(null);
}

const KEY_TABLE = z.strictObject(
  {
    name: label(),
    tenant: id(),
    policy: policy(),
    class: keyClass().nullable().prefault(null),
    expires: instant(),
  },
  tableOnly('[keys.ID]'),
);

const TENANT_TABLE = z.strictObject({ name: label(), policy: policy() }, tableOnly('[tenants.ID]'));

/** Their keys, in the order in which they are documented. */
export const POLICY_KEYS: readonly string[] = Object.keys(POLICY_TABLE.shape);
export const KEY_KEYS: readonly string[] = Object.keys(KEY_TABLE.shape);
export const TENANT_KEYS: readonly string[] = Object.keys(TENANT_TABLE.shape);

/** What a policy will be able to say: until it is enforced, a configuration that says it does not load. */
export const POLICY_KEYS_TO_COME: ReadonlySet<string> = new Set(['auto']);

/** One `[policies.NAME]` table. */
export const POLICY = POLICY_TABLE.transform(
  (table): PolicySettings => ({
    models: table.models,
    rpm: table.rpm,
    tpm: table.tpm,
    maxInFlight: table.max_in_flight,
    identicalRpm: table.identical_rpm,
    budgetPerDay: table.budget_usd_per_day,
    budgetPerMonth: table.budget_usd_per_month,
    maxCostPerRequest: table.max_cost_per_request_usd,
    unpriced: table.unpriced,
    budgetEstimate: table.budget_estimate,
    capOutput: table.cap_output,
    hardStop: table.hard_stop,
    onExceeded: table.on_exceeded,
    mode: table.mode,
    cache: table.cache,
    cacheMatch: table.cache_match,
    cacheScope: table.cache_scope,
    hashStrategy: table.hash_strategy,
    cacheTtlSecs: table.cache_ttl_secs,
    rehearse: table.rehearse,
    strict: table.strict,
    guards: table.guards,
  }),
);

/** One `[keys.ID]` table. */
export const KEY = KEY_TABLE.transform(
  (table): KeySettings => ({
    name: table.name,
    tenant: table.tenant,
    policy: table.policy,
    keyClass: table.class,
    expiresMs: table.expires,
  }),
);

/** One `[tenants.ID]` table. */
export const TENANT = TENANT_TABLE.transform((table): TenantSettings => table);

/** The `[classes]` table: class = policy. */
export const CLASSES_TABLE = z
  .map(z.string().pipe(keyClass()), z.string({ error: 'the name of a policy' }), {
    error: 'a table of class = "policy"',
  })
  .prefault(new Map());
