import { describe, expect, test } from 'vitest';
import { createKeptMemory, KeptBudget } from '../../../src/exchange/kept-budget.ts';
import { RequestCopy } from '../../../src/exchange/request-copy.ts';

/** mulberry32: the same seed, the same run. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("a node's budget for copies", () => {
  test('is nothing again when all copies were dropped, whatever their sizes, bounds and ends', () => {
    const next = chance(7);
    const memory = createKeptMemory(2);
    for (let round = 0; round < 400; round++) {
      const nodeMax = next() < 0.3 ? 0 : Math.floor(next() * 300_000);
      const budget = new KeptBudget(memory, round % 2, nodeMax);
      const copies = Array.from({ length: 1 + Math.floor(next() * 4) }, () => {
        const max = next() < 0.2 ? 0 : Math.floor(next() * 100_000);
        const declared = next() < 0.5 ? -1 : Math.floor(next() * 150_000);
        const copy = new RequestCopy(budget, max, declared);
        const sent: Buffer[] = [];
        for (let piece = 0; piece < next() * 6; piece++) {
          const bytes = Buffer.alloc(Math.floor(next() * 40_000), round + piece);
          sent.push(bytes);
          if (!copy.append(bytes)) break;
        }
        expect(copy.bytes.equals(Buffer.concat(sent))).toBe(true);
        expect(nodeMax === 0 || budget.keptBytes <= nodeMax).toBe(true);
        return copy;
      });
      for (const copy of copies) copy.drop();
      // A second one gives nothing twice.
      for (const copy of copies) copy.drop();
      expect(budget.keptBytes).toBe(0);
    }
  });

  test('counts what is kept of a body that may not grow', () => {
    const budget = new KeptBudget(createKeptMemory(1), 0, 50_000);
    const other = new RequestCopy(budget, 0, -1);
    other.append(Buffer.alloc(16_384));
    const copy = new RequestCopy(budget, 0, -1);
    expect(copy.append(Buffer.alloc(16_384))).toBe(true);
    expect(copy.append(Buffer.alloc(20_000))).toBe(false);
    // What it had is still its own: nobody else gets it meanwhile.
    expect(budget.keptBytes).toBe(2 * 16_384);
    expect(new KeptBudget(createKeptMemory(1), 0, 0).grow(1_024, 10_240)).toBe(true);
    copy.drop();
    other.drop();
    expect(budget.keptBytes).toBe(0);
  });

  test('a body of exactly what may be kept is kept, and one byte more is the last that came', () => {
    const budget = new KeptBudget(createKeptMemory(1), 0, 0);
    const whole = new RequestCopy(budget, 5_000, -1);
    expect([whole.append(Buffer.alloc(4_000)), whole.append(Buffer.alloc(1_000))]).toEqual([
      true,
      true,
    ]);
    expect(whole.append(Buffer.alloc(1))).toBe(false);
    expect(whole.length).toBe(5_001);
  });
});
