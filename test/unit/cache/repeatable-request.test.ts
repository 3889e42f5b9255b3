import { Buffer } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { readRequest } from '../../../src/cache/repeatable-request.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';

const scanner = loadJsonScanner();
const of = (body: object | string, isStored = false): string =>
  readRequest(
    scanner,
    Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    isStored,
  ).repeatable;

describe('whether an answer depends on its request alone', () => {
  test.each<readonly [string, object | string, string]>([
    ['no temperature', { model: 'm' }, 'asked'],
    ['a temperature of 0', { temperature: 0 }, 'by itself'],
    ['another spelling of it', '{"temperature":-0.0e5}', 'by itself'],
    ['a temperature as a text', { temperature: '0' }, 'asked'],
    ['a small temperature', { temperature: 0.01 }, 'asked'],
    ['a temperature within something else', { metadata: { temperature: 0 } }, 'asked'],
    ['Gemini’s', { generationConfig: { temperature: 0 } }, 'by itself'],
    ['Ollama’s', { options: { temperature: 0 } }, 'by itself'],
    ['a seed', { seed: 7 }, 'by itself'],
    ['a seed of 0', { seed: 0 }, 'by itself'],
    ['no seed', { seed: null }, 'asked'],
    ['a seed for several answers', { seed: 7, n: 2 }, 'asked'],
    ['a seed for one answer', { seed: 7, n: 1 }, 'by itself'],
    [
      'a seed for several candidates',
      { generationConfig: { seed: 7, candidateCount: 2 } },
      'asked',
    ],
    ['several answers at a temperature of 0', { temperature: 0, n: 2 }, 'by itself'],
    ['an answer that is stored', { temperature: 0, store: true }, 'never'],
    ['an answer that is not stored', { temperature: 0, store: false }, 'by itself'],
    ['one behind its response', { temperature: 0, background: true }, 'never'],
    ['an earlier response', { temperature: 0, previous_response_id: 'r' }, 'never'],
    ['a conversation', { temperature: 0, conversation: { id: 'c' } }, 'never'],
    ['a container', { temperature: 0, container: 'c' }, 'never'],
    ['a search', { temperature: 0, web_search_options: {} }, 'never'],
    ['other servers', { temperature: 0, mcp_servers: [{}] }, 'never'],
    ['no other servers', { temperature: 0, mcp_servers: [] }, 'by itself'],
    ['a prompt that is kept elsewhere', { temperature: 0, prompt: { id: 'p' } }, 'never'],
    ['a prompt', { temperature: 0, prompt: 'once' }, 'by itself'],
    ['a temperature twice', '{"temperature":0,"temperature":1}', 'never'],
    ['a store that is spelled otherwise', '{"temperature":0,"st\\u006fre":true}', 'never'],
    ['another spelling of 1', '{"temperature":0.0000000000000000000000001e25}', 'asked'],
    ['two temperatures', { temperature: 0.9, options: { temperature: 0 } }, 'asked'],
    ['an earlier interaction', { temperature: 0, previous_interaction_id: 'i' }, 'never'],
    ['what Google caches', { temperature: 0, cachedContent: 'c' }, 'never'],
    ['another spelling of that', { temperature: 0, cached_content: 'c' }, 'never'],
    ['no JSON', 'temperature=0', 'never'],
    ['half of it', '{"temperature":0', 'never'],
  ])('%s', (_what, body, said) => {
    expect(of(body)).toBe(said);
  });

  test('where answers are stored unasked, only one that says that its is not', () => {
    expect(of({ temperature: 0 }, true)).toBe('never');
    expect(of({ temperature: 0, store: null }, true)).toBe('never');
    expect(of({ temperature: 0, store: false }, true)).toBe('by itself');
  });

  test('the model is told as it was asked for', () => {
    const model = (body: string): string | null =>
      readRequest(scanner, Buffer.from(body), false).model;
    expect(model('{"model":"gpt-5\\u002dmini"}')).toBe('gpt-5-mini');
    expect(model('{"model":7}')).toBeNull();
    expect(model('{}')).toBeNull();
    expect(model(`{"model":"${'x'.repeat(5_000)}"}`)).toBeNull();
  });

  test('no scan stays taken', () => {
    const { open } = scanner;
    for (const body of ['{"temperature":0}', 'no', '{"a":1,"a":2}']) of(body);
    expect(scanner.open).toBe(open);
  });
});
