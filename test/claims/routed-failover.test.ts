import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  resets,
  type SceneWire,
  silent,
  stallsBehind,
  startRoutedScene,
  streams,
  streamsChunks,
  WHOLE,
} from '../support/routed-scene.ts';

let scene: RoutedScene;

// Breakers that never open: each test is about one request, and they share the table.
beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'xai', 'anthropic', 'backup'],
    `breaker_failures = 1000000
[provider_dialects]
backup = "anthropic"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
[routes.claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
retries = 0
[routes.hasty-chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
first_content_timeout_secs = 0.6
[routes.hasty-claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
retries = 0
first_content_timeout_secs = 0.6
[routes.single]
targets = ["openai/one"]
[routes.three]
targets = ["openai/one"]
fallbacks = ["groq/two", "xai/three"]
retries = 0
deadline_secs = 0.6
first_content_timeout_secs = 600
[routes.wide]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
fallback_on = ["rate_limit", "timeout", "server_error", "auth", "model_missing", "context_length", "refusal"]
`,
  );
});
afterAll(async () => await scene.stop());

const FIRST: Readonly<Record<SceneWire, string>> = {
  chat: 'openai',
  responses: 'openai',
  messages: 'anthropic',
};
const SECOND: Readonly<Record<SceneWire, string>> = {
  chat: 'groq',
  responses: 'groq',
  messages: 'backup',
};
const WIRES: readonly SceneWire[] = ['chat', 'responses', 'messages'];
const routeOf = (wire: SceneWire): string => (wire === 'messages' ? 'claude' : 'chat');
const hastyRouteOf = (wire: SceneWire): string => `hasty-${routeOf(wire)}`;
const whole = (wire: SceneWire, text: string): string =>
  EVENTS[wire].opening + EVENTS[wire].word(text) + EVENTS[wire].end;

describe.each(WIRES)('a stream in %s', (wire) => {
  const { opening, error, end } = EVENTS[wire];
  // Only what is waited for is asked of a route that does not wait: elsewhere a slow machine would be the fault.
  const patient = routeOf(wire);
  const hasty = hastyRouteOf(wire);
  const faults: readonly (readonly [what: string, act: Act, route: string])[] = [
    ['429', answers(429, '{"error":{"message":"slow down"}}', ['retry-after: 0']), patient],
    ['500', answers(500, '{"error":{}}'), patient],
    ['503 without a body', answers(503, ''), patient],
    ['529', answers(529, '{"type":"error","error":{"type":"overloaded_error"}}'), patient],
    ['a reset before the head', resets, patient],
    ['silence', silent, hasty],
    ['an opening and then silence', stallsBehind(opening), hasty],
    ['comments and nothing else', stallsBehind(': ping\n\n', ': ping\n\n'), hasty],
    ['an error behind its opening', streamsChunks(opening, error), patient],
    ['an error as its first event', streamsChunks(error), patient],
    ['an empty stream', streamsChunks(''), patient],
    ['an opening and a clean end', streamsChunks(opening), patient],
    ['a malformed event', streamsChunks(opening, 'data: {"choi\n\n'), patient],
    ['a cut behind its opening', cutsBehind(opening), patient],
  ];

  test.each(
    faults,
  )('that begins with %s is answered by the next target, byte for byte (F1)', async (_, fault, route) => {
    scene.plays({ [FIRST[wire]]: fault, [SECOND[wire]]: streams(wire, 'second') });
    const answer = await scene.ask(route, { wire });
    expect([answer.status, answer.cut, answer.text]).toEqual([200, false, whole(wire, 'second')]);
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1, [SECOND[wire]]: 1 });
    expect(answer.fields.get('x-sluice-target')).toBe(`${SECOND[wire]}/two`);
    expect(answer.fields.get('x-sluice-attempts')).toMatch(
      new RegExp(`^${FIRST[wire]}/one \\S+, ${SECOND[wire]}/two 200$`),
    );
  });

  test('that has said a word is never asked for again, however it ends (F2)', async () => {
    for (const fault of [cutsBehind, streamsChunks]) {
      scene.plays({
        [FIRST[wire]]: fault(opening, EVENTS[wire].word('said'), error),
        [SECOND[wire]]: streams(wire, 'second'),
      });
      const answer = await scene.ask(routeOf(wire), { wire });
      expect(answer.text.startsWith(opening + EVENTS[wire].word('said'))).toBe(true);
      expect(scene.asked).toEqual({ [FIRST[wire]]: 1 });
    }
  });

  test('that goes well is not held longer than to its first word, and the other target is never asked', async () => {
    scene.plays({ [FIRST[wire]]: streams(wire, 'first'), [SECOND[wire]]: streams(wire, 'second') });
    const answer = await scene.ask(routeOf(wire), { wire });
    expect([answer.text, answer.cut]).toEqual([whole(wire, 'first'), false]);
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1 });
    expect(answer.facts).toMatchObject([
      {
        lane: 'routed',
        route: routeOf(wire),
        attempt: 1,
        final: true,
        target_model: `${FIRST[wire]}/one`,
        requested_model: routeOf(wire),
        usage_source: 'reported',
        input_tokens: 7,
        output_tokens: 3,
      },
    ]);
    expect(end.length).toBeGreaterThan(0);
  });
});

describe('an answer that is not streamed', () => {
  const faults: readonly (readonly [string, Act])[] = [
    ['500', answers(500, '{"error":{}}')],
    ['JSON that stops in the middle', answers(200, WHOLE.slice(0, 40))],
    ['HTML', answers(200, '<html>bad gateway</html>')],
    ['an error inside a 200', answers(200, '{"error":{"message":"x","code":503}}')],
    ['a reset', resets],
    [
      'a body cut short of its length',
      async (turn) => {
        await turn.bodyDone();
        await turn.write(
          `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n${WHOLE}`,
        );
        turn.reset();
      },
    ],
  ];

  test.each(faults)('and is %s is replaced by the next target', async (_, fault) => {
    scene.plays({ openai: fault, groq: answers(200, WHOLE) });
    const answer = await scene.ask('chat', { stream: false });
    expect([answer.status, answer.text]).toEqual([200, WHOLE]);
    expect(scene.asked).toEqual({ openai: 1, groq: 1 });
  });

  test('waits for as long as it takes: the limit of the first content is for streams', async () => {
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await turn.answer(WHOLE, ['content-type: application/json']);
      },
    });
    expect((await scene.ask('hasty-chat', { stream: false })).text).toBe(WHOLE);
    expect(scene.asked).toEqual({ openai: 1 });
  });
});

describe('what is told as it is', () => {
  test.each([
    [400, '{"error":{"message":"temperature"}}'],
    [404, '{"error":{"code":"model_not_found"}}'],
    [400, '{"error":{"code":"context_length_exceeded"}}'],
    [400, '{"error":{"code":"content_filter"}}'],
    [422, '{"detail":"extra"}'],
  ])('%i %s reaches the caller byte for byte, and no other target is asked (F7)', async (status, body) => {
    scene.plays({ openai: answers(status, body), groq: streams('chat', 'second') });
    const answer = await scene.ask('chat');
    expect([answer.status, answer.text]).toEqual([status, body]);
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test.each([
    ['{"error":{"code":"context_length_exceeded"}}', 400],
    ['{"error":{"code":"content_filter"}}', 400],
    ['{"error":{"code":"model_not_found"}}', 404],
  ])('%s goes to the next target where the route says so', async (body, status) => {
    scene.plays({ openai: answers(status, body), groq: streams('chat', 'second') });
    expect((await scene.ask('wide')).text).toBe(whole('chat', 'second'));
  });

  test("when every target fails, the caller gets the last one's answer", async () => {
    scene.plays({
      openai: answers(500, '{"error":"first"}'),
      groq: answers(503, '{"error":"second"}'),
    });
    const answer = await scene.ask('chat');
    expect([answer.status, answer.text]).toEqual([503, '{"error":"second"}']);
    expect(answer.facts.map(({ attempt, final, provider }) => [attempt, final, provider])).toEqual([
      [1, false, 'openai'],
      [2, true, 'groq'],
    ]);
  });

  test('when the last target cannot be reached, it is 502 and names it', async () => {
    scene.plays({ openai: resets, groq: resets });
    const answer = await scene.ask('chat');
    expect(answer.status).toBe(502);
    expect(answer.text).toContain('groq');
  });
});

describe('time', () => {
  test('three targets that hang answer within the deadline of the route, not three times a timeout (F5)', async () => {
    scene.plays({ openai: silent, groq: silent, xai: silent });
    const answer = await scene.ask('three');
    expect(answer.status).toBe(504);
    // The first one alone would be waited for for ten minutes, and none has time of its own behind the deadline.
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('reasoning that came in time is content: no other target is asked (F3)', async () => {
    const thinking = 'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n';
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(thinking);
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        await turn.chunk(EVENTS.chat.end);
        await turn.lastChunk();
      },
    });
    expect((await scene.ask('hasty-chat')).text).toBe(thinking + EVENTS.chat.end);
    expect(scene.asked).toEqual({ openai: 1 });
  });

  test('with one target nothing is held: the opening arrives before the first word is written (F11)', async () => {
    let release = () => {};
    const seen = new Promise<void>((resolve) => {
      release = resolve;
    });
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(EVENTS.chat.opening);
        await seen;
        await turn.chunk(EVENTS.chat.end);
        await turn.lastChunk();
      },
    });
    const response = await fetch(`${scene.gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${scene.key}` },
      body: '{"model":"single","stream":true}',
    });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(Buffer.from(first?.value ?? []).toString()).toBe(EVENTS.chat.opening);
    release();
    for (let piece = await reader?.read(); piece?.done === false; piece = await reader?.read());
    await scene.gateway.idle();
  });

  test('a client that leaves while an opening is held aborts the upstream, and no other target is asked (F6)', async () => {
    scene.plays({ openai: stallsBehind(EVENTS.chat.opening), groq: streams('chat', 'second') });
    const leaving = new AbortController();
    const asked = fetch(`${scene.gateway.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${scene.key}` },
      body: '{"model":"chat","stream":true}',
      signal: leaving.signal,
    }).catch(() => {});
    await scene.upstreams['openai']?.request(0);
    leaving.abort();
    await asked;
    await scene.gateway.idle();
    await scene.upstreams['openai']?.noneBusy();
    expect(scene.asked).toEqual({ openai: 1 });
  });
});
