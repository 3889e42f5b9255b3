import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';
import { guardOperations } from '../../../src/console/operations/guard-operations.ts';
import { called } from '../../support/console.ts';

const COUNTS = {
  requests: 9,
  findings: 7,
  failures: 1,
  blocked: 2,
  held_too_long: 3,
  scanned_bytes: 4_096,
  unscanned_bytes: 5,
};

test('guards are told with what they do and the policies that name them, beside what they came to', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'sluice-guards-')), 'config.toml');
  writeFileSync(
    path,
    `[guards.strict]
kind = "pii"
action = "block"
phases = ["request"]
on_error = "pass"
[policies.one]
guards = ["strict"]
[policies.two]
guards = ["pii", "strict"]
[policies.none]
rpm = 1
`,
  );
  const { config } = loadConfig({ env: {}, path });
  const operations = guardOperations(
    () => config,
    async () => COUNTS,
  );
  const { guards, ...counts } = (await called(operations, 'guards')).body as typeof COUNTS & {
    readonly guards: readonly { readonly name: string }[];
  };
  expect(counts).toEqual(COUNTS);
  expect(guards.find(({ name }) => name === 'strict')).toEqual({
    name: 'strict',
    kind: 'pii',
    action: 'block',
    phases: ['request'],
    on_error: 'pass',
    on_unscanned: expect.stringMatching(/^(?:block|pass)$/),
    policies: ['one', 'two'],
  });
  expect(guards.find(({ name }) => name === 'pii')).toMatchObject({ policies: ['two'] });
});
