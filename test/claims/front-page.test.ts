import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway({
    config:
      'workers = 1\naccess_log = true\n[provider_authorities]\nvllm = "http://127.0.0.1:1"\n' +
      poolKeys({ openai: 'sk-pool-of-the-front-page' }) +
      signingKeys(),
  });
});
afterAll(async () => {
  await gateway.stop();
});

const BROWSER = 'accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

async function ask(line: string, ...fields: readonly string[]): Promise<RawResponse> {
  const client = new RawClient(gateway.port);
  const named = fields.some((field) => field.startsWith('host:')) ? [] : ['host: ai.internal:8080'];
  client.send(`${[`${line} HTTP/1.1`, ...named, ...fields].join('\r\n')}\r\n\r\n`);
  const response = await client.response(line.startsWith('HEAD'));
  client.close();
  return response;
}

describe('the page at /', () => {
  it('tells a browser the base URLs as it reached the gateway, and nothing else has to be loaded', async () => {
    const response = await ask('GET /', BROWSER);
    expect(response.status).toBe(200);
    expect(response.field('content-type')).toBe('text/html; charset=utf-8');
    const page = response.body.toString();
    for (const path of ['/v1', '', '/groq/openai/v1', '/openrouter/api/v1', '/vllm/v1'])
      expect(page).toContain(`<code>http://ai.internal:8080${path}</code>`);
    expect(page).not.toMatch(/<script|<link[^>]+href="(?!\/favicon\.ico)|src=|@import|url\(/);
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(response.field('content-security-policy')).toMatch(
      new RegExp(`^default-src 'none'; style-src 'sha256-${hash.replaceAll('+', '\\+')}'; `),
    );
    expect(response.field('x-content-type-options')).toBe('nosniff');
    expect(response.field('cache-control')).toBe('no-store');
  });

  it.each([
    '"><script>alert(1)</script>',
    "a'-b",
    'a<b',
    'a&b',
    'a b',
    'user:secret@evil.test',
    'evil.test/x',
    'evil.test:123456',
    '[::1',
    `${'a'.repeat(300)}.test`,
    'a\xe4.test',
  ])('shows nothing of a Host that is none: %s', async (host) => {
    const { status, body } = await ask('GET /', BROWSER, `host: ${host}`);
    const page = body.toString('latin1');
    // What the framing refuses is never shown either.
    if (status === 200) expect(page).toContain('http://(address of this gateway)/v1');
    else expect(status).toBe(400);
    expect(page).not.toContain(host);
  });

  it.each([
    ['[::1]:8080', [], 'http://[::1]:8080/v1'],
    ['gw', ['x-forwarded-proto: https'], 'https://gw/v1'],
    ['gw', ['x-forwarded-proto: javascript'], 'http://gw/v1'],
  ] as const)('at %s %j the base URL is %s', async (host, fields, url) => {
    const { body } = await ask('GET /', BROWSER, `host: ${host}`, ...fields);
    expect(body.toString()).toContain(`<code>${url}</code>`);
  });

  it('answers HEAD with the same fields and no body', async () => {
    const [whole, head] = [await ask('GET /', BROWSER), await ask('HEAD /', BROWSER)];
    expect([head.status, head.body.length]).toEqual([200, 0]);
    expect(head.field('content-length')).toBe(whole.field('content-length'));
    expect(head.field('content-security-policy')).toBe(whole.field('content-security-policy'));
  });

  it('has an icon, so that a browser is refused nothing that it asks for by itself', async () => {
    const response = await ask('GET /favicon.ico');
    expect(response.status).toBe(200);
    expect(response.field('content-type')).toBe('image/svg+xml');
    expect(response.body.toString()).toMatch(/^<svg /);
  });

  it.each([
    ['GET /', 'accept: */*'],
    ['GET /', 'accept: application/json'],
    ['GET /', 'x-no: accept'],
    ['GET //', BROWSER],
    ['GET /x', BROWSER],
    ['GET /index.html', BROWSER],
    ['OPTIONS /', BROWSER],
    ['DELETE /', BROWSER],
  ])('is a rejection with help for %s %s', async (line, field) => {
    const response = await ask(line, field);
    expect(response.status).toBe(404);
    expect(response.json()).toMatchObject({ error: { code: 'unknown_provider' } });
  });

  it('opens no door: with a virtual key it is the same page', async () => {
    const response = await ask('GET /', BROWSER, `authorization: Bearer ${token()}`);
    expect(response.body.toString()).toBe((await ask('GET /', BROWSER)).body.toString());
  });

  it('settles once, as complete, and counts as no rejection', async () => {
    const before = await gateway.idle();
    const response = await ask('GET /', BROWSER);
    const after = await gateway.idle();
    const rise = (name: string): number => after.get(name) - before.get(name);
    expect(rise('ai_requests_total')).toBe(1);
    expect(rise('ai_exchanges_settled_total{outcome="complete"}')).toBe(1);
    expect(after.sum('ai_rejections_total')).toBe(before.sum('ai_rejections_total'));
    const id = response.field('x-sluice-request-id');
    const line = await gateway.waitForLog(({ request_id }) => request_id === id);
    expect(line).toMatchObject({ path: '/', status: 200, rejection: null, provider: null });
  });
});
