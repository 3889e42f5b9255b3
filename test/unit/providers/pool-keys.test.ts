import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { leaksKey, PoolKey, PoolKeys, withoutKey } from '../../../src/providers/pool-keys.ts';
import { type Provider, providerTable } from '../../../src/providers/providers.ts';
import { Secret } from '../../../src/secret.ts';

const table = providerTable([{ name: 'azure', authority: 'h:443', authScheme: 'api-key' }]);
const provider = (name: string): Provider => {
  const found = table.find((row) => row.name === name);
  if (found === undefined) throw new Error(name);
  return found;
};
const secrets = (...values: string[]) => values.map((value) => new Secret(value));
const keys = (first = 0) =>
  new PoolKeys(
    table,
    new Map([
      ['openai', secrets('a', 'b', 'c')],
      ['anthropic', secrets('x')],
      ['azure', secrets('z')],
      ['gemini', secrets('g')],
    ]),
    first,
  );

describe('PoolKeys', () => {
  it('several keys of one provider take turns', () => {
    const pool = keys();
    const seen = Array.from({ length: 6 }, () => pool.next(provider('openai'))?.revealTo('/x'));
    expect(seen).toEqual(['a', 'b', 'c', 'a', 'b', 'c'].map((key) => `Bearer ${key}`));
  });

  it('workers start with different keys', () => {
    expect(keys(1).next(provider('openai'))?.revealTo('/x')).toBe('Bearer b');
    expect(keys(4).next(provider('openai'))?.revealTo('/x')).toBe('Bearer b');
  });

  it('each scheme has its own field', () => {
    const field = (name: string) => {
      const key = keys().next(provider(name));
      return [key?.field, key?.revealTo('/x')];
    };
    expect(field('openai')).toEqual(['authorization', 'Bearer a']);
    expect(field('anthropic')).toEqual(['x-api-key', 'x']);
    expect(field('azure')).toEqual(['api-key', 'z']);
    expect(field('ollama')).toEqual([null, '']);
  });

  it('Google takes its key as OpenAI does where it speaks OpenAI\u2019s wire, and in its own field elsewhere', () => {
    const key = keys().next(provider('gemini'));
    const to = (target: string) => [key?.fieldTo(target), key?.revealTo(target)];
    const bearer = ['authorization', 'Bearer g'];
    expect(to('/v1beta/openai/chat/completions')).toEqual(bearer);
    expect(to('/v1beta/openai/models')).toEqual(bearer);
    expect(to('/v1beta/models/x:generateContent')).toEqual(['x-goog-api-key', 'g']);
    expect(to('/v1beta/openaix')).toEqual(['x-goog-api-key', 'g']);
  });

  it('a provider without keys gives none', () => {
    expect(keys().next(provider('groq'))).toBeNull();
  });

  it('nothing of it prints a key', () => {
    const pool = new PoolKeys(table, new Map([['openai', secrets('sk-very-secret')]]), 0);
    const key = pool.next(provider('openai'));
    const printed = [pool, key].flatMap((value) => [
      inspect(value, { depth: 9, showHidden: true }),
      JSON.stringify(value),
      String(value),
    ]);
    expect(printed.join()).not.toContain('very-secret');
  });
});

describe('a response that repeats the pool key', () => {
  const key = new PoolKey('bearer', new Secret('sk-pool'));
  it.each([
    ['in its reason', 'sent sk-pool', ['x-a', 'b'], ['x-a', 'b']],
    ['in a value', 'OK', ['x-a', 'b', 'x-echo', 'a sk-pool b'], ['x-a', 'b']],
    ['in a name', 'OK', ['x-sk-pool', '1', 'x-a', 'b'], ['x-a', 'b']],
    ['twice', 'OK', ['x-b', 'sk-pool', 'x-a', 'b', 'x-b', 'sk-pool'], ['x-a', 'b']],
    ['in a field that holds keys', 'OK', ['X-Api-Key', 'other', 'x-a', 'b'], ['x-a', 'b']],
  ])('%s is caught, and the rest of it stays', (_where, reason, fields, kept) => {
    const lines = fields.map((text, at) => (at % 2 === 0 ? `\r\n${text}: ` : text));
    expect(leaksKey(200, `200 ${reason}${lines.join('')}`, fields, key)).toBe(true);
    expect(withoutKey(fields, key)).toEqual(kept);
  });

  it('is caught in an error by the ends of the key too, and in other spellings', () => {
    for (const value of ['sk-****pool', 'sk%2Dpool', 'sk-p\\u006fol']) {
      expect(leaksKey(400, `400 No\r\nx-a: ${value}`, ['x-a', value], key)).toBe(true);
      expect(withoutKey(['x-a', value, 'x-b', '1'], key)).toEqual(['x-b', '1']);
    }
  });

  it('of a provider that takes no key cannot be', () => {
    const none = new PoolKey('none', new Secret(''));
    expect(leaksKey(200, '200 OK', [], none) || leaksKey(400, '400 No', [], none)).toBe(false);
    expect(withoutKey(['x-a', '1'], none)).toEqual(['x-a', '1']);
  });

  it('is told from one that does not', () => {
    expect(leaksKey(200, '200 OK\r\nx-a: sk-poo', ['x-a', 'sk-poo'], key)).toBe(false);
    expect(leaksKey(400, '400 No\r\nx-a: sk-poo', ['x-a', 'sk-poo'], key)).toBe(false);
  });
});
