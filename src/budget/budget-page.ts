import { labelText } from './budget-calendar.ts';
import { nanoUsd, shareMembers } from './budget-refusals.ts';
import type { KeySpending } from './spending.ts';

/** How a key's budgets stand, as JSON for whoever holds it; null: it has none. */
export function budgetPage(spending: KeySpending | null): string {
  const budgets = (spending?.views() ?? []).map((view) => ({
    scope: view.scope,
    window: view.window,
    period: labelText(view.label),
    limit_usd: nanoUsd(view.limit),
    spent_usd: nanoUsd(view.spent),
    reserved_usd: nanoUsd(view.reserved),
    left_usd: nanoUsd(Math.max(0, view.limit - view.spent - view.reserved)),
    ...shareMembers(view.share),
    renews_at: new Date(view.renewsMs).toISOString(),
    mode: view.enforced ? 'enforce' : 'warn',
  }));
  const most = spending?.maxCostNano ?? 0;
  return JSON.stringify({
    object: 'budget',
    budgets,
    max_cost_per_request_usd: most === 0 ? null : nanoUsd(most),
  });
}
