import { describe, expect, it } from 'vitest';
import { PoolKey } from '../../../src/providers/pool-keys.ts';
import { Secret } from '../../../src/secret.ts';
import { requestFields, requestHead } from '../../../src/upstream/outgoing-head.ts';
import type { UpstreamRequest } from '../../../src/upstream/transport.ts';

it('a request with an own key keeps its fields, but for those of the hop and what we say ourselves', () => {
  const ended = ['host', 'ai.internal', 'expect', '100-continue', 'te', 'trailers', 'x-named', '1'];
  const own = ['connection', 'x-named, content-length', 'x-sluice-x', '2', 'keep-alive', '3'];
  const kept = ['content-length', '5', 'authorization', 'Bearer k', 'x-sluic', '4', 'x-a', '\xe9'];
  const fields = [...ended, ...kept, ...own];
  const request: UpstreamRequest = {
    method: 'POST',
    target: '/v1/x?a=1',
    fields,
    poolKey: null,
    owner: '42/99',
    coding: 'sized',
    contentLength: 5,
  };
  expect(requestHead(request, 'up:81')).toBe(
    'POST /v1/x?a=1 HTTP/1.1\r\nhost: up:81\r\ncontent-length: 5\r\nauthorization: Bearer k\r\n' +
      'x-sluic: 4\r\nx-a: \xe9\r\n',
  );
  expect(requestFields(request)).toEqual(kept);
});

it('a managed request has the same fields as text and as a list, the pool key first', () => {
  const fields = ['content-length', '9', 'authorization', 'Bearer bai_v1', 'accept', '*/*'];
  const poolKey = new PoolKey('bearer', new Secret('sk-pool'));
  const request: UpstreamRequest = {
    method: 'POST',
    target: '/v1/x',
    fields,
    poolKey,
    owner: '42/99',
    coding: 'sized',
    contentLength: 12,
  };
  const list = ['authorization', 'Bearer sk-pool', 'accept-encoding', 'identity'];
  list.push('content-length', '12', 'accept', '*/*');
  expect(requestFields(request)).toEqual(list);
  const lines = list.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
  expect(requestHead(request, 'up')).toBe(`POST /v1/x HTTP/1.1\r\nhost: up\r\n${lines}`);
});

describe('an id that the provider remembers', () => {
  const poolKey = new PoolKey('bearer', new Secret('sk-pool'));
  const sent = (owner: string, name: string, value: string, key: PoolKey | null = poolKey) => {
    const request: UpstreamRequest = {
      method: 'POST',
      target: '/v1/x',
      fields: [name, value],
      poolKey: key,
      owner,
      coding: 'none',
      contentLength: -1,
    };
    const list = requestFields(request);
    const value0 = list[list.indexOf(name) + 1] ?? expect.fail(name);
    expect(requestHead(request, 'up')).toContain(`\r\n${name}: ${value0}\r\n`);
    return value0;
  };
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

  it.each([
    'idempotency-key',
    'session-id',
    'session_id',
    'conversation_id',
    'x-session-id',
    'x-grok-conv-id',
    'x-session-affinity',
    'x-claude-code-session-id',
    'thread-id',
  ])('%s is one owner\u2019s own, always the same, and names nobody', (name) => {
    const one = sent('42/99', name, 'abc');
    expect(one).toMatch(UUID);
    expect(sent('42/99', name, 'abc')).toBe(one);
    const others = [
      sent('43/99', name, 'abc'),
      sent('42/9', name, '9/abc'),
      sent('42/99', name, 'abd'),
    ];
    expect(new Set([one, ...others]).size).toBe(4);
  });

  it('of an own key goes as it came', () => {
    expect(sent('', 'session-id', 'abc', null)).toBe('abc');
  });
});
