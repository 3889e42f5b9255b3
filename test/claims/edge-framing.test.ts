import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer(JSON.stringify({ target: turn.request.target }));
  });
  gateway = await startGateway({
    config: `workers = 1\n${authorities({ openai: upstream.port })}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

const REFUSED: readonly (readonly [what: string, bytes: string, status: number])[] = [
  [
    'two Host fields',
    'GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer k\r\n\r\n',
    400,
  ],
  [
    'differing lengths',
    `${head('POST', '/v1/x', ['Content-Length: 5', 'Content-Length: 6'])}hello`,
    400,
  ],
  [
    'equal lengths',
    `${head('POST', '/v1/x', ['Content-Length: 5', 'Content-Length: 5'])}hello`,
    400,
  ],
  ['a length list', `${head('POST', '/v1/x', ['Content-Length: 5, 5'])}hello`, 400],
  ['a signed length', `${head('POST', '/v1/x', ['Content-Length: +5'])}hello`, 400],
  ['a hexadecimal length', `${head('POST', '/v1/x', ['Content-Length: 0x5'])}hello`, 400],
  ['a gzip transfer coding', `${head('POST', '/v1/x', ['Transfer-Encoding: gzip'])}0\r\n\r\n`, 400],
  ['an identity coding', `${head('POST', '/v1/x', ['Transfer-Encoding: identity'])}0\r\n\r\n`, 400],
  [
    'chunked twice',
    `${head('POST', '/v1/x', ['Transfer-Encoding: chunked, chunked'])}0\r\n\r\n`,
    400,
  ],
  [
    'two transfer codings',
    `${head('POST', '/v1/x', ['Transfer-Encoding: chunked', 'Transfer-Encoding: gzip'])}0\r\n\r\n`,
    400,
  ],
  ['a POST with neither length nor coding', head('POST', '/v1/x'), 411],
  ['DEL in a field value', head('GET', '/v1/x', ['X-A: a\x7fb']), 400],
  ['a fragment in the target', head('GET', '/v1/x#y'), 400],
  ['raw text in the target', head('GET', '/v1/\xe9'), 400],
  ['an unknown method', head('BREW', '/v1/x'), 405],
  ['a lower-case method', head('get', '/v1/x'), 405],
];

describe('what the front end lets through and a proxy must not', () => {
  it.each(REFUSED)('%s is refused before anything is sent', async (_what, bytes, status) => {
    const before = upstream.requests.length;
    const client = new RawClient(gateway.port).send(bytes);
    const response = await client.response();
    client.close();
    expect(response.status).toBe(status);
    // The front end answers some of these itself, without a body; it closes then.
    if (response.body.length > 0 && response.field('content-type') === 'application/json') {
      expect(response.field('x-sluice-request-id')).toMatch(/^req_[0-9a-f]{24}$/);
      expect(response.json()).toMatchObject({ error: { message: expect.any(String) } });
    }
    expect(upstream.requests.length).toBe(before);
    expect((await gateway.idle()).get('ai_requests_in_flight')).toBe(0);
  });

  // An empty field name hides the length from the front end: the body would be read as the next request.
  const hidden = 'GET /v1/smuggled HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n\r\n';
  const hiding = head('POST', '/v1/x', [': x', `Content-Length: ${hidden.length}`]);

  it('what comes with a refused framing is never a request', async () => {
    const before = upstream.requests.length;
    const client = new RawClient(gateway.port).send(`${hiding}${hidden}`);
    await expect.poll(() => client.closed, { timeout: 20_000 }).toBe(true);
    await gateway.idle();
    expect(upstream.requests.length).toBe(before);
  });

  it('what comes behind the answer to a refused framing is never a request', async () => {
    const before = upstream.requests.length;
    const client = new RawClient(gateway.port).send(hiding);
    expect((await client.response()).status).toBe(411);
    client.send(hidden);
    await expect.poll(() => client.closed, { timeout: 20_000 }).toBe(true);
    await gateway.idle();
    expect(upstream.requests.length).toBe(before);
  });

  it('a 405 names the methods that are allowed', async () => {
    const client = new RawClient(gateway.port).send(head('BREW', '/v1/x'));
    const response = await client.response();
    client.close();
    expect(response.field('allow')).toBe('GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS');
  });
});

describe('field values', () => {
  it('bytes beyond ASCII arrive upstream as they were sent', async () => {
    const value = Buffer.from('x日本é|ü|x', 'utf8').toString('latin1');
    const client = new RawClient(gateway.port).send(head('GET', '/v1/bytes', [`X-Text: ${value}`]));
    expect((await client.response()).status).toBe(200);
    client.close();
    expect(upstream.requests.at(-1)?.field('x-text')).toBe(value);
  });

  it('bytes that are no UTF-8 arrive upstream as they were sent', async () => {
    const client = new RawClient(gateway.port).send(
      head('GET', '/v1/bytes', ['X-Text: a\xe9\xffb']),
    );
    expect((await client.response()).status).toBe(200);
    client.close();
    expect(upstream.requests.at(-1)?.field('x-text')).toBe('a\xe9\xffb');
  });

  it('forty requests with values beyond ASCII leave every pool usable', async () => {
    for (let i = 0; i < 40; i++) {
      const client = new RawClient(gateway.port).send(
        head('GET', '/v1/bytes', [
          `X-A: ${Buffer.from('a€b').toString('latin1')}`,
          'X-B: z\xfe\xffz',
        ]),
      );
      expect((await client.response()).status).toBe(200);
      client.close();
    }
    const client = new RawClient(gateway.port).send(head('GET', '/v1/after'));
    expect((await client.response()).status).toBe(200);
    client.close();
  });

  it('hop-by-hop fields and those that Connection names go no further', async () => {
    const fields = [
      'Connection: x-private, keep-alive',
      'X-Private: 1',
      'TE: trailers',
      'X-Sluice-Note: 1',
      'X-Kept: 1',
    ];
    const client = new RawClient(gateway.port).send(head('GET', '/v1/hop', fields));
    expect((await client.response()).status).toBe(200);
    client.close();
    const seen = upstream.requests.at(-1);
    expect(seen?.field('x-private')).toBeUndefined();
    expect(seen?.field('te')).toBeUndefined();
    expect(seen?.field('x-sluice-note')).toBeUndefined();
    expect(seen?.field('x-kept')).toBe('1');
    expect(seen?.field('host')).toBe(`127.0.0.1:${upstream.port}`);
    expect(seen?.field('authorization')).toBe('Bearer sk-test');
  });
});

describe('heads', () => {
  it('a head of 30 KiB is accepted and one of 40 KiB is refused', async () => {
    const big = new RawClient(gateway.port).send(
      head('GET', '/v1/big', [`X-Big: ${'a'.repeat(30 * 1024)}`]),
    );
    expect((await big.response()).status).toBe(200);
    big.close();
    const bigger = new RawClient(gateway.port).send(
      head('GET', '/v1/big', [`X-Big: ${'a'.repeat(40 * 1024)}`]),
    );
    expect((await bigger.response()).status).toBe(431);
    bigger.close();
  });

  it('a head cut at any byte is answered, or refused where the front end is known to', async () => {
    const bytes = head('GET', '/v1/models?limit=1');
    const lineEnd = bytes.indexOf('\r\n');
    const answered: number[] = [];
    const refused: number[] = [];
    await Promise.all(
      Array.from({ length: bytes.length - 1 }, async (_, index) => {
        const cut = index + 1;
        const client = new RawClient(gateway.port).send(bytes.slice(0, cut));
        // Two writes with a turn between them are two segments on loopback with Nagle off.
        await new Promise((resolve) => setTimeout(resolve, 20));
        client.send(bytes.slice(cut));
        const { status } = await client.response();
        client.close();
        (status === 200 ? answered : refused).push(cut);
      }),
    );
    // docs/limits.md: behind the method's space, and from behind the target's space to the line's end. A newer
    // front end refuses none; then this list is shortened with it.
    const version = lineEnd - 'HTTP/1.1'.length;
    const known = [4, ...Array.from({ length: 10 }, (_, index) => version + index)];
    expect(refused.sort((a, b) => a - b).filter((cut) => !known.includes(cut))).toEqual([]);
    expect(answered.length).toBeGreaterThan(0);
  });
});
