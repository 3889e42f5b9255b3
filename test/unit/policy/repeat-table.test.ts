import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createRepeatTable,
  MINUTE_MS,
  type RepeatPrint,
  RepeatTable,
} from '../../../src/policy/repeat-table.ts';

/** Two workers of one node. */
function node() {
  const memory = createRepeatTable();
  const counts = { dropped: 0 };
  const tables = [0, 1].map(() => new RepeatTable(memory, () => counts.dropped++));
  const take = (worker: number, print: RepeatPrint, nowMs: number, perMinute = 20): number =>
    tables[worker]?.take(print, nowMs, perMinute) ?? Number.NaN;
  return { take, counts };
}

const ONE: RepeatPrint = { set: 5, own: 77 };

describe('RepeatTable', () => {
  it('lets so many through in a minute over all workers, and tells the true wait', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 0, max: 2 ** 33 }),
        (perMinute, nowMs) => {
          const { take } = node();
          for (let at = 0; at < perMinute; at++)
            expect(take(at % 2, ONE, nowMs, perMinute)).toBe(0);
          const waitMs = take(0, ONE, nowMs, perMinute);
          expect(waitMs).toBeGreaterThan(0);
          expect(waitMs).toBeLessThanOrEqual(Math.floor(MINUTE_MS / perMinute));
          expect(take(1, ONE, nowMs + waitMs - 1, perMinute)).toBe(1);
          expect(take(1, ONE, nowMs + waitMs, perMinute)).toBe(0);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('another print of the same set has a row of its own', () => {
    const { take } = node();
    for (let at = 0; at < 20; at++) take(0, ONE, 0);
    expect(take(0, ONE, 0)).toBeGreaterThan(0);
    expect(take(0, { ...ONE, own: 78 }, 0)).toBe(0);
  });

  it('what goes round and round is not hidden by any number of others, and what gives way is counted', () => {
    const { take, counts } = node();
    for (let at = 0; at < 19; at++) expect(take(0, ONE, 1_000)).toBe(0);
    for (let other = 100; other < 200; other++) take(0, { set: ONE.set, own: other }, 1_000);
    expect(counts.dropped).toBe(100 - 7);
    expect(take(0, ONE, 1_000)).toBe(0);
    expect(take(0, ONE, 1_000)).toBeGreaterThan(0);
  });

  it('a row whose minute is over gives way without being counted, and is none that comes again weeks later', () => {
    const { take, counts } = node();
    for (let at = 0; at < 20; at++) take(0, ONE, 0);
    for (let own = 200; own < 208; own++) take(0, { set: ONE.set, own }, 3 * MINUTE_MS);
    expect(counts.dropped).toBe(0);
    const { take: later } = node();
    for (let at = 0; at < 20; at++) later(0, ONE, 0);
    // 32 bits of milliseconds run over after 49.7 days; from the half of it on a past instant looks like a coming one.
    for (const days of [25, 30, 49]) expect(later(0, ONE, days * 86_400_000)).toBe(0);
  });
});
