import { describe, expect, it } from 'vitest';
import { findCredential, withoutCredentials } from '../../../src/admit/credential.ts';

const kind = (fields: readonly string[], query = '') => findCredential(fields, query).kind;
const token = (fields: readonly string[], query = '') =>
  findCredential(fields, query).token.reveal();

describe('findCredential', () => {
  it('counts a key only where it holds something', () => {
    expect(kind(['authorization', 'Bearer sk'])).toBe('byo');
    expect(kind(['authorization', 'bearer  sk'])).toBe('byo');
    expect(kind(['x-api-key', ''], 'key=')).toBe('none');
    expect(kind(['authorization', 'Basic abc'], 'a=1&k%65y=x')).toBe('byo');
    expect(kind(['authorization', 'Basic abc'], 'monkey=1')).toBe('none');
  });

  it('knows a key of the caller in x-api-key, beside any other', () => {
    const fields = ['x-api-key', 'k', 'authorization', 'Bearer sk'];
    expect(findCredential(fields, '')).toMatchObject({ kind: 'byo', inXApiKey: true });
    expect(findCredential(fields.slice(2), 'key=k').inXApiKey).toBe(false);
  });

  it.each([
    ['authorization', 'Bearer bai_v1.x'],
    ['authorization', 'bearer \t bai_v1.x'],
    ['authorization', 'bai_v1.x'],
    ['x-api-key', 'bai_v1.x'],
    ['api-key', 'bai_v1.x'],
    ['x-goog-api-key', 'bai_v1.x'],
  ])('finds a managed key in %s: %s', (name, value) => {
    expect(token([name, value])).toBe('bai_v1.x');
    expect(token(['authorization', 'Bearer sk', 'x-api-key', 'k', name, value], 'key=k')).toBe(
      'bai_v1.x',
    );
  });

  it.each([
    'key=bai_v1.x',
    'a=1&k%65y=bai_v1.x',
    'key=sk&%6bey=b%61i_v1.x',
    'key=%62ai%5Fv1%2ex',
  ])('finds a managed key in the query %s', (query) => expect(token([], query)).toBe('bai_v1.x'));

  it('a broken escape beside a token does not hide it', () => {
    expect(kind([], 'key=%62ai_v1.x%zz')).toBe('managed');
  });

  it('the same managed key twice is one, two different ones are none of both', () => {
    const both = (second: string) => ['authorization', 'Bearer bai_v1.x', 'x-api-key', second];
    expect(token(both('bai_v1.x'), 'key=bai_v1.x')).toBe('bai_v1.x');
    expect(token(both('bai_v1.y'))).not.toMatch(/bai_v1/);
    expect(kind(both('bai_v1.y'))).toBe('managed');
  });

  it('any version of a managed key is managed', () => {
    for (const value of ['bai_v', 'bai_v9.1.AA.AA', 'x bai_v1']) {
      expect(kind(['x-api-key', value])).toBe('managed');
    }
  });
});

describe('withoutCredentials', () => {
  it('takes out every key parameter, however spelled, and nothing else', () => {
    expect(withoutCredentials('a=1&key=x&b=%20&%6bey=y&k%65y=&monkey=2&key')).toBe(
      'a=1&b=%20&monkey=2&key',
    );
    expect(withoutCredentials('key=x')).toBe('');
    expect(withoutCredentials('')).toBe('');
  });
});
