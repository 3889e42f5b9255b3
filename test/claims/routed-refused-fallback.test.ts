import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  resets,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

// A target failed, and who would have followed may not be asked: what the caller hears is what failed.

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'mistral', 'anthropic'],
    `rate_limit_rps = 0
breaker_failures = 1000
[prices."openai/m"]
input = "1"
output = "1000"
[prices."openai/waits"]
input = "1"
output = "1000"
[prices."groq/dear"]
input = "10"
output = "10000"
[prices."groq/few"]
input = "0"
output = "1"
[policies.day]
budget_usd_per_day = "5"
max_cost_per_request_usd = "0.5"
[classes]
application = "day"
[limits.models."groq/few"]
rpm = 1
[routes.unpriced]
targets = ["openai/m"]
fallbacks = ["mistral/nobody-knows"]
retries = 0
[routes.unpriced-twice]
targets = ["openai/m"]
fallbacks = ["mistral/nobody-knows", "groq/nobody-knows", "anthropic/nobody-knows"]
retries = 0
[routes.unpriced-between]
targets = ["openai/m"]
fallbacks = ["mistral/nobody-knows", "groq/few"]
retries = 0
[routes.dear]
targets = ["openai/m"]
fallbacks = ["groq/dear"]
retries = 0
[routes.waits]
targets = ["openai/waits"]
fallbacks = ["mistral/nobody-knows"]
retries = 0
[routes.few]
targets = ["openai/m"]
fallbacks = ["groq/few"]
retries = 0
`,
  );
});
afterAll(async () => await scene.stop());

const BUSY = '{"error":{"message":"as openai says","type":"server_error"}}';

const ask = async (route: string, act: Act, stream = false) => {
  scene.plays({ openai: act, groq: answers(200, WHOLE) });
  const messages = [{ role: 'user', content: 'hi' }];
  return await scene.ask('', {
    body: JSON.stringify({ model: route, stream, max_tokens: 100, messages }),
  });
};

const reserved = async (): Promise<unknown> => {
  const response = await fetch(`http://127.0.0.1:${scene.gateway.port}/sluice/budget`, {
    headers: { authorization: `Bearer ${scene.key}` },
  });
  const { budgets } = (await response.json()) as { budgets: { reserved_usd: string }[] };
  return budgets[0]?.reserved_usd;
};

describe.each([
  ['has no price', 'unpriced', 'mistral/nobody-knows 400'],
  [
    'has no price, and neither have those behind it',
    'unpriced-twice',
    'mistral/nobody-knows 400, groq/nobody-knows 400, anthropic/nobody-knows 400',
  ],
  ['is dearer than a request may be', 'dear', 'groq/dear 402'],
])('the only fallback %s', (_name, route, refused) => {
  test('the answer of the target that failed is the caller’s, and its fact the final one', async () => {
    const answer = await ask(route, answers(503, BUSY));
    expect([answer.status, answer.text]).toEqual([503, BUSY]);
    expect(answer.fields.get('x-sluice-target')).toBe('openai/m');
    expect(answer.fields.get('x-sluice-attempts')).toBe(`openai/m 503, ${refused}`);
    expect(scene.asked).toEqual({ openai: 1 });
    expect(answer.facts.map((fact) => [fact['target_model'], fact['final']])).toEqual([
      ['openai/m', true],
    ]);
    expect(await reserved()).toBe('0');
  });

  test('a connection that broke is told as one', async () => {
    const answer = await ask(route, resets);
    expect([answer.status, scene.asked]).toEqual([502, { openai: 1 }]);
    expect(answer.text).toContain('upstream_unreachable');
    expect(answer.facts.map((fact) => fact['final'])).toEqual([true]);
    expect(await reserved()).toBe('0');
  });

  test('a stream that opened with an error is told as a failure, before anything of it', async () => {
    const act = cutsBehind(EVENTS.chat.opening, EVENTS.chat.error);
    const answer = await ask(route, act, true);
    expect([answer.status, scene.asked]).toEqual([502, { openai: 1 }]);
    expect(await reserved()).toBe('0');
  });
});

test('an error that is longer than is held of one is told as a failure, and never in half', async () => {
  const long = JSON.stringify({ error: { message: 'x'.repeat(200_000), type: 'server_error' } });
  const answer = await ask('unpriced', answers(503, long));
  expect([answer.status, answer.cut]).toEqual([502, false]);
  expect(answer.text).toContain('upstream_unreachable');
});

test('a fallback behind the one that has no price is asked', async () => {
  const answer = await ask('unpriced-between', answers(503, BUSY));
  expect([answer.status, answer.text]).toEqual([200, WHOLE]);
  expect(answer.fields.get('x-sluice-attempts')).toBe(
    'openai/m 503, mistral/nobody-knows 400, groq/few 200',
  );
});

test('a fallback that has as many requests as it may have hides no failure either', async () => {
  const answer = await ask('few', answers(503, BUSY));
  expect([answer.status, answer.text, scene.asked]).toEqual([503, BUSY, { openai: 1 }]);
});

test('a target that has to be waited for is not hidden by a fallback that has no price', async () => {
  const first = await ask('waits', answers(503, BUSY, ['retry-after: 30']));
  expect([first.status, first.fields.get('retry-after')]).toEqual([503, '30']);
  const second = await ask('waits', answers(200, WHOLE));
  const { error } = JSON.parse(second.text) as { error: { code: string; message: string } };
  expect([second.status, error.code, scene.asked]).toEqual([503, 'no_target', {}]);
  expect(error.message).toContain('openai/waits: resting');
  expect(Number(second.fields.get('retry-after'))).toBeGreaterThan(20);
});

test('whoever may not be asked first is told why', async () => {
  scene.plays({});
  const body = (model: string) => JSON.stringify({ model, max_tokens: 100, messages: [] });
  const unpriced = await scene.ask('', { body: body('mistral/nobody-knows') });
  expect([unpriced.status, scene.asked]).toEqual([400, {}]);
  const dear = await scene.ask('', { body: body('groq/dear') });
  expect([dear.status, scene.asked]).toEqual([402, {}]);
});
