import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../support/conditions.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { head } from '../support/raw-client.ts';
import {
  leavingAt,
  type ReadOptions,
  readResponse,
  stopping,
  stuttering,
} from '../support/response-reader.ts';
import {
  type AskedBody,
  answerBody,
  BODY_BYTES,
  bodyHash,
  bodyTarget,
  FORMS,
  PIECES,
} from '../support/scripted-bodies.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';
import { type TlsFiles, tlsFiles } from '../support/tls-files.ts';

// Rules of the platform facts, section B, seen from outside (uWS C++ v20.67/68, uws-pack 20.0.8). Each of them was
// damage on the wire when it was broken. What takes 200 runs or minutes is in test/long/edge-writer.test.ts.

const WHOLE = bodyHash(BODY_BYTES);
let upstream: ScriptedUpstream;
let files: TlsFiles;
let plain: Gateway;
let tls: Gateway;

/** Between the two parts of `/v1/silence/FORM`, whose reader is slow before, nothing comes for 14 s. */
const SILENCE = '/v1/silence/';
const SLOW_BYTES = 8_000_000;
const PIECE = Buffer.alloc(40_000);

async function answer(turn: Turn): Promise<void> {
  const { target } = turn.request;
  if (!target.startsWith(SILENCE)) return await answerBody(turn);
  await turn.bodyDone();
  const sized = target.endsWith('sized');
  if (sized) await turn.write(`HTTP/1.1 200 OK\r\ncontent-length: ${SLOW_BYTES + 6}\r\n\r\n`);
  else await turn.stream();
  for (let sent = 0; sent < SLOW_BYTES; sent += PIECE.length)
    await (sized ? turn.write(PIECE) : turn.chunk(PIECE));
  await pause(14_000);
  await (sized ? turn.write('behind') : turn.chunk('behind'));
  if (!sized) await turn.lastChunk();
}

beforeAll(async () => {
  files = tlsFiles();
  upstream = await startUpstream(answer);
  const config = `workers = 1\n${authorities({ openai: upstream.port })}`;
  plain = await startGateway({ config });
  tls = await startGateway({ config: `${files.config}${config}` });
});
afterEach(async () => {
  await upstream.noneBusy();
  for (const gateway of [plain, tls]) {
    await gateway.idle();
    // Every write outside of a cork prints a line from native code.
    expect(gateway.stderr).toBe('');
  }
});
afterAll(async () => {
  await plain.stop();
  await tls.stop();
  await upstream.close();
  files.remove();
});

type Connection = 'plain' | 'TLS';
const CONNECTIONS: readonly Connection[] = ['plain', 'TLS'];

const send = (over: Connection, request: string, options: ReadOptions) =>
  over === 'plain'
    ? readResponse(plain.port, request, options)
    : readResponse(tls.port, request, { ...options, ca: files.ca });

describe.each(CONNECTIONS)('over %s connections', (over) => {
  describe.each(FORMS)('a %s response', (form) => {
    const ask = (asked: Omit<AskedBody, 'form'>, options: ReadOptions) =>
      send(over, head('GET', bodyTarget({ form, ...asked })), options);

    it.each(PIECES)('in %s pieces arrives whole at a stuttering reader', async (pieces) => {
      const response = await ask({ bytes: BODY_BYTES, pieces }, { pace: stuttering(1) });
      expect(response).toMatchObject({ fault: null, complete: true, sha256: WHOLE });
      expect(response.field('content-length')).toBe(
        form === 'sized' ? String(BODY_BYTES) : undefined,
      );
      expect(response.field('transfer-encoding')).toBe(form === 'sized' ? undefined : 'chunked');
    });

    it('strands nothing when its reader was slow and its upstream falls silent', async () => {
      const response = await ask(
        { bytes: BODY_BYTES, quiet: true },
        { asleepMs: 1_000, pace: leavingAt(BODY_BYTES) },
      );
      expect(response).toMatchObject({ fault: null, complete: false, sha256: WHOLE });
    });
  });
});

// What one connection holds while its reader does not read is some 575 KB, with the kernel's send buffer bounded
// (SEND_BUFFER_BYTES): some of these lengths end in the very write that fills it. Other lengths are swept in test/long.
const FULL_LENGTHS = Array.from({ length: 101 }, (_, index) => 500_000 + index * 1_500);

it('a response that ends where the connection is just full strands nothing', async () => {
  const stranded: number[] = [];
  const none = (): null => null;
  await inLanes(FULL_LENGTHS, 32, none, async (bytes) => {
    const target = bodyTarget({ form: 'chunked', bytes, pieces: 'large', quiet: true });
    const options = { asleepMs: 700, pace: leavingAt(bytes) };
    const { sha256 } = await send('plain', head('GET', target), options);
    if (sha256 !== bodyHash(bytes)) stranded.push(bytes);
  });
  expect(stranded).toEqual([]);
});

// Without a last byte that waits for a cork of its own, the end is declared while the tail waits in the front end, whose
// 10 s timer then cuts: 17 of 241 chunked lengths, 8 of 241 sized ones. Where a connection is full differs a little.
it.concurrent('a message whose end waits 14 s for its reader arrives whole, wherever it ends', async () => {
  const asked = Array.from({ length: 200 }, (_, index) => 540_000 + index * 400).flatMap(
    (bytes): readonly AskedBody[] => [
      { form: 'chunked', bytes, pieces: 'small' },
      { form: 'sized', bytes, pieces: 'medium' },
    ],
  );
  const responses = await Promise.all(
    asked.map((body) => send('plain', head('GET', bodyTarget(body)), { asleepMs: 14_000 })),
  );
  const cut = responses.filter(({ complete }) => !complete).map(({ bodyBytes }) => bodyBytes);
  expect(cut).toEqual([]);
});

it.concurrent('a response lives through 14 s of silence behind a slow phase of its reader', async () => {
  const requests = FORMS.flatMap((form) => [
    head('GET', SILENCE + form),
    // Reading a body and writing share the socket's event mask and its timer.
    `${head('POST', SILENCE + form, ['Content-Length: 2'])}{}`,
  ]);
  // All at once: what takes the time is the silence.
  const responses = await Promise.all(
    CONNECTIONS.flatMap((over) =>
      requests.map((request) => send(over, request, { pace: stopping(1, 1_000) })),
    ),
  );
  expect(responses).toHaveLength(8);
  for (const response of responses)
    expect(response).toMatchObject({ fault: null, complete: true, bodyBytes: SLOW_BYTES + 6 });
});
