import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BudgetCalendar, labelOf, windowOf } from '../budget/budget-calendar.ts';
import { type KeptBudgetRow, readJournal } from '../budget/budget-journal.ts';
import { nanoUsd } from '../budget/budget-refusals.ts';
import type { Config } from '../config/config-document.ts';

/** Text of `sluice budget --help`. */
export const BUDGET_HELP = `sluice budget [--json] [--config FILE]

How the budgets of keys and tenants stand that were used in this day and month, nearest to their end first: from the journal in
data_dir. A gateway may be running beside it; its last tenth of a second is not there yet, and what requests under way hold is in
no journal. Of several gateways each has a journal of its own.

  --json      an array of objects; money as decimal texts`;

interface BudgetArguments {
  readonly json: boolean;
  readonly config: string | null;
}

/** @throws Error with one line that says what to do */
export function budgetArguments(argv: readonly string[]): BudgetArguments {
  const { values } = parseArgs({
    args: [...argv],
    options: { json: { type: 'boolean', default: false }, config: { type: 'string' } },
  });
  return { json: values.json, config: values.config ?? null };
}

/**
 * @param nowMs milliseconds of the Unix epoch
 * @returns the exit code
 */
export function budget(
  { json }: BudgetArguments,
  { dataDir, budgets, natsUrl }: Pick<Config, 'dataDir' | 'budgets' | 'natsUrl'>,
  nowMs: number,
): number {
  if (dataDir === null)
    throw new Error('There is no journal: set data_dir in the configuration, or AI_DATA_DIR.');
  const journal = readJournal(join(dataDir, 'budgets'));
  if (journal === null)
    throw new Error(
      `There is no journal in ${dataDir} yet. A gateway with this data_dir makes it.`,
    );
  const { day, month } = new BudgetCalendar(budgets.timeZone).at(nowMs);
  const rows = journal.rows
    .filter(({ label }) => {
      const own = labelOf(label);
      return own >= (windowOf(own) === 'day' ? day : month);
    })
    .toSorted((a, b) => shareOf(b) - shareOf(a));
  const alone =
    natsUrl === null ? '' : '\nWhat other gateways of the fleet have spent is not in it.';
  const text = json ? JSON.stringify(rows.map(objectOf), null, 2) : `${tableOf(rows)}${alone}`;
  process.stdout.write(`${text}\n`);
  return 0;
}

function shareOf({ spent, limit }: KeptBudgetRow): number {
  return limit === 0 ? 0 : spent / limit;
}

function objectOf({ scope, name, label, spent, limit }: KeptBudgetRow) {
  return {
    scope,
    name,
    window: windowOf(labelOf(label)),
    period: label,
    limit_usd: nanoUsd(limit),
    spent_usd: nanoUsd(spent),
    left_usd: nanoUsd(limit - spent),
  };
}

function tableOf(rows: readonly KeptBudgetRow[]): string {
  const lines = rows.map((row) => {
    const { scope, name, period, limit_usd, spent_usd, left_usd } = objectOf(row);
    return [scope, name, period, spent_usd, limit_usd, left_usd, `${percent(row)} %`];
  });
  const all = [['whose', 'name', 'period', 'spent', 'of', 'left', ''], ...lines];
  const widths = (all[0] ?? []).map((_, at) =>
    Math.max(...all.map((line) => (line[at] ?? '').length)),
  );
  const padded = (text: string, at: number): string =>
    at < 3 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0);
  return all.map((line) => line.map(padded).join('  ').trimEnd()).join('\n');
}

function percent(row: KeptBudgetRow): number {
  return Math.floor(shareOf(row) * 100);
}
