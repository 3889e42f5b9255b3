import { describe, expect, it } from 'vitest';
import { isSpellingOf, spellingsOf } from '../../../src/policy/model-spelling.ts';

describe('a spelling of a model', () => {
  it.each([
    ['GPT-4o', 'gpt-4o'],
    ['gpt-4o-2024-08-06', 'gpt-4o'],
    ['gpt-4-0613', 'gpt-4'],
    ['claude-sonnet-4-5-20250929', 'claude-sonnet-4-5'],
    ['claude-sonnet-4-5@20250929', 'claude-sonnet-4-5'],
    ['claude-3-5-haiku-latest', 'claude-3-5-haiku'],
    ['mistral-large-2411', 'mistral-large'],
    ['command-r-08-2024', 'command-r'],
    ['models/gemini-2.0-flash-001', 'gemini-2.0-flash'],
    ['openai/gpt-4o-2024-08-06:online', 'openai/gpt-4o'],
    ['llama3.1:latest', 'llama3.1'],
  ])('counts for it: %s for %s', (model, of) => {
    expect(isSpellingOf(model, of)).toBe(true);
    expect(isSpellingOf(of, model)).toBe(spellingsOf(model)[0] === of);
  });

  it.each([
    ['gpt-4o-mini', 'gpt-4o'],
    ['gpt-4o', 'gpt-4o-2024-08-06'],
    ['gpt-4o-2024-08-06', 'gpt-4o-2024-05-13'],
    ['llama3.1:70b', 'llama3.1'],
    ['claude-opus-4-5', 'claude-opus-4'],
    ['gpt-4o2024-08-06', 'gpt-4o'],
  ])('is not one of another model: %s of %s', (model, of) => {
    expect(isSpellingOf(model, of)).toBe(false);
  });

  it('has few names, however many ends somebody writes', () => {
    expect(spellingsOf(`m${'-latest'.repeat(100)}`)).toHaveLength(4);
    expect(spellingsOf('-latest')).toEqual(['-latest']);
  });
});
