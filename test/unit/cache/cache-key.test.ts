import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cacheKey, type KeyedRequest } from '../../../src/cache/cache-key.ts';
import type { CacheTerms } from '../../../src/cache/cache-settings.ts';
import type { KeyIdentity } from '../../../src/keys/virtual-key.ts';

const TERMS: CacheTerms = {
  match: 'bytes',
  strategy: 'full_request',
  scope: 'tenant',
  ttlMs: 1_000,
  permission: '[[],false,null]',
  limitsModels: false,
};
const CANONICAL: CacheTerms = { ...TERMS, match: 'canonical' };

function holder(tenantText: string, keyText: string | null = '7', vpcText = '1'): KeyIdentity {
  const words = { low: 0, high: 0 };
  return {
    kid: 1,
    tenantId: 0n,
    vpcId: 0n,
    keyId: null,
    keyClass: 'application',
    tenantText,
    vpcText,
    keyText,
    tenantWords: words,
    keyWords: words,
  };
}

const ASKED: KeyedRequest = {
  identity: holder('42'),
  generation: 'g',
  provider: 'openai',
  dialect: 'openai',
  target: '/v1/chat/completions',
  fields: ['content-type', 'application/json'],
};

const BODY = Buffer.from(
  '{"model":"m","temperature":0,"messages":[{"role":"user","content":"hé"}],"seed":7}',
);
const keyOf = (body: string, terms = CANONICAL): string =>
  cacheKey(terms, ASKED, Buffer.from(body));

describe('a key covers everything that an answer depends on', () => {
  test('the same request has the same key', () => {
    expect(cacheKey(TERMS, { ...ASKED, identity: holder('42') }, Buffer.from(BODY))).toBe(
      cacheKey(TERMS, ASKED, BODY),
    );
  });

  test.each<readonly [string, Partial<KeyedRequest>]>([
    ['tenant', { identity: holder('43') }],
    ['part of a tenant', { identity: holder('42', '7', '2') }],
    ['configuration', { generation: 'h' }],
    ['provider', { provider: 'groq' }],
    ['dialect', { dialect: 'anthropic' }],
    ['path', { target: '/v1/completions' }],
    ['query', { target: '/v1/chat/completions?api-version=2' }],
    ['version', { fields: [...ASKED.fields, 'anthropic-version', '2023-06-01'] }],
    ['beta', { fields: [...ASKED.fields, 'anthropic-beta', 'a'] }],
    ['second beta', { fields: [...ASKED.fields, 'anthropic-beta', 'a', 'anthropic-beta', 'b'] }],
    ['other beta', { fields: [...ASKED.fields, 'openai-beta', 'a'] }],
    ['organization', { fields: [...ASKED.fields, 'openai-organization', 'a'] }],
    ['project', { fields: [...ASKED.fields, 'openai-project', 'a'] }],
    ['project of Google’s', { fields: [...ASKED.fields, 'x-goog-user-project', 'a'] }],
    ['language', { fields: [...ASKED.fields, 'accept-language', 'de'] }],
    ['content type', { fields: ['content-type', 'text/plain'] }],
    ['accepted events', { fields: [...ASKED.fields, 'accept', 'text/event-stream'] }],
    ['wished order', { fields: [...ASKED.fields, 'x-sluice-order', 'groq'] }],
    ['wished cost', { fields: [...ASKED.fields, 'x-sluice-max-cost', '1'] }],
    ['wished strictness', { fields: [...ASKED.fields, 'x-sluice-strict', 'true'] }],
    ['wished targets', { fields: [...ASKED.fields, 'x-sluice-only', 'groq'] }],
  ])('another %s is another key', (_what, other) => {
    expect(cacheKey(TERMS, { ...ASKED, ...other }, BODY)).not.toBe(cacheKey(TERMS, ASKED, BODY));
  });

  test('fields that name clients and conversations are none of it', () => {
    const fields = [...ASKED.fields, 'user-agent', 'x', 'session-id', 'y', 'traceparent', 'z'];
    expect(cacheKey(TERMS, { ...ASKED, fields }, BODY)).toBe(cacheKey(TERMS, ASKED, BODY));
  });

  test('what a policy allows is another key, whatever the scope', () => {
    for (const scope of ['tenant', 'key', 'global'] as const) {
      const terms = { ...TERMS, scope };
      const narrow = { ...terms, permission: '[["chat"],false,null]' };
      expect(cacheKey(terms, ASKED, BODY)).not.toBe(cacheKey(narrow, ASKED, BODY));
    }
  });

  test('whose it is counts as the scope says', () => {
    const same = (scope: CacheTerms['scope'], one: KeyIdentity, other: KeyIdentity): boolean =>
      cacheKey({ ...TERMS, scope }, { ...ASKED, identity: one }, BODY) ===
      cacheKey({ ...TERMS, scope }, { ...ASKED, identity: other }, BODY);
    expect(same('tenant', holder('42', '7'), holder('42', '8'))).toBe(true);
    expect(same('key', holder('42', '7'), holder('42', '8'))).toBe(false);
    expect(same('key', holder('42', null), holder('43', null))).toBe(false);
    expect(same('global', holder('42'), holder('43'))).toBe(true);
  });

  test('a million pairs of two tenants, with the fields of either, share no key', () => {
    const names = ['anthropic-version', 'anthropic-beta', 'openai-beta', 'content-type', 'accept'];
    const keys = new Set<string>();
    const tenants = ['1', '11', '1","1', '111'];
    // Texts that could pass for the end of one value and the beginning of the next.
    const values = ['1', '11', '', '1\n1', '","1', 'null'];
    let made = 0;
    let state = 1;
    const pick = (count: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      return (state >>> 8) % count;
    };
    const owners = new Map<string, string>();
    for (let pair = 0; pair < 1_000_000; pair++) {
      const fields: string[] = [];
      for (let at = pick(3); at > 0; at--)
        fields.push(names[pick(names.length)] ?? '', values[pick(values.length)] ?? '');
      const tenant = tenants[pick(tenants.length)] ?? '';
      const vpc = values[pick(values.length)] ?? '';
      const request = { ...ASKED, identity: holder(tenant, '7', vpc), fields };
      const key = cacheKey(TERMS, request, BODY);
      const owner = `${tenant}\0${vpc}`;
      const known = owners.get(key);
      if (known === undefined) owners.set(key, owner);
      else if (known !== owner) made++;
      keys.add(key);
    }
    expect(made).toBe(0);
    expect(keys.size).toBeGreaterThan(1_000);
  });

  test('any byte of a body that is another one is another key', () => {
    const key = cacheKey(TERMS, ASKED, BODY);
    for (let at = 0; at < BODY.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const other = Buffer.from(BODY);
        other[at] = (other[at] ?? 0) ^ (1 << bit);
        expect(cacheKey(TERMS, ASKED, other)).not.toBe(key);
        // Where meaning counts, one that cannot be read is compared as it is.
        expect(cacheKey(CANONICAL, ASKED, other)).not.toBe(cacheKey(CANONICAL, ASKED, BODY));
      }
    }
  });
});

describe('where meaning counts', () => {
  test.each([
    ['order', '{"a":1,"b":{"d":2,"c":[]}}', '{"b":{"c":[],"d":2},"a":1}'],
    ['white space', '{"a":[1,2]}', ' {\n"a" :\t[ 1 , 2 ]\r\n} '],
    ['numbers', '{"a":100}', '{"a":1.0E+2}'],
    ['fractions', '{"a":0.5}', '{"a":50e-2}'],
    ['zeros', '{"a":0}', '{"a":-0.00}'],
    ['escapes', '{"a":"\\u0062\\/"}', '{"a":"b/"}'],
    ['names', '{"\\u0061":1}', '{"a":1}'],
  ])('another spelling of %s is the same', (_what, one, other) => {
    expect(keyOf(one)).toBe(keyOf(other));
    expect(keyOf(one, TERMS)).not.toBe(keyOf(other, TERMS));
  });

  test.each([
    ['number', '{"a":1}', '{"a":1.0000000000000000001}'],
    ['seed that no double tells apart', '{"seed":9007199254740993}', '{"seed":9007199254740992}'],
    ['type', '{"a":1}', '{"a":"1"}'],
    ['absence', '{"a":null}', '{}'],
    ['order of a list', '{"a":[1,2]}', '{"a":[2,1]}'],
    ['text', '{"a":"é"}', '{"a":"e\u0301"}'],
    ['sign', '{"a":1}', '{"a":-1}'],
    ['member that is named twice', '{"a":1,"a":2}', '{"a":2}'],
    ['end', '{"a":1}', '{"a":1}}'],
    ['nesting', '{"a":[[1],2]}', '{"a":[[1,2]]}'],
  ])('another %s is another key', (_what, one, other) => {
    expect(keyOf(one)).not.toBe(keyOf(other));
  });

  test('two texts have one key exactly where they mean the same', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.jsonValue(), (value, other) => {
        const shuffled = Object.fromEntries(Object.entries(value).reverse());
        expect(keyOf(JSON.stringify(shuffled, null, 2))).toBe(keyOf(JSON.stringify(value)));
        const changed = { ...value, ['\u0001']: other };
        if (!('\u0001' in value))
          expect(keyOf(JSON.stringify(changed))).not.toBe(keyOf(JSON.stringify(value)));
      }),
      { numRuns: 500 },
    );
  });

  test('what is nested without end is compared as it is, and ends nobody', () => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    expect(keyOf(deep)).not.toBe(keyOf(` ${deep}`));
    expect(keyOf(`{"a":"${'\\n'.repeat(500_000)}"}`)).toMatch(/^[\w-]{43}$/);
  });
});

describe('where the content counts', () => {
  const content: CacheTerms = { ...TERMS, strategy: 'content' };
  const withModel: CacheTerms = { ...TERMS, strategy: 'content+model' };
  const messages = '"messages":[{"role":"user","content":"hi"}]';

  test('the rest of the body does not', () => {
    const one = `{"model":"m",${messages},"max_tokens":5,"user":"a"}`;
    const other = `{"user":"b","max_tokens":9,${messages},"model":"m"}`;
    expect(keyOf(one, content)).toBe(keyOf(other, content));
    expect(keyOf(one, withModel)).toBe(keyOf(other, withModel));
    expect(keyOf(one, TERMS)).not.toBe(keyOf(other, TERMS));
  });

  test('its model does where it is to, and wherever a policy names models', () => {
    const one = `{"model":"m",${messages}}`;
    const other = `{"model":"n",${messages}}`;
    expect(keyOf(one, content)).toBe(keyOf(other, content));
    expect(keyOf(one, withModel)).not.toBe(keyOf(other, withModel));
    const limited = { ...content, limitsModels: true };
    expect(keyOf(one, limited)).not.toBe(keyOf(other, limited));
  });

  test.each([
    ['a picture beside its prompt', { prompt: 'what is it', images: ['AAAA'] }],
    ['what comes behind its text', { prompt: 'once', suffix: 'ever after' }],
    ['its tools, in an older word', { messages: [], functions: [{ name: 'f' }] }],
    ['which of them may be called', { contents: [], toolConfig: { mode: 'NONE' } }],
    ['thoughts', { messages: [], thinking: { type: 'enabled' } }],
    ['what nobody has heard of', { messages: [], another: 1 }],
  ])('%s does', (_what, members) => {
    const [, name = ''] = Object.keys(members);
    const of = (body: object): string => keyOf(JSON.stringify(body), content);
    expect(of({ ...members, temperature: 1 })).toBe(of(members));
    expect(of({ ...members, [name]: 'other' })).not.toBe(of(members));
  });

  test('the shape of its answer does', () => {
    const one = `{"model":"m",${messages}}`;
    expect(keyOf(one, content)).not.toBe(keyOf(`{${messages},"stream":true}`, content));
    expect(keyOf(one, content)).not.toBe(keyOf(`{${messages},"n":2}`, content));
  });
});
