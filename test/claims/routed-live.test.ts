import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sluice } from '../support/gateway.ts';
import { poolKeys } from '../support/managed.ts';
import { answers, type RoutedScene, startRoutedScene, streams } from '../support/routed-scene.ts';

const ROUTES = `breaker_failures = 1
breaker_open_secs = 60
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
`;

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq'],
    `rehearse_authority = "http://127.0.0.1:1"\n${ROUTES}`,
  );
  scene.plays({ openai: answers(500, '{}'), groq: streams('chat', 'second') });
  await scene.ask('chat');
});
afterAll(async () => await scene.stop());

/** `sluice explain` beside a gateway of this admin port. */
function explained(port: number) {
  const file = join(mkdtempSync(join(tmpdir(), 'sluice-live-')), 'config.toml');
  const keys = poolKeys({ openai: 'sk-one', groq: 'sk-two' });
  const scalars = `metrics_listen = "127.0.0.1:${port}"\n`;
  const [top = '', ...tables] = ROUTES.split('[routes.chat]');
  writeFileSync(file, `${scalars}${top}${keys}[routes.chat]${tables.join('')}`);
  return sluice(['explain', 'chat', '--config', file]);
}

test('a breaker that opened shows in the metrics, on the admin listener and in the plan that explain prints', async () => {
  const metrics = await scene.gateway.metrics();
  expect(metrics.get('ai_breaker_state{target="openai/one"}')).toBe(1);
  expect(metrics.has('ai_breaker_state')).toBe(true);
  expect(metrics.get('ai_breaker_state{target="groq/two"}')).toBe(0);
  expect(metrics.get('ai_attempts_total{provider="openai"}')).toBe(1);
  expect(metrics.get('ai_failovers_total{reason="server_error"}')).toBe(1);
  expect(metrics.get('ai_hold_seconds_count')).toBe(metrics.get('ai_hold_bytes_count'));

  const origin = `http://127.0.0.1:${scene.gateway.metricsPort}`;
  const all = (await (await fetch(`${origin}/targets`)).json()) as { targets: unknown[] };
  // Behind them stands what `auto` leads to.
  expect(all.targets.slice(0, 2)).toMatchObject([
    { name: 'openai/one', state: 'open' },
    { name: 'groq/two', state: 'closed', wait_ms: 0 },
  ]);
  const two = await fetch(`${origin}/targets?name=groq%2Ftwo&name=nobody%2Fx&name=odd`);
  expect(await two.json()).toMatchObject({ targets: [{ name: 'groq/two' }] });

  const { status, stdout } = explained(scene.gateway.metricsPort);
  expect(status).toBe(0);
  expect(stdout).toMatch(/ {2}1\. groq\/two at \S+, fallback 1, unpriced\n/);
  expect(stdout).toMatch(/ {2}- {2}openai\/one at \S+: left out, breaker_open for \d+\.\d s\n/);
  expect(stdout).toContain(
    `breakers and rests are those of the gateway at 127.0.0.1:${scene.gateway.metricsPort}`,
  );
});

test('without a policy that says so no fault is played', async () => {
  scene.plays({ groq: streams('chat', 'second') });
  const answer = await scene.ask('chat', { fields: { 'x-sluice-rehearse': 'groq=503' } });
  expect([answer.status, scene.asked]).toEqual([200, { groq: 1 }]);
});

test('where no gateway answers, explain says that nothing is known of them', () => {
  const { status, stdout } = explained(1);
  expect(status).toBe(0);
  expect(stdout).toContain('  1. openai/one at ');
  expect(stdout).toContain('breakers and rests are not known: no gateway answers at 127.0.0.1:1');
});
