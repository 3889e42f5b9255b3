import { describe, expect, it } from 'vitest';
import { providerTable } from '../../../src/providers/providers.ts';
import { followable } from '../../../src/upstream/references.ts';

const table = providerTable([
  { name: 'vllm', authority: 'http://vllm.internal:8000' },
  { name: 'six', authority: 'http://[::1]:8000' },
  { name: 'plain', authority: 'http://plain.internal:80' },
]);
const follow = (name: string, reference: string, target = '/v1/chat/completions?a=1') => {
  const provider = table.find((row) => row.name === name) ?? expect.fail(name);
  return followable(reference, provider, target);
};

describe('a reference that stays with the provider', () => {
  it.each([
    ['/v1/chat/completions/', '/vllm/v1/chat/completions/'],
    ['/other', '/vllm/other'],
    ['completions/', '/vllm/v1/chat/completions/'],
    ['./completions/', '/vllm/v1/chat/completions/'],
    ['../models', '/vllm/v1/models'],
    ['../../../../openai/v1/files', '/vllm/openai/v1/files'],
    ['%2e%2e/%2e%2e/%2e%2e/openai', '/vllm/openai'],
    ['?b=2', '/vllm/v1/chat/completions?b=2'],
    ['#part', '/vllm/v1/chat/completions?a=1#part'],
    ['', '/vllm/v1/chat/completions?a=1'],
    ['//vllm.internal:8000/x', '/vllm/x'],
    ['http://vllm.internal:8000/x?y#z', '/vllm/x?y#z'],
    ['HTTP://VLLM.Internal:08000/x', '/vllm/x'],
    ['http://user:password@vllm.internal:8000/x', '/vllm/x'],
    ['https://vllm.internal:8000/x', '/vllm/x'],
    ['http://vllm.internal:8000', '/vllm/'],
    ['http:/x', '/vllm/x'],
    ['http:x', '/vllm/v1/chat/x'],
    ['\\x', '/vllm/x'],
    ['/\t/x', null],
    ['http://vllm.internal./x', null],
  ])('%j is %j', (reference, expected) => expect(follow('vllm', reference)).toBe(expected));

  it('is known with and without the port of its scheme', () => {
    for (const reference of [
      'https://api.openai.com/x',
      'https://api.openai.com:443/x',
      '//API.openai.com./x',
    ])
      expect(follow('openai', reference)).toBe('/openai/x');
    // Behind a TLS terminator, a provider takes itself for a plaintext one.
    expect(follow('openai', 'http://api.openai.com/x')).toBe('/openai/x');
    expect(follow('plain', 'http://plain.internal/x')).toBe('/plain/x');
    expect(follow('six', 'http://[0:0::1]:8000/x')).toBe('/six/x');
  });

  it('begins with one slash, whatever the provider was asked for', () => {
    expect(follow('vllm', 'x', '//evil.test/y')).toBe('/vllm//evil.test/x');
    expect(follow('vllm', '?b', '/')).toBe('/vllm/?b');
  });

  it('keeps the bytes of what is not ASCII, escaped', () => {
    expect(follow('vllm', '/\xc3\xa4')).toBe('/vllm/%C3%A4');
  });
});

describe('a reference that leads elsewhere', () => {
  it.each([
    'https://evil.test/x',
    '//evil.test/x',
    '///evil.test/x',
    '/\\evil.test/x',
    '\\\\evil.test/x',
    'https:\\\\evil.test/x',
    'http://vllm.internal:8001/x',
    'http://vllm.internal/x',
    'http://vllm.internal:8000@evil.test/x',
    'http://vllm.internal:8000.evil.test/x',
    'http://evil.test#@vllm.internal:8000/x',
    'http://xvllm.internal:8000/x',
    'http://[bad/x',
    'javascript:alert(1)',
    'data:text/plain,x',
    'ftp://vllm.internal:8000/x',
    'ws://vllm.internal:8000/x',
  ])('%j is not followed', (reference) => expect(follow('vllm', reference)).toBeNull());
});
