import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/conditions.ts';
import { post, RawClient } from '../support/raw-client.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  PATHS,
  type RoutedScene,
  stallsBehind,
  startRoutedScene,
  streams,
  streamsChunks,
} from '../support/routed-scene.ts';

const FIRST = { chat: 'openai', messages: 'anthropic' } as const;
const SECOND = { chat: 'mistral', messages: 'backup' } as const;
const ROUTE = { chat: 'chat', messages: 'claude' } as const;
const WIRES = ['chat', 'messages'] as const;
const { opening, word, end, error } = EVENTS.chat;
const CALL = `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: 'x', function: { name: 'f' } }] } }] })}\n\n`;

let scene: RoutedScene;

beforeAll(async () => {
  const safety = `retries = 0
stream_safety = "resume"
stall_timeout_secs = 0.8
first_content_timeout_secs = 2
`;
  const model = (name: string): string => `[models."${name}"]\ncontinues_prefix = true\n`;
  scene = await startRoutedScene(
    ['openai', 'groq', 'mistral', 'deepseek', 'vllm', 'anthropic', 'backup', 'third'],
    `breaker_failures = 1000000
[provider_dialects]
backup = "anthropic"
third = "anthropic"
[routes.chat]
targets = ["openai/one"]
fallbacks = ["groq/not-known-to", "mistral/two", "vllm/three"]
${safety}
[routes.beta]
targets = ["openai/one"]
fallbacks = ["deepseek/two"]
${safety}
[routes.own]
targets = ["openai/one"]
fallbacks = ["vllm/three"]
${safety}
[routes.nobody]
targets = ["openai/one"]
fallbacks = ["groq/two"]
${safety}
[routes.claude]
targets = ["anthropic/one"]
fallbacks = ["third/not-known-to", "backup/two"]
${safety}
${model('vllm/three')}
${model('backup/two')}
`,
  );
});
afterAll(async () => await scene.stop());

/** The text of an answer's events, as the client has it. */
function textOf(raw: string): string {
  return Buffer.from(raw, 'latin1')
    .toString()
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)))
    .map((body) => body.choices?.[0]?.delta?.content ?? body.delta?.text ?? '')
    .join('');
}

const sent = (provider: string): Record<string, unknown> =>
  JSON.parse(String(scene.upstreams[provider]?.requests[0]?.body));
const lastTurn = (provider: string): unknown =>
  (sent(provider)['messages'] as readonly unknown[]).at(-1);

describe.each(WIRES)('a text in %s that breaks behind its first word', (wire) => {
  const of = EVENTS[wire];
  const said = of.opening + of.word('Grüße ') + of.word('Welt \n');
  const breaks: readonly (readonly [string, Act, string])[] = [
    ['is cut', cutsBehind(said), 'upstream_cut'],
    ['is cut inside of an event', cutsBehind(said, of.word('never').slice(0, -9)), 'upstream_cut'],
    ['stalls', stallsBehind(said), 'timeout'],
    ['tells an error', streamsChunks(said, of.error), 'upstream_cut'],
    ['tells an error in one piece with its text', streamsChunks(said + of.error), 'upstream_cut'],
    ['has a malformed event', streamsChunks(said, 'data: {"choi\n\n'), 'upstream_cut'],
    ['ends without a terminal event', streamsChunks(said), 'upstream_cut'],
  ];

  test.each(
    breaks,
  )('and %s goes on at the next target that takes a prefix', async (_, act, came) => {
    scene.plays({ [FIRST[wire]]: act, [SECOND[wire]]: streams(wire, ' \nend 漢字') });
    const answer = await scene.ask(ROUTE[wire], { wire });
    expect([answer.status, answer.cut, textOf(answer.text)]).toEqual([
      200,
      false,
      'Grüße Welt \nend 漢字',
    ]);
    expect(answer.text.endsWith(of.end.slice(-20))).toBe(true);
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1, [SECOND[wire]]: 1 });
    expect(lastTurn(SECOND[wire])).toEqual({
      role: 'assistant',
      content: 'Grüße Welt',
      ...(wire === 'chat' ? { prefix: true } : {}),
    });
    expect(
      answer.facts.map(({ attempt, final, resumed, outcome }) => [
        attempt,
        final,
        resumed,
        outcome,
      ]),
    ).toEqual([
      [1, false, false, came],
      [2, true, true, 'complete'],
    ]);
  });

  test('and whose second half has no end of its own is a cut, and one whose last event no blank line ends is none', async () => {
    const route = wire === 'chat' ? 'beta' : ROUTE[wire];
    const second = wire === 'chat' ? 'deepseek' : SECOND[wire];
    const half = of.opening + of.word(' \nend');
    scene.plays({ [FIRST[wire]]: cutsBehind(said), [second]: streamsChunks(half) });
    const cut = await scene.ask(route, { wire });
    // The error event of the cut is the last one.
    expect([cut.cut, /error[^\n]*\n\n$/.test(cut.text)]).toEqual([true, true]);
    const ends = `${half}${of.end.split('\n\n')[0]}`;
    scene.plays({ [FIRST[wire]]: cutsBehind(said), [second]: streamsChunks(ends) });
    const whole = await scene.ask(route, { wire });
    expect([whole.cut, textOf(whole.text)]).toEqual([false, 'Grüße Welt \nend']);
    expect(whole.facts.at(-1)?.['outcome']).toBe('complete');
  });

  test('and whose last event says that it is whole, with no blank line behind it, is not gone on with', async () => {
    const text = `${said}${of.end.split('\n\n')[0]}`;
    scene.plays({ [FIRST[wire]]: streamsChunks(text), [SECOND[wire]]: streams(wire, 'no') });
    const answer = await scene.ask(ROUTE[wire], { wire });
    expect([answer.cut, answer.text]).toEqual([false, Buffer.from(text).toString('latin1')]);
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1 });
  });

  test('and goes well is told byte for byte, whatever its cuts', async () => {
    const text = said + of.end;
    scene.plays({ [FIRST[wire]]: streamsChunks(...(text.match(/[\s\S]{1,37}/g) ?? [])) });
    const answer = await scene.ask(ROUTE[wire], { wire });
    expect([answer.cut, answer.text]).toEqual([false, Buffer.from(text).toString('latin1')]);
  });

  test('lets go of whoever goes on with it when its client leaves', async () => {
    scene.plays({
      [FIRST[wire]]: cutsBehind(said),
      [SECOND[wire]]: stallsBehind(of.opening + of.word('more')),
    });
    const client = new RawClient(scene.gateway.port).send(
      post(scene.key, PATHS[wire], body(ROUTE[wire])),
    );
    await until('the second one', () => Buffer.concat(client.received).includes('more'));
    client.close();
    await scene.gateway.idle();
    await scene.upstreams[SECOND[wire]]?.noneBusy();
    expect(scene.asked).toEqual({ [FIRST[wire]]: 1, [SECOND[wire]]: 1 });
  });
});

describe('what the stock SDKs make of a stream that went on elsewhere', () => {
  test('is one message to openai', async () => {
    const before = (await scene.gateway.metrics()).get('ai_resumed_total');
    scene.plays({
      openai: cutsBehind(opening + word('one ')),
      mistral: streamsChunks(opening.replaceAll('"c"', '"d"') + word('one two') + end),
    });
    const openai = new OpenAI({
      apiKey: scene.key,
      baseURL: `${scene.gateway.origin}/v1`,
      maxRetries: 0,
    });
    const runner = openai.chat.completions.stream({
      model: 'chat',
      messages: [{ role: 'user', content: 'hi' }],
    });
    const { choices, id } = await runner.finalChatCompletion();
    // Mistral tells the prefix once more.
    expect([id, choices.length, choices[0]?.message.content, choices[0]?.finish_reason]).toEqual([
      'c',
      1,
      'one two',
      'stop',
    ]);
    expect((await scene.gateway.metrics()).get('ai_resumed_total')).toBe(before + 1);
  });

  test('is one message to @anthropic-ai/sdk', async () => {
    scene.plays({
      anthropic: cutsBehind(
        EVENTS.messages.opening.replace('"id":"m"', '"id":"m","content":[]'),
        EVENTS.messages.word('one '),
      ),
      backup: streams('messages', ' two'),
    });
    const anthropic = new Anthropic({
      apiKey: scene.key,
      baseURL: scene.gateway.origin,
      maxRetries: 0,
    });
    const events: string[] = [];
    const stream = anthropic.messages
      .stream({ model: 'claude', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] })
      .on('streamEvent', ({ type }) => events.push(type))
      .on('text', () => {});
    let text = '';
    stream.on('text', (delta) => {
      text += delta;
    });
    await stream.done();
    expect(text).toBe('one two');
    expect(events.filter((type) => type === 'message_start')).toHaveLength(1);
    expect(events.at(-1)).toBe('message_stop');
  });
});

describe('who goes on', () => {
  test('is told in its own words: vLLM by members of the request, DeepSeek under its beta path', async () => {
    scene.plays({ openai: cutsBehind(opening + word('so')), vllm: streams('chat', ' far') });
    expect(textOf((await scene.ask('own')).text)).toBe('so far');
    expect(sent('vllm')).toMatchObject({
      continue_final_message: true,
      add_generation_prompt: false,
      model: 'three',
    });
    scene.plays({ openai: cutsBehind(opening + word('so')), deepseek: streams('chat', ' far') });
    expect(textOf((await scene.ask('beta')).text)).toBe('so far');
    expect(scene.upstreams['deepseek']?.requests[0]?.target).toBe('/beta/chat/completions');
    expect(lastTurn('deepseek')).toEqual({ role: 'assistant', content: 'so', prefix: true });
  });

  test.each<readonly [string, Act, number]>([
    ['refuses', answers(400, '{"error":{"message":"no prefix"}}'), 2],
    ['fails', answers(503, '{}'), 2],
    ['is silent', stallsBehind(opening), 2],
    ['breaks before its first word', cutsBehind(opening), 2],
  ])('is the one behind it when one %s', async (_, act) => {
    scene.plays({
      openai: cutsBehind(opening + word('so')),
      mistral: act,
      vllm: streams('chat', ' far'),
    });
    const answer = await scene.ask('chat');
    expect([answer.cut, textOf(answer.text)]).toEqual([false, 'so far']);
    expect(answer.facts.map(({ final, resumed }) => [final, resumed])).toEqual([
      [false, false],
      [false, true],
      [true, true],
    ]);
  });

  test('goes on to a reader who is slower than both', async () => {
    const words = Array.from({ length: 300 }, (_, at) => `word ${at}, `);
    const text = words.join('');
    const long = (content: string): string =>
      `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content } }], pad: 'x'.repeat(9_000) })}\n\n`;
    scene.plays({
      openai: cutsBehind(opening, ...words.slice(0, 150).map(long)),
      // What was cut off with the connection is for the second one to say.
      mistral: async (turn) => {
        await turn.bodyDone();
        const { messages } = JSON.parse(turn.request.body.toString());
        const rest =
          text.slice(String(messages.at(-1).content).length).match(/[\s\S]{1,12}/g) ?? [];
        await streamsChunks(opening, ...rest.map(long), end)(turn);
      },
    });
    const client = new RawClient(scene.gateway.port, { readBytesPerSecond: 2_000_000 }).send(
      post(scene.key, PATHS.chat, body('chat')),
    );
    const { complete, body: told } = await client.response();
    client.close();
    expect([complete, textOf(told.toString('latin1')) === text]).toEqual([true, true]);
    expect(scene.asked).toEqual({ openai: 1, mistral: 1 });
    await scene.gateway.idle();
  });

  test('is given all that was said when the second one breaks too', async () => {
    scene.plays({
      openai: cutsBehind(opening + word('so')),
      mistral: cutsBehind(opening + word(' far,'), word('never').slice(0, -5)),
      vllm: streams('chat', ' so good'),
    });
    const answer = await scene.ask('chat');
    expect([answer.cut, textOf(answer.text)]).toEqual([false, 'so far, so good']);
    expect(lastTurn('vllm')).toEqual({ role: 'assistant', content: 'so far,' });
  });

  test('is nobody when all have failed: the stream is cut, and all that was said is there', async () => {
    scene.plays({
      openai: cutsBehind(opening + word('so')),
      mistral: answers(503, '{}'),
      vllm: answers(503, '{}'),
    });
    const answer = await scene.ask('chat');
    expect([answer.cut, textOf(answer.text)]).toEqual([true, 'so']);
    expect(answer.facts.map(({ final }) => final)).toEqual([false, false, true]);
  });
});

describe('a cut as in the relay', () => {
  const cut = opening + word('so');
  const half = word('never').slice(0, 9);
  const request = (more: object): string =>
    JSON.stringify({
      model: 'chat',
      stream: true,
      // Else an event that is not whole is kept back by whoever withholds the usage.
      stream_options: { include_usage: true },
      messages: [{ role: 'user', content: 'hi' }],
      ...more,
    });

  test.each<readonly [string, string, string, string | undefined]>([
    ['a stream with a call', 'chat', opening + word('so') + CALL, undefined],
    [
      'a stream that said why it ended',
      'chat',
      cut + end.slice(0, end.indexOf('\n\n') + 2),
      undefined,
    ],
    ['a stream on a route of which no target takes a prefix', 'nobody', cut, undefined],
    ['a stream without a word', 'chat', opening + word(' '), undefined],
    ['one of two answers', 'chat', cut, request({ n: 2 })],
    ['what was to be JSON', 'chat', cut, request({ response_format: { type: 'json_object' } })],
    [
      'what goes on with a text of the caller’s',
      'chat',
      cut,
      request({ messages: [{ role: 'assistant', content: 'I' }] }),
    ],
  ])('is what becomes of %s', async (_, route, told, asked) => {
    scene.plays({ openai: cutsBehind(told, half) });
    const answer = await scene.ask(route, asked === undefined ? {} : { body: asked });
    expect([answer.cut, answer.text]).toEqual([true, told + half]);
    expect(scene.asked).toEqual({ openai: 1 });
    expect(answer.facts.map(({ final, resumed }) => [final, resumed])).toEqual([[true, false]]);
  });

  test('is not what an error is that nobody goes on behind: it is told', async () => {
    scene.plays({ openai: streamsChunks(cut, error) });
    const answer = await scene.ask('nobody');
    expect([answer.cut, answer.text]).toEqual([false, cut + error]);
    scene.plays({ openai: streamsChunks(cut, error) });
    const own = await scene.ask('chat', { body: request({ n: 2 }) });
    expect([own.cut, own.text]).toEqual([false, cut + error]);
  });
});

function body(model: string): string {
  return JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'hi' }] });
}
