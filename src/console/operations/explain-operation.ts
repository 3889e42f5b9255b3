import type { z } from 'zod';
import { BudgetCalendar, labelText } from '../../budget/budget-calendar.ts';
import { BUDGET_SCOPES, BUDGET_WINDOWS } from '../../budget/budget-settings.ts';
import { BudgetTable, NO_ROW, rowName } from '../../budget/budget-table.ts';
import { ASKED_PATHS, askedAt } from '../../explain/asked-there.ts';
import {
  type BudgetRowNow,
  type Holder,
  holderOf,
  type KnownBudgets,
} from '../../explain/explained-key.ts';
import type { KnownPurses } from '../../explain/explained-limits.ts';
import { type Explained, type ExplainedTarget, explained } from '../../explain/explained-plan.ts';
import { LimitTable } from '../../policy/limit-table.ts';
import { purseStates } from '../../policy/purse-states.ts';
import { decimalOf } from '../../prices/money.ts';
import type { GatewayView } from '../gateway-view.ts';
import type { LivePlans } from '../live-plans.ts';
import { type Caller, type Operation, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { EXPLAIN_WISH, EXPLAINED, NO_PATH, NO_QUERY } from '../shapes.ts';

/** USD as pico-dollars. */
const PICO_DECIMALS = 12;

/** What would happen to a request now, on the memory that the workers plan by. Nothing is sent, and nothing is taken. */
export function explainOperations(view: GatewayView, live: LivePlans): readonly Operation[] {
  const budgets = liveBudgets(view);
  const purses = livePurses(view);
  return [
    operation({
      id: 'explain',
      method: 'POST',
      path: '/explain',
      summary: 'Where a request for a model would go now, and why; nothing is sent.',
      tag: 'explain',
      role: 'viewer',
      pathShape: NO_PATH,
      queryShape: NO_QUERY,
      bodyShape: EXPLAIN_WISH,
      answers: { 200: { says: 'The plan, and what stands in its way.', schema: EXPLAINED } },
      problems: ['malformed', 'not_found'],
      writes: false,
      run: async ({ caller, body: wish }) => {
        const { now } = live;
        const holder = askedFor(now.config, wish, caller);
        const maxCostPico =
          wish.max_cost_usd === undefined ? 0 : decimalOf(wish.max_cost_usd, PICO_DECIMALS);
        if (maxCostPico === null || maxCostPico < 0)
          throw refused('max_cost_usd', 'USD as a decimal text, at most 12 decimals');
        if (wish.path !== undefined && askedAt(wish.path) === null)
          throw refused('path', `one that ends with ${ASKED_PATHS.join(', ')}`);
        const told = await explained(
          { ...now, purses, budgets },
          {
            model: wish.model,
            dialect: wish.wire,
            seed: wish.seed,
            body: wish.body === undefined ? null : Buffer.from(JSON.stringify(wish.body)),
            path: wish.path ?? null,
            isStrict: wish.strict,
            maxCostPico,
            holder,
          },
        );
        return { status: 200, body: shown(told) };
      },
    }),
  ];
}

/** @returns null: for nobody in particular, which only who sees everything may ask */
function askedFor(
  config: Parameters<typeof holderOf>[0],
  { key, tenant, class: keyClass }: z.output<typeof EXPLAIN_WISH>,
  { tenants }: Caller,
): Holder | null {
  if (key === undefined) {
    if (tenants === null) return null;
    throw refused('key', 'a key of a tenant of yours');
  }
  // Whose it is, is written down: with another tenant beside it, it is still theirs.
  const owner = config.policy.keys.get(key)?.tenant ?? null;
  if (owner !== null && tenants?.has(owner) === false) throw new Problem('not_found');
  let holder: Holder;
  try {
    holder = holderOf(config, key, tenant ?? null, keyClass);
  } catch {
    throw refused('tenant', 'the tenant of the key, which is not written down');
  }
  if (tenants?.has(holder.tenant) === false) throw new Problem('not_found');
  return holder;
}

function refused(key: string, expected: string): Problem {
  return new Problem('malformed', '', { parts: [{ key, found: 'nothing of the kind', expected }] });
}

function shown({
  kind,
  route,
  refused: why,
  targets,
  notes,
  limits,
  budgets,
}: Explained): z.output<typeof EXPLAINED> {
  return {
    kind,
    route: kind === 'route' ? (route?.name ?? null) : null,
    refused: why,
    targets: targets.map(targetShown),
    notes: [...notes],
    limits: [...limits],
    budgets: [...budgets],
  };
}

function targetShown({
  planned: { target, through, group, leftOut, waitMs },
  origin,
  mostUsd,
  translation,
}: ExplainedTarget): z.output<typeof EXPLAINED>['targets'][number] {
  return {
    name: target.name,
    origin,
    // The outermost is what was asked for.
    through: through.slice(1),
    fallback: group,
    left_out: leftOut,
    wait_ms: waitMs,
    most_usd: mostUsd,
    translation,
  };
}

function livePurses({ memory }: GatewayView): KnownPurses {
  const table = new LimitTable(memory.limits, 0);
  return {
    of: async (names) => new Map(purseStates(table, names).map((state) => [state.name, state])),
    says: () => 'what is left of them is what this node has left',
  };
}

function liveBudgets(view: GatewayView): KnownBudgets {
  const table = new BudgetTable(view.memory.budgets, null);
  return {
    of: ({ key, tenant }) => {
      const windows = new BudgetCalendar(view.running().budgets.timeZone).at(view.now());
      const names = { key: `${tenant}/${key}`, tenant };
      return BUDGET_SCOPES.flatMap((scope) =>
        BUDGET_WINDOWS.flatMap((window): readonly BudgetRowNow[] => {
          const name = names[scope];
          const print = rowName(`${scope} ${name} ${window}`);
          const row = table.find(print);
          const state = row === NO_ROW ? null : table.peek(print, row);
          if (state === null || state.label < windows[window]) return [];
          const { limit, spent, elsewhere, reserved, told } = state;
          const label = labelText(state.label);
          return [{ scope, name, label, limit, spent: spent + elsewhere, reserved, told }];
        }),
      );
    },
    says: 'on this node, now',
  };
}
