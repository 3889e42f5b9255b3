import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chunkOf } from '../support/chunked.ts';
import { until } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';
import { isExcepted } from '../support/transport-exceptions.ts';

const DIALECTS = ['openai', 'anthropic'] as const;
type Dialect = (typeof DIALECTS)[number];
const EVENT = 'data: {"choices":[]}\n\n';
const SIZED = ['content-length: 1000'];
const JSON_TYPE = ['content-type: application/json', 'transfer-encoding: chunked'];
const EVENTS = ['content-type: text/event-stream', 'transfer-encoding: chunked'];
const PACKED_EVENTS = [...EVENTS, 'content-encoding: br'];

let upstream: ScriptedUpstream;
/** For everything but silence: no timeout of its own can be mistaken for what the upstream did. */
let patient: Gateway;
/** For silence between two chunks. */
let hasty: Gateway;

beforeAll(async () => {
  upstream = await startUpstream(() => {});
  const authority = `"http://127.0.0.1:${upstream.port}"`;
  const config = `[provider_authorities]\nopenai = ${authority}\nanthropic = ${authority}\n`;
  patient = await startGateway({ config: `workers = 1\naccess_log = true\n${config}` });
  hasty = await startGateway({
    config: `workers = 1\naccess_log = true\nidle_timeout_secs = 0.3\n${config}`,
  });
});
afterAll(async () => {
  await patient.stop();
  await hasty.stop();
  await upstream.close();
});

interface Ending {
  readonly gateway: () => Gateway;
  readonly stop: (turn: Turn) => void | Promise<void>;
  readonly outcome: string;
  readonly code: string;
}

const CUT = { outcome: 'upstream_cut', code: 'upstream_unreachable' };

/** How an upstream can stop in the middle of a body. */
const ENDINGS: Readonly<Record<string, Ending>> = {
  'ends the connection': { gateway: () => patient, stop: (turn) => void turn.socket.end(), ...CUT },
  'resets the connection': { gateway: () => patient, stop: (turn) => turn.reset(), ...CUT },
  stalls: { gateway: () => hasty, stop: () => {}, outcome: 'timeout', code: 'upstream_timeout' },
};

/** What may break chunked framing in the middle of a body. */
const BROKEN: Readonly<Record<string, Ending>> = {
  'sends a bad chunk size': {
    gateway: () => patient,
    stop: (turn) => turn.write('zz\r\n'),
    ...CUT,
  },
  'overruns a chunk': { gateway: () => patient, stop: (turn) => turn.write('0\rX'), ...CUT },
};

/** Relays a response that stops behind `sent`, once the client has read all of that. */
async function cutBehind(
  { gateway, stop }: Ending,
  dialect: Dialect,
  fields: readonly string[],
  sent: string,
): Promise<RawResponse> {
  const client = new RawClient(gateway().port);
  upstream.script = async (turn) => {
    const lines = fields.map((line) => `${line}\r\n`).join('');
    await turn.write(`HTTP/1.1 200 OK\r\n${lines}\r\n${fields === SIZED ? sent : chunkOf(sent)}`);
    await until('the client to have read it', () =>
      Buffer.concat(client.received).toString('latin1').includes(sent),
    );
    await stop(turn);
  };
  client.send(head('GET', `/${dialect}/v1/x`));
  const response = await client.response();
  client.close();
  return response;
}

/** The access line of the exchange that was just settled. */
async function lastOutcome(gateway: Gateway): Promise<unknown> {
  const total = (await gateway.idle()).get('ai_requests_total');
  await gateway.waitForLog(() => gateway.access().length === total);
  return gateway.access().at(-1)?.['outcome'];
}

describe.each(Object.entries({ ...ENDINGS, ...BROKEN }))('when the upstream %s', (_how, ending) => {
  it('a chunked body has no last chunk', async () => {
    const response = await cutBehind(ending, 'openai', JSON_TYPE, '{"a":1}');
    expect(response).toMatchObject({ status: 200, complete: false });
    expect(response.body.toString()).toBe('{"a":1}');
    expect(await lastOutcome(ending.gateway())).toBe(ending.outcome);
  });

  it.each(DIALECTS)('an event stream between events gets one %s error event', async (dialect) => {
    const response = await cutBehind(ending, dialect, EVENTS, EVENT + EVENT);
    expect(response).toMatchObject({ status: 200, complete: false });
    const text = response.body.toString();
    expect(text.startsWith(EVENT + EVENT)).toBe(true);
    const added = text.slice(2 * EVENT.length);
    const data = added.slice(added.indexOf('{')).trimEnd();
    expect(data).toMatch(/cut in the middle: the provider (?:broke|stopped)[^"]*The provider is /);
    if (dialect === 'openai') {
      expect(added).toBe(`data: ${data}\n\n`);
      expect(JSON.parse(data)).toMatchObject({ error: { code: ending.code } });
    } else {
      expect(added).toBe(`event: error\ndata: ${data}\n\n`);
      const request_id = response.field('x-sluice-request-id');
      expect(JSON.parse(data)).toMatchObject({ type: 'error', request_id });
    }
    expect(await lastOutcome(ending.gateway())).toBe(ending.outcome);
  });

  it.each([
    ['inside a line', EVENTS, `${EVENT}data: {"choi`],
    ['before the empty line', EVENTS, `${EVENT}data: {}\n`],
    ['before the empty line of CRLF', EVENTS, `${EVENT}data: {}\r\n`],
    ['whose bytes are compressed', PACKED_EVENTS, 'squeezed\n\n'],
  ])('an event stream %s gets nothing added', async (_where, fields, sent) => {
    const response = await cutBehind(ending, 'openai', fields, sent);
    expect(response).toMatchObject({ status: 200, complete: false });
    expect(response.body.toString()).toBe(sent);
  });

  it('the upstream connection is closed and nothing stays in flight', async () => {
    await cutBehind(ending, 'openai', EVENTS, EVENT);
    const seen = await upstream.request(upstream.requests.length - 1);
    await until('the upstream connection to close', () => seen.peerClosed);
    const metrics = await ending.gateway().idle();
    expect(metrics.get('ai_active_streams')).toBe(0);
  });
});

describe.each(Object.entries(ENDINGS))('when the upstream %s', (_how, ending) => {
  it('a sized body stays short of its length', async () => {
    const response = await cutBehind(ending, 'openai', SIZED, 'hello');
    expect(response).toMatchObject({ status: 200, complete: false });
    expect(response.body.toString()).toBe('hello');
    expect(await lastOutcome(ending.gateway())).toBe(ending.outcome);
  });
});

describe('a body that only the end of its connection delimits', () => {
  const relayed = async (stop: (turn: Turn) => void): Promise<RawResponse> => {
    const client = new RawClient(patient.port);
    upstream.script = async (turn) => {
      await turn.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n');
      await turn.write(EVENT);
      await until('the client to have read it', () =>
        Buffer.concat(client.received).toString('latin1').includes(EVENT),
      );
      stop(turn);
    };
    return await client.send(head('GET', '/openai/v1/x')).response();
  };

  it('is whole when the provider ends it', async () => {
    const response = await relayed((turn) => turn.socket.end());
    expect([response.complete, response.body.toString()]).toEqual([true, EVENT]);
  });

  it.skipIf(isExcepted("a content that only the connection's end delimits is reset"))(
    'is cut when the provider resets it',
    async () => {
      const response = await relayed((turn) => turn.reset());
      expect(response.complete).toBe(false);
      const line = await patient.waitForLog(
        ({ request_id: id }) => id === response.field('x-sluice-request-id'),
      );
      expect(line).toMatchObject({ outcome: 'upstream_cut', failure: 'ECONNRESET' });
    },
  );
});

it.each([
  'gzip, chunked',
  'gzip',
])('a transfer coding of %s is not taken for plain bytes', async (coding) => {
  upstream.script = async (turn) => {
    await turn.write(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: ${coding}\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
    );
    turn.socket.end();
  };
  const response = await new RawClient(patient.port).send(head('GET', '/openai/v1/x')).response();
  expect(response.status).toBe(502);
  expect(response.json()).toMatchObject({ error: { code: 'upstream_unreachable' } });
});

it('a provider that answers without reading the upload is heard to its end', async () => {
  const events = 8;
  upstream.script = async (turn) => {
    turn.socket.pause();
    await turn.stream();
    for (let i = 0; i < events; i++) {
      await turn.chunk(EVENT);
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    await turn.lastChunk();
  };
  // Its limit for a silence is less than all of it takes, and much more than a pause.
  const gateway = await startGateway({
    config: `workers = 1\nidle_timeout_secs = 1\n${authorities({ openai: upstream.port })}`,
  });
  const client = new RawClient(gateway.port);
  client.send(head('POST', '/openai/v1/x', ['Content-Length: 40000000']));
  client.send(Buffer.alloc(30_000_000));
  const response = await client.response();
  expect([response.complete, response.body.toString()]).toEqual([true, EVENT.repeat(events)]);
  client.close();
  await gateway.stop();
});
