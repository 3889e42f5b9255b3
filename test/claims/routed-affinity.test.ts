import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene } from '../support/routed-scene.ts';

const CONFIG = `
[routes.chat]
targets = ["openai/gpt", "groq/llama"]
balance = "weight"
[routes.ordered]
targets = ["openai/gpt"]
fallbacks = ["groq/llama"]
[routes.named]
targets = ["openai/gpt"]
affinity = "header:X-My-App"
[routes.off]
targets = ["openai/gpt"]
affinity = "off"
`;
const KEYS = {
  openai: ['sk-openai-pool-1', 'sk-openai-pool-2', 'sk-openai-pool-3', 'sk-openai-pool-4'],
  groq: ['sk-groq-pool-1', 'sk-groq-pool-2', 'sk-groq-pool-3', 'sk-groq-pool-4'],
};

let scene: RoutedScene;
let neighbour: RoutedScene;

const answer = (cached: number) =>
  answers(
    200,
    JSON.stringify({
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }],
      usage: {
        prompt_tokens: 1_000,
        completion_tokens: 5,
        total_tokens: 1_005,
        prompt_tokens_details: { cached_tokens: cached },
      },
    }),
  );

beforeAll(async () => {
  scene = await startRoutedScene(['openai', 'groq'], CONFIG, KEYS);
  neighbour = await startRoutedScene(['groq', 'openai'], CONFIG, KEYS);
});
afterAll(async () => {
  await scene.stop();
  await neighbour.stop();
});
beforeEach(() => {
  for (const each of [scene, neighbour]) each.plays({ openai: answer(0), groq: answer(0) });
});

interface Said {
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: Readonly<Record<string, unknown>>;
}

/** Asks, and says which provider and pool key answered. */
async function home(
  where: RoutedScene,
  model: string,
  { fields = {}, body = {} }: Said,
): Promise<string> {
  const { upstreams } = where;
  const before = Object.values(upstreams).map(({ requests }) => requests.length);
  const asked = JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }], ...body });
  const { status } = await where.ask(model, { stream: false, fields, body: asked });
  expect(status).toBe(200);
  const seen = Object.entries(upstreams).flatMap(([name, { requests }], at) =>
    requests
      .slice(before[at])
      .map(
        (request) =>
          `${name} ${request.fields.find(([field]) => field.toLowerCase() === 'authorization')?.[1]}`,
      ),
  );
  return seen.at(-1) ?? 'nobody';
}

const homes = async (times: number, model: string, said: Said, where = scene) => {
  const seen: string[] = [];
  for (let at = 0; at < times; at++) seen.push(await home(where, model, said));
  return new Set(seen);
};

describe('a conversation stays with one target and one key', () => {
  test.each<[string, string, Said]>([
    ['x-sluice-session', 'chat', { fields: { 'x-sluice-session': 's1' } }],
    ['Claude Code\u2019s field', 'chat', { fields: { 'x-claude-code-session-id': 's1' } }],
    ['prompt_cache_key', 'chat', { body: { prompt_cache_key: 'k1' } }],
    ['metadata.user_id', 'openai/gpt', { body: { metadata: { user_id: 'u1' } } }],
    ['its beginning', 'chat', { body: { instructions: 'Be brief. '.repeat(500) } }],
    ['the field that its route names', 'named', { fields: { 'x-my-app': 'a1' } }],
  ])('that is told by %s', async (_name, model, said) => {
    expect((await homes(8, model, said)).size).toBe(1);
  });

  test.each<[string, string, Said]>([
    ['nothing tells of it', 'openai/gpt', {}],
    ['affinity is off', 'off', { fields: { 'x-sluice-session': 's1' } }],
    ['its route goes by another field', 'named', { body: { prompt_cache_key: 'k1' } }],
  ])('not where %s: keys take turns', async (_name, model, said) => {
    expect((await homes(8, model, said)).size).toBe(4);
  });

  test('and others go elsewhere', async () => {
    const seen = new Set<string>();
    for (let at = 0; at < 40; at++)
      for (const one of await homes(1, 'chat', { body: { prompt_cache_key: `k${at}` } }))
        seen.add(one);
    expect(seen.size).toBe(8);
  });
});

test('P2: two gateways that do not talk choose the same target and key for a conversation', async () => {
  for (let at = 0; at < 12; at++) {
    const said = { body: { prompt_cache_key: `p2-${at}` } };
    expect(await homes(1, 'chat', said, neighbour)).toEqual(await homes(1, 'chat', said));
  }
});

test('P3: a failover moves the conversation, which stays there although the first target is back', async () => {
  const said = { fields: { 'x-sluice-session': 'p3' } };
  const [first = ''] = await homes(1, 'chat', said);
  const down = first.startsWith('openai') ? 'openai' : 'groq';
  const up = down === 'openai' ? 'groq' : 'openai';
  const limited = answers(500, '{"error":{"message":"broken"}}');
  scene.plays({ [down]: limited, [up]: answer(0) });
  const [second = ''] = await homes(1, 'chat', said);
  expect(second.startsWith(up)).toBe(true);
  scene.plays({ openai: answer(0), groq: answer(0) });
  expect(await homes(4, 'chat', said)).toEqual(new Set([second]));
});

test('P4: the tokens that came from caches are counted as the providers tell them', async () => {
  const told = async () => {
    const metrics = await scene.gateway.metrics();
    return ['input', 'cache_read'].map((kind) => metrics.get(`ai_tokens_total{kind="${kind}"}`));
  };
  const [input = 0, read = 0] = await told();
  for (const cached of [0, 250, 900]) {
    scene.plays({ openai: answer(cached), groq: answer(cached) });
    await homes(1, 'chat', { fields: { 'x-sluice-session': 'p4' } });
  }
  expect(await told()).toEqual([input + 3_000, read + 1_150]);
});

test('P6: no byte of a request is changed for a cache', async () => {
  const body = `{ "messages": [{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral","ttl":"1h"}}]}],\n"prompt_cache_key":"p6" , "model":"chat","metadata":{"user_id":"u"}}`;
  const { status } = await scene.ask('chat', { stream: false, body });
  expect(status).toBe(200);
  const seen = Object.values(scene.upstreams).flatMap(({ requests }) => requests);
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  const sent = seen[0]?.body.toString() ?? '';
  expect(hash(sent.replace(/"model":"[^"]*"/, '"model":"chat"'))).toBe(hash(body));
  expect(seen[0]?.fields.map(([name]) => name.toLowerCase())).not.toContain('x-sluice-session');
});
