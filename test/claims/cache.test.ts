import { randomUUID } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  resets,
  type SceneAnswer,
  stallsBehind,
  startRoutedScene,
  streams,
  streamsChunks,
  WHOLE,
} from '../support/routed-scene.ts';

const CONFIG = `rate_limit_rps = 0
[prices."openai/m"]
input = "1"
output = "1000"
[prices."anthropic/m"]
input = "1"
output = "1000"
[prices."openai/small"]
input = "1"
output = "1"
[policies.default]
cache = "exact"
[policies.canonical]
cache_match = "canonical"
[policies.own]
cache_scope = "key"
[policies.few]
rpm = 2
[policies.narrow]
models = ["openai/m"]
[policies.off]
cache = "off"
[policies.guarded]
guards = ["pii"]
[policies.poor]
budget_usd_per_day = "0.25"
on_exceeded = "openai/small"
[policies.rich]
budget_usd_per_day = 100
on_exceeded = "openai/small"
[policies.once]
rpm = 1
[policies.single]
max_in_flight = 1
[keys.10]
policy = "once"
[keys.11]
policy = "once"
[keys.12]
policy = "single"
[keys.8]
policy = "poor"
[keys.9]
policy = "rich"
[keys.1]
policy = "canonical"
[keys.2]
policy = "own"
[keys.3]
policy = "few"
[keys.4]
policy = "narrow"
[keys.5]
policy = "off"
[keys.6]
policy = "guarded"
`;

let scene: RoutedScene;
beforeAll(async () => {
  scene = await startRoutedScene(['openai', 'anthropic'], CONFIG, {}, 2);
});
afterAll(async () => await scene.stop());

/** A body that nobody has sent before. */
function fresh(members: object = {}): string {
  return JSON.stringify({
    model: 'm',
    temperature: 0,
    messages: [{ role: 'user', content: randomUUID() }],
    ...members,
  });
}

const STREAM = { stream: true, stream_options: { include_usage: true } };

async function ask(
  body: string,
  fields: Readonly<Record<string, string>> = {},
  path?: string,
): Promise<SceneAnswer> {
  return await scene.ask('m', { body, fields, ...(path === undefined ? {} : { path }) });
}

/** @returns what the cache said of the same request, sent twice, and what the second one was told */
async function twice(
  act: Act,
  body = fresh(),
  fields: Readonly<Record<string, string>> = {},
  path?: string,
): Promise<{ readonly said: string; readonly first: SceneAnswer; readonly second: SceneAnswer }> {
  scene.plays({ openai: act, anthropic: act });
  const first = await ask(body, fields, path);
  const second = await ask(body, fields, path);
  const said = [first, second].map((one) => one.fields.get('x-sluice-cache') ?? 'none').join(' ');
  return { said, first, second };
}

describe('an answer that is told again', () => {
  test('a whole answer is told byte for byte, and its provider is asked once', async () => {
    const { said, first, second } = await twice(
      answers(200, WHOLE, ['x-request-id: of-the-first']),
    );
    expect(said).toBe('miss hit');
    expect(scene.asked).toEqual({ openai: 1 });
    expect(second.text).toBe(first.text);
    expect(second.fields.get('content-type')).toBe('application/json');
    expect(second.fields.get('content-length')).toBe(String(WHOLE.length));
    expect(second.fields.get('age')).toMatch(/^\d+$/);
    expect(second.fields.get('x-request-id')).toBeNull();
  });

  test.each([
    ['chat', '/v1/chat/completions', STREAM],
    ['messages', '/v1/messages', { stream: true, max_tokens: 9 }],
    ['chat', '/openai/v1/chat/completions', STREAM],
    ['messages', '/anthropic/v1/messages', { stream: true, max_tokens: 9 }],
  ] as const)('a stream of %s on %s is told byte for byte', async (wire, path, members) => {
    const { said, first, second } = await twice(streams(wire, 'a wörd'), fresh(members), {}, path);
    expect(said).toBe('miss hit');
    expect(second.text).toBe(first.text);
    expect(first.text).toContain(EVENTS[wire].end);
    expect(Object.values(scene.asked)).toEqual([1]);
  });

  test('a stream of Responses that nobody stores is told byte for byte', async () => {
    const done = { id: 'r', object: 'response', status: 'completed', model: 'm', output: [] };
    const usage = { input_tokens: 7, output_tokens: 3 };
    const event = { type: 'response.completed', response: { ...done, usage } };
    const end = `event: response.completed\ndata: ${JSON.stringify(event)}\n\n`;
    const act = streamsChunks(EVENTS.responses.opening, EVENTS.responses.word('word'), end);
    const body = fresh({ input: 'hi', stream: true, store: false });
    const { said, first, second } = await twice(act, body, {}, '/v1/responses');
    expect(said).toBe('miss hit');
    expect(second.text).toBe(first.text);
  });

  test('its fact says that nobody was asked, that it cost nothing, and what that saved', async () => {
    const { first, second } = await twice(answers(200, WHOLE));
    expect(first.facts).toMatchObject([{ outcome: 'complete', cost_usd: '0.003007' }]);
    expect(first.facts[0]).not.toHaveProperty('cache');
    expect(second.facts).toMatchObject([
      {
        outcome: 'cache_hit',
        provider: null,
        cost_usd: '0',
        cost_status: 'not_billed',
        usage_source: 'none',
        input_tokens: null,
        requested_model: 'm',
        model: 'm',
        upstream_status: null,
        cache: { saved_usd: '0.003007', age_secs: expect.any(Number) },
      },
    ]);
    expect(second.fields.get('x-sluice-cost-usd')).toBe('0');
    const id = second.fields.get('x-sluice-request-id');
    const [line] = scene.gateway.events('access').filter((one) => one['request_id'] === id);
    expect(line).toMatchObject({ cache: 'hit', provider: null, status: 200, outcome: 'complete' });
  });

  test('it takes a request of its key, as any other one does', async () => {
    scene.plays({ openai: answers(200, WHOLE) });
    const body = fresh();
    const few = { authorization: `Bearer ${token({ tenantId: 700n, keyId: 3n })}` };
    const statuses = [];
    for (let at = 0; at < 3; at++) statuses.push((await ask(body, few)).status);
    expect(statuses).toEqual([200, 200, 429]);
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('it gives back its place in flight, and is told again and again', async () => {
    const single = { authorization: `Bearer ${token({ keyId: 12n })}` };
    scene.plays({ openai: answers(200, WHOLE) });
    const body = fresh();
    const said = [];
    for (let at = 0; at < 4; at++) {
      const { status, fields } = await ask(body, single);
      said.push(`${status} ${fields.get('x-sluice-cache')}`);
    }
    expect(said).toEqual(['200 miss', '200 hit', '200 hit', '200 hit']);
  });

  test('stock SDKs are told it as an answer', async () => {
    const said = {
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: [{ type: 'text', text: 'word' }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 7, output_tokens: 3 },
    };
    scene.plays({
      openai: streams('chat', 'word'),
      anthropic: answers(200, JSON.stringify(said)),
    });
    const { origin } = scene.gateway;
    const openai = new OpenAI({ apiKey: scene.key, baseURL: `${origin}/v1`, maxRetries: 0 });
    const content = randomUUID();
    const messages = [{ role: 'user' as const, content }];
    const anthropic = new Anthropic({ authToken: scene.key, apiKey: null, baseURL: origin });
    const seen = [];
    for (let at = 0; at < 2; at++) {
      let text = '';
      const stream = await openai.chat.completions.create({
        model: 'm',
        messages,
        temperature: 0,
        stream: true,
        stream_options: { include_usage: true },
      });
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
      // Its type does not know the oldest option any more.
      const asked = { model: 'm', max_tokens: 9, messages, temperature: 0 };
      const message = await anthropic.messages.create(
        asked as unknown as Anthropic.MessageCreateParamsNonStreaming,
      );
      const [block] = message.content;
      seen.push(`${text} ${block?.type === 'text' ? block.text : ''} ${message.stop_reason}`);
    }
    expect(seen).toEqual(['word word end_turn', 'word word end_turn']);
    expect(scene.asked).toEqual({ openai: 1, anthropic: 1 });
  });
});

describe('what is not told again', () => {
  const choice = (end: string, message: object = {}): string =>
    JSON.stringify({
      model: 'm',
      choices: [{ index: 0, message: { content: 'x', ...message }, finish_reason: end }],
      usage: { prompt_tokens: 7, completion_tokens: 3 },
    });
  const { opening, word, error, end } = EVENTS.chat;

  test.each<readonly [string, Act, object]>([
    ['an error of the provider', answers(500, '{"error":{"message":"broken"}}'), {}],
    ['a request that is refused', answers(400, '{"error":{"message":"no"}}'), {}],
    ['a stream that is cut', cutsBehind(opening, word('half')), STREAM],
    ['a stream with an error in it', streamsChunks(opening, word('half'), error), STREAM],
    ['a stream without an end sign', streamsChunks(opening, word('x'), 'data: [DONE]\n\n'), STREAM],
    ['an answer that a limit ended', answers(200, choice('length')), {}],
    ['an answer that a filter ended', answers(200, choice('content_filter')), {}],
    ['a refusal', answers(200, choice('stop', { refusal: 'I will not.' })), {}],
    [
      'what was looked up',
      answers(200, choice('stop', { annotations: [{ type: 'url_citation' }] })),
      {},
    ],
    ['an answer without usage', answers(200, choice('stop').replace('"usage"', '"other"')), {}],
    ['a page', answers(200, '<html>sign in</html>'), {}],
    [
      'what is larger than an answer',
      answers(200, choice('stop', { content: 'x'.repeat(262_144) })),
      {},
    ],
    ['a long stream', streamsChunks(opening, word('x'.repeat(262_144)), end), STREAM],
  ])('%s', async (_what, act, members) => {
    const { said, first, second } = await twice(act, fresh(members));
    expect(said).toBe('miss miss');
    expect(second.text).toBe(first.text);
    expect(scene.asked).toEqual({ openai: 2 });
  });

  test('what ran a tool of its provider', async () => {
    const content = [{ type: 'server_tool_use', id: 't', name: 'web_search', input: {} }];
    const usage = { input_tokens: 7, output_tokens: 3 };
    const body = { type: 'message', model: 'm', stop_reason: 'end_turn', content, usage };
    const act = answers(200, JSON.stringify(body));
    const { said } = await twice(act, fresh({ max_tokens: 9 }), {}, '/v1/messages');
    expect(said).toBe('miss miss');
  });

  test.each<readonly [string, object, Readonly<Record<string, string>>]>([
    ['a request at another temperature', { temperature: 0.7 }, {}],
    ['a request that says none', { temperature: undefined }, {}],
    ['several answers of one seed', { temperature: 1, seed: 7, n: 2 }, {}],
    ['an answer that is stored', { store: true }, {}],
    ['a search of the web', { web_search_options: {} }, {}],
    ['a request that wants none', {}, { 'x-sluice-cache': 'off' }],
    ['a request that is not to be stored', {}, { 'cache-control': 'max-age=0, no-store' }],
  ])('%s', async (_what, members, fields) => {
    const { said } = await twice(answers(200, WHOLE), fresh(members), fields);
    expect(said).toBe('bypass bypass');
    expect(scene.asked).toEqual({ openai: 2 });
  });

  test('a request that says its temperature twice', async () => {
    const body = fresh().replace('{', '{"temperature":1,');
    expect((await twice(answers(200, WHOLE), body)).said).toBe('bypass bypass');
  });

  test('what a key is served when its budget has no room, to a key that has room', async () => {
    const [poor, rich] = [8n, 9n].map((keyId) => ({
      authorization: `Bearer ${token({ keyId })}`,
    }));
    scene.plays({ openai: answers(200, WHOLE) });
    // A thousand tokens of it cost a dollar at most.
    const body = fresh({ max_tokens: 1_000 });
    const said = [];
    for (const fields of [poor, rich, rich, poor]) {
      const { fields: told } = await ask(body, fields);
      said.push(`${told.get('x-sluice-target')} ${told.get('x-sluice-cache')}`);
    }
    expect(said).toEqual(['openai/small miss', 'openai/m miss', 'openai/m hit', 'openai/m hit']);
  });

  test('fields of whoever asked first: neither its cookies nor its ids, nor what is left to it', async () => {
    const own = [
      'set-cookie: session=first',
      'x-request-id: of-the-first',
      'x-ratelimit-remaining-requests: 7',
      'openai-organization: first',
      'openai-processing-ms: 12',
      'cf-ray: first',
      'x-sluice-cache: lie',
      'date: Mon, 01 Jan 2001 00:00:00 GMT',
    ];
    const streamed: Act = async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: text/event-stream', ...own]);
      await turn.chunk(EVENTS.chat.opening + EVENTS.chat.word('word') + EVENTS.chat.end);
      await turn.lastChunk();
    };
    const kinds: readonly (readonly [Act, object])[] = [
      [answers(200, WHOLE, own), {}],
      [streamed, STREAM],
    ];
    for (const [act, members] of kinds) {
      const { said, first, second } = await twice(act, fresh(members));
      expect(said).toBe('miss hit');
      expect(JSON.stringify([...second.fields])).not.toMatch(/first|lie|2001/);
      expect(second.fields.get('x-ratelimit-remaining-requests')).toBeNull();
      expect(second.fields.get('x-sluice-request-id')).not.toBe(
        first.fields.get('x-sluice-request-id'),
      );
    }
  });

  test('a key without a cache is not told that there is one', async () => {
    const off = { authorization: `Bearer ${token({ keyId: 5n })}` };
    const { said } = await twice(answers(200, WHOLE), fresh(), off);
    expect(said).toBe('none none');
    expect(scene.asked).toEqual({ openai: 2 });
  });
});

describe('behind guards', () => {
  const guarded = { authorization: `Bearer ${token({ keyId: 6n })}` };

  test('an answer that nobody changed is told again, and to nobody without the guard', async () => {
    const body = fresh();
    expect((await twice(answers(200, WHOLE), body, guarded)).said).toBe('miss hit');
    expect((await ask(body)).fields.get('x-sluice-cache')).toBe('miss');
  });

  test('an answer in which something was put back is told, and not kept', async () => {
    const messages = [{ role: 'user', content: `${randomUUID()} mail to ada@example.org` }];
    // The provider says what it was told, whatever that is.
    const echo: Act = async (turn) => {
      await turn.bodyDone();
      const told = /mail to ([^"]+)"/.exec(turn.request.body.toString())?.[1] ?? '';
      await answers(200, WHOLE.replace('"whole"', JSON.stringify(told)))(turn);
    };
    const { said, first, second } = await twice(echo, fresh({ messages }), guarded);
    expect(said).toBe('miss miss');
    expect([first.text, second.text].every((text) => text.includes('ada@example.org'))).toBe(true);
    expect(scene.upstreams['openai']?.requests[0]?.body.toString()).not.toContain('ada@');
  });
});

describe('what a caller says of the cache', () => {
  test.each([
    ['at another temperature', { temperature: 0.7 }],
    ['several answers of one seed', { temperature: 1, seed: 7, n: 2 }],
  ])('on: %s it is kept all the same', async (_what, members) => {
    const on = { 'x-sluice-cache': 'on' };
    expect((await twice(answers(200, WHOLE), fresh(members), on)).said).toBe('miss hit');
  });

  test('a seed is as good as a temperature of 0', async () => {
    const { said } = await twice(answers(200, WHOLE), fresh({ temperature: 1, seed: 7 }));
    expect(said).toBe('miss hit');
  });

  test('refresh: it is made anew, and kept in place of the one before', async () => {
    const other = WHOLE.replace('"whole"', '"other"');
    scene.plays({ openai: [answers(200, WHOLE), answers(200, other)] });
    const body = fresh();
    const texts = [
      await ask(body),
      await ask(body, { 'x-sluice-cache': 'refresh' }),
      await ask(body),
    ];
    expect(texts.map(({ text }) => text)).toEqual([WHOLE, other, other]);
    expect(texts.at(-1)?.fields.get('x-sluice-cache')).toBe('hit');
  });

  test('what is no wish is counted, and passed over', async () => {
    const before = (await scene.gateway.metrics()).get('ai_wishes_dropped_total');
    const { said } = await twice(answers(200, WHOLE), fresh(), { 'x-sluice-cache': 'maybe' });
    expect(said).toBe('miss hit');
    const after = (await scene.gateway.metrics()).get('ai_wishes_dropped_total');
    expect(after - before).toBe(2);
  });
});

describe('who is told it', () => {
  const as = (claims: Parameters<typeof token>[0]): Readonly<Record<string, string>> => ({
    authorization: `Bearer ${token(claims)}`,
  });
  async function first(body: string, claims: Parameters<typeof token>[0]): Promise<void> {
    scene.plays({ openai: answers(200, WHOLE) });
    expect((await ask(body, as(claims))).fields.get('x-sluice-cache')).toBe('miss');
  }

  test.each<
    readonly [string, Parameters<typeof token>[0], Parameters<typeof token>[0], 'hit' | 'miss']
  >([
    [
      'another key of its tenant',
      { tenantId: 42n, keyId: 70n },
      { tenantId: 42n, keyId: 71n },
      'hit',
    ],
    [
      'a key of another tenant',
      { tenantId: 42n, keyId: 70n },
      { tenantId: 43n, keyId: 70n },
      'miss',
    ],
    ['another key, where each has its own', { keyId: 2n }, { keyId: 72n }, 'miss'],
    ['the same key, where each has its own', { keyId: 2n }, { keyId: 2n }, 'hit'],
    ['a key that may ask for less', { keyId: 70n }, { keyId: 4n }, 'miss'],
  ])('%s', async (_who, one, other, said) => {
    const body = fresh();
    await first(body, one);
    expect((await ask(body, as(other))).fields.get('x-sluice-cache')).toBe(said);
  });

  test('whoever may not ask for its model is refused as ever', async () => {
    const body = fresh({ model: 'anthropic/m' });
    scene.plays({ anthropic: answers(200, WHOLE) });
    await ask(body, as({ keyId: 70n }));
    expect((await ask(body, as({ keyId: 4n }))).status).toBe(403);
  });

  test('a body that is written otherwise, where meaning counts', async () => {
    const text = randomUUID();
    const bodies = [
      `{"model":"m","temperature":0,"messages":[{"role":"user","content":"${text}"}]}`,
      `{ "messages" : [ {"content":"${text}", "role":"user"} ],\n"temperature":0.0e1,"model":"\\u006d"}`,
      `{"model":"m","temperature":0,"messages":[{"role":"user","content":"${text} "}]}`,
    ];
    const said = async (claims: Parameters<typeof token>[0]): Promise<readonly unknown[]> => {
      scene.plays({ openai: answers(200, WHOLE) });
      const words = [];
      for (const body of bodies)
        words.push((await ask(body, as(claims))).fields.get('x-sluice-cache'));
      return words;
    };
    expect(await said({ tenantId: 44n, keyId: 1n })).toEqual(['miss', 'hit', 'miss']);
    expect(await said({ tenantId: 45n, keyId: 70n })).toEqual(['miss', 'miss', 'miss']);
  });
});

describe('the same request, many times at once', () => {
  const MANY = 1_000;

  /** A provider that waits for `go`. */
  function gated(act: Act): { readonly act: Act; readonly go: () => void } {
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    return {
      act: async (turn) => {
        await gate;
        await act(turn);
      },
      go: () => go(),
    };
  }

  async function asked(count: number): Promise<void> {
    await until(`${count} requests at the provider`, () => (scene.asked['openai'] ?? 0) >= count);
  }

  async function inFlight(count: number): Promise<void> {
    await until(`${count} requests in flight`, async () => {
      return (await scene.gateway.metrics()).get('ai_requests_in_flight') >= count;
    });
  }

  async function texts(count: number, body: string): Promise<readonly string[]> {
    const all = Array.from({ length: count }, async () => {
      const response = await send(body);
      return `${response.status} ${await response.text()}`;
    });
    return await Promise.all(all);
  }

  async function send(
    body: string,
    signal?: AbortSignal,
    key: string = scene.key,
  ): Promise<Response> {
    return await fetch(`${scene.gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
      body,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  test.each([
    ['a whole answer', answers(200, WHOLE), {}, WHOLE],
    [
      'a stream',
      streams('chat', 'word'),
      STREAM,
      EVENTS.chat.opening + EVENTS.chat.word('word') + EVENTS.chat.end,
    ],
  ] as const)('%s: one of them is answered, and all are told that', async (_what, act, more, text) => {
    const { act: waiting, go } = gated(act);
    scene.plays({ openai: waiting });
    const all = texts(MANY, fresh(more));
    await inFlight(MANY);
    go();
    expect(new Set(await all)).toEqual(new Set([`200 ${text}`]));
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('whoever is asked for leaves before its answer: exactly one more is asked, and all are whole', async () => {
    const held = gated(answers(200, WHOLE));
    scene.plays({ openai: [held.act, answers(200, WHOLE)] });
    const body = fresh();
    const leaver = new AbortController();
    const left = send(body, leaver.signal).catch(() => 'left');
    await asked(1);
    const all = texts(100, body);
    await inFlight(101);
    leaver.abort();
    expect(await left).toBe('left');
    expect(new Set(await all)).toEqual(new Set([`200 ${WHOLE}`]));
    expect(scene.asked).toEqual({ openai: 2 });
    held.go();
  });

  test('whoever is asked for leaves within its stream: nobody else is asked, and all are whole', async () => {
    const { opening, word, end } = EVENTS.chat;
    const rest = gated(() => {});
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(opening + word('first'));
        await rest.act(turn);
        await turn.chunk(word('second') + end);
        await turn.lastChunk();
      },
    });
    const body = fresh(STREAM);
    const leaver = new AbortController();
    const leading = await send(body, leaver.signal);
    await leading.body?.getReader().read();
    const followers = await Promise.all(Array.from({ length: 20 }, () => send(body)));
    leaver.abort();
    await until('one has left', async () => {
      const metrics = await scene.gateway.metrics();
      return metrics.get('ai_requests_in_flight') <= 21;
    });
    rest.go();
    const told = await Promise.all(followers.map((one) => one.text()));
    expect(new Set(told)).toEqual(new Set([opening + word('first') + word('second') + end]));
    expect(scene.asked).toEqual({ openai: 1 });
    // It was whole, so it is kept.
    expect((await send(body)).headers.get('x-sluice-cache')).toBe('hit');
  });

  test('when nobody is left, what was made for them is ended at its provider', async () => {
    const { opening, word } = EVENTS.chat;
    scene.plays({ openai: stallsBehind(opening, word('first')) });
    const body = fresh(STREAM);
    const leavers = [new AbortController(), new AbortController()];
    for (const leaver of leavers) {
      const response = await send(body, leaver.signal);
      await response.body?.getReader().read();
    }
    for (const leaver of leavers) leaver.abort();
    const upstream = scene.upstreams['openai'];
    await until('its provider was left', () => upstream?.requests[0]?.peerClosed === true);
    await scene.gateway.idle();
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('an answer that fails is not told to the others: the next one is asked for', async () => {
    const held = gated(answers(500, '{"error":{"message":"broken"}}'));
    scene.plays({ openai: [held.act, answers(200, WHOLE)] });
    const body = fresh();
    const all = texts(50, body);
    await inFlight(50);
    held.go();
    const told = await all;
    expect(told.filter((one) => one.startsWith('500'))).toHaveLength(1);
    expect(told.filter((one) => one === `200 ${WHOLE}`)).toHaveLength(49);
    expect(scene.asked).toEqual({ openai: 2 });
  });

  test('a whole answer that breaks off is made by another one, and nobody who waits is cut', async () => {
    const held = gated(async (turn) => {
      await turn.bodyDone();
      await turn.write(
        `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${WHOLE.length}\r\n\r\n${WHOLE.slice(0, 40)}`,
      );
      turn.reset();
    });
    scene.plays({ openai: [held.act, answers(200, WHOLE)] });
    const body = fresh();
    const all = Promise.allSettled(
      Array.from({ length: 20 }, async () => await (await send(body)).text()),
    );
    await inFlight(20);
    held.go();
    const told = await all;
    expect(told.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    expect(told.filter((one) => one.status === 'fulfilled' && one.value === WHOLE)).toHaveLength(
      19,
    );
    expect(scene.asked).toEqual({ openai: 2 });
  });

  test('whoever follows is counted as one request of its key, also when it has to ask itself', async () => {
    const held = gated(answers(500, '{"error":{"message":"broken"}}'));
    scene.plays({ openai: [held.act, answers(200, WHOLE)] });
    const body = fresh();
    const leader = send(body);
    await asked(1);
    // A minute of either key's has one request.
    const own = send(body, undefined, token({ keyId: 10n }));
    await inFlight(2);
    const pair = [11n, 11n].map((keyId) => send(body, undefined, token({ keyId })));
    expect((await Promise.race(pair)).status).toBe(429);
    held.go();
    const statuses = (await Promise.all([leader, own, ...pair])).map(({ status }) => status);
    expect(statuses.slice(0, 2)).toEqual([500, 200]);
    expect(statuses.slice(2).sort()).toEqual([200, 429]);
    expect((await send(body, undefined, token({ keyId: 10n }))).status).toBe(429);
    expect(scene.asked).toEqual({ openai: 2 });
  });

  test('what fails for three in a row is asked for by each of the others', async () => {
    const held = gated(resets);
    scene.plays({ openai: [held.act, resets] });
    const all = texts(10, fresh());
    await inFlight(10);
    held.go();
    expect(new Set((await all).map((one) => one.slice(0, 3)))).toEqual(new Set(['502']));
    expect(scene.asked).toEqual({ openai: 10 });
  });
});

describe('the memory of the node', () => {
  test('holds no body of what was told again, made, or refused', async () => {
    const config = `replay_memory_bytes = 400000\n${CONFIG}`;
    const small = await startRoutedScene(['openai'], config, {}, 1);
    try {
      small.plays({ openai: answers(200, WHOLE) });
      const content = 'x'.repeat(150_000);
      const body = fresh({ messages: [{ role: 'user', content }] });
      const fields = { authorization: `Bearer ${token({ keyId: 10n })}` };
      // The key has one request a minute: the others are refused where they would be told it.
      for (let at = 0; at < 4; at++) await small.ask('m', { body, fields });
      for (let at = 0; at < 4; at++)
        expect((await small.ask('m', { body })).fields.get('x-sluice-cache')).toBe('hit');
      const other = fresh({ messages: [{ role: 'user', content: `${content}, another` }] });
      expect((await small.ask('m', { body: other })).fields.get('x-sluice-cache')).toBe('miss');
    } finally {
      await small.stop();
    }
  });

  test('holds what it may, and the oldest answers give way', async () => {
    const small = await startRoutedScene(['openai'], `cache_max_mb = 1\n${CONFIG}`, {}, 2);
    try {
      const content = 'x'.repeat(60_000);
      small.plays({ openai: answers(200, WHOLE.replace('"whole"', `"${content}"`)) });
      const bodies = Array.from({ length: 40 }, () => fresh());
      for (const body of bodies) await small.ask('m', { body });
      const metrics = await small.gateway.metrics();
      const bytes = metrics.get('ai_cache_bytes');
      expect(bytes).toBeLessThanOrEqual(1_048_576 * 1.05);
      expect(bytes).toBeGreaterThan(1_048_576 * 0.9);
      expect(metrics.get('ai_cache_evictions_total')).toBe(40 - metrics.get('ai_cache_answers'));
      const said = async (body: string | undefined): Promise<string | null> =>
        (await small.ask('m', { body: body ?? '' })).fields.get('x-sluice-cache');
      expect(await said(bodies.at(-1))).toBe('hit');
      expect(await said(bodies[0])).toBe('miss');
    } finally {
      await small.stop();
    }
  });
});
