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

  it('is not what a 403 speaks of that its provider gives to a prompt: the caller reads it, and hides the key', async () => {
    const flagged = `{"error":{"code":403,"message":"Your input was flagged, key ${KEY}","metadata":{"reasons":["hate"]}}}`;
    for (const cut of [0, 1, 40, flagged.length - 1]) {
      script = async (turn) => {
        await turn.write(
          `HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: ${flagged.length}\r\n\r\n${flagged.slice(0, cut)}`,
        );
        await turn.write(flagged.slice(cut));
      };
      const before = await gateway.idle();
      const response = await ask(TOKEN);
      expect(response.status).toBe(403);
      expect(response.body.toString()).toBe(flagged.replace(KEY, '***'));
      const fact = await factOf(gateway, response.field('x-sluice-request-id'));
      expect(fact).toMatchObject({ upstream_status: 403, usage_source: 'none' });
      const name = 'ai_pool_key_rejections_total{provider="openai"}';
      expect((await gateway.idle()).get(name)).toBe(before.get(name));
    }
  });

  it.each([
    ['is empty', ''],
    ['says nothing of a prompt', '{"error":"forbidden"}'],
    ['is longer than 16 KiB', `${' '.repeat(16_385)}flagged_input`],
  ])('is what a 403 speaks of whose body %s', async (_, body) => {
    script = answer(403, body);
    expect((await ask(TOKEN)).json()).toMatchObject({ error: { code: 'pool_key_rejected' } });
  });

  it('is what a 403 speaks of that is cut before it has said anything', async () => {
    script = async (turn) => {
      await turn.write('HTTP/1.1 403 No\r\ncontent-length: 99\r\n\r\nflagged_input');
      turn.socket.end();
    };
    expect((await ask(TOKEN)).json()).toMatchObject({ error: { code: 'pool_key_rejected' } });
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

  it('in UTF-16, and escaped in a text in a text, is told without it', async () => {
    const escaped = (QUOTES['json'] ?? '').replaceAll('\\', '\\\\');
    for (const body of [
      Buffer.from(error(KEY), 'utf16le'),
      Buffer.from(error(KEY), 'utf16le').swap16(),
      Buffer.from(error(`{\\"error\\":\\"${escaped}\\"}`)),
    ]) {
      script = answer(400, body);
      const response = await ask(TOKEN);
      expect(response.status).toBe(400);
      const plain = response.body.toString('latin1').replaceAll(/[\0\\]/g, '');
      for (const part of ['wxyz', 'Zk3y', 'vB2xC5', 'u005au006bu0033'])
        expect(plain).not.toContain(part);
    }
  });

  it('to an own key passes byte for byte', async () => {
    script = answer(400, error('sk-***wxyz'));
    expect((await ask(OWN)).body.toString()).toBe(error('sk-***wxyz'));
    script = answer(200, error(OWN));
    expect((await ask(OWN)).body.toString()).toBe(error(OWN));
  });
});

const DELTA = 'data: {"id":"1","model":"m","choices":[{"delta":{"content":"a"}}]}\n\n';
/** What a success may be made of, with the key in it. */
const SUCCESSES: Readonly<Record<string, readonly [type: string, body: string]>> = {
  'a JSON error': ['application/json', error(`Bearer ${KEY}`)],
  'a JSON error that shows its ends': ['application/json', error(QUOTES['masked'] ?? '')],
  'a JSON answer': ['application/json', `{"id":"1","model":"m","said":"${KEY}","usage":{}}`],
  'an error event': ['text/event-stream', `data: ${error(KEY)}\n\n${DELTA}data: [DONE]\n\n`],
  'an error event behind content': [
    'text/event-stream',
    `${DELTA}event: error\ndata: ${error(QUOTES['masked'] ?? '')}\n\n`,
  ],
  'a comment': ['text/event-stream', `${DELTA}: failed with ${KEY}\n\n${DELTA}data: [DONE]\n\n`],
  'a delta': ['text/event-stream', DELTA.replace('"a"', `"${KEY.toUpperCase()}"`)],
  'a page': ['text/html', `<html>${QUOTES['ellipsis']}</html>`],
  'lines of JSON': ['application/x-ndjson', `{"model":"m"}\n${error(KEY)}\n{"done":true}\n`],
};

describe('a success that quotes the pool key', () => {
  const tellsNothing = (response: RawResponse): void => {
    expectNothingOfTheKey(response);
    expect(response.body.toString().toLowerCase()).not.toContain(KEY.slice(20, 36).toLowerCase());
  };

  it.each(Object.entries(SUCCESSES))('%s is told without it, of the same length', async (_what, [
    type,
    body,
  ]) => {
    const bytes = Buffer.from(body);
    script = async (turn) => {
      await turn.write(
        `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ncontent-length: ${bytes.length}\r\n\r\n`,
      );
      await turn.write(bytes);
    };
    const response = await ask(TOKEN);
    expect([response.status, response.complete]).toEqual([200, true]);
    expect(response.body.length).toBe(bytes.length);
    expect(response.field('content-length')).toBe(String(bytes.length));
    tellsNothing(response);
  });

  it('in its reason or its fields is told without them', async () => {
    script = answer(
      200,
      '{"usage":{}}',
      [
        `x-echo: ${KEY.toUpperCase()}`,
        `x-part: a${KEY.slice(20, 36)}b`,
        `set-cookie: k=${KEY}`,
        'x-hint: a key ending in wxyz',
        'x-kept: 1',
      ],
      `OK ${KEY.slice(-20)}`,
    );
    const response = await ask(TOKEN);
    expect([response.status, response.field('x-kept')]).toEqual([200, '1']);
    expectNothingOfTheKey(response);
    const all = JSON.stringify([response.start, response.fields]).toLowerCase();
    for (const part of [KEY.slice(0, 16), KEY.slice(20, 36), KEY.slice(-16)])
      expect(all).not.toContain(part.toLowerCase());
  });

  it('cut anywhere is told without it', async () => {
    const bodies = Object.values(SUCCESSES);
    for (const [type, body] of bodies) {
      for (let cut = 1; cut < body.length; cut += 3) {
        script = async (turn) => {
          await turn.write(
            `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n`,
          );
          await turn.chunk(body.slice(0, cut));
          await turn.chunk(body.slice(cut));
          await turn.lastChunk();
        };
        const response = await ask(TOKEN);
        expect([response.complete, response.body.length]).toEqual([true, Buffer.byteLength(body)]);
        tellsNothing(response);
      }
    }
  }, 30_000);

  it('and breaks off is told without it, and with everything before', async () => {
    script = async (turn) => {
      await turn.write(`HTTP/1.1 200 R\r\ncontent-length: 900\r\n\r\n{"a":"${KEY} sk-proj-Zk3`);
      turn.socket.end();
    };
    const response = await ask(TOKEN);
    expect(response.complete).toBe(false);
    expect(response.body.toString()).toBe(`{"a":"${'*'.repeat(KEY.length)} sk-proj-Zk3`);
  });

  it('in another turn than its beginning holds nothing else back', async () => {
    script = async (turn) => {
      await turn.stream(['content-type: text/event-stream']);
      await turn.chunk(`${DELTA}: ${KEY.slice(0, 30)}`);
      await turn.chunk(`${KEY.slice(30)}\n\n`);
      await turn.lastChunk();
    };
    const response = await ask(TOKEN);
    expect(response.body.toString()).toBe(`${DELTA}: ${'*'.repeat(KEY.length)}\n\n`);
  });

  it('only by its ends is its own: an answer may speak of keys', async () => {
    const said = '{"id":"1","model":"m","said":"sk-proj-... or a key ending in wxyz","usage":{}}';
    script = answer(200, said);
    expect((await ask(TOKEN)).body.toString()).toBe(said);
  });
});
