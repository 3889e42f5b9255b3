import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sluice } from '../support/gateway.ts';
import { poolKeys } from '../support/managed.ts';

const CONFIG = `${poolKeys({ openai: 'sk-explained', groq: 'sk-explained-too' })}
[routes.chat]
targets = ["openai/gpt-4o", "inner"]
fallbacks = ["mistral/large"]
deadline_secs = 5
[routes.inner]
targets = ["groq/llama"]
[routes.claude]
targets = ["anthropic/claude"]
`;

function explained(...argv: readonly string[]) {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-explain-')), 'config.toml');
  writeFileSync(file, CONFIG);
  return sluice(['explain', ...argv, '--config', file]);
}

describe('sluice explain', () => {
  test('prints each target in its order, through which routes, and why one is left out', () => {
    const { status, stdout } = explained('chat');
    expect([status, stdout.split('\n').slice(0, 4)]).toEqual([
      0,
      [
        'route chat, balance order',
        '  1. openai/gpt-4o at https://api.openai.com:443',
        '  2. groq/llama at https://api.groq.com:443, through inner',
        '  -  mistral/large at https://api.mistral.ai:443, fallback 1: left out, no_pool_key',
      ],
    ]);
    expect(stdout).toContain('all attempts within 5 s');
  });

  test.each([
    [['claude'], 1, '503 no_target: nothing is left to try'],
    [['claude', '--wire', 'anthropic'], 1, '503 no_pool_key: nothing is left to try'],
    [['opnai/x'], 1, '404 unknown_model: nearest are openai'],
    [['gpt-4.1'], 0, 'no route and no provider in front: openai/gpt-4.1, the body as it came'],
    [['gpt-4.1', '--wire', 'anthropic'], 0, '503 no_pool_key: anthropic has none'],
    [['groq/llama'], 0, '  1. groq/llama at'],
  ])('%j ends with %i and says %s', (argv, code, says) => {
    const { status, stdout } = explained(...argv);
    expect([status, stdout]).toEqual([code, expect.stringContaining(says)]);
  });

  test.each([
    [[], 'explain takes one model'],
    [['a', 'b'], 'explain takes one model'],
    [['a', '--wire', 'x'], '--wire is "x"; expected openai or anthropic'],
    [['a', '--seed', '-1'], 'seed'],
  ])('%j is told in one line', (argv, says) => {
    const { status, stderr } = explained(...argv);
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining(says)]);
  });
});
