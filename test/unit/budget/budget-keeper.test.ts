import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BudgetCalendar } from '../../../src/budget/budget-calendar.ts';
import { decodeJournal, journalLine } from '../../../src/budget/budget-journal.ts';
import { BudgetKeeper } from '../../../src/budget/budget-keeper.ts';
import { BudgetTable, type Claim, NO_ROW, rowName } from '../../../src/budget/budget-table.ts';
import { WholeBudgets } from '../../../src/budget/grant-source.ts';
import { until } from '../../support/conditions.ts';
import { diesWithin } from '../../support/dead-owner.ts';

const NOW = Date.parse('2026-11-28T12:00:00Z');
const DAY = 20_261_128;

let folder: string;
let nowMs: number;
const lines: { event: string; fields: Readonly<Record<string, unknown>> }[] = [];
const log = {
  write: (_level: string, event: string, fields = {}) => void lines.push({ event, fields }),
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-budgets-'));
  nowMs = NOW;
  lines.length = 0;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(at: string | null = folder): { keeper: BudgetKeeper; worker: BudgetTable } {
  const calendar = new BudgetCalendar('UTC');
  const keeper = new BudgetKeeper(
    at,
    1,
    () => calendar,
    new WholeBudgets(),
    log,
    () => nowMs,
  );
  return { keeper, worker: new BudgetTable(keeper.memory, 0) };
}

function spend(worker: BudgetTable, name: string, nano: number, limit = 1_000, label = DAY): void {
  const claim: Claim = { name: rowName(name), row: NO_ROW, label, limit, enforced: true };
  expect(worker.reserve([claim], nano).kind).toBe('taken');
  worker.settle(claim.name, claim.row, claim.label, nano, nano);
}

const warnings = () => lines.filter(({ event }) => event === 'budget_warning');
const file = () => join(folder, 'budgets');

describe('BudgetKeeper', () => {
  test('a row whose owner died in it is looked at when that is known; until then the others are, and nothing of it is told twice', async () => {
    const { keeper, worker } = open();
    for (const name of ['1/1', '1/2']) {
      keeper.met({ scope: 'key', name, window: 'day' });
      spend(worker, `key ${name} day`, 900);
    }
    const code = `({ BudgetTable, rowName, NO_ROW }, memory) => {
      const claim = { name: rowName('key 1/1 day'), row: NO_ROW, label: ${DAY}, enforced: true, get limit() { process.exit(); } };
      new BudgetTable(memory, 0).reserve([claim], 1);
    }`;
    await diesWithin(keeper.memory, '../../src/budget/budget-table.ts', code);
    keeper.look();
    expect(warnings().map(({ fields }) => fields['name'])).toEqual(['1/2']);
    expect(keeper.totals.locksGivenUp).toBeGreaterThan(0);
    keeper.forget(0);
    keeper.look();
    keeper.look();
    expect(warnings().map(({ fields }) => fields['name'])).toEqual(['1/2', '1/1']);
    expect(await keeper.stop(1_000)).toBe(true);
    expect(decodeJournal(readFileSync(file(), 'latin1')).rows.map(({ spent }) => spent)).toEqual([
      900, 900,
    ]);
  });

  test('a restart finds what was spent, of windows that are not over', async () => {
    const first = open();
    first.keeper.start();
    first.keeper.met({ scope: 'key', name: '12/7', window: 'day' });
    first.keeper.met({ scope: 'key', name: '12/7', window: 'month' });
    spend(first.worker, 'key 12/7 day', 600);
    spend(first.worker, 'key 12/7 month', 600, 1_000, 202_611);
    expect(await first.keeper.stop(1_000)).toBe(true);
    nowMs += 86_400_000;
    const { worker } = open();
    const day = rowName('key 12/7 day');
    const month = rowName('key 12/7 month');
    expect(worker.find(day)).toBe(NO_ROW);
    expect(worker.read(month, worker.find(month))).toMatchObject({ spent: 600, label: 202_611 });
  });

  test('what was settled is in the file within two looks, without a stop', async () => {
    const { keeper, worker } = open();
    keeper.start();
    keeper.met({ scope: 'tenant', name: '12', window: 'day' });
    try {
      spend(worker, 'tenant 12 day', 77);
      await until('it is written', () => {
        if (!existsSync(file())) return false;
        const { rows } = decodeJournal(readFileSync(file(), 'latin1'));
        return rows.some(({ spent }) => spent === 77);
      });
    } finally {
      await keeper.stop(1_000);
    }
  });

  test('torn and changed lines are passed over, and the others read', () => {
    const line = journalLine({
      scope: 'key',
      name: '1/2',
      label: '2026-11-28',
      spent: 5,
      limit: 10,
      told: 0,
    });
    const text = `sluice budgets 1\n${line}${line.replace(' 5 ', ' 4 ')}${line.slice(0, 9)}`;
    expect(decodeJournal(text)).toMatchObject({ rows: [{ spent: 5 }], passedOver: 2 });
    expect(decodeJournal('sluice bud')).toEqual({ rows: [], passedOver: 0 });
  });

  test('a file that is none of ours stops the start with a sentence: what was spent must not be forgotten', () => {
    writeFileSync(file(), 'something else\n');
    expect(() => open()).toThrow(
      /data_dir: what was spent of budgets cannot be read from .*budgets/,
    );
  });

  test('a write that was cut in the middle loses nothing that was written before', async () => {
    const first = open();
    first.keeper.start();
    first.keeper.met({ scope: 'key', name: '1/1', window: 'day' });
    spend(first.worker, 'key 1/1 day', 10);
    await first.keeper.stop(1_000);
    appendFileSync(file(), 'key 1/1 2026-11-28 99');
    const { worker, keeper } = open();
    const name = rowName('key 1/1 day');
    expect(worker.read(name, worker.find(name))).toMatchObject({ spent: 10 });
    keeper.start();
    spend(worker, 'key 1/1 day', 5);
    expect(await keeper.stop(1_000)).toBe(true);
    expect(decodeJournal(readFileSync(file(), 'latin1')).rows).toMatchObject([{ spent: 15 }]);
  });

  test('G9: 50, 80, 95 and 100 % are told once a window each, also over a restart', async () => {
    const { keeper, worker } = open();
    keeper.start();
    keeper.met({ scope: 'key', name: '1/1', window: 'day' });
    const percents: unknown[] = [];
    keeper.onWarning = ({ percent }) => void percents.push(percent);
    for (let at = 0; at < 10; at++) {
      spend(worker, 'key 1/1 day', 85);
      keeper.look();
      keeper.look();
    }
    expect(percents).toEqual([50, 80]);
    await keeper.stop(1_000);
    const again = open();
    again.keeper.start();
    again.keeper.look();
    spend(again.worker, 'key 1/1 day', 150);
    again.keeper.look();
    again.keeper.look();
    expect(warnings().map(({ fields }) => fields['percent'])).toEqual([50, 80, 100]);
    expect(warnings().at(-1)?.fields).toMatchObject({
      scope: 'key',
      name: '1/1',
      window: 'day',
      label: '2026-11-28',
      limit_usd: 0.000_001,
    });
    nowMs += 86_400_000;
    spend(again.worker, 'key 1/1 day', 600, 1_000, DAY + 1);
    again.keeper.look();
    expect(warnings().at(-1)?.fields).toMatchObject({ percent: 50, label: '2026-11-29' });
    await again.keeper.stop(1_000);
  });

  test('without a folder nothing is kept, and everything else is as ever', async () => {
    const { keeper, worker } = open(null);
    keeper.start();
    keeper.met({ scope: 'key', name: '1/1', window: 'day' });
    spend(worker, 'key 1/1 day', 1_000);
    keeper.look();
    expect(warnings()).toHaveLength(1);
    expect(await keeper.stop(1_000)).toBe(true);
  });
});
