import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunkOf } from '../support/chunked.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

let gateway: Gateway;
let upstream: ScriptedUpstream;
const LIMIT_BYTES = 2_000_000;

beforeAll(async () => {
  upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer(
      JSON.stringify({ target: turn.request.target, host: turn.request.field('host') }),
    );
  });
  const rows = { openai: upstream.port, anthropic: upstream.port, groq: upstream.port };
  gateway = await startGateway({
    config: `workers = 1\nmax_request_body_bytes = ${LIMIT_BYTES}\n${authorities(rows)}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});

async function ask(bytes: string) {
  const client = new RawClient(gateway.port).send(bytes);
  const response = await client.response();
  client.close();
  return response;
}

describe('routes', () => {
  const ROUTED: readonly (readonly [path: string, fields: string[], forwarded: string])[] = [
    ['/v1/chat/completions', [], '/v1/chat/completions'],
    ['/v1', [], '/v1'],
    ['/v1?x=1', [], '/v1?x=1'],
    ['/openai/v1/models?a=%2F', [], '/v1/models?a=%2F'],
    ['/groq/openai/v1/models', [], '/openai/v1/models'],
    ['/groq', [], '/'],
    ['/groq//evil.test/x', [], '//evil.test/x'],
    ['/groq/../anthropic/v1', [], '/../anthropic/v1'],
    ['/anthropic/v1/messages', [], '/v1/messages'],
  ];
  it.each(ROUTED)('%s reaches its provider verbatim', async (path, fields, forwarded) => {
    const response = await ask(head('GET', path, fields));
    expect(response.status).toBe(200);
    expect(response.json()).toMatchObject({ target: forwarded });
  });

  const NOBODY = [
    '/',
    '/v1x/models',
    '/V1/models',
    '/v1beta/models',
    '/Groq/x',
    '//groq/x',
    '/groq%2Fx',
    '/%67roq/x',
    '/x',
  ];
  it.each(NOBODY)('%s reaches nobody', async (path) => {
    const before = upstream.requests.length;
    const response = await ask(head('GET', path));
    expect(response.status).toBe(404);
    expect(response.json()).toMatchObject({ error: { code: 'unknown_provider' } });
    expect(response.body.toString()).toContain('groq');
    expect(upstream.requests.length).toBe(before);
  });

  it('a bare v1 goes to anthropic when the key came in x-api-key', async () => {
    const bytes = 'GET /v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: sk-ant\r\n\r\n';
    const response = await ask(bytes);
    expect(response.status).toBe(200);
    expect(upstream.requests.at(-1)?.field('x-api-key')).toBe('sk-ant');
    const metrics = await gateway.idle();
    expect(
      metrics.get('ai_upstream_responses_total{provider="anthropic",status="2xx"}'),
    ).toBeGreaterThan(0);
  });
});

describe('keys', () => {
  const NO_KEY = 'POST /openai/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n';
  const KEYLESS = ['', 'Authorization: \r\n', 'Authorization: Bearer \r\n', 'x-api-key: \r\n'];
  it.each(KEYLESS)('a request with %j has no key', async (field) => {
    const response = await ask(`${NO_KEY}${field}\r\n{}`);
    expect(response.status).toBe(401);
    expect(response.json()).toMatchObject({ error: { code: 'missing_key' } });
  });

  const MANAGED = [
    'Authorization: Bearer bai_v1.7.x.y\r\n',
    'Authorization: Bearer  bai_v1.7.x.y\r\n',
    'Authorization: bai_v1.7.x.y\r\n',
    'x-api-key: bai_v2.7.x.y\r\n',
    'api-key: bai_v9\r\n',
    'x-goog-api-key: bai_v1.1.1.1\r\n',
    'Authorization: Bearer sk-own\r\nx-api-key: bai_v1.7.x.y\r\n',
  ];
  it.each(MANAGED)('a managed key in %j is never forwarded', async (field) => {
    const before = upstream.requests.length;
    const response = await ask(`${NO_KEY}${field}\r\n{}`);
    expect(response.status).toBe(401);
    expect(response.json()).toMatchObject({ error: { code: 'bad_key' } });
    expect(upstream.requests.length).toBe(before);
  });

  it('a managed key in a respelled query parameter is never forwarded', async () => {
    const before = upstream.requests.length;
    const response = await ask(head('GET', '/v1/x?a=1&k%65y=bai%5Fv1.7.x.y'));
    expect(response.status).toBe(401);
    expect(upstream.requests.length).toBe(before);
  });

  it('a rejection on an anthropic path has the anthropic shape', async () => {
    const response = await ask(
      'POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}',
    );
    const id = response.field('x-sluice-request-id');
    expect(response.json()).toMatchObject({
      type: 'error',
      error: { type: 'authentication_error' },
      request_id: id,
    });
  });
});

describe('a rejected request whose body is still coming', () => {
  const SIZES = [2, 1_000_000, 50_000_000];
  it.each(
    SIZES,
  )('is answered at once with %d bytes to go, and the next one is in step', async (size) => {
    const client = new RawClient(gateway.port).send(
      head('POST', '/nobody/x', [`Content-Length: ${size}`]),
    );
    const response = await client.response();
    expect(response.status).toBe(size > 0 ? 404 : 0);
    client.send(Buffer.alloc(size, 'G'));
    client.send(head('GET', '/v1/after'));
    const next = await client.response();
    expect(next.status).toBe(200);
    expect(next.json()).toMatchObject({ target: '/v1/after' });
    client.close();
  });

  it('is answered at once in chunks too, and the next one is in step', async () => {
    const client = new RawClient(gateway.port).send(
      head('POST', '/nobody/x', ['Transfer-Encoding: chunked']),
    );
    expect((await client.response()).status).toBe(404);
    client.send(`5\r\nGET /\r\n0\r\n\r\n`).send(head('GET', '/v1/after'));
    expect((await client.response()).status).toBe(200);
    client.close();
  });

  it('is refused by its declared length before any of it came', async () => {
    const before = upstream.requests.length;
    const client = new RawClient(gateway.port).send(
      head('POST', '/v1/x', [`Content-Length: ${LIMIT_BYTES + 1}`]),
    );
    const response = await client.response();
    client.close();
    expect(response.status).toBe(413);
    expect(response.body.toString()).toContain(String(LIMIT_BYTES));
    expect(upstream.requests.length).toBe(before);
  });

  it('is refused by its running total, and the upstream work ends', async () => {
    const client = new RawClient(gateway.port).send(
      head('POST', '/v1/x', ['Transfer-Encoding: chunked']),
    );
    const chunk = Buffer.alloc(65_536, 'x');
    for (let sent = 0; sent <= LIMIT_BYTES; sent += chunk.length) {
      client.send(chunkOf(chunk));
    }
    const response = await client.response();
    expect(response.status).toBe(413);
    client.close();
    await upstream.noneBusy();
    const metrics = await gateway.idle();
    expect(metrics.get('ai_rejections_total{reason="body_too_large"}')).toBe(2);
  });
});
