import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { token } from '../support/managed.ts';
import { Neighbour } from '../support/neighbour.ts';
import { CHAT, RawClient } from '../support/raw-client.ts';
import type { SeenRequest } from '../support/scripted-upstream.ts';
import { expectUnharmed, type Siege, startSiege } from '../support/siege.ts';

let siege: Siege;
let neighbour: Neighbour;
/** Fields of the next response, each ended by CRLF. */
let lines = '';

beforeAll(async () => {
  siege = await startSiege(async (turn) => {
    await turn.bodyDone();
    await turn.write(`HTTP/1.1 200 OK\r\n${lines}content-length: 2\r\n\r\n{}`);
  });
  neighbour = new Neighbour(siege.gateway);
});
afterAll(async () => await siege.close());

const keys = { 'with its own key': 'sk-own', 'with a virtual key': token() };

async function ask(key: string, injected: string, target = CHAT) {
  const before = siege.upstream.requests.length;
  const client = new RawClient(siege.gateway.port).send(
    `POST ${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${key}\r\n${injected}\r\nContent-Length: 13\r\n\r\n{"model":"m"}`,
  );
  const response = await neighbour.outlasts(client);
  return { response, reached: siege.upstream.requests.slice(before) };
}

const REFUSED = [
  'X-A: a\rX-Evil: 1',
  'X-A: a\nX-Evil: 1',
  'X-A: a\0X-Evil: 1',
  'X-A: a\x7fX-Evil: 1',
  'X-A: a\r\n X-Evil: 1',
  'X-A: a\r\n\tX-Evil: 1',
  'X-Evil\0: 1',
  'X-A X-Evil: 1',
  'X-Evil',
  'User-Agent: a\nX-Evil: 1',
  'Accept: a\rX-Evil: 1',
  'Anthropic-Beta: a\0\r\n',
];

describe.each(Object.entries(keys))('a request %s', (_who, key) => {
  it.each(REFUSED)('with %j puts nothing into the upstream request', async (injected) => {
    const { response, reached } = await ask(key, injected);
    expect([400, 411, 505, undefined]).toContain(response?.status);
    expect(reached).toEqual([]);
  });

  it.each([
    'a%0d%0aX-Evil:%201',
    'a?x=%0d%0aX-Evil:%201',
    'a?x=%0aX-Evil:%201&y=%00',
    'a?%E5%98%8A%E5%98%8DX-Evil:1',
  ])('to a target with %s has its escapes sent on as they are, or goes nowhere', async (tail) => {
    const { reached } = await ask(key, 'X-A: 1', `/v1/${tail}`);
    for (const { target, fields } of reached) {
      expect(target).toBe(`/v1/${tail}`);
      expect(fields.map(([name]) => name.toLowerCase())).not.toContain('x-evil');
    }
    // A virtual key reaches no such path.
    expect(reached.length).toBe(key === 'sk-own' ? 1 : 0);
  });

  // RFC 9110 §7.6.1: what Connection names is dropped, and that must take nothing away that a request needs.
  it.each([
    'content-length',
    'Content-Length, transfer-encoding',
    'host',
    'close, content-length',
    'x-a, , host;q=1',
  ])('with Connection: %s keeps its framing and its host', async (options) => {
    const { response, reached } = await ask(key, `Connection: ${options}`);
    expect(response?.status).toBe(200);
    expect(reached.map(shape)).toEqual([['13', undefined, `127.0.0.1:${siege.upstream.port}`]]);
  });
});

const shape = ({ field, bodyBytes }: SeenRequest) => [
  String(bodyBytes),
  field('transfer-encoding'),
  field('host'),
];

it('a virtual key cannot have the provider key taken away, nor a second one put in', async () => {
  const injected =
    'Connection: authorization, x-api-key\r\nx-api-key: sk-evil\r\napi-key: sk-evil\r\n' +
    'Proxy-Authorization: Bearer sk-evil\r\nCookie: k=sk-evil\r\nX-Forwarded-Authorization: sk-evil\r\n' +
    'OpenAI-Organization: evil';
  const { reached } = await ask(keys['with a virtual key'], injected);
  expect(reached.length).toBe(1);
  expect(reached[0]?.field('authorization')).toBe('Bearer sk-pool-openai');
  expect(JSON.stringify(reached[0]?.fields)).not.toContain('evil');
});

describe('what a provider says', () => {
  const OURS = [
    'X-Sluice-Request-Id: forged',
    'x-sluice-anything: forged',
    'Content-Length : 9',
    'Connection: x-kept, close',
    'Connection: x-sluice-request-id, content-length',
    'Transfer-Encoding : chunked',
    'Keep-Alive: timeout=forged',
    'Proxy-Authenticate: forged',
    'Upgrade: forged',
    'Date: forged',
    'Trailer: forged',
  ];
  it.each(OURS)('as %j never reaches the client as the gateway\u2019s own', async (line) => {
    lines = `${line}\r\nX-Kept: 1\r\n`;
    const { response } = await ask('sk-own', 'X-A: 1');
    lines = '';
    expect([200, 502]).toContain(response?.status);
    expect(response?.complete).toBe(true);
    expect(response?.fields.filter(([, value]) => value.includes('forged'))).toEqual([]);
    expect(response?.fields.filter(([name]) => name === 'x-sluice-request-id')).toHaveLength(1);
    expect(response?.fields.filter(([name]) => name === 'content-length')).toHaveLength(1);
    if (response?.status === 502 || line.includes('x-kept')) return;
    expect(response?.field('x-kept')).toBe('1');
  });

  it('about a virtual key holds no provider key, in whichever field it comes', async () => {
    lines = 'X-Echo: sk-pool-openai\r\nSet-Cookie: k="Bearer sk-pool-openai"\r\nX-Kept: 1\r\n';
    // Every response is looked through for it: support/secrets.ts.
    const { response } = await ask(keys['with a virtual key'], 'X-A: 1');
    lines = '';
    expect(response?.status).toBe(200);
    expect(response?.fields.filter(([, value]) => value.includes('sk-pool'))).toEqual([]);
    expect(response?.field('x-kept')).toBe('1');
  });
});

it('quotes, escapes and line ends in what a caller says stay inside of one log line', async () => {
  const odd = '/v1/x%22%7D%0A%7B%22event%22:%22ai.usage%22"}{"event":"ai.usage"\\';
  const { reached } = await ask('sk-own', 'Traceparent: 00-"}{"event":"x"-b-01', odd);
  expect(reached.map(({ target }) => target)).toEqual([odd]);
  const line = await siege.gateway.waitForLog(({ path }) => path === odd);
  expect(line['event']).toBe('access');
});

it('a neighbour of all that has its stream and its answers whole', async () => {
  await neighbour.expectWhole();
  await expectUnharmed(siege.gateway);
});
