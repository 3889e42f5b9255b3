import { availableParallelism } from 'node:os';
import { nanoUsd } from '../budget/budget-refusals.ts';
import type { GuardMade } from '../guard/guard-config.ts';
import type { Limits } from '../policy/limit-settings.ts';
import type { PolicyConfig } from '../policy/policy-settings.ts';
import { parseProxyUrl, shownProxy } from '../providers/proxy.ts';
import { MASK, type Secret } from '../secret.ts';
import { formatListen } from './config-address.ts';
import type { Config, RoutingConfig } from './config-document.ts';
import { SETTINGS, type Settings } from './config-schema.ts';
import { inFlightCapacity } from './in-flight-capacity.ts';
import { priceTexts } from './price-print.ts';

type Printable = string | number | boolean | null | readonly string[];
type Table = readonly (readonly [name: string, value: Printable])[];

const DEFAULTS: Settings = SETTINGS.parse({});

/**
 * The effective configuration as TOML that `loadConfig` reads back: every key, pool keys as
 * `"***"`, a comment behind each value that is not the default. What is unset is a comment.
 * @param locked `table.entry` of what cannot be overridden at run time
 */
export function printConfig(config: Config, locked: ReadonlySet<string> = new Set()): string {
  const lines = scalarsOf(config).map(([key, value, fallback]) => scalarLine(key, value, fallback));
  const tables = tablesOf(config).map(([name, rows]) => tableText(name, rows));
  const text = [
    ...lines,
    ...tables,
    ...routeTexts(config.routing),
    ...modelTexts(config.routing),
    ...priceTexts(config.pricing),
    ...policyTexts(config.policy),
    ...guardTexts(config.guards),
    ...adminTexts(config.admin),
    '',
  ].join('\n');
  return [...locked].reduce((before, place) => {
    const dot = place.indexOf('.');
    const heading = `\n[${place.slice(0, dot)}.${JSON.stringify(place.slice(dot + 1))}]\n`;
    return before.replace(heading, () => `${heading}locked = true\n`);
  }, text);
}

type ScalarRow = readonly [key: keyof Settings, value: Printable, fallback: Printable];

function scalarsOf(config: Config): readonly ScalarRow[] {
  const { listen, metrics_listen } = DEFAULTS;
  const seconds = (ms: number) => ms / 1000;
  const row = (key: keyof Settings, value: Printable, fallback: unknown): ScalarRow => [
    key,
    value,
    isPrintable(fallback) ? fallback : null,
  ];
  const time = (key: TimeKey, ms: number) => row(key, seconds(ms), seconds(DEFAULTS[key]));
  const plain = (key: keyof Settings, value: Printable) => row(key, value, DEFAULTS[key]);
  return [
    row('listen', formatListen(config.listen), formatListen(listen)),
    row('metrics_listen', formatListen(config.metricsListen), formatListen(metrics_listen)),
    row('workers', config.workers, availableParallelism()),
    plain('tls_cert_file', config.tlsCertFile),
    plain('tls_key_file', config.tlsKeyFile),
    plain('ca_file', config.caFile),
    plain('max_request_body_bytes', config.maxRequestBodyBytes),
    row('max_in_flight', config.maxInFlight, inFlightCapacity()),
    plain('transport', config.transport),
    plain('http2', config.http2),
    plain('proxy_url', shownUrl(config.proxyUrl)),
    plain('no_proxy', config.noProxy),
    plain('max_provider_connections', config.maxProviderConnections),
    plain('max_provider_queue', config.maxProviderQueue),
    time('connect_timeout_secs', config.connectTimeoutMs),
    time('first_byte_timeout_secs', config.firstByteTimeoutMs),
    time('idle_timeout_secs', config.idleTimeoutMs),
    time('client_stall_timeout_secs', config.clientStallTimeoutMs),
    time('upload_timeout_secs', config.uploadTimeoutMs),
    time('shutdown_grace_secs', config.shutdownGraceMs),
    plain('access_log', config.accessLog),
    plain('log_level', config.logLevel),
    plain('managed_endpoints', config.managedEndpoints),
    plain('managed_prefixes', config.managedPrefixes),
    plain('cors_origins', config.corsOrigins),
    plain('rate_limit_rps', config.rateLimitRps),
    plain('byo_rate_limit_rps', config.byoRateLimitRps),
    plain('verify_rate_limit_rps', config.verifyRateLimitRps),
    plain('usage_spill_path', config.usageSpillPath),
    plain('facts_lost', config.factsLost),
    plain('rehearse_authority', config.rehearseAuthority),
    plain('nats_url', config.natsUrl),
    plain('nats_creds_file', config.natsCredsFile),
    plain('config_bucket', config.configBucket),
    plain('snapshot_path', config.snapshotPath),
    plain('data_dir', config.dataDir),
    plain('ledger', config.ledger),
    plain('ledger_retention_days', config.ledgerRetentionDays),
    plain('ledger_url', shownDatabase(config.ledgerUrl)),
    plain('foreign_state', config.foreignState),
    plain('allow_empty', config.allowEmpty),
    plain('prices_file', config.pricesFile),
    plain('budget_time_zone', config.budgets.timeZone),
    plain('budget_status', config.budgets.status),
    plain('budget_without_nats', config.budgets.withoutNats),
    plain('budget_webhook_url', shownWebhook(config.budgetWebhookUrl)),
    plain('assumed_output_tokens', config.budgets.assumedOutputTokens),
    plain('cache_max_mb', config.cacheMaxBytes / 2 ** 20),
    plain('redis_url', shownDatabase(config.redisUrl)),
    plain('replay_max_bytes', config.routing.replayMaxBytes),
    plain('replay_memory_bytes', config.routing.replayMemoryBytes),
    time('hold_secs', config.routing.holdMs),
    plain('hold_memory_bytes', config.routing.holdMemoryBytes),
    time('retry_after_max_secs', config.routing.retryAfterMaxMs),
    plain('breaker_failures', config.routing.breaker.failures),
    plain('breaker_share', config.routing.breaker.share),
    time('breaker_window_secs', config.routing.breaker.windowMs),
    time('breaker_open_secs', config.routing.breaker.openMs),
    time('breaker_open_max_secs', config.routing.breaker.openMaxMs),
    time('breaker_probe_secs', config.routing.breaker.probeMs),
    time('refused_key_rest_secs', config.routing.breaker.refusedKeyMs),
  ];
}

type TimeKey = Extract<keyof Settings, `${string}_secs`>;

function isPrintable(value: unknown): value is Printable {
  if (Array.isArray(value)) return value.every((item) => typeof item === 'string');
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function tablesOf(config: Config): readonly (readonly [name: string, rows: Table])[] {
  const { providers } = config;
  const column = (field: 'authority' | 'dialect' | 'authScheme' | 'streamUsage' | 'wires'): Table =>
    providers.flatMap((row) => {
      const value = row[field];
      return value === undefined ? [] : [[row.name, value] as const];
    });
  const masked = [...config.poolKeys].map(([name, keys]) => {
    const masks = keys.map(() => MASK);
    return [name, masks.length === 1 ? MASK : masks] as const;
  });
  const publicKeys = [...config.signingKeys].map(
    ([kid, key]) => [String(kid), Buffer.from(key).toString('base64')] as const,
  );
  return [
    ['provider_authorities', column('authority')],
    ['provider_dialects', column('dialect')],
    ['provider_auth_schemes', column('authScheme')],
    ['provider_stream_usage', column('streamUsage')],
    ['provider_wires', column('wires')],
    ...egressTables(config),
    ['provider_aliases', [...config.routing.aliases]],
    ['pool_keys', masked],
    ['signing_keys', publicKeys],
  ];
}

/** The tables [providers.NAME], in the words of the file. */
function egressTables({ providerEgress }: Config): readonly (readonly [string, Table])[] {
  if (providerEgress.length === 0) return [['providers', []]];
  return providerEgress.map(([name, said]) => {
    const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);
    const rows: readonly (readonly [string, Printable | undefined])[] = [
      ['transport', said.transport],
      ['http2', said.http2],
      ['proxy_url', shownUrl(said.proxyUrl ?? null) ?? undefined],
      ['ca_file', said.caFile],
      ['client_cert_file', said.clientCertFile],
      ['client_key_file', said.clientKeyFile],
      ['connect_timeout_secs', seconds(said.connectTimeoutMs)],
      ['first_byte_timeout_secs', seconds(said.firstByteTimeoutMs)],
      ['idle_timeout_secs', seconds(said.idleTimeoutMs)],
      ['max_provider_connections', said.maxProviderConnections],
      ['max_provider_queue', said.maxProviderQueue],
    ];
    const table = rows.flatMap(([key, value]) =>
      value === undefined ? [] : [[key, value] as const],
    );
    return [`providers.${name}`, table] as const;
  });
}

/** A proxy's URL without its password; it reads back as a proxy. */
function shownUrl(url: Secret | null): string | null {
  const proxy = url === null ? null : parseProxyUrl(url.reveal());
  if (url === null || url.reveal() === 'none') return url?.reveal() ?? null;
  return proxy === null ? MASK : shownProxy(proxy);
}

/** Without user and password; it reads back as a URL. */
function shownDatabase(url: Secret | null): string | null {
  const parsed = url === null ? null : URL.parse(url.reveal());
  return parsed === null ? null : `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
}

/** Whose path may be a secret; it reads back as a URL. */
function shownWebhook(url: Secret | null): string | null {
  return url === null ? null : `${URL.parse(url.reveal())?.origin ?? ''}/${MASK}`;
}

/** Every route whole, so that what stands by default can be read too. */
function routeTexts({ routes }: RoutingConfig): readonly string[] {
  const heading = routes.size === 0 ? '[routes]' : '[routes]  # default: empty';
  const tables = [...routes].map(([name, route]) => {
    const targets = route.targets.map(({ to, weight }) =>
      weight === 1 ? JSON.stringify(to) : `{ to = ${JSON.stringify(to)}, weight = ${weight} }`,
    );
    return [
      '',
      `[routes.${JSON.stringify(name)}]`,
      `targets = [${targets.join(', ')}]`,
      `fallbacks = ${toml(route.fallbacks)}`,
      `balance = ${toml(route.balance)}`,
      `fallback_on = ${toml(route.fallbackOn)}`,
      `retries = ${route.retries}`,
      `first_content_timeout_secs = ${route.firstContentTimeoutMs / 1000}`,
      `stall_timeout_secs = ${route.stallTimeoutMs / 1000}`,
      `deadline_secs = ${route.deadlineMs / 1000}`,
      `stream_safety = ${toml(route.streamSafety)}`,
      `affinity = ${toml(route.affinity)}`,
      `max_cost_usd = ${route.maxCostPico / 1e12}`,
      `strict = ${route.isStrict}`,
    ].join('\n');
  });
  return ['', heading, ...tables];
}

/** Only what is said of a model: nothing else is known of it by default. */
function modelTexts({ models }: RoutingConfig): readonly string[] {
  if (models.size === 0) return ['', '[models]'];
  return [...models].map(([name, traits]) => {
    const rows: Readonly<Record<string, number | boolean | null>> = {
      context_tokens: traits.contextTokens,
      max_output_tokens: traits.maxOutputTokens,
      images: traits.images,
      tools: traits.tools,
      json_schema: traits.jsonSchema,
      audio: traits.audio,
      continues_prefix: traits.continuesPrefix,
      tokens_per_byte: traits.tokensPerByte,
    };
    const said = Object.entries(rows).filter(([, value]) => value !== null);
    const lines = said.map(([key, value]) => `${key} = ${value}`);
    return ['', `[models.${JSON.stringify(name)}]`, ...lines].join('\n');
  });
}

/** What is said, and nothing of what is not: a less specific policy counts there. */
function policyTexts({
  policies,
  keys,
  tenants,
  classes,
  limits,
}: PolicyConfig): readonly string[] {
  const heading = policies.size === 0 ? '[policies]' : '[policies]  # default: empty';
  return [
    '',
    heading,
    ...[...policies].map(([name, said]) =>
      saidTable('policies', name, {
        models: said.models,
        rpm: said.rpm,
        tpm: said.tpm,
        max_in_flight: said.maxInFlight,
        identical_rpm: said.identicalRpm,
        budget_usd_per_day: usdOf(said.budgetPerDay),
        budget_usd_per_month: usdOf(said.budgetPerMonth),
        max_cost_per_request_usd: usdOf(said.maxCostPerRequest),
        unpriced: said.unpriced,
        budget_estimate: said.budgetEstimate,
        cap_output: said.capOutput,
        hard_stop: said.hardStop,
        on_exceeded: said.onExceeded,
        mode: said.mode,
        cache: said.cache,
        cache_match: said.cacheMatch,
        cache_scope: said.cacheScope,
        hash_strategy: said.hashStrategy,
        cache_ttl_secs: said.cacheTtlSecs,
        rehearse: said.rehearse,
        strict: said.strict,
        guards: said.guards,
      }),
    ),
    ...idTexts('keys', keys, ({ name, tenant, policy, keyClass, expiresMs }) => ({
      name,
      tenant,
      policy,
      class: keyClass,
      expires: expiresMs === null ? null : new Date(expiresMs).toISOString(),
    })),
    ...idTexts('tenants', tenants, ({ name, policy }) => ({ name, policy })),
    tableText('classes', [...classes]),
    tableText('limits', purseRows(limits.gateway)),
    ...Object.entries({
      models: limits.models,
      providers: limits.providers,
      classes: limits.classes as ReadonlyMap<string, Limits>,
    }).flatMap(([kind, purses]) =>
      [...purses].map(([name, purse]) =>
        saidTable(`limits.${kind}`, name, Object.fromEntries(purseRows(purse))),
      ),
    ),
    ...(limits.shares.size === 0 ? [] : [tableText('limits.shares', [...limits.shares])]),
  ];
}

/** All of what each guard goes by: which are built in, and what they do where nobody says it, is told by no other place. */
function guardTexts(guards: Config['guards']): readonly string[] {
  return [
    '',
    '[guards]',
    ...[...guards].map(([name, guard]) =>
      saidTable('guards', name, {
        kind: guard.made.kind,
        action: guard.action,
        phases: guard.phases,
        on_error: guard.onError,
        on_unscanned: guard.onUnscanned,
        max_hold_ms: guard.maxHoldMs,
        ...guardOwn(guard.made),
      }),
    ),
  ];
}

const MIB = 1_048_576;

function guardServer(
  made: Extract<GuardMade, { url: string }>,
): Readonly<Record<string, Printable>> {
  return {
    url: made.url,
    api_key: made.apiKey === null ? null : MASK,
    timeout_ms: made.timeoutMs,
    max_in_flight: made.maxInFlight,
  };
}

/** What only guards of its kind say. */
function guardOwn(made: GuardMade): Readonly<Record<string, Printable>> {
  switch (made.kind) {
    case 'pii':
      return { detect: made.detect };
    case 'injection':
      return { threshold: made.threshold };
    case 'module':
      return {
        module: made.path,
        budget_ms: made.budgetMs,
        threads: made.threads,
        memory_mb: made.memoryMb,
        network: made.network,
      };
    case 'presidio':
      return {
        ...guardServer(made),
        language: made.language,
        entities: made.entities,
        min_score: made.minScore,
      };
    case 'moderation':
      return {
        ...guardServer(made),
        model: made.model === '' ? null : made.model,
        categories: made.categories,
      };
    case 'logger':
      return {
        path: made.path,
        max_file_mb: made.maxBytes / MIB,
        retention_days: made.retentionDays,
      };
  }
}

/** Who may use the admin API: hashes are told, the client's secret is not. */
function adminTexts(admin: Config['admin']): readonly string[] {
  if (admin === null) return ['', '[admin]'];
  const origin = admin.origin === null ? [] : [`origin = ${toml(admin.origin)}`];
  const tokens = admin.tokens.map(({ name, hash, role, tenants }) =>
    saidTable('admin.tokens', name, { hash: `sha256:${hash}`, role, tenants }),
  );
  return [['', '[admin]  # default: empty', ...origin].join('\n'), ...tokens, ...oidcTexts(admin)];
}

function oidcTexts({ oidc }: NonNullable<Config['admin']>): readonly string[] {
  if (oidc === null) return [];
  const members: Readonly<Record<string, Printable>> = {
    issuer: oidc.issuer,
    client_id: oidc.clientId,
    client_secret: oidc.clientSecret === null ? null : MASK,
    scopes: oidc.scopes,
    roles_claim: oidc.rolesClaim,
    tenants_claim: oidc.tenantsClaim,
  };
  const said = Object.entries(members).filter(([, value]) => value !== null);
  const lines = said.map(([key, value]) => `${key} = ${toml(value)}`);
  const roles = [...oidc.roles].map(([group, role]) => `${JSON.stringify(group)} = ${toml(role)}`);
  return [['', '[admin.oidc]', ...lines, '[admin.oidc.roles]', ...roles].join('\n')];
}

/** Nano-dollars as the decimal text that reads back as the same. */
function usdOf(nano: number | null): string | null {
  return nano === null ? null : nanoUsd(nano);
}

function purseRows({ rpm, tpm, maxInFlight }: Limits): Table {
  const rows = [
    ['rpm', rpm],
    ['tpm', tpm],
    ['max_in_flight', maxInFlight],
  ] as const;
  return rows.filter(([, value]) => value > 0);
}

function idTexts<Row>(
  table: string,
  rows: ReadonlyMap<string, Row>,
  said: (row: Row) => Readonly<Record<string, Printable>>,
): readonly string[] {
  if (rows.size === 0) return ['', `[${table}]`];
  return [...rows].map(([id, row]) => saidTable(table, id, said(row)));
}

function saidTable(
  table: string,
  name: string,
  members: Readonly<Record<string, Printable>>,
): string {
  const said = Object.entries(members).filter(([, value]) => value !== null);
  const lines = said.map(([key, value]) => `${key} = ${toml(value)}`);
  return ['', `[${table}.${JSON.stringify(name)}]`, ...lines].join('\n');
}

function scalarLine(key: string, value: Printable, fallback: Printable): string {
  if (value === null) return `# ${key} is unset`;
  const line = `${key} = ${toml(value)}`;
  if (toml(value) === toml(fallback)) return line;
  return `${line}  # default: ${fallback === null ? 'unset' : toml(fallback)}`;
}

/** Every table is empty by default, so one comment marks all of its rows. */
function tableText(name: string, rows: Table): string {
  const lines = rows.map(([key, value]) => `${key} = ${toml(value)}`);
  const heading = rows.length === 0 ? `[${name}]` : `[${name}]  # default: empty`;
  return ['', heading, ...lines].join('\n');
}

/** JSON's strings, numbers, booleans and lists of them are TOML's too (TOML 1.0: string, array). */
function toml(value: Printable): string {
  if (Array.isArray(value)) return `[${value.map((item) => JSON.stringify(item)).join(', ')}]`;
  return JSON.stringify(value);
}
