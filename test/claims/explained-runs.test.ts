import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sluice } from '../support/gateway.ts';
import { poolKeys } from '../support/managed.ts';
import { answers, type RoutedScene, startRoutedScene, WHOLE } from '../support/routed-scene.ts';

// What `sluice explain` says of a body is where a running gateway sends that body (A5).

const NAMES = ['openai', 'groq', 'xai'];
const TABLES = `[routes.order]
targets = ["openai/one", "groq/two"]
fallbacks = ["xai/three"]
[routes.cheap]
targets = ["openai/one", "groq/two", "xai/three"]
balance = "cost"
[routes.down]
targets = ["openai/down", "groq/two"]
[models."openai/one"]
images = false
tools = true
context_tokens = 4000
[models."groq/two"]
images = true
tools = false
json_schema = false
context_tokens = 2000
[models."xai/three"]
images = true
tools = true
json_schema = true
context_tokens = 100000
[prices."openai/one"]
input = "2"
output = "8"
[prices."groq/two"]
input = "0.1"
output = "9"
[prices."xai/three"]
input = "5"
output = "1"
`;
const TOP = 'breaker_failures = 1\nbreaker_open_secs = 60\n';

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(NAMES, `${TOP}${TABLES}`);
  scene.plays({ openai: answers(500, '{}'), groq: answers(200, WHOLE) });
  await scene.ask('down', { stream: false });
  const well = answers(200, WHOLE);
  scene.plays({ openai: well, groq: well, xai: well });
});
afterAll(async () => await scene.stop());

const seen = new Set<string | null>();

const user = (content: unknown) => ({ messages: [{ role: 'user', content }] });
const PICTURE = [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }];
const TOOLS = [{ type: 'function', function: { name: 'f', parameters: {} } }];
const FORMAT = { type: 'json_schema', json_schema: { name: 's', schema: {} } };

test.each([
  ['order', 'a word', user('hi')],
  ['order', 'a picture', user(PICTURE)],
  ['order', 'a long prompt', user('word '.repeat(3_000))],
  ['cheap', 'a word', { ...user('hi'), max_tokens: 10 }],
  ['cheap', 'a long answer', { ...user('hi'), max_tokens: 100_000 }],
  ['cheap', 'tools', { ...user('hi'), tools: TOOLS, max_tokens: 10 }],
  ['cheap', 'a schema', { ...user('hi'), response_format: FORMAT, max_tokens: 10 }],
  ['down', 'a target whose breaker is open', user('hi')],
] as const)('on the route %s, with %s, the gateway goes where explain says', async (route, _, asked) => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-explained-'));
  const body = JSON.stringify({ model: route, ...asked });
  writeFileSync(join(folder, 'body.json'), body);
  const keys = poolKeys(Object.fromEntries(NAMES.map((name) => [name, `sk-${name}`])));
  const config = `metrics_listen = "127.0.0.1:${scene.gateway.metricsPort}"\n${TOP}${keys}${TABLES}`;
  writeFileSync(join(folder, 'config.toml'), config);
  const argv = ['--body', join(folder, 'body.json'), '--config', join(folder, 'config.toml')];
  const { stdout } = sluice(['explain', route, ...argv]);
  const [, said] = / {2}1\. (\S+) at /.exec(stdout) ?? [];
  const answer = await scene.ask(route, { stream: false, body });
  expect([answer.status, answer.fields.get('x-sluice-target')]).toEqual([200, said]);
  seen.add(said ?? null);
});

test('and none of the targets was without a request', () => {
  expect(seen).toEqual(new Set(['openai/one', 'groq/two', 'xai/three']));
});
