import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { post, RawClient } from '../support/raw-client.ts';
import {
  answers,
  EVENTS,
  type RoutedScene,
  stallsBehind,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';

const OPENAI_KEYS = ['sk-openai-first', 'sk-openai-second'];
const LATE = '{"error":{"message":"slow down"}}';

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'xai', 'mistral'],
    `breaker_failures = 1000000
hold_secs = 0.3
replay_max_bytes = "2MiB"
[routes.chat]
targets = ["groq/one"]
fallbacks = ["xai/two"]
retries = 0
[routes.dead]
targets = ["groq/one"]
fallbacks = ["mistral/gone"]
retries = 0
[routes.solo]
targets = ["groq/solo"]
[routes.stubborn]
targets = ["groq/one"]
fallbacks = ["xai/two"]
fallback_on = ["server_error"]
first_content_timeout_secs = 0.2
[routes.pace]
targets = ["groq/paced"]
fallbacks = ["xai/paced"]
retries = 0
[routes.hurry]
targets = ["groq/hurried"]
fallbacks = ["xai/hurried"]
retries = 0
[routes.wait]
targets = ["groq/waited"]
fallbacks = ["xai/two"]
[routes.keys]
targets = ["openai/keyed"]
[routes.empty]
targets = ["openai/empty"]
[routes.spent]
targets = ["openai/spent"]
[routes.group]
targets = ["groq/grouped", "xai/rests"]
fallbacks = ["openai/other"]
`,
    { openai: OPENAI_KEYS },
  );
  // Nobody listens there any more.
  await scene.upstreams['mistral']?.close();
});
afterAll(async () => await scene.stop());

const keysSeen = (): readonly string[] =>
  (scene.upstreams['openai']?.requests ?? []).map((seen) => seen.field('authorization') ?? '');

describe('fields of the answer', () => {
  test('a model with line ends in its name adds no field to an answer', async () => {
    scene.plays({ groq: answers(200, WHOLE) });
    const answer = await scene.ask('groq/m\r\nset-cookie: evil=1\r\nx-é: \u0001', {
      stream: false,
    });
    expect(answer.status).toBe(200);
    expect(answer.fields.get('set-cookie')).toBeNull();
    expect(answer.fields.get('x-sluice-target')).toMatch(/^groq\/m[\x21-\x7e]*$/);
    expect(answer.fields.get('x-sluice-attempts')).toMatch(/^groq\/m[\x21-\x7e]* 200$/);
  });

  test('when every target is told to wait, the caller is told the least wait that remains', async () => {
    scene.plays({
      groq: answers(429, LATE, ['retry-after: 5']),
      xai: answers(429, LATE, ['retry-after: 90', 'retry-after-ms: 90000']),
    });
    const answer = await scene.ask('pace');
    expect([answer.status, answer.text]).toEqual([429, LATE]);
    expect(Number(answer.fields.get('retry-after'))).toBeLessThanOrEqual(5);
    expect(answer.fields.get('retry-after-ms')).toBeNull();
  });
});

test('and so is one whom the last target tells that it is overloaded', async () => {
  scene.plays({
    groq: answers(429, LATE, ['retry-after: 5']),
    xai: answers(503, LATE, ['retry-after: 90']),
  });
  const answer = await scene.ask('hurry');
  expect([answer.status, answer.text]).toEqual([503, LATE]);
  expect(Number(answer.fields.get('retry-after'))).toBeLessThanOrEqual(5);
});

test('a key whose answer says that nothing is left of its limit gets no request until its reset (L2)', async () => {
  const empty = answers(200, WHOLE, [
    'x-ratelimit-remaining-tokens: 0',
    'x-ratelimit-reset-tokens: 1m0s',
  ]);
  scene.plays({ openai: [empty, answers(200, WHOLE)] });
  for (let i = 0; i < 8; i++) await scene.ask('empty', { stream: false });
  const [first, ...others] = keysSeen();
  expect(others).toHaveLength(7);
  expect(others).not.toContain(first);
});

describe('an upload that streams behind its model', () => {
  test('goes on behind the beginning of its answer, to its last byte', async () => {
    scene.plays({
      openai: async (turn) => {
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(EVENTS.chat.opening);
        await turn.bodyDone();
        await turn.chunk(EVENTS.chat.end);
        await turn.lastChunk();
      },
    });
    const body = `{"model":"plain","stream":true,"stream_options":{"include_usage":true},"input":"${'x'.repeat(12_000_000)}"}`;
    const bytes = post(scene.key, '/v1/chat/completions', body);
    const client = new RawClient(scene.gateway.port).send(bytes.subarray(0, 1_000_000));
    await until('the beginning of the answer', () => client.receivedBytes > 0);
    client.send(bytes.subarray(1_000_000));
    const response = await client.response();
    expect(response.body.toString()).toBe(EVENTS.chat.opening + EVENTS.chat.end);
    // Behind it stands white space, where the option would have been written.
    expect(scene.upstreams['openai']?.requests[0]?.body.toString().trimEnd()).toBe(body);
    client.close();
    await scene.gateway.idle();
  });
});

test('of a streamed body whose model was edited, a second model is refused, even the same one: its provider would read that', async () => {
  scene.plays({ groq: async (turn) => await turn.bodyDone() });
  const body = `{"model":"groq/m","input":"${'x'.repeat(2_500_000)}","model":"groq/m"}`;
  const answer = await scene.ask('', { body });
  expect(answer.status).toBe(400);
  expect(scene.upstreams['groq']?.requests[0]?.bodyDone ?? false).toBe(false);
});

test('a packed stream, although that was refused, is passed on as it came and no other target is asked', async () => {
  const packed = gzipSync(EVENTS.chat.opening + EVENTS.chat.word('said') + EVENTS.chat.end);
  scene.plays({
    groq: async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: text/event-stream', 'content-encoding: gzip']);
      await turn.chunk(packed);
      await turn.lastChunk();
    },
    xai: streams('chat', 'second'),
  });
  const answer = await scene.ask('chat');
  expect(scene.asked).toEqual({ groq: 1 });
  expect(answer.text).toContain('said');
});

describe('facts', () => {
  test('when the last target cannot be reached, the fact of the attempt before it is the final one', async () => {
    scene.plays({ groq: answers(500, '{"error":{}}') });
    const answer = await scene.ask('dead');
    expect(answer.status).toBe(502);
    expect(answer.facts.map(({ attempt, final }) => [attempt, final])).toEqual([[1, true]]);
  });
});

describe('what is told to the next request', () => {
  test('a 429 of the only target rests its key: the next request is told to wait, and nobody is asked (B4)', async () => {
    scene.plays({ groq: answers(429, LATE, ['retry-after: 7']) });
    expect((await scene.ask('solo')).status).toBe(429);
    const answer = await scene.ask('solo');
    expect(answer.status).toBe(503);
    expect(answer.text).toContain('no_target');
    expect(Number(answer.fields.get('retry-after'))).toBeGreaterThan(5);
    expect(scene.asked).toEqual({ groq: 1 });
  });

  test('a 401 or 429 for one pool key is answered with another one at once, and the first is left alone (F8, B4)', async () => {
    scene.plays({ openai: [answers(429, LATE, ['retry-after: 60']), streams('chat', 'second')] });
    expect((await scene.ask('keys')).status).toBe(200);
    expect(new Set(keysSeen()).size).toBe(2);
    const [limited] = keysSeen();
    scene.plays({ openai: streams('chat', 'again') });
    for (let i = 0; i < 4; i++) expect((await scene.ask('keys')).status).toBe(200);
    expect(keysSeen()).not.toContain(limited);
    // Another model's limit is another one.
    scene.plays({ openai: [answers(401, LATE), streams('chat', 'second')] });
    const answer = await scene.ask('spent');
    expect(answer.status).toBe(200);
    expect(answer.fields.get('x-sluice-attempts')).toBe(
      'openai/spent POOL_KEY_401, openai/spent 200',
    );
    expect(new Set(keysSeen()).size).toBe(2);
    expect(answer.facts.map(({ attempt, final }) => [attempt, final])).toEqual([
      [1, false],
      [2, true],
    ]);
  });
});

describe('time', () => {
  test('an opening is let go when its first content is late and no other target may follow for that', async () => {
    scene.plays({ groq: stallsBehind(EVENTS.chat.opening) });
    const client = new RawClient(scene.gateway.port).send(
      post(scene.key, '/v1/chat/completions', '{"model":"stubborn","stream":true}'),
    );
    await until('the opening', () =>
      Buffer.concat(client.received).includes(EVENTS.chat.opening.slice(0, 9)),
    );
    client.close();
    await scene.gateway.idle();
  });

  test('a sized stream of which nothing but its head came is let go with its head', async () => {
    scene.plays({
      groq: async (turn) => {
        await turn.bodyDone();
        await turn.write(
          'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 5000\r\n\r\n',
        );
      },
    });
    const client = new RawClient(scene.gateway.port).send(
      post(
        scene.key,
        '/v1/chat/completions',
        '{"model":"chat","stream":true,"stream_options":{"include_usage":true}}',
      ),
    );
    await until('the head', () => client.receivedBytes > 0);
    client.close();
    await scene.gateway.idle();
  });

  test('a short wait is sat out in place, to its last millisecond', async () => {
    for (let ms = 121; ms < 130; ms++) {
      scene.plays({
        groq: [answers(429, LATE, [`retry-after-ms: ${ms}`]), streams('chat', 'first')],
        xai: streams('chat', 'second'),
      });
      const answer = await scene.ask('wait');
      expect(answer.fields.get('x-sluice-attempts')).toBe('groq/waited 429, groq/waited 200');
    }
  });

  test('a target of the same group that rests is no reason to leave the group at once', async () => {
    scene.plays({ xai: answers(429, LATE, ['retry-after: 60']) });
    await scene.ask('xai/rests');
    scene.plays({
      groq: [answers(500, '{}'), streams('chat', 'first')],
      openai: streams('chat', 'other'),
    });
    const answer = await scene.ask('group');
    expect(answer.fields.get('x-sluice-attempts')).toBe('groq/grouped 500, groq/grouped 200');
  });
});

describe('a breaker that lets one probe through', () => {
  test('lets another one through when the deadline of the route ended the first', async () => {
    const fragile = await startRoutedScene(
      ['groq'],
      `breaker_failures = 1
breaker_open_secs = 0.2
[routes.chat]
targets = ["groq/one"]
retries = 0
deadline_secs = 0.5
`,
    );
    try {
      fragile.plays({ groq: [answers(500, '{}'), () => {}, streams('chat', 'back')] });
      expect((await fragile.ask('chat')).status).toBe(500);
      const probed = await until('the probe', async () => {
        const answer = await fragile.ask('chat');
        return answer.status !== 503 && answer;
      });
      expect(probed.status).toBe(504);
      await until('the next probe', async () => (await fragile.ask('chat')).status === 200);
    } finally {
      await fragile.stop();
    }
  });
});
