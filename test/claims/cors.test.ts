import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

// What a browser has to be told before it lets a page use the gateway, and read what it answers.

const TOKEN = token();
const PAGE = 'https://app.example';
const EXTENSION = 'chrome-extension://abcdefgh';

let upstream: ScriptedUpstream;
/** By the origins that each allows. */
const gateways = new Map<string, Gateway>();

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    const fields = [
      'access-control-allow-origin: https://providers.example',
      'Access-Control-Allow-Credentials: true',
      'access-control-expose-headers: x-request-id',
      'vary: accept',
    ];
    if (turn.request.method === 'OPTIONS')
      await turn.write(`HTTP/1.1 204 No Content\r\n${fields.join('\r\n')}\r\n\r\n`);
    else
      await turn.answer('{"usage":{"prompt_tokens":1}}', [
        'content-type: application/json',
        ...fields,
      ]);
  });
  for (const origins of [[], [PAGE, EXTENSION], ['*']]) {
    const config =
      `workers = 1\ncors_origins = ${JSON.stringify(origins)}\n${authorities({ openai: upstream.port })}` +
      poolKeys({ openai: 'sk-pool-openai' }) +
      signingKeys();
    gateways.set(origins.join(), await startGateway({ config }));
  }
});
afterAll(async () => {
  for (const gateway of gateways.values()) await gateway.stop();
  await upstream.close();
});

const LISTED = `${PAGE},${EXTENSION}`;

async function ask(
  origins: string,
  method: string,
  fields: readonly string[],
  target = '/v1/chat/completions',
) {
  const gateway = gateways.get(origins) ?? expect.fail(origins);
  const body = method === 'POST' ? 'Content-Length: 13\r\n\r\n{"model":"m"}' : '\r\n';
  const lines = fields.map((line) => `${line}\r\n`).join('');
  const client = new RawClient(gateway.port).send(
    `${method} ${target} HTTP/1.1\r\nHost: s\r\n${lines}${body}`,
  );
  const response = await client.response();
  client.close();
  return response;
}

const PREFLIGHT = [
  'Access-Control-Request-Method: POST',
  'Access-Control-Request-Headers: authorization,x-stainless-lang',
];
const told = (response: RawResponse) =>
  response.fields
    .filter(([name]) => /^access-control-|^vary$/i.test(name))
    .map(([name, value]) => [name.toLowerCase(), value]);

describe('a preflight from a listed origin', () => {
  it.each([
    PAGE,
    EXTENSION,
  ])('%s is answered on every path, without a key, and no provider is asked', async (origin) => {
    const before = upstream.requests.length;
    for (const target of ['/v1/chat/completions', '/openai/v1/models', '/v1/files', '/nobody/x']) {
      const response = await ask(LISTED, 'OPTIONS', [`Origin: ${origin}`, ...PREFLIGHT], target);
      expect([response.status, response.body.length]).toEqual([200, 0]);
      expect(Object.fromEntries(told(response))).toEqual({
        'access-control-allow-origin': origin,
        'access-control-expose-headers': '*',
        vary: 'origin',
        'access-control-allow-methods': expect.stringContaining('POST'),
        'access-control-allow-headers': 'authorization,x-stainless-lang',
        'access-control-max-age': '600',
      });
      expect(response.field('x-sluice-request-id')).toMatch(/^req_/);
    }
    expect(upstream.requests.length).toBe(before);
  });

  it('of all origins is told so, and never that credentials count', async () => {
    const response = await ask('*', 'OPTIONS', ['Origin: https://any.example', ...PREFLIGHT]);
    expect(response.field('access-control-allow-origin')).toBe('*');
    expect(response.field('access-control-allow-credentials')).toBeUndefined();
  });

  it('is none without its fields, and none from another origin', async () => {
    for (const fields of [
      [`Origin: ${PAGE}`],
      PREFLIGHT,
      [`Origin: ${PAGE}.evil.test`, ...PREFLIGHT],
      [`Origin: ${PAGE}:8443`, ...PREFLIGHT],
      ['Origin: http://app.example', ...PREFLIGHT],
      ['Origin: null', ...PREFLIGHT],
    ]) {
      const response = await ask(LISTED, 'OPTIONS', fields);
      expect([response.status, response.field('access-control-allow-methods')]).toEqual([
        401,
        undefined,
      ]);
    }
  });
});

describe('an answer to a page of a listed origin', () => {
  const AUTH = [`Authorization: Bearer ${TOKEN}`, 'Authorization: Bearer sk-own'];

  it('may be read, whatever the provider says about it', async () => {
    for (const key of AUTH) {
      const response = await ask(LISTED, 'POST', [key, `Origin: ${PAGE}`]);
      expect(response.status).toBe(200);
      expect(told(response)).toEqual([
        ['vary', 'accept'],
        ['access-control-allow-origin', PAGE],
        ['access-control-expose-headers', '*'],
        ['vary', 'origin'],
      ]);
      expect(told(await ask('*', 'POST', [key, `Origin: ${PAGE}`]))).toEqual([
        ['vary', 'accept'],
        ['access-control-allow-origin', '*'],
        ['access-control-expose-headers', '*'],
      ]);
    }
  });

  it('may be read when it is the gateway\u2019s own', async () => {
    for (const [fields, status] of [
      [[], 401],
      [['Authorization: Bearer bai_v9'], 401],
      [[AUTH[0] ?? '', 'Content-Encoding: x'], 400],
    ] as const) {
      const response = await ask(LISTED, 'POST', [...fields, `Origin: ${PAGE}`]);
      expect([response.status, response.field('access-control-allow-origin')]).toEqual([
        status,
        PAGE,
      ]);
    }
  });

  it('may not be read from anywhere else', async () => {
    for (const key of AUTH) {
      expect(told(await ask(LISTED, 'POST', [key, 'Origin: https://evil.test']))).toEqual([
        ['vary', 'accept'],
      ]);
      expect(told(await ask(LISTED, 'POST', [key]))).toEqual([['vary', 'accept']]);
    }
  });
});

describe('without cors_origins', () => {
  it('a preflight is the provider\u2019s to answer', async () => {
    const before = upstream.requests.length;
    const response = await ask('', 'OPTIONS', [`Origin: ${PAGE}`, ...PREFLIGHT]);
    expect([response.status, response.field('access-control-allow-origin')]).toEqual([
      204,
      'https://providers.example',
    ]);
    expect(upstream.requests.length).toBe(before + 1);
    expect((await ask('', 'OPTIONS', [`Origin: ${PAGE}`])).status).toBe(401);
    expect((await ask('', 'GET', [`Origin: ${PAGE}`, ...PREFLIGHT])).status).toBe(401);
  });

  it('a page may read what came for an own key, and nothing that came for a virtual one', async () => {
    const own = await ask('', 'POST', ['Authorization: Bearer sk-own', `Origin: ${PAGE}`]);
    expect(own.field('access-control-allow-origin')).toBe('https://providers.example');
    const virtual = await ask('', 'POST', [`Authorization: Bearer ${TOKEN}`, `Origin: ${PAGE}`]);
    expect(told(virtual)).toEqual([['vary', 'accept']]);
  });
});
