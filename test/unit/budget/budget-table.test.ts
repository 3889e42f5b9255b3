import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { BUDGET_ROWS, NO_ROW, rowName } from '../../../src/budget/budget-table.ts';
import {
  claim,
  DAY,
  interleaved,
  MONTH,
  settle,
  stateOf,
  tables,
} from '../../support/budget-interleavings.ts';
import { diesWithin } from '../../support/dead-owner.ts';

/** In the first worker: reserves of a row, and dies when its limit is looked at, which is under the row's lock. */
const DIES = `({ BudgetTable, rowName, NO_ROW }, memory) => {
  const claim = { name: rowName('key 1 day'), row: NO_ROW, label: ${DAY}, enforced: true, get limit() { process.exit(); } };
  new BudgetTable(memory, 0).reserve([claim], 100);
}`;
const TABLE = '../../src/budget/budget-table.ts';

describe('BudgetTable', () => {
  test('what does not fit one row is taken from none', () => {
    const { main, workers } = tables(1);
    const [worker] = workers;
    const key = claim('key 1 day', 1_000);
    const tenant = claim('tenant 1 day', 300);
    expect(worker?.reserve([key, tenant], 300)).toMatchObject({ kind: 'taken' });
    expect(worker?.reserve([key, tenant], 1)).toEqual({ kind: 'short', at: 1, of: 'limit' });
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 300, spent: 0 });
  });

  test('what is taken later fits all rows that hold to it or none, and one that does not hold is taken from all the same', () => {
    const { main, workers } = tables(1);
    const [worker] = workers;
    const claims = [claim('key 1 day', 1_000), claim('tenant 1 day', 500)];
    worker?.reserve(claims, 400);
    const holds = (): boolean => false;
    expect(worker?.reserveMore(claims, 101, holds)).toEqual({ at: 1, of: 'limit' });
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 400 });
    expect(worker?.reserveMore(claims, 100, holds)).toBeNull();
    expect(worker?.reserveMore(claims, 500, (at) => at === 1)).toBeNull();
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 1_000 });
    expect(stateOf(main, 'tenant 1 day')).toMatchObject({ reserved: 1_000 });
    expect(worker?.reserveMore(claims, 1, (at) => at === 1)).toEqual({ at: 0, of: 'limit' });
  });

  test('of what does not fit as much is taken as all rows that hold to it have room for', () => {
    const { main, workers } = tables(1);
    const [worker] = workers;
    const claims = [claim('key 1 day', 1_000), claim('tenant 1 day', 500)];
    worker?.reserve(claims, 400);
    expect(worker?.reserveRest(claims, 300, () => false)).toBe(100);
    expect(worker?.reserveRest(claims, 300, () => false)).toBe(0);
    expect(worker?.reserveRest(claims, 300, (at) => at === 1)).toBe(300);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 800 });
    expect(stateOf(main, 'tenant 1 day')).toMatchObject({ reserved: 800 });
  });

  test('what is taken later of a window that is over is taken from none, and settles to nothing in the next', () => {
    const { main, workers } = tables(1);
    const [worker] = workers;
    const old = claim('key 1 day', 100);
    worker?.reserve([old], 100);
    worker?.reserve([claim('key 1 day', 100, DAY + 1)], 60);
    expect(worker?.reserveMore([old], 1_000, () => false)).toBeNull();
    expect(old.label).toBe(DAY);
    if (worker !== undefined) settle(worker, old, 1_100, 1_100);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ label: DAY + 1, reserved: 60, spent: 0 });
  });

  test('G3: whatever fits exactly is let through, and one nano-dollar more is not', () => {
    const { workers } = tables(2);
    const [a, b] = workers;
    const key = () => claim('key 1 day', 1_000);
    expect(a?.reserve([key()], 400).kind).toBe('taken');
    expect(b?.reserve([key()], 601).kind).toBe('short');
    expect(b?.reserve([key()], 600).kind).toBe('taken');
  });

  test('G8: another limit counts from the next request on; what was spent stays, and nothing is cut', () => {
    const { main, workers } = tables(1);
    const [worker] = workers;
    const first = claim('key 1 day', 1_000);
    worker?.reserve([first], 500);
    if (worker !== undefined) settle(worker, first, 500, 450);
    expect(worker?.reserve([claim('key 1 day', 400)], 1)).toMatchObject({ kind: 'short' });
    expect(worker?.reserve([claim('key 1 day', 500)], 50).kind).toBe('taken');
    expect(stateOf(main, 'key 1 day')).toMatchObject({ spent: 450, reserved: 50, limit: 500 });
  });

  test('a next window begins with nothing, and what is settled late of the last one is not in it', () => {
    const { main, workers } = tables(1);
    const [worker] = workers;
    const late = claim('key 1 day', 1_000);
    worker?.reserve([late], 900);
    expect(worker?.reserve([claim('key 1 day', 1_000, DAY + 1)], 1_000).kind).toBe('taken');
    if (worker !== undefined) settle(worker, late, 900, 900);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ label: DAY + 1, spent: 0, reserved: 1_000 });
    // A clock that steps back stays in the window that has begun.
    const back = claim('key 1 day', 1_000);
    expect(worker?.reserve([back], 1).kind).toBe('short');
    expect(back.label).toBe(DAY + 1);
  });

  test('a worker that died takes its reservations with it, and the others’ stay', () => {
    const { main, workers } = tables(2);
    const [a, b] = workers;
    const key = () => claim('key 1 day', 1_000);
    a?.reserve([key()], 300);
    b?.reserve([key()], 200);
    main.forget(0);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 200, spent: 0 });
  });

  test('a worker that died within its lock holds up nobody', () => {
    const { memory, main, workers } = tables(2);
    const key = claim('key 1 day', 1_000);
    workers[1]?.reserve([key], 100);
    // The lock is the row's first word: it holds the first worker's mark, for ever.
    new Int32Array(memory, 64 + key.row * 16, 1)[0] = 2;
    main.forget(0);
    expect(workers[1]?.reserve([claim('key 1 day', 1_000)], 100).kind).toBe('taken');
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 200 });
  });

  test('the main thread waits for a row whose owner died for a moment, counts that, and has all of it once it has heard', async () => {
    const { memory, main, workers } = tables(2, false);
    const key = claim('key 1 day', 1_000);
    workers[1]?.reserve([key], 0);
    main.grant(key.name, key.row, DAY, 500, 0);
    workers[1]?.reserve([key], 200);
    await diesWithin(memory, TABLE, DIES);
    const { name, row } = key;
    const began = performance.now();
    expect(main.read(name, row)).toBeNull();
    expect(performance.now() - began).toBeGreaterThan(50);
    expect(main.grant(name, row, DAY, 900, 0)).toBe(500);
    expect(main.warned(name, row, DAY, 1)).toBe(false);
    expect(main.restore(name, DAY, 1_000, 7, 0)).toBe(false);
    main.heard(name, row);
    expect(main.locksGivenUp).toBe(5);
    main.forget(0);
    expect(main.read(name, row)).toMatchObject({ granted: 500, reserved: 200, spent: 0, told: 0 });
    expect(main.grant(name, row, DAY, 900, 0)).toBe(900);
    expect(main.warned(name, row, DAY, 1)).toBe(true);
    expect(main.locksGivenUp).toBe(5);
  });

  test('what a dead worker had reserved of a row that another one died with is given back once, whatever was reserved since', async () => {
    const { memory, main, workers } = tables(3);
    const key = () => claim('key 1 day', 1_000);
    workers[1]?.reserve([key()], 300);
    workers[2]?.reserve([key()], 40);
    await diesWithin(memory, TABLE, DIES);
    main.forget(1);
    expect(main.locksGivenUp).toBe(2);
    main.forget(0);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 40 });
    // Its successor has the same place.
    workers[1]?.reserve([key()], 5);
    main.giveBackOwed();
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 45 });
    workers[1]?.reserve([key()], 20);
    await diesWithin(memory, TABLE, DIES);
    main.forget(1);
    const row = key();
    expect(main.read(row.name, main.find(row.name))).toBeNull();
    main.forget(0);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ reserved: 40 });
  });

  test('what a dead worker had reserved of a window that is over meanwhile is not given back in the next', async () => {
    const { memory, main, workers } = tables(3);
    workers[1]?.reserve([claim('key 1 day', 1_000)], 300);
    await diesWithin(memory, TABLE, DIES);
    main.forget(1);
    // The lock is let go of without what is owed: as if the main thread had not come to it.
    const at = main.find(rowName('key 1 day'));
    new Int32Array(memory, 64 + at * 16, 1)[0] = 0;
    workers[1]?.reserve([claim('key 1 day', 1_000, DAY + 1)], 70);
    main.forget(0);
    expect(stateOf(main, 'key 1 day')).toMatchObject({ label: DAY + 1, reserved: 70 });
  });

  test('what is not enforced is taken all the same, and told', () => {
    const { workers } = tables(1);
    const soft = () => claim('key 1 day', 100, DAY, false);
    const hard = () => claim('tenant 1 day', 1_000);
    expect(workers[0]?.reserve([soft(), hard()], 150)).toEqual({ kind: 'taken', overdrawn: [0] });
    expect(workers[0]?.reserve([soft(), hard()], 900)).toEqual({
      kind: 'short',
      at: 1,
      of: 'limit',
    });
  });

  test('where budgets are granted, nothing is let through beyond the grant, and what was wanted is told', () => {
    const { main, workers } = tables(1, false);
    const [worker] = workers;
    const key = claim('key 1 day', 1_000);
    expect(worker?.reserve([key], 100)).toEqual({ kind: 'short', at: 0, of: 'grant' });
    expect(stateOf(main, 'key 1 day')).toMatchObject({ wanted: 100, granted: 0 });
    expect(main.grant(key.name, key.row, DAY, 250, 0)).toBe(250);
    main.heard(key.name, key.row);
    expect(worker?.reserve([key], 100).kind).toBe('taken');
    expect(worker?.reserve([key], 151)).toEqual({ kind: 'short', at: 0, of: 'grant' });
    expect(worker?.reserve([key], 901)).toEqual({ kind: 'short', at: 0, of: 'limit' });
    // Handed back is only what nobody uses.
    expect(main.grant(key.name, key.row, DAY, 0, 900)).toBe(100);
    expect(main.grant(key.name, key.row, DAY - 1, 500, 0)).toBe(0);
  });

  test('who finds no room is told so, and rows of windows that are over are taken again', () => {
    const { workers } = tables(1);
    const [worker] = workers;
    if (worker === undefined) throw new Error('no worker');
    const dropped: string[] = [];
    for (let at = 0; at < BUDGET_ROWS + 2_000; at++)
      if (worker.place(rowName(`key ${at} day`), DAY) === NO_ROW) dropped.push(`key ${at} day`);
    expect(dropped.length).toBeGreaterThanOrEqual(2_000);
    const name = dropped.at(-1) ?? '';
    expect(worker.reserve([claim(name, 10)], 1)).toEqual({ kind: 'full', at: 0 });
    // A month that has begun since says nothing of days; one behind all of them does.
    expect(worker.reserve([claim(name, 10, MONTH + 1)], 1).kind).toBe('full');
    expect(worker.reserve([claim(name, 10, DAY + 1)], 1).kind).toBe('taken');
  });

  test('what was spent before a restart is there again', () => {
    const { main, workers } = tables(1);
    expect(main.restore(rowName('key 1 day'), DAY, 1_000, 990, 7)).toBe(true);
    expect(workers[0]?.reserve([claim('key 1 day', 1_000)], 11).kind).toBe('short');
    expect(workers[0]?.reserve([claim('key 1 day', 1_000)], 10).kind).toBe('taken');
    expect(stateOf(main, 'key 1 day')).toMatchObject({ spent: 990, told: 7 });
  });

  test('G1, G2: whatever 200 clients do on three workers that die, no budget is passed by more than costs exceeded what was reserved, none is refused that fits, and in the end nothing is reserved', () => {
    expect(interleaved(400)).toBe(400);
  });

  test('three threads at once take exactly what there is, and no nano-dollar is lost', async () => {
    const { memory, main } = tables(3);
    const LIMIT = 30_000;
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.module).then(({ BudgetTable, rowName, NO_ROW }) => {
        const table = new BudgetTable(workerData.memory, workerData.worker);
        let taken = 0; let short = 0;
        const names = ['key 1 day', 'tenant 1 day', 'tenant 1 month'];
        for (let round = 0; round < 4000; round++) {
          // Each thread in another order: whoever locked in that order would wait for ever.
          const claims = names.map((_, at) => {
            const name = names[(at + workerData.worker) % 3];
            return { name: rowName(name), row: NO_ROW, label: name.endsWith('month') ? 202611 : 20261128, limit: ${LIMIT}, enforced: true };
          });
          if (table.reserve(claims, 10).kind !== 'taken') { short++; continue; }
          taken += 4;
          for (const { name, row, label } of claims) table.settle(name, row, label, 10, 4);
        }
        parentPort.postMessage({ taken, short });
      });`;
    const module = new URL('../../../src/budget/budget-table.ts', import.meta.url).href;
    const came = await Promise.all(
      [0, 1, 2].map(
        (worker) =>
          new Promise<{ taken: number; short: number }>((resolve, reject) => {
            const thread = new Worker(code, { eval: true, workerData: { memory, worker, module } });
            thread.once('message', resolve);
            thread.once('error', reject);
          }),
      ),
    );
    const taken = came.reduce((sum, one) => sum + one.taken, 0);
    for (const name of ['key 1 day', 'tenant 1 day', 'tenant 1 month'])
      expect(stateOf(main, name)).toMatchObject({ reserved: 0, spent: taken });
    // 10 has to fit for a moment, so that the last few are not used.
    expect(taken).toBeGreaterThan(LIMIT - 10);
    expect(taken).toBeLessThanOrEqual(LIMIT);
    expect(came.some(({ short }) => short > 0)).toBe(true);
  });
});
