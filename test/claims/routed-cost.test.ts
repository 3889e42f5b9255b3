import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

let scene: RoutedScene;
let client: OpenAI;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'vllm'],
    `[routes.pair]
targets = ["vllm/blind", "vllm/seeing"]
[routes.capped]
targets = ["vllm/unpriced"]
max_cost_usd = 0.5
[routes.priced]
targets = ["openai/gpt-4o", "groq/openai/gpt-oss-20b"]
[routes.cheapest]
targets = ["openai/gpt-4o", "groq/openai/gpt-oss-20b"]
balance = "cost"
[models."vllm/blind"]
images = false
tools = true
[models."vllm/seeing"]
images = true
tools = true
`,
  );
  client = new OpenAI({ apiKey: scene.key, baseURL: `${scene.gateway.origin}/v1` });
});
afterAll(async () => await scene.stop());
beforeEach(() => {
  const good = answers(200, WHOLE);
  scene.plays({ openai: good, groq: good, vllm: good });
});

const modelSeen = (name: string): unknown =>
  (JSON.parse(scene.upstreams[name]?.requests[0]?.body.toString() ?? '{}') as { model?: unknown })
    .model;

const picture = JSON.stringify({
  model: 'pair',
  messages: [
    {
      role: 'user',
      content: [{ type: 'image_url', image_url: { url: 'https://x.example/i.png' } }],
    },
  ],
});

describe('what a request asks of a model', () => {
  test('A3: a picture goes to the target that can see, a text to the one that is written first', async () => {
    await scene.ask('pair', { stream: false, body: picture });
    expect(modelSeen('vllm')).toBe('seeing');
    scene.plays({ vllm: answers(200, WHOLE) });
    await scene.ask('pair', { stream: false });
    expect(modelSeen('vllm')).toBe('blind');
  });
});

describe('what is cheapest', () => {
  test('balance = "cost" asks it first, and auto is there without being written', async () => {
    for (const name of ['cheapest', 'auto']) {
      scene.plays({ openai: answers(200, WHOLE), groq: answers(200, WHOLE) });
      const { status, fields } = await scene.ask(name, { stream: false });
      expect([status, fields.get('x-sluice-target')]).toEqual([200, 'groq/openai/gpt-oss-20b']);
    }
  });

  test('A3: auto sends a picture to the small model that sees', async () => {
    const body = picture.replace('"pair"', '"auto"');
    const { fields } = await scene.ask('auto', { stream: false, body });
    expect(fields.get('x-sluice-target')).toBe('openai/gpt-5-mini');
  });
});

describe('a limit on what a request may cost', () => {
  test('A2: what has no price is not asked where cost is limited, and no SDK asks again', async () => {
    const asked = { model: 'capped', messages: [{ role: 'user' as const, content: 'hi' }] };
    const failure = await failureOf(client.chat.completions.create(asked));
    expect(failure).toMatchObject({ status: 400, code: 'unpriced_model' });
    const { headers } = failure as { headers: Headers };
    expect(headers.get('x-should-retry')).toBe('false');
    expect(scene.asked).toEqual({});
  });

  test.each([
    '-1',
    'free',
    '',
    '1,5',
    '0x10',
    '99999',
  ])('R4: x-sluice-max-cost: %j says nothing, and refuses nobody', async (value) => {
    const fields = { 'x-sluice-max-cost': value };
    expect((await scene.ask('vllm/x', { stream: false, fields })).status).toBe(200);
  });
});
