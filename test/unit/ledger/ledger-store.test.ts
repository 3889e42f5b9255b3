import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LedgerFiles } from '../../../src/ledger/ledger-files.ts';
import { LedgerLock } from '../../../src/ledger/ledger-lock.ts';
import { SCHEMA_VERSION } from '../../../src/ledger/ledger-schema.ts';
import { SqliteLedger } from '../../../src/ledger/ledger-store.ts';
import { openSqlite } from '../../../src/ledger/sqlite.ts';
import { TimeZone } from '../../../src/ledger/time-zone.ts';
import { totalOf, UsageReport } from '../../../src/ledger/usage-report.ts';
import { factLine, linesOf, requestIdOf } from '../../support/facts.ts';

const NOON = Date.parse('2026-11-28T12:00:00Z');
const DAY_MS = 86_400_000;
const ALL = { fromMs: NOON - 400 * DAY_MS, toMs: NOON + 400 * DAY_MS };

let folder: string;
let ledger: SqliteLedger;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-ledger-'));
  ledger = new SqliteLedger(folder);
});
afterEach(() => {
  ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('a ledger', () => {
  test('gives back the lines of all attempts of a request, byte for byte, and no others', () => {
    const attempts = [1, 2, 3].map((attempt) => ({
      timeMs: NOON + attempt,
      requestId: requestIdOf(5),
      attempt,
      final: attempt === 3,
    }));
    const strange = { timeMs: NOON, requestId: 'req_of_somebody' };
    ledger.add(linesOf([...attempts, { timeMs: NOON, requestId: requestIdOf(6) }, strange]));
    expect(ledger.find(requestIdOf(5))).toEqual(attempts.map(factLine));
    expect(ledger.find('req_of_somebody')).toEqual([factLine(strange)]);
    expect(ledger.find(requestIdOf(7))).toEqual([]);
    expect(ledger.find('nonsense')).toEqual([]);
  });

  test('finds the attempts of a request on both sides of midnight', () => {
    const midnight = Date.parse('2026-11-29T00:00:00Z');
    const attempts = [midnight - 1, midnight].map((timeMs, at) => ({
      timeMs,
      requestId: requestIdOf(5),
      attempt: at + 1,
    }));
    ledger.add(linesOf(attempts));
    expect(ledger.find(requestIdOf(5))).toEqual(attempts.map(factLine));
  });

  test('takes a fact once, however often it comes', () => {
    const facts = linesOf([{ timeMs: NOON, requestId: requestIdOf(1), cost: '0.25' }]);
    expect(ledger.add(facts)).toEqual({ added: 1, known: 0, unreadable: 0 });
    expect(ledger.add(Buffer.concat([facts, facts]))).toEqual({
      added: 0,
      known: 2,
      unreadable: 0,
    });
    const rows = new UsageReport(folder).by(['tenant'], ALL);
    expect(rows).toHaveLength(1);
    expect(rows[0]?.usage).toMatchObject({ facts: 1, cost: 250_000_000_000n });
  });

  test('passes over what is no fact, and keeps what stands around it', () => {
    const lines = Buffer.concat([
      Buffer.from('{"event":"access"}\nnothing\n{"event":"ai.us\n'),
      linesOf([{ timeMs: NOON, requestId: requestIdOf(1) }]),
    ]);
    expect(ledger.add(lines)).toEqual({ added: 1, known: 0, unreadable: 3 });
  });

  test('goes on with what it had when it is opened again', () => {
    ledger.add(linesOf([{ timeMs: NOON, requestId: requestIdOf(1) }]));
    ledger.close();
    ledger = new SqliteLedger(folder);
    const more = ledger.add(
      linesOf([1, 2].map((number) => ({ timeMs: NOON, requestId: requestIdOf(number) }))),
    );
    expect(more).toEqual({ added: 1, known: 1, unreadable: 0 });
  });

  test('money beyond 2^53 pico-dollars is exact', () => {
    const facts = Array.from({ length: 100 }, (_, at) => ({
      timeMs: NOON + at * 20 * 60_000,
      requestId: requestIdOf(at),
      cost: '9007.199254740991',
    }));
    ledger.add(linesOf(facts));
    const report = new UsageReport(folder);
    expect(totalOf(report.by([], ALL))?.cost).toBe(100n * 9_007_199_254_740_991n);
    expect(totalOf(report.byDay(new TimeZone('UTC'), ALL))?.cost).toBe(
      100n * 9_007_199_254_740_991n,
    );
  });

  test('what a newer Sluice wrote is refused with a sentence, and not touched', () => {
    ledger.add(linesOf([{ timeMs: NOON, requestId: requestIdOf(1) }]));
    ledger.close();
    const path = new LedgerFiles(folder).day(Math.floor(NOON / DAY_MS));
    const file = openSqlite(path, 'write');
    file.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    file.close();
    expect(() => new SqliteLedger(folder)).toThrow(
      /was written by a newer Sluice .* Run that version/,
    );
    expect(() => new UsageReport(folder).by(['key'], ALL)).toThrow(/newer Sluice/);
  });

  test('a file that is somebody else’s is refused', () => {
    ledger.close();
    rmSync(new LedgerFiles(folder).kept);
    const file = openSqlite(new LedgerFiles(folder).kept, 'write');
    file.exec('CREATE TABLE theirs (a)');
    file.close();
    expect(() => new SqliteLedger(folder)).toThrow(/is no ledger of Sluice's/);
  });

  test('one lock is held by one at a time', () => {
    const { lock: path } = new LedgerFiles(folder);
    const first = new LedgerLock(path);
    const second = new LedgerLock(path);
    expect([first.take(), first.take(), second.take()]).toEqual([true, true, false]);
    first.release();
    expect(second.take()).toBe(true);
    second.release();
  });
});

describe('a report', () => {
  /** A fact each 7 minutes for three days, which adds up in every zone to the same. */
  const facts = Array.from({ length: 617 }, (_, at) => ({
    timeMs: NOON + at * 7 * 60_000,
    requestId: requestIdOf(at),
    tenantId: String(at % 3),
    model: `model-${at % 4}`,
    input: at,
    cost: at % 5 === 0 ? null : `0.${String(at + 1).padStart(6, '0')}`,
  }));

  test('by any dimension adds up to what the facts say', () => {
    ledger.add(linesOf(facts));
    const report = new UsageReport(folder);
    const input = facts.reduce((sum, { input: of }) => sum + of, 0);
    const unpriced = facts.filter(({ cost }) => cost === null).length;
    for (const by of [['tenant'], ['provider', 'model'], ['class'], ['status'], []] as const) {
      const total = totalOf(report.by(by, ALL));
      expect(total).toMatchObject({ facts: facts.length, input, unpriced });
    }
    const [first] = report.by(['provider', 'model'], ALL);
    expect(first?.by[0]).toBe('openai');
  });

  test('of a span counts the quarters of an hour within, whole days or not', () => {
    ledger.add(linesOf(facts));
    const report = new UsageReport(folder);
    const quarter = 900_000;
    for (const [from, to] of [
      [0, 3],
      [5, 90],
      [40, 150],
      [48, 144],
      [0, 400],
    ] as const) {
      const span = { fromMs: NOON + from * quarter, toMs: NOON + to * quarter };
      const within = facts.filter(({ timeMs }) => timeMs >= span.fromMs && timeMs < span.toMs);
      expect(totalOf(report.by(['tenant'], span))?.facts ?? 0).toBe(within.length);
    }
  });

  test.each([
    'UTC',
    'Asia/Kathmandu',
    'Pacific/Honolulu',
    'Pacific/Apia',
    'Australia/Lord_Howe',
    'America/St_Johns',
  ])('by days in %s puts each fact into its day there', (name) => {
    ledger.add(linesOf(facts));
    const zone = new TimeZone(name);
    const told = new UsageReport(folder).byDay(zone, ALL);
    const expected = Map.groupBy(facts, ({ timeMs }) =>
      new Date(timeMs).toLocaleDateString('sv-SE', { timeZone: name }),
    );
    expect(told.map(({ by, usage }) => [by[0], usage.facts])).toEqual(
      [...expected].map(([day, of]) => [day, of.length]),
    );
  });
});

describe('a time zone', () => {
  test.each([
    // Clocks go on and back: days of 23 and 25 hours.
    ['Europe/Berlin', '2026-03-29T15:00:00Z', '2026-03-28T23:00:00.000Z'],
    ['Europe/Berlin', '2026-10-25T15:00:00Z', '2026-10-24T22:00:00.000Z'],
    ['America/New_York', '2026-11-01T20:00:00Z', '2026-11-01T04:00:00.000Z'],
    // Clocks go on at midnight: the day begins at 01:00.
    ['America/Santiago', '2026-09-06T20:00:00Z', '2026-09-06T04:00:00.000Z'],
    ['Asia/Kathmandu', '2026-11-28T12:00:00Z', '2026-11-27T18:15:00.000Z'],
    ['UTC', '2026-11-28T12:00:00Z', '2026-11-28T00:00:00.000Z'],
  ])('in %s the day of %s began at %s', (name, at, began) => {
    expect(new Date(new TimeZone(name).dayStartMs(Date.parse(at))).toISOString()).toBe(began);
  });

  test('that there is none of is told so', () => {
    expect(() => new TimeZone('Middle/Earth')).toThrow(/There is no time zone "Middle\/Earth"/);
  });
});
