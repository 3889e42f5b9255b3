/**
 * Writes a ledger until it is killed: a batch after another, each told on stdout when it is kept.
 * `node killed-ledger.ts FOLDER FIRST MIDNIGHT`: facts are numbered from FIRST on, around an instant; some are told twice.
 */

import { writeSync } from 'node:fs';
import { dayOf } from '../../src/ledger/ledger-files.ts';
import { SqliteLedger } from '../../src/ledger/ledger-store.ts';
import { Retention } from '../../src/ledger/retention.ts';
import { linesOf, requestIdOf } from './facts.ts';

const [folder = '', first = '0', midnight = '0'] = process.argv.slice(2);
const BATCH = 40;
const DAY_MS = 86_400_000;
/** Two days, so that a batch is two transactions, and an old one that is on its way out. */
const BEGAN_MS = Number(midnight) - BATCH * 500;

const ledger = new SqliteLedger(folder);
const retention = new Retention(ledger, 3);
for (let from = Number(first); ; from += BATCH) {
  const facts = Array.from({ length: BATCH }, (_, at) => ({
    timeMs: at % 10 === 9 ? BEGAN_MS - 9 * DAY_MS : BEGAN_MS + at * 1_000,
    requestId: requestIdOf(from + at),
    tenantId: String(at % 3),
    cost: at % 5 === 0 ? null : `0.${from + at + 1}`,
  }));
  const lines = linesOf(facts);
  ledger.add(lines);
  if (from % 3 === 0) ledger.add(lines);
  writeSync(1, `${from + BATCH}\n`);
  if (from % 7 === 0) retention.step(dayOf(Number(midnight)), () => true);
}
