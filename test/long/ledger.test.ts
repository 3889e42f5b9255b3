import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { LedgerFiles } from '../../src/ledger/ledger-files.ts';
import { openSqlite } from '../../src/ledger/sqlite.ts';
import { TimeZone } from '../../src/ledger/time-zone.ts';
import { totalOf, UsageReport } from '../../src/ledger/usage-report.ts';

const KILLS = 100;
/** However slow the machine is, this is enough; a kill that did not come in this time is not made. */
const BUDGET_MS = 50_000;
/** A writer lives at most so long behind its first batch, in milliseconds. */
const LIFE_MS = 120;

/** The same for all writers: a fact that is told again is to be the same. */
const MIDNIGHT = Math.floor(Date.now() / 86_400_000) * 86_400_000;

const WRITER = fileURLToPath(new URL('../support/killed-ledger.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sluice-killed-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** @returns up to which number facts were said to be kept */
async function writeUntilKilled(first: number, lifeMs: number): Promise<number> {
  const child = spawn(process.execPath, [WRITER, folder, String(first), String(MIDNIGHT)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let told = '';
  let isDoomed = false;
  child.stdout.on('data', (text: Buffer) => {
    told += text.toString();
    if (isDoomed) return;
    isDoomed = true;
    setTimeout(() => child.kill('SIGKILL'), lifeMs);
  });
  await new Promise<void>((resolve) => child.once('close', () => resolve()));
  return Number(told.trim().split('\n').at(-1) || first);
}

/** What the files of days say, by their facts and by their sums: read as a stranger with SQL would. */
function audit(): { readonly numbers: Set<number>; readonly doubles: number } {
  const files = new LedgerFiles(folder);
  const numbers = new Set<number>();
  let doubles = 0;
  for (const day of files.days()) {
    const file = openSqlite(files.day(day), 'read');
    try {
      // Many of them are more than a JavaScript number holds.
      const sums = 'sum(input) AS input, sum(cost / 1000000) AS high, sum(cost % 1000000) AS low';
      const facts = file.prepare(`SELECT count(*) AS facts, ${sums} FROM facts`).first();
      for (const table of ['rollup_quarter', 'total_quarter'])
        expect(
          file.prepare(`SELECT coalesce(sum(facts), 0) AS facts, ${sums} FROM ${table}`).first(),
        ).toEqual(facts);
      for (const { number } of file.prepare('SELECT number FROM facts').all()) {
        if (numbers.has(Number(number))) doubles++;
        numbers.add(Number(number));
      }
    } finally {
      file.close();
    }
  }
  return { numbers, doubles };
}

test('D1, D4: killed up to a hundred times at any instant, what was said to be kept is there once, and sums are what facts say', async () => {
  const endMs = performance.now() + BUDGET_MS;
  let first = 0;
  let kills = 0;
  const span = { fromMs: 0, toMs: Date.now() + 86_400_000 };
  while (kills < KILLS && performance.now() < endMs) {
    const kept = await writeUntilKilled(first, Math.random() * LIFE_MS);
    kills++;
    const { numbers, doubles } = audit();
    expect(doubles).toBe(0);
    const report = new UsageReport(folder);
    const total = totalOf(report.by(['tenant'], span))?.facts ?? 0;
    expect(totalOf(report.byDay(new TimeZone('Asia/Kathmandu'), span))?.facts ?? 0).toBe(total);
    // A batch that was in the middle may be there in part: a day of it.
    expect(total).toBeGreaterThanOrEqual(kept);
    expect(total).toBeLessThanOrEqual(kept + 40);
    expect(numbers.size).toBeLessThanOrEqual(total);
    // The next one is told what this one may not have kept.
    first = kept;
  }
  process.stdout.write(`${kills} kills, ${first} facts\n`);
  expect(kills).toBeGreaterThan(5);
}, 120_000);
