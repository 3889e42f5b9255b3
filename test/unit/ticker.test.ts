import fc from 'fast-check';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Deadlines, type Due } from '../../src/ticker.ts';

const PERIOD_MS = 20;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

class Waiter implements Due {
  dueSlot = -1;
  calls = 0;
  onDue(): void {
    this.calls++;
  }
  onDueBroken(error: unknown): void {
    throw error;
  }
}

test('whoever waits is told once, at its last time and a period later at most, whoever comes and goes beside it', () => {
  const step = fc.record({
    who: fc.nat({ max: 7 }),
    ms: fc.option(fc.integer({ min: 1, max: 300 })),
    pass: fc.nat({ max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const deadlines = new Deadlines(PERIOD_MS);
      const all = Array.from({ length: 8 }, () => new Waiter());
      const dueMs = new Map<Waiter, number>();
      // Of the clock that the test moves.
      let passed = 0;
      for (const { who, ms, pass } of steps) {
        const waiter = all[who];
        if (waiter === undefined) continue;
        if (ms === null) {
          deadlines.clear(waiter);
          dueMs.delete(waiter);
        } else {
          deadlines.set(waiter, ms);
          dueMs.set(waiter, passed + ms);
        }
        vi.advanceTimersByTime(pass);
        passed += pass;
        for (const [one, at] of dueMs) {
          if (one.calls === 0) {
            expect(passed <= at + PERIOD_MS).toBe(true);
            continue;
          }
          expect([one.calls, at <= passed]).toEqual([1, true]);
          one.calls = 0;
          dueMs.delete(one);
        }
        expect(all.map(({ calls }) => calls)).toEqual(all.map(() => 0));
        expect(deadlines.waiting).toBe(dueMs.size);
      }
      vi.advanceTimersByTime(400);
      expect(deadlines.waiting).toBe(0);
      // Nobody waits: it does not run any more.
      expect(vi.getTimerCount()).toBe(0);
    }),
  );
});

test('what one throws is told to it alone', () => {
  const deadlines = new Deadlines(PERIOD_MS);
  const broken: unknown[] = [];
  const fault = new Error('x');
  const bad: Due = {
    dueSlot: -1,
    onDue() {
      throw fault;
    },
    onDueBroken: (error) => broken.push(error),
  };
  const good = new Waiter();
  deadlines.set(good, 10);
  deadlines.set(bad, 10);
  vi.advanceTimersByTime(2 * PERIOD_MS);
  expect([broken, good.calls]).toEqual([[fault], 1]);
});
