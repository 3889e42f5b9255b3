import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { facts } from '../support/managed.ts';
import { post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  EVENTS,
  type RoutedScene,
  resets,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';

const CHAT = '/v1/chat/completions';

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq'],
    `breaker_failures = 1000000
replay_max_bytes = "1MiB"
replay_memory_bytes = "2MiB"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
[routes.wait]
targets = ["openai/waited"]
fallbacks = ["groq/two"]
`,
  );
});
afterAll(async () => await scene.stop());

/** A whole answer of about so many bytes, none of it like another. */
function large(bytes: number): string {
  let text = '';
  for (let n = 0; text.length < bytes; n++) text += `${n.toString(36)} `;
  return JSON.stringify({
    id: 'c',
    model: 'm',
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
  });
}

/** Cut as soon as `when` resolves: what a reset finds in the kernel's buffers is lost. */
const cutBehind =
  (body: string, when: Promise<unknown>): Act =>
  async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: application/json']);
    await turn.chunk(body);
    await when;
    turn.reset();
  };

describe('a whole answer that is held to its end', () => {
  test.each([
    ['under', 7_500_000],
    ['over', 12_000_000],
  ])('%s the bound of 8 MiB reaches a slow reader in order and whole', async (_, bytes) => {
    const body = large(bytes);
    scene.plays({ openai: answers(200, body), groq: answers(200, WHOLE) });
    const client = new RawClient(scene.gateway.port, { readBytesPerSecond: 8_000_000 }).send(
      post(scene.key, CHAT, '{"model":"chat"}'),
    );
    const response = await client.response();
    expect([response.status, response.complete, response.body.length]).toEqual([
      200,
      true,
      body.length,
    ]);
    expect(response.body.toString() === body).toBe(true);
    client.close();
    await scene.gateway.idle();
  });

  test('and is let go at its bound is a cut when its provider cuts it behind that, whatever of it still waits', async () => {
    const body = large(12_000_000).slice(0, 11_000_000);
    let cut = (): void => {};
    const begun = new Promise<void>((resolve) => {
      cut = resolve;
    });
    scene.plays({ openai: cutBehind(body, begun), groq: answers(200, WHOLE) });
    const client = new RawClient(scene.gateway.port, { readBytesPerSecond: 8_000_000 }).send(
      post(scene.key, CHAT, '{"model":"chat"}'),
    );
    await until('the beginning', () => client.receivedBytes > 0);
    cut();
    const response = await client.response();
    expect(response.complete).toBe(false);
    expect(body.startsWith(response.body.toString())).toBe(true);
    expect(scene.asked).toEqual({ openai: 1 });
    client.close();
    await scene.gateway.idle();
  });

  test('is nobodys when its reader leaves while it is flushed', async () => {
    scene.plays({ openai: answers(200, large(7_500_000)) });
    const client = new RawClient(scene.gateway.port, {
      onData: (socket) => socket.pause(),
    }).send(post(scene.key, CHAT, '{"model":"chat"}'));
    await until('the first bytes', () => client.receivedBytes > 0);
    client.close();
    await scene.gateway.idle();
    scene.plays({ openai: answers(200, WHOLE) });
    expect((await scene.ask('chat', { stream: false })).text).toBe(WHOLE);
  });
});

describe('a body', () => {
  test('that came packed is unpacked, routed by what is in it, and kept for the next target', async () => {
    scene.plays({ openai: resets, groq: answers(200, WHOLE) });
    const body = JSON.stringify({ model: 'chat', messages: ['x'.repeat(200_000)] });
    const packed = gzipSync(body);
    const client = new RawClient(scene.gateway.port).send(
      Buffer.concat([
        Buffer.from(
          `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${scene.key}\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n`,
        ),
        packed,
      ]),
    );
    const response = await client.response();
    expect([response.status, response.body.toString()]).toEqual([200, WHOLE]);
    const sent = scene.upstreams['groq']?.requests[0];
    expect(sent?.body.toString()).toBe(body.replace('"chat"', '"two"'));
    expect(sent?.field('content-encoding')).toBeUndefined();
    client.close();
    await scene.gateway.idle();
  });

  test('in chunks, after a 100, with its model in the last one, is kept for the next target', async () => {
    scene.plays({ openai: answers(503, '{}'), groq: streams('chat', 'second') });
    const client = new RawClient(scene.gateway.port).send(
      `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${scene.key}\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    const parts = [
      '{"stream":true,"stream_options":{"include_usage":true}',
      ',"model":"ch',
      'at"}',
    ];
    for (const part of parts) client.send(`${part.length.toString(16)}\r\n${part}\r\n`);
    client.send('0\r\n\r\n');
    const response = await client.response();
    expect(response.body.toString()).toBe(
      EVENTS.chat.opening + EVENTS.chat.word('second') + EVENTS.chat.end,
    );
    expect(scene.upstreams['groq']?.requests[0]?.body.toString()).toBe(
      `${parts[0]},"model":"two"}`,
    );
    client.close();
    await scene.gateway.idle();
  });

  test('is not blamed on its caller when the node keeps as much as it may', async () => {
    scene.plays({ openai: answers(200, WHOLE) });
    const begun = (characters: number): string =>
      `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${scene.key}\r\nContent-Length: 1048000\r\n\r\n{"input":"${'x'.repeat(characters)}`;
    // Who declares much and sends nothing takes next to nothing.
    const idle = Array.from({ length: 20 }, () => new RawClient(scene.gateway.port).send(begun(0)));
    const beside = new RawClient(scene.gateway.port).send(
      post(scene.key, CHAT, `{"input":"${'x'.repeat(50_000)}","model":"chat"}`),
    );
    expect((await beside.response()).status).toBe(200);
    for (const client of [beside, ...idle]) client.close();
    await scene.gateway.idle();
    // Two bodies that never end take all that the node may keep.
    const slow: RawClient[] = [];
    const blamed = await until('the node to be full', async () => {
      // One that was refused while the others came is sent again.
      while (slow.filter(({ receivedBytes }) => receivedBytes === 0).length < 2)
        slow.push(new RawClient(scene.gateway.port).send(begun(1_040_000)));
      const client = new RawClient(scene.gateway.port).send(
        `POST ${CHAT} HTTP/1.1\r\nHost: s\r\nAuthorization: Bearer ${scene.key}\r\nContent-Length: 100000\r\n\r\n{"input":"${'x'.repeat(50_000)}`,
      );
      await until('an answer, or none', () => client.receivedBytes > 0, 300).catch(() => false);
      const response = client.receivedBytes > 0 && (await client.response());
      client.close();
      return response;
    });
    expect([blamed.status, blamed.field('retry-after')]).toEqual([503, '1']);
    for (const client of slow) client.close();
    await scene.gateway.idle();
    // And all of it is given back.
    scene.plays({ openai: resets, groq: answers(200, WHOLE) });
    const answer = await scene.ask('chat', { stream: false });
    expect([answer.status, scene.asked]).toEqual([200, { openai: 1, groq: 1 }]);
  });
});

test('a caller that leaves while a wait is sat out is asked for nowhere else, and its one attempt is final', async () => {
  const before = facts(scene.gateway).length;
  scene.plays({ openai: answers(429, '{}', ['retry-after-ms: 1500']), groq: answers(200, WHOLE) });
  const client = new RawClient(scene.gateway.port).send(post(scene.key, CHAT, '{"model":"wait"}'));
  await until('the 429', async () => {
    const metrics = await scene.gateway.metrics();
    return metrics.get('ai_failovers_total{reason="rate_limit"}') > 0;
  });
  client.close();
  await scene.gateway.idle();
  const told = await until('its fact', () => facts(scene.gateway).slice(before)[0]);
  expect([told['attempt'], told['final']]).toEqual([1, true]);
  expect(scene.asked).toEqual({ openai: 1 });
});
