import { createHash } from 'node:crypto';
import type { Egress } from '../providers/egress.ts';
import type { Provider } from '../providers/providers.ts';
import type { Ticker } from '../ticker.ts';
import { Origin } from './h1/origins.ts';
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
}

/** What transports are opened with. */
export interface TransportOptions {
  /** By the provider's name. */
  readonly egress: ReadonlyMap<string, Egress>;
  readonly ticker: Ticker;
  /** For bugs of ours that one exchange met. */
  readonly report: (error: unknown) => void;
}

/**
 * @param previous transports of the configuration before: those that would be made just so are kept, with their
 *   connections; the others are retired
 */
export function openTransports(
  providers: readonly Provider[],
  { egress, ticker, report }: TransportOptions,
  previous: OpenTransports | null,
): OpenTransports {
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
        : openUndici(target, ticker);
    };
    const transport = byKey.get(key) ?? previous?.byKey.get(key) ?? make();
    byKey.set(key, transport);
    byIndex[provider.index] = transport;
    return transport;
  };
  for (const provider of providers) open(provider);
  for (const [key, transport] of previous?.byKey ?? []) if (!byKey.has(key)) transport.retire();
  return { byKey, of: (provider) => byIndex[provider.index] ?? open(provider) };
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
