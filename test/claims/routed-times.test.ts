import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pause, until } from '../support/conditions.ts';
import {
  type Act,
  answers,
  EVENTS,
  PATHS,
  type RoutedScene,
  type SceneWire,
  silent,
  startRoutedScene,
  streams,
  WHOLE,
} from '../support/routed-scene.ts';

let scene: RoutedScene;

// What is held is held for ten minutes: whoever waits for it waits in vain.
beforeAll(async () => {
  scene = await startRoutedScene(
    ['openai', 'groq', 'anthropic', 'backup'],
    `breaker_failures = 1000000
hold_secs = 600
[provider_dialects]
backup = "anthropic"
[routes.hasty-chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
first_content_timeout_secs = 1
[routes.hasty-claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
retries = 0
first_content_timeout_secs = 1
[routes.calm-chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
first_content_timeout_secs = 3
[routes.calm-claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
retries = 0
first_content_timeout_secs = 3
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/two"]
retries = 0
[routes.claude]
targets = ["anthropic/one"]
fallbacks = ["backup/two"]
retries = 0
`,
  );
});
afterAll(async () => await scene.stop());

const WIRES: readonly SceneWire[] = ['chat', 'responses', 'messages'];
const FIRST = { chat: 'openai', responses: 'openai', messages: 'anthropic' } as const;
const SECOND = { chat: 'groq', responses: 'groq', messages: 'backup' } as const;
const ROUTE = { chat: 'chat', responses: 'chat', messages: 'claude' } as const;
const SSE = ['content-type: text/event-stream'];

const whole = (wire: SceneWire, text: string): string =>
  EVENTS[wire].opening + EVENTS[wire].word(text) + EVENTS[wire].end;

/** Reasoning, as each wire streams it. */
const THOUGHT: Readonly<Record<SceneWire, string>> = {
  chat: 'data: {"choices":[{"delta":{"reasoning_content":"Hm"}}]}\n\n',
  responses:
    'event: response.reasoning_text.delta\ndata: {"type":"response.reasoning_text.delta","delta":"Hm"}\n\n',
  messages:
    'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}\n\n',
};

/** Frames that are no content. */
const NO_CONTENT: Readonly<Record<SceneWire, Readonly<Record<string, string>>>> = {
  chat: {
    comments: ': ping\n\n',
    roles: 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
  },
  responses: {
    comments: ': ping\n\n',
    progress:
      'event: response.in_progress\ndata: {"type":"response.in_progress","response":{"id":"r"}}\n\n',
  },
  messages: { comments: ': ping\n\n', pings: 'event: ping\ndata: {"type":"ping"}\n\n' },
};

/** Sends a frame time and again, until its peer leaves. */
function repeats(frame: string): Act {
  return async (turn) => {
    await turn.bodyDone();
    await turn.stream(SSE);
    while (!turn.socket.destroyed) {
      await turn.chunk(frame);
      await pause(20);
    }
  };
}

/** A stream whose caller is told by its text. */
const bodyOf = (model: string, who: string, stream = true): string =>
  JSON.stringify({
    model,
    stream,
    stream_options: { include_usage: true },
    messages: [{ role: 'user', content: who }],
    input: who,
  });

/** Who asked a provider, in the order in which it was asked. */
const askers = (name: string): readonly string[] =>
  (scene.upstreams[name]?.requests ?? []).map(
    ({ body }) => /"input":"(\w+)"/.exec(body.toString())?.[1] ?? '',
  );

async function asksFor(wire: SceneWire, model: string, who: string): Promise<string> {
  const response = await fetch(scene.gateway.origin + PATHS[wire], {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${scene.key}` },
    body: bodyOf(model, who),
  });
  return await response.text();
}

describe.each(WIRES)('the time of a first content in %s', (wire) => {
  const first = FIRST[wire];
  const second = SECOND[wire];
  const hasty = `hasty-${ROUTE[wire]}`;
  // A busy machine needs its time until a first word is there.
  const calm = `calm-${ROUTE[wire]}`;

  test.each(
    Object.entries(NO_CONTENT[wire]),
  )('is not put off by %s that go on for ever: a target that says nothing, asked behind, is not left before it (F3)', async (_, frame) => {
    scene.plays({
      [first]: [repeats(frame), silent, silent],
      [second]: streams(wire, 'second'),
    });
    const busy = asksFor(wire, hasty, 'busy');
    await scene.upstreams[first]?.request(0);
    const quiet = asksFor(wire, hasty, 'quiet');
    await until('the quiet one to be left', () => askers(second).includes('quiet'));
    // Its time began behind the busy one's: whoever is asked only now cannot be left before that.
    const later = asksFor(wire, hasty, 'later');
    expect(await Promise.all([busy, quiet, later])).toEqual(
      Array.from({ length: 3 }, () => whole(wire, 'second')),
    );
    expect(askers(second).toSorted()).toEqual(['busy', 'later', 'quiet']);
    expect(askers(second).at(-1)).toBe('later');
    await scene.upstreams[first]?.noneBusy();
  });

  test('is over with a first word of reasoning: a target that says nothing, asked behind, is left, and this one never (F3)', async () => {
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const thinks: Act = async (turn) => {
      await turn.bodyDone();
      await turn.stream(SSE);
      await turn.chunk(THOUGHT[wire]);
      await released;
      await turn.chunk(EVENTS[wire].end);
      await turn.lastChunk();
    };
    scene.plays({ [first]: [thinks, silent], [second]: streams(wire, 'second') });
    const thinking = asksFor(wire, calm, 'thinking');
    await scene.upstreams[first]?.request(0);
    expect(await asksFor(wire, calm, 'quiet')).toBe(whole(wire, 'second'));
    release();
    expect(await thinking).toBe(THOUGHT[wire] + EVENTS[wire].end);
    expect(askers(second)).toEqual(['quiet']);
  });
});

/** Writes a body in pieces, each of them when its reader has everything that came before. */
class Ladder {
  readonly act: Act;
  /** Bytes of the body that the reader has. */
  #read = 0;

  constructor(pieces: readonly string[], fields: readonly string[]) {
    this.act = async (turn) => {
      await turn.bodyDone();
      await turn.stream(fields);
      let written = 0;
      for (const piece of pieces) {
        await turn.chunk(piece);
        written += piece.length;
        await until('the piece to be read', () => this.#read >= written);
      }
      await turn.lastChunk();
    };
  }

  async climb(path: string, model: string, stream: boolean): Promise<string> {
    const response = await fetch(scene.gateway.origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${scene.key}` },
      body: bodyOf(model, 'reader', stream),
    });
    let text = '';
    for await (const piece of response.body ?? []) {
      text += Buffer.from(piece).toString('latin1');
      this.#read = text.length;
    }
    return text;
  }
}

/** The same bytes, cut every so many of them. */
const cut = (text: string, bytes: number): readonly string[] =>
  text.match(new RegExp(`[^]{1,${bytes}}`, 'g')) ?? [];

describe.each(WIRES)('with one candidate left, in %s', (wire) => {
  const first = FIRST[wire];
  const second = SECOND[wire];
  const { opening, word, end } = EVENTS[wire];
  const events = [': ping\n\n', opening, ': ping\n\n', word('a'), word('b'), end];
  const ways = [
    ['the relay lane', `/${first}${PATHS[wire]}`, 'one'],
    ['one target', PATHS[wire], `${first}/one`],
    ['the last target of a route', PATHS[wire], ROUTE[wire]],
  ] as const;

  test.each(
    ways.flatMap(([way, path, model]) => [
      { way, path, model, what: 'event by event', pieces: events },
      { way, path, model, what: 'cut anywhere', pieces: cut(events.join(''), 17) },
    ]),
  )('$way holds nothing of a stream, $what: its reader has each piece before the next is written (F11)', async ({
    path,
    model,
    pieces,
  }) => {
    const ladder = new Ladder(pieces, SSE);
    const isLast = model === ROUTE[wire];
    scene.plays(
      isLast ? { [first]: answers(500, '{}'), [second]: ladder.act } : { [first]: ladder.act },
    );
    expect(await ladder.climb(path, model, true)).toBe(events.join(''));
    expect(scene.asked).toEqual(isLast ? { [first]: 1, [second]: 1 } : { [first]: 1 });
  });
});

test.each([
  ['the relay lane', '/openai/v1/chat/completions', 'one'],
  ['one target', '/v1/chat/completions', 'openai/one'],
  ['the last target of a route', '/v1/chat/completions', 'chat'],
])('%s holds nothing of a whole answer, where no other candidate is left (F11)', async (_, path, model) => {
  const ladder = new Ladder(cut(WHOLE, 17), ['content-type: application/json']);
  const isLast = model === 'chat';
  scene.plays(isLast ? { openai: answers(500, '{}'), groq: ladder.act } : { openai: ladder.act });
  expect(await ladder.climb(path, model, false)).toBe(WHOLE);
});
