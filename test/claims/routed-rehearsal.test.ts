import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { facts } from '../support/managed.ts';
import { EVENTS, type RoutedScene, startRoutedScene, streams } from '../support/routed-scene.ts';

let mock: RunningMock;
let scene: RoutedScene;

// One failure that counts would open a breaker.
beforeAll(async () => {
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  scene = await startRoutedScene(
    ['openai', 'groq'],
    `breaker_failures = 1
rehearse_authority = "${mock.origin}"
[policies.default]
rehearse = true
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
first_content_timeout_secs = 1
`,
  );
});
afterAll(async () => {
  await scene.stop();
  await mock.close();
});

const asks = (rehearse: string) => scene.ask('chat', { fields: { 'x-sluice-rehearse': rehearse } });
const second = EVENTS.chat.opening + EVENTS.chat.word('second') + EVENTS.chat.end;

test.each([
  ['openai=503', '503'],
  ['openai/one=429;retry-after=3', '429'],
  ['openai=401', 'POOL_KEY_401'],
  ['openai=reset', '\\S+'],
  ['openai=silence', 'SILENT'],
  ['openai=role-only', 'SILENT'],
  ['openai=stall', 'SILENT'],
  ['nobody=503, openai=error-first', '\\S+'],
])('%s is played in place of the target, which is not called, and counts for nobody', async (rehearse, came) => {
  scene.plays({ groq: streams('chat', 'second') });
  const before = await scene.gateway.metrics();
  const answer = await asks(rehearse);
  expect([answer.status, answer.cut, answer.text]).toEqual([200, false, second]);
  expect(answer.fields.get('x-sluice-attempts')).toMatch(
    new RegExp(`^openai/one ${came}, groq/two 200$`),
  );
  expect(scene.asked).toEqual({ groq: 1 });
  // Whoever was not called bills nothing.
  expect(answer.facts.map(({ attempt, final, provider }) => [attempt, final, provider])).toEqual([
    [2, true, 'groq'],
  ]);
  const after = await scene.gateway.metrics();
  for (const name of ['ai_pool_key_rejections_total', 'ai_attempts_total'])
    expect(after.get(`${name}{provider="openai"}`)).toBe(before.get(`${name}{provider="openai"}`));
  expect(after.sum('ai_failovers_total')).toBe(before.sum('ai_failovers_total'));
  // And the next request goes where it always did.
  scene.plays({ openai: streams('chat', 'first') });
  expect((await scene.ask('chat')).fields.get('x-sluice-target')).toBe('openai/one');
});

test('when every target is played the caller gets the last of them, and there is no fact', async () => {
  scene.plays({});
  const answer = await asks('openai=503, groq=429;retry-after=7');
  expect([answer.status, answer.fields.get('retry-after')]).toEqual([429, '7']);
  expect([scene.asked, answer.facts]).toEqual([{}, []]);
  expect(JSON.stringify(facts(scene.gateway))).not.toContain('rehearsal');
});

test('what is no fault is passed over and counted: never a 4xx', async () => {
  scene.plays({ openai: streams('chat', 'first') });
  const dropped = 'ai_wishes_dropped_total';
  const before = (await scene.gateway.metrics()).get(dropped);
  expect((await asks('openai=explode, groq, =503, openai=600')).status).toBe(200);
  expect(scene.asked).toEqual({ openai: 1 });
  expect((await scene.gateway.metrics()).get(dropped)).toBe(before + 4);
});
