import { z } from 'zod';
import { isTimeZone } from '../budget/budget-calendar.ts';
import { readKeyBytes } from '../keys/signing-keys.ts';
import { parseProxyUrl } from '../providers/proxy.ts';
import { RATE_LIMIT_MAX_RPS } from '../rate-limits.ts';
import { ADMIN } from './admin-schema.ts';
import { isAuthority, parseListen } from './config-address.ts';
import { GUARDS } from './guard-schema.ts';
import { MODEL } from './model-schema.ts';
import { CLASSES_TABLE, KEY, LIMITS, POLICY, TENANT } from './policy-schema.ts';
import { publicKeyFault } from './public-key.ts';
import { ROUTE } from './route-schema.ts';

/** Longest time a Node timer can hold (2^31 - 1 ms), in whole seconds; more would fire at once. */
const MAX_TIME_SECONDS = 2_147_483;
/** Counters and buckets live in 32-bit shared memory. */
const MAX_COUNT = 1_000_000_000;
/** Threads; far above any machine's cores, so that only a slip of the keyboard exceeds it. */
const MAX_WORKERS = 1024;
const UNIT_BYTES: ReadonlyMap<string, number> = new Map([
  ['KiB', 2 ** 10],
  ['MiB', 2 ** 20],
  ['GiB', 2 ** 30],
]);

/** What a key holds, so that text from a variable or a reference can become that. */
export type Shape = 'text' | 'number' | 'boolean' | 'list' | 'table';

/** A string that satisfies a condition. Every schema here says what it expects in the operator's words. */
function text(expected: string, accepts: (value: string) => boolean) {
  return z.string({ error: expected }).refine(accepts, { error: expected });
}

function address() {
  const expected = 'host:port or [IPv6]:port, with a port from 0 to 65535';
  return text(expected, (value) => parseListen(value) !== null).transform(
    (value) => parseListen(value) ?? { host: value, port: 0 },
  );
}

/** A path may not look like a reference: the printed configuration must read back as itself. */
function path() {
  return text('a path without control characters', isPath).nullable();
}

function isPath(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
  return /^[^\x00-\x1f\x7f]+$/.test(value) && !value.startsWith('file:') && !value.includes('${');
}

/** Seconds, possibly fractional, to whole milliseconds. */
function seconds(meaningOfZero: string) {
  const expected = `seconds: 0 (${meaningOfZero}), or a number from 0.001 to ${MAX_TIME_SECONDS}`;
  return z
    .number({ error: expected })
    .refine((value) => value === 0 || (value >= 0.001 && value <= MAX_TIME_SECONDS), {
      error: expected,
    })
    .transform((value) => Math.round(value * 1000));
}

/** Ten years: each day that is kept is a file. */
const LEDGER_RETENTION_MAX_DAYS = 3_660;

function count(unit: string, max = MAX_COUNT) {
  const expected = `${unit}: 0 (off), or a whole number up to ${max}`;
  return z.int({ error: expected }).min(0, { error: expected }).max(max, { error: expected });
}

function byteSize() {
  const expected = 'bytes: 0 (no limit), a whole number, or a text like "200MiB" (KiB, MiB, GiB)';
  return z
    .union([z.int({ error: expected }).min(0, { error: expected }), z.string()], {
      error: expected,
    })
    .transform((value) => (typeof value === 'number' ? value : bytesOf(value)))
    .pipe(z.int({ error: expected }));
}

function bytesOf(value: string): number {
  const match = /^(\d{1,15}) ?(KiB|MiB|GiB)$/.exec(value);
  if (match === null) return Number.NaN;
  return Number(match[1]) * (UNIT_BYTES.get(match[2] ?? '') ?? Number.NaN);
}

function share() {
  const expected = 'a share above 0, up to 1';
  return z.number({ error: expected }).gt(0, { error: expected }).max(1, { error: expected });
}

function workers() {
  const expected = `"auto" (one for each core), or a whole number from 1 to ${MAX_WORKERS}`;
  const number = z.int({ error: expected }).min(1, { error: expected });
  return z.union([z.literal('auto'), number.max(MAX_WORKERS, { error: expected })], {
    error: expected,
  });
}

function inFlight() {
  const expected = `requests: "auto" (what descriptors and memory carry), 0 (off), or a whole number up to ${MAX_COUNT}`;
  const number = z.int({ error: expected }).min(0, { error: expected });
  return z.union([z.literal('auto'), number.max(MAX_COUNT, { error: expected })], {
    error: expected,
  });
}

function table<Value extends z.ZodType>(entries: string, value: Value) {
  return z.map(z.string(), value, { error: `a table of ${entries}` }).prefault(new Map());
}

function boolean() {
  return z.boolean({ error: 'true or false' });
}

/** A key goes into an HTTP field value (RFC 9110 §5.5), and none holds a space. */
function poolKeys() {
  const key = text('a key of visible ASCII characters', (value) => /^[\x21-\x7e]+$/.test(value));
  const list = z
    .array(key, { error: 'a key, or a list of keys' })
    .min(1, { error: 'at least one key' });
  return table(
    'name = "key" or name = ["key", "key"]',
    z.preprocess((value) => (typeof value === 'string' ? [value] : value), list),
  );
}

function signingKeys() {
  const expected =
    'an Ed25519 public key: 32 bytes in base64, 44 characters, as "sluice keygen" prints it';
  const key = z.string({ error: expected }).transform((value, context) => {
    const bytes = readKeyBytes(value);
    const fault = bytes === null ? expected : publicKeyFault(bytes);
    if (fault === null && bytes !== null) return bytes;
    context.addIssue({ code: 'custom', message: fault ?? expected });
    return z.NEVER;
  });
  return table('kid = "base64 public key"', key);
}

/** What a managed key may reach is matched in these characters only (`admit/endpoint.ts`). */
const PLAIN_PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._:@~-]+)+$/;

function managedEndpoints() {
  const expected =
    'a path suffix like "/rerank": segments of letters, digits and ._:@~-, no trailing slash';
  return z.array(
    text(expected, (value) => PLAIN_PATH.test(value)),
    { error: 'a list of path suffixes' },
  );
}

function managedPrefixes() {
  const expected =
    'a path prefix like "/v2" or "/deployments/{name}": segments of letters, digits and ._:@~-, no trailing slash';
  return z.array(
    text(expected, (value) => PLAIN_PATH.test(value.replaceAll('/{name}', '/name'))),
    { error: 'a list of path prefixes' },
  );
}

/** Other wires' callers are written for the provider's own, or for chat: one of them is always there. */
function wires() {
  const expected =
    '["openai-chat"] or ["openai-chat", "openai-responses"], "gemini" or "ollama" beside them, or one of these two alone';
  const wire = z.enum(['openai-chat', 'openai-responses', 'gemini', 'ollama'], { error: expected });
  return z.array(wire, { error: expected }).refine(
    (spoken) => {
      const own = spoken.filter((one) => one === 'gemini' || one === 'ollama');
      const isOwnAlone = own.length === 1 && spoken.length === 1;
      return isOwnAlone || (own.length < 2 && spoken.includes('openai-chat'));
    },
    { error: expected },
  );
}

function corsOrigins() {
  const expected =
    'an origin as browsers write it, like "https://app.example" or "http://localhost:3000", or "*"';
  return z.array(
    text(expected, (value) => value === '*' || isOrigin(value)),
    { error: 'a list of origins' },
  );
}

/** Lower case, no port that the scheme has anyway, no path: it is compared byte by byte. Extensions have schemes of their own. */
function isOrigin(value: string): boolean {
  if (/^https?:/i.test(value)) return URL.parse(value)?.origin === value;
  return /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+$/.test(value);
}

/** Credentials in a URL would be printed with it; they have a key of their own. */
function natsUrl() {
  const expected =
    'nats://host[:port] or tls://host[:port], several separated by commas; credentials go into nats_creds_file';
  const one = /^(?:nats|tls):\/\/(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?$/;
  return text(expected, (value) => value.split(',').every((url) => one.test(url))).nullable();
}

/** What `proxy_url` expects, and the variables that say the same. */
export const PROXY_URL_EXPECTED =
  'http://[user:password@]host[:port] or https://…, a proxy that knows CONNECT; or "none"';

function proxyUrl() {
  return text(
    PROXY_URL_EXPECTED,
    (value) => isOff(value) || parseProxyUrl(value) !== null,
  ).transform((value) => (isOff(value) ? 'none' : value));
}

function isOff(value: string): boolean {
  return value === 'none' || value === '';
}

function noProxy() {
  return z.array(
    text('a host name, an address, a network like 10.0.0.0/8, or "*"', (value) =>
      /^[^\s,]+$/.test(value),
    ),
    { error: 'a list of hosts' },
  );
}

function transport() {
  return z.enum(['h1', 'undici'], { error: '"h1" or "undici"' });
}

/** Of answers in memory: what is more than a machine has is a slip of the keyboard. */
const CACHE_MAX_MB = 65_536;

function cacheSize() {
  const expected = `MiB: a whole number from 1 to ${CACHE_MAX_MB}`;
  return z
    .int({ error: expected })
    .min(1, { error: expected })
    .max(CACHE_MAX_MB, { error: expected });
}

function budgetStatus() {
  return z.union([z.literal(402), z.literal(403), z.literal(429)], { error: '402, 403 or 429' });
}

const DATABASE_PROTOCOLS: ReadonlySet<string> = new Set([
  'postgres:',
  'postgresql:',
  'http:',
  'https:',
]);

/** It has a password: printed it is masked. */
function databaseUrl() {
  return text(
    'postgres://[user:password@]host[:port]/database of a Postgres, or http(s)://… of a ClickHouse',
    (value) => {
      const url = URL.parse(value);
      return url !== null && url.hostname !== '' && DATABASE_PROTOCOLS.has(url.protocol);
    },
  ).nullable();
}

/** It has a password: printed it is masked. */
function redisUrl() {
  return text('redis://[user:password@]host[:port][/number], or rediss://… over TLS', (value) => {
    const url = URL.parse(value);
    return url !== null && url.hostname !== '' && /^rediss?:$/.test(url.protocol);
  }).nullable();
}

/** Some webhooks are secret by their path: printed they are masked. */
function webhookUrl() {
  return text('an http:// or https:// URL', (value) =>
    /^https?:$/.test(URL.parse(value)?.protocol ?? ''),
  ).nullable();
}

const AUTHORITY = text(
  'host:port, http://host:port or https://host[:port], IPv6 in brackets, no path',
  isAuthority,
);
const BUCKET = text('a bucket name of letters, digits, - and _', (name) =>
  /^[A-Za-z0-9_-]+$/.test(name),
);

/** What may be said for one provider under [providers.NAME]: its own way out. */
const EGRESS = z.strictObject(
  {
    transport: transport().optional(),
    http2: boolean().optional(),
    proxy_url: proxyUrl().optional(),
    ca_file: path().optional(),
    client_cert_file: path().optional(),
    client_key_file: path().optional(),
    connect_timeout_secs: seconds('no limit').optional(),
    first_byte_timeout_secs: seconds('no limit').optional(),
    idle_timeout_secs: seconds('no limit').optional(),
    max_provider_connections: count('connections').optional(),
    max_provider_queue: count('requests').optional(),
  },
  {
    error: (issue) => (issue.code === 'invalid_type' ? 'a table like [providers.NAME]' : undefined),
  },
);

/** The keys of a provider's own table, in the order in which they are documented. */
export const EGRESS_KEYS: readonly string[] = Object.keys(EGRESS.shape);

/** Every key of the configuration, its default, and what it becomes. Unknown keys are refused. */
export const SETTINGS = z.strictObject({
  listen: address().prefault('0.0.0.0:8080'),
  metrics_listen: address().prefault('127.0.0.1:9090'),
  workers: workers().prefault('auto'),
  tls_cert_file: path().prefault(null),
  tls_key_file: path().prefault(null),
  ca_file: path().prefault(null),
  max_request_body_bytes: byteSize().prefault('200MiB'),
  max_in_flight: inFlight().prefault('auto'),
  connect_timeout_secs: seconds('no limit').prefault(10),
  first_byte_timeout_secs: seconds('no limit').prefault(600),
  idle_timeout_secs: seconds('no limit').prefault(600),
  client_stall_timeout_secs: seconds('no limit').prefault(600),
  upload_timeout_secs: seconds('no limit').prefault(60),
  shutdown_grace_secs: seconds('cut at once').prefault(600),
  transport: transport().prefault('h1'),
  http2: boolean().prefault(false),
  proxy_url: proxyUrl().nullable().prefault(null),
  no_proxy: noProxy().prefault([]),
  max_provider_connections: count('connections').prefault(0),
  max_provider_queue: count('requests').prefault(128),
  access_log: boolean().prefault(false),
  log_level: z
    .enum(['debug', 'info', 'warn', 'error'], { error: '"debug", "info", "warn" or "error"' })
    .prefault('info'),
  managed_endpoints: managedEndpoints().prefault([]),
  managed_prefixes: managedPrefixes().prefault([]),
  cors_origins: corsOrigins().prefault([]),
  rate_limit_rps: count('requests per second', RATE_LIMIT_MAX_RPS).prefault(100),
  byo_rate_limit_rps: count('requests per second', RATE_LIMIT_MAX_RPS).prefault(1000),
  verify_rate_limit_rps: count('checks per second', RATE_LIMIT_MAX_RPS).prefault(1000),
  usage_spill_path: path().prefault(null),
  facts_lost: z.enum(['count', 'refuse'], { error: '"count" or "refuse"' }).prefault('count'),
  nats_url: natsUrl().prefault(null),
  nats_creds_file: path().prefault(null),
  config_bucket: BUCKET.prefault('ai-gateway'),
  snapshot_path: path().prefault(null),
  data_dir: path().prefault(null),
  ledger: boolean().prefault(true),
  ledger_url: databaseUrl().prefault(null),
  ledger_retention_days: count('days', LEDGER_RETENTION_MAX_DAYS).prefault(90),
  foreign_state: z.enum(['refuse', 'allow'], { error: '"refuse" or "allow"' }).prefault('refuse'),
  allow_empty: boolean().prefault(false),
  provider_authorities: table('name = "authority"', AUTHORITY),
  provider_dialects: table(
    'name = "dialect"',
    z.enum(['openai', 'anthropic'], { error: '"openai" or "anthropic"' }),
  ),
  provider_auth_schemes: table(
    'name = "scheme"',
    z.enum(['bearer', 'x-api-key', 'api-key', 'x-goog-api-key', 'none'], {
      error: '"bearer", "x-api-key", "api-key", "x-goog-api-key" or "none"',
    }),
  ),
  provider_stream_usage: table(
    'name = "ask" or "sent"',
    z.enum(['ask', 'sent'], { error: '"ask" or "sent"' }),
  ),
  provider_wires: table('name = ["openai-chat"]', wires()),
  providers: table('provider = its own table', EGRESS),
  provider_aliases: table(
    'alias = "provider"',
    text('the name of a provider', (name) => /^[a-z0-9][a-z0-9_-]*$/.test(name)),
  ),
  routes: table('NAME = { targets = [...] }', ROUTE),
  models: table('"provider/model" = what is known of it', MODEL),
  prices_file: path().prefault(null),
  // Read where their problems can be told with a path of their own (config-prices.ts).
  prices: table('"provider/model" = { input = "0.20", output = "0.60" }', z.unknown()),
  policies: table('NAME = what the policy says', POLICY),
  guards: GUARDS,
  keys: table('ID = { policy = "NAME" }', KEY),
  tenants: table('ID = { policy = "NAME" }', TENANT),
  classes: CLASSES_TABLE,
  limits: LIMITS,
  budget_time_zone: text('a time zone like "UTC" or "Europe/Berlin"', isTimeZone).prefault('UTC'),
  budget_status: budgetStatus().prefault(402),
  budget_without_nats: z
    .enum(['closed', 'open'], { error: '"closed" or "open"' })
    .prefault('closed'),
  budget_webhook_url: webhookUrl().prefault(null),
  assumed_output_tokens: count('tokens').prefault(0),
  cache_max_mb: cacheSize().prefault(256),
  redis_url: redisUrl().prefault(null),
  replay_max_bytes: byteSize().prefault('32MiB'),
  replay_memory_bytes: byteSize().prefault('256MiB'),
  hold_secs: seconds('nothing is held').prefault(3),
  hold_memory_bytes: byteSize().prefault('256MiB'),
  retry_after_max_secs: seconds('no wait in place').prefault(2),
  breaker_failures: count('failures').prefault(5),
  breaker_share: share().prefault(0.5),
  breaker_window_secs: seconds('off').prefault(10),
  breaker_open_secs: seconds('off').prefault(5),
  breaker_open_max_secs: seconds('off').prefault(120),
  breaker_probe_secs: seconds('not waited for').prefault(60),
  refused_key_rest_secs: seconds('no rest').prefault(600),
  rehearse_authority: AUTHORITY.nullable().prefault(null),
  pool_keys: poolKeys(),
  signing_keys: signingKeys(),
  admin: ADMIN.prefault({}),
});

/** A validated configuration in the words of the file, times in ms and sizes in bytes. */
export type Settings = z.output<typeof SETTINGS>;

/** The keys that are not text. */
export const SHAPES: ReadonlyMap<string, Shape> = new Map<keyof Settings, Shape>([
  ['workers', 'number'],
  ['max_request_body_bytes', 'number'],
  ['max_in_flight', 'number'],
  ['connect_timeout_secs', 'number'],
  ['first_byte_timeout_secs', 'number'],
  ['idle_timeout_secs', 'number'],
  ['client_stall_timeout_secs', 'number'],
  ['upload_timeout_secs', 'number'],
  ['shutdown_grace_secs', 'number'],
  ['rate_limit_rps', 'number'],
  ['budget_status', 'number'],
  ['assumed_output_tokens', 'number'],
  ['cache_max_mb', 'number'],
  ['byo_rate_limit_rps', 'number'],
  ['verify_rate_limit_rps', 'number'],
  ['http2', 'boolean'],
  ['no_proxy', 'list'],
  ['max_provider_connections', 'number'],
  ['max_provider_queue', 'number'],
  ['access_log', 'boolean'],
  ['allow_empty', 'boolean'],
  ['managed_endpoints', 'list'],
  ['managed_prefixes', 'list'],
  ['cors_origins', 'list'],
  ['provider_authorities', 'table'],
  ['provider_dialects', 'table'],
  ['provider_auth_schemes', 'table'],
  ['provider_stream_usage', 'table'],
  ['provider_wires', 'table'],
  ['providers', 'table'],
  ['provider_aliases', 'table'],
  ['routes', 'table'],
  ['prices', 'table'],
  ['models', 'table'],
  ['policies', 'table'],
  ['guards', 'table'],
  ['keys', 'table'],
  ['tenants', 'table'],
  ['classes', 'table'],
  ['replay_max_bytes', 'number'],
  ['replay_memory_bytes', 'number'],
  ['hold_secs', 'number'],
  ['hold_memory_bytes', 'number'],
  ['retry_after_max_secs', 'number'],
  ['breaker_failures', 'number'],
  ['breaker_share', 'number'],
  ['breaker_window_secs', 'number'],
  ['breaker_open_secs', 'number'],
  ['breaker_open_max_secs', 'number'],
  ['breaker_probe_secs', 'number'],
  ['refused_key_rest_secs', 'number'],
  ['pool_keys', 'table'],
  ['signing_keys', 'table'],
  ['admin', 'table'],
]);

/** The tables whose values are never quoted: one holds keys, and a private key may slip into the other. */
const SECRET_TABLES: ReadonlySet<string> = new Set(['pool_keys', 'signing_keys']);

/** Whether what stands at a path is never quoted: keys, and URLs that may hold a password. */
export function isSecretAt(path: readonly PropertyKey[]): boolean {
  return (
    SECRET_TABLES.has(String(path[0])) ||
    path.at(-1) === 'proxy_url' ||
    path.at(-1) === 'budget_webhook_url' ||
    path.at(-1) === 'ledger_url' ||
    path.at(-1) === 'redis_url' ||
    path.at(-1) === 'client_secret'
  );
}

/** Every top-level key, in the order in which they are documented. */
export const KEYS: readonly string[] = Object.keys(SETTINGS.shape);
