import { expect, test } from 'vitest';
import { Refusal } from '../../../src/dialect/losses.ts';
import { makerAt, sealOf, sealText } from '../../../src/dialect/seals.ts';
import { translateRequest } from '../../../src/dialect/translate.ts';

const TARGET = { provider: 'anthropic', model: 'claude-sonnet-4-5', asksForUsage: true };

function claudeGets(blocks: readonly object[]): string {
  const said = { role: 'assistant', content: 'hello', thinking_blocks: blocks };
  const messages = [{ role: 'user', content: 'hi' }, said, { role: 'user', content: 'go' }];
  const body = Buffer.from(JSON.stringify({ model: 'm', messages }));
  const written = translateRequest('openai-chat', 'anthropic-messages', body, TARGET);
  if (written instanceof Refusal) throw written;
  return written.body.toString();
}

test('a seal behind our prefix goes back to its maker alone, in thinking_blocks as elsewhere', () => {
  for (const maker of ['openai', 'gemini']) {
    const text = claudeGets([
      { type: 'thinking', thinking: 'hm', signature: `sluice.${maker}.abc` },
      { type: 'redacted_thinking', data: `sluice.${maker}.def` },
    ]);
    expect(text).toContain('hello');
    expect(text).not.toMatch(/sluice|abc|def|hm/);
  }
  expect(claudeGets([{ type: 'thinking', thinking: 'hm', signature: 'EqoB' }])).toContain(
    '{"type":"thinking","thinking":"hm","signature":"EqoB"}',
  );
  expect(claudeGets([{ type: 'redacted_thinking', data: 'sluice.anthropic.EqoB' }])).toContain(
    '{"type":"redacted_thinking","data":"EqoB"}',
  );
});

test('what is not sealed at all never reaches Claude', () => {
  const text = claudeGets([
    { type: 'thinking', thinking: 'hm', signature: '' },
    { type: 'thinking', thinking: 'hm' },
    { type: 'redacted_thinking', data: '' },
  ]);
  expect(text).not.toContain('thinking');
});

test('a seal comes back byte for byte, whatever it begins with', () => {
  for (const data of ['EqoB', 'sluice.gemini.x', 'sluice.', 'openai', 'sluice.nobody.x'])
    for (const maker of ['anthropic', 'gemini', 'openai'] as const) {
      const isOurs = maker === 'anthropic' && data === 'sluice.gemini.x';
      if (isOurs) continue;
      expect(sealOf('anthropic', sealText('anthropic', { maker, data }))).toEqual({ maker, data });
    }
});

test('whose seals a provider opens is its own, on whichever wire it is reached', () => {
  expect(makerAt({ name: 'own', dialect: 'anthropic' })).toBe('anthropic');
  expect(makerAt({ name: 'gemini', dialect: 'openai' })).toBe('gemini');
  expect(makerAt({ name: 'vertex', dialect: 'gemini' })).toBe('gemini');
  expect(makerAt({ name: 'groq', dialect: 'openai' })).toBe('openai');
});
