import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  PATHS,
  type RoutedScene,
  type SceneWire,
  stallsBehind,
  startRoutedScene,
  streams,
  streamsChunks,
} from '../support/routed-scene.ts';

const WIRES: readonly SceneWire[] = ['chat', 'responses', 'messages'];
const FIRST = { chat: 'openai', responses: 'openai', messages: 'anthropic' } as const;
const SECOND = { chat: 'groq', responses: 'groq', messages: 'backup' } as const;
const routeOf = (wire: SceneWire): string => (wire === 'messages' ? 'claude' : 'chat');
const whole = (wire: SceneWire, text: string): string =>
  EVENTS[wire].opening + EVENTS[wire].word(text) + EVENTS[wire].end;

let scene: RoutedScene;

beforeAll(async () => {
  const safety = `retries = 0
stream_safety = "hold"
stall_timeout_secs = 0.8
`;
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic', 'backup'],
    `breaker_failures = 1000000
hold_memory_bytes = "2MiB"
[provider_dialects]
backup = "anthropic"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
${safety}
[routes.claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
${safety}
[routes.single]
targets = ["openai/one"]
${safety}
`,
  );
});
afterAll(async () => await scene.stop());

describe.each(WIRES)('a stream in %s that is held to its end', (wire) => {
  const { opening, word, error, end } = EVENTS[wire];
  const said = opening + word('said');
  const pings = Array.from({ length: 90 }, () => ': ping\n\n');
  const faults: readonly (readonly [string, Act, string])[] = [
    ['is cut', cutsBehind(said), '\\S+'],
    ['stalls', stallsBehind(said), 'STALLED'],
    ['pings and says nothing more', paced(said, ...pings), 'STALLED'],
    ['tells an error', streamsChunks(said, error), '\\S+'],
    ['has a malformed event', streamsChunks(said, 'data: {"choi\n\n'), 'MALFORMED_EVENT'],
    ['ends without a terminal event', streamsChunks(said), 'NO_TERMINAL'],
  ];

  test.each(
    faults,
  )('and %s behind its first word is answered by the next target, byte for byte', async (_, fault, came) => {
    scene.plays({ [FIRST[wire]]: fault, [SECOND[wire]]: streams(wire, 'second') });
    const answer = await scene.ask(routeOf(wire), { wire });
    expect([answer.status, answer.cut, answer.text]).toEqual([200, false, whole(wire, 'second')]);
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1, [SECOND[wire]]: 1 });
    expect(answer.fields.get('x-sluice-attempts')).toMatch(
      new RegExp(`^${FIRST[wire]}/one ${came}, ${SECOND[wire]}/two 200$`),
    );
    // What the first one wrote is billed all the same.
    expect(answer.facts.map(({ attempt, final }) => [attempt, final])).toEqual([
      [1, false],
      [2, true],
    ]);
  });

  test('and goes well reaches its client as it came, whatever its cuts, once its end is there', async () => {
    const text = whole(wire, 'first');
    scene.plays({ [FIRST[wire]]: paced(...(text.match(/.{1,97}/gs) ?? [])) });
    const answer = await scene.ask(routeOf(wire), { wire });
    expect([answer.status, answer.cut, answer.text]).toEqual([200, false, text]);
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1 });
  });

  test('is told whole with its terminal event, although its provider never ends the message', async () => {
    const text = opening + word('first') + end;
    scene.plays({ [FIRST[wire]]: stallsBehind(text) });
    const client = new RawClient(scene.gateway.port).send(
      post(scene.key, PATHS[wire], body(routeOf(wire))),
    );
    await until('all of it', () => Buffer.concat(client.received).includes(end.slice(-20)));
    client.close();
    await scene.gateway.idle();
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1 });
  });

  test('is not begun by the next target when its client has left, and its provider is let go at once', async () => {
    scene.plays({ [FIRST[wire]]: paced(said, ...pings), [SECOND[wire]]: streams(wire, 'second') });
    const client = new RawClient(scene.gateway.port).send(
      post(scene.key, PATHS[wire], body(routeOf(wire))),
    );
    await scene.upstreams[FIRST[wire]]?.request(0);
    expect(client.receivedBytes).toBe(0);
    client.close();
    await scene.gateway.idle();
    await scene.upstreams[FIRST[wire]]?.noneBusy();
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1 });
  });
});

describe('what is not held', () => {
  const { opening, word, end } = EVENTS.chat;

  test('is a stream with one target: its first word arrives before the next one is written', async () => {
    let release = (): void => {};
    const seen = new Promise<void>((resolve) => {
      release = resolve;
    });
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(opening + word('first'));
        await seen;
        await turn.chunk(end);
        await turn.lastChunk();
      },
    });
    const client = new RawClient(scene.gateway.port).send(
      post(scene.key, PATHS.chat, body('single')),
    );
    await until('the first word', () => Buffer.concat(client.received).includes('first'));
    release();
    expect((await client.response()).complete).toBe(true);
    client.close();
    await scene.gateway.idle();
  });

  test('is what comes while the node holds as much as it may, and the room is given back', async () => {
    const text = 'x'.repeat(9_000);
    const words = Array.from({ length: 350 }, () => word(text));
    const cutShort = async (): Promise<number> =>
      (await scene.gateway.metrics()).get('ai_hold_cut_short_total');
    const before = await cutShort();
    scene.plays({ openai: streamsChunks(opening, ...words, end), groq: answers(500, '{}') });
    const answer = await scene.ask('chat');
    expect([answer.cut, answer.text === opening + words.join('') + end]).toEqual([false, true]);
    expect(await cutShort()).toBe(before + 1);
    // Half of what the node holds, and cut: it is replaced, as nothing of the other one is held any more.
    scene.plays({
      openai: cutsBehind(opening, ...words.slice(0, 115)),
      groq: streams('chat', 'b'),
    });
    expect((await scene.ask('chat')).text).toBe(whole('chat', 'b'));
    expect(await cutShort()).toBe(before + 1);
  });
});

function body(model: string): string {
  return JSON.stringify({ model, stream: true, stream_options: { include_usage: true } });
}

/** A stream of these chunks, 15 ms apart. */
function paced(...chunks: readonly string[]): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: text/event-stream']);
    for (const chunk of chunks) {
      await turn.chunk(chunk);
      await new Promise((resolve) => setTimeout(resolve, 15));
    }
    await turn.lastChunk();
  };
}
