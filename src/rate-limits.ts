/** Requests per second, node-wide; 0 = off. Fractions to 0.001 are kept. */
export interface RateLimits {
  /** Each credential by itself (`rate_limit_rps`). */
  readonly credentialRps: number;
  /** All BYO traffic together (`byo_rate_limit_rps`). */
  readonly byoRps: number;
  /** Signature checks of tokens not seen before (`verify_rate_limit_rps`). */
  readonly verifyRps: number;
}

/** More is a slip of the pen. */
export const RATE_LIMIT_MAX_RPS = 1_000_000;
