import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRateTable, RateGuard, setRateLimits, tickClock } from '../../../src/admit/rate.ts';
import { RATE_LIMIT_MAX_RPS } from '../../../src/rate-limits.ts';

const TICKS_PER_SECOND = 16_000_000;
const OFF = { credentialRps: 0, byoRps: 0, verifyRps: 0 };

/** A guard whose time stands still until it is told. */
function guarded(limits: Partial<typeof OFF>, startTicks = 12_345) {
  const time = { ticks: startTicks };
  const table = createRateTable({ ...OFF, ...limits });
  const guard = new RateGuard(table, () => time.ticks % 2 ** 44);
  return { guard, time, table };
}

/** The bucket as a textbook has it: a level that drains at `rps`, and takes one when there is room. */
class SlowBucket {
  readonly #rps: number;
  #level = 0;
  #at = 0;

  constructor(rps: number) {
    this.#rps = rps;
  }

  /** @returns the level after it, which must not exceed the size */
  take(seconds: number): { readonly admitted: boolean; readonly margin: number } {
    this.#level = Math.max(0, this.#level - (seconds - this.#at) * this.#rps);
    this.#at = seconds;
    const margin = Math.max(1, this.#rps) - (this.#level + 1);
    const admitted = margin >= 0;
    if (admitted) this.#level++;
    return { admitted, margin };
  }
}

describe('RateGuard, one credential', () => {
  it("lets a second's worth through at once, and then as many a second as the limit says", () => {
    const { guard, time } = guarded({ credentialRps: 100 });
    const burst = () => {
      let admitted = 0;
      while (guard.admitCredential('sk-a') === 0) admitted++;
      return admitted;
    };
    expect(burst()).toBe(100);
    expect(burst()).toBe(0);
    time.ticks += TICKS_PER_SECOND / 2;
    expect(burst()).toBe(50);
    time.ticks += 3600 * TICKS_PER_SECOND;
    expect(burst()).toBe(100);
  });

  it('says in whole seconds when to come back, and that is true', () => {
    const { guard, time } = guarded({ credentialRps: 0.25 });
    expect(guard.admitCredential('sk-a')).toBe(0);
    expect(guard.admitCredential('sk-a')).toBe(4);
    time.ticks += 1.5 * TICKS_PER_SECOND;
    const seconds = guard.admitCredential('sk-a');
    expect(seconds).toBe(3);
    time.ticks += seconds * TICKS_PER_SECOND;
    expect(guard.admitCredential('sk-a')).toBe(0);
  });

  it('agrees with a slow bucket, up to the rounding that is stated', () => {
    const limits = fc.constantFrom(0.5, 1, 3, 7, 100, 999, 5_000, 100_000);
    const gaps = fc.array(fc.double({ min: 0, max: 2, noNaN: true }), { maxLength: 400 });
    fc.assert(
      fc.property(limits, gaps, (rps, list) => {
        const { guard, time } = guarded({ credentialRps: rps }, 0);
        const slow = new SlowBucket(rps);
        let ticks = 0;
        let drift = 0;
        for (const gap of list) {
          ticks += Math.round((gap / rps) * TICKS_PER_SECOND);
          time.ticks = ticks;
          const { admitted, margin } = slow.take(ticks / TICKS_PER_SECOND);
          const fast = guard.admitCredential('sk-a') === 0;
          // Rounding the spacing down admits a little more; each such request is a difference from then on.
          if (fast !== admitted) {
            expect(fast).toBe(true);
            expect(margin).toBeGreaterThan(-1e-3 - drift);
            drift++;
          }
        }
        expect(drift).toBeLessThanOrEqual(1 + Math.ceil((list.length * rps) / 16_000_000));
      }),
      { numRuns: 200 },
    );
  });

  it('never refuses one that keeps to its limit', () => {
    for (const rps of [1, 3, 7, 100, 333, 9_999]) {
      const { guard, time } = guarded({ credentialRps: rps }, 5);
      for (let i = 0; i < 5_000; i++) {
        time.ticks = 5 + Math.ceil((i * TICKS_PER_SECOND) / rps);
        expect(guard.admitCredential('sk-steady')).toBe(0);
      }
    }
  });

  it('goes on when the clock wraps', () => {
    const { guard, time } = guarded({ credentialRps: 10 }, 2 ** 44 - TICKS_PER_SECOND / 2);
    for (let i = 0; i < 10; i++) expect(guard.admitCredential('sk-a')).toBe(0);
    expect(guard.admitCredential('sk-a')).toBe(1);
    time.ticks += TICKS_PER_SECOND;
    for (let i = 0; i < 10; i++) expect(guard.admitCredential('sk-a')).toBe(0);
    expect(guard.admitCredential('sk-a')).toBe(1);
  });
});

describe('RateGuard, many credentials', () => {
  it('one at its limit takes nothing from another one', () => {
    const { guard } = guarded({ credentialRps: 5 });
    for (let i = 0; i < 2_000; i++) guard.admitCredential('sk-greedy');
    for (let i = 0; i < 2_000; i++) expect(guard.admitCredential(`sk-${i}`)).toBe(0);
    expect(guard.admitCredential('sk-greedy')).toBe(1);
  });

  it('those that begin alike, or differ 32 characters before their end, are apart', () => {
    const { guard } = guarded({ credentialRps: 1 });
    const alike = 'bai_v1.7.KgAAAAAAAABjAAAAAAAAAA.'.padEnd(86, 'c');
    const tail = 'e'.repeat(31);
    for (const end of [`a${tail}`, `b${tail}`, `a${tail.slice(1)}f`])
      expect(guard.admitCredential(alike + end)).toBe(0);
    expect(guard.admitCredential(`${alike}a${tail}`)).toBe(1);
  });

  it('a flood of new ones does not lift the limit of one that is at it', () => {
    const { guard, time } = guarded({ credentialRps: 10 });
    let admitted = 0;
    for (let ms = 0; ms < 2_000; ms++) {
      time.ticks += 16_000;
      for (let i = 0; i < 20; i++) guard.admitCredential(`forged-${ms}-${i}`);
      if (guard.admitCredential('sk-greedy') === 0) admitted++;
    }
    // A bucket's worth, and 10 a second for the 1.999 s from its first request on.
    expect(admitted).toBe(10 + 19);
  });

  it('takes 512 KiB, however many there are', () => {
    const { guard, table } = guarded({ credentialRps: 10 });
    const bytes = table.byteLength;
    expect(bytes).toBeLessThan(513 * 1024);
    for (let i = 0; i < 200_000; i++) guard.admitCredential(`sk-${i}`);
    expect(table.byteLength).toBe(bytes);
  });
});

describe('RateGuard, limits', () => {
  it('0 is off, for each of the three', () => {
    const { guard } = guarded({});
    for (let i = 0; i < 5_000; i++) {
      expect([guard.admitCredential('a'), guard.admitByo(), guard.admitVerify()]).toEqual([
        0, 0, 0,
      ]);
    }
  });

  it('the three are apart from each other', () => {
    const { guard } = guarded({ credentialRps: 3, byoRps: 2, verifyRps: 1 });
    const take = (ask: () => number) => {
      let admitted = 0;
      while (ask() === 0) admitted++;
      return admitted;
    };
    expect(take(() => guard.admitVerify())).toBe(1);
    expect(take(() => guard.admitByo())).toBe(2);
    expect(take(() => guard.admitCredential('a'))).toBe(3);
  });

  it('change for every guard at once, in both directions', () => {
    const { guard, table, time } = guarded({ byoRps: 1 });
    expect([guard.admitByo(), guard.admitByo()]).toEqual([0, 1]);
    setRateLimits(table, { ...OFF, byoRps: 1_000 });
    time.ticks += TICKS_PER_SECOND;
    for (let i = 0; i < 1_000; i++) expect(guard.admitByo()).toBe(0);
    setRateLimits(table, { ...OFF, byoRps: 1 });
    time.ticks += 20 * TICKS_PER_SECOND;
    expect([guard.admitByo(), guard.admitByo()]).toEqual([0, 1]);
  });

  it.each([-1, Number.NaN, RATE_LIMIT_MAX_RPS + 1])('%d is refused', (byoRps) => {
    expect(() => createRateTable({ ...OFF, byoRps })).toThrow(RangeError);
  });
});

describe('RateGuard on several threads', () => {
  const SOURCE = `
    const { workerData, parentPort } = require('node:worker_threads');
    import(workerData.module).then(({ RateGuard }) => {
      const guard = new RateGuard(workerData.table, () => workerData.ticks);
      const gate = new Int32Array(workerData.gate);
      Atomics.add(gate, 1, 1);
      Atomics.notify(gate, 1);
      Atomics.wait(gate, 0, 0);
      let admitted = 0;
      for (let i = 0; i < 20000; i++) if (guard.admitByo() === 0) admitted++;
      let own = 0;
      for (let i = 0; i < 20000; i++) if (guard.admitCredential('sk-a') === 0) own++;
      parentPort.postMessage([admitted, own]);
    });`;

  it('together they admit what one would, not one more of the single buckets', async () => {
    const table = createRateTable({ credentialRps: 4_000, byoRps: 8_000, verifyRps: 0 });
    const gate = new SharedArrayBuffer(8);
    const module = new URL('../../../src/admit/rate.ts', import.meta.url).href;
    const threads = 3;
    const results = Array.from({ length: threads }, () => {
      const worker = new Worker(SOURCE, {
        eval: true,
        workerData: { table, gate, module, ticks: 77 },
      });
      return new Promise<[number, number]>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    });
    const words = new Int32Array(gate);
    while (Atomics.load(words, 1) < threads) await new Promise((resolve) => setTimeout(resolve, 5));
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    const admitted = await Promise.all(results);
    const sum = (at: 0 | 1) => admitted.reduce((all, pair) => all + pair[at], 0);
    expect(sum(0)).toBe(8_000);
    expect(sum(1)).toBeGreaterThanOrEqual(4_000);
    expect(sum(1)).toBeLessThanOrEqual(4_000 + threads - 1);
  });
});

describe('tickClock', () => {
  it("is the system's monotonic time, whichever thread reads it", () => {
    const [a, b] = [tickClock(), tickClock()];
    for (let i = 0; i < 100; i++) {
      const before = a();
      const between = b();
      const after = a();
      // 10 µs: what the two may be apart, far below the spacing of any limit that matters.
      expect(between).toBeGreaterThanOrEqual(before - 160);
      expect(between).toBeLessThanOrEqual(after + 160);
    }
  });
});
