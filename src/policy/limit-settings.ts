import type { KeyClass } from '../keys/key-class.ts';

/** What one purse allows; 0 = off. */
export interface Limits {
  /** Requests a minute. */
  readonly rpm: number;
  /** Tokens a minute: estimated when a request is let go, corrected when it has ended. */
  readonly tpm: number;
  readonly maxInFlight: number;
}

export const NO_LIMITS: Limits = { rpm: 0, tpm: 0, maxInFlight: 0 };

export function limitsSomething({ rpm, tpm, maxInFlight }: Limits): boolean {
  return rpm > 0 || tpm > 0 || maxInFlight > 0;
}

/** The `[limits]` table: purses that no single key or tenant has. Can be cloned into a thread. */
export interface LimitsConfig {
  readonly gateway: Limits;
  /** By `provider/model`. */
  readonly models: ReadonlyMap<string, Limits>;
  readonly providers: ReadonlyMap<string, Limits>;
  readonly classes: ReadonlyMap<KeyClass, Limits>;
  /** Of what all keys share, how much may be taken when a class takes more: above 0, below 1. A class that is not here: all of it. */
  readonly shares: ReadonlyMap<KeyClass, number>;
}

/** Whose purse it is. */
export const LIMIT_SCOPES = ['key', 'tenant', 'class', 'model', 'provider', 'gateway'] as const;
export type LimitScope = (typeof LIMIT_SCOPES)[number];

/** Purses of which a class may have a share: those that keys of every class take from. */
export const COMMON_SCOPES: ReadonlySet<LimitScope> = new Set(['model', 'provider', 'gateway']);

export const LIMIT_UNITS = ['requests', 'tokens', 'in_flight'] as const;
export type LimitUnit = (typeof LIMIT_UNITS)[number];
