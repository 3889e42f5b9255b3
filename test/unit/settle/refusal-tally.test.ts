import { describe, expect, it } from 'vitest';
import { type Refusals, RefusalTally } from '../../../src/settle/refusal-tally.ts';
import { until } from '../../support/conditions.ts';

describe('the tally of refusals', () => {
  it('tells a pair of tenant and reason once, with its count, and begins anew', async () => {
    const told: (readonly Refusals[])[] = [];
    const tally = new RefusalTally((rows) => told.push(rows));
    for (let i = 0; i < 3; i++) tally.add({ tenantText: '1', keyText: null }, 'denied');
    tally.add({ tenantText: '1', keyText: '7' }, 'spend_limit');
    await until('the telling', () => told.length === 1);
    expect(told[0]).toEqual([
      { tenantId: '1', keyId: null, reason: 'denied', count: 3 },
      { tenantId: '1', keyId: '7', reason: 'spend_limit', count: 1 },
    ]);
    tally.add({ tenantText: '1', keyText: null }, 'denied');
    tally.flush();
    expect(told[1]).toEqual([{ tenantId: '1', keyId: null, reason: 'denied', count: 1 }]);
    tally.flush();
    expect(told).toHaveLength(2);
  });

  it('names so many pairs at a time and counts the rest', () => {
    let seen: readonly [named: number, unnamed: number] | null = null;
    const tally = new RefusalTally((rows, unnamed) => {
      seen = [rows.length, unnamed];
    });
    for (let i = 0; i < 3_000; i++) tally.add({ tenantText: String(i), keyText: null }, 'denied');
    tally.flush();
    expect(seen).toEqual([1_024, 1_976]);
  });
});
