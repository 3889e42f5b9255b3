import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  type SceneWire,
  startRoutedScene,
  streams,
  streamsChunks,
} from '../support/routed-scene.ts';

// Every kind of frame that is held, and every kind that is content, in each dialect: what stands in front of the commit
// may be said again by somebody else, what stands behind it never is.

const REASONS = ['rate_limit', 'timeout', 'server_error', 'auth'];

let scene: RoutedScene;

/** A target that was told of its pace rests: each error has a model of its own. */
const ownRoute = (wire: SceneWire, frame: string): string =>
  `own-${wire}-${Object.values(ERRORS[wire]).indexOf(frame)}`;

beforeAll(async () => {
  const route = (targets: string, fallback: string, on: readonly string[]): string =>
    `targets = ["${targets}/one"]\nfallbacks = ["${fallback}/two"]\nretries = 0\nfallback_on = ${JSON.stringify(on)}\n`;
  const wide = [...REASONS, 'context_length', 'refusal'];
  const own = WIRES.flatMap((wire) =>
    Object.values(ERRORS[wire]).map((frame) => {
      // A key without money rests for every model of its provider.
      const asked = frame === MONEY ? 'xai' : FIRST[wire];
      const name = ownRoute(wire, frame);
      return `[routes.${name}]\ntargets = ["${asked}/${name}"]\nfallbacks = ["${SECOND[wire]}/two"]\nretries = 0\n`;
    }),
  );
  scene = await startRoutedScene(
    ['openai', 'groq', 'xai', 'anthropic', 'backup'],
    `breaker_failures = 1000000
[provider_dialects]
backup = "anthropic"
[routes.gpt]
${route('openai', 'groq', REASONS)}[routes.claude]
${route('anthropic', 'backup', REASONS)}[routes.wide-gpt]
${route('openai', 'groq', wide)}[routes.wide-claude]
${route('anthropic', 'backup', wide)}${own.join('')}`,
  );
});
afterAll(async () => await scene.stop());

const WIRES: readonly SceneWire[] = ['chat', 'responses', 'messages'];
const FIRST = { chat: 'openai', responses: 'openai', messages: 'anthropic' } as const;
const SECOND = { chat: 'groq', responses: 'groq', messages: 'backup' } as const;
const routeOf = (wire: SceneWire): string => (wire === 'messages' ? 'claude' : 'gpt');
const whole = (wire: SceneWire, text: string): string =>
  EVENTS[wire].opening + EVENTS[wire].word(text) + EVENTS[wire].end;

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (value: { readonly type: string }): string => `event: ${value.type}\n${data(value)}`;
const delta = (said: object, more: object = {}): string =>
  data({ id: 'c', model: 'm', choices: [{ index: 0, delta: said, ...more }] });
const block = (content_block: object): string =>
  named({ type: 'content_block_start', ...{ index: 0, content_block } });
const blockDelta = (said: object): string =>
  named({ type: 'content_block_delta', ...{ index: 0, delta: said } });
const item = (value: object): string =>
  named({ type: 'response.output_item.added', ...{ item: value } });

type Frames = Readonly<Record<SceneWire, Readonly<Record<string, string>>>>;

const HELD: Frames = {
  chat: {
    'a role': delta({ role: 'assistant' }),
    'an empty content': delta({ role: 'assistant', content: '' }),
    'a content of null': delta({ content: null, refusal: null, tool_calls: null }),
    'empty lists': delta({ tool_calls: [], annotations: [] }),
    'no choices': data({ id: 'c', choices: [] }),
    'usage alone': data({ choices: [], usage: { prompt_tokens: 7, completion_tokens: 0 } }),
    'padding alone': data({ choices: [], obfuscation: 'abc' }),
    'a comment': ': OPENROUTER PROCESSING\n\n',
    'a bare line': '\n',
  },
  responses: {
    created: named({ type: 'response.created', ...{ response: { output: [] } } }),
    queued: named({ type: 'response.queued', ...{ response: {} } }),
    'in progress': named({ type: 'response.in_progress', ...{ response: {} } }),
    'an empty message': item({ type: 'message', content: [] }),
    'an empty thought': item({ type: 'reasoning', summary: [], content: [] }),
    'an empty part': named({ type: 'response.content_part.added', ...{ part: { text: '' } } }),
    'an empty summary': named({
      type: 'response.reasoning_summary_part.added',
      ...{ part: { text: '' } },
    }),
  },
  messages: {
    start: named({ type: 'message_start', ...{ message: { content: [] } } }),
    'an empty text': block({ type: 'text', text: '' }),
    'an empty thought': block({ type: 'thinking', thinking: '', signature: '' }),
    ping: named({ type: 'ping' }),
  },
};

const CONTENT: Frames = {
  chat: {
    text: delta({ content: 'a' }),
    'a list of parts': delta({ content: [{ type: 'thinking', thinking: [{ text: 'a' }] }] }),
    'a refusal': delta({ refusal: 'no' }),
    'a tool call': delta({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '' } }] }),
    'a function call': delta({ function_call: { name: 'f', arguments: '' } }),
    audio: delta({ audio: { id: 'a' } }),
    reasoning_content: delta({ content: '', reasoning_content: 'hm' }),
    reasoning: delta({ reasoning: 'hm' }),
    reasoning_details: delta({ reasoning_details: [{ text: 'hm' }] }),
    images: delta({ images: [{ image_url: {} }] }),
    annotations: delta({ annotations: [{ type: 'url_citation' }] }),
    'a finish': delta({}, { finish_reason: 'stop' }),
  },
  responses: Object.fromEntries([
    ...[
      'output_text',
      'refusal',
      'reasoning_text',
      'reasoning_summary_text',
      'function_call_arguments',
      'custom_tool_call_input',
      'mcp_call_arguments',
      'code_interpreter_call_code',
      'audio',
      'shell_call_command',
    ].map((name) => [
      `${name}.delta`,
      named({ type: `response.${name}.delta`, ...{ delta: 'a' } }),
    ]),
    ...[
      'web_search_call.in_progress',
      'image_generation_call.generating',
      'mcp_list_tools.in_progress',
    ].map((name) => [name, named({ type: `response.${name}`, ...{ item_id: 'a' } })]),
    ['a call', item({ type: 'function_call', name: 'f', arguments: '' })],
    ['a message with text', item({ type: 'message', content: [{ text: 'a' }] })],
  ]),
  messages: {
    'a text': blockDelta({ type: 'text_delta', text: 'a' }),
    'a thought': blockDelta({ type: 'thinking_delta', thinking: 'a' }),
    'a call’s input': blockDelta({ type: 'input_json_delta', partial_json: '{' }),
    'a citation': blockDelta({ type: 'citations_delta', citation: {} }),
    'a compaction': blockDelta({ type: 'compaction_delta', content: 'a' }),
    'a signature alone': blockDelta({ type: 'signature_delta', signature: 'a' }),
    'a tool': block({ type: 'tool_use', id: 't', name: 'f', input: {} }),
    "a server's tool": block({ type: 'server_tool_use', id: 't', name: 'web_search', input: {} }),
    'a hidden thought': block({ type: 'redacted_thinking', data: 'a' }),
    'another model': block({ type: 'fallback', from: 'a', to: 'b' }),
    'a compaction block': block({ type: 'compaction', content: '' }),
  },
};

const MONEY = named({
  type: 'response.failed',
  ...{ response: { error: { code: 'insufficient_quota' } } },
});

/** What a provider says went wrong, inside a 200. */
const ERRORS: Frames = {
  chat: {
    'with a status': data({ error: { message: 'x', code: 503 } }),
    'without one': data({ error: { message: 'x', code: null } }),
    'as a text': data({ error: 'x' }),
    'as a named event': `event: error\n${data({ message: 'x' })}`,
    'of its pace': data({ error: { code: 'rate_limit_exceeded' } }),
    'that is no event': '{"error":{"message":"x"}}\n',
  },
  responses: {
    'as an event': named({ type: 'error', ...{ code: 'server_error', message: 'x' } }),
    'of a failed response': named({
      type: 'response.failed',
      ...{ response: { error: { code: 'server_error' } } },
    }),
    'of its pace': named({
      type: 'response.failed',
      ...{ response: { error: { code: 'rate_limit_exceeded' } } },
    }),
    'of its money': MONEY,
  },
  messages: Object.fromEntries(
    ['overloaded_error', 'api_error', 'rate_limit_error', 'timeout_error'].map((type) => [
      type,
      named({ type: 'error', ...{ error: { type, message: 'x' } } }),
    ]),
  ),
};

/** The provider declines, in an answer that is a 200. */
const REFUSALS: Frames = {
  chat: { 'a content filter': delta({}, { finish_reason: 'content_filter' }) },
  responses: {
    'a content filter': named({
      type: 'response.incomplete',
      ...{ response: { output: [], incomplete_details: { reason: 'content_filter' } } },
    }),
  },
  messages: {
    'a refusal': named({ type: 'message_delta', ...{ delta: { stop_reason: 'refusal' } } }),
  },
};

describe.each(WIRES)('in %s', (wire) => {
  const [first, second] = [FIRST[wire], SECOND[wire]];
  const { opening, error } = EVENTS[wire];
  test.each(
    Object.entries(HELD[wire]),
  )('%s is held: the next target answers alone when an error comes behind it (F1)', async (_, frame) => {
    scene.plays({ [first]: streamsChunks(frame, error), [second]: streams(wire, 'second') });
    const answer = await scene.ask(routeOf(wire), { wire });
    expect([answer.status, answer.cut, answer.text]).toEqual([200, false, whole(wire, 'second')]);
    expect(scene.asked).toEqual({ [first]: 1, [second]: 1 });
  });

  test.each(
    Object.entries(CONTENT[wire]),
  )('%s is content: nobody else is asked, whatever comes behind it (F2)', async (_, frame) => {
    for (const play of [cutsBehind(opening, frame), streamsChunks(opening, frame, error)]) {
      scene.plays({ [first]: play, [second]: streams(wire, 'second') });
      const answer = await scene.ask(routeOf(wire), { wire });
      expect(answer.text.startsWith(opening + frame)).toBe(true);
      expect(scene.asked).toEqual({ [first]: 1 });
    }
  });

  test.each(
    Object.entries(ERRORS[wire]),
  )('an error %s in front of content is no answer (F1)', async (_, frame) => {
    const name = ownRoute(wire, frame);
    const asked = frame === MONEY ? 'xai' : first;
    scene.plays({ [asked]: streamsChunks(opening, frame), [second]: streams(wire, 'second') });
    const answer = await scene.ask(name, { wire });
    expect([answer.status, answer.cut, answer.text]).toEqual([200, false, whole(wire, 'second')]);
    expect(scene.asked).toEqual({ [asked]: 1, [second]: 1 });
  });

  test.each(
    Object.entries(REFUSALS[wire]),
  )('%s reaches the caller byte for byte, unless the route says that it may be routed around (F7)', async (_, frame) => {
    scene.plays({ [first]: streamsChunks(opening, frame), [second]: streams(wire, 'second') });
    const told = await scene.ask(routeOf(wire), { wire });
    expect([told.status, told.text]).toEqual([200, opening + frame]);
    expect(scene.asked).toEqual({ [first]: 1 });
    scene.plays({ [first]: streamsChunks(opening, frame), [second]: streams(wire, 'second') });
    const rerouted = await scene.ask(`wide-${routeOf(wire)}`, { wire });
    expect(rerouted.text).toBe(whole(wire, 'second'));
  });

  test('one candidate: every frame passes as it came (F11)', async () => {
    const all = opening + Object.values(HELD[wire]).join('') + error;
    scene.plays({ [first]: streamsChunks(all) });
    expect((await scene.ask(`${first}/alone`, { wire })).text).toBe(all);
  });
});

test('a whole answer that is a refusal reaches the caller byte for byte (F7)', async () => {
  const body = '{"choices":[{"finish_reason":"content_filter","message":{"content":""}}]}';
  scene.plays({ openai: answers(200, body), groq: answers(200, '{"choices":[{}]}') });
  const answer = await scene.ask('gpt', { stream: false });
  expect([answer.status, answer.text, scene.asked]).toEqual([200, body, { openai: 1 }]);
});
