import { connect } from 'node:net';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { token } from '../support/managed.ts';
import {
  type Act,
  answers,
  type RoutedScene,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

// What the providers are asked for is what counts here, and how much of a budget is held for it.
const TABLES = `rate_limit_rps = 0
[prices."openai/m"]
input = "0"
output = "1000"
[models."openai/m"]
max_output_tokens = 100_000
[prices."openai/short"]
input = "0"
output = "1000"
[models."openai/short"]
max_output_tokens = 2_000
[prices."groq/m"]
input = "0"
output = "1000"
[routes.chain]
targets = ["openai/m"]
fallbacks = ["groq/m"]
retries = 0
[policies.capped]
budget_usd_per_day = 50
cap_output = true
[policies.free]
budget_usd_per_day = 50
[policies.only]
cap_output = true
[keys.1]
policy = "capped"
[keys.2]
policy = "free"
[keys.3]
policy = "only"
`;

let scene: RoutedScene;
/** Bodies that came to each provider, as they came. */
const came: Record<string, string[]> = { openai: [], groq: [] };
const keeps =
  (provider: string, status = 200): Act =>
  async (turn) => {
    await turn.bodyDone();
    came[provider]?.push(turn.request.body.toString());
    await answers(status, WHOLE)(turn);
  };

beforeAll(async () => {
  scene = await startRoutedScene(['openai', 'groq'], TABLES, {}, 2);
});
afterAll(async () => await scene.stop());

const key = (id: bigint): string => token({ keyId: id });
const MESSAGES = [{ role: 'user' as const, content: 'hi' }];
const sdk = (id: bigint, path = '/v1') =>
  new OpenAI({ apiKey: key(id), baseURL: `${scene.gateway.origin}${path}`, maxRetries: 0 });

/** The one body that a provider got for what is done. */
async function bodyOf(provider: string, ask: () => Promise<unknown>): Promise<string> {
  scene.plays({ openai: keeps('openai'), groq: keeps('groq') });
  came[provider] = [];
  await ask();
  expect(came[provider]).toHaveLength(1);
  return came[provider]?.[0] ?? '';
}

describe.each([
  ['routed', '/v1'],
  ['relay', '/openai/v1'],
] as const)('cap_output on the %s lane', (_lane, path) => {
  test('what OpenAI’s SDK asks for without a limit leaves with the one that is reserved for it', async () => {
    const body = await bodyOf('openai', () =>
      sdk(1n, path).chat.completions.create({ model: 'm', messages: MESSAGES }),
    );
    const asked = JSON.stringify({ model: 'm', messages: MESSAGES });
    expect(body).toBe(`${asked.slice(0, -1)},"max_completion_tokens":8192}`);
  });

  test('a model that writes less is asked for what it can', async () => {
    const body = await bodyOf('openai', () =>
      sdk(1n, path).chat.completions.create({ model: 'short', messages: MESSAGES }),
    );
    expect(JSON.parse(body)).toMatchObject({ max_completion_tokens: 2_000 });
  });

  test('of a stream, too, and its usage is asked for beside it', async () => {
    const body = await bodyOf('openai', () =>
      sdk(1n, path)
        .chat.completions.create({ model: 'm', messages: MESSAGES, stream: true })
        .withResponse(),
    );
    expect(JSON.parse(body)).toMatchObject({
      stream_options: { include_usage: true },
      max_completion_tokens: 8_192,
    });
  });

  test('the Responses API has its own field for it', async () => {
    const body = await bodyOf('openai', () =>
      sdk(1n, path).responses.create({ model: 'm', input: 'hi' }),
    );
    expect(JSON.parse(body)).toEqual({ model: 'm', input: 'hi', max_output_tokens: 8_192 });
  });

  test.each([
    ['max_tokens', { max_tokens: 20_000 }],
    ['max_completion_tokens', { max_completion_tokens: 7 }],
  ])('a limit that the caller says (%s) goes as it came', async (_field, limit) => {
    const asked = { model: 'm', messages: MESSAGES, ...limit };
    const body = await bodyOf('openai', () => sdk(1n, path).chat.completions.create(asked));
    expect(body).toBe(JSON.stringify(asked));
  });

  test('nothing is put in for keys whose policy does not say it', async () => {
    const asked = { model: 'm', messages: MESSAGES };
    const body = await bodyOf('openai', () => sdk(2n, path).chat.completions.create(asked));
    expect(body).toBe(JSON.stringify(asked));
  });

  test('without a budget the answer is limited all the same, and a model without a price is served', async () => {
    const asked = { model: 'nobody-priced', messages: MESSAGES };
    const body = await bodyOf('openai', () => sdk(3n, path).chat.completions.create(asked));
    expect(JSON.parse(body)).toEqual({ ...asked, max_completion_tokens: 8_192 });
  });

  test.each([
    ['a declared length', false],
    ['chunks', true],
  ])('a body that comes in pieces, with %s, has it at its end, and the length is true', async (_how, isChunked) => {
    const asked = JSON.stringify({ model: 'm', messages: MESSAGES, more: 'x'.repeat(300_000) });
    const body = await bodyOf('openai', () => upload(path, [asked], isChunked));
    expect(JSON.parse(body)).toEqual({ ...JSON.parse(asked), max_completion_tokens: 8_192 });
  });
});

test('each target of a route is asked in its own spelling', async () => {
  scene.plays({ openai: keeps('openai', 500), groq: keeps('groq') });
  Object.assign(came, { openai: [], groq: [] });
  await sdk(1n).chat.completions.create({ model: 'chain', messages: MESSAGES });
  expect(JSON.parse(came['openai']?.[0] ?? '')).toMatchObject({ max_completion_tokens: 8_192 });
  const last = JSON.parse(came['groq']?.[0] ?? '') as object;
  expect(last).toMatchObject({ model: 'm', max_tokens: 8_192 });
  expect(last).not.toHaveProperty('max_completion_tokens');
});

test('what cannot be limited any more, because its end has left behind much white space, has room for all that its model writes or is refused', async () => {
  scene.plays({ openai: keeps('openai') });
  const asked = JSON.stringify({ model: 'm', messages: MESSAGES, more: 'x'.repeat(300_000) });
  // 100,000 tokens at a thousandth of a dollar are more than the 50 dollars that there are.
  expect(await upload('/openai/v1', [asked, ' '.repeat(100)], true)).toMatch(/^HTTP\/1\.1 402 /);
});

/** Sends a body in pieces, each behind the one before it has been taken. @returns the answer's beginning */
async function upload(path: string, pieces: readonly string[], isChunked: boolean) {
  const socket = connect(scene.gateway.port, '127.0.0.1');
  const bytes = pieces.join('').length;
  const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${bytes}`;
  socket.write(
    `POST ${path}/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key(1n)}\r\ncontent-type: application/json\r\n${framing}\r\nconnection: close\r\n\r\n`,
  );
  for (const piece of pieces) {
    const framed = isChunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece;
    await new Promise((resolve) => socket.write(framed, resolve));
    // All of it has been read by the gateway before the next one is written.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (isChunked) socket.write('0\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}
