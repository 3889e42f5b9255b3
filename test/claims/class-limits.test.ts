import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { KeyClass } from '../../src/keys/key-class.ts';
import { pause, until } from '../support/conditions.ts';
import { token } from '../support/managed.ts';
import { RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  type RoutedScene,
  startRoutedScene,
  WHOLE,
} from '../support/routed-scene.ts';

/** What the node carries at a time, and what of it each class may use. */
const CEILING = 20;
const TABLES = `rate_limit_rps = 0
max_in_flight = ${CEILING}
[limits.shares]
agent = 0.5
developer = 0.8
[limits.models."groq/narrow"]
max_in_flight = 10
[limits.models."groq/paced"]
rpm = 4
[policies.once]
identical_rpm = 5
[policies.soft]
identical_rpm = 5
mode = "warn"
[keys.1]
policy = "once"
[keys.2]
policy = "once"
[keys.3]
policy = "soft"
[keys.4]
policy = "once"
[keys.5]
policy = "once"
[keys.6]
policy = "once"
`;

let scene: RoutedScene;
let url: string;
/** Requests that a provider has, and does not answer yet. */
const waiting: (() => void)[] = [];
const waits: Act = async (turn) => {
  await turn.bodyDone();
  await new Promise<void>((resolve) => waiting.push(resolve));
  await answers(200, WHOLE)(turn);
};

beforeAll(async () => {
  scene = await startRoutedScene(['openai', 'groq'], TABLES, {}, 2);
  url = scene.gateway.origin;
});
afterAll(async () => await scene.stop());
beforeEach(() => scene.plays({ openai: answers(200, WHOLE), groq: answers(200, WHOLE) }));

const CHAT = '/v1/chat/completions';
const RELAY = '/openai/v1/chat/completions';

async function post(key: string, path: string, body: string) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    // A connection each, so that both workers are asked.
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      connection: 'close',
    },
    body,
  });
  return { status: response.status, text: await response.text(), fields: response.headers };
}

const asks = (model: string, content = 'hi'): string =>
  JSON.stringify({ model, max_tokens: 5, messages: [{ role: 'user', content }] });

const errorOf = (text: string): { readonly code?: string; readonly message?: string } =>
  (JSON.parse(text) as { readonly error?: { readonly code?: string } }).error ?? {};

/** Asks one after the other until one is refused. @returns how many are under way of them, and the refusal */
async function filled(keyClass: KeyClass, path: string, model: string) {
  let served = 0;
  for (;;) {
    const before = waiting.length;
    const answer = post(token({ keyId: 900n, keyClass }), path, asks(model));
    const came = await Promise.race([
      answer,
      until('it is under way', () => waiting.length > before && 'served'),
    ]);
    if (came !== 'served') return { served, refused: await answer };
    served++;
  }
}

const ratio = 'ai_class_refusals_total';

describe('K1: what all classes share is for agents to half of it, for developers to four fifths', () => {
  test.each([
    ['the node', CHAT, 'gpt-4o', CEILING, 503],
    ['the node, by the path of a provider', RELAY, 'gpt-4o', CEILING, 503],
    ['a model', CHAT, 'groq/narrow', 10, 429],
    ['a model, by the path of its provider', '/groq/openai/v1/chat/completions', 'narrow', 10, 429],
  ])('in flight of %s', async (_of, path, model, ceiling, status) => {
    scene.plays({ openai: waits, groq: waits });
    await scene.gateway.idle();
    const shed = `${ratio}{class="agent",reason="share"}`;
    const before = (await scene.gateway.metrics()).get(shed) ?? 0;
    try {
      const agents = await filled('agent', path, model);
      expect(agents.served).toBe(ceiling * 0.5);
      expect(agents.refused.status).toBe(status);
      expect(agents.refused.fields.get('retry-after')).toBe('1');
      expect(agents.refused.text).toMatch(/class/);
      const developers = await filled('developer', path, model);
      expect(developers.served).toBe(ceiling * 0.3);
      const applications = await filled('application', path, model);
      expect([applications.served, applications.refused.status]).toEqual([ceiling * 0.2, status]);
      expect(applications.refused.text).not.toMatch(/class/);
      // The agents' place is free again only when no more than their share is taken.
      waiting.pop()?.();
      await until('it is answered', async () => {
        const metrics = await scene.gateway.metrics();
        return metrics.get('ai_requests_in_flight') === ceiling - 1;
      });
      const again = await filled('agent', path, model);
      expect([again.served, again.refused.status]).toEqual([0, status]);
      expect((await scene.gateway.metrics()).get(shed)).toBe(before + 2);
    } finally {
      for (const go of waiting.splice(0)) go();
    }
    await scene.gateway.idle();
  });

  test('while agents and developers ask for more than the node carries, applications are served', async () => {
    await scene.gateway.idle();
    scene.plays({
      openai: async (turn) => {
        await turn.bodyDone();
        await pause(20);
        await answers(200, WHOLE)(turn);
      },
    });
    const came: Record<KeyClass, [served: number, refused: number]> = {
      agent: [0, 0],
      developer: [0, 0],
      application: [0, 0],
    };
    let isOver = false;
    const asking = async (keyClass: KeyClass, isEnough: () => boolean): Promise<void> => {
      while (!isEnough()) {
        const { status } = await post(token({ keyId: 902n, keyClass }), CHAT, asks('gpt-4o'));
        came[keyClass][status === 200 ? 0 : 1]++;
        // Who is refused comes again, and not in the same moment: the test's own thread is one.
        if (status !== 200) await pause(5);
      }
    };
    const flood = [
      ...Array.from({ length: CEILING }, () => asking('agent', () => isOver)),
      ...Array.from({ length: CEILING }, () => asking('developer', () => isOver)),
    ];
    try {
      await until('both are refused', () => came.agent[1] > 0 && came.developer[1] > 0);
      // One of their four places: another may count for a moment that was just answered, or is just being refused.
      await asking('application', () => came.application[0] + came.application[1] >= 40);
    } finally {
      isOver = true;
      await Promise.all(flood);
    }
    console.info(`served and refused: ${JSON.stringify(came)}`);
    expect(came.application[1]).toBe(0);
    expect(came.agent[1] / came.agent[0]).toBeGreaterThan(came.developer[1] / came.developer[0]);
  });

  test('requests a minute of a model: the last of them are for applications', async () => {
    const served = async (keyClass: KeyClass): Promise<number> => {
      for (let count = 0; ; count++) {
        const key = token({ keyId: 901n, keyClass });
        if ((await post(key, CHAT, asks('groq/paced'))).status !== 200) return count;
      }
    };
    expect(await served('agent')).toBe(2);
    expect(await served('developer')).toBe(1);
    const key = token({ keyId: 901n, keyClass: 'application' });
    const { fields } = await post(key, CHAT, asks('groq/paced'));
    expect(fields.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(await served('application')).toBe(0);
    const refused = await post(token({ keyId: 901n, keyClass: 'agent' }), CHAT, asks('groq/paced'));
    expect(errorOf(refused.text).message).toContain(
      'The limit of 4 requests a minute for this model is reached, as far as keys of class agent may use it (50 %).',
    );
    // Half of the minute's worth and one more have to come back, which take 45 s, and not one alone.
    expect(Number(refused.fields.get('retry-after-ms'))).toBeGreaterThan(15_000);
  });
});

describe('K3: the loop guard', () => {
  test.each([
    CHAT,
    RELAY,
  ])('the sixth identical request of a key within a minute is refused, over both workers: %s', async (path) => {
    const key = token({ keyId: 1n, keyClass: 'agent' });
    const body = asks('gpt-4o', 'the same');
    const before = scene.asked['openai'] ?? 0;
    for (let at = 0; at < 5; at++) expect((await post(key, path, body)).status).toBe(200);
    const refused = await post(key, path, body);
    expect([refused.status, errorOf(refused.text).code]).toEqual([429, 'loop']);
    expect(refused.fields.get('x-should-retry')).toBe('false');
    const ms = Number(refused.fields.get('retry-after-ms'));
    expect(ms).toBeGreaterThan(0);
    expect(ms).toBeLessThanOrEqual(12_000);
    expect(scene.asked['openai']).toBe(before + 5);
    // Another body, another key, and the same one elsewhere are no loop.
    expect((await post(key, path, asks('gpt-4o', 'another'))).status).toBe(200);
    expect((await post(token({ keyId: 2n, keyClass: 'agent' }), path, body)).status).toBe(200);
    expect((await post(token({ keyId: 99n }), path, body)).status).toBe(200);
    expect((await post(key, '/groq/openai/v1/chat/completions', body)).status).toBe(200);
    const metrics = await scene.gateway.metrics();
    expect(metrics.get(`${ratio}{class="agent",reason="loop"}`)).toBeGreaterThan(0);
  });

  test('a body is the same however it is cut, and of one in pieces the last is not let go', async () => {
    const key = token({ keyId: 4n, keyClass: 'agent' });
    const body = asks('gpt-4o', 'in pieces');
    for (let at = 0; at < 5; at++) expect((await post(key, RELAY, body)).status).toBe(200);
    const upstream = scene.upstreams['openai'];
    const count = upstream?.requests.length ?? 0;
    const client = new RawClient(scene.gateway.port).send(
      `POST ${RELAY} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 30)}`,
    );
    try {
      const seen = await until('its beginning is there', () => upstream?.requests[count]);
      client.send(body.slice(30));
      const response = await client.response();
      expect([response.status, errorOf(response.body.toString()).code]).toEqual([429, 'loop']);
      await until('the provider was left', () => seen.peerClosed);
      expect(seen.bodyDone).toBe(false);
    } finally {
      client.close();
    }
    const facts = scene.gateway.events('ai.usage').filter(({ key_id }) => key_id === '4');
    expect(facts.length).toBeLessThanOrEqual(5);
  });

  test('mode = "warn" refuses nothing, and counts by class', async () => {
    const key = token({ keyId: 3n, keyClass: 'developer' });
    for (let at = 0; at < 7; at++)
      expect((await post(key, CHAT, asks('gpt-4o', 'soft'))).status).toBe(200);
    const metrics = await scene.gateway.metrics();
    expect(metrics.get('ai_loop_warnings_total{class="developer"}')).toBe(2);
    expect(metrics.get(`${ratio}{class="developer",reason="loop"}`)).toBe(0);
  });

  test('OpenAI’s SDK does not try it again', async () => {
    const key = token({ keyId: 5n, keyClass: 'agent' });
    const openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 5 });
    const ask = () =>
      openai.chat.completions.create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'by an SDK' }],
      });
    for (let at = 0; at < 5; at++) await ask();
    await expect(ask()).rejects.toMatchObject({ status: 429, code: 'loop' });
    const lines = await until('all are told', () => {
      const own = scene.gateway.events('access').filter(({ key_id }) => key_id === '5');
      return own.length >= 6 && own;
    });
    // Of two workers, whose lines come in no order.
    expect(lines.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 429]);
  });
});
