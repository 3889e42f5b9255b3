import { connect } from 'node:net';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  resets,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

const MESSAGE = JSON.stringify({
  id: 'm',
  type: 'message',
  role: 'assistant',
  model: 'm',
  content: [{ type: 'text', text: 'hi' }],
  usage: { input_tokens: 1, output_tokens: 1 },
});

// No breaker: within its window it may see failures alone, which several tests want to be told.
const TABLES = `breaker_failures = 0
rate_limit_rps = 0
[routes.chat]
targets = ["openai/gpt-4o"]
fallbacks = ["groq/llama"]
retries = 0
[policies.both]
tpm = 5000
max_in_flight = 2
[keys.8]
policy = "both"
[policies.few]
rpm = 5
[policies.tokens]
tpm = 20000
[policies.two]
max_in_flight = 2
[policies.one]
max_in_flight = 1
[policies.soft]
rpm = 2
mode = "warn"
[policies.house]
rpm = 4
[keys.1]
policy = "few"
[keys.2]
policy = "few"
[keys.3]
policy = "tokens"
[keys.4]
policy = "two"
[keys.9]
policy = "one"
[keys.5]
policy = "soft"
[keys.6]
policy = "few"
[keys.7]
policy = "few"
[tenants.50]
policy = "house"
[limits.models."groq/limited"]
rpm = 3
[limits.models."groq/narrow"]
rpm = 2
[limits.classes.agent]
rpm = 3
`;

let scene: RoutedScene;
let url: string;
const waiting: (() => void)[] = [];
const waits: Act = async (turn) => {
  await turn.bodyDone();
  await new Promise<void>((resolve) => waiting.push(resolve));
  await answers(200, WHOLE)(turn);
};

beforeAll(async () => {
  scene = await startRoutedScene(['openai', 'groq', 'anthropic', 'mistral'], TABLES, {}, 2);
  url = scene.gateway.origin;
});
afterAll(async () => await scene.stop());
beforeEach(() =>
  scene.plays({
    openai: answers(200, WHOLE, [
      'x-ratelimit-remaining-requests: 77',
      'openai-organization: theirs',
    ]),
    groq: answers(200, WHOLE),
    anthropic: answers(200, MESSAGE),
  }),
);

const CHAT = '/v1/chat/completions';

async function post(key: string, path = CHAT, model = 'gpt-4o', content = 'hi') {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    // A connection each, so that both workers are asked.
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      connection: 'close',
    },
    body: JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content }] }),
  });
  return { status: response.status, text: await response.text(), fields: response.headers };
}

const statuses = async (count: number, ask: () => Promise<{ status: number }>) =>
  (await Promise.all(Array.from({ length: count }, ask))).map(({ status }) => status).sort();

describe('limits over two workers', () => {
  test('T2: of 40 requests at once with rpm = 5 exactly five are served, and none of another key’s is missing', async () => {
    const key = token({ keyId: 1n });
    expect((await statuses(40, () => post(key))).slice(0, 6)).toEqual([
      200, 200, 200, 200, 200, 429,
    ]);
    const other = await post(token({ keyId: 2n }), '/openai/v1/chat/completions');
    expect(other.status).toBe(200);
    const refused = await post(key);
    expect(JSON.parse(refused.text).error).toMatchObject({
      code: 'rate_limited',
      message: expect.stringContaining('The limit of 5 requests a minute for this key is reached.'),
    });
    const ms = Number(refused.fields.get('retry-after-ms'));
    expect(ms).toBeGreaterThan(1_000);
    expect(ms).toBeLessThanOrEqual(12_000);
    expect(Number(refused.fields.get('retry-after'))).toBe(Math.ceil(ms / 1_000));
  });

  test('T1: after the wait that is told the next one is served', async () => {
    const key = token({ tenantId: 51n, keyId: 6n });
    await statuses(5, () => post(key));
    const refused = await post(key);
    expect(refused.status).toBe(429);
    const ms = Number(refused.fields.get('retry-after-ms'));
    const began = performance.now();
    await until('it is served again', async () => (await post(key)).status === 200, 45_000);
    expect(performance.now() - began).toBeGreaterThan(ms - 200);
  });

  test('a tenant’s limit counts over all its keys', async () => {
    const keys = [11n, 12n, 13n].map((keyId) => token({ tenantId: 50n, keyId }));
    let at = 0;
    const came = await statuses(12, () => post(keys[at++ % keys.length] ?? ''));
    expect(came.filter((status) => status === 200)).toHaveLength(4);
    const { text } = await post(keys[0] ?? '');
    expect(text).toContain('for all keys of this tenant');
  });

  test('a class’s and a model’s count over all keys, on either lane', async () => {
    let at = 100n;
    const agents = await statuses(9, () => post(token({ keyId: at++, keyClass: 'agent' })));
    expect(agents.filter((status) => status === 200)).toHaveLength(3);
    const direct = await statuses(5, () =>
      post(token({ keyId: at++ }), '/groq/openai/v1/chat/completions', 'limited'),
    );
    expect(direct.filter((status) => status === 200)).toHaveLength(3);
    expect((await post(token({ keyId: at++ }), CHAT, 'groq/limited')).status).toBe(429);
    expect((await post(token({ keyId: at++ }), CHAT, 'groq/other')).status).toBe(200);
  });

  test('T3: tokens are reserved before the answer and corrected behind it: small requests are not refused for what they might cost', async () => {
    const key = token({ keyId: 3n });
    // Each reserves 1,024 tokens and uses 10.
    for (let i = 0; i < 40; i++) expect((await post(key)).status).toBe(200);
    const huge = await post(key, CHAT, 'gpt-4o', 'word '.repeat(20_000));
    expect(huge.status).toBe(400);
    expect(JSON.parse(huge.text).error.code).toBe('exceeds_limit');
    expect(huge.text).toMatch(
      /about 25\d\d\d tokens, and the limit for this key is 20000 a minute/,
    );
    const { fields } = await post(key);
    expect(fields.get('x-ratelimit-limit-tokens')).toBe('20000');
    expect(Number(fields.get('x-ratelimit-remaining-tokens'))).toBeGreaterThan(17_000);
  });

  test('T4: in flight is bounded, and whoever leaves frees the place', async () => {
    scene.plays({ openai: waits });
    const key = token({ keyId: 4n });
    try {
      const abort = new AbortController();
      const left = fetch(`${url}${CHAT}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, connection: 'close' },
        body: JSON.stringify({ model: 'gpt-4o', messages: [] }),
        signal: abort.signal,
      }).catch(() => null);
      const second = post(key);
      await until('both wait', () => waiting.length === 2);
      const third = await post(key);
      expect([third.status, third.fields.get('retry-after')]).toEqual([429, '1']);
      expect(third.text).toContain('2 requests at a time for this key');
      abort.abort();
      await left;
      const fourth = until('the place is free', async () => {
        const answer = await Promise.race([
          post(key),
          until('it waits', () => waiting.length === 3),
        ]);
        return answer === true || (answer as { status: number }).status === 200;
      });
      await fourth;
      for (const go of waiting.splice(0)) go();
      expect((await second).status).toBe(200);
    } finally {
      for (const go of waiting.splice(0)) go();
    }
  });

  test.each([
    CHAT,
    '/openai/v1/chat/completions',
  ])('T4: however streams end, none of them keeps its place: %s', async (path) => {
    const key = token({ tenantId: 56n, keyId: 4n });
    const chunk = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n';
    const begins: Act = async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: text/event-stream']);
      await turn.chunk(chunk);
    };
    const ends: Readonly<Record<string, Act>> = {
      complete: async (turn) => {
        await begins(turn);
        await turn.chunk('data: [DONE]\n\n');
        await turn.lastChunk();
      },
      cut: async (turn) => {
        await begins(turn);
        turn.reset();
      },
      left: begins,
      refused: answers(500, '{}'),
    };
    for (const [how, act] of Object.entries({ ...ends, ...ends })) {
      scene.plays({ openai: act });
      const abort = new AbortController();
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, connection: 'close' },
        body: JSON.stringify({ model: 'gpt-4o', stream: true, messages: [] }),
        signal: abort.signal,
      });
      expect([how, response.status]).toEqual([how, how === 'refused' ? 500 : 200]);
      if (how === 'left') abort.abort();
      await response.text().catch(() => '');
    }
    scene.plays({ openai: answers(200, WHOLE) });
    await until('two at once are served', async () => {
      const both = await Promise.all([post(key, path), post(key, path)]);
      return both.every(({ status }) => status === 200);
    });
    await scene.gateway.idle();
  });

  test('a model that is named beside another one, or spelled otherwise, takes from its limit, on either lane', async () => {
    const ask = async (keyId: bigint, path: string, body: object) => {
      const response = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token({ keyId })}`, connection: 'close' },
        body: JSON.stringify({ messages: [], ...body }),
      });
      await response.text();
      return response.status;
    };
    const direct = '/groq/openai/v1/chat/completions';
    expect(await ask(200n, direct, { model: 'other', models: ['narrow'] })).toBe(200);
    expect(await ask(201n, CHAT, { model: 'groq/NARROW-2026-01-01' })).toBe(200);
    for (const [path, model] of [
      [direct, 'other'],
      [CHAT, 'groq/other'],
    ] as const) {
      expect(await ask(202n, path, { model, fallbacks: [{ model: 'narrow' }] })).toBe(429);
      expect(await ask(203n, path, { model })).toBe(200);
      const many = Array.from({ length: 40 }, (_, at) => `m${at}`);
      expect(await ask(204n, path, { model, models: [...many, 'narrow'] })).toBe(400);
    }
  });

  test('an attempt that never reached its provider frees its place, and gives its tokens back', async () => {
    await scene.upstreams['mistral']?.close();
    const key = token({ tenantId: 54n, keyId: 8n });
    for (let i = 0; i < 10; i++) {
      const { status } = await post(key, '/mistral/v1/chat/completions', 'large');
      expect([i, status]).toEqual([i, 502]);
    }
  });

  test('T7: a request that goes on to another target costs its key one request', async () => {
    scene.plays({ openai: answers(500, '{}'), groq: answers(200, WHOLE) });
    const key = token({ tenantId: 55n, keyId: 1n });
    const came = await statuses(7, () => post(key, CHAT, 'chat'));
    expect(came).toEqual([200, 200, 200, 200, 200, 429, 429]);
    expect(scene.asked).toMatchObject({ groq: 5 });
  });

  test('mode = "warn" refuses nothing, and counts', async () => {
    const key = token({ keyId: 5n });
    expect(new Set(await statuses(8, () => post(key)))).toEqual(new Set([200]));
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_limit_warnings_total{scope="key",unit="requests"}')).toBe(6);
  });

  test('T5: answers tell our own limits in the caller’s dialect, and nothing of the shared account', async () => {
    const { fields } = await post(token({ tenantId: 52n, keyId: 7n }));
    expect(fields.get('x-ratelimit-limit-requests')).toBe('5');
    expect(fields.get('x-ratelimit-remaining-requests')).toBe('4');
    expect(fields.get('x-ratelimit-reset-requests')).toMatch(/^12s$|^1[01]s$/);
    expect(fields.get('openai-organization')).toBe(null);
    const message = await post(token({ tenantId: 52n, keyId: 7n }), '/v1/messages', 'claude-5');
    expect(message.fields.get('anthropic-ratelimit-requests-remaining')).toBe('3');
    expect(message.fields.get('x-ratelimit-limit-requests')).toBe(null);
    const unlimited = await post(token({ keyId: 99n }));
    expect(unlimited.fields.get('x-ratelimit-remaining-requests')).toBe(null);
  });

  test('T7: stock SDKs raise their own error for a limit, and none of the provider’s tokens are spent on it', async () => {
    const key = token({ tenantId: 53n, keyId: 1n });
    await statuses(5, () => post(key));
    scene.plays({});
    const openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 });
    await expect(openai.chat.completions.create({ model: 'gpt-4o', messages: [] })).rejects.toThrow(
      OpenAI.RateLimitError,
    );
    const anthropic = new Anthropic({ apiKey: key, baseURL: url, maxRetries: 0 });
    await expect(
      anthropic.messages.create({ model: 'claude-5', max_tokens: 1, messages: [] }),
    ).rejects.toThrow(Anthropic.RateLimitError);
    expect(scene.asked).toEqual({});
  });
});

/** Asks on several connections in turn, each time as soon as the answer before has come whole. @returns statuses */
async function inTurn(path: string, model: string, times: number): Promise<number[]> {
  const body = `{"model":"${model}","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`;
  const request = [
    `POST ${path} HTTP/1.1`,
    'host: a',
    `authorization: Bearer ${token({ keyId: 9n })}`,
    'content-type: application/json',
    `content-length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
  const port = Number(new URL(url).port);
  const sockets = Array.from({ length: 6 }, () =>
    connect({ port, host: '127.0.0.1', noDelay: true }),
  );
  const statuses: number[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      let text = '';
      const ask = (): unknown => sockets[statuses.length % sockets.length]?.write(request);
      for (const socket of sockets) {
        socket.on('error', reject).on('close', () => {
          const { logs, stderr } = scene.gateway;
          const told = `${JSON.stringify(logs.slice(-5))} ${stderr}`;
          reject(new Error(`closed behind ${statuses.length} answers: ${text} ${told}`));
        });
        socket.on('data', (piece) => {
          text += piece.toString('latin1');
          const [, status, length] =
            /^HTTP\/1\.1 (\d+)[\s\S]*?content-length: (\d+)/i.exec(text) ?? [];
          const start = text.indexOf('\r\n\r\n') + 4;
          if (start < 4 || text.length < start + Number(length)) return;
          text = '';
          statuses.push(Number(status));
          if (statuses.length < times) ask();
          else resolve();
        });
      }
      ask();
    });
  } finally {
    for (const socket of sockets) socket.removeAllListeners('close').destroy();
  }
  return statuses;
}

test.each([
  ['relay', '/openai/v1/chat/completions', 'gpt-4o'],
  ['routed', '/v1/chat/completions', 'chat'],
])('whoever has read an answer and asks again is not refused for it, on the %s lane: 1,000 in a row at one in flight', async (_lane, path, model) => {
  const statuses = await inTurn(path, model, 1_000);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
  scene.plays({ openai: resets, groq: resets });
  const failed = await inTurn(path, model, 200);
  expect(failed.filter((status) => status !== 502)).toEqual([]);
  expect(failed.length).toBe(200);
});

/** Asks in turn, each time on another connection, as soon as an answer has begun and was cut. @returns statuses */
async function cutInTurn(path: string, model: string, times: number): Promise<number[]> {
  const body = `{"model":"${model}","stream":true,"messages":[{"role":"user","content":"hi"}]}`;
  const request = `POST ${path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${token({ keyId: 9n })}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  const port = Number(new URL(url).port);
  const open = () => connect({ port, host: '127.0.0.1', noDelay: true });
  const statuses: number[] = [];
  let next = open();
  while (statuses.length < times) {
    const socket = next;
    next = open();
    const text = await new Promise<string>((resolve, reject) => {
      let came = '';
      socket.on('error', reject).on('data', (piece) => {
        came += piece.toString('latin1');
        // The gateway's own last event, or a refusal.
        if (came.includes('"error"')) resolve(came);
      });
      socket.write(request);
    });
    statuses.push(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]));
    socket.on('error', () => {}).destroy();
  }
  next.destroy();
  return statuses;
}

test.each([
  ['relay', '/openai/v1/chat/completions', 'gpt-4o'],
  ['routed', '/v1/chat/completions', 'chat'],
])('whoever has read of a stream that it was cut, and asks again, is not refused for it, on the %s lane: 300 in a row at one in flight', async (_lane, path, model) => {
  const cut = cutsBehind(EVENTS.chat.opening, EVENTS.chat.word('half'));
  scene.plays({ openai: cut, groq: cut });
  const statuses = await cutInTurn(path, model, 300);
  expect(statuses.filter((status) => status !== 200)).toEqual([]);
});
