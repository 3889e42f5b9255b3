/**
 * The configuration as every thread knows it. Apart from `config.ts`, which reads it: the schema library costs a thread a
 * tenth of a second at its start, and workers need none of it.
 */

import type { BudgetStatus } from '../budget/budget-refusals.ts';
import type { AdminSettings } from '../console/admin-settings.ts';
import type { GuardConfig } from '../guard/guard-config.ts';
import type { BreakerSettings } from '../plan/health.ts';
import type { ModelTraits } from '../plan/model-traits.ts';
import type { RouteSettings } from '../plan/route-table.ts';
import type { PolicyConfig } from '../policy/policy-settings.ts';
import type { PricingConfig } from '../prices/price-book.ts';
import {
  type Egress,
  type EgressDocument,
  egressFrom,
  type ProviderEgress,
  type TransportName,
} from '../providers/egress.ts';
import type { ProviderOverride } from '../providers/providers.ts';
import { Secret } from '../secret.ts';

/** Where a listener binds. */
export interface ListenAddress {
  /** Name or address literal, IPv6 without brackets. */
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

/** One table [providers.NAME]. */
type ProviderTable = readonly [
  provider: string,
  said: Omit<ProviderEgress, 'proxyUrl'> & { readonly proxyUrl?: Secret },
];
/** What the routed lane goes by. */
export interface RoutingConfig {
  readonly aliases: ReadonlyMap<string, string>;
  readonly routes: ReadonlyMap<string, RouteSettings>;
  /** What the tables [models."provider/model"] say. */
  readonly models: ReadonlyMap<string, ModelTraits>;
  /** What is kept of one request's body for another attempt, in bytes; 0 = no limit. */
  readonly replayMaxBytes: number;
  /** The same for all requests of the node. */
  readonly replayMemoryBytes: number;
  /** What is held of answers, of all of the node together, in bytes; 0 = no limit. */
  readonly holdMemoryBytes: number;
  /** For how long an answer's opening is held behind its head. */
  readonly holdMs: number;
  /** A provider's wait up to this is sat out in place before another model is asked. */
  readonly retryAfterMaxMs: number;
  readonly breaker: BreakerSettings;
}

/** What counts for all budgets. */
export interface BudgetsConfig {
  /** Whose days and months are their windows. */
  readonly timeZone: string;
  /** What a caller is told whose budget is used up. */
  readonly status: BudgetStatus;
  /** What holds of a fleet's budgets while NATS is out of reach: what was granted, or all of them for each node alone. */
  readonly withoutNats: 'closed' | 'open';
  /** Of an answer that nobody limits; 0: as was learned of such answers. */
  readonly assumedOutputTokens: number;
}

/** The effective configuration of this process: frozen, defaults filled in, units in the names. */
export interface Config {
  readonly listen: ListenAddress;
  readonly metricsListen: ListenAddress;
  /** Threads that share the client port; `auto` is already resolved. */
  readonly workers: number;
  readonly tlsCertFile: string | null;
  readonly tlsKeyFile: string | null;
  /** PEM authorities trusted for upstreams beside the system's. */
  readonly caFile: string | null;
  /** What the provider tables say; every authority parses, every name without one is built in. */
  readonly providers: readonly ProviderOverride[];
  readonly transport: TransportName;
  readonly http2: boolean;
  /** A proxy's URL, which may hold a password; `none` for no proxy at all, null when the environment decides. */
  readonly proxyUrl: Secret | null;
  /** Who is told of budgets that near their end; it may hold a secret. */
  readonly budgetWebhookUrl: Secret | null;
  /** Hosts that are reached directly; empty when the environment decides. */
  readonly noProxy: readonly string[];
  /** Connections to one provider at the same time, on the whole node; 0 = no limit. */
  readonly maxProviderConnections: number;
  readonly maxProviderQueue: number;
  /** What the tables [providers.NAME] say. */
  readonly providerEgress: readonly ProviderTable[];
  /** Every provider's way out, by name: what all that, and the environment, amounts to. */
  readonly egress: ReadonlyMap<string, Egress>;
  readonly poolKeys: ReadonlyMap<string, readonly Secret[]>;
  /** kid (u32) to the 32 raw bytes of an Ed25519 public key. */
  readonly signingKeys: ReadonlyMap<number, Uint8Array>;
  /** The `sluice mock` that plays faults for `x-sluice-rehearse`; null: that field is not read. */
  readonly rehearseAuthority: string | null;
  readonly natsUrl: string | null;
  readonly natsCredsFile: string | null;
  readonly configBucket: string;
  readonly snapshotPath: string | null;
  /** Where the gateway keeps what must outlive it; null: nothing does. */
  readonly dataDir: string | null;
  /** Whether what was used is kept in `dataDir`, to be asked for. */
  readonly ledger: boolean;
  /** How long its facts are kept, in days; their sums stay. 0 = for ever. */
  readonly ledgerRetentionDays: number;
  /** A data base that gets every fact from there. */
  readonly ledgerUrl: Secret | null;
  /** What happens to ids of stored objects that nobody is known to have made. */
  readonly foreignState: 'refuse' | 'allow';
  /** 0 = off, like the two below. */
  readonly rateLimitRps: number;
  readonly byoRateLimitRps: number;
  readonly verifyRateLimitRps: number;
  readonly managedEndpoints: readonly string[];
  readonly managedPrefixes: readonly string[];
  /** Pages that may use the gateway; none: CORS is the providers'. */
  readonly corsOrigins: readonly string[];
  /** 0 = no limit. */
  readonly maxRequestBodyBytes: number;
  /** 0 = no limit. */
  readonly maxInFlight: number;
  /** 0 = no limit, like the three below. */
  readonly connectTimeoutMs: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly clientStallTimeoutMs: number;
  readonly uploadTimeoutMs: number;
  /** 0 = what is in flight is cut at once. */
  readonly shutdownGraceMs: number;
  readonly accessLog: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly usageSpillPath: string | null;
  /** What happens to virtual keys' requests while a usage fact would be lost. */
  readonly factsLost: 'count' | 'refuse';
  /** A reload may leave `signing_keys`, `pool_keys` or `provider_authorities` without an entry. */
  readonly allowEmpty: boolean;
  readonly routing: RoutingConfig;
  /** A price list of the operator's own, as a path. */
  readonly pricesFile: string | null;
  readonly pricing: PricingConfig;
  /** Who has which policy. */
  readonly policy: PolicyConfig;
  /** What policies may name as guards. */
  readonly guards: ReadonlyMap<string, GuardConfig>;
  readonly budgets: BudgetsConfig;
  /** Of the answers that the node's workers tell again, in memory. */
  readonly cacheMaxBytes: number;
  /** Where these are kept instead, for all gateways that say the same; null: in memory. */
  readonly redisUrl: Secret | null;
  /** Who may use the admin API and the dashboard; null: both are off. */
  readonly admin: AdminSettings<Secret> | null;
}

/**
 * The plain form of a validated configuration: structured-cloneable, so it can be a worker's
 * `workerData`. It holds pool keys and proxies' passwords in clear: pass it on, never print it.
 */
export type ConfigDocument = Omit<
  Config,
  | 'poolKeys'
  | 'signingKeys'
  | 'proxyUrl'
  | 'budgetWebhookUrl'
  | 'ledgerUrl'
  | 'redisUrl'
  | 'providerEgress'
  | 'egress'
  | 'guards'
  | 'admin'
> & {
  readonly proxyUrl: string | null;
  readonly budgetWebhookUrl: string | null;
  readonly ledgerUrl: string | null;
  readonly redisUrl: string | null;
  readonly providerEgress: readonly (readonly [provider: string, said: ProviderEgress])[];
  readonly egress: readonly (readonly [provider: string, way: EgressDocument])[];
  readonly poolKeys: readonly (readonly [provider: string, keys: readonly string[]])[];
  readonly signingKeys: readonly (readonly [kid: number, publicKey: Uint8Array])[];
  readonly guards: ReadonlyMap<string, GuardConfig<string>>;
  readonly admin: AdminSettings<string> | null;
};

/** Builds the frozen configuration from its plain form, in any thread. */
export function configFromDocument(document: ConfigDocument): Config {
  return Object.freeze({
    ...document,
    listen: Object.freeze({ ...document.listen }),
    metricsListen: Object.freeze({ ...document.metricsListen }),
    providers: Object.freeze(document.providers.map((row) => Object.freeze({ ...row }))),
    proxyUrl: document.proxyUrl === null ? null : new Secret(document.proxyUrl),
    ledgerUrl: document.ledgerUrl === null ? null : new Secret(document.ledgerUrl),
    redisUrl: document.redisUrl === null ? null : new Secret(document.redisUrl),
    budgetWebhookUrl:
      document.budgetWebhookUrl === null ? null : new Secret(document.budgetWebhookUrl),
    noProxy: Object.freeze([...document.noProxy]),
    providerEgress: document.providerEgress.map(([name, { proxyUrl, ...said }]): ProviderTable => {
      const url = proxyUrl === undefined ? {} : { proxyUrl: new Secret(proxyUrl) };
      return [name, { ...said, ...url }];
    }),
    egress: new Map(document.egress.map(([name, way]) => [name, egressFrom(way)])),
    managedEndpoints: Object.freeze([...document.managedEndpoints]),
    managedPrefixes: Object.freeze([...document.managedPrefixes]),
    corsOrigins: Object.freeze([...document.corsOrigins]),
    poolKeys: new Map(
      document.poolKeys.map(([name, keys]) => [name, keys.map((key) => new Secret(key))]),
    ),
    signingKeys: new Map(document.signingKeys),
    guards: new Map([...document.guards].map(([name, guard]) => [name, guardFrom(guard)])),
    admin: adminFrom(document.admin),
  });
}

function guardFrom(guard: GuardConfig<string>): GuardConfig {
  const { made } = guard;
  if (made.kind !== 'presidio' && made.kind !== 'moderation') return { ...guard, made };
  const apiKey = made.apiKey === null ? null : new Secret(made.apiKey);
  return { ...guard, made: { ...made, apiKey } };
}

function adminFrom(said: ConfigDocument['admin']): Config['admin'] {
  if (said === null || said.oidc === null) return said === null ? null : { ...said, oidc: null };
  const { clientSecret } = said.oidc;
  const secret = clientSecret === null ? null : new Secret(clientSecret);
  return { ...said, oidc: { ...said.oidc, clientSecret: secret } };
}
