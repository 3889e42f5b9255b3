import { describe, expect, it } from 'vitest';
import { dueOf, orderOf } from '../../../bench/soak/order.ts';

describe('what an order of the soak is due', () => {
  it('leaves room for an estimate by the bytes of an answer that says long words for pictures', () => {
    // Seen in a run of an hour: a mocked answer names a picture by one word of 25 bytes, and was cut behind it.
    const order = orderOf(3_351_158, 185_661);
    if (order.kind !== 'mock') throw new Error(order.kind);
    const { cost, ceiling } = dueOf(order);
    expect(cost).toEqual({ input: 4, output: 20 });
    expect(ceiling.output).toBeGreaterThanOrEqual(22);
  });

  it('leaves an answer of plain words none', () => {
    for (let number = 0; number < 500; number++) {
      const order = orderOf(1, number);
      if (order.kind !== 'mock' || JSON.stringify(order.body).includes('image/png')) continue;
      const { cost, ceiling } = dueOf(order);
      expect(ceiling.output).toBe(cost.output);
    }
  });
});
