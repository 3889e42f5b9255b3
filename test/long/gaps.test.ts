import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { KnownBytes } from '../support/known-bytes.ts';
import { head, RawClient, type RawResponse } from '../support/raw-client.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

// Gaps in a stream and before the first byte of a GET are in slow-readers.test.ts.

/** Three times what the front end's own timers last at most. */
const GAP_MS = 30_000;
const UPLOAD = new KnownBytes(1_000_000, 9);

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(act);
  gateway = await startGateway({
    config: `workers = 2\n${authorities({ openai: upstream.port })}`,
  });
});
afterAll(async () => {
  expect(gateway.stderr).toBe('');
  await gateway.stop();
  await upstream.close();
});

async function act(turn: Turn): Promise<void> {
  const how = turn.request.target.split('/').pop();
  await turn.bodyDone();
  if (how === 'late') await pause(GAP_MS);
  if (how === 'sized') {
    await turn.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234');
    await pause(GAP_MS);
    await turn.write('56789');
  } else {
    await turn.answer(turn.request.sha256);
  }
}

async function ask(bytes: string | Buffer, client = new RawClient(gateway.port)) {
  client.send(bytes);
  const response = await client.response();
  client.close();
  return response;
}

interface Case {
  readonly run: () => Promise<RawResponse>;
  readonly body: string;
}

const CHUNKED = ['Transfer-Encoding: chunked'];

const GAPS: Readonly<Record<string, Case>> = {
  'in a sized body': { run: () => ask(head('GET', '/v1/sized')), body: '0123456789' },
  'before the first byte of an answer to a sized POST': {
    run: () =>
      ask(
        Buffer.concat([
          Buffer.from(head('POST', '/v1/late', [`Content-Length: ${UPLOAD.length}`])),
          UPLOAD.slice(0, UPLOAD.length),
        ]),
      ),
    body: UPLOAD.sha256(),
  },
  'before the first byte of an answer to a chunked POST in one piece': {
    run: () => ask(`${head('POST', '/v1/late', CHUNKED)}2\r\n{}\r\n0\r\n\r\n`),
    body: '44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a',
  },
};

describe('30 s of silence', () => {
  // All at once: it is the silence that takes the time.
  const running = new Map<string, Promise<RawResponse>>();
  beforeAll(() => {
    for (const [where, { run }] of Object.entries(GAPS)) {
      const response = run();
      response.catch(() => {});
      running.set(where, response);
    }
  });

  it.each(Object.entries(GAPS))('%s is survived', async (where, { body }) => {
    const response = await running.get(where);
    expect(response).toMatchObject({ status: 200, complete: true });
    expect(response?.body.toString()).toBe(body);
  });
});
