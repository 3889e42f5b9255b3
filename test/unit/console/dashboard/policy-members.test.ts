import { expect, test } from 'vitest';
import { POLICY_KEYS } from '../../../../src/config/policy-schema.ts';
import { POLICY } from '../../../../src/console/dashboard/entry-members.ts';

test('the editor of policies has a field for each thing that a policy may say, and for nothing else', () => {
  expect(POLICY.map(({ name }) => name).sort()).toEqual([...POLICY_KEYS].sort());
});
