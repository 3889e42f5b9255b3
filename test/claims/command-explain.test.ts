import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sluice } from '../support/gateway.ts';
import { poolKeys } from '../support/managed.ts';

const CONFIG = `replay_max_bytes = 4096
${poolKeys({ openai: 'sk-explained', groq: 'sk-explained-too', cerebras: 'sk-3', gemini: 'sk-4' })}
[routes.chat]
targets = ["openai/gpt-4o", "inner"]
fallbacks = ["mistral/large"]
deadline_secs = 5
[routes.inner]
targets = ["groq/llama"]
[routes.held]
targets = ["openai/gpt-4o"]
stream_safety = "hold"
[routes.claude]
targets = ["anthropic/claude"]
[routes.careful]
strict = true
targets = ["cerebras/llama"]
[policies.agents]
models = ["chat", "groq/*"]
[classes]
agent = "agents"
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
        '  1. openai/gpt-4o at https://api.openai.com:443, $2.5 in, $10 out for a million tokens',
        '  2. groq/llama at https://api.groq.com:443, through inner, unpriced',
        '  -  mistral/large at https://api.mistral.ai:443, fallback 1: left out, no_pool_key',
      ],
    ]);
    expect(stdout).toContain('all attempts within 5 s');
  });

  test('with a key says what it may ask for, and whose it is has to be known', () => {
    const known = explained('chat', '--key', '7', '--tenant', '1', '--class', 'agent');
    expect(known.stdout).toContain(
      'openai/gpt-4o at https://api.openai.com:443: left out, not_allowed',
    );
    expect(known.stdout).toContain(
      'key 7 of tenant 1, class agent, policy agents\n  no budget limits it',
    );
    const nobodys = explained('chat', '--key', '7');
    expect(nobodys.stderr).toContain('Whose key 7 is cannot be told: add --tenant ID');
    expect(explained('chat', '--key', 'sk-x', '--tenant', '1').status).not.toBe(0);
    expect(explained('chat', '--key', '7', '--tenant', '1', '--class', 'robot').status).not.toBe(0);
  });

  test('says with a body what the request may cost, and what a limit on that leaves', () => {
    const body = join(mkdtempSync(join(tmpdir(), 'sluice-explain-')), 'body.json');
    const asked = { max_tokens: 100, messages: [], pad: '' };
    const room = 3_000 - JSON.stringify(asked).length;
    writeFileSync(body, JSON.stringify({ ...asked, pad: 'ab '.repeat(1_000).slice(0, room) }));
    // 3,000 bytes: 1,800 tokens at most at $2.5, 100 at $10.
    const whole = explained('openai/gpt-4o', '--body', body);
    expect(whole.stdout).toContain('at most $0.0055');
    const exact = explained('openai/gpt-4o', '--body', body, '--max-cost', '0.0055');
    expect(exact.status).toBe(0);
    const refused = explained('openai/gpt-4o', '--body', body, '--max-cost', '0.0054');
    expect([refused.status, refused.stdout]).toEqual([
      1,
      expect.stringMatching(/left out, too_dear[\s\S]*402 cost_limit: nothing is left to try/),
    ]);
    const unpriced = explained('groq/llama', '--body', body, '--max-cost', '1');
    expect(unpriced.stdout).toContain('400 unpriced_model: nothing is left to try');
  });

  test('says of a body above what is kept of one that no other target is asked (F12)', () => {
    const told = (bytes: number) => {
      const body = join(mkdtempSync(join(tmpdir(), 'sluice-explain-')), 'body.json');
      writeFileSync(body, JSON.stringify({ pad: 'x'.repeat(bytes - 10) }));
      return explained('openai/gpt-4o', '--body', body).stdout;
    };
    expect(told(4_097)).toContain('it goes to the first target alone');
    expect(told(4_096)).not.toContain('first target alone');
  });

  test('says what becomes of a stream that breaks', () => {
    expect(explained('held').stdout).toContain('a stream is held to its end');
    expect(explained('chat').stdout).not.toContain('a stream is held');
  });

  test('says what of a body keeps it at one account', () => {
    const body = join(mkdtempSync(join(tmpdir(), 'sluice-explain-')), 'body.json');
    const sealed = { type: 'reasoning', encrypted_content: 'gAAAA' };
    const asked = { previous_response_id: 'resp_1', input: [sealed], tools: [{ type: 'x' }] };
    writeFileSync(body, JSON.stringify(asked));
    const { stdout } = explained('openai/gpt-4o', '--body', body);
    expect(stdout).toContain('the body names a previous_response_id: it goes to the account');
    expect(stdout).toContain('stays with the first target and its key');
    expect(stdout.match(/the body/g)).toHaveLength(2);
  });

  test('a target of another wire is told with what it would lose, or why it cannot be asked', () => {
    const about = (body: object, ...argv: readonly string[]): string => {
      const file = join(mkdtempSync(join(tmpdir(), 'sluice explain ')), 'body.json');
      writeFileSync(file, JSON.stringify({ messages: [{ role: 'user', content: 'x' }], ...body }));
      return explained('groq/llama', '--wire', 'anthropic', '--body', file, ...argv).stdout;
    };
    expect(about({ max_tokens: 9, top_k: 4 })).toMatch(
      /groq\/llama at .* translated without top_k$/m,
    );
    expect(about({ max_tokens: 9 })).toMatch(/groq\/llama at .* translated$/m);
    const tools = [{ type: 'web_search_20250305', name: 'web_search' }];
    expect(about({ max_tokens: 9, tools })).toContain('passed over: tools.web_search');
  });

  test('a body of the Responses API is translated for who has chat alone', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'sluice explain ')), 'body.json');
    writeFileSync(file, JSON.stringify({ input: 'x', store: true }));
    const at = (model: string) => explained(model, '--body', file).stdout;
    expect(at('cerebras/llama')).toMatch(/cerebras\/llama at .* translated without store$/m);
    expect(at('groq/llama')).not.toContain('translated');
  });

  const of = (body: object): string => {
    const file = join(mkdtempSync(join(tmpdir(), 'sluice explain ')), 'body.json');
    writeFileSync(file, JSON.stringify(body));
    return file;
  };

  test('a body of embeddings is one of texts, and no response', () => {
    const texts = of({ input: ['a', 'b'] });
    expect(explained('cerebras/e', '--body', texts).stdout).not.toContain('translated');
    const tokens = of({ input: [[1, 2]], encoding_format: 'float' });
    expect(explained('cerebras/e', '--body', tokens).stdout).not.toContain('passed over');
    // One text may be either.
    const text = of({ input: 'a', store: true });
    expect(explained('cerebras/e', '--body', text).stdout).toContain('translated without store');
    const there = explained('cerebras/e', '--body', text, '--path', '/v1/embeddings').stdout;
    expect(there).not.toContain('translated');
  });

  test('a body whose tokens are counted needs no limit, and one that is sent does', () => {
    const file = of({ messages: [{ role: 'user', content: 'x' }] });
    const at = (...argv: readonly string[]) =>
      explained('groq/llama', '--wire', 'anthropic', '--body', file, ...argv).stdout;
    expect(at()).toMatch(/groq\/llama at .* translated$/m);
    expect(at('--path', '/v1/messages')).toContain('passed over: max_tokens');
    expect(at('--path', '/v1/messages/count_tokens')).toMatch(/groq\/llama at .* translated$/m);
  });

  test('where nothing may be lost, what would lose something is passed over', () => {
    const file = of({ input: 'x', store: true });
    expect(explained('careful', '--body', file).stdout).toContain(
      'passed over: strict, and it would lose store',
    );
    expect(explained('cerebras/llama', '--body', file, '--strict').stdout).toContain(
      'passed over: strict, and it would lose store',
    );
    expect(explained('careful', '--body', of({ input: 'x' })).stdout).toMatch(/translated$/m);
  });

  test.each([
    [['claude'], 1, '503 no_pool_key: nothing is left to try'],
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
    [['a', '--path', '/v1/files'], '--path is "/v1/files"; expected one of /chat/completions'],
    [['a', '--max-cost', 'x'], '--max-cost is "x"; expected USD'],
    [['openai/a', '--body', '/dev/null'], 'is not JSON'],
  ])('%j is told in one line', (argv, says) => {
    const { status, stderr } = explained(...argv);
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([expect.stringContaining(says)]);
  });
});
