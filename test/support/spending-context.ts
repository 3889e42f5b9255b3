import { BudgetCalendar } from '../../src/budget/budget-calendar.ts';
import { BudgetTable, createBudgetTable } from '../../src/budget/budget-table.ts';
import { DefaultRates } from '../../src/budget/default-rate.ts';
import { OutputSizes } from '../../src/budget/output-sizes.ts';
import type { SpendingContext } from '../../src/budget/spending.ts';
import { PriceBook, shippedBook } from '../../src/prices/price-book.ts';

/** What the budgets of one worker share: prices as they are shipped, and nothing spent. */
export function spendingContext(said: Partial<SpendingContext> = {}): SpendingContext {
  const book = said.book ?? new PriceBook(shippedBook());
  return {
    table: new BudgetTable(createBudgetTable(1, true), 0),
    calendar: new BudgetCalendar('UTC'),
    book,
    defaults: new DefaultRates(book),
    sizes: new OutputSizes(),
    counts: { budgetReached() {}, budgetRowDropped() {} },
    met() {},
    status: 402,
    assumedOutputTokens: 0,
    models: book,
    candidates: [],
    now: Date.now,
    ...said,
  };
}
