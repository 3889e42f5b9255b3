import { describe, expect, it } from 'vitest';
import { NO_BUDGET } from '../../../src/budget/budget-settings.ts';
import { NO_LIMITS } from '../../../src/policy/limit-settings.ts';
import {
  budgetOf,
  type Layer,
  limitsOf,
  type PolicyMode,
  type PolicySettings,
} from '../../../src/policy/policy-settings.ts';

const SAID = { rpm: 5, tpm: 100, maxInFlight: 2, budgetPerDay: 7, budgetPerMonth: 70 };

const SILENT: PolicySettings = {
  models: null,
  rpm: null,
  tpm: null,
  maxInFlight: null,
  identicalRpm: null,
  rehearse: null,
  budgetPerDay: null,
  budgetPerMonth: null,
  maxCostPerRequest: null,
  unpriced: null,
  budgetEstimate: null,
  capOutput: null,
  hardStop: null,
  cache: null,
  cacheMatch: null,
  cacheScope: null,
  hashStrategy: null,
  cacheTtlSecs: null,
  onExceeded: null,
  strict: null,
  guards: null,
  mode: null,
};

function layer(said: Partial<PolicySettings>): Layer {
  return { policy: 'p', namedBy: '[keys.1]', said: { ...SILENT, ...said } };
}

describe('the mode of a policy', () => {
  it.each<[PolicyMode, boolean]>([
    ['enforce', true],
    ['warn', false],
  ])('%s: its limits and budgets are there, and enforced: %s', (mode, enforced) => {
    const layers = [layer({ mode }), layer(SAID)];
    expect(limitsOf(layers)).toEqual({ limits: { rpm: 5, tpm: 100, maxInFlight: 2 }, enforced });
    expect(budgetOf(layers)).toEqual({ day: 7, month: 70 });
  });

  it('off: there are none, although a less specific policy says some, and nothing is counted', () => {
    const layers = [layer({ mode: 'off' }), layer(SAID)];
    expect(limitsOf(layers)).toEqual({ limits: NO_LIMITS, enforced: false });
    expect(budgetOf(layers)).toBe(NO_BUDGET);
  });

  it('of a more specific policy counts before that of another one', () => {
    const layers = [layer({ mode: 'enforce' }), layer({ ...SAID, mode: 'off' })];
    expect(limitsOf(layers).enforced).toBe(true);
    expect(budgetOf(layers)).toEqual({ day: 7, month: 70 });
  });
});
