import { describe, expect, it } from 'vitest';
import { connectionOptions, endsHere } from '../../../src/wire/fields.ts';
import { type Audience, responseHead } from '../../../src/wire/response-head.ts';
import { traceId } from '../../../src/wire/trace-context.ts';

const OWN_KEY: Audience = {
  isManaged: false,
  ownsCors: false,
  asksForStream: false,
  followable: (reference) => reference,
};
const VIRTUAL_KEY: Audience = { ...OWN_KEY, isManaged: true };
const make = (fields: readonly string[], method = 'GET', status = 200, reason = 'OK') =>
  responseHead(method, status, reason, fields, OWN_KEY);

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

describe('what a provider says for its origin and its account', () => {
  const namesFor = (audience: Audience, names: readonly string[]) =>
    responseHead(
      'GET',
      200,
      'OK',
      names.flatMap((name) => [name, '1']),
      audience,
    )
      .head.split('\r\n')
      .slice(1, -1)
      .map((line) => line.slice(0, line.indexOf(':')));

  it('for the origin it says to nobody, in any case', () => {
    const names = [
      'Alt-Svc',
      'STRICT-TRANSPORT-SECURITY',
      'nel',
      'Report-To',
      'reporting-endpoints',
      'Expect-CT',
    ];
    expect(namesFor(OWN_KEY, [...names, 'alt-sv', 'ne1'])).toEqual(['alt-sv', 'ne1']);
    expect(namesFor(VIRTUAL_KEY, names)).toEqual([]);
  });

  it.each([
    'openai-organization',
    'OpenAI-Project',
    'x-ratelimit-remaining-requests',
    'X-RateLimit-Reset-Tokens',
    'x-ratelimitbysize-limit-minute',
    'ratelimit-policy',
    'x-endpoint-monthly-call-limit',
    'X-Trial-Endpoint-Call-Remaining',
    'rate-limit-remaining',
    'anthropic-ratelimit-tokens-limit',
    'anthropic-priority-input-tokens-remaining',
    'anthropic-organization-id',
    'set-cookie',
    'Set-Cookie2',
    'clear-site-data',
    'access-control-allow-origin',
  ])('%s reaches own keys only', (name) => {
    expect(namesFor(VIRTUAL_KEY, [name, 'x-request-id'])).toEqual(['x-request-id']);
    expect(namesFor(OWN_KEY, [name])).toEqual([name]);
  });

  it('what says of the exchange alone reaches virtual keys too', () => {
    const names = [
      'x-request-id',
      'request-id',
      'retry-after',
      'openai-processing-ms',
      'openai-version',
      'x-should-retry',
    ];
    expect(namesFor(VIRTUAL_KEY, names)).toEqual(names);
  });
});

describe('a reference in a head', () => {
  const audience = (isManaged: boolean): Audience => ({
    isManaged,
    ownsCors: false,
    asksForStream: false,
    followable: (reference) => (reference.startsWith('/') ? `/p${reference}` : null),
  });
  const lines = (isManaged: boolean, ...fields: string[]) =>
    responseHead('GET', 307, 'Temporary', fields, audience(isManaged))
      .head.split('\r\n')
      .slice(1, -1);

  it.each([
    'Location',
    'content-location',
  ])('%s is led back through the gateway, or ends for virtual keys', (name) => {
    for (const isManaged of [true, false])
      expect(lines(isManaged, name, '/x')).toEqual([`${name}: /p/x`]);
    expect(lines(false, name, 'https://evil.test')).toEqual([`${name}: https://evil.test`]);
    expect(lines(true, name, 'https://evil.test')).toEqual([]);
  });

  it('every target of a Link is', () => {
    const both = '</a?b=<c>; rel="next", <https://evil.test/>; rel=prev';
    expect(lines(false, 'Link', '</a>; rel="next", </b>')).toEqual([
      'Link: </p/a>; rel="next", </p/b>',
    ]);
    expect(lines(true, 'link', '</a>')).toEqual(['link: </p/a>']);
    expect(lines(true, 'link', both)).toEqual([]);
    expect(lines(false, 'link', '</a>, <https://evil.test/>')).toEqual([
      'link: </p/a>, <https://evil.test/>',
    ]);
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
