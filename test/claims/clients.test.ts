import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

// What real clients do that no SDK's documentation says: Codex tries a WebSocket first, Java offers h2c, Claude Code lists
// models with a bearer token, a vLLM asks for no key.

const TOKEN = token();
const OWN = 'sk-own';

let gateway: Gateway;
/** Providers by name, each of them a listener of its own. */
const upstreams = new Map<string, ScriptedUpstream>();

async function provider(name: string): Promise<readonly [string, number]> {
  const upstream = await startUpstream(async (turn) => {
    await turn.bodyDone();
    await turn.answer(`{"from":"${name}","usage":{"prompt_tokens":1,"completion_tokens":1}}`);
  });
  upstreams.set(name, upstream);
  return [name, upstream.port];
}

beforeAll(async () => {
  const names = ['openai', 'anthropic', 'vllm', 'ollama', 'open', 'strict'];
  const rows = Object.fromEntries(await Promise.all(names.map(provider)));
  gateway = await startGateway({
    config:
      `workers = 1\n${authorities(rows)}` +
      '[provider_auth_schemes]\nopen = "none"\nstrict = "bearer"\n' +
      poolKeys({ openai: 'sk-pool-openai', anthropic: 'sk-pool-anthropic' }) +
      signingKeys(),
  });
});
afterAll(async () => {
  await gateway.stop();
  for (const upstream of upstreams.values()) await upstream.close();
});

const seen = (name: string) => upstreams.get(name)?.requests ?? [];
const reached = (): number =>
  [...upstreams.values()].reduce((sum, { requests }) => sum + requests.length, 0);

async function ask(
  method: string,
  target: string,
  fields: readonly string[],
): Promise<RawResponse> {
  const body = method === 'POST' ? '{"model":"m"}' : '';
  const length = method === 'POST' ? ['Content-Length: 13'] : [];
  const lines = [...fields, ...length].map((line) => `${line}\r\n`).join('');
  const client = new RawClient(gateway.port).send(
    `${method} ${target} HTTP/1.1\r\nHost: s\r\n${lines}\r\n${body}`,
  );
  const response = await client.response();
  client.close();
  return response;
}

const from = async (
  method: string,
  target: string,
  fields: readonly string[],
): Promise<unknown> => {
  const response = await ask(method, target, fields);
  return response.status === 200 ? (response.json() as { from: string }).from : response.status;
};

const BEARERS = [`Authorization: Bearer ${TOKEN}`, `Authorization: Bearer ${OWN}`];

describe('an offer to upgrade', () => {
  const WEBSOCKET = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'];

  it.each([
    '/v1/responses',
    '/v1/realtime?model=x',
    '/openai/v1/responses',
    '/strict/anything',
    '/nobody/x',
  ])('to a WebSocket on %s is 426 with any key, and the provider is not asked', async (target) => {
    const before = reached();
    for (const key of [...BEARERS, `x-api-key: ${OWN}`, 'X-A: no key']) {
      for (const spelled of [WEBSOCKET, ['Connection: upgrade', 'UPGRADE: h2c, WebSocket']]) {
        const response = await ask('GET', target, [key, ...spelled]);
        expect(response.status).toBe(426);
        expect(response.field('upgrade')).toBe('HTTP/1.1');
        expect(response.json()).toMatchObject({ error: { code: 'upgrade_required' } });
      }
    }
    expect(reached()).toBe(before);
  });

  it.each(['h2c', 'TLS/1.0, HTTP/1.1', 'IRC/6.9'])('to %s is passed over', async (offer) => {
    const lines = [
      `Connection: Upgrade, HTTP2-Settings`,
      `Upgrade: ${offer}`,
      'HTTP2-Settings: AAE',
    ];
    for (const key of BEARERS) {
      expect(await from('POST', '/v1/chat/completions', [key, ...lines])).toBe('openai');
      const names = seen('openai')
        .at(-1)
        ?.fields.map(([name]) => name.toLowerCase());
      expect(names).not.toContain('upgrade');
      expect(names).not.toContain('http2-settings');
    }
  });
});

describe('whom a bare /v1 is for', () => {
  const VERSION = 'anthropic-version: 2023-06-01';
  const SHARED = ['/v1/models', '/v1/models?limit=1000', '/v1/models/some-model'];

  it.each(
    SHARED,
  )('%s goes by how the caller speaks, with own and virtual keys alike', async (path) => {
    for (const key of [TOKEN, OWN]) {
      const bearer = `Authorization: Bearer ${key}`;
      expect(await from('GET', path, [bearer])).toBe('openai');
      expect(await from('GET', path, [bearer, VERSION])).toBe('anthropic');
      expect(await from('GET', path, [`x-api-key: ${key}`])).toBe('anthropic');
      expect(await from('GET', path, [bearer, `x-api-key: ${key}`])).toBe('openai');
      expect(await from('GET', path, [bearer, `x-api-key: ${key}`, VERSION])).toBe('anthropic');
    }
  });

  it.each([
    '/v1/chat/completions',
    '/v1/embeddings',
    '/v1/responses',
    '/v1/audio/speech',
    '/v1/batches',
  ])('%s is OpenAI\u2019s, whichever keys came with it', async (path) => {
    const before = seen('anthropic').length;
    for (const extra of [[], [VERSION], [`x-api-key: ${OWN}`], [`x-api-key: ${OWN}`, VERSION]])
      expect(await from('POST', path, [`Authorization: Bearer ${OWN}`, ...extra])).toBe('openai');
    expect(await from('POST', path, [`x-api-key: ${OWN}`])).toBe('openai');
    expect(seen('anthropic').length).toBe(before);
  });

  it('messages are Anthropic\u2019s, whichever keys came with them', async () => {
    const both = [`Authorization: Bearer ${OWN}`, `x-api-key: ${OWN}`];
    for (const path of ['/v1/messages', '/v1/messages/count_tokens', '/v1/messages/batches'])
      expect(await from('POST', path, both)).toBe('anthropic');
  });

  it('what only Anthropic has goes to who says that it speaks Anthropic', async () => {
    expect(await from('GET', '/v1/skills', [`x-api-key: ${OWN}`])).toBe('anthropic');
    expect(await from('GET', '/v1/files', [`x-api-key: ${OWN}`])).toBe('anthropic');
    expect(await from('GET', '/v1/files', [`Authorization: Bearer ${OWN}`])).toBe('openai');
  });
});

describe('a provider that wants no key', () => {
  it('added in plaintext is reached without one, and with one as it came', async () => {
    expect(await from('POST', '/vllm/api/chat', [])).toBe('vllm');
    expect(seen('vllm').at(-1)?.field('authorization')).toBeUndefined();
    expect(await from('POST', '/vllm/api/chat', [`Authorization: Bearer ${OWN}`])).toBe('vllm');
    expect(seen('vllm').at(-1)?.field('authorization')).toBe(`Bearer ${OWN}`);
  });

  it('says so in its scheme, and then virtual keys need no pool key either, and are billed', async () => {
    expect(await from('POST', '/open/v1/chat/completions', [])).toBe('open');
    const before = facts(gateway).length;
    expect(
      await from('POST', '/open/v1/chat/completions', [`Authorization: Bearer ${TOKEN}`]),
    ).toBe('open');
    const sent = seen('open').at(-1);
    expect(
      sent?.fields.filter(([, value]) => value.includes('sk-') || value.includes('bai_v')),
    ).toEqual([]);
    await gateway.idle();
    expect(facts(gateway).length).toBe(before + 1);
  });

  it('is an Ollama without being said: its own wire and OpenAI’s, and nothing that manages its models', async () => {
    const key = [`Authorization: Bearer ${TOKEN}`];
    for (const path of ['/ollama/v1/chat/completions', '/ollama/api/chat', '/ollama/api/embed'])
      expect(await from('POST', path, key)).toBe('ollama');
    expect(seen('ollama').at(-1)?.field('authorization')).toBeUndefined();
    expect(await from('POST', '/ollama/api/pull', key)).toBe(404);
    expect(await from('POST', '/ollama/api/pull', [])).toBe('ollama');
  });

  it('is none of those that say which key they want, nor of the built-in ones', async () => {
    for (const path of ['/strict/v1/chat/completions', '/openai/v1/chat/completions', '/v1/models'])
      expect(await from('POST', path, [])).toBe(401);
  });

  it('without a pool key is told to virtual keys as such', async () => {
    expect(
      await from('POST', '/vllm/v1/chat/completions', [`Authorization: Bearer ${TOKEN}`]),
    ).toBe(503);
  });
});
