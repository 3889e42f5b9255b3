import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { token } from '../support/managed.ts';
import {
  answers,
  cutsBehind,
  type RoutedScene,
  startRoutedScene,
  streamsChunks,
  WHOLE,
} from '../support/routed-scene.ts';

// Several answers at once: OpenAI's own client, with `n`, on Gemini's own wire.

let scene: RoutedScene;
let openai: OpenAI;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'anthropic', 'gemini'],
    `breaker_failures = 1000
[provider_wires]
gemini = ["gemini"]
[routes.third]
targets = ["gemini/gemini-3-flash-preview"]
fallbacks = ["openai/gpt-4o"]
[policies.poor]
max_cost_per_request_usd = "0.01"
[keys.3]
policy = "poor"
`,
  );
  const baseURL = `${scene.gateway.origin}/v1`;
  openai = new OpenAI({ apiKey: scene.key, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

type Json = Readonly<Record<string, unknown>>;

const USAGE = { promptTokenCount: 12, candidatesTokenCount: 6, totalTokenCount: 18 };
const candidate = (index: number, text: string, finishReason?: string): Json => ({
  content: { parts: [{ text }], role: 'model' },
  ...(finishReason === undefined ? {} : { finishReason }),
  index,
});
const answer = (...candidates: readonly Json[]): Json => ({
  candidates,
  usageMetadata: USAGE,
  modelVersion: 'gemini-2.5-flash',
  responseId: 'gm1',
});
const event = (...candidates: readonly Json[]): string =>
  `data: ${JSON.stringify(answer(...candidates))}\r\n\r\n`;
const EVENTS = [
  event(candidate(0, 'Fi')),
  event(candidate(1, 'Go')),
  event(candidate(1, 'od', 'MAX_TOKENS')),
  event(candidate(0, 'ne.', 'STOP')),
];

const ASKED = {
  model: 'gemini/gemini-2.5-flash',
  n: 2,
  max_tokens: 50,
  messages: [{ role: 'user' as const, content: 'Say fine.' }],
};
const TOLD = [
  { index: 0, message: { role: 'assistant', content: 'Fine.' }, finish_reason: 'stop' },
  { index: 1, message: { role: 'assistant', content: 'Good' }, finish_reason: 'length' },
];
const COST = { prompt_tokens: 12, completion_tokens: 6, total_tokens: 18 };

function sent() {
  const [request] = scene.upstreams['gemini']?.requests ?? [];
  return { target: request?.target, body: JSON.parse(request?.body.toString() ?? 'null') };
}

describe('n = 2 on Gemini’s own wire', () => {
  test('is two choices of one whole answer', async () => {
    const body = answer(candidate(0, 'Fine.', 'STOP'), candidate(1, 'Good', 'MAX_TOKENS'));
    scene.plays({ gemini: answers(200, JSON.stringify(body)) });
    const completion = await openai.chat.completions.create(ASKED);
    expect(completion).toMatchObject({ choices: TOLD, usage: COST });
    expect(completion.choices).toHaveLength(2);
    expect(sent()).toMatchObject({
      target: '/v1beta/models/gemini-2.5-flash:generateContent',
      body: { generationConfig: { candidateCount: 2, maxOutputTokens: 50 } },
    });
  });

  test('is a stream of two choices that the client’s own helper puts together', async () => {
    scene.plays({ gemini: streamsChunks(...EVENTS) });
    const stream = openai.chat.completions.stream({
      ...ASKED,
      stream_options: { include_usage: true },
    });
    expect(await stream.finalChatCompletion()).toMatchObject({ choices: TOLD, usage: COST });
    expect(sent()).toMatchObject({
      target: '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse',
      body: { generationConfig: { candidateCount: 2 } },
    });
  });

  test('that is cut behind one choice’s end is an error, and no clean end', async () => {
    for (const act of [cutsBehind(...EVENTS.slice(0, 3)), streamsChunks(...EVENTS.slice(0, 3))]) {
      scene.plays({ gemini: act });
      const stream = openai.chat.completions.stream(ASKED);
      await expect(stream.finalChatCompletion()).rejects.toThrow();
    }
  });

  test('costs what all of its choices cost', async () => {
    const cost = async (n: number, output: number) => {
      const candidates = [candidate(0, 'a', 'STOP'), candidate(1, 'b', 'STOP')].slice(0, n);
      const usageMetadata = {
        ...USAGE,
        candidatesTokenCount: output,
        totalTokenCount: 12 + output,
      };
      const body = JSON.stringify({ ...answer(...candidates), usageMetadata });
      scene.plays({ gemini: answers(200, body) });
      const asked = await scene.ask('', { body: JSON.stringify({ ...ASKED, n }) });
      expect(asked.facts).toMatchObject([
        { usage_source: 'reported', input_tokens: 12, output_tokens: output },
      ]);
      return Number(asked.facts[0]?.['cost_usd']);
    };
    // Gemini 2.5 Flash: 0.30 and 2.50 dollars for a million tokens.
    expect(await cost(1, 3)).toBeCloseTo((12 * 0.3 + 3 * 2.5) / 1e6, 12);
    expect(await cost(2, 6)).toBeCloseTo((12 * 0.3 + 6 * 2.5) / 1e6, 12);
  });
});

describe('what several answers may cost', () => {
  const ask = (n: number) =>
    scene.ask('', {
      body: JSON.stringify({ ...ASKED, n, max_tokens: 1_500 }),
      fields: { authorization: `Bearer ${token({ keyId: 3n })}` },
    });

  test('is the cost of each of them at most, and refused where a key may not spend that', async () => {
    scene.plays({ gemini: answers(200, JSON.stringify(answer(candidate(0, 'a', 'STOP')))) });
    // At 2.50 dollars for a million tokens 1,500 are 0.00375 dollars; a request may cost 0.01.
    expect((await ask(2)).status).toBe(200);
    expect(scene.asked).toEqual({ gemini: 1 });
    expect((await ask(3)).status).toBeGreaterThanOrEqual(400);
    expect(scene.asked).toEqual({ gemini: 1 });
  });
});

describe('what gives one answer at a time', () => {
  test('is passed over where another target is left: Gemini 3', async () => {
    scene.plays({ openai: answers(200, WHOLE) });
    const answer = await scene.ask('', { body: JSON.stringify({ ...ASKED, model: 'third' }) });
    expect([answer.status, scene.asked]).toEqual([200, { openai: 1 }]);
  });

  test.each([
    'gemini/gemini-3-flash-preview',
    'anthropic/claude-sonnet-4-5',
  ])('is refused where it is the only one, and nothing is sent: %s', async (model) => {
    scene.plays({});
    const refused = openai.chat.completions.create({ ...ASKED, model });
    await expect(refused).rejects.toMatchObject({ status: 400, code: 'untranslatable' });
    expect(scene.asked).toEqual({});
  });
});
