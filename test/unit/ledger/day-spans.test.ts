import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DIMENSIONS, type Dimension } from '../../../src/ledger/fact-kind.ts';
import { LedgerFiles } from '../../../src/ledger/ledger-files.ts';
import { VIEWS } from '../../../src/ledger/ledger-schema.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { openSqlite } from '../../../src/ledger/sqlite.ts';
import { TooManyRows } from '../../../src/ledger/too-many-rows.ts';
import { UsageReport, type UsageRow } from '../../../src/ledger/usage-report.ts';
import { linesOf, requestIdOf } from '../../support/facts.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const DAY = Math.floor(Date.parse('2026-11-20T00:00:00Z') / DAY_MS);
const BEGAN_MS = DAY * DAY_MS;

/** Two days and a half, a fact each 4 minutes. */
const facts = Array.from({ length: 900 }, (_, at) => ({
  timeMs: BEGAN_MS + at * 4 * 60_000,
  requestId: requestIdOf(at),
  tenantId: String(at % 3),
  keyId: at % 4 === 0 ? null : String(at % 5),
  provider: at % 2 === 0 ? 'openai' : 'anthropic',
  model: `model-${at % 4}`,
  status: at % 9 === 0 ? 429 : 200,
  input: at,
  cost: at % 7 === 0 ? null : `0.${at + 1}`,
}));
const END_MS = BEGAN_MS + 900 * 4 * 60_000;

const QUESTIONS: readonly (readonly Dimension[])[] = [
  ...VIEWS,
  [],
  ['key'],
  [...DIMENSIONS].reverse(),
];
const SPANS = [
  { fromMs: BEGAN_MS, toMs: END_MS },
  { fromMs: 0, toMs: END_MS + DAY_MS },
  { fromMs: BEGAN_MS + 5.5 * HOUR_MS, toMs: BEGAN_MS + 49.25 * HOUR_MS },
  { fromMs: BEGAN_MS + DAY_MS, toMs: BEGAN_MS + 2 * DAY_MS },
  { fromMs: BEGAN_MS + HOUR_MS / 2, toMs: BEGAN_MS + HOUR_MS },
];

let folder: string;
let ledger: SqliteLedger;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-spans-'));
  ledger = new SqliteLedger(folder);
});
afterEach(() => {
  ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

const told = (): readonly (readonly UsageRow[])[] => {
  const report = new UsageReport(folder);
  return SPANS.flatMap((span) => QUESTIONS.map((by) => report.by(by, span)));
};

/** Spans that are added up, of all files. */
function closed(): number {
  const files = new LedgerFiles(folder);
  return files.days().reduce((sum, day) => {
    const file = openSqlite(files.day(day), 'read');
    try {
      return sum + Number(file.prepare('SELECT count(*) AS n FROM closed').first()?.['n']);
    } finally {
      file.close();
    }
  }, 0);
}

test('every question is answered the same before, while and after hours and days are added up', () => {
  ledger.add(linesOf(facts));
  const before = told();
  expect(before[0]?.length).toBeGreaterThan(20);
  let steps = 0;
  while (ledger.sumUp(END_MS)) if (steps++ % 11 === 0) expect(told()).toEqual(before);
  expect(told()).toEqual(before);
  // The last hour is not over; neither is the last day.
  expect([steps, closed()]).toEqual([61, 61]);
});

test('facts that come behind their hour open it again, and it is added up anew', () => {
  ledger.add(linesOf(facts.filter((_, at) => at % 3 !== 0)));
  while (ledger.sumUp(END_MS));
  const late = facts.filter((_, at) => at % 3 === 0 && at < 60);
  ledger.add(linesOf(late));
  const expected = new Map<string, number>();
  for (const { tenantId } of [...late, ...facts.filter((_, at) => at % 3 !== 0)])
    expected.set(tenantId, (expected.get(tenantId) ?? 0) + 1);
  const countsOf = () =>
    new Map(
      new UsageReport(folder)
        .by(['tenant'], { fromMs: BEGAN_MS, toMs: END_MS })
        .map(({ by, usage }) => [by[0] ?? '', usage.facts]),
    );
  expect(countsOf()).toEqual(expected);
  // Four hours and their day.
  expect(closed()).toBe(61 - 5);
  while (ledger.sumUp(END_MS));
  expect(closed()).toBe(61);
  expect(countsOf()).toEqual(expected);
});

test('a day that its time has not ended for, and an hour of which facts may still come, are not added up', () => {
  ledger.add(linesOf(facts.slice(0, 15)));
  expect(ledger.sumUp(BEGAN_MS + HOUR_MS)).toBe(false);
  expect(ledger.sumUp(BEGAN_MS + 1.25 * HOUR_MS)).toBe(true);
  expect(ledger.sumUp(BEGAN_MS + 23 * HOUR_MS)).toBe(false);
  expect(ledger.sumUp(BEGAN_MS + 25 * HOUR_MS)).toBe(true);
  expect(ledger.sumUp(BEGAN_MS + 25 * HOUR_MS)).toBe(false);
});

test('files of the first version are read as they are, and brought up when they are written', () => {
  ledger.add(linesOf(facts));
  const before = told();
  ledger.close();
  const files = new LedgerFiles(folder);
  for (const day of files.days()) {
    const file = openSqlite(files.day(day), 'write');
    file.exec(
      'DROP TABLE sums; DROP TABLE closed; CREATE TABLE rollup_day (day, grp); PRAGMA user_version = 1',
    );
    file.close();
  }
  const kept = openSqlite(files.kept, 'write');
  const columns =
    'facts, requests, input, output, cache_read, cache_write, reasoning, duration_ms, cost, unpriced, estimated';
  kept.exec(`DROP TABLE sums; CREATE TABLE rollup_day (day, grp, file, ${columns});
    INSERT INTO groups VALUES (1, 't', 'k', 'agent', 'openai', 'm', '', '200'), (2, 't', 'k', 'agent', 'openai', 'n', '', '200');
    INSERT INTO folded VALUES (${DAY - 40});
    INSERT INTO rollup_day VALUES (${DAY - 40}, 1, ${DAY - 40}, 1, 1, 5, 5, 0, 0, 0, 9, 70, 0, 0), (${DAY - 40}, 2, ${DAY - 40}, 2, 2, 5, 5, 0, 0, 0, 9, 80, 0, 0);
    INSERT INTO total_quarter VALUES (${(DAY - 40) * 96}, ${DAY - 40}, 3, 3, 10, 10, 0, 0, 0, 18, 150, 0, 0);
    PRAGMA user_version = 1`);
  kept.close();
  ledger = new SqliteLedger(folder);
  const report = new UsageReport(folder);
  const old = { fromMs: (DAY - 40) * DAY_MS, toMs: (DAY - 39) * DAY_MS };
  expect(report.by(['tenant', 'key', 'class'], old)).toMatchObject([
    { by: ['t', 'k', 'agent'], usage: { facts: 3, cost: 150n } },
  ]);
  expect(report.by(['provider', 'model'], old)).toHaveLength(2);
  const ofThese = () =>
    SPANS.slice(2).flatMap((span) => QUESTIONS.map((by) => report.by(by, span)));
  expect(ofThese()).toEqual(before.slice(2 * QUESTIONS.length));
  while (ledger.sumUp(END_MS));
  expect(ofThese()).toEqual(before.slice(2 * QUESTIONS.length));
  expect(closed()).toBe(61);
});

test('a report that was asked before tells what has come since, also into an hour that was over', () => {
  ledger.add(linesOf(facts));
  while (ledger.sumUp(END_MS));
  const report = new UsageReport(folder);
  const asked = () => [
    report.by(['tenant'], { fromMs: BEGAN_MS, toMs: END_MS }),
    report.series('tenant', [BEGAN_MS, BEGAN_MS + DAY_MS + HOUR_MS / 4], END_MS, {}, 1),
  ];
  const before = asked();
  expect(asked()).toEqual(before);
  const late = {
    timeMs: BEGAN_MS + HOUR_MS,
    requestId: requestIdOf(99_999),
    tenantId: '1',
    input: 5,
  };
  ledger.add(linesOf([late]));
  const open = asked();
  expect(open).not.toEqual(before);
  expect(open[0]).toEqual(
    new UsageReport(folder).by(['tenant'], { fromMs: BEGAN_MS, toMs: END_MS }),
  );
  while (ledger.sumUp(END_MS));
  expect(asked()).toEqual(open);
});

test('an answer with more rows than may be is none, whether one file has them or all of them together', () => {
  ledger.add(linesOf(facts));
  while (ledger.sumUp(END_MS));
  const span = { fromMs: BEGAN_MS, toMs: END_MS };
  const dimensions = ['tenant', 'key'] as const;
  const rows = new UsageReport(folder).by(dimensions, span);
  const held = new UsageReport(folder, rows.length);
  expect(held.by(dimensions, span)).toEqual(rows);
  const less = new UsageReport(folder, rows.length - 1);
  expect(() => less.by(dimensions, span)).toThrow(TooManyRows);
  expect(() => less.by(dimensions, span)).toThrow(TooManyRows);
  expect(less.by(['tenant'], span)).toEqual(new UsageReport(folder).by(['tenant'], span));
  expect(() => new UsageReport(folder, 1).series('tenant', [BEGAN_MS], END_MS)).toThrow(
    TooManyRows,
  );
});
