import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { readResponse } from '../support/response-reader.ts';
import { FORMS } from '../support/scripted-bodies.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

let gateway: Gateway;
let upstream: ScriptedUpstream;
/** What the upstream answers on any target but `/v1/after`. */
let answer = '';

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    if (turn.request.target === '/v1/after') {
      await turn.answer('after');
    } else {
      await turn.write(answer);
      turn.socket.end();
    }
  });
  gateway = await startGateway({
    config: `workers = 1\n${authorities({ openai: upstream.port })}`,
  });
});
afterEach(async () => {
  await upstream.noneBusy();
  await gateway.idle();
  expect(gateway.stderr).toBe('');
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

const framed = (form: string, fields: string, body: string): string =>
  form === 'sized'
    ? `HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`
    : `HTTP/1.1 200 OK\r\n${fields}Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

describe.each(FORMS)('fields of a %s response', (form) => {
  // One cork must hold 15,000 bytes at most: around it, and around the size from which a head leaves alone.
  const SIZES = [
    11_000, 11_800, 11_900, 12_000, 12_100, 13_000, 14_000, 14_600, 14_900, 15_000, 16_384, 17_000,
    32_000,
  ];
  it.each(SIZES)('of %d bytes arrive, and so does the body behind them', async (size) => {
    const value = 'v'.repeat(size);
    const body = 'b'.repeat(14_990);
    answer = framed(form, `X-Long: ${value}\r\n`, body);
    const response = await readResponse(gateway.port, head('GET', '/v1/x'));
    expect(response).toMatchObject({ status: 200, complete: true, bodyBytes: body.length });
    expect(response.field('x-long')).toBe(value);
  });
});

// llhttp refuses most of these; what it lets through must not reach a client as it is.
const SPLITTING: readonly (readonly [what: string, head: string])[] = [
  ['a bare CR in a value', 'HTTP/1.1 200 OK\r\nX-A: a\rX-Evil: 1\r\n'],
  ['a bare LF in a value', 'HTTP/1.1 200 OK\r\nX-A: a\nX-Evil: 1\r\n'],
  ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\n'],
  ['a control byte in a value', 'HTTP/1.1 200 OK\r\nX-A: a\x01b\r\n'],
  ['DEL in a value', 'HTTP/1.1 200 OK\r\nX-A: a\x7fb\r\n'],
  ['a folded value', 'HTTP/1.1 200 OK\r\nX-A: a\r\n X-Evil: 1\r\n'],
  ['a space before the colon', 'HTTP/1.1 200 OK\r\nX-Evil : 1\r\n'],
  ['a name that is no token', 'HTTP/1.1 200 OK\r\nX(Evil: 1\r\n'],
  ['a bare CR in the reason', 'HTTP/1.1 200 O\rX-Evil: 1\r\n'],
  ['a NUL in the reason', 'HTTP/1.1 200 O\0K\r\n'],
  ['a control byte in the reason', 'HTTP/1.1 200 O\x01K\r\n'],
  ['DEL in the reason', 'HTTP/1.1 200 O\x7fK\r\n'],
];

describe('bytes that could split a response', () => {
  it.each(SPLITTING)('%s never reaches the client', async (_what, start) => {
    answer = `${start}Content-Length: 2\r\n\r\nok`;
    const response = await readResponse(gateway.port, head('GET', '/v1/x'));
    expect(response.complete).toBe(true);
    expect([200, 502]).toContain(response.status);
    expect(response.field('x-evil')).toBeUndefined();
    expect(response.head).toMatch(
      /^[\t\x20-\x7e\x80-\xff]+(?:\r\n[\w-]+: [\t\x20-\x7e\x80-\xff]*)+$/,
    );
    // Nor did it harm the pool.
    const after = await readResponse(gateway.port, head('GET', '/v1/after'));
    expect(after).toMatchObject({ status: 200, complete: true, bodyBytes: 5 });
  });
});

// What each leaves on the connection decides whether the next response is read where it begins.
const ENDS: readonly (readonly [what: string, method: string, answer: string, status: number])[] = [
  ['HEAD with a length', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n', 200],
  ['HEAD in chunks', 'HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 200],
  ['HEAD with neither', 'HEAD', 'HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n', 200],
  ['HEAD with an error', 'HEAD', 'HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n', 404],
  ['204', 'GET', 'HTTP/1.1 204 No Content\r\n\r\n', 204],
  ['204 with a length', 'DELETE', 'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n', 204],
  ['304 with a length', 'GET', 'HTTP/1.1 304 N\r\nContent-Length: 9\r\nETag: "e"\r\n\r\n', 304],
  ['an empty sized body', 'GET', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200],
  [
    'an empty chunked body',
    'GET',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    200,
  ],
  ['a body that ends with the connection', 'GET', 'HTTP/1.1 200 OK\r\n\r\nuntil the end', 200],
  ['an HTTP/1.0 response', 'GET', 'HTTP/1.0 200 OK\r\n\r\nuntil the end', 200],
  [
    'two informational responses',
    'GET',
    'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
    200,
  ],
  ['a status without a name', 'GET', 'HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nok', 299],
];

describe('the connection behind a response', () => {
  it.each(ENDS)('serves the next request after %s', async (_what, method, bytes, status) => {
    answer = bytes;
    const client = new RawClient(gateway.port).send(head(method, '/v1/x'));
    const response = await client.response(method === 'HEAD');
    expect(response).toMatchObject({ status, complete: true });
    expect(response.field('link')).toBeUndefined();
    client.send(head('GET', '/v1/after'));
    const after = await client.response();
    client.close();
    expect(after).toMatchObject({ status: 200, complete: true });
    expect(after.body.toString()).toBe('after');
  });

  it('a field value keeps its bytes beyond ASCII, and a reason too', async () => {
    answer =
      'HTTP/1.1 200 caf\xe9\r\nX-L: \xa0caf\xe9\xff\r\nX-U: \xe6\x97\xa5|\r\nContent-Length: 2\r\n\r\nok';
    const response = await readResponse(gateway.port, head('GET', '/v1/x'));
    expect(response.head).toContain('caf\xe9');
    expect(response.head).toContain('\xa0caf\xe9\xff');
    expect(response.field('x-u')).toBe('\xe6\x97\xa5|');
  });
});

it('of 600 requests each has an id of its own, one behind the other', async () => {
  answer = framed('sized', '', 'ok');
  const ids: string[] = [];
  for (let at = 0; at < 600; at++) {
    const response = await readResponse(gateway.port, head('GET', '/v1/x'));
    ids.push(response.field('x-sluice-request-id') ?? '');
  }
  const [first = ''] = ids;
  expect(first).toMatch(/^req_[0-9a-f]{24}$/);
  const begin = first.slice(0, -8);
  const from = Number.parseInt(first.slice(-8), 16);
  const following = ids.map((_, at) => begin + (from + at).toString(16).padStart(8, '0'));
  expect(ids).toEqual(following);
});
