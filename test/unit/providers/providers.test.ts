import { describe, expect, it } from 'vitest';
import { Router } from '../../../src/admit/route.ts';
import { parseAuthority, providerTable } from '../../../src/providers/providers.ts';

describe('the provider table', () => {
  it('holds the built-in providers with their authorities and dialects', () => {
    const rows = providerTable([]);
    expect(rows.map(({ name }) => name)).toEqual([
      'openai',
      'anthropic',
      'openrouter',
      'fireworks',
      'groq',
      'deepseek',
      'together',
      'cerebras',
      'mistral',
      'xai',
      'gemini',
      'ollama',
    ]);
    const vendors = rows.filter(({ builtIn }) => builtIn);
    expect(vendors.every(({ authority }) => authority.tls && authority.port === 443)).toBe(true);
    expect(vendors.length).toBe(rows.length - 1);
    expect(rows[1]).toMatchObject({ authScheme: 'x-api-key', dialect: 'anthropic' });
  });

  it('is overridden and extended by the configuration', () => {
    const rows = providerTable([
      { name: 'openai', authority: 'http://[::1]:8000' },
      { name: 'own', authority: 'https://own.test', dialect: 'anthropic' },
    ]);
    expect(rows[0]?.authority).toEqual({ host: '::1', port: 8000, tls: false });
    expect(rows[12]).toMatchObject({
      name: 'own',
      index: 12,
      authority: { host: 'own.test', port: 443, tls: true },
    });
    expect(() => providerTable([{ name: 'x' }])).toThrow(/no authority/);
  });

  it.each([
    [undefined, { wire: 'gemini', prefix: '/v1beta' }],
    [{ authority: 'http://127.0.0.1:9' }, { wire: 'gemini', prefix: '/v1beta' }],
    [{ dialect: 'openai' }, { wire: 'gemini', prefix: '/v1beta' }],
    [{ dialect: 'anthropic' }, null],
  ] as const)('a Gemini of which %j is said has the wire of its own %j', (said, wanted) => {
    const rows = providerTable(said === undefined ? [] : [{ name: 'gemini', ...said }]);
    expect(rows.find(({ name }) => name === 'gemini')?.nativeWire).toEqual(wanted);
    const others = rows.filter(({ name, nativeWire }) => name !== 'gemini' && nativeWire !== null);
    expect(others).toMatchObject([
      { name: 'ollama', nativeWire: { wire: 'ollama', prefix: '/api' } },
    ]);
  });

  it.each([
    [['gemini'], [], 'gemini'],
    [['openai-chat', 'gemini'], ['openai-chat'], 'gemini'],
    [['ollama'], [], 'ollama'],
  ] as const)('whoever is said to speak %j gets requests of %j as they came, and others in %s', (wires, callers, own) => {
    for (const name of ['gemini', 'box']) {
      const authority = name === 'box' ? { authority: 'http://box:1' } : {};
      const row = providerTable([{ name, wires, ...authority }]).find((one) => one.name === name);
      expect([row?.wires, row?.nativeWire?.wire]).toEqual([callers, own]);
    }
  });

  it('keeps a built-in provider’s own wire where something is said of OpenAI’s alone, and gives none to others', () => {
    const wires = ['openai-chat', 'openai-responses'] as const;
    for (const [name, own] of [
      ['gemini', 'gemini'],
      ['ollama', 'ollama'],
      ['xai', undefined],
      ['box', undefined],
    ] as const) {
      const authority = name === 'box' ? { authority: 'http://box:1' } : {};
      const row = providerTable([{ name, wires, ...authority }]).find((one) => one.name === name);
      expect([row?.wires, row?.nativeWire?.wire]).toEqual([wires, own]);
    }
    const other = providerTable([{ name: 'gemini', dialect: 'anthropic' }]);
    expect(other.find(({ name }) => name === 'gemini')?.nativeWire).toBeNull();
  });

  it('reaches what a provider of one’s own has on the wire that is its only one', () => {
    const said = { name: 'box', authority: 'http://box:1' };
    const [gemini] = providerTable([{ ...said, wires: ['gemini'] }]).slice(-1);
    expect(gemini).toMatchObject({
      authScheme: 'x-goog-api-key',
      lists: ['/v1beta/models', '/v1beta/models/{name}'],
    });
    const [ollama] = providerTable([{ ...said, wires: ['ollama'] }]).slice(-1);
    expect(ollama).toMatchObject({ authScheme: 'bearer', lists: ['/api/tags'] });
    expect(ollama?.native).toContainEqual(['/api/embed', 'reports']);
  });

  it('has an Azure where the configuration says which', () => {
    const [azure] = providerTable([{ name: 'azure', authority: 'x.openai.azure.com:443' }]).slice(
      -1,
    );
    expect(azure).toMatchObject({ name: 'azure', authScheme: 'api-key', needsKey: true });
    expect(azure?.prefixes[0]).toBe('/openai/v1');
  });

  it.each([
    [undefined, { keyless: true, needsKey: false, onlyVirtual: true }],
    [{ streamUsage: 'ask' }, { keyless: true, needsKey: false, onlyVirtual: true }],
    [
      { authority: 'http://127.0.0.1:11434' },
      { keyless: true, needsKey: false, onlyVirtual: false },
    ],
    [{ authority: 'ollama.com:443' }, { keyless: false, needsKey: true, onlyVirtual: false }],
    [{ authScheme: 'bearer' }, { keyless: false, needsKey: true, onlyVirtual: true }],
    [{ authScheme: 'none' }, { keyless: true, needsKey: false, onlyVirtual: true }],
  ] as const)('an Ollama of which %j is said is %j', (said, wanted) => {
    const rows = providerTable(said === undefined ? [] : [{ name: 'ollama', ...said }]);
    expect(rows.find(({ name }) => name === 'ollama')).toMatchObject(wanted);
  });

  it.each([
    '',
    'a',
    'a:',
    'a:0',
    'a:70000',
    'ftp://a:1',
    'http://a',
    'a:1/x',
    'u@a:1',
    'a b:1',
    '::1:5',
  ])('%j is no authority', (text) => {
    expect(parseAuthority(text)).toBeNull();
  });
});

describe('routing', () => {
  const router = new Router(providerTable([]));
  it('is by the first whole segment and nothing else', () => {
    expect(router.route('/v1/messages', false)?.provider.name).toBe('anthropic');
    expect(router.route('/v1/messagesx', false)?.provider.name).toBe('openai');
    expect(router.route('/v1', true)?.provider.name).toBe('anthropic');
    expect(router.route('/groq/openai/v1', false)).toMatchObject({
      provider: { name: 'groq' },
      path: '/openai/v1',
    });
    for (const path of [
      '/',
      '/v1x',
      '/constructor/x',
      '/__proto__',
      '/GROQ/x',
      '/groq%2fx',
      '/v1beta',
      '/azure/x',
    ]) {
      expect(router.route(path, false), path).toBeNull();
    }
  });
});
