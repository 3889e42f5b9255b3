import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  EVENTS,
  type RoutedScene,
  resets,
  stallsBehind,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';

/** Runs one scene, and ends it however the test goes. */
async function inScene(
  names: readonly string[],
  config: string,
  run: (scene: RoutedScene) => Promise<void>,
): Promise<void> {
  const scene = await startRoutedScene(names, config);
  try {
    await run(scene);
  } finally {
    await scene.stop();
  }
}

describe('a breaker that one failure opens', () => {
  const FRAGILE = `breaker_failures = 1
breaker_share = 0.001
breaker_open_secs = 600
breaker_open_max_secs = 600
[routes.chat]
targets = ["openai/one"]
retries = 0
first_content_timeout_secs = 600
`;

  test('stays closed whatever callers do: 4xx of theirs, and leaving in each phase (B1)', async () => {
    await inScene(['openai'], FRAGILE, async (scene) => {
      const told = [
        answers(400, '{"error":{"message":"temperature"}}'),
        answers(404, '{"error":{"message":"no such thing"}}'),
        answers(409, '{}'),
        answers(413, '{}'),
        answers(415, '{}'),
        answers(422, '{}'),
        answers(400, '{"error":{"code":"context_length_exceeded"}}'),
        answers(400, '{"error":{"code":"content_filter"}}'),
      ];
      for (const act of [...told, ...told]) {
        scene.plays({ openai: act });
        await scene.ask('chat', { stream: false });
        expect(scene.asked).toEqual({ openai: 1 });
      }
      for (const act of [
        () => {},
        stallsBehind(EVENTS.chat.opening),
        stallsBehind(EVENTS.chat.word('a')),
      ]) {
        for (let again = 0; again < 5; again++) {
          scene.plays({ openai: act });
          const body = '{"model":"chat","stream":true,"stream_options":{"include_usage":true}}';
          const client = new RawClient(scene.gateway.port).send(post(scene.key, CHAT, body));
          await scene.upstreams['openai']?.request(0);
          client.close();
          await scene.gateway.idle();
        }
      }
      scene.plays({ openai: answers(200, WHOLE) });
      const answer = await scene.ask('chat', { stream: false });
      expect([answer.status, scene.asked]).toEqual([200, { openai: 1 }]);
    });
  });

  test.each([
    ['an open breaker', answers(500, '{}')],
    ['a key that rests', answers(429, '{}', ['retry-after: 500'])],
    ['a refused key', answers(401, '{}')],
  ])('%s is as it was when a reload has changed something else (B5)', async (_, act) => {
    await inScene(['openai'], FRAGILE, async (scene) => {
      scene.plays({ openai: act });
      await scene.ask('chat', { stream: false });
      const { file } = scene.gateway;
      const config = readFileSync(file, 'utf8');
      await scene.gateway.reload(
        config.replace('first_content_timeout_secs = 600', 'first_content_timeout_secs = 500'),
      );
      scene.plays({ openai: answers(200, WHOLE) });
      const answer = await scene.ask('chat', { stream: false });
      expect([answer.status, scene.asked]).toEqual([503, {}]);
      expect(answer.text).toContain('no_target');
      expect(Number(answer.fields.get('retry-after'))).toBeGreaterThan(400);
    });
  });

  test('of a provider that always fails lets one probe through each time it is open, and no caller waits for it (B2)', async () => {
    const config = FRAGILE.replace('breaker_open_secs = 600', 'breaker_open_secs = 0.3')
      .replace('breaker_open_max_secs = 600', 'breaker_open_max_secs = 0.3')
      .replace('retries = 0', 'fallbacks = ["groq/two"]\nretries = 0');
    await inScene(['openai', 'groq'], config, async (scene) => {
      scene.plays({ openai: answers(500, '{}'), groq: answers(200, WHOLE) });
      const began = performance.now();
      let asked = 0;
      await until('four probes', async () => {
        await Promise.all(
          Array.from({ length: 8 }, async () => {
            const response = await fetch(scene.gateway.origin + CHAT, {
              method: 'POST',
              headers: { authorization: `Bearer ${scene.key}` },
              body: '{"model":"chat"}',
            });
            expect(await response.text()).toBe(WHOLE);
            asked++;
          }),
        );
        return (scene.asked['openai'] ?? 0) >= 12;
      });
      // Eight at once may have gone out before the first failure; each later one is a probe of its own 0.3 s (less a tenth).
      const intervals = (performance.now() - began) / (300 * 0.9);
      expect(scene.asked['openai']).toBeLessThanOrEqual(8 + Math.ceil(intervals));
      expect(scene.asked['groq']).toBe(asked);
    });
  });
});

test.each([
  [
    'a loop',
    '[routes.a]\ntargets = ["b"]\n[routes.b]\ntargets = ["openai/m"]\nfallbacks = ["a"]\n',
    'a -> b -> a',
  ],
  ['an unknown provider', '[routes.a]\ntargets = ["nobody/m"]\n', 'nobody/m'],
  ['an alias of nobody', '[provider_aliases]\nx = "nobody"\n', 'provider_aliases.x'],
  [
    'a chain of nine',
    Array.from(
      { length: 9 },
      (_, at) => `[routes.r${at}]\ntargets = ["${at === 8 ? 'openai/m' : `r${at + 1}`}"]\n`,
    ).join(''),
    'r0 -> r1',
  ],
])('%s stops a reload with its file and key, and what ran goes on (R2)', async (_, tables, says) => {
  await inScene(['openai'], '[routes.chat]\ntargets = ["openai/one"]\n', async (scene) => {
    const config = readFileSync(scene.gateway.file, 'utf8');
    const told = await scene.gateway.reload(config + tables, 'config_reload_failed');
    expect(JSON.stringify(told['problems'])).toContain(says);
    expect(JSON.stringify(told['problems'])).toContain(scene.gateway.file);
    scene.plays({ openai: answers(200, WHOLE) });
    expect((await scene.ask('chat', { stream: false })).status).toBe(200);
    expect((await scene.ask('a', { stream: false })).fields.get('x-sluice-target')).toBeNull();
  });
});

test('what a caller wishes for in fields is never a 4xx, and what nobody knows is passed over (R4)', async () => {
  const routes = `[provider_aliases]
house = "groq"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
`;
  await inScene(['openai', 'groq', 'xai'], routes, async (scene) => {
    const odd = [
      'nobody',
      'nobody/m, , ,,',
      ',',
      'x'.repeat(5_000),
      'a,'.repeat(2_000),
      '{"json": true}',
      '\u00e9\u00e9',
      '../../etc',
      'openai/',
      '/one',
    ];
    for (const value of odd) {
      for (const name of [
        'x-sluice-order',
        'x-sluice-only',
        'x-sluice-session',
        'x-sluice-max-cost',
        'x-sluice-cache',
      ]) {
        scene.plays({ openai: answers(200, WHOLE), groq: answers(200, WHOLE) });
        const answer = await scene.ask('chat', { stream: false, fields: { [name]: value } });
        expect([
          name,
          value.slice(0, 20),
          answer.status,
          answer.fields.get('x-sluice-target'),
        ]).toEqual([name, value.slice(0, 20), 200, 'openai/one']);
      }
    }
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_wishes_dropped_total')).toBeGreaterThan(odd.length);
    // What is known is obeyed, beside what is not.
    for (const [fields, target] of [
      [{ 'x-sluice-order': 'nobody, groq' }, 'groq/two'],
      [{ 'x-sluice-only': 'nobody, groq/two' }, 'groq/two'],
      [{ 'x-sluice-order': 'groq/two, openai' }, 'groq/two'],
      [{ 'x-sluice-only': 'house' }, 'groq/two'],
    ] as const) {
      scene.plays({ openai: answers(200, WHOLE), groq: answers(200, WHOLE) });
      const answer = await scene.ask('chat', { stream: false, fields });
      expect(answer.fields.get('x-sluice-target')).toBe(target);
    }
    // A provider that is one, and not of this route: there is nothing to try.
    scene.plays({});
    const none = await scene.ask('chat', { stream: false, fields: { 'x-sluice-only': 'xai' } });
    expect([none.status, scene.asked]).toEqual([503, {}]);
  });
});

test('weights hold on the wire, and nobody gets twice his share while another one idles (L3)', async () => {
  const routes = `breaker_failures = 1000000
[routes.even]
targets = ["openai/a", "groq/b", "xai/c"]
balance = "latency"
[routes.weighed]
targets = [{ to = "openai/a", weight = 3 }, "groq/b"]
balance = "weight"
`;
  await inScene(['openai', 'groq', 'xai'], routes, async (scene) => {
    const share = async (model: string, count: number) => {
      scene.plays({
        openai: answers(200, WHOLE),
        groq: answers(200, WHOLE),
        xai: answers(200, WHOLE),
      });
      for (let made = 0; made < count; made += 20) {
        await Promise.all(
          Array.from({ length: 20 }, async () => {
            const response = await fetch(scene.gateway.origin + CHAT, {
              method: 'POST',
              headers: { authorization: `Bearer ${scene.key}` },
              body: JSON.stringify({ model }),
            });
            await response.text();
          }),
        );
      }
      return scene.asked;
    };
    const even = await share('even', 600);
    // Of three equals each is due 200: twice that is a herd. Six standard deviations of chance are on top.
    for (const name of ['openai', 'groq', 'xai']) expect(even[name] ?? 0).toBeLessThan(400 + 70);
    const weighed = await share('weighed', 600);
    expect(Math.abs((weighed['openai'] ?? 0) - 450)).toBeLessThan(70);
  });
});

test('of a body that is kept for another target nothing is kept once nobody can ask for it (F12)', async () => {
  const config = `replay_memory_bytes = "3MiB"
breaker_failures = 1000000
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
`;
  await inScene(['openai', 'groq'], config, async (scene) => {
    const body = JSON.stringify({ model: 'chat', input: 'x'.repeat(2_000_000) });
    for (let again = 0; again < 4; again++) {
      scene.plays({ openai: resets, groq: answers(200, WHOLE) });
      expect((await scene.ask('', { body })).fields.get('x-sluice-target')).toBe('groq/two');
      // Committed and open: it may stay so for an hour, and keeps none of it.
      scene.plays({ openai: stallsBehind(EVENTS.chat.opening, EVENTS.chat.word('a')) });
      const streamed = post(scene.key, CHAT, body.replace('{', '{"stream":true,'));
      const client = new RawClient(scene.gateway.port).send(streamed);
      await until('its first word', () => client.receivedBytes > 0);
      scene.plays({ openai: resets, groq: streams('chat', 'second') });
      expect((await fetched(scene, body)).headers.get('x-sluice-target')).toBe('groq/two');
      client.close();
    }
    expect((await scene.gateway.idle()).get('ai_replay_skipped_total')).toBe(0);
  });
});

test.each([
  ['leaves in the middle of it', resetsBehind(10_000_000)],
  ['says 503 when it has all of it', answers(503, '{}')],
])('a body of 30 MB that names its model last, and spelled with escapes, goes whole to the next target when the first %s (R5)', async (_, act) => {
  const config = '[routes.chat]\ntargets = ["openai/one"]\nfallbacks = ["groq/two"]\nretries = 0\n';
  await inScene(['openai', 'groq'], config, async (scene) => {
    const front = `{"input":{"model":"not this","text":"${'x'.repeat(30_000_000)}"},`;
    scene.plays({ openai: act, groq: answers(200, WHOLE) });
    const answer = await fetched(scene, `${front}"mod\\u0065l":"ch\\u0061t"}`);
    expect([answer.status, answer.headers.get('x-sluice-target')]).toEqual([200, 'groq/two']);
    // Its root `model` is edited, and no other byte.
    const sent = `${front}"mod\\u0065l":"two"}`;
    const [request] = scene.upstreams['groq']?.requests ?? [];
    expect(request?.sha256).toBe(createHash('sha256').update(sent).digest('hex'));
    expect((await scene.gateway.idle()).get('ai_replay_skipped_total')).toBe(0);
  });
});

/** Reads so many bytes of a body, and leaves. */
function resetsBehind(bytes: number): Act {
  return async (turn) => {
    await until('enough of the body', () => turn.request.bodyBytes >= bytes);
    turn.reset();
  };
}

async function fetched(scene: RoutedScene, body: string): Promise<Response> {
  const response = await fetch(scene.gateway.origin + CHAT, {
    method: 'POST',
    headers: { authorization: `Bearer ${scene.key}` },
    body,
  });
  await response.text();
  return response;
}
