import { afterAll, beforeAll, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene } from '../support/routed-scene.ts';

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'vllm'],
    '[routes.chat]\ntargets = ["openai/gpt-4o"]\n[routes.own]\ntargets = ["vllm/llama"]\n',
  );
  const used = answers(
    200,
    JSON.stringify({
      model: 'm',
      choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 2_000, completion_tokens: 5, total_tokens: 2_005 },
    }),
  );
  scene.plays({ openai: used, vllm: used });
});
afterAll(async () => await scene.stop());

const SECRET = 'Nobody may read this.';
const body = (model: string, system: string, turns: number) =>
  JSON.stringify({
    model,
    messages: [
      { role: 'system', content: system },
      ...Array.from({ length: turns }, (_, nth) => ({ role: 'user', content: `Turn ${nth}` })),
    ],
  });

async function session(name: string, model: string, system: (nth: number) => string) {
  for (let nth = 0; nth < 6; nth++) {
    const { status } = await scene.ask(model, {
      stream: false,
      fields: name === '' ? {} : { 'x-sluice-session': name },
      body: body(model, system(nth), nth + 1),
    });
    expect(status).toBe(200);
  }
}

test('P5: a session with a time in its prompt is told of once, with the byte and the money; one that grows and one without a name are not', async () => {
  const timed = (nth: number) => `${SECRET} It is 12:0${nth}.`;
  await session('grows', 'chat', () => `${SECRET} Be brief.`);
  await session('', 'chat', timed);
  await session('breaks', 'chat', timed);
  await session('unpriced', 'own', timed);
  const lines = scene.gateway.events('prompt_cache_broken');
  const first = {
    level: 'warn',
    tenant_id: expect.stringMatching(/^\d+$/),
    key_id: expect.toSatisfy((id) => id === null || /^\d+$/.test(id)),
    model: 'chat',
    target: 'openai/gpt-4o',
    part: 'messages',
    offset: body('chat', timed(3), 4).indexOf('12:03') + 4,
    turns: 3,
    // 3 times 2,000 tokens at 2.50 instead of 1.25 USD for a million.
    lost_usd: '0.0075',
  };
  expect(lines).toEqual([
    expect.objectContaining(first),
    expect.objectContaining({ model: 'own', target: 'vllm/llama', lost_usd: null }),
  ]);
  expect(JSON.stringify(lines)).not.toContain('Nobody');
  const metrics = await scene.gateway.metrics();
  expect(metrics.get('ai_prompt_cache_broken_total')).toBe(2);
  expect(metrics.get('ai_prompt_prefixes_forgotten_total')).toBe(0);
});
