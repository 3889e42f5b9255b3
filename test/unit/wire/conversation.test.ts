import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cacheLifeMs, conversationOf } from '../../../src/wire/conversation.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { RequestOutline } from '../../../src/wire/request-outline.ts';

const scanner = loadJsonScanner();
const MINUTE_MS = 60_000;

const of = (body: unknown, tenant = '1', prefixMinBytes = 0): number => {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const outline = RequestOutline.of(scanner, Buffer.from(text));
  return outline === null ? -1 : conversationOf(outline, tenant, prefixMinBytes);
};

describe('what a body says of its conversation', () => {
  test.each([
    [{ prompt_cache_key: 'k' }],
    [{ metadata: { user_id: 'k' } }],
    [{ metadata: { session_id: 'k' } }],
    [{ session_id: 'k' }],
    [{ conversation: 'k' }],
    [{ conversation: { id: 'k' } }],
  ])('%j names it, whatever else changes', (name) => {
    const base = of({ ...name, messages: [{ role: 'user', content: 'a' }] });
    expect(base).not.toBe(0);
    expect(of({ model: 'm', messages: [{ role: 'user', content: 'b' }], ...name })).toBe(base);
    const other = JSON.parse(JSON.stringify(name).replace('"k"', '"l"')) as object;
    expect(of({ ...other, messages: [] })).not.toBe(base);
    expect(of({ ...name }, '2')).not.toBe(base);
  });

  test('the surest name counts', () => {
    const key = of({ prompt_cache_key: 'k' });
    expect(of({ metadata: { user_id: 'u' }, prompt_cache_key: 'k' })).toBe(key);
    expect(of({ metadata: { user_id: 'u', session_id: 'k' } })).toBe(
      of({ metadata: { session_id: 'k' } }),
    );
  });

  test('a name that is none, or stands elsewhere, names nothing', () => {
    for (const body of [
      { prompt_cache_key: '' },
      { prompt_cache_key: 7 },
      { prompt_cache_key: null },
      { x: { prompt_cache_key: 'k' } },
      {},
    ])
      expect(of(body)).toBe(0);
    expect(of('{"prompt_cache_key":"k"')).toBe(-1);
  });
});

describe('what a conversation begins with', () => {
  const system = { role: 'system', content: 'You are "kind" \\ and [brief] {role: "user"}.' };
  const first = { role: 'user', content: [{ type: 'text', text: 'Hello "user" ]}' }] };
  const answer = { role: 'assistant', content: 'Hi' };
  const next = { role: 'user', content: 'And now?' };

  test.each([
    ['chat', { messages: [system, first] }, { messages: [system, first, answer, next] }],
    ['chat without a system', { messages: [first] }, { messages: [first, answer, next] }],
    [
      'Messages',
      { system: 'S', tools: [{ name: 't' }], messages: [first] },
      { system: 'S', tools: [{ name: 't' }], messages: [first, answer, next] },
    ],
    [
      'Responses',
      { instructions: 'I', input: [first] },
      { instructions: 'I', input: [first, answer, next] },
    ],
    [
      'a mark for the cache that wanders',
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }],
          },
        ],
      },
      {
        messages: [
          {
            role: 'user',
            content: [{ type: 'text', text: 'Hello', cache_control: { type: 'ephemeral' } }],
          },
          answer,
          next,
        ],
      },
    ],
  ])('stays with its later turns: %s', (_name, turn, later) => {
    expect(of(turn)).not.toBe(0);
    expect(of(later)).toBe(of(turn));
    expect(of(JSON.stringify(later, null, 2))).not.toBe(0);
    expect(of({ model: 'other', temperature: 1, ...later })).toBe(of(turn));
  });

  test.each([
    ['another first question', { messages: [system, next] }],
    ['another system', { messages: [{ ...system, content: 'x' }, first] }],
    ['tools', { messages: [system, first], tools: [{ name: 't' }] }],
  ])('is another one with %s', (_name, other) => {
    expect(of(other)).not.toBe(of({ messages: [system, first] }));
  });

  test('tells nothing below what any provider caches', () => {
    const body = { messages: [first] };
    const bytes = JSON.stringify(body).length;
    expect(of(body, '1', bytes + 1)).toBe(0);
    expect(of(body, '1', bytes)).not.toBe(0);
    expect(of({ ...body, prompt_cache_key: 'k' }, '1', 1_000_000)).not.toBe(0);
  });

  test('any turns behind the first question of a user change nothing (property)', () => {
    const text = fc.string({ unit: 'binary', maxLength: 30 });
    const content = fc.oneof(
      text,
      fc.array(fc.record({ type: fc.constant('text'), text }), { maxLength: 3 }),
    );
    const role = fc.constantFrom('system', 'developer', 'assistant', 'tool');
    fc.assert(
      fc.property(
        fc.array(fc.record({ role, content }), { maxLength: 3 }),
        fc.record({ content, role: fc.constant('user') }),
        fc.array(fc.record({ role: fc.constantFrom('user', 'assistant'), content }), {
          maxLength: 4,
        }),
        (before, question, behind) => {
          const turn = of({ messages: [...before, question] });
          expect(of({ messages: [...before, question, ...behind] })).toBe(turn);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('P1: how long the prompt stays cached', () => {
  test.each([
    ['nothing said', { messages: [] }, 5],
    ['a mark without a time', { system: [{ cache_control: { type: 'ephemeral' } }] }, 5],
    ['a mark of 1 h', { system: [{ cache_control: { type: 'ephemeral', ttl: '1h' } }] }, 60],
    [
      'marks of 5 min and 1 h',
      {
        tools: [{ cache_control: { ttl: '1h' } }],
        messages: [{ content: [{ cache_control: { ttl: '5m' } }] }],
      },
      60,
    ],
    ['OpenAI\u2019s 30 min', { prompt_cache_options: { ttl: '30m' } }, 30],
    ['OpenAI\u2019s 12 h', { prompt_cache_options: { ttl: '12h' } }, 720],
    ['OpenAI\u2019s retention', { prompt_cache_retention: '24h' }, 1_440],
    ['in memory', { prompt_cache_retention: 'in_memory' }, 5],
    ['more than any provider has', { prompt_cache_options: { ttl: '900h' } }, 1_440],
    ['a text that speaks of it', { messages: [{ content: '"ttl": "1h"' }] }, 5],
    [
      'odd times',
      { cache_control: [{ ttl: 3_600 }, { ttl: '1 hour' }, { ttl: null }], x: { ttl: 'h' } },
      5,
    ],
  ])('%s', (_name, body, minutes) => {
    expect(cacheLifeMs(Buffer.from(JSON.stringify(body)))).toBe(minutes * MINUTE_MS);
    expect(cacheLifeMs(Buffer.from(JSON.stringify(body, null, 3)))).toBe(minutes * MINUTE_MS);
  });

  test('a body that is not kept says nothing', () => {
    expect(cacheLifeMs(null)).toBe(5 * MINUTE_MS);
  });
});
