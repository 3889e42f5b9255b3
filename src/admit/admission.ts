/** What admission reads of a request, and what it says of it. */

import type { DenyLookup } from '../deny/deny-table.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { ModelPermission } from '../policy/model-permission.ts';
import type { EffectivePolicy, PolicyTable } from '../policy/policy-table.ts';
import type { EndpointMetering } from '../providers/endpoint-metering.ts';
import type { PoolKey, PoolKeys } from '../providers/pool-keys.ts';
import type { Provider } from '../providers/providers.ts';
import type { Dialect, Rejection } from '../rejection.ts';
import type { StateHomes } from '../stored/state-homes.ts';
import type { ContentCoding } from '../wire/content-coding.ts';
import type { StreamWire } from '../wire/first-content.ts';
import type { RequestFraming } from '../wire/request-framing.ts';
import type { Cors } from './cors.ts';
import type { Credential } from './credential.ts';
import type { ManagedEndpoints } from './endpoint.ts';
import type { ModelList } from './model-list.ts';
import type { RateGuard } from './rate.ts';
import type { Router } from './route.ts';
import type { VerifiedTokens } from './verified-tokens.ts';
import type { FieldWishes } from './wishes.ts';

/** What admission reads of a request. The door's `RequestHead` is one. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly fields: readonly string[];
  readonly framing: RequestFraming;
}

/** What a worker knows when it admits: resolved at boot, except for the two that change while it runs. */
export interface Admittance {
  readonly router: Router;
  readonly rates: RateGuard;
  readonly tokens: VerifiedTokens;
  readonly deny: DenyLookup;
  readonly endpoints: ManagedEndpoints;
  readonly policies: PolicyTable;
  /** What a key with this policy may ask for, as it is listed. */
  modelsOf(policy: EffectivePolicy): ModelList;
  readonly poolKeys: PoolKeys;
  readonly stored: StateHomes;
  readonly cors: Cors;
  /** Bytes; 0 = no limit. */
  readonly maxRequestBodyBytes: number;
  /** The gateway has nearly stopped: what begins now would be cut. */
  readonly refusing: boolean;
  /** False while a usage fact would be lost, and nobody is to be served then (`facts_lost`). */
  readonly keepsFacts: boolean;
  /** True when the node has as many exchanges as `max_in_flight` allows. */
  full(): boolean;
  /** True when what a class may use of that is taken, of which others keep the rest to themselves. */
  sheds(policy: EffectivePolicy): boolean;
}

/** What a managed request has beside the others: who pays, with which key, and how it is metered. */
export interface Managed {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
  readonly poolKey: PoolKey;
  readonly metering: EndpointMetering;
  /** Where what the path names is stored, which may be another provider than the default one; null: it names nothing. */
  readonly stored: { readonly provider: Provider; readonly path: string } | null;
  /** The body may name what the provider has stored. */
  readonly namesState: boolean;
  /** The answer may. */
  readonly keepsState: boolean;
  /** Of the model that the request names; null: it may name any, or names none. */
  readonly permission: ModelPermission | null;
  /** The model that the path names, where somebody asks for it; null: the body says it. */
  readonly pathModel: string | null;
  /** How the content is packed; null: it is not. What is packed cannot be metered, so it is unpacked on its way. */
  readonly coding: ContentCoding | null;
}

/** A request with a virtual key on a path that names no provider: where it goes stands in its body. */
export interface Routed {
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
  readonly metering: EndpointMetering;
  readonly namesState: boolean;
  readonly keepsState: boolean;
  readonly coding: ContentCoding | null;
  /** Where plain model names go. */
  readonly provider: Provider;
  /** The path behind a provider's API prefix: `/chat/completions`. */
  readonly suffix: string;
  /** Without credentials. */
  readonly query: string;
  readonly wire: StreamWire;
  readonly wishes: FieldWishes;
}

/** A request that may proceed, and where to. */
export interface Admitted {
  readonly rejection: null;
  readonly provider: Provider;
  /** Whose error shapes the caller reads. */
  readonly dialect: Dialect;
  /** The path the provider is asked for, without query. */
  readonly path: string;
  /** Path and query as they are forwarded: a managed request's without credentials. */
  readonly target: string;
  /** Null for callers with keys of their own, and in the routed lane. */
  readonly managed: Managed | null;
  /** Not null: the routed lane's, which finds provider and path by itself. */
  readonly routed: Routed | null;
  /** A relay's attempt is no try of several: what was admitted is its target as it stands. */
  readonly routing: null;
}

/** A request for the list of models, or for one of them, which the gateway answers itself. */
export interface Listed {
  readonly rejection: null;
  readonly identity: KeyIdentity;
  /** The body, JSON in the caller's dialect. */
  readonly listed: string;
}

/** A caller who asks what the ledger has of one of its requests. */
export interface Recalled {
  readonly rejection: null;
  readonly identity: KeyIdentity;
  readonly dialect: Dialect;
  /** The request that is asked about. */
  readonly recalled: string;
}

/** A request for what is stored of which this node has not heard: the fleet may have, and is to be asked. */
export interface Doubtful {
  readonly rejection: null;
  readonly identity: KeyIdentity;
  /** Whether this node has heard of it by now. */
  readonly isKnown: () => boolean;
  /** What is to be done, when nothing more is waited for. */
  readonly decided: () => Admitted | Refused;
}

/** A request that may not proceed. */
export interface Refused {
  readonly rejection: Rejection;
  /** Whose error shapes the caller reads: guessed from the head where the provider is not known. */
  readonly dialect: Dialect;
  /** Null when it was refused before its provider was known. */
  readonly provider: Provider | null;
  /** Who was refused; null where that is not known for sure. */
  readonly identity: KeyIdentity | null;
  /** Why a virtual key was refused, for the log: callers are told no more than that it was. */
  readonly fault: string | null;
}

/** A request of which the route is known, and whose key it carries. */
export interface Directed {
  readonly asked: Asked;
  readonly credential: Credential;
  readonly provider: Provider;
  readonly path: string;
  /** The path's first segment names the provider. */
  readonly named: boolean;
}

/** What the managed gate says of a request that its body routes. */
export interface ManagedRouted {
  readonly identity: KeyIdentity;
  readonly routed: Routed;
}

/** @param managed null for a key of the caller's own */
export function admitted(
  { provider, path }: Directed,
  query: string,
  managed: Managed | ManagedRouted | null,
): Admitted {
  const stored = managed !== null && 'stored' in managed ? managed.stored : null;
  const to = stored?.provider ?? provider;
  const at = stored?.path ?? path;
  const target = query === '' ? at : `${at}?${query}`;
  const isRouted = managed !== null && 'routed' in managed;
  // Written out, and in one shape: copies of objects by spreading cost 0.1 us each (Builtins_CloneObjectIC).
  return {
    rejection: null,
    provider: to,
    dialect: provider.dialect,
    path: at,
    target,
    managed: isRouted ? null : managed,
    routed: isRouted ? managed.routed : null,
    routing: null,
  };
}

export function refused(
  why: Rejection,
  dialect: Dialect,
  provider: Provider | null = null,
  identity: KeyIdentity | null = null,
  fault: string | null = null,
): Refused {
  return { rejection: why, dialect, provider, identity, fault };
}
