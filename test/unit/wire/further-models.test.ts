import { describe, expect, it } from 'vitest';
import { FurtherModels } from '../../../src/wire/further-models.ts';

function read(body: unknown, bytes = Number.POSITIVE_INFINITY): FurtherModels {
  const models = new FurtherModels();
  const all = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  for (let at = 0; at < all.length; at += bytes) models.push(all.subarray(at, at + bytes));
  return models;
}

describe('the models that a request names beside its own', () => {
  it.each([
    [{ model: 'a', models: ['b', 'c', 'b'] }, ['b', 'c']],
    [{ fallbacks: [{ model: 'b', thinking: { type: 'enabled' } }, 'c'] }, ['b', 'c']],
    [{ fallbacks: 'default' }, ['default']],
    [{ tools: [{ type: 'advisor', model: 'b' }, { name: 'x' }] }, ['b']],
    [{ tools: [{ type: 'openrouter:image', parameters: { model: 'b' } }] }, ['b']],
    [{ plugins: [{ id: 'fusion', model: 'b', analysis_models: ['c'] }] }, ['b', 'c']],
    [{ preset: 'mine' }, ['@preset/mine']],
    [{ compound_custom: { models: { answering_model: 'b', reasoning_model: 'c' } } }, ['b', 'c']],
    [{ requests: [{ model: 'models/b' }] }, ['models/b']],
    // Both of two names that are the same key, names with escapes, and what is not quite JSON.
    ['{"models":["b"],"models":["c"],"x":NaN}', ['b', 'c']],
    ['{"mod\\u0065ls":["\\u0062"]}', ['b']],
  ])('are read wherever the body is cut: %j', (body, names) => {
    for (const bytes of [1, 3, 7, 1_000]) expect(read(body, bytes).names).toEqual(names);
  });

  it('are none in messages, schemas and texts', () => {
    const body = {
      model: 'a',
      messages: [{ content: '"models":["b"]', models: ['b'], tools: [{ model: 'b' }] }],
      tools: [{ function: { parameters: { properties: { model: {} }, model: 'b' } } }],
      metadata: { model: 'b' },
      models: [],
      preset: null,
      fallbacks: [''],
    };
    expect(read(body).names).toEqual([]);
    expect(read(body).isUnsure).toBe(false);
  });

  it('are too many, or longer than any, for anybody to be sure', () => {
    expect(read({ models: Array.from({ length: 33 }, (_, at) => `${at}`) }).isUnsure).toBe(true);
    expect(read({ models: ['x'.repeat(2_000)] }).isUnsure).toBe(true);
    expect(read({ models: Array.from({ length: 9_999 }, () => 'b') }).names).toEqual(['b']);
  });
});
