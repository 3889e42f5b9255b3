import { describe, expect, it } from 'vitest';
import { connectionOptions, endsHere } from '../../../src/wire/fields.ts';
import { responseHead } from '../../../src/wire/response-head.ts';
import { traceId } from '../../../src/wire/trace-context.ts';

const make = (fields: readonly string[], method = 'GET', status = 200, reason = 'OK') =>
  responseHead(method, status, reason, fields);

describe('a response head', () => {
  it('takes its size from the length, and only where there is a body', () => {
    expect(make(['Content-Length', '5']).size).toBe(5);
    expect(make(['Content-Length', '5'], 'HEAD')).toMatchObject({
      size: 'none',
      head: expect.stringContaining('Content-Length: 5'),
    });
    expect(make(['Content-Length', '5'], 'GET', 304).size).toBe('none');
    expect(make([]).size).toBe('chunked');
  });

  it('is an event stream only when its bytes are its text', () => {
    expect(make(['Content-Type', 'text/event-stream; charset=utf-8']).eventStream).toBe(true);
    expect(
      make(['Content-Type', 'text/event-stream', 'Content-Encoding', 'gzip']).eventStream,
    ).toBe(false);
    expect(make(['Content-Type', 'application/json']).eventStream).toBe(false);
  });
});

describe('fields of the hop', () => {
  it('are those of RFC 9110 §7.6.1, those that Connection names, and our own', () => {
    expect(['connection', 'te', 'upgrade', 'x-sluice-x'].every(endsHere)).toBe(true);
    expect(['content-type', 'authorization', 'retry-after', 'x-slu'].some(endsHere)).toBe(false);
    expect([
      ...(connectionOptions(['Connection', 'X-A , close', 'connection', 'x-b']) ?? []),
    ]).toEqual(['x-a', 'close', 'x-b']);
    expect(connectionOptions(['connection', 'keep-alive'])).toBeNull();
  });

  it('stay behind however they are spelled, and the others pass as they are', () => {
    const ended = ['Connection', 'X-Named', 'x-named', '1', 'X-NAMED', '2', 'Date', '3'];
    const more = ['X-Sluice-Request-Id', '4', 'Keep-Alive', '5', 'TE', '6', 'TRAILER', '7'];
    const { head } = make([...ended, ...more, 'X-Sluic', '8', 'Dat', '9']);
    expect(head).toBe(`200 OK\r\nX-Sluic: 8\r\nDat: 9\r\n`);
  });
});

describe('a traceparent', () => {
  const id = '0af7651916cd43dd8448eb211c80319c';
  it('gives its trace id only when it is valid', () => {
    expect(traceId(`00-${id}-b7ad6b7169203331-01`)).toBe(id);
    for (const bad of [
      null,
      '',
      `ff-${id}-b7ad6b7169203331-01`,
      `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
      `00-${id}-01`,
    ]) {
      expect(traceId(bad)).toBeNull();
    }
  });
});
