import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { facts, poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, head, post, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';

const EVENT = 'data: {"choices":[{"delta":{"content":"Hello you"},"finish_reason":null}]}\n\n';
const SIGN = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n';
const BILL =
  'data: {"model":"m","choices":[],"usage":{"prompt_tokens":31,"completion_tokens":4}}\n\n';
/** A provider that goes on: comments, which bill nothing. */
const MORE = `: ${'x'.repeat(4_092)}\n\n`;
const BOUND_BYTES = 65_536;
const BOUND_MS = 2_000;

const REPORTED = {
  outcome: 'client_gone',
  usage_source: 'reported',
  input_tokens: 31,
  output_tokens: 4,
};

interface Way {
  readonly key?: string;
  readonly model?: string;
  readonly coded?: 'plain' | 'gzip';
}

describe('a client that leaves behind an end sign', () => {
  let gateway: Gateway;
  let upstream: ScriptedUpstream;
  /** Lets the provider go on, once its client has left. */
  let goOn: () => void = () => {};

  const start = (more = ''): Promise<Gateway> =>
    startGateway({
      config: `workers = 1\n${more}${authorities({ openai: upstream.port })}${poolKeys({ openai: 'sk-pool-sign' })}${signingKeys()}`,
    });

  beforeAll(async () => {
    upstream = await startUpstream(async (turn) => {
      const [, how] = turn.request.target.split('?');
      await turn.bodyDone();
      const going = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      await turn.stream();
      await turn.chunk(how === 'early' ? EVENT : EVENT + SIGN);
      await going;
      if (how === 'bill') await turn.chunk(BILL);
      if (how === 'late') {
        // Just within the bound, and just behind it.
        await turn.chunk(MORE.repeat(15));
        await turn.chunk(BILL);
      }
      if (how === 'too-late') {
        await turn.chunk(MORE.repeat(16));
        await turn.chunk(BILL);
      }
      while (how === 'drip' && !turn.socket.destroyed) {
        await turn.chunk(': \n\n');
        await pause(20);
      }
      while (how === 'flood' && !turn.socket.destroyed) await turn.chunk(MORE);
      if (how === 'cut') turn.reset();
      if (how === 'whole') {
        await turn.chunk(`${BILL}data: [DONE]\n\n`);
        await turn.lastChunk();
      }
    });
    gateway = await start();
  });

  afterAll(async () => {
    expect(gateway.stderr).toBe('');
    await gateway.stop();
    await upstream.close();
  });

  /** Leaves, and is known to have left: the one worker answers one that came later. */
  async function leave(
    at: Gateway,
    how: string,
    { key = token(), model = 'm', coded = 'plain' }: Way = {},
  ) {
    const body = JSON.stringify({ model, stream: true, messages: [] });
    const request =
      coded === 'plain' ? post(key, `${CHAT}?${how}`, body) : packed(key, `${CHAT}?${how}`, body);
    const client = new RawClient(at.port).send(request);
    const seen = how === 'early' ? 'Hello you' : '"stop"';
    await until('what it waits for', () => Buffer.concat(client.received).includes(seen));
    client.close();
    const other = new RawClient(at.port).send(head('GET', '/healthz-of-nobody'));
    await other.response();
    other.close();
    return await upstream.request(upstream.requests.length - 1);
  }

  const next = (at: Gateway): (() => Promise<Readonly<Record<string, unknown>>>) => {
    const before = facts(at).length;
    return () => until('the fact', () => facts(at)[before]);
  };

  it.each<readonly [string, Way]>([
    ['bill', { model: 'm' }],
    ['whole', { model: 'm' }],
    ['late', { model: 'm' }],
    ['bill', { model: 'openai/m' }],
    ['bill', { coded: 'gzip' }],
  ])('is metered by what the provider says then: %s %o', async (how, by) => {
    const fact = next(gateway);
    await leave(gateway, how, by);
    expect((await gateway.metrics()).get('ai_requests_in_flight')).toBe(1);
    goOn();
    expect(await fact()).toMatchObject(REPORTED);
    await gateway.idle();
  });

  it('frees its upstream at the bound in bytes, and what came behind it is not read', async () => {
    const fact = next(gateway);
    const request = await leave(gateway, 'too-late');
    goOn();
    expect(await fact()).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    await until('the upstream to be free', () => request.peerClosed);
    const flooded = next(gateway);
    const flood = await leave(gateway, 'flood');
    goOn();
    expect(await flooded()).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    await until('the upstream to be free', () => flood.peerClosed);
    expect(MORE.length * 16).toBe(BOUND_BYTES);
    await gateway.idle();
  });

  it('frees its upstream at the bound in time, however it drips', async () => {
    const fact = next(gateway);
    const beganMs = performance.now();
    const request = await leave(gateway, 'drip');
    goOn();
    // It drips until it is let go, and would take minutes to the bound in bytes.
    expect(await fact()).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    const tookMs = performance.now() - beganMs;
    await until('the upstream to be free', () => request.peerClosed);
    expect(tookMs).toBeGreaterThan(BOUND_MS / 2);
    await gateway.idle();
  });

  it('is settled once when the provider breaks off meanwhile', async () => {
    const fact = next(gateway);
    await leave(gateway, 'cut');
    goOn();
    expect(await fact()).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    await gateway.idle();
  });

  it.each([
    ['early', token()],
    ['silent', 'sk-own'],
  ])('frees its upstream at once where no bill is to be waited for: %s', async (how, key) => {
    const request = await leave(gateway, how, { key });
    // Known to the gateway, and nothing of it runs any more.
    expect((await gateway.metrics()).get('ai_requests_in_flight')).toBe(0);
    await until('the upstream to be free', () => request.peerClosed);
    goOn();
  });

  it.each([
    ['bill', REPORTED],
    // The grace is over before its time is.
    ['silent', { outcome: 'client_gone', usage_source: 'estimated' }],
  ])('loses no fact to a stop in that time: %s', async (how, expected) => {
    const stopped = await start('shutdown_grace_secs = 1\n');
    const fact = next(stopped);
    await leave(stopped, how);
    stopped.signal('SIGTERM');
    await stopped.waitForLog(({ event }) => event === 'draining');
    if (how === 'bill') goOn();
    await stopped.exited;
    expect(await fact()).toMatchObject(expected);
    expect(facts(stopped).length).toBe(1);
    goOn();
  });
});

function packed(key: string, target: string, body: string): Buffer {
  const content = gzipSync(body);
  const fields =
    `Host: s\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n` +
    `Content-Encoding: gzip\r\nContent-Length: ${content.length}`;
  return Buffer.concat([Buffer.from(`POST ${target} HTTP/1.1\r\n${fields}\r\n\r\n`), content]);
}
