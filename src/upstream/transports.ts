import { createHash } from 'node:crypto';
import type { Egress } from '../providers/egress.ts';
import type { Provider } from '../providers/providers.ts';
import type { Ticker } from '../ticker.ts';
import { Origin } from './h1/origins.ts';
import { ConnectionLimit, LimitedTransport, type QueueWatch } from './limited.ts';
import { targetOf } from './target.ts';
import type { Transport, Transports } from './transport.ts';
import { Trust } from './trust.ts';
import { openUndici } from './undici/transport.ts';

/** A transport while a configuration is valid, and behind it. */
interface KeptTransport extends Transport {
  /** Nobody will open requests any more but those that are under way: who still runs finishes there. */
  retire(): void;
}

/** Every provider's transport; providers that are reached in just the same way share one. */
export interface OpenTransports extends Transports {
  /** By everything that a connection is made with. */
  readonly byKey: ReadonlyMap<string, KeptTransport>;
  /** By the provider's name, for those that ever had a cap. */
  readonly limits: ReadonlyMap<string, ConnectionLimit>;
}

/** What transports are opened with. */
export interface TransportOptions {
  /** By the provider's name. */
  readonly egress: ReadonlyMap<string, Egress>;
  readonly ticker: Ticker;
  /** For bugs of ours that one exchange met. */
  readonly report: (error: unknown) => void;
  /** Caps are the node's, and each worker has its share. */
  readonly workers: number;
  /** This worker's number, from 0. */
  readonly worker: number;
  watch(provider: Provider): QueueWatch;
}

/**
 * @param previous transports of the configuration before: those that would be made just so are kept, with their
 *   connections; the others are retired
 */
export function openTransports(
  providers: readonly Provider[],
  options: TransportOptions,
  previous: OpenTransports | null,
): OpenTransports {
  const { egress, ticker, report } = options;
  const limits = new Map(previous?.limits);
  const byKey = new Map<string, KeptTransport>();
  const byIndex: Transport[] = [];
  const open = (provider: Provider): Transport => {
    const way = egress.get(provider.name);
    if (way === undefined) throw new Error(`No way out is known for ${provider.name}.`);
    const trust = new Trust(way);
    const key = keyOf(provider, way, trust);
    const make = (): KeptTransport => {
      const target = targetOf(provider, way, trust);
      return way.transport === 'h1'
        ? new Origin(target, ticker, report)
        : openUndici(target, ticker, report);
    };
    const transport = byKey.get(key) ?? previous?.byKey.get(key) ?? make();
    byKey.set(key, transport);
    const limited = limitedBy(provider, way, transport, limits, options);
    byIndex[provider.index] = limited;
    return limited;
  };
  for (const provider of providers) open(provider);
  for (const [key, transport] of previous?.byKey ?? []) if (!byKey.has(key)) transport.retire();
  return { byKey, limits, of: (provider) => byIndex[provider.index] ?? open(provider) };
}

/** @returns the transport itself when there is no cap: then nothing stands before it */
function limitedBy(
  provider: Provider,
  { maxProviderConnections, maxProviderQueue, connectTimeoutMs }: Egress,
  transport: Transport,
  limits: Map<string, ConnectionLimit>,
  { ticker, workers, worker, watch }: TransportOptions,
): Transport {
  if (maxProviderConnections === 0) {
    // Who waited under the cap of before waits no longer.
    limits.get(provider.name)?.set(Number.POSITIVE_INFINITY, 0, 0);
    return transport;
  }
  let limit = limits.get(provider.name);
  if (limit === undefined) {
    limit = new ConnectionLimit(watch(provider));
    limits.set(provider.name, limit);
    ticker.add(limit);
  }
  const share = (total: number): number =>
    Math.max(1, Math.floor(total / workers) + (worker < total % workers ? 1 : 0));
  const queue = maxProviderQueue === 0 ? 0 : share(maxProviderQueue);
  limit.set(share(maxProviderConnections), queue, connectTimeoutMs);
  return new LimitedTransport(transport, limit, ticker);
}

/** A digest: a key that held a proxy's password could be printed. */
function keyOf(
  { authority }: Provider,
  { proxy, wayBecause: _, ...way }: Egress,
  trust: Trust,
): string {
  const through = proxy === null ? null : [proxy, proxy.authorization?.reveal()];
  const parts = [authority, way, through, trust.digest];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}
