import { describe, expect, it } from 'vitest';
import { findCredential, loggedPath, withoutCredentials } from '../../../src/admit/credential.ts';
import { mintToken, newSecretKey } from '../../../src/keys/minting.ts';

const kind = (fields: readonly string[], query = '') => findCredential(fields, query, '/').kind;
const token = (fields: readonly string[], query = '') =>
  findCredential(fields, query, '/').token.reveal();

describe('findCredential', () => {
  it('counts a key only where it holds something', () => {
    expect(kind(['authorization', 'Bearer sk'])).toBe('byo');
    expect(kind(['authorization', 'bearer  sk'])).toBe('byo');
    expect(kind(['x-api-key', ''], 'key=')).toBe('none');
    expect(kind(['authorization', 'Basic abc'], 'a=1&k%65y=x')).toBe('byo');
    expect(kind(['authorization', 'Basic abc'], 'monkey=1')).toBe('none');
  });

  it('tells whether the only key is in x-api-key, an own or a virtual one', () => {
    const fields = ['x-api-key', 'k', 'authorization', 'Bearer sk'];
    expect(findCredential(fields, '', '/')).toMatchObject({ kind: 'byo', onlyInXApiKey: false });
    expect(findCredential(fields.slice(0, 2), '', '/').onlyInXApiKey).toBe(true);
    expect(findCredential(fields.slice(2), 'key=k', '/').onlyInXApiKey).toBe(false);
    const virtual = ['x-api-key', 'bai_v1.x'];
    expect(findCredential(virtual, '', '/').onlyInXApiKey).toBe(true);
    expect(findCredential([...virtual, ...fields], '', '/').onlyInXApiKey).toBe(false);
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

const TOKEN = token([
  'x-api-key',
  mintToken(newSecretKey(), { kid: 7, tenantId: 4n, vpcId: 9n, keyId: null }),
]);
const base64 = (text: string) => Buffer.from(text).toString('base64');
const escapedOf = (text: string) =>
  [...text].map((one) => `%${one.charCodeAt(0).toString(16)}`).join('');
const jsonEscaped = (text: string) =>
  [...text].map((one) => `\\u00${one.charCodeAt(0).toString(16)}`).join('');

describe('a virtual key in a place that is none for keys', () => {
  const OWN = ['authorization', 'Bearer sk-own'];
  const where = (fields: readonly string[], query = '', path = '/v1/x') =>
    findCredential([...OWN, ...fields], query, path).misplaced;

  it.each([
    ['a cookie', ['cookie', `a=b; key=${TOKEN}; c=d`]],
    ['a field of any name', ['x-app-key', TOKEN]],
    ['the middle of a text', ['user-agent', `app/1.0 (${TOKEN})`]],
    ['an address', ['referer', `https://a.example/?key=${TOKEN}`]],
    ['percent escapes', ['referer', `https://a.example/?key=${TOKEN.replace('b', '%62')}`]],
    ['percent escapes throughout', ['cookie', escapedOf(TOKEN)]],
    ['percent escapes, escaped again', ['cookie', TOKEN.replace('bai', '%2562ai')]],
    ['JSON escapes', ['x-metadata', `{"key":"${jsonEscaped(TOKEN)}"}`]],
    ['base64, at its beginning', ['x-auth', base64(TOKEN)]],
    ['base64, behind one byte', ['authorization', `Basic ${base64(`:${TOKEN}`)}`]],
    ['base64, behind two', ['authorization', `Basic ${base64(`u:${TOKEN}`)}`]],
    ['base64, behind many', ['proxy-authorization', `Basic ${base64(`api-user:${TOKEN}`)}`]],
    ['a key field, escaped', ['x-api-key', TOKEN.replace('v', '%76')]],
    ['Authorization, escaped', ['authorization', `Bearer ${TOKEN.replace('_', '%5F')}`]],
    ['the name of a field', [`x-${TOKEN.toLowerCase()}`, '1']],
  ])('is found: %s', (_what, fields) => {
    expect(where(fields)).not.toBeNull();
    expect(where(fields)).not.toContain(TOKEN.slice(0, 20));
    expect(findCredential([...OWN, ...fields], '', '/').kind).toBe('managed');
  });

  it.each([
    'token=',
    'a=1&access_token=',
    'KEY=',
    'key[]=',
    'k%2565y=',
    'key=sk-own&q=',
    '',
  ])('is found in the query behind %j, however spelled', (before) => {
    for (const spelled of [TOKEN, TOKEN.replace('b', '%62'), TOKEN.replace('b', '%2562')])
      expect(where([], `${before}${spelled}`)).toBe('the query');
    expect(where([], `${before}${TOKEN}=1`)).toBe('the query');
  });

  it('is found in the path, however spelled', () => {
    for (const spelled of [TOKEN, TOKEN.replace('b', '%62'), escapedOf(TOKEN)]) {
      expect(where([], '', `/v1/${spelled}/x`)).toBe('the path');
      expect(loggedPath(`/v1/${spelled}/x`)).not.toContain(spelled);
    }
    expect(loggedPath('/v1/models')).toBe('/v1/models');
  });

  it('is not seen where none is', () => {
    const fields = [
      'cookie',
      base64('a long cookie with a bai_value of nothing at all in it, twice'),
    ];
    const odd = ['x-a', 'bai', 'x-b', '%', 'x-c', '%zz\\u00', 'x-d', 'iYWlfd'.repeat(20)];
    expect(where([...fields, ...odd, 'x-e', 'YmFpX3'.repeat(20)], 'a=%&b=bai', '/v1/%')).toBeNull();
    expect(where(['x-api-key', TOKEN], `key=${TOKEN}`)).toBeNull();
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
