import { availableParallelism } from 'node:os';
import type { z } from 'zod';
import { KEY_CLASSES } from '../keys/key-class.ts';
import type { OverlayEntry } from '../overlay/overlay-entry.ts';
import { modelProblems, routeProblems } from '../plan/route-table.ts';
import { policyProblems } from '../policy/policy-problems.ts';
import type { PolicyConfig } from '../policy/policy-settings.ts';
import type { PricingConfig } from '../prices/price-book.ts';
import { type ProviderOverride, providerTable } from '../providers/providers.ts';
import { ADMIN_KEYS, ADMIN_TOKEN_KEYS, OIDC_KEYS } from './admin-schema.ts';
import { checkTogether, namedFiles } from './config-checks.ts';
import { type Config, type ConfigDocument, configFromDocument } from './config-document.ts';
import { egressOf, proxyProblems } from './config-egress.ts';
import { guardProblems, guardsOf } from './config-guards.ts';
import { layOverlay, takeLocks, type WrittenEntries, writtenEntries } from './config-overlay.ts';
import { readPricing } from './config-prices.ts';
import { ConfigError, type ConfigProblem, nearest } from './config-problem.ts';
import { EGRESS_KEYS, KEYS, SETTINGS, type Settings } from './config-schema.ts';
import { type FileShape, problemAt, type RawConfig, readSources } from './config-source.ts';
import { fileSignature } from './file-signature.ts';
import { GUARD_KEYS } from './guard-schema.ts';
import { inFlightCapacity } from './in-flight-capacity.ts';
import { MODEL_KEYS } from './model-schema.ts';
import {
  KEY_KEYS,
  LIMITS_KEYS,
  POLICY_KEYS,
  POLICY_KEYS_TO_COME,
  TENANT_KEYS,
} from './policy-schema.ts';
import { ROUTE_KEYS } from './route-schema.ts';

export type { ConfigProblem, ProviderOverride };
export { ConfigError };

/** What to load: an explicit file, and the environment to read overrides and references from. */
export interface ConfigSource {
  readonly path?: string;
  /** The file that was found by its place when this was loaded before: once there, it must stay. */
  readonly found?: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The keys that are wanted: everything else is passed over unread, its references and mistakes included. */
  readonly only?: readonly string[];
  /** What was made at run time, in the order in which it was written. */
  readonly overlay?: readonly OverlayEntry[];
}

/** A configuration in both forms, and the file it came from (null: defaults and environment only). */
export interface LoadedConfig {
  readonly document: ConfigDocument;
  readonly config: Config;
  readonly source: string | null;
  readonly fileShape: FileShape;
  /** Every file that the configuration came from (itself, what is behind `file:`, what keys name), and its signature. */
  readonly files: ReadonlyMap<string, string>;
  readonly overlay: LaidOverlay;
  /** Of each value that somebody wrote, by `key` or `table.entry`: the file or `environment`, and the key or variable there. */
  readonly origins: ReadonlyMap<string, { readonly file: string; readonly key: string }>;
}

/** What became of what was made at run time. */
export interface LaidOverlay {
  /** `table.entry` of the file that cannot be overridden. */
  readonly locked: ReadonlySet<string>;
  /** `table.entry` to what counts there. */
  readonly counting: ReadonlyMap<string, OverlayEntry>;
  /** Entries that were passed over because the file has locked theirs. */
  readonly passedOver: readonly ConfigProblem[];
  /** What the file alone says. */
  readonly written: WrittenEntries;
}

/**
 * Reads, merges and validates the configuration. Defaults give way to the file (`path`, else
 * `AI_CONFIG`, else `./config.toml` if there is one), the file to `AI_<KEY>` variables.
 * Relative paths start at the working directory.
 * @throws ConfigError with every problem found
 */
export function loadConfig({ path, found, env, only, overlay }: ConfigSource): LoadedConfig {
  const raw = readSources(path, found ?? null, env, only ?? null);
  takeLocks(raw);
  const written = writtenEntries(raw);
  const passedOver = layOverlay(raw, overlay ?? [], Date.now());
  for (const path of namedFiles(raw)) raw.files.set(path, fileSignature(path));
  const result = SETTINGS.safeParse(Object.fromEntries(raw.values));
  const priced = result.data === undefined ? null : readPricing(raw, result.data);
  const problems = [
    ...raw.problems,
    ...(result.error?.issues ?? []).flatMap((issue) => schemaProblems(raw, issue)),
    ...checkTogether(raw),
    ...proxyProblems(env),
    ...(result.data === undefined ? [] : checkRoutes(raw, result.data)),
    ...(result.data === undefined ? [] : guardProblems(raw, result.data)),
    ...(priced?.problems ?? []),
  ];
  if (problems.length > 0 || result.data === undefined || priced === null)
    throw new ConfigError(problems, raw.files);
  const document = documentOf(result.data, priced.pricing, env);
  const config = configFromDocument(document);
  const { source, fileShape, files, origins, locked, overlaid: counting } = raw;
  const laid = { locked, counting, passedOver, written };
  return { document, config, source, fileShape, files, origins, overlay: laid };
}

/** What is wrong between routes, and with names of models: loops, chains too deep, names that are nothing. */
function checkRoutes(raw: RawConfig, settings: Settings): readonly ConfigProblem[] {
  const names = [
    ...new Set([
      ...providerTable([]).map(({ name }) => name),
      ...settings.provider_authorities.keys(),
    ]),
  ];
  const { provider_aliases: aliases, routes, models } = settings;
  return [
    ...routeProblems(names, aliases, routes),
    ...modelProblems(names, aliases, models.keys()),
    ...policyProblems(policiesOf(settings), {
      providers: names,
      aliases,
      routes,
      guards: [...settings.guards.keys()],
    }),
  ].map(({ path, expected, found }) => problemAt(raw, path, expected, found));
}

/** Of the tables whose entries are tables. */
const KEYS_OF: ReadonlyMap<PropertyKey | undefined, readonly string[]> = new Map([
  ['providers', EGRESS_KEYS],
  ['models', MODEL_KEYS],
  ['routes', ROUTE_KEYS],
  ['policies', POLICY_KEYS],
  ['guards', GUARD_KEYS],
  ['keys', KEY_KEYS],
  ['tenants', TENANT_KEYS],
  ['limits', LIMITS_KEYS],
  ['admin', ADMIN_KEYS],
]);

function schemaProblems(raw: RawConfig, issue: z.core.$ZodIssue): readonly ConfigProblem[] {
  if (issue.code !== 'unrecognized_keys') return [problemAt(raw, issue.path, issue.message)];
  const known = knownKeys(issue.path);
  return issue.keys.map((key) => {
    if (issue.path[0] === 'policies' && POLICY_KEYS_TO_COME.has(key)) {
      const expected = 'no such line: it comes later, and nothing would enforce it now';
      return problemAt(raw, [...issue.path, key], expected);
    }
    return problemAt(
      raw,
      [...issue.path, key],
      `${nearest(key, known)} (nearest)`,
      'an unknown key',
    );
  });
}

function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  if (path.length === 0) return KEYS;
  if (path[0] === 'admin' && path.length > 1)
    return path[1] === 'oidc' ? OIDC_KEYS : ADMIN_TOKEN_KEYS;
  const isOfClasses = path[1] === 'classes' || path[1] === 'shares';
  if (path[0] === 'limits' && isOfClasses && path.length === 2) return KEY_CLASSES;
  return KEYS_OF.get(path[0]) ?? EGRESS_KEYS;
}

function policiesOf({ policies, keys, tenants, classes, limits }: Settings): PolicyConfig {
  return { policies, keys, tenants, classes, limits };
}

function documentOf(
  settings: Settings,
  pricing: PricingConfig,
  env: ConfigSource['env'],
): ConfigDocument {
  const providers = providersOf(settings);
  return {
    listen: settings.listen,
    metricsListen: settings.metrics_listen,
    workers: settings.workers === 'auto' ? availableParallelism() : settings.workers,
    tlsCertFile: settings.tls_cert_file,
    tlsKeyFile: settings.tls_key_file,
    caFile: settings.ca_file,
    providers,
    transport: settings.transport,
    http2: settings.http2,
    proxyUrl: settings.proxy_url,
    noProxy: settings.no_proxy,
    maxProviderConnections: settings.max_provider_connections,
    maxProviderQueue: settings.max_provider_queue,
    ...egressOf(settings, providers, env),
    poolKeys: [...settings.pool_keys],
    signingKeys: [...settings.signing_keys].map(([kid, key]) => [Number(kid), key]),
    rehearseAuthority: settings.rehearse_authority,
    natsUrl: settings.nats_url,
    natsCredsFile: settings.nats_creds_file,
    configBucket: settings.config_bucket,
    snapshotPath: settings.snapshot_path,
    dataDir: settings.data_dir,
    ledger: settings.ledger,
    ledgerRetentionDays: settings.ledger_retention_days,
    ledgerUrl: settings.ledger_url,
    foreignState: settings.foreign_state,
    rateLimitRps: settings.rate_limit_rps,
    byoRateLimitRps: settings.byo_rate_limit_rps,
    verifyRateLimitRps: settings.verify_rate_limit_rps,
    managedEndpoints: settings.managed_endpoints,
    managedPrefixes: settings.managed_prefixes,
    corsOrigins: settings.cors_origins,
    maxRequestBodyBytes: settings.max_request_body_bytes,
    maxInFlight: settings.max_in_flight === 'auto' ? inFlightCapacity() : settings.max_in_flight,
    connectTimeoutMs: settings.connect_timeout_secs,
    firstByteTimeoutMs: settings.first_byte_timeout_secs,
    idleTimeoutMs: settings.idle_timeout_secs,
    clientStallTimeoutMs: settings.client_stall_timeout_secs,
    uploadTimeoutMs: settings.upload_timeout_secs,
    shutdownGraceMs: settings.shutdown_grace_secs,
    accessLog: settings.access_log,
    logLevel: settings.log_level,
    usageSpillPath: settings.usage_spill_path,
    factsLost: settings.facts_lost,
    allowEmpty: settings.allow_empty,
    pricesFile: settings.prices_file,
    pricing,
    policy: policiesOf(settings),
    guards: guardsOf(settings),
    admin: settings.admin,
    budgetWebhookUrl: settings.budget_webhook_url,
    cacheMaxBytes: settings.cache_max_mb * 2 ** 20,
    redisUrl: settings.redis_url,
    budgets: {
      timeZone: settings.budget_time_zone,
      status: settings.budget_status,
      withoutNats: settings.budget_without_nats,
      assumedOutputTokens: settings.assumed_output_tokens,
    },
    routing: {
      aliases: settings.provider_aliases,
      routes: settings.routes,
      models: settings.models,
      replayMaxBytes: settings.replay_max_bytes,
      replayMemoryBytes: settings.replay_memory_bytes,
      holdMemoryBytes: settings.hold_memory_bytes,
      holdMs: settings.hold_secs,
      retryAfterMaxMs: settings.retry_after_max_secs,
      breaker: {
        failures: settings.breaker_failures,
        share: settings.breaker_share,
        windowMs: settings.breaker_window_secs,
        openMs: settings.breaker_open_secs,
        openMaxMs: settings.breaker_open_max_secs,
        probeMs: settings.breaker_probe_secs,
        refusedKeyMs: settings.refused_key_rest_secs,
      },
    },
  };
}

/** One row for each provider that any of these tables names. */
function providersOf(settings: Settings): readonly ProviderOverride[] {
  const {
    provider_authorities,
    provider_dialects,
    provider_auth_schemes,
    provider_stream_usage,
    provider_wires,
  } = settings;
  const names = new Set([
    ...provider_authorities.keys(),
    ...provider_dialects.keys(),
    ...provider_auth_schemes.keys(),
    ...provider_stream_usage.keys(),
    ...provider_wires.keys(),
  ]);
  return [...names].map((name) => {
    const authority = provider_authorities.get(name);
    const dialect = provider_dialects.get(name);
    const authScheme = provider_auth_schemes.get(name);
    const streamUsage = provider_stream_usage.get(name);
    const wires = provider_wires.get(name);
    return {
      name,
      ...(authority === undefined ? {} : { authority }),
      ...(dialect === undefined ? {} : { dialect }),
      ...(authScheme === undefined ? {} : { authScheme }),
      ...(streamUsage === undefined ? {} : { streamUsage }),
      ...(wires === undefined ? {} : { wires }),
    };
  });
}
