import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { SessionGate } from '../support/session-gate.ts';
import { type SelfSigned, selfSigned } from '../support/tls.ts';

const PRELOAD = new URL('../support/scripted-names.ts', import.meta.url).href;
const NAMES = ['right.test', 'wrong.test', 'unknown.test', 'expired.test', 'plain.test'];

/** In the `ca_file` of the trusting gateway. */
const trusted = selfSigned(['right.test', '127.0.0.1']);
const expired = selfSigned(['expired.test'], -1);
/** In nobody's. */
const unknown = selfSigned(['unknown.test']);

let folder: string;
const upstreams: ScriptedUpstream[] = [];
/** A web server on the wrong port: answers a handshake as it answers all that it does not understand. */
const plain = createServer((socket) =>
  socket.on('error', () => {}).once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
);
/** In front of a provider that is rotated. */
let gate: SessionGate;
let trusting: Gateway;
/** Trusts only what the system does. */
let plainTrust: Gateway;

/** Tells in its answer which name it was asked for in the handshake. */
async function startTls(tls: SelfSigned): Promise<number> {
  const upstream = await startUpstream(
    async (turn) => {
      const { socket } = turn;
      const sni = socket instanceof TLSSocket ? socket.servername : null;
      await turn.answer(JSON.stringify({ sni, host: turn.request.field('host') }));
    },
    { tls },
  );
  upstreams.push(upstream);
  return upstream.port;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
  const caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, trusted.cert + expired.cert);
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
  const right = await startTls(trusted);
  gate = await new SessionGate(right).listen();
  const rows = [
    `right = "right.test:${right}"`,
    `wrong = "wrong.test:${right}"`,
    `address = "https://127.0.0.1:${right}"`,
    `unknown = "https://unknown.test:${await startTls(unknown)}"`,
    `expired = "https://expired.test:${await startTls(expired)}"`,
    `rotated = "https://127.0.0.1:${gate.port}"`,
    `plain = "https://plain.test:${(plain.address() as AddressInfo).port}"`,
  ];
  const config = `[provider_authorities]\n${rows.join('\n')}\n`;
  const env = {
    NAMES: JSON.stringify(Object.fromEntries(NAMES.map((name) => [name, ['127.0.0.1']]))),
  };
  const nodeArgs = ['--import', PRELOAD];
  trusting = await startGateway({
    config: `workers = 1\nca_file = "${caFile}"\n${config}`,
    env,
    nodeArgs,
  });
  plainTrust = await startGateway({ config: `workers = 1\n${config}`, env, nodeArgs });
});
afterAll(async () => {
  await trusting.stop();
  await plainTrust.stop();
  await Promise.all(upstreams.map((upstream) => upstream.close()));
  plain.close();
  gate.close();
  rmSync(folder, { recursive: true });
});

async function get(gateway: Gateway, provider: string, method = 'GET'): Promise<RawResponse> {
  const client = new RawClient(gateway.port).send(head(method, `/${provider}/v1/x`));
  const response = await client.response(method === 'HEAD');
  client.close();
  return response;
}

describe('a provider behind TLS', () => {
  it.each([
    ['right', 'right.test'],
    ['address', false],
  ])('%s is reached when ca_file vouches for it', async (provider, sni) => {
    const response = await get(trusting, provider);
    expect(response.status).toBe(200);
    // An address literal is no SNI name (RFC 6066 §3).
    expect(response.json()).toMatchObject({ sni });
  });

  it('is asked for its own name, whatever Host the client sent', async () => {
    const client = new RawClient(trusting.port).send(
      'GET /right/v1/x HTTP/1.1\r\nHost: wrong.test\r\nAuthorization: Bearer k\r\n\r\n',
    );
    const response = await client.response();
    client.close();
    expect(response.json()).toMatchObject({
      sni: 'right.test',
      host: expect.stringMatching(/^right\.test:\d+$/),
    });
  });

  it.each([
    'hello',
    'request',
  ] as const)('that no longer takes a session of before, at its %s, is reached again', async (at) => {
    gate.refuses = 'nobody';
    // Nothing is kept behind a response to HEAD, so each of these is a handshake.
    await get(trusting, 'rotated', 'HEAD');
    gate.refuses = at;
    expect((await get(trusting, 'rotated', 'HEAD')).status).toBe(502);
    expect((await get(trusting, 'rotated', 'HEAD')).status).toBe(200);
  });

  const REFUSED: readonly (readonly [why: string, provider: string, gateway: () => Gateway])[] = [
    ['signed itself and nobody vouches for it', 'right', () => plainTrust],
    ['is not the one that ca_file vouches for', 'unknown', () => trusting],
    ['has a certificate for another name', 'wrong', () => trusting],
    ['has a certificate that expired', 'expired', () => trusting],
    ['does not speak TLS', 'plain', () => trusting],
  ];
  it.each(REFUSED)('that %s is a 502 and gets no byte', async (_why, provider, of) => {
    const gateway = of();
    const before = upstreams.reduce((sum, { requests }) => sum + requests.length, 0);
    const response = await get(gateway, provider);
    expect(response.status).toBe(502);
    expect(response.json()).toMatchObject({ error: { code: 'upstream_unreachable' } });
    const failures = `ai_connect_failures_total{provider="${provider}"}`;
    expect((await gateway.idle()).get(failures)).toBe(1);
    expect(upstreams.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(before);
  });
});
