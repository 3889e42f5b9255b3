import { expect, it } from 'vitest';
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
    coding: 'sized',
    contentLength: 12,
  };
  const list = ['authorization', 'Bearer sk-pool', 'accept-encoding', 'identity'];
  list.push('content-length', '12', 'accept', '*/*');
  expect(requestFields(request)).toEqual(list);
  const lines = list.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
  expect(requestHead(request, 'up')).toBe(`POST /v1/x HTTP/1.1\r\nhost: up\r\n${lines}`);
});
