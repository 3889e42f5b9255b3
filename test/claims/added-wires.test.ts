import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'gemini', 'azure', 'ollama'],
    '[routes.chat]\ntargets = ["gemini/gemini-2.5-flash"]\n',
    { ollama: [] },
  );
});
afterAll(async () => await scene.stop());

const keysSeen = (name: string): readonly (readonly [string, string])[] =>
  (scene.upstreams[name]?.requests[0]?.fields ?? [])
    .map(([field, value]) => [field.toLowerCase(), value] as const)
    .filter(([field]) =>
      ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'].includes(field),
    );

describe('providers that somebody sets up, or that have two wires', () => {
  test.each([
    ['gemini/gemini-2.5-flash', 'gemini', '/v1beta/openai/chat/completions'],
    ['google/gemini-2.5-flash', 'gemini', '/v1beta/openai/chat/completions'],
    ['chat', 'gemini', '/v1beta/openai/chat/completions'],
    ['azure/gpt-4o', 'azure', '/openai/v1/chat/completions'],
    ['ollama/llama3.2', 'ollama', '/v1/chat/completions'],
  ])('a virtual key\u2019s %s reaches %s at %s with that provider\u2019s key', async (model, name, target) => {
    scene.plays({ [name]: answers(200, WHOLE) });
    const answer = await scene.ask(model, { stream: false });
    expect([answer.status, answer.text]).toEqual([200, WHOLE]);
    expect(scene.asked).toEqual({ [name]: 1 });
    expect(scene.upstreams[name]?.requests[0]?.target).toBe(target);
    const keys = {
      gemini: [['authorization', 'Bearer sk-gemini-pool']],
      azure: [['api-key', 'sk-azure-pool']],
      ollama: [],
    };
    expect(keysSeen(name)).toEqual(keys[name as keyof typeof keys]);
  });

  const USAGE =
    '"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}';

  test('Gemini\u2019s own wire gets the key in its own field, and is metered', async () => {
    scene.plays({ gemini: answers(200, `{"candidates":[{}],"modelVersion":"g-1",${USAGE}}`) });
    const path = '/gemini/v1beta/models/gemini-2.5-flash:generateContent?alt=json';
    const answer = await scene.ask('', { path, body: '{"contents":[]}' });
    expect(answer.status).toBe(200);
    const [sent] = scene.upstreams['gemini']?.requests ?? [];
    expect(sent?.target).toBe('/v1beta/models/gemini-2.5-flash:generateContent?alt=json');
    expect(keysSeen('gemini')).toEqual([['x-goog-api-key', 'sk-gemini-pool']]);
    expect(answer.facts).toMatchObject([
      { provider: 'gemini', model: 'g-1', input_tokens: 5, output_tokens: 2 },
    ]);
  });

  test('Ollama\u2019s own wire needs no key, and is metered', async () => {
    const last = '{"model":"llama3.2","done":true,"prompt_eval_count":26,"eval_count":9}';
    scene.plays({ ollama: answers(200, last) });
    const answer = await scene.ask('', { path: '/ollama/api/chat', body: '{"model":"llama3.2"}' });
    expect(answer.status).toBe(200);
    expect(keysSeen('ollama')).toEqual([]);
    expect(answer.facts).toMatchObject([
      { provider: 'ollama', model: 'llama3.2', input_tokens: 26, output_tokens: 9 },
    ]);
  });

  test.each([
    '/v1beta/models/x:generateContent',
    '/v1beta/openai/chat/completions',
  ])('POST %s without a provider in front is nobody\u2019s', async (path) => {
    scene.plays({});
    const answer = await scene.ask('gemini/x', { path });
    expect([answer.status, scene.asked]).toEqual([404, {}]);
    expect(answer.text).toContain('unknown_provider');
  });
});
