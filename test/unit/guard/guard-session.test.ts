import { describe, expect, it } from 'vitest';
import { GuardSession } from '../../../src/guard/guard-session.ts';
import { guardSet, markGuard } from '../../support/word-guard.ts';

const RUNS = [{ kind: 'prompt', text: 'Write to ada@analytical.org' }] as const;

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
