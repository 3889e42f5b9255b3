import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { chunkOf, LAST_CHUNK } from '../support/chunked.ts';
import { nextTurn } from '../support/conditions.ts';
import {
  cutAtRandom,
  FIXTURES_MISSING,
  type RecordedResponse,
  recordedBody,
  recordedRequests,
  recordedResponses,
  sha256,
} from '../support/fixtures.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { inLanes } from '../support/lanes.ts';
import { factOf, poolKeys, signingKeys, token } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import { CUTS } from '../support/recorded-cuts.ts';
import {
  expectedCounts,
  type RecordedUsage,
  withoutUsageEvents,
} from '../support/recorded-usage.ts';
import { type ScriptedUpstream, startUpstream, type Turn } from '../support/scripted-upstream.ts';

const LANES = 8;
const TOKEN = token();
const RESPONSES = recordedResponses() as readonly RecordedUsage[];
const TYPES: Readonly<Record<RecordedResponse['format'], string>> = {
  sse: 'text/event-stream',
  json: 'application/json',
  ndjson: 'application/x-ndjson',
};

/** The provider: plays the recording that the request's query names. */
async function replay(turn: Turn): Promise<void> {
  const query = new URLSearchParams(turn.request.target.split('?')[1]);
  const recorded = RESPONSES[Number(query.get('at') ?? -1)];
  const cut = CUTS.get(query.get('cut') ?? '');
  await turn.bodyDone();
  if (recorded === undefined || cut === undefined) return await turn.answer('{}');
  await turn.write(
    `HTTP/1.1 ${recorded.status} R\r\ncontent-type: ${recorded.contentType ?? TYPES[recorded.format]}\r\n` +
      'transfer-encoding: chunked\r\n\r\n',
  );
  for (const part of cut(recordedBody(recorded), recorded)) {
    await turn.chunk(part);
    await nextTurn();
  }
  await turn.lastChunk();
}

let gateway: Gateway;
let upstream: ScriptedUpstream;

// Both speak OpenAI's dialect; what usage costs to be told is the only difference.
const ASKED_FOR = 'recorded';
const SENT_UNASKED = ['/groq/openai', '/told'];

beforeAll(async () => {
  upstream = await startUpstream(replay, { keepBodies: true });
  const { port } = upstream;
  gateway = await startGateway({
    config:
      'workers = 2\nmanaged_endpoints = ["/other"]\n' +
      authorities({ [ASKED_FOR]: port, groq: port, told: port }) +
      '[provider_stream_usage]\ntold = "sent"\n' +
      poolKeys({ [ASKED_FOR]: 'sk-pool', groq: 'sk-pool', told: 'sk-pool' }) +
      signingKeys(),
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

/** A 200 whose stream holds nothing else. */
const ONLY_AN_ERROR: ReadonlySet<string> = new Set([
  'responses/openrouter/chat-reqllm-meta-llama-llama-3-3-70b-instruct-free-object-streaming.sse',
]);

/** What a pool key is refused with is not the caller's: it gets 502. */
const KEY_REFUSALS: ReadonlySet<number> = new Set([401, 402, 403]);

const ENDPOINTS: Readonly<Record<string, string>> = {
  chat: '/v1/chat/completions',
  responses: '/v1/responses',
  anthropic: '/v1/messages',
};

const PLAIN = '{"model":"asked","stream":true}';
const ASKING = '{"model":"asked","stream":true,"stream_options":{"include_usage":true}}';

describe.each([...CUTS.keys()])('recorded responses, %s', (cut) => {
  it('yield exactly the model and the usage of their index, and pass byte for byte', async () => {
    const wrong: unknown[] = [];
    const passed = [...RESPONSES.entries()].filter(([, { status }]) => !KEY_REFUSALS.has(status));
    await inLanes(passed, LANES, connection, async ([at, recorded], client) => {
      const query = new URLSearchParams({ at: String(at), cut });
      const endpoint = ENDPOINTS[recorded.dialect] ?? '/other';
      client.send(post(TOKEN, `/${ASKED_FOR}${endpoint}?${query}`, ASKING));
      const response = await client.response();
      const fact = await factOf(gateway, response.field('x-sluice-request-id'));
      const expected = expectedCounts(recorded);
      const isNothing = Object.values(expected).every((count) => count === null);
      const none = recorded.status >= 300 || ONLY_AN_ERROR.has(recorded.file);
      const source = isNothing ? (none ? 'none' : 'estimated') : 'reported';
      const found = {
        same: response.sha256 === recorded.sha256,
        model: fact['model'],
        source: fact['usage_source'],
        status: fact['upstream_status'],
        outcome: fact['outcome'],
        counts: isNothing ? expected : counts(fact),
      };
      const right = {
        same: true,
        model: recorded.model ?? recorded.model_version,
        source,
        status: recorded.status,
        outcome: 'complete',
        counts: expected,
      };
      if (JSON.stringify(found) !== JSON.stringify(right))
        wrong.push({ file: recorded.file, found, right });
    });
    expect(wrong).toEqual([]);
    expect(RESPONSES.length).toBeGreaterThan(300);
  });

  it('lose that one event where the client did not ask for it, and no other byte', async () => {
    const wrong: string[] = [];
    const streams = [...RESPONSES.entries()].filter(
      ([, { dialect, format }]) => dialect === 'chat' && format === 'sse',
    );
    let withheld = 0;
    await inLanes(streams, LANES, connection, async ([at, recorded], client) => {
      const body = recordedBody(recorded);
      const expected = withoutUsageEvents(body);
      const query = new URLSearchParams({ at: String(at), cut });
      client.send(post(TOKEN, `/${ASKED_FOR}${CHAT}?${query}`, PLAIN));
      const response = await client.response();
      if (expected.length < body.length) withheld++;
      if (!response.complete || response.sha256 !== sha256(expected)) wrong.push(recorded.file);
      const fact = await factOf(gateway, response.field('x-sluice-request-id'));
      const right = expectedCounts(recorded);
      const isReported = Object.values(right).some((count) => count !== null);
      if (isReported && JSON.stringify(counts(fact)) !== JSON.stringify(right))
        wrong.push(`${recorded.file}: counts`);
    });
    expect(wrong).toEqual([]);
    expect(withheld).toBeGreaterThan(10);
  });
});

it.each(SENT_UNASKED)('%s sends usage unasked: nothing is edited or withheld', async (base) => {
  const wrong: string[] = [];
  const streams = [...RESPONSES.entries()].filter(([, { format }]) => format === 'sse');
  await inLanes(streams, LANES, connection, async ([at, recorded], client) => {
    const query = new URLSearchParams({ at: String(at), cut: 'cut at random' });
    const target = `${CHAT}?${query}&to=${base}`;
    client.send(post(TOKEN, `${base}${target}`, PLAIN));
    const response = await client.response();
    const seen = upstream.requests.findLast((request) => request.target.endsWith(target));
    if (response.sha256 !== recorded.sha256 || seen?.body.toString() !== PLAIN)
      wrong.push(recorded.file);
  });
  expect(wrong).toEqual([]);
});

function counts(fact: Readonly<Record<string, unknown>>) {
  return {
    inputTokens: fact['input_tokens'],
    outputTokens: fact['output_tokens'],
    cacheReadTokens: fact['cache_read_tokens'],
    cacheWriteTokens: fact['cache_write_tokens'],
    reasoningTokens: fact['reasoning_tokens'],
  };
}

describe('recorded requests to a provider that must be asked', () => {
  /** What must arrive: the client's body, and the option if it streams. */
  function asked(body: Buffer): unknown {
    const value = JSON.parse(body.toString()) as Record<string, unknown>;
    if (value['stream'] !== true) return value;
    const options = value['stream_options'];
    const kept = typeof options === 'object' && options !== null ? options : {};
    return { ...value, stream_options: { ...kept, include_usage: true } };
  }

  const requests = recordedRequests().filter(({ file }) => file.endsWith('.json'));

  it.each([
    'in one piece',
    'in pieces',
    'chunked',
  ])('arrive as themselves plus the option, at the declared length, sent %s', async (form) => {
    const wrong: string[] = [];
    let edited = 0;
    await inLanes([...requests.entries()], LANES, connection, async ([at, recorded], client) => {
      const body = recordedBody(recorded);
      const target = `${CHAT}?mark=${form.replaceAll(' ', '')}-${at}`;
      const head = `POST /${ASKED_FOR}${target} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${TOKEN}\r\n`;
      if (form === 'in one piece') client.send(post(TOKEN, `/${ASKED_FOR}${target}`, body));
      else if (form === 'in pieces') {
        client.send(`${head}Content-Length: ${body.length}\r\n\r\n`);
        for (const part of cutAtRandom(body, at)) await separately(client, part);
      } else {
        client.send(`${head}Transfer-Encoding: chunked\r\n\r\n`);
        for (const part of cutAtRandom(body, at)) {
          await separately(client, chunkOf(part));
        }
        client.send(LAST_CHUNK);
      }
      const response = await client.response();
      const seen = upstream.requests.findLast((request) => request.target === target);
      const declared = seen?.field('content-length');
      const expected = asked(body);
      const arrived = seen === undefined ? null : JSON.parse(seen.body.toString());
      if (JSON.stringify(expected) !== JSON.stringify(JSON.parse(body.toString()))) edited++;
      const isFramed =
        form === 'chunked' ? declared === undefined : declared === String(seen?.body.length);
      if (response.status !== 200 || !isFramed) wrong.push(`${recorded.file}: ${declared}`);
      try {
        expect(arrived).toEqual(expected);
      } catch {
        wrong.push(recorded.file);
      }
    });
    expect(wrong).toEqual([]);
    expect(edited).toBeGreaterThan(10);
  });
});

async function separately(client: RawClient, part: Buffer): Promise<void> {
  client.send(part);
  await nextTurn();
}
