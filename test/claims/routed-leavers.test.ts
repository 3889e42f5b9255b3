import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { facts } from '../support/managed.ts';
import { CHAT, post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  EVENTS,
  type RoutedScene,
  silent,
  stallsBehind,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';
import type { SeenRequest } from '../support/scripted-upstream.ts';

// A caller that leaves, in every phase of a routed request (F6). "Within one turn" is an order, not a time: the one
// worker has seen the caller leave before it sees the next request, so when that one is answered, the upstream of the one
// that left must know.

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'xai'],
    `breaker_failures = 1000000
hold_secs = 600
replay_max_bytes = "1MiB"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
first_content_timeout_secs = 600
[routes.once]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
first_content_timeout_secs = 600
`,
  );
});
afterAll(async () => await scene.stop());

const { opening, word } = EVENTS.chat;
const STREAM = '{"model":"once","stream":true,"stream_options":{"include_usage":true}}';
const UNSTREAMED = '{"model":"once"}';

/** A whole answer that stops in its middle. */
const halfOfWhole: Act = async (turn) => {
  await turn.bodyDone();
  await turn.write(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n${WHOLE.slice(0, 60)}`,
  );
};

interface Phase {
  readonly name: string;
  readonly openai: Act | readonly Act[];
  readonly groq?: Act;
  readonly sends: Buffer;
  /** Who is asked when the caller leaves; null: nobody. */
  readonly live: 'openai' | 'groq' | null;
  /** Attempts, the live one included. */
  readonly asked: Readonly<Record<string, number>>;
  /** Facts of it: of attempts whose request was whole. */
  readonly facts: number;
  /** The caller has read this much of its answer when it leaves. */
  readonly reads?: string;
}

const request = (body: string): Buffer => post(scene.key, CHAT, body);
const cutShort = (body: string, bytes: number): Buffer => {
  const whole = request(body);
  return whole.subarray(0, whole.length - bytes);
};

const phases = (): readonly Phase[] => [
  {
    name: 'while its body is gathered',
    openai: silent,
    sends: cutShort(STREAM, 5),
    live: null,
    asked: {},
    facts: 0,
  },
  {
    name: 'while its body streams to the first target',
    openai: silent,
    sends: cutShort(`{"model":"plain","stream":true,"input":"${'x'.repeat(400_000)}"}`, 5),
    live: 'openai',
    asked: { openai: 1 },
    facts: 1,
  },
  {
    name: 'before the first head',
    openai: silent,
    sends: request(STREAM),
    live: 'openai',
    asked: { openai: 1 },
    facts: 1,
  },
  {
    name: 'while an opening is held',
    openai: stallsBehind(opening),
    sends: request(STREAM),
    live: 'openai',
    asked: { openai: 1 },
    facts: 1,
  },
  {
    name: 'while a whole answer is held',
    openai: halfOfWhole,
    sends: request(UNSTREAMED),
    live: 'openai',
    asked: { openai: 1 },
    facts: 1,
  },
  {
    name: 'while an error is held',
    openai: async (turn) => {
      await turn.bodyDone();
      await turn.write('HTTP/1.1 500 Oh\r\ncontent-length: 500\r\n\r\n{"error":');
    },
    sends: request(STREAM),
    live: 'openai',
    asked: { openai: 1 },
    facts: 1,
  },
  {
    name: 'in a second try of the first target',
    openai: [answers(500, '{}'), silent],
    sends: request(STREAM.replace('once', 'chat')),
    live: 'openai',
    asked: { openai: 2 },
    facts: 2,
  },
  {
    name: 'behind the first content',
    openai: stallsBehind(opening, word('said')),
    sends: request(STREAM),
    live: 'openai',
    asked: { openai: 1 },
    facts: 1,
    reads: word('said'),
  },
  {
    name: "before the backup's head",
    openai: answers(500, '{}'),
    groq: silent,
    sends: request(STREAM),
    live: 'groq',
    asked: { openai: 1, groq: 1 },
    facts: 2,
  },
  {
    name: "in the backup's opening, which is not held",
    openai: answers(500, '{}'),
    groq: stallsBehind(opening),
    sends: request(STREAM),
    live: 'groq',
    asked: { openai: 1, groq: 1 },
    facts: 2,
    reads: opening,
  },
  {
    name: "behind the backup's first content",
    openai: answers(500, '{}'),
    groq: stallsBehind(opening, word('said')),
    sends: request(STREAM),
    live: 'groq',
    asked: { openai: 1, groq: 1 },
    facts: 2,
    reads: word('said'),
  },
  {
    name: "in the middle of the backup's whole answer",
    openai: answers(500, '{}'),
    groq: halfOfWhole,
    sends: request(UNSTREAMED),
    live: 'groq',
    asked: { openai: 1, groq: 1 },
    facts: 2,
    reads: WHOLE.slice(0, 60),
  },
];

describe('a caller that leaves', () => {
  test.each([
    'while its body is gathered',
    'while its body streams to the first target',
    'before the first head',
    'while an opening is held',
    'while a whole answer is held',
    'while an error is held',
    'in a second try of the first target',
    'behind the first content',
    "before the backup's head",
    "in the backup's opening, which is not held",
    "behind the backup's first content",
    "in the middle of the backup's whole answer",
  ])('%s: its upstream knows before the next request is answered, and nobody else is asked', async (name) => {
    const phase = phases().find((one) => one.name === name);
    if (phase === undefined) throw new Error(`There is no phase "${name}".`);
    const before = facts(scene.gateway).length;
    scene.plays({
      openai: phase.openai,
      groq: phase.groq ?? answers(599, 'not asked for'),
      xai: streams('chat', 'next'),
    });
    const client = new RawClient(scene.gateway.port).send(phase.sends);
    const live = phase.live === null ? null : await liveOf(phase.live, phase.asked);
    if (live === null) await reached(1);
    if (phase.reads !== undefined) {
      const { reads } = phase;
      await until('what it reads', () => Buffer.concat(client.received).includes(reads));
    } else if (live?.bodyDone === true) {
      // What its upstream has written is at the gateway, or nearly: another one's whole answer is behind it.
      await next();
    }
    client.close();
    await next();
    expect(live?.peerClosed ?? true).toBe(true);

    await scene.gateway.idle();
    expect(scene.asked).toEqual({ ...phase.asked, xai: scene.asked['xai'] });
    const own = await until('its facts', () => {
      const told = facts(scene.gateway).slice(before);
      const seen = told.filter((fact) => !String(fact['target_model']).startsWith('xai/'));
      return told.length - seen.length === scene.asked['xai'] && seen;
    });
    expect(own.map(({ attempt, final }) => [attempt, final])).toEqual(
      Array.from({ length: phase.facts }, (_, at) => [at + 1, at === phase.facts - 1]),
    );
  });
});

/** The request that is under way when its caller leaves. */
async function liveOf(
  name: 'openai' | 'groq',
  asked: Readonly<Record<string, number>>,
): Promise<SeenRequest> {
  const upstream = scene.upstreams[name];
  if (upstream === undefined) throw new Error(`There is no ${name}.`);
  return await upstream.request((asked[name] ?? 1) - 1);
}

/** So many requests are in flight. */
async function reached(count: number): Promise<void> {
  await until(`${count} in flight`, async () => {
    const metrics = await scene.gateway.metrics();
    return metrics.get('ai_requests_in_flight') === count;
  });
}

/** Another request, from its first byte to its last. */
async function next(): Promise<void> {
  const response = await fetch(scene.gateway.origin + CHAT, {
    method: 'POST',
    headers: { authorization: `Bearer ${scene.key}` },
    body: '{"model":"xai/next","stream":true,"stream_options":{"include_usage":true}}',
  });
  await response.text();
}
