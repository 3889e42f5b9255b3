import type { Egress } from '../providers/egress.ts';
import type { Authority, Provider } from '../providers/providers.ts';
import type { ProxyAddress } from '../providers/proxy.ts';
import { hostField } from './outgoing-head.ts';
import type { Trust } from './trust.ts';

/** Milliseconds, 0 = off. */
export interface UpstreamTimeouts {
  /** Until a connection stands, a proxy and TLS included. */
  readonly connectTimeoutMs: number;
  /** From the request's last byte to the response's head. */
  readonly firstByteTimeoutMs: number;
  /** Between two reads of a response. */
  readonly idleTimeoutMs: number;
}

/** Who is asked, and what a connection there must be like; how connections are made and kept is the transport's business. */
export interface UpstreamTarget {
  readonly authority: Authority;
  /** Value of the Host field. */
  readonly host: string;
  readonly timeouts: UpstreamTimeouts;
  readonly trust: Trust;
  /** Null = directly. */
  readonly proxy: ProxyAddress | null;
  /** HTTP/2 is offered. */
  readonly http2: boolean;
}

export function targetOf(provider: Provider, egress: Egress, trust: Trust): UpstreamTarget {
  const { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, proxy, http2 } = egress;
  return {
    authority: provider.authority,
    host: hostField(provider),
    timeouts: { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs },
    trust,
    proxy,
    http2,
  };
}
