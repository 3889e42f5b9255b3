import type { Egress } from '../../src/providers/egress.ts';
import type { Provider } from '../../src/providers/providers.ts';

/** Directly, by the house's client, but for what a test is about. */
export const DIRECT: Egress = {
  transport: 'h1',
  http2: false,
  proxy: null,
  wayBecause: 'a test',
  caFiles: [],
  clientCertFile: null,
  clientKeyFile: null,
  connectTimeoutMs: 2_000,
  firstByteTimeoutMs: 2_000,
  idleTimeoutMs: 2_000,
  maxProviderConnections: 0,
  maxProviderQueue: 0,
};

/** The same way out for every provider of a table. */
export function egressFor(
  providers: readonly Provider[],
  egress: Partial<Egress> = {},
): ReadonlyMap<string, Egress> {
  return new Map(providers.map(({ name }) => [name, { ...DIRECT, ...egress }]));
}
