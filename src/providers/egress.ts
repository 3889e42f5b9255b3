/**
 * How a provider is reached: by which client, through which proxy, trusted by whom, how fast and over how many
 * connections. Resolved when the configuration is loaded, so that nobody asks the environment later.
 */

import { type ProxyAddress, parseProxyUrl } from './proxy.ts';

/** Which client of `upstream/` carries the requests: the house's own one of HTTP/1.1, or undici. */
export type TransportName = 'h1' | 'undici';

/** What may be said for all providers, and again for one of them. Times in milliseconds, 0 = no limit. */
interface EgressSettings {
  readonly transport: TransportName;
  readonly http2: boolean;
  readonly connectTimeoutMs: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Connections at the same time, on the whole node; 0 = no limit. */
  readonly maxProviderConnections: number;
  /** Requests that may wait for one of them, on the whole node. */
  readonly maxProviderQueue: number;
}

/** What is said for one provider. */
export interface ProviderEgress extends Partial<EgressSettings> {
  /** A proxy's URL in clear, `none` for no proxy whatever is said elsewhere. */
  readonly proxyUrl?: string;
  /** PEM authorities, beside those of `ca_file`. */
  readonly caFile?: string;
  /** PEM certificate chain and private key that are shown to the provider. */
  readonly clientCertFile?: string;
  readonly clientKeyFile?: string;
}

/** One provider's way out, as plain data: it crosses to the workers. A proxy's URL may hold a password. */
export interface EgressDocument extends EgressSettings {
  /** In clear; null = no proxy. */
  readonly proxyUrl: string | null;
  readonly caFiles: readonly string[];
  readonly clientCertFile: string | null;
  readonly clientKeyFile: string | null;
  /** Why the proxy, or none: the key or the variable that decided. */
  readonly wayBecause: string;
}

/** One provider's way out, ready to be used. Prints without secrets. */
export interface Egress extends Omit<EgressDocument, 'proxyUrl'> {
  readonly proxy: ProxyAddress | null;
}

/** @throws Error when the proxy's URL does not parse: it was checked when the configuration was loaded */
export function egressFrom({ proxyUrl, ...rest }: EgressDocument): Egress {
  const proxy = proxyUrl === null ? null : parseProxyUrl(proxyUrl);
  if (proxyUrl !== null && proxy === null) throw new Error('A proxy URL does not parse.');
  return { ...rest, proxy };
}
