import { type LimitsConfig, NO_LIMITS } from '../../src/policy/limit-settings.ts';
import { createLimitTable, LimitTable } from '../../src/policy/limit-table.ts';
import { Limiter } from '../../src/policy/limiter.ts';

/** What a configuration without a table [limits] says. */
export const UNLIMITED: LimitsConfig = {
  gateway: NO_LIMITS,
  models: new Map(),
  providers: new Map(),
  classes: new Map(),
  shares: new Map(),
};

/** Limits nobody. */
export function noLimits(): Limiter {
  const counts = { limitReached() {}, limitRowDropped() {}, classShed() {} };
  return new Limiter(new LimitTable(createLimitTable(1), 0), UNLIMITED, counts);
}
