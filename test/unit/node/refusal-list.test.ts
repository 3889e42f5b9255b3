import { describe, expect, it } from 'vitest';
import { RefusalList } from '../../../src/node/refusal-list.ts';

interface Page {
  readonly total: number;
  readonly unnamed: number;
  readonly top: readonly Readonly<Record<string, unknown>>[];
}

const pageOf = (list: RefusalList): Page => JSON.parse(list.page());

const row = (tenant: number, count: number, reason: 'denied' | 'rate_limited' = 'denied') => ({
  tenantId: String(tenant),
  keyId: null,
  reason,
  count,
});

describe('the list of refusals', () => {
  it('adds up what workers tell, a pair of tenant and reason a row, most first', () => {
    const list = new RefusalList();
    list.add([row(1, 2), row(2, 5), row(1, 1, 'rate_limited')], 0);
    list.add([{ ...row(1, 4), keyId: '9' }], 3);
    const { total, unnamed, top } = pageOf(list);
    expect([total, unnamed]).toEqual([15, 3]);
    expect(top.map(({ tenant_id, reason, count }) => [tenant_id, reason, count])).toEqual([
      ['1', 'denied', 6],
      ['2', 'denied', 5],
      ['1', 'rate_limited', 1],
    ]);
    expect(top[0]).toMatchObject({ last_key_id: '9', count_error: 0 });
  });

  it('shows the ones that are refused most, however many others there are, and counts none of them too low', () => {
    const list = new RefusalList();
    for (let round = 0; round < 50; round++) {
      list.add([row(1, 100), row(2, 60)], 0);
      list.add(
        Array.from({ length: 1_000 }, (_, i) => row(1_000 + round * 1_000 + i, 1)),
        0,
      );
    }
    const { top } = pageOf(list);
    expect(top.length).toBeLessThanOrEqual(100);
    expect(top.slice(0, 2).map(({ tenant_id }) => tenant_id)).toEqual(['1', '2']);
    for (const [at, least] of [5_000, 3_000].entries()) {
      const { count, count_error } = top[at] ?? {};
      expect(Number(count)).toBeGreaterThanOrEqual(least);
      expect(Number(count) - Number(count_error)).toBeLessThanOrEqual(least);
    }
  });
});
