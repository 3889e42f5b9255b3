import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startMock } from '../../src/mock/server.ts';
import { authorities, startGateway } from '../support/gateway.ts';
import { factOf, poolKeys, signingKeys, token } from '../support/managed.ts';
import {
  type Act,
  answers,
  cutsBehind,
  EVENTS,
  type RoutedScene,
  resets,
  stallsBehind,
  startRoutedScene,
  streams,
  streamsChunks,
  WHOLE,
} from '../support/routed-scene.ts';
import { failureOf } from '../support/sdk-calls.ts';

// Anthropic's callers on Gemini's own wire; OpenAI's go on reaching Google's OpenAI endpoint, byte for byte.

const USAGE = {
  promptTokenCount: 900,
  cachedContentTokenCount: 512,
  candidatesTokenCount: 7,
  thoughtsTokenCount: 40,
  toolUsePromptTokenCount: 30,
  totalTokenCount: 977,
};

type Json = Readonly<Record<string, unknown>>;

const candidate = (parts: readonly Json[], more: Json = { finishReason: 'STOP' }): Json => ({
  candidates: [{ content: { parts, role: 'model' }, index: 0, ...more }],
  usageMetadata: USAGE,
  modelVersion: 'gemini-2.5-flash',
  responseId: 'gmResponse1',
});
const whole = (parts: readonly Json[], more?: Json): Act =>
  answers(200, JSON.stringify(candidate(parts, more)));
const event = (value: Json): string => `data: ${JSON.stringify(value)}\r\n\r\n`;
const word = (text: string): string => event(candidate([{ text }], {}));
const refuses = (status: number, message: string, details: readonly Json[] = []): Act =>
  answers(status, JSON.stringify({ error: { code: status, message, status: 'X', details } }));

const MESSAGE = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'claude-sonnet-4-5-20250929',
  content: [{ type: 'text', text: 'from Claude' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage: { input_tokens: 5, output_tokens: 3 },
});

/** A target for each failure: one that failed is left alone for a while. */
const FAILING = ['a', 'b', 'c', 'd', 'e', 'f'];

let scene: RoutedScene;
let anthropic: Anthropic;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['anthropic', 'gemini'],
    `replay_max_bytes = "1MiB"
[routes.claude-first]
targets = ["anthropic/claude-opus-4-5"]
fallbacks = ["gemini/gemini-2.5-flash-2"]
retries = 0
[routes.held]
targets = ["gemini/gemini-2.5-held"]
fallbacks = ["anthropic/claude-sonnet-4-5"]
retries = 0
stream_safety = "hold"
[routes.resumed]
targets = ["gemini/gemini-2.5-resumed"]
fallbacks = ["anthropic/claude-sonnet-4"]
retries = 0
stream_safety = "resume"
[models."anthropic/claude-sonnet-4"]
continues_prefix = true
[policies.poor]
max_cost_per_request_usd = "0.01"
[keys.3]
policy = "poor"
[routes.both]
targets = ["anthropic/claude-opus-4-6", "gemini/gemini-3-flash-preview-2"]
${FAILING.map((name) => `[routes.gemini-${name}]\ntargets = ["gemini/gemini-2.5-${name}"]\nfallbacks = ["anthropic/claude-sonnet-4-5"]\nretries = 0\n`).join('')}`,
  );
  const baseURL = `http://127.0.0.1:${scene.gateway.port}`;
  anthropic = new Anthropic({ authToken: scene.key, apiKey: null, baseURL, maxRetries: 0 });
});
afterAll(async () => await scene.stop());

const HI = [{ role: 'user' as const, content: 'hi' }];
const TOOLS = [
  { name: 'clock', input_schema: { type: 'object' as const, properties: { zone: {} } } },
];

function sentTo(provider: string, at = 0) {
  const request = scene.upstreams[provider]?.requests[at];
  return { request, body: JSON.parse(request?.body.toString() ?? 'null') };
}

describe("Anthropic's client on Gemini's own wire", () => {
  test('gets a whole answer; Google gets its own path, key and request, and nothing else', async () => {
    scene.plays({ gemini: whole([{ text: 'hm', thought: true }, { text: 'from Gemini' }]) });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: JSON.stringify({
        model: 'gemini/gemini-2.5-flash',
        max_tokens: 9,
        messages: HI,
        context_management: { edits: [] },
      }),
      fields: {
        'anthropic-version': '2023-06-01',
        'anthropic-beta': 'x',
        'x-stainless-lang': 'js',
      },
    });
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toMatchObject({
      id: 'gmResponse1',
      type: 'message',
      model: 'gemini-2.5-flash',
      content: [
        { type: 'thinking', thinking: 'hm' },
        { type: 'text', text: 'from Gemini' },
      ],
      stop_reason: 'end_turn',
      usage: { input_tokens: 418, cache_read_input_tokens: 512, output_tokens: 47 },
    });
    const { request, body } = sentTo('gemini');
    expect(request?.target).toBe('/v1beta/models/gemini-2.5-flash:generateContent');
    expect(body).toEqual({
      contents: [{ role: 'user', parts: [{ text: 'hi' }] }],
      generationConfig: { maxOutputTokens: 9 },
    });
    expect(request?.field('x-goog-api-key')).toBe('sk-gemini-pool');
    for (const name of ['authorization', 'anthropic-version', 'anthropic-beta', 'x-stainless-lang'])
      expect(request?.field(name) ?? null, name).toBeNull();
    expect(answer.fields.get('x-sluice-dropped')).toBe('context_management');
    expect(answer.fields.get('x-sluice-target')).toBe('gemini/gemini-2.5-flash');
  });

  test('costs what the same answer costs on the way that Google’s own clients take', async () => {
    scene.plays({ gemini: whole([{ text: 'word' }]) });
    const told = [
      'model',
      'input_tokens',
      'output_tokens',
      'cache_read_tokens',
      'reasoning_tokens',
      'usage_source',
      'endpoint',
      'cost_usd',
      'cost_source',
      'raw_usage',
    ] as const;
    const body = { model: 'gemini/gemini-2.5-flash', max_tokens: 9, messages: HI };
    const asked = await scene.ask('', { wire: 'messages', body: JSON.stringify(body) });
    const own = await scene.ask('', {
      path: '/gemini/v1beta/models/gemini-2.5-flash:generateContent',
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'hi' }] }] }),
    });
    const facts = [asked, own].map(({ facts: [fact] }) =>
      Object.fromEntries(told.map((name) => [name, fact?.[name]])),
    );
    expect(facts[0]).toEqual(facts[1]);
    expect(facts[0]).toMatchObject({ usage_source: 'reported', cache_read_tokens: 512 });
    expect(Number(facts[0]?.['cost_usd'])).toBeGreaterThan(0);
    expect(asked.facts).toMatchObject([
      { provider: 'gemini', target_model: 'gemini/gemini-2.5-flash', lane: 'routed' },
    ]);
  });

  test('streams thoughts, text and parallel calls as they come, and signatures come back', async () => {
    const calls = [
      { functionCall: { name: 'clock', args: { zone: 'UTC' } }, thoughtSignature: 'U2lnQQ==' },
      { functionCall: { name: 'clock', args: { zone: 'CET' } } },
    ];
    scene.plays({
      gemini: streamsChunks(
        event(candidate([{ text: 'hm', thought: true }], {})),
        word('Let me look.'),
        event(candidate(calls)),
      ),
    });
    const asked = {
      model: 'gemini/gemini-3-flash-preview',
      max_tokens: 50,
      tools: TOOLS,
      thinking: { type: 'adaptive' as const },
    };
    const message = await anthropic.messages.stream({ ...asked, messages: HI }).finalMessage();
    expect(message.content.filter(({ type }) => type !== 'thinking')).toMatchObject([
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', name: 'clock', input: { zone: 'UTC' } },
      { type: 'tool_use', name: 'clock', input: { zone: 'CET' } },
    ]);
    expect(message.stop_reason).toBe('tool_use');
    expect(message.usage).toMatchObject({ input_tokens: 418, output_tokens: 47 });
    const { request, body } = sentTo('gemini');
    expect(request?.target).toBe(
      '/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse',
    );
    expect(body.generationConfig.thinkingConfig).toEqual({ includeThoughts: true });
    expect(body.tools[0].functionDeclarations[0].name).toBe('clock');

    scene.plays({ gemini: whole([{ text: 'noon' }]) });
    const results = message.content.flatMap((block) =>
      block.type === 'tool_use'
        ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: '12:00' }]
        : [],
    );
    await anthropic.messages.create({
      ...asked,
      messages: [
        ...HI,
        { role: 'assistant', content: message.content },
        { role: 'user', content: results.reverse() },
      ],
    });
    const { contents } = sentTo('gemini').body;
    expect(contents[1]).toEqual({ role: 'model', parts: [{ text: 'Let me look.' }, ...calls] });
    const response = { functionResponse: { name: 'clock', response: { output: '12:00' } } };
    expect(contents[2]).toEqual({ role: 'user', parts: [response, response] });
  });

  test('pays for what came where it leaves before Google says what that cost', async () => {
    const text = 'words that nobody counted '.repeat(40);
    const said = { candidates: [{ content: { parts: [{ text }] }, index: 0 }] };
    scene.plays({ gemini: stallsBehind(event({ ...said, modelVersion: 'gemini-2.0-flash' })) });
    const leave = new AbortController();
    const { signal } = leave;
    const stream = await anthropic.messages
      .create(
        { model: 'gemini/gemini-2.0-flash', max_tokens: 9, messages: HI, stream: true },
        { signal },
      )
      .withResponse();
    for await (const { type } of stream.data) if (type === 'content_block_delta') leave.abort();
    const id = stream.response.headers.get('x-sluice-request-id');
    const fact = await factOf(scene.gateway, id);
    expect(fact).toMatchObject({ outcome: 'client_gone', usage_source: 'estimated' });
    expect(fact['output_tokens']).toBeGreaterThanOrEqual(text.length / 8);
    expect(fact['output_tokens']).toBeLessThan(text.length / 2);
  });

  test.each([
    ['400', 400, 'Invalid value at generation_config', Anthropic.BadRequestError],
    ['404', 404, 'models/x is not found for API version v1beta', Anthropic.NotFoundError],
    ['503', 503, 'The model is overloaded.', Anthropic.InternalServerError],
  ])('is told a %s in Google’s words', async (name, status, message, kind) => {
    scene.plays({ gemini: refuses(status, message) });
    const failure = await failureOf(
      anthropic.messages.create({ model: `gemini/gemini-${name}`, max_tokens: 9, messages: HI }),
    );
    expect(failure).toBeInstanceOf(kind);
    expect(String(failure)).toContain(message);
  });

  test('is told a 429, and when to try again, which Google says in the body alone', async () => {
    const retry = { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '47.2s' };
    scene.plays({ gemini: refuses(429, 'Resource has been exhausted.', [retry]) });
    const failure = await failureOf(
      anthropic.messages.create({ model: 'gemini/gemini-429', max_tokens: 9, messages: HI }),
    );
    expect(failure).toBeInstanceOf(Anthropic.RateLimitError);
    expect(
      (failure as InstanceType<typeof Anthropic.RateLimitError>).headers.get('retry-after'),
    ).toBe('48');
  });

  test.each([
    ['a cut', cutsBehind(word('half')), ''],
    ['an end without a reason', streamsChunks(word('half')), ''],
    [
      'an error event',
      streamsChunks(word('half'), event({ error: { code: 503, message: 'overloaded now' } })),
      'overloaded now',
    ],
    [
      'a call that is none',
      streamsChunks(
        word('half'),
        event(candidate([], { finishReason: 'MALFORMED_FUNCTION_CALL' })),
      ),
      'MALFORMED_FUNCTION_CALL',
    ],
  ])('raises on %s behind content, and never takes it for whole', async (_name, act, says) => {
    scene.plays({ gemini: act });
    let text = '';
    const stream = anthropic.messages
      .stream({ model: 'gemini/gemini-2.5-flash-lite', max_tokens: 9, messages: HI })
      .on('text', (more) => {
        text += more;
      });
    const failure = await failureOf(stream.finalMessage());
    expect(failure).toBeInstanceOf(Error);
    expect(String(failure)).toContain(says);
    expect(text).toBe('half');
  });

  test('is refused what may cost more than its key allows, by the price of the model in the path', async () => {
    const key = token({ keyId: 3n });
    const ask = (model: string, tokens: number) =>
      scene.ask('', {
        wire: 'messages',
        body: JSON.stringify({ model, max_tokens: tokens, messages: HI }),
        fields: { authorization: `Bearer ${key}` },
      });
    scene.plays({ gemini: whole([{ text: 'word' }]) });
    const refused = await ask('gemini/gemini-2.5-pro', 9_000);
    expect([refused.status >= 400, scene.asked]).toEqual([true, {}]);
    const served = await ask('gemini/gemini-2.5-pro', 50);
    expect([served.status, scene.asked]).toEqual([200, { gemini: 1 }]);
  });

  const COUNT = {
    path: '/v1/messages/count_tokens',
    body: JSON.stringify({
      model: 'gemini/gemini-2.5-pro',
      system: 'Be brief.',
      messages: HI,
      tools: [{ name: 'clock', input_schema: { type: 'object', properties: {} } }],
    }),
  };

  test('is told how many tokens a conversation has by Gemini itself, which bills nothing for that', async () => {
    scene.plays({ gemini: answers(200, '{"totalTokens":31,"promptTokensDetails":[]}') });
    const { status, text, fields, facts: told } = await scene.ask('', COUNT);
    expect([status, JSON.parse(text)]).toEqual([200, { input_tokens: 31 }]);
    expect(fields.get('x-sluice-estimated')).toBeNull();
    expect(fields.get('x-sluice-target')).toBe('gemini/gemini-2.5-pro');
    expect(told).toMatchObject([{ cost_status: 'not_billed', cost_usd: '0', outcome: 'complete' }]);
    const [request] = scene.upstreams['gemini']?.requests ?? [];
    expect(request?.target).toBe('/v1beta/models/gemini-2.5-pro:countTokens');
    expect(JSON.parse(String(request?.body))).toEqual({
      generateContentRequest: {
        model: 'models/gemini-2.5-pro',
        contents: [{ role: 'user', parts: [{ text: 'hi' }] }],
        systemInstruction: { parts: [{ text: 'Be brief.' }] },
        tools: [{ functionDeclarations: [expect.objectContaining({ name: 'clock' })] }],
      },
    });
    const asked = { model: 'gemini/gemini-2.5-pro', messages: HI };
    expect((await anthropic.messages.countTokens(asked)).input_tokens).toBe(31);
  });

  test.each<[string, Act]>([
    ['is too busy', answers(429, '{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}')],
    ['refuses the gateway’s own key', answers(401, '{"error":{"code":401}}')],
    ['has no such call', answers(404, 'not found')],
    ['breaks', answers(500, '{}')],
    ['says no number', answers(200, '{"totalTokens":"many"}')],
    ['answers with a page', answers(200, '<html>')],
    ['leaves in the middle', resets],
  ])('is told an estimate of it where Gemini %s, and that it is one', async (_what, act) => {
    scene.plays({ gemini: act });
    const { status, text, fields, facts: told, cut } = await scene.ask('', COUNT);
    expect([status, cut, scene.asked]).toEqual([200, false, { gemini: 1 }]);
    expect(told).toMatchObject([{ cost_status: 'not_billed', usage_source: 'none' }]);
    expect(fields.get('x-sluice-estimated')).toBe('input_tokens');
    expect((JSON.parse(text) as { input_tokens: number }).input_tokens).toBeGreaterThan(5);
    expect(fields.get('retry-after')).toBeNull();
  });

  test('is told how many tokens a conversation has, by what the model was seen to count', async () => {
    const messages = [{ role: 'user' as const, content: 'The river ran on. '.repeat(400) }];
    const asked = { model: 'gemini/gemini-2.5-counted', messages };
    const guessed = await anthropic.messages.countTokens(asked);
    const usageMetadata = { promptTokenCount: 900, candidatesTokenCount: 1, totalTokenCount: 901 };
    const answer = { ...candidate([{ text: 'Yes.' }]), usageMetadata };
    scene.plays({ gemini: answers(200, JSON.stringify(answer)) });
    await anthropic.messages.create({ ...asked, max_tokens: 9 });
    await scene.gateway.idle();
    const learned = await anthropic.messages.countTokens(asked);
    expect(guessed.input_tokens).toBeGreaterThan(1_350);
    expect(learned.input_tokens).toBeGreaterThan(900);
    expect(learned.input_tokens).toBeLessThan(1_350);
  });

  test('is refused a tool that only Anthropic can run, and Google hears nothing of it', async () => {
    scene.plays({});
    const failure = await failureOf(
      anthropic.messages.create({
        model: 'gemini/gemini-2.5-pro',
        max_tokens: 9,
        messages: HI,
        tools: [{ type: 'web_search_20250305', name: 'web_search' }],
      }),
    );
    expect(failure).toBeInstanceOf(Anthropic.BadRequestError);
    expect([String(failure), scene.asked]).toEqual([
      expect.stringContaining('tools.web_search'),
      {},
    ]);
  });
});

describe('a plan with Gemini', () => {
  test('is gone on with by it where Claude fails', async () => {
    const error = { type: 'error', error: { type: 'overloaded_error', message: 'x' } };
    scene.plays({
      anthropic: answers(529, JSON.stringify(error)),
      gemini: streamsChunks(word('from '), event(candidate([{ text: 'Gemini' }]))),
    });
    const message = await anthropic.messages
      .stream({ model: 'claude-first', max_tokens: 9, messages: HI })
      .finalMessage();
    expect(message.content).toMatchObject([{ type: 'text', text: 'from Gemini' }]);
    expect(scene.asked).toEqual({ anthropic: 1, gemini: 1 });
  });

  test.each([
    ['gemini-a', '503', refuses(503, 'overloaded')],
    [
      'gemini-b',
      'an error in its opening',
      streamsChunks(event({ error: { code: 503, message: 'x' } })),
    ],
    ['gemini-c', 'no content at all', streamsChunks(event(candidate([], {})))],
    [
      'gemini-d',
      'a call that is none',
      streamsChunks(event(candidate([], { finishReason: 'MALFORMED_FUNCTION_CALL' }))),
    ],
    ['gemini-e', 'a 200 that holds an error', refuses(200, 'x')],
  ])('%s goes on to Claude behind %s', async (route, _name, act) => {
    scene.plays({ gemini: act, anthropic: streams('messages', 'from Claude') });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: JSON.stringify({ model: route, max_tokens: 9, messages: HI, stream: true }),
    });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('from Claude');
    expect(scene.asked).toEqual({ gemini: 1, anthropic: 1 });
  });

  test('that is held to its end goes on to Claude behind Gemini’s first words', async () => {
    scene.plays({ gemini: cutsBehind(word('half')), anthropic: streams('messages', 'whole') });
    const answer = await scene.ask('', {
      wire: 'messages',
      body: JSON.stringify({ model: 'held', max_tokens: 9, messages: HI, stream: true }),
    });
    expect(answer.text).toContain('whole');
    expect(answer.text).not.toContain('half');
  });

  test('goes on with Gemini’s text at Claude, within the same answer', async () => {
    const { opening, word: delta, end } = EVENTS.messages;
    scene.plays({
      gemini: cutsBehind(word('One, two,')),
      anthropic: streamsChunks(opening, delta(' three.'), end),
    });
    const body = { model: 'resumed', max_tokens: 9, messages: HI, stream: true };
    const answer = await scene.ask('', { wire: 'messages', body: JSON.stringify(body) });
    expect([answer.cut, scene.asked]).toEqual([false, { gemini: 1, anthropic: 1 }]);
    const said = [...answer.text.matchAll(/"text_delta","text":"([^"]*)"/g)];
    expect(said.map(([, text]) => text).join('')).toBe('One, two, three.');
    expect(answer.text.trimEnd().endsWith('{"type":"message_stop"}')).toBe(true);
  });

  test('gives each maker its own signatures back, and the other one’s to nobody', async () => {
    const history = [
      { role: 'user', content: 'hi' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 'EqoB' },
          { type: 'text', text: 'one' },
        ],
      },
      { role: 'user', content: 'go on' },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: '', signature: 'sluice.gemini.U2ln' },
          { type: 'text', text: 'two' },
        ],
      },
      { role: 'user', content: 'go on' },
    ];
    const body = (model: string) => JSON.stringify({ model, max_tokens: 9, messages: history });
    scene.plays({ gemini: whole([{ text: 'three' }]) });
    await scene.ask('', { wire: 'messages', body: body('gemini/gemini-3-flash-preview') });
    expect(sentTo('gemini').body.contents.map(({ parts }: { parts: unknown }) => parts)).toEqual([
      [{ text: 'hi' }],
      [{ text: 'one' }],
      [{ text: 'go on' }],
      [{ text: 'two', thoughtSignature: 'U2ln' }],
      [{ text: 'go on' }],
    ]);
    scene.plays({ anthropic: answers(200, MESSAGE), gemini: whole([{ text: 'three' }]) });
    await scene.ask('', { wire: 'messages', body: body('both') });
    const text = scene.upstreams['anthropic']?.requests[0]?.body.toString() ?? '';
    expect(text).toContain('EqoB');
    expect(text).not.toContain('sluice.gemini');
  });
});

describe('a conversation with tools', () => {
  test('goes through at a provider that wants its signatures back, streamed and whole', async () => {
    const mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
    const gateway = await startGateway({
      config: `workers = 1\n${authorities({ gemini: mock.port })}${poolKeys({ gemini: ['sk-x'] })}${signingKeys()}`,
    });
    try {
      const baseURL = `http://127.0.0.1:${gateway.port}`;
      const client = new Anthropic({ authToken: token(), apiKey: null, baseURL, maxRetries: 0 });
      const asked = {
        model: 'gemini/gemini-3-flash-preview',
        max_tokens: 200,
        tools: TOOLS,
        thinking: { type: 'adaptive' as const },
      };
      const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'What time is it?' }];
      for (const stream of [true, false, true]) {
        const called = stream
          ? await client.messages.stream({ ...asked, messages }).finalMessage()
          : await client.messages.create({ ...asked, messages });
        expect(called.stop_reason).toBe('tool_use');
        const results = called.content.flatMap((block) =>
          block.type === 'tool_use'
            ? [{ type: 'tool_result' as const, tool_use_id: block.id, content: '12:00' }]
            : [],
        );
        messages.push({ role: 'assistant', content: called.content });
        messages.push({ role: 'user', content: results });
        const behind = await client.messages.stream({ ...asked, messages }).finalMessage();
        expect(behind.stop_reason).toBe('end_turn');
        expect(behind.content.map(({ type }) => type)).toContain('text');
        messages.push({ role: 'assistant', content: behind.content });
        messages.push({ role: 'user', content: 'And now?' });
      }
      expect(mock.stats().requests['models/{id}:streamGenerateContent']).toBe(5);
    } finally {
      await gateway.stop();
      await mock.close();
    }
  });
});

describe('a pool key that Google does not know, which it says with a 400', () => {
  const told = refusalBody([{ '@type': 'x', reason: 'API_KEY_INVALID', domain: 'googleapis.com' }]);
  let keyed: RoutedScene;

  function refusalBody(details: readonly Json[]): string {
    const message = 'API key not valid. Please pass a valid API key.';
    return JSON.stringify({ error: { code: 400, message, status: 'INVALID_ARGUMENT', details } });
  }

  beforeAll(async () => {
    keyed = await startRoutedScene(['gemini'], 'replay_max_bytes = "1MiB"\n[limits]\n', {
      gemini: ['sk-gemini-old', 'sk-gemini-new'],
    });
  });
  afterAll(async () => await keyed.stop());

  const body = JSON.stringify({ model: 'gemini/gemini-2.5-flash', max_tokens: 9, messages: HI });
  const ask = () => keyed.ask('', { wire: 'messages', body });
  const native = () =>
    keyed.ask('', { path: '/gemini/v1beta/models/gemini-2.5-flash:generateContent', body: '{}' });

  test.each([
    ['as it is', told],
    ['in a list', `[${told}]`],
  ])('is no fault of a caller’s on Google’s own paths, told %s', async (_name, text) => {
    keyed.plays({ gemini: answers(400, text) });
    const answer = await native();
    expect(answer.status).toBe(502);
    expect(answer.text).toContain('pool_key_rejected');
    expect(answer.text).not.toContain('API key not valid');
  });

  test.each([
    ['speaks of the request', refusalBody([])],
    ['quotes the caller', refusalBody([{ note: '"reason":"API_KEY_INVALID"' }])],
    ['is longer than is looked at', refusalBody([{ note: 'x'.repeat(40_000) }])],
  ])('is another thing than a 400 that %s: that is told byte for byte', async (_name, text) => {
    keyed.plays({ gemini: answers(400, text) });
    const answer = await native();
    expect([answer.status, answer.text]).toEqual([400, text]);
  });

  test('rests, and another one takes its place; where none is left, the caller is told nothing of it', async () => {
    keyed.plays({ gemini: [answers(400, told), whole([{ text: 'word' }])] });
    const served = await ask();
    expect([served.status, keyed.asked]).toEqual([200, { gemini: 2 }]);
    keyed.plays({ gemini: answers(400, told) });
    const refused = await ask();
    expect(refused.status).toBe(502);
    expect(refused.text).toContain('POOL_KEY_400');
    expect(refused.text).not.toContain('API key not valid');
  });
});

describe("OpenAI's client", () => {
  test('reaches Google’s OpenAI endpoint as ever, and its body goes as it came', async () => {
    scene.plays({ gemini: answers(200, WHOLE) });
    const body = '{ "model" : "gemini/gemini-2.5-flash", "messages": [ ], "brand_new" : 1.0 }';
    const answer = await scene.ask('', { body });
    expect(answer.text).toBe(WHOLE);
    const { request } = sentTo('gemini');
    expect(request?.target).toBe('/v1beta/openai/chat/completions');
    expect(request?.field('authorization')).toBe('Bearer sk-gemini-pool');
    expect(request?.body.toString()).toBe(body.replace('gemini/', ''));
  });

  test('streams from there, and nothing is written anew', async () => {
    const { opening, word: chunk, end } = EVENTS.chat;
    scene.plays({ gemini: streamsChunks(opening, chunk('word'), end) });
    const answer = await scene.ask('gemini/gemini-2.5-flash');
    expect(answer.text).toBe(opening + chunk('word') + end);
  });
});
