import type { GuardSettings } from './guard.ts';
import type { PiiKind } from './pii/pii-kinds.ts';

/** What a guard is made of: which of the parts it is, and what only that part is told. */
export type GuardMade = {
  readonly kind: 'pii';
  /** What is looked for. */
  readonly detect: readonly PiiKind[];
};

/** One `[guards.NAME]` table, or a built-in guard that has none. Can be cloned into a thread. */
export interface GuardConfig extends GuardSettings {
  readonly made: GuardMade;
}
