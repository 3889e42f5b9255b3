import { z } from 'zod';
import { KEY_CLASSES } from '../keys/key-class.ts';
import type { KeySettings, PolicySettings, TenantSettings } from '../policy/policy-settings.ts';

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

const POLICY_TABLE = z.strictObject(
  {
    models: models(),
    rehearse: z.boolean({ error: 'true or false' }).nullable().prefault(null),
  },
  tableOnly('[policies.NAME]'),
);

const KEY_TABLE = z.strictObject(
  {
    name: label(),
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
export const POLICY_KEYS_TO_COME: ReadonlySet<string> = new Set([
  'rpm',
  'tpm',
  'max_in_flight',
  'budget_usd_per_day',
  'budget_usd_per_month',
  'max_cost_per_request_usd',
  'guards',
  'cache',
  'unpriced',
  'mode',
  'auto',
  'strict',
  'locked',
]);

/** One `[policies.NAME]` table. */
export const POLICY = POLICY_TABLE.transform((table): PolicySettings => table);

/** One `[keys.ID]` table. */
export const KEY = KEY_TABLE.transform(
  (table): KeySettings => ({
    name: table.name,
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
