/** Why money keeps a request from its provider, as its caller is told. */

import { usdText } from '../prices/money.ts';
import { type Rejection, type RejectionCode, rejection } from '../rejection.ts';
import type { Alternative } from './alternatives.ts';
import { labelText } from './budget-calendar.ts';
import type { BudgetScope, BudgetWindow } from './budget-settings.ts';

/**
 * Retried, it would be refused again: the stock SDKs of OpenAI and Anthropic obey the field, and neither retry nor wait. No
 * `retry-after`: Anthropic's sleeps for as long as that says, days too.
 */
export const NO_RETRY = 'x-should-retry: false\r\n';

const PICO_PER_NANO = 1_000n;

/** Nano-dollars as USD, exact. */
export function nanoUsd(nano: number): string {
  return usdText(BigInt(Math.max(0, nano)) * PICO_PER_NANO);
}

/** What a gateway of a fleet has of a budget; nano-dollars. */
export interface FleetShare {
  /** What other gateways were granted, as far as this one knows: it counts as spent, whether they have or not. */
  readonly elsewhere: number;
  /** What this one may spend of it, has spent of that, and holds for requests under way. */
  readonly granted: number;
  readonly spent: number;
  readonly reserved: number;
}

/** The same as members of JSON; none where there is no fleet. */
export function shareMembers(share: FleetShare | null): object {
  if (share === null) return {};
  const { elsewhere, granted, spent, reserved } = share;
  return {
    granted_elsewhere_usd: nanoUsd(elsewhere),
    here: {
      granted_usd: nanoUsd(granted),
      spent_usd: nanoUsd(spent),
      left_usd: nanoUsd(granted - spent - reserved),
    },
  };
}

/** How the budget stands that keeps a request away. */
export interface SpentBudget {
  readonly scope: BudgetScope;
  readonly window: BudgetWindow;
  readonly label: number;
  readonly limit: number;
  readonly spent: number;
  readonly reserved: number;
  /** What the request may cost. */
  readonly asked: number;
  readonly renewsMs: number;
  /** `partition`: its limit has room, and what this node was granted of it has not. */
  readonly reason: 'spent' | 'partition';
  /** Null: there is no fleet. */
  readonly share: FleetShare | null;
  /** What there is room for; null: nothing that its caller may ask for. */
  readonly alternative: Alternative | null;
}

/** The statuses that `budget_status` may say. */
export const BUDGET_STATUSES = [402, 403, 429] as const;
export type BudgetStatus = (typeof BUDGET_STATUSES)[number];

const CODES: Readonly<Record<BudgetStatus, RejectionCode>> = {
  402: 'budget_exceeded',
  403: 'budget_exceeded_403',
  429: 'budget_exceeded_429',
};

export function budgetExceeded(status: BudgetStatus, budget: SpentBudget): Rejection {
  return refusal(status, budget, `this request may cost $${nanoUsd(budget.asked)}.`);
}

/** A stream under `hard_stop` whose budgets have no room for more of it. */
export function budgetStopped(status: BudgetStatus, budget: SpentBudget): Rejection {
  return refusal(status, budget, `this answer may have cost $${nanoUsd(budget.asked)} so far.`);
}

/** @param what of the request does not fit: the end of a sentence */
function refusal(status: BudgetStatus, budget: SpentBudget, what: string): Rejection {
  const { scope, window, limit, spent, reserved, asked, reason, alternative } = budget;
  const whose = scope === 'key' ? 'this key' : 'all keys of this tenant';
  const renewsAt = new Date(budget.renewsMs).toISOString();
  const held = reserved > 0 ? ` and $${nanoUsd(reserved)} is reserved` : '';
  const why = reason === 'partition' ? ' This gateway was granted no more of it.' : '';
  const told =
    `Of $${nanoUsd(limit)} a ${window} for ${whose}, $${nanoUsd(spent)} is spent${held}; ${what}` +
    `${why} It renews at ${renewsAt}.${wayOut(alternative)}`;
  const members = {
    scope,
    window,
    period: labelText(budget.label),
    limit_usd: nanoUsd(limit),
    spent_usd: nanoUsd(spent),
    reserved_usd: nanoUsd(reserved),
    asked_usd: nanoUsd(asked),
    ...shareMembers(budget.share),
    renews_at: renewsAt,
    reason,
    alternative:
      alternative === null
        ? null
        : { model: alternative.name, asked_usd: nanoUsd(alternative.nano) },
  };
  return rejection(CODES[status], told, NO_RETRY, `"budget":${JSON.stringify(members)}`);
}

const OVER_BUDGET: ReadonlySet<RejectionCode> = new Set(Object.values(CODES));

/** Whether a budget has no room, which another model might need less of. */
export function isOverBudget({ code }: Rejection): boolean {
  return OVER_BUDGET.has(code);
}

const OF_MONEY: ReadonlySet<RejectionCode> = new Set<RejectionCode>([
  ...OVER_BUDGET,
  'cost_limit',
  'unpriced_model',
]);

/** Whether another target might be let through: what keeps this one away is what it may cost. */
export function isOfMoney({ code }: Rejection): boolean {
  return OF_MONEY.has(code);
}

function wayOut(alternative: Alternative | null): string {
  if (alternative === null) return '';
  return ` There is room for it at ${alternative.name}, where it may cost $${nanoUsd(alternative.nano)}.`;
}

export function tooDear(asked: number, limit: number, alternative: Alternative | null): Rejection {
  const told = `It may cost $${nanoUsd(asked)}; the limit of a request is $${nanoUsd(limit)}.${wayOut(alternative)}`;
  return rejection('cost_limit', told, NO_RETRY);
}

/** Under `budget_estimate = "strict"`. */
export const UNBOUNDED = rejection(
  'cost_limit',
  'What it may cost has no bound: say max_uses of each tool that its provider runs, and send pictures and files themselves.',
  NO_RETRY,
);

/** @param model `provider/model`; null where it cannot be told for sure */
export function unpriced(model: string | null): Rejection {
  const told =
    model === null
      ? 'Which model it asks for cannot be told for sure.'
      : `Nobody says what ${model.slice(0, 128)} costs.`;
  return rejection('unpriced_model', told, NO_RETRY);
}

/** The table of budgets is full: nobody runs free of one that is enforced. */
export const NO_BUDGET_ROW = rejection(
  'overloaded',
  'There is no room to keep its budget.',
  'retry-after: 60\r\n',
);
