import { expect, it } from 'vitest';
import { byoHead } from '../../../src/upstream/outgoing-head.ts';

it('a request with an own key keeps its fields, but for those of the hop and what we say ourselves', () => {
  const ended = ['host', 'ai.internal', 'expect', '100-continue', 'te', 'trailers', 'x-named', '1'];
  const own = ['connection', 'x-named, content-length', 'x-sluice-x', '2', 'keep-alive', '3'];
  const kept = ['content-length', '5', 'authorization', 'Bearer k', 'x-sluic', '4', 'x-a', '\xe9'];
  expect(byoHead('POST', '/v1/x?a=1', [...ended, ...kept, ...own], 'up:81', 'sized')).toBe(
    'POST /v1/x?a=1 HTTP/1.1\r\nhost: up:81\r\ncontent-length: 5\r\nauthorization: Bearer k\r\n' +
      'x-sluic: 4\r\nx-a: \xe9\r\n',
  );
});
