import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/conditions.ts';
import { type DeafListener, startDeafListener } from '../support/deaf-listener.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

const EVENT = 'data: {"choices":[]}\n\n';
/** More than the kernel's buffers between the upstream and a client that does not read can take, in bytes. */
const FLOOD_BYTES = 64 * 1_048_576;
const BLOCK = Buffer.alloc(262_144, 'x');

let gateway: Gateway;
let upstream: ScriptedUpstream;
let deaf: DeafListener;

beforeAll(async () => {
  upstream = await startUpstream(act);
  deaf = await startDeafListener();
  // No timeout is shorter than the test's own: what frees the upstream is the client's leaving.
  gateway = await startGateway({
    config: `workers = 1\naccess_log = true\nconnect_timeout_secs = 600\n${authorities({ openai: upstream.port, deaf: deaf.port })}`,
  });
});
afterAll(async () => {
  expect(gateway.stderr).toBe('');
  deaf.close();
  await gateway.stop();
  await upstream.close();
});

/** The last segment of the target says how the upstream behaves. None of these ever ends by itself. */
async function act(turn: Turn): Promise<void> {
  const [, how = ''] = /\/([a-z-]+)$/.exec(turn.request.target) ?? [];
  if (how === 'silent') return;
  if (how === 'events') {
    await turn.stream();
    await turn.chunk(EVENT);
  } else if (how === 'half') {
    await turn.stream();
    await turn.chunk('data: {"cho');
  } else if (how === 'flood-chunked') {
    await turn.stream(['content-type: application/octet-stream']);
    while (!turn.socket.destroyed) await turn.chunk(BLOCK);
  } else if (how === 'flood-sized') {
    await turn.write(`HTTP/1.1 200 OK\r\ncontent-length: ${FLOOD_BYTES}\r\n\r\n`);
    for (let at = 0; at < FLOOD_BYTES && !turn.socket.destroyed; at += BLOCK.length)
      await turn.write(BLOCK);
  }
}

interface Phase {
  readonly bytes: string;
  /** Resolves when the exchange is where the client is to leave it. */
  readonly reached: (client: RawClient, request: () => Promise<unknown>) => Promise<unknown>;
  /** The client does not read. */
  readonly stalled?: boolean;
}

const uploaded = (bytes: number) => () =>
  until('the upload upstream', () => upstream.requests.at(-1)?.bodyBytes === bytes);
const readSome = (client: RawClient) => until('bytes', () => client.receivedBytes > 0);
const atUpstream = (_client: RawClient, request: () => Promise<unknown>) => request();
const CHUNKED = ['Transfer-Encoding: chunked'];

const PHASES: Readonly<Record<string, Phase>> = {
  'in the middle of a sized upload': {
    bytes: `${head('POST', '/v1/silent', ['Content-Length: 100'])}hello`,
    reached: uploaded(5),
  },
  'in the middle of a chunked upload': {
    bytes: `${head('POST', '/v1/silent', CHUNKED)}5\r\nhello\r\n`,
    reached: uploaded(5),
  },
  'while it waits for the head of a GET': { bytes: head('GET', '/v1/silent'), reached: atUpstream },
  'while it waits, its sized body sent': {
    bytes: `${head('POST', '/v1/silent', ['Content-Length: 5'])}hello`,
    reached: uploaded(5),
  },
  'while it waits, its chunked body sent in one piece': {
    bytes: `${head('POST', '/v1/silent', CHUNKED)}5\r\nhello\r\n0\r\n\r\n`,
    reached: uploaded(5),
  },
  'between two events': { bytes: head('GET', '/v1/events'), reached: readSome },
  'in the middle of an event': { bytes: head('GET', '/v1/half'), reached: readSome },
  'while a chunked response waits for it': {
    bytes: head('GET', '/v1/flood-chunked'),
    reached: blocked,
    stalled: true,
  },
  'while a sized response waits for it': {
    bytes: head('GET', '/v1/flood-sized'),
    reached: blocked,
    stalled: true,
  },
};

/** The upstream's socket takes no more: every buffer between it and the client is full. */
async function blocked(_client: RawClient, request: () => Promise<unknown>): Promise<void> {
  await request();
  let written = -1;
  await until('the upstream to be held back', async () => {
    const [socket] = [...upstream.sockets].filter(({ writableLength }) => writableLength > 0);
    const before = written;
    written = socket === undefined ? -1 : socket.bytesWritten - socket.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return written > 0 && written === before;
  });
}

describe.each(Object.entries(PHASES))('a client that leaves %s', (_where, phase) => {
  it.each(['FIN', 'RST'])('with a %s frees the upstream and settles once', async (how) => {
    const count = upstream.requests.length;
    const lines = gateway.access().length;
    const client = new RawClient(gateway.port, phase.stalled ? { onData: (s) => s.pause() } : {});
    client.send(phase.bytes);
    await phase.reached(client, () => upstream.request(count));
    const seen = await upstream.request(count);
    expect(seen.peerClosed).toBe(false);
    if (how === 'FIN') client.close();
    else client.socket.resetAndDestroy();
    await until('the upstream connection to close', () => seen.peerClosed);
    const metrics = await gateway.idle();
    await until('the access line', () => gateway.access().length > lines);
    expect(gateway.access().slice(lines)).toMatchObject([{ outcome: 'client_gone' }]);
    expect(metrics.get('ai_active_streams')).toBe(0);
    expect(metrics.sum('ai_exchanges_settled_total')).toBe(metrics.get('ai_requests_total'));
    expect(upstream.requests.length).toBe(count + 1);
  });
});

describe('a client that leaves', () => {
  it('before its body began never reaches the upstream', async () => {
    const count = upstream.requests.length;
    const client = new RawClient(gateway.port).send(head('POST', '/v1/x', ['Content-Length: 5']));
    const inFlight = async () => (await gateway.metrics()).get('ai_requests_in_flight') === 1;
    await until('the head to be admitted', inFlight);
    client.close();
    await gateway.idle();
    expect(upstream.requests.length).toBe(count);
  });

  it('while the gateway is still connecting settles at once', async () => {
    const client = new RawClient(gateway.port).send(head('GET', '/deaf/v1/x'));
    const inFlight = async () => (await gateway.metrics()).get('ai_requests_in_flight') === 1;
    await until('the head to be admitted', inFlight);
    client.close();
    await gateway.idle();
    const mine = () => gateway.access().filter(({ provider }) => provider === 'deaf');
    await until('the access line', () => mine().length > 0);
    expect(mine()).toMatchObject([{ outcome: 'client_gone', status: 0 }]);
  });

  it('behind a whole response changes nothing', async () => {
    const other = await startUpstream(async (turn) => await turn.answer('{}'));
    const second = await startGateway({
      config: `workers = 1\naccess_log = true\n${authorities({ openai: other.port })}`,
    });
    const client = new RawClient(second.port).send(head('GET', '/v1/x'));
    await client.response();
    client.close();
    await second.idle();
    await until('the access line', () => second.access().length > 0);
    expect(second.access()).toMatchObject([{ outcome: 'complete', status: 200 }]);
    await second.stop();
    await other.close();
  });

  it('takes only its own exchange with it', async () => {
    const stays = new RawClient(gateway.port).send(head('GET', '/v1/events'));
    await readSome(stays);
    const leaves = Array.from({ length: 10 }, () =>
      new RawClient(gateway.port).send(head('GET', '/v1/events')),
    );
    await until('all to stream', () => leaves.every(({ receivedBytes }) => receivedBytes > 0));
    for (const client of leaves) client.close();
    const one = async () => (await gateway.metrics()).get('ai_active_streams') === 1;
    await until('ten to be gone', one);
    expect(stays.closed).toBe(false);
    stays.close();
    await gateway.idle();
  });
});
