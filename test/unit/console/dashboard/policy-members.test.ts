import { expect, test } from 'vitest';
import { BUDGET_ESTIMATES, UNPRICED_WAYS } from '../../../../src/budget/budget-settings.ts';
import {
  CACHE_MATCHES,
  CACHE_MODES,
  CACHE_SCOPES,
  HASH_STRATEGIES,
} from '../../../../src/cache/cache-settings.ts';
import { POLICY_KEYS } from '../../../../src/config/policy-schema.ts';
import { POLICY } from '../../../../src/console/dashboard/entry-members.ts';
import { POLICY_MODES } from '../../../../src/policy/policy-settings.ts';

test('the editor of policies has a field for each thing that a policy may say, and for nothing else', () => {
  expect(POLICY.map(({ name }) => name).sort()).toEqual([...POLICY_KEYS].sort());
});

test('where a policy may say one of a few words the editor offers these words', () => {
  const wordsOf = (name: string) => POLICY.find((member) => member.name === name)?.kind;
  expect({
    cache: wordsOf('cache'),
    cache_match: wordsOf('cache_match'),
    cache_scope: wordsOf('cache_scope'),
    hash_strategy: wordsOf('hash_strategy'),
    budget_estimate: wordsOf('budget_estimate'),
    unpriced: wordsOf('unpriced'),
    mode: wordsOf('mode'),
  }).toEqual({
    cache: CACHE_MODES,
    cache_match: CACHE_MATCHES,
    cache_scope: CACHE_SCOPES,
    hash_strategy: HASH_STRATEGIES,
    budget_estimate: BUDGET_ESTIMATES,
    unpriced: UNPRICED_WAYS,
    mode: POLICY_MODES,
  });
});
