/**
 * `npm run bench:ledger -- [FACTS] [FOLDER]`: a month of facts made up, written as the ledger's thread does, and every question
 * of `sluice usage` and of the console's screens asked of them. Ten million take minutes and a gigabyte, so it is run by hand and not in CI.
 */

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BY } from '../src/command/usage.ts';
import { FactSearch } from '../src/ledger/fact-search.ts';
import { dayOf } from '../src/ledger/ledger-files.ts';
import { SqliteLedger } from '../src/ledger/ledger-store.ts';
import { Retention } from '../src/ledger/retention.ts';
import { TimeZone } from '../src/ledger/time-zone.ts';
import { UsageReport } from '../src/ledger/usage-report.ts';
import { type Step, stepsOf } from '../src/ledger/usage-steps.ts';
import { requestIdOf } from '../test/support/facts.ts';
import { DAY_MS, DAYS, KEYS, MODELS, writeMonth } from './ends/made-month.ts';

const FACTS = Number(process.argv[2] ?? 10_000_000);

const folder = process.argv[3] ?? mkdtempSync(join(tmpdir(), 'sluice-ledger-bench-'));
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const { beganMs, keptUs, summedUs, longestStepMs } = writeMonth(folder, FACTS);
const size = readdirSync(join(folder, 'ledger')).reduce(
  (sum, name) => sum + statSync(join(folder, 'ledger', name)).size,
  0,
);
say(`${FACTS} facts of ${DAYS} days, ${KEYS} keys, ${MODELS} models`);
say(
  `written: ${keptUs.toFixed(1)} us of CPU a fact, ${Math.floor(1e6 / keptUs)} a second on one core`,
);
say(
  `added up: ${summedUs.toFixed(2)} us of CPU a fact, the longest step ${longestStepMs.toFixed(0)} ms`,
);
say(`size: ${(size / 1e6).toFixed(0)} MB, ${(size / FACTS).toFixed(0)} bytes a fact`);

const report = new UsageReport(folder);
const nowMs = Date.now();
const month = { fromMs: beganMs + 5.3 * 3_600_000, toMs: nowMs };
const questions: readonly (readonly [string, () => number])[] = [
  ...Object.entries(BY).map(
    ([name, dimensions]) =>
      [`by ${name}, 30 days`, () => report.by(dimensions, month).length] as const,
  ),
  ...['UTC', 'Asia/Kathmandu', 'America/St_Johns'].map(
    (zone) =>
      [`by day in ${zone}, 30 days`, () => report.byDay(new TimeZone(zone), month).length] as const,
  ),
  [
    'by key, a day and a half',
    () => report.by(BY.key, { fromMs: beganMs + DAY_MS / 2, toMs: beganMs + 2 * DAY_MS }).length,
  ],
  ['by tenant and model (no view), 30 days', () => report.by(['tenant', 'model'], month).length],
];
for (const [name, ask] of questions) {
  const before = performance.now();
  const rows = ask();
  say(`${name}: ${(performance.now() - before).toFixed(0)} ms, ${rows} rows`);
}

/** How often a screen asks: first it is asked of the files, then of what is known. */
const TURNS = 40;

/** CPU milliseconds: others' work on the machine is not in them. */
function asked(name: string, ask: () => unknown): void {
  const times: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    const before = process.cpuUsage();
    ask();
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1_000);
  }
  const [first = 0] = times;
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): string => (sorted[Math.floor(share * (TURNS - 1))] ?? 0).toFixed(0);
  say(`${name}: first ${first.toFixed(0)} ms, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms of CPU`);
}

const screens = new UsageReport(folder);
const search = new FactSearch(folder);
const endMs = dayOf(nowMs) * DAY_MS - 3_600_000;
const last = (days: number) => ({ fromMs: endMs - days * DAY_MS, toMs: endMs });
const over = (zone: string, step: Step, days: number): readonly number[] =>
  stepsOf(new TimeZone(zone), step, last(days)) ?? [];
const all = { ...last(30), filters: {}, outcome: null, onlyFinal: true, idPrefix: '' };
asked('usage: by key, 30 days', () => screens.by(BY.key, last(30)));
asked('usage: by tenant and model (no view), 30 days', () =>
  screens.by(['tenant', 'model'], last(30)),
);
asked('usage: by model of one tenant, 30 days', () =>
  screens.by(['model'], last(30), { tenant: ['7'] }),
);
for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'Pacific/Honolulu'])
  asked(`spend: days in ${zone} by key, 30 days`, () =>
    screens.series('key', over(zone, 'day', 30), endMs, {}, 8),
  );
asked('spend: days in Asia/Kathmandu by model of one tenant, 30 days', () =>
  screens.series('model', over('Asia/Kathmandu', 'day', 30), endMs, { tenant: ['7'] }, 8),
);
asked('spend: hours by key, 7 days', () =>
  screens.series('key', over('UTC', 'hour', 7), endMs, {}, 8),
);
asked('spend: quarters of an hour by tenant, a day', () =>
  screens.series('tenant', over('UTC', 'quarter', 1), endMs, {}, 8),
);
asked('requests: the youngest 100', () => search.page(all, null, 100));
asked('requests: 100 of one key', () =>
  search.page({ ...all, filters: { key: [String(KEYS - 1)] } }, null, 100),
);
asked('requests: of an outcome that nobody had', () =>
  search.page({ ...all, outcome: 'client_gone' }, null, 100),
);
asked('requests: by the beginning of an id', () =>
  search.page({ ...all, idPrefix: requestIdOf(FACTS >> 1).slice(0, -2) }, null, 100),
);
asked('request: all attempts of one', () => search.find(requestIdOf(FACTS >> 1)));
search.close();

const again = new SqliteLedger(folder);
const retention = new Retention(again, DAYS - 1);
let longest = 0;
let whole = 0;
for (;;) {
  const before = performance.now();
  if (!retention.step(dayOf(Date.now()), () => true)) break;
  const took = performance.now() - before;
  longest = Math.max(longest, took);
  whole += took;
}
say(`a day goes: ${whole.toFixed(0)} ms in all, its longest step ${longest.toFixed(0)} ms`);
again.close();
rmSync(folder, { recursive: true, force: true });
