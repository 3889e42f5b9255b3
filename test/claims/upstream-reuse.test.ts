import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

// An upstream per test: a pool that has met faults chooses among its connections in no promised order.
const UPSTREAMS = 16;

let gateway: Gateway;
const unused: ScriptedUpstream[] = [];
let upstream: ScriptedUpstream;
let provider = '';
/** What happens to every request but the first of a connection. */
let onReuse: (turn: Turn) => void;

beforeAll(async () => {
  for (let at = 0; at < UPSTREAMS; at++) unused.push(await startUpstream(() => {}));
  const rows = Object.fromEntries(unused.map(({ port }, at) => [`p${at}`, port]));
  gateway = await startGateway({
    config: `workers = 1\naccess_log = true\n${authorities(rows)}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await Promise.all(unused.map((one) => one.close()));
});

beforeEach(async () => {
  provider = `p${unused.length - 1}`;
  const next = unused.pop();
  if (next === undefined) throw new Error('More tests than upstreams: raise UPSTREAMS.');
  upstream = next;
  upstream.script = async (turn) => {
    await turn.bodyDone();
    if (turn.request.onConnection === 0) await turn.answer('{"fresh":true}');
    else onReuse(turn);
  };
  // Leaves one idle connection in the pool.
  expect((await ask('GET')).status).toBe(200);
  await gateway.idle();
});
afterEach(() => upstream.close());

/** One request on a client connection of its own; a sized body unless the fields say chunked. */
async function ask(
  method: string,
  fields: readonly string[] = [],
  body = '',
): Promise<RawResponse> {
  const client = new RawClient(gateway.port).send(
    `${head(method, `/${provider}/v1/x`, fields)}${body}`,
  );
  const response = await client.response();
  client.close();
  return response;
}

const SIZED = ['Content-Length: 2'];
const CHUNKED = ['Transfer-Encoding: chunked'];
const CHUNKED_BODY = '2\r\n{}\r\n0\r\n\r\n';

/** For each request behind the first, how many its connection had carried before. */
const carried = (): readonly number[] =>
  upstream.requests.slice(1).map(({ onConnection }) => onConnection);

const retries = async (): Promise<number> =>
  (await gateway.idle()).get(`ai_upstream_retries_total{provider="${provider}"}`);

describe('a kept connection that dies before any byte of the response', () => {
  it.each([
    ['reset', (turn: Turn) => turn.reset()],
    ['ended', (turn: Turn) => void turn.socket.end()],
  ])('and is %s is replaced for a GET, unnoticed by its caller', async (_how, dies) => {
    onReuse = dies;
    expect((await ask('GET')).json()).toEqual({ fresh: true });
    expect(carried()).toEqual([1, 0]);
    expect(await retries()).toBe(1);
  });

  it.each([
    ['PUT', SIZED, '{}'],
    ['DELETE', [], ''],
  ])('is replaced for a %s, which may be repeated', async (method, fields, body) => {
    onReuse = (turn) => turn.reset();
    expect((await ask(method, fields, body)).json()).toEqual({ fresh: true });
    expect(carried()).toEqual([1, 0]);
  });

  it.each([
    ['sized', SIZED, '{}'],
    ['chunked', CHUNKED, CHUNKED_BODY],
  ])('is not replaced for a %s POST, which may have been acted on', async (_form, fields, body) => {
    onReuse = (turn) => turn.reset();
    const response = await ask('POST', fields, body);
    expect(response.status).toBe(502);
    expect(response.json()).toMatchObject({ error: { code: 'upstream_unreachable' } });
    expect(carried()).toEqual([1]);
    expect(await retries()).toBe(0);
  });

  it('is replaced only once: the second death is a 502', async () => {
    upstream.script = (turn) => turn.reset();
    expect((await ask('GET')).status).toBe(502);
    expect(carried()).toEqual([1, 0]);
  });

  it('is not replaced when a byte of the response had come', async () => {
    onReuse = async (turn) => {
      await turn.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello');
      turn.socket.end();
    };
    expect((await ask('GET')).complete).toBe(false);
    expect(carried()).toEqual([1]);
  });

  it('is told from a new one, which is never replaced', async () => {
    for (const socket of upstream.sockets) socket.destroy();
    await gateway.idle();
    upstream.script = (turn) => turn.reset();
    // The first may still meet the old connection; the second certainly meets a new one.
    await ask('GET');
    const before = upstream.requests.length;
    expect((await ask('GET')).status).toBe(502);
    expect(upstream.requests.length).toBe(before + 1);
  });
});

describe('a kept connection that lives', () => {
  it('carries the next request', async () => {
    onReuse = (turn) => void turn.answer('{"reused":true}');
    expect((await ask('GET')).json()).toEqual({ reused: true });
    expect((await ask('POST', SIZED, '{}')).json()).toEqual({ reused: true });
    expect(upstream.connections).toBe(1);
  });

  it.each([
    ['sized', SIZED, '{}'],
    ['chunked', CHUNKED, CHUNKED_BODY],
    ['empty chunked', CHUNKED, '0\r\n\r\n'],
  ])('carries %s uploads and gathers no listeners', async (_form, fields, body) => {
    onReuse = (turn) => void turn.answer('{}');
    for (let at = 0; at < 15; at++) expect((await ask('POST', fields, body)).status).toBe(200);
    expect(upstream.connections).toBe(1);
    // Node warns on stderr from the eleventh listener of one kind on: each would hold its request and body.
    expect(gateway.stderr).toBe('');
  });

  it('is not kept behind HEAD: content that comes late reaches nobody', async () => {
    onReuse = (turn) => void turn.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n');
    const client = new RawClient(gateway.port).send(head('HEAD', `/${provider}/v1/x`));
    await until('the second request', () => upstream.requests.length === 2 || undefined);
    await gateway.idle();
    const late = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil';
    for (const socket of upstream.sockets) socket.write(late);
    expect((await ask('GET')).json()).toEqual({ fresh: true });
    expect(carried()).toEqual([1, 0]);
    client.close();
  });

  it('is not kept when the provider says close', async () => {
    onReuse = (turn) => void turn.answer('{}', ['connection: close']);
    await ask('GET');
    expect((await ask('GET')).json()).toEqual({ fresh: true });
    expect(upstream.connections).toBe(2);
  });
});
