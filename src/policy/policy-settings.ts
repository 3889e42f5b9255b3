import {
  type BudgetEstimate,
  type BudgetLimits,
  NO_BUDGET,
  type UnpricedWay,
} from '../budget/budget-settings.ts';
import type { CacheMatch, CacheMode, CacheScope, HashStrategy } from '../cache/cache-settings.ts';
import type { KeyClass } from '../keys/key-class.ts';
import { type Limits, type LimitsConfig, NO_LIMITS } from './limit-settings.ts';

/** How much the limits and budgets of a policy say. */
export const POLICY_MODES = ['enforce', 'warn', 'off'] as const;
export type PolicyMode = (typeof POLICY_MODES)[number];

/** One `[policies.NAME]` table: what it says. Null: nothing, so that a less specific policy counts. */
export interface PolicySettings {
  /** Routes, `provider/model` and beginnings of them with a `*` behind; empty = all. */
  readonly models: readonly string[] | null;
  /** `x-sluice-rehearse` of its keys is read. */
  readonly rehearse: boolean | null;
  /** 0 = off, like the three below. */
  readonly rpm: number | null;
  readonly tpm: number | null;
  readonly maxInFlight: number | null;
  /** How often each key may send the same body to the same path within a minute. */
  readonly identicalRpm: number | null;
  /** Nano-dollars in a calendar day and month, and for one request; 0 = off. */
  readonly budgetPerDay: number | null;
  readonly budgetPerMonth: number | null;
  readonly maxCostPerRequest: number | null;
  /** What happens to requests for a model without a price. */
  readonly unpriced: UnpricedWay | null;
  /** How what a request may cost is estimated. */
  readonly budgetEstimate: BudgetEstimate | null;
  /** An answer that nobody limits is limited to what is reserved for it: a limit is written into the request. */
  readonly capOutput: boolean | null;
  /** A running stream ends that passes a budget of this policy. */
  readonly hardStop: boolean | null;
  /** A route, or `provider/model`, that serves what a budget has no room for; REFUSE: nothing does. */
  readonly onExceeded: string | null;
  /** What a translation would lose is a reason to pass a target over. */
  readonly strict: boolean | null;
  /** Names of guards, in the order of requests; empty = none. */
  readonly guards: readonly string[] | null;
  /** `warn`: what its limits and budgets would have refused is counted, and let through; `off`: they are none. */
  readonly mode: PolicyMode | null;
  /** Whether answers are told again to the same request, to whose, and what of a request has to be the same. */
  readonly cache: CacheMode | null;
  readonly cacheMatch: CacheMatch | null;
  readonly cacheScope: CacheScope | null;
  readonly hashStrategy: HashStrategy | null;
  /** For how long. */
  readonly cacheTtlSecs: number | null;
}

/** One `[keys.ID]` table. */
export interface KeySettings {
  /** For people, like the one below: a token says itself whose it is. */
  readonly name: string | null;
  readonly tenant: string | null;
  readonly policy: string | null;
  /** In place of the one that the key was minted with. */
  readonly keyClass: KeyClass | null;
  /** Unix time in milliseconds. */
  readonly expiresMs: number | null;
}

/** One `[tenants.ID]` table. */
export interface TenantSettings {
  readonly name: string | null;
  readonly policy: string | null;
}

/** Who has which policy, as the configuration says it; ids are decimal. Can be cloned into a thread. */
export interface PolicyConfig {
  readonly policies: ReadonlyMap<string, PolicySettings>;
  readonly keys: ReadonlyMap<string, KeySettings>;
  readonly tenants: ReadonlyMap<string, TenantSettings>;
  /** The policy of a whole class. */
  readonly classes: ReadonlyMap<KeyClass, string>;
  readonly limits: LimitsConfig;
}

/** `on_exceeded` of a budget without a way out. */
export const REFUSE = 'refuse';

/** Every virtual key has this policy, behind all that is said of it, of its tenant and its class. */
export const DEFAULT_POLICY = 'default';

/** A policy that holds for somebody, and why. */
export interface Layer {
  readonly policy: string;
  /** What names it: `[keys.7]`. */
  readonly namedBy: string;
  readonly said: PolicySettings;
}

/**
 * The policies that hold for a key, the most specific one first: its own, its tenant's, its class's, the default.
 * @param keyId null for a key without an id
 * @param tenantId null: whatever the tenant
 */
export function layersOf(
  { policies, keys, tenants, classes }: PolicyConfig,
  keyId: string | null,
  tenantId: string | null,
  keyClass: KeyClass,
): readonly Layer[] {
  const own = keyId === null ? undefined : keys.get(keyId)?.policy;
  const ofTenant = tenantId === null ? undefined : tenants.get(tenantId)?.policy;
  const named: readonly (readonly [policy: string | null | undefined, namedBy: string])[] = [
    [own, `[keys.${keyId}]`],
    [ofTenant, `[tenants.${tenantId}]`],
    [classes.get(keyClass), `[classes] ${keyClass}`],
    [DEFAULT_POLICY, 'every key'],
  ];
  return named.flatMap(([policy, namedBy]) => {
    const said = policies.get(policy ?? '');
    return policy == null || said === undefined ? [] : [{ policy, namedBy, said }];
  });
}

/** The first policy that says something of a member; null when none does. */
export function saidFirst<Member extends keyof PolicySettings>(
  layers: readonly Layer[],
  member: Member,
): { readonly value: NonNullable<PolicySettings[Member]>; readonly by: Layer } | null {
  for (const by of layers) {
    const value = by.said[member];
    if (value !== null) return { value: value as NonNullable<PolicySettings[Member]>, by };
  }
  return null;
}

/** The class that counts for a key: what the configuration says of it, else what it was minted with. */
export function classOf({ keys }: PolicyConfig, keyId: string | null, minted: KeyClass): KeyClass {
  return (keyId === null ? null : keys.get(keyId)?.keyClass) ?? minted;
}

/** How much of what policies say of limits and budgets counts. */
export function modeOf(layers: readonly Layer[]): PolicyMode {
  return saidFirst(layers, 'mode')?.value ?? 'enforce';
}

/** What policies say of one purse, and whether that is enforced. */
export interface SaidLimits {
  readonly limits: Limits;
  readonly enforced: boolean;
}

/**
 * What counts for each key by itself: what its own policy says, its class's and the default. Its tenant's is another purse.
 * @param layers of `layersOf`, without a tenant
 */
export function limitsOf(layers: readonly Layer[]): SaidLimits {
  const mode = modeOf(layers);
  if (mode === 'off') return { limits: NO_LIMITS, enforced: false };
  return {
    limits: {
      rpm: saidFirst(layers, 'rpm')?.value ?? 0,
      tpm: saidFirst(layers, 'tpm')?.value ?? 0,
      maxInFlight: saidFirst(layers, 'maxInFlight')?.value ?? 0,
    },
    enforced: mode === 'enforce',
  };
}

/** What counts over all keys of a tenant: what the tenant's own policy says, and nothing less specific. */
export function tenantLimitsOf(config: PolicyConfig, tenantId: string): SaidLimits {
  return limitsOf(tenantLayers(config, tenantId));
}

/** A tenant's own policy, alone: what counts over all its keys. */
export function tenantLayers({ policies, tenants }: PolicyConfig, tenantId: string) {
  const policy = tenants.get(tenantId)?.policy ?? null;
  const said = policies.get(policy ?? '');
  return policy === null || said === undefined
    ? []
    : [{ policy, namedBy: `[tenants.${tenantId}]`, said }];
}

/** The budgets that policies say of one owner; whose counts as with `limitsOf`. */
export function budgetOf(layers: readonly Layer[]): BudgetLimits {
  if (modeOf(layers) === 'off') return NO_BUDGET;
  return {
    day: saidFirst(layers, 'budgetPerDay')?.value ?? 0,
    month: saidFirst(layers, 'budgetPerMonth')?.value ?? 0,
  };
}
