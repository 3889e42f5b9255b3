/**
 * The shapes of what the admin API tells and takes, in one place: the API document, the checks of calls and the types of the
 * dashboard are made of them. Money is a decimal text of USD, never a float; what has no price is null or counted beside it.
 * Instants are ISO 8601 in UTC with milliseconds, durations milliseconds, ids decimal texts (they are 64 bits).
 */

import { z } from 'zod';

const instant = z.iso.datetime();
const usd = z.string().regex(/^-?\d+(\.\d+)?$/);
const count = z.int().min(0);
const decimalId = z.string().regex(/^(?:0|[1-9]\d{0,19})$/);
const text = z.string().max(256);

/** By what usage is told apart. */
export const DIMENSION = z.enum(['tenant', 'key', 'class', 'provider', 'model', 'route', 'status']);

/** A page of rows goes on behind this. */
const cursor = z.string().max(512);
const limit = z.coerce.number().int().min(1).max(1_000).default(100);

/** Which facts count: all that agree with each one that is said. */
const filters = {
  tenant: decimalId.optional(),
  key: decimalId.optional(),
  class: text.optional(),
  provider: text.optional(),
  model: text.optional(),
  route: text.optional(),
  status: text.optional(),
};

/** From one instant up to another; `since` by default a day before `until`, that by default now. */
const range = { since: instant.optional(), until: instant.optional() };

const zone = text.default('UTC').describe('An IANA time zone: days begin there at midnight.');

export const NO_PATH = z.object({});
export const NO_QUERY = z.object({});
export const ID_PATH = z.object({ id: decimalId });
export const NAME_PATH = z.object({ name: z.string().min(1).max(200) });
export const REQUEST_PATH = z.object({ id: z.string().min(1).max(64) });

/** What some requests used. `cost_usd` is of what has a price; `unpriced` counts the facts that have none. */
export const USAGE = z.object({
  facts: count,
  requests: count,
  input_tokens: count,
  output_tokens: count,
  cache_read_tokens: count,
  cache_write_tokens: count,
  reasoning_tokens: count,
  duration_ms: count,
  cost_usd: usd,
  unpriced: count,
  estimated: count,
});

export const USAGE_QUERY = z.object({
  ...range,
  ...filters,
  by: z
    .string()
    .max(100)
    .default('')
    .describe('Dimensions with commas between them; empty: all in one row.'),
  order: z.enum(['cost', 'requests', 'tokens', 'name']).default('cost'),
  limit,
  cursor: cursor.optional(),
  format: z.enum(['json', 'csv']).default('json'),
});

export const USAGE_PAGE = z.object({
  since: instant,
  until: instant,
  by: z.array(DIMENSION),
  rows: z.array(z.object({ by: z.record(z.string(), z.string()), usage: USAGE })),
  total: USAGE,
  next: cursor.nullable(),
});

export const SPEND_QUERY = z.object({
  ...range,
  ...filters,
  zone,
  step: z.enum(['quarter', 'hour', 'day', 'month']).default('day'),
  by: DIMENSION.optional().describe('Series of its dearest values, the others together as one.'),
  top: z.coerce.number().int().min(1).max(20).default(8),
  format: z.enum(['json', 'csv']).default('json'),
});

/** Usage over time: `usage[i]` of a series is of the step that begins at `starts[i]`. */
export const SPEND = z.object({
  since: instant,
  until: instant,
  zone: text,
  step: z.enum(['quarter', 'hour', 'day', 'month']),
  starts: z.array(instant),
  series: z.array(z.object({ name: z.string(), is_rest: z.boolean(), usage: z.array(USAGE) })),
  total: USAGE,
});

/** What providers' caches of prompts did for some requests. */
export const PROMPT_CACHE = z.object({
  attempts: count,
  /** All that went in, what is in the next two included. */
  input_tokens: count,
  cache_read_tokens: count,
  cache_write_tokens: count,
  /** `cache_read_tokens` of `input_tokens`; null: nothing went in. */
  hit_rate: z.number().min(0).nullable(),
  /** What the tokens that were read would have cost as input, less what they cost. */
  saved_usd: usd,
  /** What the tokens that were written cost more than input does. */
  written_usd: usd,
  /** Tokens read or written of models without a price: they are in neither sum. */
  unpriced_tokens: count,
});

export const PROMPT_CACHE_QUERY = z.object({
  ...range,
  ...filters,
  by: z
    .string()
    .max(100)
    .default('')
    .describe('Dimensions with commas between them; empty: all in one row.'),
  order: z.enum(['input', 'saved', 'rate', 'name']).default('input'),
  limit,
  cursor: cursor.optional(),
  format: z.enum(['json', 'csv']).default('json'),
});

export const PROMPT_CACHE_PAGE = z.object({
  since: instant,
  until: instant,
  by: z.array(DIMENSION),
  rows: z.array(z.object({ by: z.record(z.string(), z.string()), use: PROMPT_CACHE })),
  total: PROMPT_CACHE,
  next: cursor.nullable(),
});

/** Sessions of one key that break the cache of what they send to one target. */
export const PROMPT_BREAK = z.object({
  tenant: z.string(),
  key: z.string().nullable(),
  model: z.string().nullable(),
  target: z.string(),
  /** The body's member that changed. */
  part: z.string(),
  /** Of the first byte that differs in the body, in the last session; null: the part was gone. */
  offset: count.nullable(),
  /** The same from the part's first byte on. */
  part_offset: count,
  sessions: count,
  turns: count,
  /** What those turns cost beyond what they would have. */
  lost_usd: usd,
  /** Sessions of which that is not known. */
  unpriced: count,
  first: instant,
  last: instant,
});
export const PROMPT_BREAKS = z.object({ rows: z.array(PROMPT_BREAK) });

const answerRow = z.object({
  tenant: z.string(),
  key: z.string().nullable(),
  /** Null: not known, or none. */
  model: z.string().nullable(),
  route: z.string().nullable(),
  bytes: count,
  made: instant.nullable(),
  expires: instant.nullable(),
});

/** The cache of answers as this node has it, counted since it started. */
export const CACHE = z.object({
  /** Where answers are kept; null: no policy has a cache. */
  store: z.enum(['memory', 'redis']).nullable(),
  is_up: z.boolean(),
  /** Null: the store's own affair. */
  max_bytes: count.nullable(),
  /** Null: nobody could say in time. */
  answers: count.nullable(),
  bytes: count.nullable(),
  /** False: there are more answers than were looked at. */
  whole: z.boolean(),
  evicted: count,
  /** Requests whose policy has a cache, by what it had to say; `shared`: told an answer while another request made it. */
  requests: z.object({ hit: count, shared: count, miss: count, bypass: count, away: count }),
  /** `hit` and `shared` of all that were asked of the cache; null: none were. */
  hit_rate: z.number().min(0).max(1).nullable(),
  kept: count,
  /** Answers that were made to be kept and were not, by why. */
  unkept: z.record(z.string(), count),
  saved_usd: usd,
  largest: z.array(answerRow),
});

const scanning = z.enum(['block', 'pass']);

/** Guards as this node's policies name them, and what they came to since it started. Never a text. */
export const GUARDS = z.object({
  requests: count,
  /** In prompts and answers, whatever was done about it. */
  findings: count,
  failures: count,
  blocked: count,
  held_too_long: count,
  scanned_bytes: count,
  unscanned_bytes: count,
  guards: z.array(
    z.object({
      name: z.string(),
      kind: z.string(),
      action: z.string(),
      phases: z.array(z.string()),
      on_error: scanning,
      on_unscanned: scanning,
      /** Policies that name it. */
      policies: z.array(z.string()),
    }),
  ),
});

/** Whose answers are thrown away: with both, one key's of a tenant; with none, all. */
export const PURGE_WISH = z.strictObject({
  tenant: decimalId.optional(),
  key: decimalId.optional(),
  reason: z.string().max(1_000).default(''),
});
/** `answers` null: Redis is away; they will have gone before this node tells any of them again. */
export const PURGED = z.object({ answers: count.nullable() });

/** One attempt that reached its provider: a usage fact, as `docs/facts.md` has it, its members unchanged. */
const FACT = z.record(z.string(), z.unknown());

/** What a table of requests shows of one: of its final fact. */
export const REQUEST_ROW = z.object({
  id: z.string(),
  at: instant,
  tenant: z.string(),
  key: z.string(),
  class: z.string(),
  provider: z.string(),
  model: z.string(),
  route: z.string(),
  status: z.string(),
  outcome: z.string(),
  attempt: count,
  final: z.boolean(),
  input_tokens: count,
  output_tokens: count,
  ttft_ms: z.number().nullable(),
  duration_ms: z.number().nullable(),
  cost_usd: usd.nullable(),
  cost_status: z.string(),
  usage_source: z.string(),
});

export const REQUESTS_QUERY = z.object({
  ...range,
  ...filters,
  q: text.optional().describe('The beginning of a request id.'),
  outcome: text.optional(),
  attempts: z.enum(['final', 'all']).default('final'),
  limit,
  cursor: cursor.optional(),
  format: z.enum(['json', 'csv']).default('json'),
});

/** The youngest first. A search looks at a bounded number of facts a call: `searched_to` says how far back it came. */
export const REQUESTS_PAGE = z.object({
  rows: z.array(REQUEST_ROW),
  searched_to: instant.nullable(),
  next: cursor.nullable(),
});

export const REQUEST = z.object({
  id: z.string(),
  attempts: z.array(FACT),
  total_cost_usd: usd.nullable(),
});

/** Who wrote it at run time, and when; null: the file alone. */
export const ORIGIN = z.object({
  file: z.boolean(),
  overlay: z
    .object({ author: z.string(), reason: z.string(), at: instant, expires: instant.nullable() })
    .nullable(),
  locked: z.boolean(),
});

export const DENIAL = z.object({ reason: z.string(), until: instant.nullable() });

export const KEY = z.object({
  id: decimalId,
  name: z.string().nullable(),
  tenant: z.string().nullable(),
  class: z.string().nullable(),
  policy: z.string().nullable(),
  expires: instant.nullable(),
  state: z.enum(['active', 'expired', 'denied']),
  denied: DENIAL.nullable(),
  origin: ORIGIN,
});

/** Of any list: rows whose name holds `q`. */
export const LIST_QUERY = z.object({
  q: text.optional(),
  limit,
  cursor: cursor.optional(),
  format: z.enum(['json', 'csv']).default('json'),
});

export const KEYS_QUERY = z.object({
  q: text.optional(),
  tenant: decimalId.optional(),
  limit,
  cursor: cursor.optional(),
  format: z.enum(['json', 'csv']).default('json'),
});
export const KEYS_PAGE = z.object({ rows: z.array(KEY), next: cursor.nullable() });

const reason = z.string().max(1_000).default('');
/** Of a write that has nothing else to say; it may come without a body. */
export const REASON_WISH = z.strictObject({ reason }).prefault({});
const keyClass = z.enum(['developer', 'application', 'agent']);

export const KEY_WISH = z.strictObject({
  name: z.string().min(1).max(200),
  tenant: decimalId,
  class: keyClass.default('application'),
  policy: z.string().max(200).optional(),
  expires: instant.optional(),
  vpc: decimalId.default('0'),
  reason,
});

/** `secret` is the virtual key, shown this one time. */
export const MINTED_KEY = z.object({ key: KEY, secret: z.string() });
export const KEY_CHANGE = z.strictObject({
  name: z.string().min(1).max(200).optional(),
  policy: z.string().max(200).nullable().optional(),
  expires: instant.nullable().optional(),
  reason,
});
/** Without `in_seconds`: now. */
export const EXPIRE_WISH = z.strictObject({
  reason,
  in_seconds: z.int().min(0).max(630_720_000).optional(),
});

export const DENY_WISH = z.strictObject({
  reason: z
    .string()
    .min(1)
    .max(200)
    .default('fraud')
    .describe('"spend" is answered 402, any other 403.'),
  seconds: z.int().min(1).max(630_720_000).optional(),
});

export const TENANT = z.object({
  id: decimalId,
  name: z.string().nullable(),
  policy: z.string().nullable(),
  denied: DENIAL.nullable(),
  origin: ORIGIN,
});
export const TENANTS_PAGE = z.object({ rows: z.array(TENANT), next: cursor.nullable() });

/** A table of the overlay that is told as TOML would hold it: policies, routes, prices, tenants. */
export const ENTRY = z.object({
  name: z.string(),
  /** What holds: the file's members with the overlay's over them. */
  value: z.record(z.string(), z.unknown()),
  /** Of each member that somebody wrote: `file` or `overlay`. */
  members: z.record(z.string(), z.enum(['file', 'overlay'])),
  origin: ORIGIN,
});
export const ENTRIES_PAGE = z.object({ rows: z.array(ENTRY), next: cursor.nullable() });
export const ENTRY_WISH = z.strictObject({
  value: z.record(z.string(), z.unknown()),
  expires: instant.optional(),
  reason,
});

export const BUDGET = z.object({
  scope: z.enum(['key', 'tenant']),
  id: z.string(),
  name: z.string().nullable(),
  window: z.enum(['day', 'month']),
  mode: z.string(),
  limit_usd: usd,
  spent_usd: usd,
  reserved_usd: usd,
  left_usd: usd,
  begins: instant,
  renews: instant,
  /** What it comes to at its end if it goes on so; null: too early to say. */
  projected_usd: usd.nullable(),
});
export const BUDGETS_PAGE = z.object({ rows: z.array(BUDGET), next: cursor.nullable() });

export const LIMIT = z.object({
  scope: z.string(),
  id: z.string(),
  unit: z.enum(['requests', 'tokens', 'in_flight']),
  limit: count,
  left: z.number(),
  /** Until it is whole again; 0 for what is in flight. */
  full_in_ms: z.number(),
});
export const LIMITS_PAGE = z.object({ rows: z.array(LIMIT), next: cursor.nullable() });

const TARGET = z.object({
  name: z.string(),
  state: z.enum(['closed', 'open', 'probing']),
  wait_ms: z.number(),
  ttft_ms: z.number(),
});
export const PROVIDER = z.object({
  name: z.string(),
  origin: z.string(),
  wire: z.string(),
  auth: z.string(),
  /** Pool keys by their last four characters. */
  keys: z.array(z.object({ last4: z.string(), rests_ms: z.number() })),
  state: z.enum(['closed', 'open', 'probing']),
  wait_ms: z.number(),
  targets: z.array(TARGET),
  /** Of the last day, as the ledger has it: attempts by status. */
  statuses: z.record(z.string(), count),
  attempts: count,
  mean_ms: z.number().nullable(),
});
export const PROVIDERS_QUERY = z.object({ format: z.enum(['json', 'csv']).default('json') });
export const PROVIDERS_PAGE = z.object({
  rows: z.array(PROVIDER),
  /** Why nobody knows the attempts of the last day just now, which are told as none then; null: they are known. */
  attempts_unknown: z.string().nullable(),
});

/** What the live screen shows of this node, each second; rates are of the last second, times to first byte of the last minute. */
export const NOW = z.object({
  at: instant,
  node: z.string(),
  in_flight: count,
  requests_total: count,
  requests_per_second: z.number(),
  errors_per_second: z.number(),
  refusals_per_second: z.number(),
  /** Input and output of virtual keys' answers that ended. */
  tokens_per_second: z.number(),
  ttft_ms: z.object({ p50: z.number().nullable(), p95: z.number().nullable() }),
  providers: z.array(
    z.object({
      name: z.string(),
      requests_per_second: z.number(),
      errors_per_second: z.number(),
      /** Requests that wait for a connection. */
      waiting: count,
    }),
  ),
  targets: z.array(TARGET),
  ready: z.boolean(),
  states: z.array(z.string()),
  facts_lost: count,
  ledger_up: z.boolean().nullable(),
});

export const REFUSALS = z.object({
  rows: z.array(
    z.object({ tenant: z.string(), key: z.string(), reason: z.string(), count, last: instant }),
  ),
});

export const NODE = z.object({
  name: z.string(),
  version: z.string(),
  started: instant,
  /** What answers questions of the past: this node's files, or the fleet's data base. */
  ledger: z.enum(['node', 'postgres', 'clickhouse']).nullable(),
  zone: z.string(),
  fleet: z.boolean(),
  /** Whether its history was made up by `npm run demo`. */
  demo: z.boolean(),
});

export const SESSION = z.object({
  name: z.string(),
  role: z.enum(['viewer', 'operator', 'owner']),
  tenants: z.array(z.string()).nullable(),
  via: z.enum(['token', 'oidc']),
  /** To be sent as `x-sluice-csrf` with each write of a session. */
  csrf: z.string().nullable(),
});

export const CONFIG = z.object({
  source: z.string().nullable(),
  /** The effective configuration as TOML, secrets as `***`. */
  effective: z.string(),
  /** Each value that is not the default, with what says so. */
  origins: z.array(
    z.object({
      key: z.string(),
      value: z.unknown(),
      origin: z.string(),
      place: z.string().nullable(),
    }),
  ),
  /** Entries of the overlay that a reload refused, and why. */
  refused: z.array(z.object({ key: z.string(), found: z.string(), expected: z.string() })),
  /** What the file says now and the running configuration does not yet; empty: nothing. */
  pending: z.array(z.object({ key: z.string(), running: z.string(), file: z.string() })),
});

export const AUDIT_ROW = z.object({
  at: instant,
  author: z.string(),
  role: z.string(),
  operation: z.string(),
  place: z.string(),
  reason: z.string(),
  status: count,
  before: z.unknown().nullable(),
  after: z.unknown().nullable(),
});
/** Where a page ended: the number of its last line. */
export const AUDIT_QUERY = z.object({
  limit,
  cursor: z
    .string()
    .regex(/^[1-9]\d{0,14}$/)
    .optional(),
  format: z.enum(['json', 'csv']).default('json'),
});
export const AUDIT_PAGE = z.object({ rows: z.array(AUDIT_ROW), next: cursor.nullable() });

export const EXPLAIN_WISH = z.strictObject({
  model: z.string().min(1).max(256),
  wire: z.enum(['openai', 'anthropic']).default('openai'),
  key: decimalId.optional(),
  tenant: decimalId.optional(),
  class: keyClass.default('application'),
  max_cost_usd: usd.optional(),
  seed: z.int().min(0).max(999_999_999).default(1),
  /** A request's body, as JSON. */
  body: z.record(z.string(), z.unknown()).optional(),
  path: z
    .string()
    .max(256)
    .optional()
    .describe('Where the body is sent, as /v1/embeddings; without it the body tells.'),
  strict: z
    .boolean()
    .default(false)
    .describe('As x-sluice-strict: what would lose something on its way is passed over.'),
});

/** Of a name in `x-sluice-rehearse`: nothing that ends one there. */
const faultTarget = z.string().regex(/^[\x21-\x2b\x2d-\x3c\x3e-\x7e]{1,200}$/);

export const REHEARSE_WISH = z.strictObject({
  model: z.string().min(1).max(256),
  key: z
    .string()
    .min(1)
    .max(200)
    .describe('A virtual key, whole, whose policy says rehearse = true; it is kept nowhere.'),
  faults: z
    .array(
      z.strictObject({
        target: faultTarget.describe('A provider, or provider/model.'),
        fault: z.string().max(64).describe('503, 429;retry-after=3, stall-2: see sluice mock.'),
      }),
    )
    .min(1)
    .max(16),
  reason,
});

export const REHEARSED = z.object({
  /** As the caller got it, and from which target; null: from the gateway itself. */
  status: count,
  target: z.string().nullable(),
  /** In their order; `came` is a status, or what happened in its place. */
  attempts: z.array(z.object({ target: z.string(), came: z.string() })),
  /** Whether the answer ended as it should. */
  whole: z.boolean(),
  took_ms: count,
  /** Of a refusal, what it says; else empty. */
  says: z.string(),
});

export const EXPLAINED = z.object({
  kind: z.enum(['route', 'target', 'plain', 'unknown']),
  route: z.string().nullable(),
  /** Null: it would be served; else the rejection's status and code. */
  refused: z.object({ status: count, code: z.string(), says: z.string() }).nullable(),
  targets: z.array(
    z.object({
      name: z.string(),
      origin: z.string(),
      through: z.array(z.string()),
      fallback: count,
      /** Null: it stands in the plan, at its place; else why it is left out. */
      left_out: z.string().nullable(),
      wait_ms: z.number(),
      most_usd: usd.nullable(),
      translation: z.string().nullable(),
    }),
  ),
  /** What else holds, a sentence each: retries, times, what binds the body. */
  notes: z.array(z.string()),
  limits: z.array(z.string()),
  budgets: z.array(z.string()),
});
