import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const POOL = {
  openai: ['sk-pool-one', 'sk-pool-two', 'sk-pool-three'],
  anthropic: 'ant-pool',
  azure: 'az-pool',
};
const EVERY_KEY = [...POOL.openai, POOL.anthropic, POOL.azure];
const OF_THE_POOL = [
  'OpenAI-Organization: org-1',
  'openai-project: proj_1',
  'X-RateLimit-Limit-Requests: 100',
  'Set-Cookie: __cf_bm=1',
  'Alt-Svc: h3=":443"',
  'Strict-Transport-Security: max-age=31536000',
  'NEL: {"report_to":"x"}',
  'Report-To: {"group":"x"}',
];
const TOKEN = token();
const BODY = '{"model":"m"}';

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    // A provider that repeats what it was sent is the worst that a key can meet.
    const key = turn.request.field('authorization') ?? turn.request.field('x-api-key') ?? '';
    const answer = '{"usage":{"prompt_tokens":1}}';
    const to = new URLSearchParams(turn.request.target.split('?')[1]).get('to');
    const lines = [
      ...(to === null ? [`HTTP/1.1 200 OK ${key}`] : ['HTTP/1.1 307 R', `Location: ${to}`]),
      ...OF_THE_POOL,
      'content-type: application/json',
      'x-request-id: up',
      `Authorization: ${key}`,
      `x-echo: you sent ${key}`,
      `content-length: ${answer.length}`,
    ];
    await turn.write(`${lines.join('\r\n')}\r\n\r\n${answer}`);
  });
  const { port } = upstream;
  gateway = await startGateway({
    config:
      'workers = 1\nmanaged_endpoints = ["/rerank"]\nmanaged_prefixes = ["/v9/deployments/{name}"]\n' +
      authorities({ openai: port, anthropic: port, azure: port, groq: port }) +
      `[provider_auth_schemes]\nazure = "api-key"\n${poolKeys(POOL)}${signingKeys()}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

async function ask(
  method: string,
  target: string,
  fields: readonly string[],
): Promise<RawResponse> {
  const client = new RawClient(gateway.port);
  const body = method === 'POST' ? BODY : '';
  const length = method === 'POST' ? [`Content-Length: ${body.length}`] : [];
  client.send(
    `${method} ${target} HTTP/1.1\r\nHost: s\r\n${[...fields, ...length].map((line) => `${line}\r\n`).join('')}\r\n${body}`,
  );
  const response = await client.response();
  client.close();
  return response;
}

const chat = (fields: readonly string[], target = '/v1/chat/completions') =>
  ask('POST', target, fields);

describe('a managed key in any position is swapped', () => {
  const positions: readonly (readonly [string, readonly string[], string])[] = [
    ['authorization', [`Authorization: Bearer ${TOKEN}`], ''],
    ['authorization, lower case and two spaces', [`authorization: bearer  ${TOKEN}`], ''],
    ['x-api-key', [`X-Api-Key: ${TOKEN}`], ''],
    ['api-key', [`api-key: ${TOKEN}`], ''],
    ['x-goog-api-key', [`x-goog-api-key: ${TOKEN}`], ''],
    ['the query', [], `?a=1&key=${TOKEN}&b=2`],
    ['the query, respelled', [], `?a=1&k%65y=${TOKEN.replace('b', '%62')}&b=2`],
    ['two fields', [`Authorization: Bearer ${TOKEN}`, `X-Api-Key: ${TOKEN}`], ''],
    ['a repeated field', [`X-Api-Key: ${TOKEN}`, `X-Api-Key: ${TOKEN}`], ''],
    [
      'beside a key of the caller',
      ['Authorization: Bearer sk-mine', `X-Api-Key: ${TOKEN}`, 'api-key: sk-mine'],
      '?key=sk-mine',
    ],
  ];
  it.each(positions)('%s', async (_, fields, query) => {
    const at = upstream.requests.length;
    const response = await chat(fields, `/v1/chat/completions${query}`);
    expect(response.status).toBe(200);
    const request = await upstream.request(at);
    const sent = JSON.stringify([request.target, request.fields]);
    expect(sent).not.toContain('bai_v');
    expect(sent).not.toContain('sk-mine');
    expect(POOL.openai.map((key) => `Bearer ${key}`)).toContain(request.field('authorization'));
    for (const name of ['x-api-key', 'api-key', 'x-goog-api-key'])
      expect(request.field(name)).toBeUndefined();
    expect(request.target).toBe(
      query.includes('a=1') ? '/v1/chat/completions?a=1&b=2' : '/v1/chat/completions',
    );
    expect(response.field('x-request-id')).toBe('up');
    const answered = JSON.stringify([response.start, response.fields, response.body.toString()]);
    for (const key of EVERY_KEY) expect(answered).not.toContain(key);
  });

  it('several pool keys of one provider are used in turn', async () => {
    const at = upstream.requests.length;
    for (let round = 0; round < 6; round++) await chat([`Authorization: Bearer ${TOKEN}`]);
    const used = upstream.requests.slice(at).map((request) => request.field('authorization'));
    expect(new Set(used).size).toBe(3);
    expect(used.slice(0, 3)).toEqual(used.slice(3));
  });

  it('each provider gets its key in its own scheme', async () => {
    const at = upstream.requests.length;
    await ask('POST', '/anthropic/v1/messages', [`Authorization: Bearer ${TOKEN}`]);
    await ask('POST', '/azure/openai/deployments/gpt/chat/completions', [
      `Authorization: Bearer ${TOKEN}`,
    ]);
    const [anthropic, azure] = upstream.requests.slice(at);
    expect([anthropic?.field('x-api-key'), anthropic?.field('authorization')]).toEqual([
      POOL.anthropic,
      undefined,
    ]);
    expect([azure?.field('api-key'), azure?.field('authorization')]).toEqual([
      POOL.azure,
      undefined,
    ]);
  });

  it('only the listed fields go upstream', async () => {
    const kept = [
      'content-type: application/json',
      'accept: a',
      'user-agent: u',
      'anthropic-version: v',
      'anthropic-beta: b',
      'openai-beta: o',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'tracestate: s',
      'x-stainless-lang: js',
      'x-stainless-retry-count: 0',
    ];
    const owned = ['idempotency-key: i', 'session-id: s', 'x-grok-conv-id: c'];
    const dropped = [
      'openai-organization: org',
      'openai-project: p',
      'cookie: c=1',
      'accept-encoding: gzip',
      'x-forwarded-for: 1.2.3.4',
      'x-sluice-x: y',
      'origin: http://x',
      'accept-language: de',
      'content-encoding: identity',
      'x-custom: 1',
    ];
    const at = upstream.requests.length;
    await chat([`Authorization: Bearer ${TOKEN}`, ...kept, ...owned, ...dropped]);
    const request = await upstream.request(at);
    const names = request.fields.map(([name]) => name.toLowerCase()).sort();
    expect(names).toEqual(
      [
        ...[...kept, ...owned].map((line) => line.split(':')[0]),
        'host',
        'authorization',
        'accept-encoding',
        'content-length',
        'connection',
      ]
        .filter((name) => name !== 'connection' || names.includes('connection'))
        .sort(),
    );
    expect(request.field('accept-encoding')).toBe('identity');
    for (const line of kept) {
      const [name = '', value] = line.split(': ');
      expect(request.field(name)).toBe(value);
    }
    // Another tenant's same ids are others to the provider.
    await chat([`Authorization: Bearer ${token({ tenantId: 43n })}`, ...owned]);
    const other = await upstream.request(at + 1);
    for (const line of owned) {
      const [name = '', value] = line.split(': ');
      expect(request.field(name)).not.toBe(value);
      expect(request.field(name)).not.toBe(other.field(name));
    }
  });
});

describe('what a provider says of the account that answered', () => {
  const OF_THE_ACCOUNT = [
    'openai-organization',
    'openai-project',
    'x-ratelimit-limit-requests',
    'set-cookie',
  ];
  const OF_THE_ORIGIN = ['alt-svc', 'strict-transport-security', 'nel', 'report-to'];

  it('reaches the owner of an own key, no virtual key, and what is of the origin nobody', async () => {
    for (const [key, told] of [
      [TOKEN, []],
      ['sk-mine', OF_THE_ACCOUNT],
    ] as const) {
      const response = await chat([`Authorization: Bearer ${key}`]);
      const names = response.fields.map(([name]) => name.toLowerCase());
      const all = [...OF_THE_ACCOUNT, ...OF_THE_ORIGIN];
      expect(names.filter((name) => all.includes(name)).sort()).toEqual([...told].sort());
    }
  });
});

describe('a redirect', () => {
  const ask307 = async (key: string, location: string, base = '/azure') => {
    const target = `${base}/v1/chat/completions?to=${encodeURIComponent(location)}`;
    return await ask('POST', target, [`Authorization: Bearer ${key}`]);
  };

  it.each([
    'sk-mine',
    TOKEN,
  ])('to the provider itself comes back behind the gateway\u2019s prefix', async (key) => {
    const self = `http://127.0.0.1:${upstream.port}`;
    for (const to of [
      '/v1/x/',
      `${self}/v1/x/`,
      `${self.replace('//', '//u:p@')}/v1/x/`,
      `//${self.slice(7)}/v1/x/`,
    ])
      expect((await ask307(key, to)).field('location')).toBe('/azure/v1/x/');
    expect((await ask307(key, '?x')).field('location')).toBe('/azure/v1/chat/completions?x');
    expect((await ask307(key, '/v1/x/', '')).field('location')).toBe('/openai/v1/x/');
  });

  it('elsewhere is handed on to own keys only', async () => {
    const away = 'https://evil.test/x';
    expect((await ask307('sk-mine', away)).field('location')).toBe(away);
    for (const to of [away, '//evil.test/x', 'http://127.0.0.1:1/x'])
      expect((await ask307(TOKEN, to)).field('location')).toBeUndefined();
  });
});

describe('a managed key reaches nothing else', () => {
  const bearer = [`Authorization: Bearer ${TOKEN}`];
  it.each([
    ['POST', '/v1/files', 404, 'endpoint_not_managed'],
    ['GET', '/v1/responses/resp_1', 404, 'state_not_found'],
    ['GET', '/v1/models/..%2ffiles', 404, 'endpoint_not_managed'],
    ['POST', '/v1/files%3F/chat/completions', 404, 'endpoint_not_managed'],
    ['POST', '/v1/%252e%252e/files/chat/completions', 404, 'endpoint_not_managed'],
    ['POST', '/v1/threads/thread_1/messages', 404, 'endpoint_not_managed'],
    ['POST', '/v1/Threads/thread_1/messages', 404, 'endpoint_not_managed'],
    ['POST', '/v1/batches/..;/chat/completions', 404, 'endpoint_not_managed'],
    ['GET', '/v1/files/x/models/content', 404, 'endpoint_not_managed'],
    ['POST', '/groq/v1/chat/completions', 404, 'endpoint_not_managed'],
    ['GET', '/v1/chat/completions', 405, 'method_not_allowed'],
    ['POST', '/v1/models', 405, 'method_not_allowed'],
    ['POST', '/groq/openai/v1/chat/completions', 503, 'no_pool_key'],
  ])('%s %s is %i %s', async (method, target, status, code) => {
    const at = upstream.requests.length;
    const response = await ask(method, target, bearer);
    expect(response.status).toBe(status);
    expect(response.json()).toMatchObject({ error: { code } });
    expect(upstream.requests.length).toBe(at);
  });

  it('a wrong method is told the right one', async () => {
    expect((await ask('GET', '/v1/chat/completions', bearer)).field('allow')).toBe('POST');
    expect((await ask('POST', '/v1/models', bearer)).field('allow')).toBe('GET, HEAD');
  });

  it('a body that is packed in an unknown way, or twice, is 400 and nothing of it goes upstream', async () => {
    const at = upstream.requests.length;
    for (const coding of ['compress', 'x', 'gzip, br', 'gzip, gzip', 'aws-chunked']) {
      const response = await chat([...bearer, `Content-Encoding: ${coding}`]);
      expect(response.status).toBe(400);
      expect(response.body.toString()).toContain('Content-Encoding');
      expect(response.field('accept-encoding')).toContain('zstd');
    }
    expect(upstream.requests.length).toBe(at);
  });

  it('an added endpoint and the models are reached', async () => {
    expect((await ask('POST', '/v1/rerank', bearer)).status).toBe(200);
    expect((await ask('GET', '/v1/models', bearer)).status).toBe(200);
    expect((await ask('GET', '/v1/models/gpt-5', bearer)).status).toBe(200);
    expect((await ask('GET', '/v1/models/meta-llama%2FLlama-3', bearer)).status).toBe(200);
    expect((await ask('POST', '/azure/v9/deployments/d/rerank', bearer)).status).toBe(200);
  });
});

describe('a key that does not verify', () => {
  const last = TOKEN.at(-1) ?? '';
  it.each([
    ['another version', TOKEN.replace('bai_v1', 'bai_v4')],
    ['an unknown kid', TOKEN.replace('.7.', '.8.')],
    ['a kid with a zero before it', TOKEN.replace('.7.', '.07.')],
    ['another tenant', token({ tenantId: 43n }).slice(0, 40) + TOKEN.slice(40)],
    ['other trailing bits', TOKEN.slice(0, -1) + String.fromCharCode(last.charCodeAt(0) + 1)],
    ['padding', `${TOKEN}==`],
    ['a tail', `${TOKEN}x`],
    ['half of it', TOKEN.slice(0, 60)],
    ['nothing but its mark', 'bai_v1'],
  ])('%s is 401 bad_key and goes nowhere', async (_, key) => {
    const at = upstream.requests.length;
    const response = await chat([`Authorization: Bearer ${key}`]);
    expect(response.status).toBe(401);
    expect(response.json()).toMatchObject({ error: { code: 'bad_key' } });
    expect(upstream.requests.length).toBe(at);
  });

  it('beside one that does, the request is refused too', async () => {
    const response = await chat([
      `Authorization: Bearer ${TOKEN}`,
      `x-api-key: ${token({ tenantId: 1n })}`,
    ]);
    expect(response.status).toBe(401);
  });
});

it('a fact names the tenant, the key and the request, and no credential', async () => {
  const response = await chat([
    `Authorization: Bearer ${token({ tenantId: 2n ** 64n - 1n, keyId: 2n ** 53n + 1n })}`,
  ]);
  const id = response.field('x-sluice-request-id');
  const fact = await gateway.waitForLog((line) => line['request_id'] === id);
  expect(fact).toMatchObject({
    event: 'ai.usage',
    v: 1,
    tenant_id: '18446744073709551615',
    vpc_id: '99',
    key_id: '9007199254740993',
    provider: 'openai',
    endpoint: '/v1/chat/completions',
    input_tokens: 1,
    usage_source: 'reported',
    outcome: 'complete',
  });
  expect(facts(gateway).length).toBeGreaterThan(0);
  const printed = JSON.stringify(gateway.logs);
  for (const secret of [...EVERY_KEY, 'bai_v']) expect(printed).not.toContain(secret);
});
