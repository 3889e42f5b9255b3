import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  EVENTS,
  PATHS,
  type RoutedScene,
  startRoutedScene,
  streams,
} from '../support/routed-scene.ts';

// What a translation keeps of answers is the node's, as what is held of them is: bounded for all, and given back.

let scene: RoutedScene;
beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'anthropic'],
    'hold_memory_bytes = "1MiB"\nbreaker_failures = 1000\n[routes.unused]\ntargets = ["openai/x"]\n',
  );
});
afterAll(async () => await scene.stop());

const message = (text: string): string =>
  JSON.stringify({
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude',
    content: [{ type: 'text', text }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    usage: { input_tokens: 5, output_tokens: 3 },
  });

const ask = async (stream: boolean) => await scene.ask('anthropic/claude-x', { stream });

/** Says that it will send all of an answer, and stops in its middle. */
const half = (body: string): Act => {
  return async (turn) => {
    await turn.bodyDone();
    await turn.write(
      `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, body.length / 2)}`,
    );
  };
};

/** One event of many pieces. */
const large = (units: number, behind: Act): Act => {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: text/event-stream']);
    await turn.chunk(EVENTS.messages.opening);
    const event = EVENTS.messages.word('x'.repeat(units));
    for (let at = 0; at < event.length; at += 65_536)
      await turn.chunk(event.slice(at, at + 65_536));
    await behind(turn);
  };
};

const ends: Act = async (turn) => {
  await turn.chunk(EVENTS.messages.end);
  await turn.lastChunk();
};

describe('an answer that is told whole', () => {
  test('gives back what it took when its client leaves in its middle', async () => {
    scene.plays({ anthropic: half(message('x'.repeat(700_000))) });
    for (let times = 0; times < 4; times++) {
      const client = new RawClient(scene.gateway.port).send(
        post(
          scene.key,
          PATHS.chat,
          '{"model":"anthropic/claude-x","messages":[{"role":"user","content":"x"}]}',
        ),
      );
      const asked = await until(
        'it was asked for',
        () => scene.upstreams['anthropic']?.requests[times],
      );
      await until('its half was sent', () => asked.bodyDone);
      client.close();
      await scene.gateway.idle();
    }
    scene.plays({ anthropic: answers(200, message('y'.repeat(700_000))) });
    const answer = await ask(false);
    expect([answer.status, answer.text.length > 700_000]).toEqual([200, true]);
  });

  test('is a failure of the gateway’s own where the node has no room for it, and the provider is left', async () => {
    scene.plays({ anthropic: half(message('x'.repeat(3_000_000))) });
    const answer = await ask(false);
    expect(answer.status).toBe(503);
    expect(answer.text).toContain('overloaded');
    const asked = scene.upstreams['anthropic']?.requests[0];
    await until('the provider was left', () => asked?.peerClosed);
  });
});

describe('a stream', () => {
  test('is told with an event as large as there is room for', async () => {
    scene.plays({ anthropic: large(600_000, ends) });
    const answer = await ask(true);
    expect(answer.text).toContain('x'.repeat(600_000));
    expect(answer.text.trimEnd().endsWith('data: [DONE]')).toBe(true);
  });

  test('ends with an error where the node has no room for an event, is counted, and others are told behind it', async () => {
    const counted = async () => (await scene.gateway.metrics()).get('ai_hold_cut_short_total') ?? 0;
    const before = await counted();
    scene.plays({ anthropic: large(3_000_000, () => {}) });
    const answer = await ask(true);
    expect(answer.cut).toBe(true);
    expect(answer.text).toContain('"code":"overloaded"');
    expect(answer.text).not.toContain('[DONE]');
    expect(await counted()).toBe(before + 1);
    for (let times = 0; times < 3; times++) {
      scene.plays({ anthropic: large(600_000, ends) });
      expect((await ask(true)).text.trimEnd().endsWith('data: [DONE]')).toBe(true);
    }
  });

  test('gives back what it took when its client leaves within an event', async () => {
    scene.plays({ anthropic: large(700_000, () => {}) });
    for (let times = 0; times < 4; times++) {
      const client = new RawClient(scene.gateway.port).send(
        post(
          scene.key,
          PATHS.chat,
          '{"model":"anthropic/claude-x","stream":true,"messages":[{"role":"user","content":"x"}]}',
        ),
      );
      await until('its beginning was told', () => client.receivedBytes > 0);
      client.close();
      await scene.gateway.idle();
    }
    scene.plays({ anthropic: streams('messages', 'word') });
    expect((await ask(true)).text).toContain('word');
  });

  test('whose provider told an error is over with that, although its provider goes on', async () => {
    scene.plays({
      anthropic: async (turn) => {
        await turn.bodyDone();
        await turn.stream(['content-type: text/event-stream']);
        await turn.chunk(EVENTS.messages.opening + EVENTS.messages.word('half'));
        await turn.chunk(EVENTS.messages.error);
      },
    });
    const answer = await ask(true);
    expect(answer.text).toContain('half');
    expect(answer.text).toContain('Overloaded');
    expect(answer.text).not.toContain('[DONE]');
    const asked = scene.upstreams['anthropic']?.requests[0];
    await until('the provider was left', () => asked?.peerClosed);
  });
});
