import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createBudgetTable } from '../../../src/budget/budget-table.ts';
import { loadConfig } from '../../../src/config/config.ts';
import { Audit } from '../../../src/console/audit.ts';
import { ConsoleRoom } from '../../../src/console/console-room.ts';
import { Front } from '../../../src/console/front.ts';
import type { Operation } from '../../../src/console/operation.ts';
import { operationTable } from '../../../src/console/operation-table.ts';
import { Sessions } from '../../../src/console/sessions.ts';
import { WrongCredentials } from '../../../src/console/wrong-credentials.ts';
import { createDenyTable } from '../../../src/deny/deny-table.ts';
import { createHealthTable } from '../../../src/plan/health.ts';
import { createPinTable } from '../../../src/plan/pins.ts';
import { createLimitTable } from '../../../src/policy/limit-table.ts';

function rows(): readonly Operation[] {
  const { document } = loadConfig({ env: {} });
  const log = { write() {} };
  const sessions = new Sessions();
  const tables = {
    memory: new SharedArrayBuffer(8),
    health: createHealthTable(),
    pins: createPinTable(),
    limits: createLimitTable(1),
    budgets: createBudgetTable(1, true),
    deny: createDenyTable(1_024),
  };
  const config = { document, slots: [], source: null };
  const room = new ConsoleRoom({
    start: { config, tables, node: 'a', startedMs: 0, listen: { host: '127.0.0.1', port: 1 } },
    log,
    sessions,
    audit: new Audit(null, log),
    live: { over() {} },
    ask() {},
  });
  const front = new Front(sessions, new WrongCredentials(), log, () => {
    throw new Error('nobody is let in');
  });
  return operationTable(room, front);
}

/** As the documentation has it. */
function tableOf(operations: readonly Operation[]): string {
  const lines = operations.map(
    ({ id, method, path, role, isNodeWide, summary }) =>
      `| \`${id}\` | \`${method} ${path}\` | ${role}${isNodeWide === true ? ', of the whole node' : ''} | ${summary} |`,
  );
  return ['| operation | call | role | |', '|---|---|---|---|', ...lines].join('\n');
}

test('the documentation has every operation, as its row says it', () => {
  const text = readFileSync('docs/admin-api.md', 'utf8');
  expect(text).toContain(`\n${tableOf(rows())}\n`);
});

test('each operation has a name and a call of its own, and whatever writes says so', () => {
  const all = rows();
  expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
  expect(new Set(all.map(({ method, path }) => `${method} ${path}`)).size).toBe(all.length);
  const silent = all.filter(({ method, writes }) => method !== 'GET' && !writes);
  expect(silent.map(({ id }) => id)).toEqual(['explain']);
});
