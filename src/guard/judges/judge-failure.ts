import type { Judgement } from '../guard.ts';

/** Why a judge gave no verdict: a closed list, which metrics and facts have as a label. What then happens, `on_error` says. */
export const JUDGE_FAILURES = [
  /** It took longer than its budget, or its time limit. */
  'late',
  /** A hook of the module threw. */
  'threw',
  /** It answered what means nothing: a module's hook, or a server. */
  'nonsense',
  /** The module's thread ended in the middle. */
  'died',
  /** The module's thread took more memory than it may. */
  'memory',
  /** The module cannot be loaded, or its thread is not back yet. */
  'not_loaded',
  /** More wait than may wait, or it waited too long. */
  'busy',
  /** There is more text than a judge is given. */
  'too_long',
  /** Nobody answers at its address. */
  'unreachable',
  /** It answered with a status that is no success. */
  'status',
  /** It failed several times in a row, and is left alone for a while. */
  'resting',
  /** Whoever asked has gone. */
  'left',
] as const;

export type JudgeFailure = (typeof JUDGE_FAILURES)[number];

/** No verdict. */
export function failed(why: JudgeFailure): Judgement {
  return { verdict: 'failed', why };
}

/** @param why as a verdict has it */
export function judgeFailure(why: string): JudgeFailure {
  return JUDGE_FAILURES.find((known) => known === why) ?? 'nonsense';
}

export const KEEP: Judgement = { verdict: 'keep' };

/** Who is told how a worker's judges fare. */
export interface JudgeReport {
  /** One call had no verdict. */
  failed(guard: string, why: JudgeFailure): void;
}
