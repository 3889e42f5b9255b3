import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DeafListener, startDeafListener } from '../support/deaf-listener.ts';
import { freePort } from '../support/free-port.ts';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type Script, type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const DIALECTS = ['openai', 'anthropic'] as const;
const PRELOAD = new URL('../support/scripted-names.ts', import.meta.url).href;
const UNREACHABLE = [502, 'upstream_unreachable'] as const;
const TIMED_OUT = [504, 'upstream_timeout'] as const;

let gateway: Gateway;
let upstream: ScriptedUpstream;
let deaf: DeafListener;
/** Closes every connection as soon as it is made. */
let slammer: Server;

/** A script that ignores the request and writes these bytes, then leaves the connection open. */
const says =
  (...bytes: readonly string[]): Script =>
  async (turn) => {
    for (const part of bytes) await turn.write(part);
  };

const OK = 'HTTP/1.1 200 OK\r\n';

const BEFORE_THE_HEAD: Readonly<Record<string, Script>> = {
  'a reset': (turn) => turn.reset(),
  'an end': (turn) => void turn.socket.end(),
  'an end inside the head': async (turn) => {
    await turn.write(`${OK}content-ty`);
    turn.socket.end();
  },
  'bytes that are no HTTP': says('this is not HTTP\r\n\r\n'),
  'an HTTP/2 preface': says('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  'a length and a transfer coding': says(
    `${OK}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  ),
  'two equal lengths': says(`${OK}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`),
  'two differing lengths': says(`${OK}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`),
  'a length that is no number': says(`${OK}content-length: two\r\n\r\n{}`),
  'an identity coding and a length': says(
    `${OK}transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n{}`,
  ),
  'a folded field': says(`${OK}x-a: 1\r\n 2\r\ncontent-length: 2\r\n\r\n{}`),
  'a bare LF': says('HTTP/1.1 200 OK\ncontent-length: 2\n\n{}'),
  'a bare CR in a value': says(`${OK}x-a: 1\r2\r\ncontent-length: 2\r\n\r\n{}`),
  'a space before the colon': says(`${OK}content-length : 2\r\n\r\n{}`),
  'a NUL in a value': says(`${OK}x-a: 1\x002\r\ncontent-length: 2\r\n\r\n{}`),
  'a chunk size that is none': says(`${OK}transfer-encoding: chunked\r\n\r\nxyz\r\n`),
  'a head beyond its limit': says(`${OK}x-a: ${'a'.repeat(70_000)}\r\ncontent-length: 2\r\n\r\n{}`),
  'an upgrade nobody asked for': says(
    'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n',
  ),
  'a status below 100': says('HTTP/1.1 099 Odd\r\ncontent-length: 2\r\n\r\n{}'),
};

/** What a request to a provider of this name ends in before any script runs. */
const CONNECTING: readonly (readonly [name: string, status: number, code: string])[] = [
  ['nowhere', ...UNREACHABLE],
  ['refusing', ...UNREACHABLE],
  ['slamming', ...UNREACHABLE],
  ['deaf', ...TIMED_OUT],
];

beforeAll(async () => {
  upstream = await startUpstream(() => {});
  deaf = await startDeafListener();
  slammer = createServer((socket) => socket.resetAndDestroy());
  await new Promise<void>((resolve) => slammer.listen(0, '127.0.0.1', resolve));
  const slamming = slammer.address();
  const hosts: Readonly<Record<string, string>> = {
    scripted: `127.0.0.1:${upstream.port}`,
    nowhere: 'nowhere.test:80',
    refusing: `127.0.0.1:${await freePort()}`,
    slamming: `127.0.0.1:${typeof slamming === 'object' ? slamming?.port : 0}`,
    deaf: `127.0.0.1:${deaf.port}`,
    several: `several.test:${upstream.port}`,
    none: `none.test:${upstream.port}`,
  };
  const rows = DIALECTS.flatMap((dialect) =>
    Object.entries(hosts).map(([name, host]) => `${name}-${dialect} = "http://${host}"`),
  );
  const dialects = Object.keys(hosts).map((name) => `${name}-anthropic = "anthropic"`);
  gateway = await startGateway({
    nodeArgs: ['--import', PRELOAD],
    env: {
      NAMES: JSON.stringify({
        'nowhere.test': [],
        'several.test': ['127.0.0.2', '127.0.0.3', '127.0.0.1'],
        'none.test': ['127.0.0.2', '127.0.0.3'],
      }),
    },
    // Short ones, because silence and a deaf listener have to run into them; nothing else here waits for anything.
    config:
      'workers = 1\naccess_log = true\nconnect_timeout_secs = 1\nfirst_byte_timeout_secs = 1\n' +
      `[provider_authorities]\n${rows.join('\n')}\n[provider_dialects]\n${dialects.join('\n')}\n`,
  });
});
afterAll(async () => {
  deaf.close();
  slammer.close();
  await gateway.stop();
  await upstream.close();
});

/** One GET on a connection of its own; what came of the response when the connection ended or it was complete. */
async function get(target: string): Promise<RawResponse> {
  const client = new RawClient(gateway.port).send(head('GET', target));
  const response = await client.response();
  client.close();
  return response;
}

/** The same, with the upstream following a script. */
async function scripted(dialect: string, script: Script): Promise<RawResponse> {
  upstream.script = script;
  return await get(`/scripted-${dialect}/v1/x`);
}

function expectRejection(response: RawResponse, dialect: string, status: number, code: string) {
  expect(response.status).toBe(status);
  expect(response.complete).toBe(true);
  expect(response.field('content-type')).toBe('application/json');
  const id = response.field('x-sluice-request-id');
  expect(id).toMatch(/^req_[0-9a-f]{24}$/);
  const message = expect.stringMatching(/\w/);
  if (dialect === 'openai') {
    const type = expect.any(String);
    expect(response.json()).toEqual({ error: { message, type, param: null, code } });
  } else {
    const type = status === 504 ? 'timeout_error' : 'api_error';
    expect(response.json()).toEqual({ type: 'error', error: { type, message }, request_id: id });
  }
}

describe.each(DIALECTS)('before the response head, in the %s dialect', (dialect) => {
  it.each(CONNECTING)('a provider that is %s is a %i %s', async (name, status, code) => {
    const before = await gateway.metrics();
    const response = await get(`/${name}-${dialect}/v1/x`);
    expectRejection(response, dialect, status, code);
    const after = await gateway.idle();
    const counted = `ai_rejections_total{reason="${code}"}`;
    expect(after.get(counted)).toBe(before.get(counted) + 1);
    const failed = `ai_connect_failures_total{provider="${name}-${dialect}"}`;
    // Whether a reset comes before or behind "connected" is the kernel's to say.
    if (name !== 'slamming') expect(after.get(failed)).toBe(before.get(failed) + 1);
  });

  it('says to the caller which provider it is, and what happened', async () => {
    const message = async (name: string) => {
      const response = await get(`/${name}-${dialect}/v1/x`);
      return (response.json() as { error: { message: string } }).error.message;
    };
    expect(await message('nowhere')).toContain(`The provider is nowhere-${dialect} (ENOTFOUND).`);
    expect(await message('refusing')).toContain(
      `The provider is refusing-${dialect} (ECONNREFUSED).`,
    );
  });

  it.each(Object.entries(BEFORE_THE_HEAD))('%s is a 502', async (_what, script) => {
    expectRejection(await scripted(dialect, script), dialect, ...UNREACHABLE);
    const { outcome } = await lastAccess();
    expect(outcome).toBe('upstream_error');
  });

  it('silence is a 504', async () => {
    const response = await scripted(dialect, () => {});
    expectRejection(response, dialect, ...TIMED_OUT);
    expect((await lastAccess())['outcome']).toBe('timeout');
    expect((await upstream.request(upstream.requests.length - 1)).peerClosed).toBe(true);
  });
});

/** The access line of the exchange that was just settled. */
async function lastAccess(): Promise<Readonly<Record<string, unknown>>> {
  const total = (await gateway.idle()).get('ai_requests_total');
  await gateway.waitForLog(() => gateway.access().length === total);
  return gateway.access().at(-1) ?? {};
}

describe('what a provider may send and a strict parser may dislike', () => {
  const ACCEPTED: readonly (readonly [
    what: string,
    bytes: string,
    status: number,
    body: string,
  ])[] = [
    [
      'chunk extensions',
      `${OK}transfer-encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n`,
      200,
      '{}',
    ],
    [
      'trailers',
      `${OK}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 1\r\n\r\n`,
      200,
      '{}',
    ],
    [
      'an early hint before the response',
      `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}content-length: 2\r\n\r\n{}`,
      200,
      '{}',
    ],
    ['an empty reason', 'HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\n{}', 200, '{}'],
    ['a status nobody knows', 'HTTP/1.1 529 Overloaded\r\ncontent-length: 2\r\n\r\n{}', 529, '{}'],
    ['an empty body', `${OK}content-length: 0\r\n\r\n`, 200, ''],
    ['an empty chunked body', `${OK}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`, 200, ''],
    ['no content', 'HTTP/1.1 204 No Content\r\n\r\n', 204, ''],
    ['not modified', 'HTTP/1.1 304 Not Modified\r\netag: "a"\r\n\r\n', 304, ''],
  ];
  it.each(ACCEPTED)('%s arrives', async (_what, bytes, status, body) => {
    const response = await scripted('openai', says(bytes));
    expect(response).toMatchObject({ status, complete: true });
    expect(response.body.toString()).toBe(body);
    expect(response.field('x-sum')).toBeUndefined();
    expect(response.field('link')).toBeUndefined();
  });

  it('a body that ends with the connection arrives, and complete', async () => {
    const response = await scripted('openai', async (turn) => {
      await turn.write('HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end');
      turn.socket.end();
    });
    expect(response).toMatchObject({ status: 200, complete: true });
    expect(response.body.toString()).toBe('until the end');
  });

  it('bytes behind a response never reach the next caller', async () => {
    const smuggled = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';
    await scripted('openai', says(`${OK}content-length: 2\r\n\r\n{}${smuggled}`));
    const next = await scripted('openai', says(`${OK}content-length: 2\r\n\r\n[]`));
    expect(next.body.toString()).toBe('[]');
  });
});

describe('a name with several addresses', () => {
  it('is reached although its first addresses refuse', async () => {
    upstream.script = (turn) => turn.answer('{"reached":true}');
    const response = await get('/several-openai/v1/x');
    expect(response.status).toBe(200);
    expect(response.json()).toEqual({ reached: true });
    expect(upstream.requests.at(-1)?.field('host')).toBe(`several.test:${upstream.port}`);
  });

  it('is a 502 when all of them refuse', async () => {
    expectRejection(await get('/none-openai/v1/x'), 'openai', ...UNREACHABLE);
  });
});
