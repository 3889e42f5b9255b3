import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  answers,
  type RoutedScene,
  resets,
  type SceneWire,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

// What a target sealed only its own account can open: that binds a request to it among those who could, and to nobody else.

const MESSAGE = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude',
  content: [{ type: 'text', text: 'from Claude' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 5, output_tokens: 3 },
});
const OVERLOADED = '{"type":"error","error":{"type":"overloaded_error","message":"x"}}';

const ROUTES = ['chat-a', 'chat-b', 'chat-c', 'chat-d', 'chat-e', 'messages-a', 'messages-b'];

let scene: RoutedScene;
beforeAll(async () => {
  const mixed = (name: string) =>
    `[routes.${name}]\ntargets = ["anthropic/${name}"]\nfallbacks = ["groq/${name}", "anthropic/${name}-last"]\nretries = 0\n`;
  scene = await startRoutedScene(
    ['gemini', 'groq', 'anthropic'],
    `breaker_failures = 1000
${ROUTES.map(mixed).join('')}
[routes.gemini-first]
targets = ["gemini/one"]
fallbacks = ["groq/two", "anthropic/three"]
retries = 0
`,
    { anthropic: ['sk-ant-a', 'sk-ant-b', 'sk-ant-c'], gemini: ['sk-gem-a', 'sk-gem-b'] },
  );
});
afterAll(async () => await scene.stop());

const HI = { role: 'user', content: 'hi' };
const SIGNATURE = 'EqoB'.repeat(500);
const CHAT_TURN = {
  role: 'assistant',
  content: 'hello',
  thinking_blocks: [{ type: 'thinking', thinking: 'hm', signature: SIGNATURE }],
};
const turnOf = (signature: string) => ({
  role: 'assistant',
  content: [
    { type: 'thinking', thinking: 'hm', signature },
    { type: 'text', text: 'hello' },
  ],
});
const GOOGLE_TURN = {
  role: 'assistant',
  content: null,
  tool_calls: [
    {
      id: 'call_1',
      type: 'function',
      function: { name: 'clock', arguments: '{}' },
      extra_content: { google: { thought_signature: 'CiQB' } },
    },
  ],
};
const RESULT = { role: 'tool', tool_call_id: 'call_1', content: '12:00' };

const ask = async (
  wire: SceneWire,
  model: string,
  turns: readonly object[],
  fields: Readonly<Record<string, string>> = {},
) =>
  await scene.ask('', {
    wire,
    fields,
    body: JSON.stringify({ model, max_tokens: 9, messages: [HI, ...turns, HI] }),
  });

const sentTo = (provider: string): string =>
  scene.upstreams[provider]?.requests[0]?.body.toString() ?? '';
const keysOf = (provider: string): readonly unknown[] =>
  (scene.upstreams[provider]?.requests ?? []).map((request) => request.field('x-api-key'));

describe('what Claude sealed in a conversation over a mixed route', () => {
  test("goes back to Claude; where that fails, a target of the caller's wire gets the conversation without it, and the caller is told", async () => {
    scene.plays({ anthropic: answers(529, OVERLOADED), groq: answers(200, WHOLE) });
    const answer = await ask('chat', 'chat-a', [CHAT_TURN]);
    expect([answer.status, answer.text]).toEqual([200, WHOLE]);
    expect(sentTo('anthropic')).toContain(SIGNATURE);
    expect(sentTo('groq')).toContain('hello');
    expect(sentTo('groq')).not.toContain('EqoB');
    expect(answer.fields.get('x-sluice-dropped')).toBe('messages.thinking_blocks');
  });

  test('is asked of the first Claude alone, with one of its keys', async () => {
    scene.plays({ anthropic: answers(529, OVERLOADED), groq: resets });
    const answer = await ask('chat', 'chat-b', [CHAT_TURN]);
    expect(answer.status).toBe(502);
    expect(scene.asked).toEqual({ anthropic: 1, groq: 1 });
    scene.plays({ anthropic: answers(429, OVERLOADED), groq: answers(200, WHOLE) });
    expect((await ask('chat', 'chat-c', [CHAT_TURN])).status).toBe(200);
    expect(keysOf('anthropic')).toHaveLength(1);
    // Without it every key of the provider is tried, and so is its other model.
    scene.plays({ anthropic: answers(429, OVERLOADED), groq: answers(429, OVERLOADED) });
    await ask('chat', 'chat-d', []);
    expect(new Set(keysOf('anthropic')).size).toBe(3);
    expect(scene.asked['anthropic']).toBeGreaterThan(3);
  });

  test('binds no caller of its own wire to it either: another wire has no use for it', async () => {
    scene.plays({ anthropic: resets, groq: answers(200, WHOLE) });
    const answer = await ask('messages', 'messages-a', [turnOf(SIGNATURE)]);
    expect([answer.status, scene.asked]).toEqual([200, { anthropic: 1, groq: 1 }]);
    expect(sentTo('groq')).not.toContain('EqoB');
  });

  test('is not lost without a word: with x-sluice-strict only its maker is asked', async () => {
    scene.plays({ anthropic: answers(529, OVERLOADED), groq: answers(200, WHOLE) });
    const strict = { 'x-sluice-strict': 'true' };
    expect((await ask('chat', 'chat-e', [CHAT_TURN], strict)).status).toBe(503);
    expect(scene.asked).toEqual({ anthropic: 1 });
  });
});

describe('what Gemini sealed in a conversation over a mixed route', () => {
  test('goes back to Gemini with one of its keys, and to nobody else', async () => {
    scene.plays({
      gemini: answers(429, '{}'),
      groq: resets,
      anthropic: answers(200, MESSAGE),
    });
    const answer = await ask('chat', 'gemini-first', [GOOGLE_TURN, RESULT]);
    expect([answer.status, scene.asked]).toEqual([200, { gemini: 1, groq: 1, anthropic: 1 }]);
    expect(sentTo('gemini')).toContain('CiQB');
    for (const provider of ['groq', 'anthropic']) {
      expect(sentTo(provider)).toContain('clock');
      expect(sentTo(provider)).not.toContain('CiQB');
    }
  });

  test("binds nobody where no target of the plan is Gemini's, whatever wire it came over", async () => {
    scene.plays({ anthropic: [resets, answers(200, MESSAGE)], groq: resets });
    const sealed = turnOf(`sluice.gemini.${'CiQB'.repeat(600)}`);
    const answer = await ask('messages', 'messages-b', [sealed]);
    expect([answer.status, scene.asked]).toEqual([200, { anthropic: 2, groq: 1 }]);
    for (const provider of ['groq', 'anthropic']) expect(sentTo(provider)).not.toContain('CiQB');
  });
});
