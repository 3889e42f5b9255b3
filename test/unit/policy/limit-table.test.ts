import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createLimitTable,
  LimitTable,
  MINUTE_US,
  monotonicUs,
  NO_ROW,
  RESERVED_ROWS,
  ROWS,
} from '../../../src/policy/limit-table.ts';
import { diesWithin } from '../../support/dead-owner.ts';

const two = () => {
  const memory = createLimitTable(2);
  return [new LimitTable(memory, 0), new LimitTable(memory, 1)] as const;
};

describe('LimitTable', () => {
  it('a name has one row, whichever worker asks, and another name another one', () => {
    const [a, b] = two();
    const rows = Array.from({ length: 1_000 }, (_, at) => a.place(`key ${at}`));
    expect(new Set(rows).size).toBe(1_000);
    expect(Array.from({ length: 1_000 }, (_, at) => b.place(`key ${at}`))).toEqual(rows);
  });

  it('without room a name has no row, and those that have one keep it', () => {
    const [a] = two();
    const first = a.place('key 0');
    let dropped = 0;
    for (let at = 0; at < ROWS + 2_000; at++) if (a.place(`key ${at}`) === NO_ROW) dropped++;
    expect(dropped).toBeGreaterThanOrEqual(2_000);
    expect(a.place('key 0')).toBe(first);
  });

  it('a name of the configuration has its place although passers-by have filled the table, and keeps it over reloads', () => {
    const [a, b] = two();
    const before = a.place('key 7');
    for (let at = 0; at < ROWS; at++) a.place(`passer-by ${at}`);
    expect(a.place('one more')).toBe(NO_ROW);
    const rows = Array.from({ length: RESERVED_ROWS }, (_, at) => a.place(`model ${at}`, true));
    expect(new Set(rows).size).toBe(RESERVED_ROWS);
    expect(rows).not.toContain(NO_ROW);
    expect(b.place('model 5', true)).toBe(rows[5]);
    // Named by a reload, or not any more: its state goes on.
    expect([b.place('model 5'), b.place('key 7', true)]).toEqual([rows[5], before]);
  });

  it('T2: what is reserved and given back late lets no more through in any window than one bucket and what came back', () => {
    const step = fc.record({
      waitMs: fc.nat({ max: 20_000 }),
      worker: fc.nat({ max: 1 }),
      cost: fc.integer({ min: 1, max: 60 }),
      used: fc.nat({ max: 60 }),
      lastsMs: fc.nat({ max: 120_000 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100 }),
        fc.array(step, { minLength: 1, maxLength: 120 }),
        (limit, steps) => {
          const tables = two();
          const row = tables[0].place('key 1');
          const unitUs = MINUTE_US / limit;
          // What a request really uses counts at the instant at which it was let through.
          const through: { readonly atUs: number; readonly used: number }[] = [];
          let open: { atUs: number; back: number; until: number; given: number }[] = [];
          let nowUs = 5_000_000;
          for (const { waitMs, worker, cost, used, lastsMs } of steps) {
            nowUs += waitMs * 1_000;
            const table = tables[worker] ?? tables[0];
            const due = open.filter(({ atUs }) => atUs <= nowUs).sort((a, b) => a.atUs - b.atUs);
            open = open.filter(({ atUs }) => atUs > nowUs);
            for (const { atUs, back, until, given } of due)
              tables[0].giveBack(row, atUs, back * unitUs, until, given);
            const wanted = Math.min(cost, limit);
            if (table.take(row, 'tokens', nowUs, wanted * unitUs) > 0) continue;
            const really = Math.min(used, wanted);
            through.push({ atUs: nowUs, used: really });
            open.push({
              atUs: nowUs + lastsMs * 1_000,
              back: wanted - really,
              until: table.takenUntilUs,
              given: table.givenBackUs(row),
            });
          }
          for (const [from, first] of through.entries()) {
            let sum = 0;
            for (const one of through.slice(from)) {
              sum += one.used;
              const windowUs = one.atUs - first.atUs;
              expect(sum).toBeLessThanOrEqual(limit + (limit * windowUs) / MINUTE_US + 1e-6);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('what was given back moves forward what was taken behind it: that comes back earlier, and is not given back as well', () => {
    const [table] = two();
    const row = table.place('key 1');
    const second = 1_000_000;
    expect(table.take(row, 'tokens', 0, 30 * second)).toBe(0);
    const first = [table.takenUntilUs, table.givenBackUs(row)] as const;
    expect(table.take(row, 'tokens', 0, 30 * second)).toBe(0);
    const behind = [table.takenUntilUs, table.givenBackUs(row)] as const;
    table.giveBack(row, 10 * second, 30 * second, ...first);
    expect(table.fullInUs(row, 'tokens', 10 * second)).toBe(30 * second);
    expect(table.take(row, 'tokens', 42 * second, 30 * second)).toBe(0);
    table.giveBack(row, 45 * second, 30 * second, ...behind);
    expect(table.fullInUs(row, 'tokens', 45 * second)).toBe(27 * second);
  });

  it('in any window no more gets through than the limit and one bucket, whatever workers do in between', () => {
    const step = fc.record({
      waitMs: fc.nat({ max: 4_000 }),
      worker: fc.nat({ max: 1 }),
      cost: fc.integer({ min: 1, max: 40 }),
      // What is used of it: less, or more, which is taken later.
      used: fc.nat({ max: 60 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(step, { minLength: 1, maxLength: 200 }),
        (limit, steps) => {
          const tables = two();
          const row = tables[0].place('key 1');
          const unitUs = MINUTE_US / limit;
          let nowUs = 5_000_000;
          const through: { readonly atUs: number; readonly cost: number }[] = [];
          for (const { waitMs, worker, cost } of steps) {
            nowUs += waitMs * 1_000;
            const wanted = Math.min(cost, limit);
            const table = tables[worker] ?? tables[0];
            if (table.take(row, 'tokens', nowUs, wanted * unitUs) === 0)
              through.push({ atUs: nowUs, cost: wanted });
          }
          for (const [from, first] of through.entries()) {
            let sum = 0;
            for (const one of through.slice(from)) {
              sum += one.cost;
              const windowUs = one.atUs - first.atUs;
              expect(sum).toBeLessThanOrEqual(limit + (limit * windowUs) / MINUTE_US + 1e-6);
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('threads that take and give back at the same moment lose nothing of each other', async () => {
    const memory = createLimitTable(3);
    const table = new LimitTable(memory, 2);
    const row = table.place('key 1');
    const rounds = 100_000;
    // Whole numbers of microseconds, so that their sum is exact; far below what fits.
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      const { memory, worker, module, row, rounds } = workerData;
      import(module).then(({ LimitTable }) => {
        const table = new LimitTable(memory, worker);
        let taken = 0;
        for (let round = 0; round < rounds; round++) {
          taken += table.take(row, 'requests', 0, 3, 1e12) === 0 ? 3 : 0;
          table.correct(row, 'requests', 0, -2);
          table.correct(row, 'tokens', 0, 5);
          table.giveBack(row, 0, 4, 1e12, 0);
        }
        parentPort.postMessage(taken);
      });`;
    const module = new URL('../../../src/policy/limit-table.ts', import.meta.url).href;
    const taken = await Promise.all(
      [0, 1].map(
        (worker) =>
          new Promise<number>((resolve, reject) => {
            const workerData = { memory, worker, module, row, rounds };
            new Worker(code, { eval: true, workerData }).on('message', resolve).on('error', reject);
          }),
      ),
    );
    expect(taken).toEqual([3 * rounds, 3 * rounds]);
    expect(table.fullInUs(row, 'requests', 0)).toBe(2 * rounds);
    expect(table.givenBackUs(row)).toBe(8 * rounds);
    expect(table.fullInUs(row, 'tokens', 0)).toBe(2 * rounds);
  });

  it('a worker that died within its lock holds up nobody', () => {
    const memory = createLimitTable(2);
    const main = new LimitTable(memory, null);
    const living = new LimitTable(memory, 1);
    const row = living.place('key 1');
    living.take(row, 'requests', 0, 10);
    // The lock is the first word of a row's last cell: it holds the first worker's mark, for ever.
    const lock = new Int32Array(memory, 8 + (row * 7 + 6) * 8, 1);
    lock[0] = 2;
    main.forget(1);
    expect(lock[0]).toBe(2);
    main.forget(0);
    expect(living.take(row, 'requests', 0, 10)).toBe(0);
    expect(living.fullInUs(row, 'requests', 0)).toBe(20);
  });

  it('the main thread waits for a row whose owner died for a moment, counts that, and goes on once it has heard', async () => {
    const memory = createLimitTable(2);
    const main = new LimitTable(memory, null);
    const row = main.place('key 1');
    // What is asked for is looked at under the row's lock.
    const code = `({ LimitTable }, memory) => {
      const table = new LimitTable(memory, 0);
      table.take(table.place('key 1'), 'requests', 0, { valueOf() { process.exit(); } });
    }`;
    await diesWithin(memory, '../../src/policy/limit-table.ts', code);
    expect(main.correct(row, 'requests', 0, 10)).toBe(false);
    expect(main.refill(row, 'requests', 0, 0.5, 1)).toBe(false);
    expect(main.locksGivenUp).toBe(2);
    main.forget(0);
    expect(main.correct(row, 'requests', 0, 10)).toBe(true);
    expect(main.fullInUs(row, 'requests', 0)).toBe(10);
    expect(main.locksGivenUp).toBe(2);
  });

  it('what is told to be the wait is true: a millisecond before it refuses, at it lets through', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10_000 }),
        fc.array(fc.nat({ max: 500 }), { minLength: 1, maxLength: 60 }),
        (limit, waits) => {
          const [table, other] = two();
          const row = table.place('key 1');
          const costUs = MINUTE_US / limit;
          let nowUs = 1_000_000;
          for (const waitMs of waits) {
            nowUs += waitMs * 1_000;
            while (table.take(row, 'requests', nowUs, costUs) === 0);
            const us = table.take(row, 'requests', nowUs, costUs);
            const ms = Math.ceil(us / 1_000);
            expect(other.waitUs(row, 'requests', nowUs + (ms - 1) * 1_000, costUs)).toBeGreaterThan(
              0,
            );
            expect(other.waitUs(row, 'requests', nowUs + ms * 1_000, costUs)).toBe(0);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('what is given back is there again, and no more than a bucket ever is', () => {
    const [table] = two();
    const row = table.place('key 1');
    const unitUs = MINUTE_US / 100;
    expect(table.take(row, 'tokens', 0, 80 * unitUs)).toBe(0);
    expect(table.waitUs(row, 'tokens', 0, 30 * unitUs)).toBeCloseTo(10 * unitUs);
    table.correct(row, 'tokens', 0, -80 * unitUs);
    expect(table.take(row, 'tokens', 0, 100 * unitUs)).toBe(0);
    table.correct(row, 'tokens', 0, -500 * unitUs);
    expect(table.take(row, 'tokens', 0, 100 * unitUs)).toBe(0);
    table.correct(row, 'tokens', 0, 50 * unitUs);
    expect(table.fullInUs(row, 'tokens', 0)).toBeGreaterThan(0);
  });

  it('in flight is counted over all workers, and a worker that begins again has nothing in flight', () => {
    const [a, b] = two();
    const row = a.place('key 1');
    expect([a.enter(row, 3), b.enter(row, 3), b.enter(row, 3)]).toEqual([true, true, true]);
    expect([a.enter(row, 3), b.enter(row, 3), a.inFlight(row)]).toEqual([false, false, 3]);
    b.reset();
    expect([a.inFlight(row), a.enter(row, 3)]).toEqual([1, true]);
    a.leave(row);
    a.leave(row);
    expect(b.inFlight(row)).toBe(0);
  });
});

it("the clock of limits is the system's, whichever thread asks: to a tenth of a millisecond", async () => {
  const system = (): number => Number(process.hrtime.bigint()) / 1_000;
  const module = new URL('../../../src/policy/limit-table.ts', import.meta.url);
  const script = `
    import { parentPort } from 'node:worker_threads';
    import { monotonicUs } from ${JSON.stringify(module.href)};
    const offBy = Array.from({ length: 50 }, () => monotonicUs() - Number(process.hrtime.bigint()) / 1_000);
    parentPort.postMessage(Math.min(...offBy.map(Math.abs)));`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`));
  const [offThere] = (await once(worker, 'message')) as [number];
  await worker.terminate();
  const here = Array.from({ length: 50 }, () => Math.abs(monotonicUs() - system()));
  expect(offThere).toBeLessThan(100);
  expect(Math.min(...here)).toBeLessThan(100);
});
