import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { dayOf } from '../../../src/ledger/ledger-files.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { Retention } from '../../../src/ledger/retention.ts';
import { TimeZone } from '../../../src/ledger/time-zone.ts';
import { UsageReport } from '../../../src/ledger/usage-report.ts';
import { factLine, linesOf, requestIdOf } from '../../support/facts.ts';

const DAY_MS = 86_400_000;
const TODAY = dayOf(Date.now());
const FIRST_MS = (TODAY - 9) * DAY_MS;
const ALL = { fromMs: FIRST_MS - DAY_MS, toMs: (TODAY + 1) * DAY_MS };

/** Nine days, a fact each 50 minutes. */
const facts = Array.from({ length: 260 }, (_, at) => ({
  timeMs: FIRST_MS + at * 50 * 60_000,
  requestId: requestIdOf(at),
  tenantId: String(at % 3),
  cost: at % 7 === 0 ? null : `0.${at + 1}`,
}));

let folder: string;
let ledger: SqliteLedger;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-ledger-'));
  ledger = new SqliteLedger(folder);
  ledger.add(linesOf(facts));
});
afterEach(() => {
  ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const told = () => {
  const report = new UsageReport(folder);
  return [
    report.by(['tenant'], ALL),
    report.by(['tenant'], { fromMs: FIRST_MS + 40 * 900_000, toMs: FIRST_MS + 500 * 900_000 }),
    report.byDay(new TimeZone('Asia/Kathmandu'), ALL),
  ];
};

describe('retention', () => {
  test('says the same of every span at each of its steps, and takes the facts away', () => {
    const before = told();
    const retention = new Retention(ledger, 3);
    let steps = 0;
    while (retention.step(TODAY, () => true)) {
      steps++;
      if (steps % 7 === 0) expect(told()).toEqual(before);
    }
    expect(steps).toBeGreaterThan(100);
    expect(told()).toEqual(before);
    expect(ledger.files.days()[0]).toBe(TODAY - 3);
    const [oldest] = facts;
    const newest = facts.at(-1);
    expect(ledger.find(oldest?.requestId ?? '')).toEqual([]);
    expect(ledger.find(newest?.requestId ?? '')).toEqual([
      factLine(newest ?? { timeMs: 0, requestId: '' }),
    ]);
  });

  test('that is broken off at any step goes on to the same end', () => {
    const before = told();
    for (let steps = 0; steps < 60; steps += 3) {
      const retention = new Retention(ledger, 3);
      for (let step = 0; step < steps; step++) retention.step(TODAY, () => true);
      // As a crash leaves it.
      ledger.close();
      ledger = new SqliteLedger(folder);
      expect(told()).toEqual(before);
    }
  });

  test('leaves a day that somebody still needs, and begins with nothing where days stay for ever', () => {
    expect(new Retention(ledger, 0).step(TODAY, () => true)).toBe(false);
    expect(new Retention(ledger, 3).step(TODAY, () => false)).toBe(false);
    expect(ledger.files.days()).toHaveLength(9);
  });

  test('a fact that comes behind its day stands in today’s file, and counts at its own time', () => {
    const retention = new Retention(ledger, 3);
    while (retention.step(TODAY, () => true));
    const late = { timeMs: FIRST_MS + 1, requestId: requestIdOf(9_999), tenantId: 'late' };
    ledger.add(linesOf([late]));
    expect(ledger.find(late.requestId)).toEqual([factLine(late)]);
    expect(existsSync(ledger.files.day(dayOf(late.timeMs)))).toBe(false);
    const span = { fromMs: FIRST_MS, toMs: FIRST_MS + DAY_MS };
    const rows = new UsageReport(folder).by(['tenant'], span);
    expect(rows.find(({ by }) => by[0] === 'late')?.usage.facts).toBe(1);
  });
});
