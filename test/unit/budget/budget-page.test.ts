import { expect, test } from 'vitest';
import { budgetPage } from '../../../src/budget/budget-page.ts';
import { BudgetTable, createBudgetTable, rowName } from '../../../src/budget/budget-table.ts';
import { KeySpending } from '../../../src/budget/spending.ts';
import { spendingContext } from '../../support/spending-context.ts';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const DAY = 20_261_128;
const USD = 1_000_000_000;

/** A key with 10 USD a day of which 4 are spent and 1 is reserved. */
function told(isWhole: boolean): unknown {
  const table = new BudgetTable(createBudgetTable(1, isWhole), 0);
  const name = rowName('key 1/7 day');
  const claim = { name, row: table.place(name, DAY), label: DAY, limit: 10 * USD, enforced: true };
  if (!isWhole) table.grant(name, claim.row, DAY, 7 * USD, 2 * USD);
  expect(table.reserve([claim], 5 * USD).kind).toBe('taken');
  table.settle(name, claim.row, DAY, 4 * USD, 4 * USD);
  const rules = {
    keyClass: 'agent',
    maxCostNano: 0,
    enforced: true,
    unpriced: 'deny',
    isStrict: false,
    capsOutput: false,
    candidates: [],
  } as const;
  const own = {
    scope: 'key',
    name: '1/7',
    limits: { day: 10 * USD, month: 0 },
    enforced: true,
    stops: false,
  } as const;
  const spending = new KeySpending(spendingContext({ table, now: () => NOW }), rules, [own]);
  return JSON.parse(budgetPage(spending));
}

test('what requests under way hold is not left', () => {
  expect(told(true)).toMatchObject({
    budgets: [{ limit_usd: '10', spent_usd: '4', reserved_usd: '1', left_usd: '5' }],
  });
});

test('in a fleet neither what others were granted is left, nor here more than what was granted here', () => {
  expect(told(false)).toMatchObject({
    budgets: [
      {
        limit_usd: '10',
        spent_usd: '6',
        reserved_usd: '1',
        left_usd: '3',
        granted_elsewhere_usd: '2',
        here: { granted_usd: '7', spent_usd: '4', left_usd: '2' },
      },
    ],
  });
});

test('who has no budget has none to be told', () => {
  expect(JSON.parse(budgetPage(null))).toMatchObject({
    budgets: [],
    max_cost_per_request_usd: null,
  });
});
