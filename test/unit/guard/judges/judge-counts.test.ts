import { describe, expect, it } from 'vitest';
import {
  createJudgeCounts,
  JudgeCounts,
  JudgeTally,
} from '../../../../src/guard/judges/judge-counts.ts';

describe('JudgeTally', () => {
  it('counts each failure, and tells one of a kind in a minute', () => {
    const memory = createJudgeCounts();
    const told: unknown[] = [];
    let nowMs = 0;
    const tally = new JudgeTally(
      new JudgeCounts(memory),
      (event, fields) => told.push([event, fields]),
      () => nowMs,
    );
    for (const why of ['late', 'late', 'late', 'threw', 'left'] as const) tally.failed('mine', why);
    tally.failed('other', 'late');
    nowMs = 60_000;
    tally.failed('mine', 'late');
    expect(told).toEqual([
      ['guard_judge_failed', { guard: 'mine', why: 'late', more: 0 }],
      ['guard_judge_failed', { guard: 'mine', why: 'threw', more: 0 }],
      ['guard_judge_failed', { guard: 'other', why: 'late', more: 0 }],
      ['guard_judge_failed', { guard: 'mine', why: 'late', more: 2 }],
    ]);
    // Another thread's view of the same memory.
    const totals = new JudgeCounts(memory).totals();
    expect([totals.get('late'), totals.get('threw'), totals.get('left')]).toEqual([5, 1, 1]);
    expect(totals.get('status')).toBe(0);
  });
});
