import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { facts } from '../support/managed.ts';
import { head, post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  EVENTS,
  PATHS,
  type RoutedScene,
  type SceneWire,
  silent,
  stallsBehind,
  startRoutedScene,
} from '../support/routed-scene.ts';

// Clients of one wire that leave while a provider of the other answers: in each phase it is left, or read on for its bill.

let scene: RoutedScene;
beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'anthropic'],
    'breaker_failures = 1000\n[routes.unused]\ntargets = ["openai/x"]\n',
  );
});
afterAll(async () => {
  expect(scene.gateway.stderr).toBe('');
  expect(scene.gateway.events('internal_error')).toEqual([]);
  await scene.stop();
});

/** Whose client asks, and whose provider answers. */
const PAIRS = [
  ['chat', 'anthropic', 'messages'],
  ['messages', 'openai', 'chat'],
] as const;

async function leave(wire: SceneWire, provider: string, sees: string | null) {
  const body = JSON.stringify({
    model: `${provider}/m`,
    stream: true,
    max_tokens: 9,
    messages: [{ role: 'user', content: 'hi' }],
  });
  const before = facts(scene.gateway).length;
  const client = new RawClient(scene.gateway.port).send(post(scene.key, PATHS[wire], body));
  const asked = await until('it was asked', () => scene.upstreams[provider]?.requests[0]);
  await until('all of it was asked', () => asked.bodyDone);
  if (sees !== null)
    await until('what it waits for', () => Buffer.concat(client.received).includes(sees));
  client.close();
  // The one worker answers one that came later: it has seen the other leave.
  const other = new RawClient(scene.gateway.port).send(head('GET', '/healthz-of-nobody'));
  await other.response();
  other.close();
  return { asked, before };
}

const factBehind = async (before: number) => {
  await scene.gateway.idle();
  const told = await until('its fact', () => {
    const all = facts(scene.gateway);
    return all.length > before && all.slice(before);
  });
  return told.map((fact) => [fact['outcome'], fact['usage_source'], fact['final']]);
};

test.each(PAIRS)('%s at %s: before anything of an answer came', async (wire, provider) => {
  scene.plays({ [provider]: silent });
  const { asked, before } = await leave(wire, provider, null);
  await until('the provider was left', () => asked.peerClosed);
  expect(await factBehind(before)).toEqual([['client_gone', 'estimated', true]]);
});

test.each(PAIRS)('%s at %s: within its text', async (wire, provider, spoken) => {
  const { opening, word } = EVENTS[spoken];
  scene.plays({ [provider]: stallsBehind(opening, word('half')) });
  const { asked, before } = await leave(wire, provider, 'half');
  await until('the provider was left', () => asked.peerClosed);
  expect(await factBehind(before)).toEqual([['client_gone', 'estimated', true]]);
});

test('messages at openai: behind the end sign its bill is read, and told to nobody', async () => {
  const { opening, word, end } = EVENTS.chat;
  const at = end.indexOf('\n\n') + 2;
  const left = Promise.withResolvers<void>();
  const act: Act = async (turn) => {
    await turn.bodyDone();
    await turn.stream(['content-type: text/event-stream']);
    await turn.chunk(opening + word('whole') + end.slice(0, at));
    await left.promise;
    await turn.chunk(end.slice(at));
    await turn.lastChunk();
  };
  scene.plays({ openai: act });
  const { before } = await leave('messages', 'openai', 'whole');
  left.resolve();
  expect(await factBehind(before)).toEqual([['client_gone', 'reported', true]]);
});
