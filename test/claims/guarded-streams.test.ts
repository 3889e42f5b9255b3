import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { authorities } from '../support/gateway.ts';
import { poolKeys, signingKeys, token } from '../support/managed.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  stallsBehind,
  startRoutedScene,
  streamsChunks,
} from '../support/routed-scene.ts';

// What guards do to a stream while it streams: when they hold, when they let go, what is left of it when it breaks.

const TABLES = `[policies.default]
guards = ["pii"]
[policies.bare]
guards = []
[guards.pii]
action = "redact"
max_hold_ms = 200
[keys.1]
policy = "bare"
[routes.chat]
targets = ["openai/m"]
`;
const { opening, word, end } = EVENTS.chat;

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(['openai'], `replay_max_bytes = "1MiB"\n${TABLES}`, {}, 1);
});
afterAll(async () => await scene.stop());

/** What a client has of an answer that may not be over. */
async function begun(body: string | Uint8Array, fields: Readonly<Record<string, string>> = {}) {
  const controller = new AbortController();
  const response = await fetch(`${scene.gateway.origin}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token()}`,
      'content-type': 'application/json',
      ...fields,
    },
    body,
    signal: controller.signal,
  });
  let text = '';
  const reading = (async () => {
    for await (const piece of response.body ?? []) text += Buffer.from(piece).toString();
  })().catch(() => {});
  return {
    response,
    told: () => text,
    leave: async () => {
      controller.abort();
      await reading;
    },
  };
}

const ASKED = JSON.stringify({
  model: 'chat',
  stream: true,
  messages: [{ role: 'user', content: 'hi' }],
});

describe('a guarded stream', () => {
  test('text leaves while its provider is silent: what nothing can become of at once, the rest when its time is over', async () => {
    scene.plays({ openai: stallsBehind(opening + word('Ready. '), word('ada')) });
    const { told, leave } = await begun(ASKED);
    await until('what is settled', () => told().includes('Ready. '));
    await until('what was held', () => told().endsWith(word('ada')));
    await leave();
    await until(
      'the provider to be left',
      () => scene.upstreams['openai']?.requests[0]?.peerClosed === true,
    );
  });

  test('an address that its provider takes its time over is cut where its rest would tell it', async () => {
    let told = () => '';
    scene.plays({
      openai: async (turn) => {
        await stallsBehind(opening, word('ada.lovelace@ana'))(turn);
        await until('the first half to leave', () => told().includes('ada'));
        await turn.chunk(word('lytical.org and more') + end);
        await turn.lastChunk();
      },
    });
    ({ told } = await begun(ASKED));
    await until('the end', () => told().includes('"code":"content_filter"'));
    expect(told()).not.toContain('lytical');
  });

  test('a stream that its provider cuts ends with what is whole and an error', async () => {
    scene.plays({
      openai: cutsBehind(opening + word('To ada@analytical.org'), word(' or ada@ana').slice(0, -9)),
    });
    const { text, cut, facts } = await scene.ask('chat');
    expect(cut).toBe(true);
    expect(text).toContain(opening + word('To [EMAIL]'));
    expect(text).toMatch(/data: \{"error":\{[^\n]*\n\n$/);
    expect(text).not.toContain('analytical');
    expect(facts[0]).toMatchObject({
      outcome: 'upstream_cut',
      guards: { found: { pii: { action: 'redact', found: { email: 1 } } } },
    });
  });

  test('events without a find are the provider’s bytes, usage and all', async () => {
    const events = [
      opening,
      ...'Nothing of it is anybody’s, says he.'.split(' ').map((one) => word(`${one} `)),
      end,
    ];
    scene.plays({ openai: streamsChunks(...events) });
    const { text, facts } = await scene.ask('chat');
    expect(Buffer.from(text, 'latin1').toString()).toBe(events.join(''));
    expect(facts[0]).toMatchObject({ input_tokens: 7, output_tokens: 3, usage_source: 'reported' });
  });
});

describe('a guarded request', () => {
  const echoes: Act = async (turn) => {
    await turn.bodyDone();
    await answers(200, turn.request.body.toString())(turn);
  };

  test('one that came packed is read, too', async () => {
    scene.plays({ openai: echoes });
    const { response, told } = await begun(
      gzipSync(ASKED.replace('hi', 'ada@analytical.org').replace('true', 'false')),
      { 'content-encoding': 'gzip' },
    );
    await until('the answer', () => told() !== '');
    expect(response.status).toBe(200);
    expect(told()).toContain('[EMAIL]');
  });

  test('one that is larger than may be kept is a 413, and is nobody’s', async () => {
    scene.plays({});
    const { status } = await scene.ask('chat', {
      body: ASKED.replace('hi', 'x'.repeat(1_100_000)),
    });
    expect(status).toBe(413);
    expect(scene.asked).toEqual({});
  });

  test('what was found and read is counted', async () => {
    const before = await scene.gateway.idle();
    scene.plays({ openai: echoes });
    await scene.ask('chat', {
      body: ASKED.replace('hi', 'ada@analytical.org').replace('true', 'false'),
    });
    const after = await scene.gateway.idle();
    const grown = (name: string) => after.get(name) - before.get(name);
    expect(grown('ai_guard_requests_total')).toBe(1);
    expect(grown('ai_guard_findings_total')).toBe(1);
    expect(grown('ai_guard_scanned_bytes_total')).toBeGreaterThan(20);
    expect(grown('ai_guard_failures_total')).toBe(0);
  });

  test('a changed table counts for the requests that come after it', async () => {
    const port = scene.upstreams['openai']?.port ?? 0;
    const config = (action: string): string =>
      `workers = 1\naccess_log = true\nreplay_max_bytes = "1MiB"\n${authorities({ openai: port })}${poolKeys({ openai: 'sk-openai-pool' })}${signingKeys()}${TABLES.replace('redact', action)}`;
    const body = ASKED.replace('hi', 'ada@analytical.org').replace('true', 'false');
    scene.plays({ openai: echoes });
    await scene.gateway.reload(config('block'));
    expect((await scene.ask('chat', { body })).status).toBe(400);
    await scene.gateway.reload(config('redact'));
    expect((await scene.ask('chat', { body })).status).toBe(200);
    const told = await scene.gateway.reload(config('hide'), 'config_reload_failed');
    expect(JSON.stringify(told)).toContain('guards.pii.action');
    expect((await scene.ask('chat', { body })).status).toBe(200);
  });
});
