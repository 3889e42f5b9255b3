/** What a policy says of money, and the units of it. */

/** Whose money it is: what a policy says counts for each key by itself, a tenant's over all its keys. */
export const BUDGET_SCOPES = ['key', 'tenant'] as const;
export type BudgetScope = (typeof BUDGET_SCOPES)[number];

/** Calendar days and months of `budget_time_zone`. */
export const BUDGET_WINDOWS = ['day', 'month'] as const;
export type BudgetWindow = (typeof BUDGET_WINDOWS)[number];

export const NANO_PER_USD = 1_000_000_000;

/** Shares of a budget, in percent, at which somebody is warned: once a window each. */
export const WARNED_AT_PERCENT = [50, 80, 95, 100] as const;

/** What a request of a model without a price comes to. */
export const UNPRICED_WAYS = ['deny', 'tokens', 'default_rate'] as const;
export type UnpricedWay = (typeof UNPRICED_WAYS)[number];

/**
 * How the most that a request can cost is told. `likely`: what nearly all of them stay below. `strict`: what text cannot pass, so that a
 * budget is a bound; what has none is refused.
 */
export const BUDGET_ESTIMATES = ['likely', 'strict'] as const;
export type BudgetEstimate = (typeof BUDGET_ESTIMATES)[number];

/** Budgets of one owner, in nano-dollars; 0 = off. */
export interface BudgetLimits {
  readonly day: number;
  readonly month: number;
}

export const NO_BUDGET: BudgetLimits = { day: 0, month: 0 };
