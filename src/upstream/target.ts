import type { Egress } from '../providers/egress.ts';
import type { Authority, Provider } from '../providers/providers.ts';
import type { ProxyAddress } from '../providers/proxy.ts';
import { hostField } from './outgoing-head.ts';
import type { Trust } from './trust.ts';

/**
 * How long an unused connection is kept, in milliseconds, when the provider says nothing. Longer saves handshakes;
 * but a POST that meets a connection which the provider is just closing cannot be retried by us, only by its client.
 */
export const KEEP_ALIVE_MS = 15_000;

/** Taken off what a provider promises: its clock starts earlier than ours, and a request takes its way. */
export const KEEP_ALIVE_MARGIN_MS = 2_000;

/**
 * When a name has several addresses, how long each but the last may take to connect, in milliseconds. Node's default
 * of 250 is less than a slow intercontinental handshake and would give up on the only address that works.
 */
export const ADDRESS_ATTEMPT_MS = 500;

/**
 * How old a connection becomes that never rests, in milliseconds, give or take a fourth, so that those of one moment do
 * not end in one moment. A name is looked up with each new connection: so its moves and its new replicas are followed
 * within minutes, at the price of one handshake in that time.
 */
const AGE_MS = 300_000;
const AGE_SPREAD = 0.25;

/** @returns how old a connection that is opened now may become, in milliseconds */
export function connectionAgeMs(): number {
  return AGE_MS * (1 - AGE_SPREAD + 2 * AGE_SPREAD * Math.random());
}

/** Quiet connections are probed by the kernel from then on, in milliseconds: a long thinking pause is no dead peer. */
export const PROBE_AFTER_MS = 60_000;

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
