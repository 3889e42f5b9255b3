/**
 * The configuration as every thread knows it. Apart from `config.ts`, which reads it: the schema library costs a thread a
 * tenth of a second at its start, and workers need none of it.
 */

import type { ProviderOverride } from '../providers/providers.ts';
import { Secret } from '../secret.ts';

/** Where a listener binds. */
export interface ListenAddress {
  /** Name or address literal, IPv6 without brackets. */
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
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
  readonly poolKeys: ReadonlyMap<string, readonly Secret[]>;
  /** kid (u32) to the 32 raw bytes of an Ed25519 public key. */
  readonly signingKeys: ReadonlyMap<number, Uint8Array>;
  readonly natsUrl: string | null;
  readonly natsCredsFile: string | null;
  readonly configBucket: string;
  readonly snapshotPath: string | null;
  /** 0 = off, like the two below. */
  readonly rateLimitRps: number;
  readonly byoRateLimitRps: number;
  readonly verifyRateLimitRps: number;
  readonly managedEndpoints: readonly string[];
  readonly managedPrefixes: readonly string[];
  /** 0 = no limit. */
  readonly maxRequestBodyBytes: number;
  /** 0 = no limit. */
  readonly maxInFlight: number;
  /** 0 = no limit, like the three below. */
  readonly connectTimeoutMs: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly clientStallTimeoutMs: number;
  /** 0 = what is in flight is cut at once. */
  readonly shutdownGraceMs: number;
  readonly accessLog: boolean;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly usageSpillPath: string | null;
  /** A reload may leave `signing_keys`, `pool_keys` or `provider_authorities` without an entry. */
  readonly allowEmpty: boolean;
}

/**
 * The plain form of a validated configuration: structured-cloneable, so it can be a worker's
 * `workerData`. It holds pool keys in clear: pass it on, never print it.
 */
export type ConfigDocument = Omit<Config, 'poolKeys' | 'signingKeys'> & {
  readonly poolKeys: readonly (readonly [provider: string, keys: readonly string[]])[];
  readonly signingKeys: readonly (readonly [kid: number, publicKey: Uint8Array])[];
};

/** Builds the frozen configuration from its plain form, in any thread. */
export function configFromDocument(document: ConfigDocument): Config {
  return Object.freeze({
    ...document,
    listen: Object.freeze({ ...document.listen }),
    metricsListen: Object.freeze({ ...document.metricsListen }),
    providers: Object.freeze(document.providers.map((row) => Object.freeze({ ...row }))),
    managedEndpoints: Object.freeze([...document.managedEndpoints]),
    managedPrefixes: Object.freeze([...document.managedPrefixes]),
    poolKeys: new Map(
      document.poolKeys.map(([name, keys]) => [name, keys.map((key) => new Secret(key))]),
    ),
    signingKeys: new Map(document.signingKeys),
  });
}
