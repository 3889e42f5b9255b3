import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { type Bridge, http2Only, secured } from '../support/bridge.ts';
import { until } from '../support/conditions.ts';
import { ConnectProxy, type ProxyMood } from '../support/connect-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { authorities, type Gateway, MAIN, startGateway } from '../support/gateway.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { drain } from '../support/sdk-calls.ts';
import { expectNoSecret, keepSecret } from '../support/secrets.ts';
import { selfSigned } from '../support/tls.ts';

const CREDENTIALS = keepSecret('egress-user:egress-password-0815');
const PASSWORD = keepSecret('egress-password-0815');
keepSecret(Buffer.from(CREDENTIALS).toString('base64'));
const USERINFO = `egress-user:${PASSWORD}@`;

/** Nobody but the proxy knows any of these names. */
const NAMES = ['api.provider.test', 'scripted.provider.test', 'plain.provider.test'];
const server = selfSigned([...NAMES, '127.0.0.1']);
const other = selfSigned(['127.0.0.1']);
const client = selfSigned(['client']);

let folder: string;
let mock: RunningMock;
let scripted: ScriptedUpstream;
let overTls: Bridge;
let withCertificate: Bridge;
let overHttp2: Bridge;
let trustedOtherwise: Bridge;
let proxy: ConnectProxy;
let tlsProxy: ConnectProxy;
const place = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
const open: Gateway[] = [];
async function gatewayOf(config: string, env: Record<string, string> = {}): Promise<Gateway> {
  const gateway = await startGateway({ config: `workers = 1\naccess_log = true\n${config}`, env });
  open.push(gateway);
  return gateway;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-egress-'));
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  scripted = await startUpstream(() => {}, { tls: server });
  overTls = await secured(server, mock.port, null);
  withCertificate = await secured(server, mock.port, client);
  overHttp2 = await http2Only(server, mock.port);
  trustedOtherwise = await secured(other, mock.port, null);
  const names = {
    'api.provider.test': overTls.port,
    'scripted.provider.test': scripted.port,
    'plain.provider.test': mock.port,
  };
  proxy = await new ConnectProxy({ names, credentials: CREDENTIALS }).listen();
  tlsProxy = await new ConnectProxy({ names, credentials: CREDENTIALS, tls: server }).listen();
  place('ca.pem', server.cert);
  place('other.pem', other.cert);
  place('client.pem', client.cert);
  place('client.key', client.key);
});
afterAll(async () => {
  await Promise.all(open.map((gateway) => gateway.stop()));
  await Promise.all([proxy.close(), tlsProxy.close(), scripted.close(), mock.close()]);
  for (const bridge of [overTls, withCertificate, overHttp2, trustedOtherwise]) bridge.close();
  rmSync(folder, { recursive: true, force: true });
});

const caFile = (): string => `ca_file = "${join(folder, 'ca.pem')}"\n`;
const MESSAGES = [{ role: 'user' as const, content: 'What did the river say to the stone?' }];

/** Both stock SDKs stream through it, and get what they get whole. */
async function expectStreams(gateway: Gateway): Promise<void> {
  const openai = new OpenAI({ apiKey: 'sk-test', baseURL: `${gateway.origin}/v1`, maxRetries: 0 });
  const asked = { model: 'gpt-mock', messages: MESSAGES, max_completion_tokens: 40 };
  const whole = await openai.chat.completions.create(asked);
  const chunks = await drain(openai.chat.completions.create({ ...asked, stream: true }));
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  expect(text).toBe(whole.choices[0]?.message.content);
  expect(text).toMatch(/^You said: What did the river/);
  const anthropic = new Anthropic({ apiKey: 'sk-a', baseURL: gateway.origin, maxRetries: 0 });
  const message = { model: 'claude-mock', max_tokens: 40, messages: MESSAGES };
  const streamed = await anthropic.messages.stream(message).finalMessage();
  expect(streamed.content).toEqual((await anthropic.messages.create(message)).content);
  expect(streamed.stop_reason).toBe('end_turn');
}

async function ask(gateway: Gateway, target: string, method = 'GET'): Promise<RawResponse> {
  const asking = new RawClient(gateway.port).send(head(method, target));
  const response = await asking.response();
  asking.close();
  return response;
}

const said = (response: RawResponse): string => response.body.toString();

describe('a proxy that alone knows the names', () => {
  const both = (authority: string): string =>
    `[provider_authorities]\nopenai = "${authority}"\nanthropic = "${authority}"\n`;

  it.each([
    ['proxy_url', () => proxy, 'http', false],
    ['HTTPS_PROXY', () => proxy, 'http', true],
    ['proxy_url, in TLS itself,', () => tlsProxy, 'https', false],
  ])('named by %s is the way of stock SDKs, by CONNECT', async (_how, of, scheme, byVariable) => {
    const url = `${scheme}://${USERINFO}127.0.0.1:${of().port}`;
    const before = of().asked.length;
    const gateway = await gatewayOf(
      `${caFile()}${byVariable ? '' : `proxy_url = "${url}"\n`}${both('https://api.provider.test:443')}`,
      byVariable ? { HTTPS_PROXY: url } : {},
    );
    await expectStreams(gateway);
    const asked = of().asked.slice(before);
    expect(asked.length).toBeGreaterThan(0);
    expect(new Set(asked)).toEqual(new Set(['CONNECT api.provider.test:443 HTTP/1.1']));
    // The provider's business is not the proxy's.
    expect(of().heads.join()).not.toMatch(/^authorization|user-agent/im);
  });

  it('gets requests to a plain provider in absolute form, with the same Host', async () => {
    const gateway = await gatewayOf(
      `proxy_url = "http://${USERINFO}127.0.0.1:${proxy.port}"\n${both('http://plain.provider.test:80')}`,
    );
    await expectStreams(gateway);
    // The proxy of this test sees a connection's first request.
    expect(proxy.asked.at(-1)).toBe('POST http://plain.provider.test/v1/chat/completions HTTP/1.1');
    expect(proxy.heads.at(-1)).toMatch(/^host: plain\.provider\.test$/m);
  });

  it('is left out for hosts that NO_PROXY names, and for a provider that says none', async () => {
    const rows = `openai = "http://127.0.0.1:${mock.port}"\nmine = "http://127.0.0.1:${mock.port}"\n`;
    const env = { HTTP_PROXY: `http://127.0.0.1:${await freePort()}` };
    const own = '[providers.mine]\nproxy_url = "none"\n';
    const gateway = await gatewayOf(`[provider_authorities]\n${rows}${own}`, env);
    expect((await ask(gateway, '/openai/v1/models')).status).toBe(502);
    expect((await ask(gateway, '/mine/v1/models')).status).toBe(200);
    const excepted = await gatewayOf(`[provider_authorities]\n${rows}`, {
      ...env,
      NO_PROXY: '127.0.0.0/8',
    });
    expect((await ask(excepted, '/openai/v1/models')).status).toBe(200);
  });

  it('is taken, changed and left by a reload', async () => {
    const config = (url: string): string =>
      `${caFile()}proxy_url = "${url}"\n${both('https://api.provider.test:443')}`;
    const gateway = await gatewayOf(config(`http://127.0.0.1:${await freePort()}`));
    expect((await ask(gateway, '/openai/v1/models')).status).toBe(502);
    await gateway.reload(config(`http://${USERINFO}127.0.0.1:${proxy.port}`));
    expect((await ask(gateway, '/openai/v1/models')).status).toBe(200);
    await gateway.reload(config('none'));
    const direct = await ask(gateway, '/openai/v1/models');
    expect([direct.status, said(direct)]).toEqual([502, expect.stringContaining('ENOTFOUND')]);
  });
});

describe('through a proxy', () => {
  let gateway: Gateway;
  const at = '/scripted/v1/x';
  beforeAll(async () => {
    gateway = await gatewayOf(
      `${caFile()}connect_timeout_secs = 1\nfirst_byte_timeout_secs = 1\nidle_timeout_secs = 1\n` +
        `proxy_url = "http://${USERINFO}127.0.0.1:${proxy.port}"\n[provider_authorities]\n` +
        'scripted = "https://scripted.provider.test:443"\nunknown = "https://unknown.provider.test:443"\n' +
        'plainunknown = "http://unknown.provider.test:80"\n',
    );
  });

  it.each([
    ['silent', 504, 'CONNECT_TIMEOUT'],
    ['dribbling', 504, 'CONNECT_TIMEOUT'],
    ['closing', 502, 'PROXY_CLOSED_EARLY'],
    ['babbling', 502, 'PROXY_STATUS_LINE'],
  ] satisfies readonly (readonly [
    ProxyMood,
    number,
    string,
  ])[])('a proxy that is %s is a %i that names it', async (mood, status, code) => {
    proxy.mood = mood;
    const response = await ask(gateway, at).finally(() => {
      proxy.mood = 'open';
    });
    expect([response.status, said(response)]).toEqual([status, expect.stringContaining(code)]);
    await until('its connections to be closed', () => proxy.clients.size === 0);
  });

  it('a proxy that has no way there is a 502 that names it', async () => {
    const response = await ask(gateway, '/unknown/v1/x');
    expect([response.status, said(response)]).toEqual([
      502,
      expect.stringContaining('PROXY_STATUS_502'),
    ]);
  });

  it.each([
    ['https://scripted.provider.test:443', 'PROXY_STATUS_407'],
    ['http://plain.provider.test:80', 'PROXY_STATUS_407'],
  ])('a proxy that wants a password is a 502 for %s, never a 407', async (authority, code) => {
    const keyless = await gatewayOf(
      `${caFile()}proxy_url = "http://127.0.0.1:${proxy.port}"\n[provider_authorities]\nscripted = "${authority}"\n`,
    );
    const response = await ask(keyless, at);
    expect([response.status, said(response)]).toEqual([502, expect.stringContaining(code)]);
  });

  it('a proxy that is down is a 502 that names it', async () => {
    const down = await gatewayOf(
      `proxy_url = "http://127.0.0.1:${await freePort()}"\n[provider_authorities]\nx = "https://x.test:443"\n`,
    );
    const response = await ask(down, '/x/v1/x');
    expect([response.status, said(response)]).toEqual([
      502,
      expect.stringContaining('PROXY_ECONNREFUSED'),
    ]);
    expect((await down.idle()).get('ai_connect_failures_total{provider="x"}')).toBe(1);
  });

  it('a stream that the proxy cuts never ends cleanly', async () => {
    scripted.script = async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
    };
    const reading = new RawClient(gateway.port).send(head('GET', at));
    await once(reading.socket, 'data');
    proxy.cut();
    const response = await reading.response();
    expect(response.status).toBe(200);
    expect(response.complete).toBe(false);
    expect(said(response)).toContain('upstream_unreachable');
  });

  it('a client that leaves frees the provider in the same way', async () => {
    scripted.script = async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
    };
    const leaving = new RawClient(gateway.port).send(head('GET', at));
    await once(leaving.socket, 'data');
    leaving.close();
    await until('the tunnel to be closed', () => proxy.clients.size === 0 || undefined);
    await gateway.idle();
  });

  it('a client that does not read holds the provider up', async () => {
    const MIB = 1_048_576;
    let sent = 0;
    scripted.script = async (turn) => {
      await turn.stream();
      while (sent < 256 * MIB && !turn.socket.destroyed) {
        await turn.chunk(Buffer.alloc(MIB));
        sent += MIB;
      }
    };
    const slow = new RawClient(gateway.port);
    slow.socket.pause();
    slow.send(head('GET', at));
    let before = -1;
    await until('the provider to be held up', async () => {
      const isHeld = sent > 0 && sent === before;
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return isHeld || undefined;
    });
    expect(sent).toBeLessThan(64 * MIB);
    slow.close();
    await gateway.idle();
  });

  it('a provider that says nothing is a 504, and one that falls silent is cut', async () => {
    scripted.script = () => {};
    const silent = await ask(gateway, at);
    expect([silent.status, said(silent)]).toEqual([
      504,
      expect.stringContaining('FIRST_BYTE_TIMEOUT'),
    ]);
    scripted.script = async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
    };
    const cut = await ask(gateway, at);
    expect([cut.status, cut.complete]).toEqual([200, false]);
  });
});

describe('a server that demands a client certificate', () => {
  const config = (own: string): string => {
    const authority = `https://127.0.0.1:${withCertificate.port}`;
    const rows = `openai = "${authority}"\nanthropic = "${authority}"\n`;
    const table = (name: string): string =>
      `[providers.${name}]\nca_file = "${join(folder, 'ca.pem')}"\n${own}`;
    return `[provider_authorities]\n${rows}${table('openai')}${table('anthropic')}`;
  };

  it.each(['h1', 'undici'])('is reached by stock SDKs with one, by %s', async (transport) => {
    const gateway = await gatewayOf(
      config(
        `transport = "${transport}"\nclient_cert_file = "${join(folder, 'client.pem')}"\nclient_key_file = "${join(folder, 'client.key')}"\n`,
      ),
    );
    await expectStreams(gateway);
  });

  it.each(['h1', 'undici'])('is a 502 without one, by %s', async (transport) => {
    const gateway = await gatewayOf(config(`transport = "${transport}"\n`));
    expect((await ask(gateway, '/openai/v1/models')).status).toBe(502);
  });
});

describe('a server of HTTP/2 alone', () => {
  const rows = (): string => {
    const authority = `https://127.0.0.1:${overHttp2.port}`;
    return `[provider_authorities]\nopenai = "${authority}"\nanthropic = "${authority}"\n`;
  };

  it('is reached by stock SDKs where http2 says so, over one connection', async () => {
    const gateway = await gatewayOf(`${caFile()}http2 = true\n${rows()}`);
    await expectStreams(gateway);
    expect(new Set(overHttp2.versions)).toEqual(new Set(['2.0']));
    const before = overHttp2.connections;
    const many = await Promise.all(
      Array.from({ length: 20 }, () => ask(gateway, '/openai/v1/models')),
    );
    expect(many.map(({ status }) => status)).toEqual(many.map(() => 200));
    expect(overHttp2.connections).toBe(before);
  });

  it('is a 502 where it does not', async () => {
    const gateway = await gatewayOf(`${caFile()}${rows()}`);
    expect((await ask(gateway, '/openai/v1/models')).status).toBe(502);
  });

  it('is asked in HTTP/1.1 when that is all a server takes', async () => {
    const authority = `https://127.0.0.1:${overTls.port}`;
    const gateway = await gatewayOf(
      `${caFile()}http2 = true\n[provider_authorities]\nopenai = "${authority}"\nanthropic = "${authority}"\n`,
    );
    await expectStreams(gateway);
  });
});

describe('private authorities', () => {
  it.each([
    'h1',
    'undici',
  ])('add to NODE_EXTRA_CA_CERTS and to each other, by %s', async (transport) => {
    const gateway = await gatewayOf(
      `${caFile()}transport = "${transport}"\n[provider_authorities]\nmine = "https://127.0.0.1:${overTls.port}"\n` +
        `extra = "https://127.0.0.1:${trustedOtherwise.port}"\n`,
      { NODE_EXTRA_CA_CERTS: join(folder, 'other.pem') },
    );
    expect((await ask(gateway, '/mine/v1/models')).status).toBe(200);
    expect((await ask(gateway, '/extra/v1/models')).status).toBe(200);
  });

  it('of one provider are trusted for no other', async () => {
    const gateway = await gatewayOf(
      `[provider_authorities]\nmine = "https://127.0.0.1:${overTls.port}"\nyours = "https://localhost:${overTls.port}"\n` +
        `[providers.mine]\nca_file = "${join(folder, 'ca.pem')}"\n`,
    );
    expect((await ask(gateway, '/mine/v1/models')).status).toBe(200);
    expect((await ask(gateway, '/yours/v1/models')).status).toBe(502);
  });
});

describe("a provider's own timeouts", () => {
  it.each(['h1', 'undici'])('hold for it alone, by %s', async (transport) => {
    const silent = await startUpstream(async (turn) => {
      await turn.bodyDone();
      setTimeout(() => void turn.answer('late'), 1_500);
    });
    const gateway = await gatewayOf(
      `transport = "${transport}"\n${authorities({ hasty: silent.port, patient: silent.port })}` +
        '[providers]\nhasty.first_byte_timeout_secs = 0.2\n',
    );
    const [hasty, patient] = await Promise.all([
      ask(gateway, '/hasty/v1/x'),
      ask(gateway, '/patient/v1/x'),
    ]);
    expect([hasty.status, patient.status]).toEqual([504, 200]);
    await silent.close();
  });
});

describe('a client certificate that is renewed in its place', () => {
  it('is shown from then on, and the connections of before are left', async () => {
    const stranger = selfSigned(['stranger']);
    const certFile = place('renewed.pem', stranger.cert);
    const keyFile = place('renewed.key', stranger.key);
    const config =
      `${caFile()}[provider_authorities]\nmine = "https://127.0.0.1:${withCertificate.port}"\n` +
      `[providers.mine]\nclient_cert_file = "${certFile}"\nclient_key_file = "${keyFile}"\n`;
    const gateway = await gatewayOf(config);
    expect((await ask(gateway, '/mine/v1/models')).status).toBe(502);
    place('renewed.pem', client.cert);
    place('renewed.key', client.key);
    await until('the reload', () => gateway.count('config_reloaded') > 0 || undefined);
    expect((await ask(gateway, '/mine/v1/models')).status).toBe(200);
  });
});

describe('sluice doctor', () => {
  // Beside this process, in which the proxy runs.
  const run = async (url: string): Promise<string> => {
    const file = place(
      'doctor.toml',
      `listen = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n${caFile()}proxy_url = "${url}"\n[provider_authorities]\n` +
        `tunnelled = "https://api.provider.test:443"\ndirect = "http://127.0.0.1:${mock.port}"\nsecond = "https://127.0.0.1:${overHttp2.port}"\n` +
        '[providers]\ndirect.proxy_url = "none"\nsecond.proxy_url = "none"\nsecond.http2 = true\n',
    );
    const stdout = await new Promise<string>((resolve) => {
      execFile(process.execPath, [MAIN, 'doctor', '--config', file], (_error, text) =>
        resolve(text),
      );
    });
    expectNoSecret("the doctor's words", stdout);
    return stdout;
  };

  it('tells the way of each provider, why, and which client asks', async () => {
    const stdout = await run(`http://${USERINFO}127.0.0.1:${proxy.port}`);
    expect(stdout).toMatch(
      /^ok +tunnelled +api\.provider\.test:443 is reached through the proxy http:\/\/\*\*\*@127\.0\.0\.1:\d+ \(proxy_url\), TLS is verified; asked by undici$/m,
    );
    expect(stdout).toMatch(
      /^ok +direct +.* is reached directly \(\[providers\.direct\] proxy_url\), in plaintext; asked by h1$/m,
    );
    expect(stdout).toMatch(/^ok +second +.*; asked by undici, HTTP\/2 offered and taken$/m);
  });

  it('says what to do about a proxy that wants a password, and one that is not there', async () => {
    expect(await run(`http://127.0.0.1:${proxy.port}`)).toMatch(
      /^FAIL +tunnelled +.*PROXY_STATUS_407.*into the URL of proxy_url$/m,
    );
    expect(await run(`http://127.0.0.1:${await freePort()}`)).toMatch(
      /^FAIL +tunnelled +.*PROXY_ECONNREFUSED.*check proxy_url$/m,
    );
  });
});

describe('a cap on connections', () => {
  it.each([
    'h1',
    'undici',
  ])('lets a queue wait, turns away who finds it full, and forgets who leaves, by %s', async (transport) => {
    const upstream = await startUpstream(async (turn) => {
      await turn.stream();
      await turn.chunk('data: 1\n\n');
    });
    const gateway = await gatewayOf(
      `transport = "${transport}"\nmax_provider_connections = 2\nmax_provider_queue = 2\n${authorities({ openai: upstream.port })}`,
    );
    const waiting = async (count: number): Promise<void> => {
      await until(`${count} to wait`, async () => {
        const metrics = await gateway.metrics();
        return metrics.get('ai_upstream_waiting{provider="openai"}') === count || undefined;
      });
    };
    const clients = Array.from({ length: 4 }, () => new RawClient(gateway.port));
    for (const one of clients.slice(0, 2)) {
      one.send(head('GET', '/v1/x'));
      await once(one.socket, 'data');
    }
    for (const one of clients.slice(2)) one.send(head('GET', '/v1/x'));
    await waiting(2);
    const refused = await ask(gateway, '/v1/x');
    expect([refused.status, refused.field('retry-after')]).toEqual([503, '1']);
    expect(refused.json()).toMatchObject({ error: { code: 'overloaded' } });
    const [first, , third, fourth] = clients;
    third?.close();
    await waiting(1);
    expect(upstream.requests).toHaveLength(2);
    first?.close();
    if (fourth !== undefined) await once(fourth.socket, 'data');
    expect(upstream.requests).toHaveLength(3);
    const metrics = await gateway.metrics();
    expect(metrics.get('ai_upstream_turned_away_total{provider="openai"}')).toBe(1);
    for (const one of clients) one.close();
    await gateway.idle();
    await upstream.close();
  });
});
