import type { Egress } from '../../src/providers/egress.ts';
import type { Provider } from '../../src/providers/providers.ts';
import type { Ticker } from '../../src/ticker.ts';
import type { TransportOptions } from '../../src/upstream/transports.ts';

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
function egressFor(
  providers: readonly Provider[],
  egress: Partial<Egress> = {},
): ReadonlyMap<string, Egress> {
  return new Map(providers.map(({ name }) => [name, { ...DIRECT, ...egress }]));
}

/** What transports are opened with, on a node with one worker. */
export function transportOptions(
  providers: readonly Provider[],
  ticker: Ticker,
  egress: Partial<Egress> = {},
): TransportOptions {
  const watch = { waiting() {}, turnedAway() {} };
  return {
    egress: egressFor(providers, egress),
    ticker,
    report() {},
    workers: 1,
    worker: 0,
    watch: () => watch,
  };
}
