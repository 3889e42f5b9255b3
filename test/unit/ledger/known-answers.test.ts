import { describe, expect, test } from 'vitest';
import { KNOWN_BYTES_MAX, KnownAnswers } from '../../../src/ledger/known-answers.ts';

describe('KnownAnswers', () => {
  test('what was asked before is not asked again', () => {
    const known = new KnownAnswers<number>();
    expect(known.of('a', () => [1, 2])).toEqual([1, 2]);
    expect(known.of('a', () => expect.unreachable())).toEqual([1, 2]);
    expect(known.of('b', () => [])).toEqual([]);
    expect(known.of('b', () => expect.unreachable())).toEqual([]);
  });

  test('names of 16 KB with next to no rows take no more room than they may, and the oldest go', () => {
    const known = new KnownAnswers<number>();
    const asked = (at: number): string => `${at} ${'x'.repeat(16_384)}`;
    for (let at = 0; at < 2_000; at++) known.of(asked(at), () => [at]);
    expect(known.bytes).toBeLessThanOrEqual(KNOWN_BYTES_MAX);
    expect(known.bytes).toBeGreaterThan(KNOWN_BYTES_MAX * 0.9);
    expect(known.of(asked(1_999), () => expect.unreachable())).toEqual([1_999]);
    expect(known.of(asked(0), () => [-1])).toEqual([-1]);
  });

  test('an answer that is larger than all that may be kept is told, and not kept', () => {
    const known = new KnownAnswers<number>();
    const rows = Array.from({ length: 100_000 }, (_, at) => at);
    expect(known.of('a', () => rows)).toBe(rows);
    expect(known.bytes).toBe(0);
    expect(known.of('a', () => [1])).toEqual([1]);
  });
});
