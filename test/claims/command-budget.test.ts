import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { journalLine } from '../../src/budget/budget-journal.ts';
import { sluice } from '../support/gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-budget-'));
const today = new Date().toISOString().slice(0, 10);
const month = today.slice(0, 7);
const config = join(folder, 'config.toml');
writeFileSync(config, `data_dir = ${JSON.stringify(folder)}\n`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const told = (...argv: readonly string[]) => sluice(['budget', ...argv, '--config', config]);

describe('sluice budget', () => {
  test('without a journal says so', () => {
    const { status, stderr } = told();
    expect(status).toBe(1);
    expect(stderr).toContain('There is no journal in');
  });

  test('tells what is spent of this day and month, nearest to its end first, and nothing of windows that are over', () => {
    const row = { scope: 'key', name: '42/7', told: 0 } as const;
    const lines = [
      { ...row, label: '2020-01-01', spent: 9, limit: 10 },
      { ...row, label: today, spent: 1_000_000_000, limit: 20_000_000_000 },
      { ...row, label: today, spent: 1_500_000_000, limit: 20_000_000_000 },
      { ...row, label: month, spent: 299_000_000_000, limit: 300_000_000_000 },
      { ...row, scope: 'tenant', name: '42', label: month, spent: 5, limit: 1_000_000_000 },
    ] as const;
    writeFileSync(join(folder, 'budgets'), `sluice budgets 1\n${lines.map(journalLine).join('')}`);
    const { status, stdout } = told();
    expect([
      status,
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/)),
    ]).toEqual([
      0,
      [
        ['whose', 'name', 'period', 'spent', 'of', 'left'],
        ['key', '42/7', month, '299', '300', '1', '99 %'],
        ['key', '42/7', today, '1.5', '20', '18.5', '7 %'],
        ['tenant', '42', month, '0.000000005', '1', '0.999999995', '0 %'],
      ],
    ]);
    expect(JSON.parse(told('--json').stdout)[1]).toEqual({
      scope: 'key',
      name: '42/7',
      window: 'day',
      period: today,
      limit_usd: '20',
      spent_usd: '1.5',
      left_usd: '18.5',
    });
  });
});
