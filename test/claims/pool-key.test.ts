import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { factOf, poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

// What providers say of the key that they were given, and what of it a virtual key is told: nothing.

const KEY = 'sk-proj-Zk3yT9wQ1mN8vB2xC5rD7eF0gH4jL6pSaUoI1uYtReWqAzXsDcVfBgNhMjK9wxyz';
const TOKEN = token();
const OWN = 'sk-proj-of-the-caller-Zk3yT9wQ1mN8vB2xC5rD7eF0gH4jL6pSaUoI';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** How an error may quote what it was sent. */
const QUOTES: Readonly<Record<string, string>> = {
  whole: `Bearer ${KEY}`,
  masked: 'sk-proj-************************wxyz',
  ellipsis: 'sk-\u2026wxyz',
  dots: 'sk-proj-Zk3y...wxyz',
  percent: encodeURIComponent(KEY).replaceAll('-', '%2D'),
  json: [...KEY].map((one) => `\\u00${one.charCodeAt(0).toString(16)}`).join(''),
  base64: base64(`user:${KEY}`),
  part: KEY.slice(10, 40),
  words: 'the key ending in wxyz',
};
/** No answer holds any of them. */
const TELLTALES = [
  'wxyz',
  'Zk3y',
  'vB2xC5',
  KEY.slice(20, 32),
  base64(KEY).slice(8, 20),
  '\\u005a\\u006b',
];

let upstream: ScriptedUpstream;
let gateway: Gateway;
/** What the next answer is. */
let script: (turn: Turn) => Promise<void>;

const error = (quote: string): string =>
  `{"error":{"message":"Incorrect API key provided: ${quote}. Find yours at x.","code":"bad"}}`;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await script(turn);
  });
  gateway = await startGateway({
    config:
      `workers = 1\n${authorities({ openai: upstream.port, anthropic: upstream.port, open: upstream.port })}` +
      '[provider_auth_schemes]\nopen = "none"\n' +
      poolKeys({ openai: KEY, anthropic: [KEY, `${KEY}2`] }) +
      signingKeys(),
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

async function ask(
  key: string,
  target = '/v1/chat/completions',
  method = 'POST',
): Promise<RawResponse> {
  const content = method === 'POST' ? 'Content-Length: 13\r\n\r\n{"model":"m"}' : '\r\n';
  const client = new RawClient(gateway.port).send(
    `${method} ${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\n${content}`,
  );
  const response = await client.response(method === 'HEAD');
  client.close();
  return response;
}

const answer =
  (status: number, body: string | Buffer, lines: readonly string[] = [], reason = 'R') =>
  async (turn: Turn): Promise<void> => {
    const bytes = Buffer.from(body);
    const fields = ['content-type: application/json', ...lines, `content-length: ${bytes.length}`];
    await turn.write(`HTTP/1.1 ${status} ${reason}\r\n${fields.join('\r\n')}\r\n\r\n`);
    await turn.write(bytes);
  };

function expectNothingOfTheKey(response: RawResponse): void {
  const all = JSON.stringify([response.start, response.fields]) + response.body.toString();
  for (const telltale of TELLTALES) expect(all).not.toContain(telltale);
}

describe('a pool key that its provider refuses', () => {
  it.each([
    401, 402, 403,
  ])('with %i is the gateway\u2019s to mend, and told so to the caller', async (status) => {
    script = answer(status, error(QUOTES['masked'] ?? ''), [
      'www-authenticate: Bearer',
      'x-echo: wxyz',
    ]);
    const before = await gateway.idle();
    const response = await ask(TOKEN);
    expect(response.status).toBe(502);
    expect(response.json()).toMatchObject({ error: { code: 'pool_key_rejected' } });
    expect(response.body.toString()).toContain('openai');
    expect(response.field('www-authenticate')).toBeUndefined();
    // The only key of its provider: stock SDKs need not try again.
    expect(response.field('x-should-retry')).toBe('false');
    expectNothingOfTheKey(response);
    const fact = await factOf(gateway, response.field('x-sluice-request-id'));
    expect(fact).toMatchObject({
      upstream_status: status,
      usage_source: 'none',
      outcome: 'upstream_error',
    });
    const after = await gateway.idle();
    for (const name of [
      'ai_pool_key_rejections_total{provider="openai"}',
      'ai_rejections_total{reason="pool_key_rejected"}',
    ])
      expect(after.get(name)).toBe(before.get(name) + 1);
  });

  it('is told in the dialect of the caller', async () => {
    script = answer(401, '{"type":"error"}');
    const response = await ask(TOKEN, '/v1/messages');
    expect(response.status).toBe(502);
    expect(response.json()).toMatchObject({ type: 'error', error: { type: 'api_error' } });
    // Another key takes the next turn.
    expect(response.field('x-should-retry')).toBeUndefined();
  });

  it('ends the exchange in the middle of an endless answer, and of an upload', async () => {
    script = async (turn) => {
      await turn.write('HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n');
    };
    expect((await ask(TOKEN)).status).toBe(502);
    await upstream.noneBusy();
    expect((await ask(TOKEN, '/v1/models', 'HEAD')).status).toBe(502);
  });

  it('is none where the key is the caller\u2019s own, or where there is none', async () => {
    script = answer(401, error(OWN), ['www-authenticate: Bearer']);
    const own = await ask(OWN);
    expect([own.status, own.body.toString()]).toEqual([401, error(OWN)]);
    expect(own.field('www-authenticate')).toBe('Bearer');
    expect((await ask(TOKEN, '/open/v1/chat/completions')).status).toBe(401);
  });
});

describe('an error that quotes the pool key', () => {
  it.each(Object.entries(QUOTES))('%s is told without it', async (_how, quote) => {
    script = answer(400, error(quote));
    const response = await ask(TOKEN);
    expect([response.status, response.complete]).toEqual([400, true]);
    expectNothingOfTheKey(response);
    const { message } = (response.json() as { error: { message: string } }).error;
    expect(message).toMatch(/^Incorrect API key provided: .*\*\*\*.* Find yours at x\.$/);
  });

  it.each([302, 404, 429, 500, 503])('with status %i is told without it', async (status) => {
    script = answer(status, error(KEY), ['retry-after: 1']);
    const response = await ask(TOKEN);
    expect([response.status, response.field('retry-after')]).toEqual([status, '1']);
    expectNothingOfTheKey(response);
  });

  it('in pieces, cut wherever, is told without it', async () => {
    for (const cut of [1, 7, 33]) {
      script = async (turn) => {
        await turn.write(
          'HTTP/1.1 500 R\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n',
        );
        const body = Buffer.from(
          `<html>${'x '.repeat(9_000)}${error(QUOTES['ellipsis'] ?? '')}${error(KEY)}</html>`,
        );
        for (let at = 0; at < body.length; at += cut * 97)
          await turn.chunk(body.subarray(at, at + cut * 97));
        await turn.lastChunk();
      };
      const response = await ask(TOKEN);
      expect(response.complete).toBe(true);
      expectNothingOfTheKey(response);
      expect(response.body.toString()).toMatch(/^<html>(x )+\{.*\}<\/html>$/);
    }
  });

  it('in its reason and its fields, whole or by its ends, is told without them', async () => {
    const lines = [
      `x-echo: ${KEY}`,
      'x-hint: sk-***wxyz',
      `location: /v1/${QUOTES['percent']}`,
      'x-kept: 1',
    ];
    script = answer(400, '{}', lines, 'sk-...wxyz');
    const response = await ask(TOKEN);
    expectNothingOfTheKey(response);
    expect(response.field('x-kept')).toBe('1');
    expect(response.field('x-hint')).toBeUndefined();
  });

  it('packed, although that was refused, keeps its status and loses its content', async () => {
    script = answer(400, gzipSync(error(KEY)), ['content-encoding: gzip']);
    const response = await ask(TOKEN);
    expect([response.status, response.body.length, response.complete]).toEqual([400, 0, true]);
    expect(response.field('content-encoding')).toBeUndefined();
  });

  it('that is cut in the middle is a cut for the client too', async () => {
    script = async (turn) => {
      await turn.write(
        `HTTP/1.1 500 R\r\ncontent-length: 90000\r\n\r\n${'x'.repeat(60_000)}${KEY.slice(0, 40)}`,
      );
      turn.reset();
    };
    const response = await ask(TOKEN);
    expect(response.complete).toBe(false);
    expectNothingOfTheKey(response);
  });

  it('to an own key passes byte for byte, and so does every success', async () => {
    script = answer(400, error('sk-***wxyz'));
    expect((await ask(OWN)).body.toString()).toBe(error('sk-***wxyz'));
    script = answer(200, '{"said":"a key ending in wxyz"}');
    expect((await ask(TOKEN)).body.toString()).toBe('{"said":"a key ending in wxyz"}');
  });
});
