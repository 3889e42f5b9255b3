import { describe, expect, it } from 'vitest';
import type { Judgement } from '../../../src/guard/guard.ts';
import { GuardSession } from '../../../src/guard/guard-session.ts';
import { guardSet, markGuard } from '../../support/word-guard.ts';

const RUNS = [{ kind: 'prompt', text: 'Write to ada@analytical.org' }] as const;

describe('a session', () => {
  it('that is over hears of no verdict any more', async () => {
    const settled: Judgement[] = [];
    const verdicts: ((judgement: Judgement) => void)[] = [];
    const guard = markGuard('block', {
      detector: null,
      judge: {
        name: 'told',
        judge: () => new Promise((settle) => verdicts.push(settle)),
      },
    });
    for (const isOver of [false, true]) {
      const session = new GuardSession(guardSet(guard), { tenant: '7', requestId: 'req_1' });
      session.ask(guard, 'request', RUNS, (judgement) => settled.push(judgement));
      if (isOver) session.over();
      verdicts.shift()?.({ verdict: 'keep' });
      await Promise.resolve();
      await Promise.resolve();
      expect(session.isAsking).toBe(false);
    }
    expect(settled).toEqual([{ verdict: 'keep' }]);
  });
});

describe('the report of a guarded exchange', () => {
  it.each([
    [{ verdict: 'block', why: `it says ${RUNS[0].text}` }, { blocked: 1 }],
    [{ verdict: 'block', why: 'it holds MAIL', what: ['MAIL'] }, { MAIL: 1 }],
  ] as const)('%j: has no word of a sentence that is for the caller', (judgement, found) => {
    const guard = markGuard('block', { name: 'told' });
    const session = new GuardSession(guardSet(guard), { tenant: '7', requestId: 'req_1' });
    expect(session.outcome(guard, RUNS, judgement)).toBeNull();
    expect(session.blockedBy?.what).toBe(judgement.why);
    expect(JSON.parse(session.report)).toEqual({
      found: { told: { action: 'block', found } },
      scanned_bytes: 0,
      total_bytes: 0,
      blocked_by: 'told',
    });
  });
});
