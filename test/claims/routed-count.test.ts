import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { answers, type RoutedScene, startRoutedScene } from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// Claude Code asks how many tokens a conversation has before it sends it, and compacts it by the answer.

const COUNT = '/v1/messages/count_tokens';

let scene: RoutedScene;
let anthropic: Anthropic;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic'],
    `replay_max_bytes = "1MiB"
[routes.foreign]
targets = ["openai/gpt-4o"]
fallbacks = ["groq/llama"]
[routes.mixed]
targets = ["openai/gpt-4o"]
fallbacks = ["anthropic/claude-sonnet-4-5"]
[routes.dense]
targets = ["openai/dense"]
[models."openai/dense"]
tokens_per_byte = 1
`,
  );
  const baseURL = scene.gateway.origin;
  anthropic = new Anthropic({ authToken: scene.key, apiKey: null, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

const SENTENCE = 'The quick brown fox jumps over the lazy dog, and nobody minds. ';
const turns = (content: string) => [{ role: 'user' as const, content }];
const asked = (content: string) => JSON.stringify({ messages: turns(content) });
const countOf = async (model: string, content: string): Promise<number> =>
  (await anthropic.messages.countTokens({ model, messages: turns(content) })).input_tokens;

describe('a count of tokens on a route that Anthropic has no part in', () => {
  test('is an estimate of the gateway that says so; no provider hears of it, and no fact tells of it', async () => {
    scene.plays({});
    const body = JSON.stringify({ model: 'foreign', ...JSON.parse(asked(SENTENCE)) });
    const answer = await scene.ask('foreign', { path: COUNT, body });
    expect([answer.status, scene.asked, answer.facts]).toEqual([200, {}, []]);
    expect(answer.fields.get('content-type')).toBe('application/json');
    expect(answer.fields.get('x-sluice-estimated')).toBe('input_tokens');
    expect(answer.fields.get('x-sluice-target')).toBe('openai/gpt-4o');
    const { input_tokens } = JSON.parse(answer.text) as { input_tokens: number };
    expect(input_tokens).toBeGreaterThan(SENTENCE.split(' ').length);
  });

  test("grows with what is said, and reads a picture's base64 for what a picture costs", async () => {
    scene.plays({});
    const short = await countOf('foreign', SENTENCE);
    const long = await countOf('foreign', SENTENCE.repeat(1_000));
    // As many tokens a sentence as it has words, and two marks.
    expect(long - short).toBeGreaterThan(999 * 14);
    expect(long - short).toBeLessThan(999 * SENTENCE.length);
    const data = Buffer.alloc(300_000, 'sluice').toString('base64');
    const { input_tokens: seen } = await anthropic.messages.countTokens({
      model: 'foreign',
      messages: [
        {
          role: 'user',
          content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data } }],
        },
      ],
    });
    expect(seen - short).toBeLessThan(data.length / 50);
  });

  test('is above what the provider then counts, and no more than half above it once that was learned', async () => {
    const content = SENTENCE.repeat(400);
    const real = 6_000;
    const usage = { prompt_tokens: real, completion_tokens: 1, total_tokens: real + 1 };
    const message = { role: 'assistant', content: 'Yes.' };
    const choices = [{ index: 0, message, finish_reason: 'stop' }];
    scene.plays({ openai: answers(200, JSON.stringify({ id: 'c', model: 'm', choices, usage })) });
    const params = { model: 'foreign', max_tokens: 9, messages: turns(content) };
    const guessed = await countOf('foreign', content);
    const { usage: told } = await anthropic.messages.create(params);
    expect(told.input_tokens).toBe(real);
    await scene.gateway.idle();
    const learned = await countOf('foreign', content);
    expect(guessed).toBeGreaterThan(real);
    expect(learned).toBeGreaterThan(real);
    expect(learned).toBeLessThan(real * 1.5);
  });

  test('goes by what the configuration says of the model', async () => {
    scene.plays({});
    const content = SENTENCE.repeat(10);
    expect(await countOf('dense', content)).toBeGreaterThan(content.length);
  });

  test('is refused where the conversation is none, or no target could be asked it', async () => {
    scene.plays({});
    const none = await failureOf(
      anthropic.messages.countTokens({ model: 'foreign', messages: [] }),
    );
    expect(none).toBeInstanceOf(Anthropic.BadRequestError);
    expect(String(none)).toContain('messages: expected a list');
    const url = 'https://example.com/a.pdf';
    const foreign = await failureOf(
      anthropic.messages.countTokens({
        model: 'foreign',
        messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'url', url } }] }],
      }),
    );
    expect(foreign).toBeInstanceOf(Anthropic.BadRequestError);
    expect(String(foreign)).toContain('document');
    expect(scene.asked).toEqual({});
  });
});

test('a count of tokens is the own count of whoever speaks Anthropic, wherever it stands in the plan', async () => {
  scene.plays({ anthropic: answers(200, '{"input_tokens":14}') });
  expect(await countOf('mixed', 'hi')).toBe(14);
  expect(scene.asked).toEqual({ anthropic: 1 });
});
