import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asksForStream, headAsksForStream } from '../../../src/wire/stream-wish.ts';

const asks = (text: string): boolean => asksForStream(Buffer.from(text));

describe('a content', () => {
  it('asks for a stream wherever it says so in its first 256 bytes or its last 1,024', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), fc.nat(3_000), fc.nat(3_000), (a, b, before, behind) => {
        const text = `{"a":${a}${' '.repeat(before)},"stream":true${' '.repeat(behind)},"b":${b}}`;
        const at = Buffer.byteLength(`{"a":${a}`) + before + 1;
        const isNear = at + 13 <= 256 || Buffer.byteLength(text) - at <= 1_024;
        if (isNear) expect(asks(text)).toBe(true);
      }),
    );
  });

  it('asks for a stream where its name begins in front of the last 1,024 bytes and ends within them', () => {
    for (let behind = 900; behind < 1_300; behind++) {
      expect(asks(`{"a":0,"stream":true${' '.repeat(behind)}}`), `${behind}`).toBe(true);
    }
  });

  it.each([
    '{"stream":false}',
    '{"stream":null}',
    '{"stream"',
    '{"stream":',
    '{"stream" x:true}',
    '{"a":"\\"stream\\":true"}',
    '{"streams":true}',
    '{"stream_options":{"include_usage":true}}',
    '',
    '"',
    '"stream"',
  ])('does not ask: %s', (text) => expect(asks(text)).toBe(false));
});

describe('a head', () => {
  it.each([
    ['/v1/responses/resp_1?stream=true', '', true],
    ['/v1/responses/resp_1?a=1&stream=true&b=2', '', true],
    ['/v1beta/models/g:streamGenerateContent?alt=sse', '', true],
    ['/v1/x', 'Text/Event-Stream', true],
    ['/v1/x', 'application/json, text/event-stream', true],
    ['/v1/responses/resp_1?stream=false', '', false],
    ['/v1/upstream', 'application/json', false],
    ['/v1/x?downstream=true', '*/*', false],
  ])('%s that accepts "%s" asks: %s', (target, accept, expected) =>
    expect(headAsksForStream(target, ['accept', accept])).toBe(expected));
});
