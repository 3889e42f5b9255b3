import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chunkOf, LAST_CHUNK } from '../support/chunked.ts';
import { nextTurn } from '../support/conditions.ts';
import {
  cutAtRandom,
  FIXTURES_MISSING,
  recordedBody,
  recordedRequests,
  recordedResponses,
  sha256,
} from '../support/fixtures.ts';
import { type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { head, RawClient } from '../support/raw-client.ts';
import { CUTS } from '../support/recorded-cuts.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

const LANES = 8;
const RESPONSES = recordedResponses();
const REQUESTS = recordedRequests();

/** What a client must get exactly so, repeated fields and spelling of values included. */
const END_TO_END: readonly (readonly [string, string])[] = [
  ['x-request-id', 'req-of-the-provider'],
  ['request-id', 'req_011CSHoEeqs5C35K2UUqR7Fy'],
  ['retry-after', '7'],
  ['retry-after-ms', '6750'],
  ['x-ratelimit-remaining-tokens', '149984'],
  ['anthropic-ratelimit-tokens-reset', '2026-01-27T12:00:01Z'],
  ['openai-processing-ms', '191'],
  ['set-cookie', '__cf_bm=a; path=/; HttpOnly'],
  ['set-cookie', '_cfuvid=b; path=/'],
  ['x-empty', ''],
  ['x-latin', 'caf\xe9'],
];

/** What ends at the gateway: hop-by-hop by name, by nomination, or because it is the gateway's own name space. */
const ENDS_HERE: readonly (readonly [string, string])[] = [
  ['connection', 'keep-alive, x-nominated'],
  ['keep-alive', 'timeout=60'],
  ['x-nominated', '1'],
  ['proxy-connection', 'keep-alive'],
  ['x-sluice-forged', '1'],
];

/** Written by the gateway or its front end. */
const OF_THE_GATEWAY = new Set([
  'date',
  'x-sluice-request-id',
  'content-length',
  'transfer-encoding',
]);

const lines = (fields: readonly (readonly [string, string])[]): string =>
  fields.map(([name, value]) => `${name}: ${value}\r\n`).join('');

/** The upstream's part of a replay: its request names the recording and the cut. */
async function replay(turn: Turn): Promise<void> {
  const query = new URLSearchParams(turn.request.target.split('?')[1]);
  const recorded = RESPONSES[Number(query.get('at'))];
  const cut = CUTS.get(query.get('cut') ?? '');
  await turn.bodyDone();
  if (recorded === undefined || cut === undefined) return await turn.answer('{}');
  const body = recordedBody(recorded);
  const type: readonly [string, string][] =
    recorded.contentType === null ? [] : [['content-type', recorded.contentType]];
  const fields = lines([...type, ...END_TO_END, ...ENDS_HERE]);
  const start = `HTTP/1.1 ${recorded.status} Recorded\r\n${fields}`;
  const parts = cut(body, recorded);
  if (query.get('form') === 'sized') {
    await turn.write(`${start}content-length: ${body.length}\r\n\r\n`);
    for (const part of parts) await separately(turn, part);
    return;
  }
  await turn.write(`${start}transfer-encoding: chunked\r\n\r\n`);
  const framed = Buffer.concat([...parts.map(chunkOf), Buffer.from(LAST_CHUNK)]);
  // Where chunks end and where reads end are different questions: cut once more, across the framing.
  for (const part of cutAtRandom(framed, framed.length)) await separately(turn, part);
}

async function separately(turn: Turn, part: Buffer): Promise<void> {
  await turn.write(part);
  await nextTurn();
}

let gateway: Gateway;
let upstream: ScriptedUpstream;

beforeAll(async () => {
  upstream = await startUpstream(replay);
  const providers = [...new Set([...RESPONSES, ...REQUESTS].map(({ provider }) => provider))];
  const rows = providers.map((name) => `${name} = "http://127.0.0.1:${upstream.port}"`);
  gateway = await startGateway({
    config: `workers = 2\n[provider_authorities]\n${rows.join('\n')}`,
  });
});
afterAll(async () => {
  await gateway.stop();
  await upstream.close();
});
beforeEach((ctx) => {
  if (FIXTURES_MISSING !== null) ctx.skip(FIXTURES_MISSING);
});

const connection = (): RawClient => new RawClient(gateway.port);

describe.each(['chunked', 'sized'])('recorded responses sent %s', (form) => {
  it.each([...CUTS.keys()])('arrive byte for byte, %s', async (cut) => {
    const wrong: string[] = [];
    const entries = [...RESPONSES.entries()];
    await inLanes(entries, LANES, connection, async ([at, recorded], client) => {
      const query = new URLSearchParams({ at: String(at), cut, form });
      client.send(head('GET', `/${recorded.provider}/replay?${query}`));
      const response = await client.response();
      const same = response.status === recorded.status && response.sha256 === recorded.sha256;
      if (!same || !response.complete || response.body.length !== recorded.bytes) {
        wrong.push(`${recorded.file}: ${response.status}, ${response.body.length} bytes`);
      }
    });
    expect(wrong).toEqual([]);
    expect(entries.length).toBeGreaterThan(300);
  });

  it('keep their framing and every end-to-end field, and lose the rest', async () => {
    const client = connection();
    for (const [at, recorded] of RESPONSES.entries()) {
      if (at % 8 !== 0) continue;
      const query = new URLSearchParams({ at: String(at), cut: 'as recorded', form });
      client.send(head('GET', `/${recorded.provider}/replay?${query}`));
      const response = await client.response();
      const type = recorded.contentType === null ? [] : [['content-type', recorded.contentType]];
      const relayed = response.fields.filter(([name]) => !OF_THE_GATEWAY.has(name));
      expect(relayed).toEqual([...type, ...END_TO_END]);
      const length = form === 'sized' ? String(recorded.bytes) : undefined;
      expect(response.field('content-length')).toBe(length);
      expect(response.field('transfer-encoding')).toBe(form === 'sized' ? undefined : 'chunked');
    }
  });
});

describe('recorded requests', () => {
  it.each(['sized', 'chunked'])('arrive upstream byte for byte when sent %s', async (form) => {
    const wrong: string[] = [];
    await inLanes([...REQUESTS.entries()], LANES, connection, async ([at, recorded], client) => {
      const body = recordedBody(recorded);
      const target = `${recorded.endpoint}?mark=${form}-${at}`;
      const framing =
        form === 'sized' ? `Content-Length: ${body.length}` : 'Transfer-Encoding: chunked';
      client.send(
        head('POST', `/${recorded.provider}${target}`, ['Content-Type: application/json', framing]),
      );
      if (form === 'sized') for (const part of cutAtRandom(body, at)) client.send(part);
      else for (const part of cutAtRandom(body, at)) client.send(chunkOf(part));
      if (form === 'chunked') client.send(LAST_CHUNK);
      const response = await client.response();
      const seen = upstream.requests.find((request) => request.target === target);
      const length = form === 'sized' ? String(body.length) : undefined;
      const framed = seen?.field('content-length') === length;
      if (response.status !== 200 || seen?.sha256 !== recorded.sha256 || !framed) {
        wrong.push(`${recorded.file}: ${response.status}, ${seen?.bodyBytes} bytes upstream`);
      }
    });
    expect(wrong).toEqual([]);
    expect(REQUESTS.length).toBeGreaterThan(100);
  });

  it('are the bytes that the index says they are', () => {
    const altered = REQUESTS.filter(
      (recorded) => sha256(recordedBody(recorded)) !== recorded.sha256,
    );
    expect(altered).toEqual([]);
  });
});
