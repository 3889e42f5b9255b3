import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patternBlock } from '../../src/mock/pattern.ts';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { drain, failureOf } from '../support/sdk-calls.ts';

const LIMIT_BYTES = 16 * 1_048_576;
const ASKED = {
  model: 'claude-mock',
  max_tokens: 40,
  messages: [{ role: 'user' as const, content: 'What did the river say to the stone?' }],
};
const WEATHER: Anthropic.Tool = {
  name: 'weather',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

let mock: RunningMock;
let scripted: ScriptedUpstream;
let gateway: Gateway;
/** As an app has it, but for the base URL. */
let client: Anthropic;
/** Makes one attempt, so that the first failure is what the caller sees. */
let once: Anthropic;

beforeAll(async () => {
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  scripted = await startUpstream(() => {});
  const rows = { openai: 9, anthropic: mock.port, claude: scripted.port, closed: 9 };
  gateway = await startGateway({
    config:
      `workers = 1\naccess_log = true\nmax_request_body_bytes = ${LIMIT_BYTES}\n` +
      `${authorities(rows)}[provider_dialects]\nclaude = "anthropic"\nclosed = "anthropic"\n`,
  });
  client = new Anthropic({ apiKey: 'sk-ant-test', baseURL: gateway.origin });
  once = client.withOptions({ maxRetries: 0 });
});
afterAll(async () => {
  await gateway.stop();
  await mock.close();
  await scripted.close();
});

describe('the stock Anthropic SDK with only its base URL changed', () => {
  it('gets a message', async () => {
    const answer = await client.messages.create(ASKED);
    expect(answer.content[0]).toMatchObject({
      type: 'text',
      text: expect.stringMatching(/^You said/),
    });
    expect(answer.usage.output_tokens).toBeGreaterThan(0);
    expect(answer.stop_reason).toBe('end_turn');
  });

  it('gets the same text streamed', async () => {
    const whole = await client.messages.create(ASKED);
    const stream = client.messages.stream(ASKED);
    const streamed = await stream.finalMessage();
    expect(streamed.content).toEqual(whole.content);
    expect(streamed.usage.output_tokens).toBe(whole.usage.output_tokens);
  });

  it('gets a tool call, whole and streamed, and answers it', async () => {
    const asked = { ...ASKED, tools: [WEATHER] };
    const whole = await client.messages.create(asked);
    const [call] = whole.content;
    expect(call).toMatchObject({
      type: 'tool_use',
      name: 'weather',
      input: { city: 'mock' },
    });
    const streamed = await client.messages.stream(asked).finalMessage();
    expect(streamed.content[0]).toMatchObject({ type: 'tool_use', input: { city: 'mock' } });
    const id = call?.type === 'tool_use' ? call.id : '';
    const result: Anthropic.ToolResultBlockParam = {
      type: 'tool_result',
      tool_use_id: id,
      content: 'Rain.',
    };
    const after = await client.messages.create({
      ...asked,
      messages: [
        ...ASKED.messages,
        { role: 'assistant', content: whole.content },
        { role: 'user', content: [result] },
      ],
    });
    expect(after.stop_reason).toBe('end_turn');
  });

  it('gets thinking blocks with their signature, whole and streamed', async () => {
    const asked = {
      ...ASKED,
      max_tokens: 1_025,
      thinking: { type: 'enabled' as const, budget_tokens: 1_024 },
    };
    const whole = await client.messages.create(asked);
    expect(whole.content[0]).toMatchObject({ type: 'thinking', signature: expect.any(String) });
    const { content } = await client.messages.stream(asked).finalMessage();
    expect(content[0]).toMatchObject({ type: 'thinking', signature: expect.stringMatching(/./) });
    expect(content[1]).toEqual(whole.content[1]);
  });

  it('gets a token count', async () => {
    const { model, messages } = ASKED;
    expect((await client.messages.countTokens({ model, messages })).input_tokens).toBeGreaterThan(
      0,
    );
  });

  it('gets the list of models, although its path is the one of OpenAI', async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toContain('claude-mock');
    await gateway.waitForLog(
      ({ path, provider }) => path === '/v1/models' && provider === 'anthropic',
    );
  });

  it('sends an image of 5 MB base64', async () => {
    const data = patternBlock(3_750_000).toString('base64');
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data };
    const answer = await client.messages.create({
      ...ASKED,
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', source },
            { type: 'text', text: 'Describe.' },
          ],
        },
      ],
    });
    expect(answer.content[0]).toMatchObject({ text: expect.stringContaining('Describe.') });
    await gateway.waitForLog(({ bytes_in }) => Number(bytes_in) > 5_000_000);
  });

  it('works the same below the path of the provider', async () => {
    const below = new Anthropic({ apiKey: 'sk-ant', baseURL: `${gateway.origin}/anthropic` });
    expect((await below.messages.create(ASKED)).content).toHaveLength(1);
  });

  it('works the same with a bearer token in place of a key', async () => {
    const bearer = new Anthropic({ apiKey: null, authToken: 'oauth', baseURL: gateway.origin });
    expect((await bearer.messages.create(ASKED)).content).toHaveLength(1);
  });
});

describe("errors of the provider surface as the SDK's own", () => {
  it('a 429 is a RateLimitError with its message and retry-after', async () => {
    const error = await failureOf(once.messages.create({ ...ASKED, model: 'fault-429' }));
    expect(error).toBeInstanceOf(Anthropic.RateLimitError);
    expect(error).toMatchObject({ error: { error: { type: 'rate_limit_error' } } });
    expect(
      (error as InstanceType<typeof Anthropic.RateLimitError>).headers.get('retry-after'),
    ).toBe('1');
  });

  it('a 429 is retried after as long as retry-after says', async () => {
    const before = mock.stats().requests['messages'] ?? 0;
    const beganMs = performance.now();
    await client.messages.create({ ...ASKED, model: 'fault-429-once' });
    expect(mock.stats().requests['messages']).toBe(before + 2);
    // retry-after says 1 s; without it the SDK would have waited at most half of that.
    expect(performance.now() - beganMs).toBeGreaterThan(900);
  });

  it.each(['fault-500', 'fault-503'])('%s is an InternalServerError', async (model) => {
    const error = await failureOf(once.messages.create({ ...ASKED, model }));
    expect(error).toBeInstanceOf(Anthropic.InternalServerError);
    expect(String(error)).toContain('as it was asked to');
  });

  it('a body the provider refuses is a BadRequestError with its message', async () => {
    const asked = {
      model: 'claude-mock',
      max_tokens: 1,
    } as Anthropic.MessageCreateParamsNonStreaming;
    const error = await failureOf(once.messages.create(asked));
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(String(error)).toContain('messages: Field required');
  });

  it('an error event inside a stream is an APIError with its message', async () => {
    const call = once.messages.create({ ...ASKED, model: 'fault-error-event', stream: true });
    const seen: Anthropic.RawMessageStreamEvent[] = [];
    expect(await failureOf(drain(call, seen))).toBeInstanceOf(Anthropic.APIError);
    expect(seen.length).toBeGreaterThan(0);
  });
});

describe("rejections of the gateway surface as the SDK's own errors", () => {
  const CASES: readonly (readonly [
    what: string,
    options: () => object,
    raised: unknown,
    type: string,
  ])[] = [
    [
      'no key',
      () => ({ apiKey: null, defaultHeaders: { 'X-Api-Key': null, Authorization: null } }),
      Anthropic.AuthenticationError,
      'authentication_error',
    ],
    [
      'a gateway key nobody signed',
      () => ({ apiKey: 'bai_v1.7.AAAA.AAAA' }),
      Anthropic.AuthenticationError,
      'authentication_error',
    ],
    [
      'a provider nobody knows',
      () => ({ baseURL: `${gateway.origin}/antropic` }),
      Anthropic.NotFoundError,
      'not_found_error',
    ],
    [
      'a provider that refuses connections',
      () => ({ baseURL: `${gateway.origin}/closed` }),
      Anthropic.InternalServerError,
      'api_error',
    ],
  ];
  it.each(CASES)('%s', async (_what, options, raised, type) => {
    const error = await failureOf(once.withOptions(options()).messages.create(ASKED));
    expect(error).toBeInstanceOf(raised);
    expect(error).toMatchObject({ error: { type: 'error', error: { type } } });
    expect(error).toMatchObject({
      error: { request_id: expect.stringMatching(/^req_[0-9a-f]{24}$/) },
    });
  });

  it('a body over the limit is a 413 that the SDK does not retry', async () => {
    const before = (await gateway.idle()).get('ai_requests_total');
    const content = 'x'.repeat(LIMIT_BYTES);
    const error = await failureOf(
      client.messages.create({ ...ASKED, messages: [{ role: 'user', content }] }),
    );
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error).toMatchObject({ status: 413, error: { error: { type: 'request_too_large' } } });
    expect((await gateway.idle()).get('ai_requests_total')).toBe(before + 1);
  });
});

describe('no cut answer is taken for a whole one', () => {
  it('a sized body that stops short raises', async () => {
    const error = await failureOf(once.messages.create({ ...ASKED, model: 'fault-short-length' }));
    expect(error).toBeInstanceOf(Error);
  });

  it('a chunked JSON body without its end raises, even where it parses', async () => {
    scripted.script = async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: application/json']);
      await turn.chunk('{"id":"m","type":"message","content":[]}');
      turn.socket.end();
    };
    const sdk = once.withOptions({ baseURL: `${gateway.origin}/claude` });
    expect(await failureOf(sdk.messages.create(ASKED))).toBeInstanceOf(Error);
  });

  it('a stream cut between two events raises the error that the gateway says', async () => {
    const seen: Anthropic.RawMessageStreamEvent[] = [];
    const call = once.messages.create({ ...ASKED, model: 'fault-cut-5', stream: true });
    const error = await failureOf(drain(call, seen));
    // The fifth is a ping or not: what counts is that the last one came and no end did.
    expect(seen.at(-1)?.type).toBe('content_block_delta');
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect(error).toMatchObject({ error: { type: 'error', error: { type: 'api_error' } } });
  });

  it('a stream cut inside an event raises, and the half event is never seen', async () => {
    const seen: Anthropic.RawMessageStreamEvent[] = [];
    const call = once.messages.create({ ...ASKED, model: 'fault-cut-midevent-5', stream: true });
    expect(await failureOf(drain(call, seen))).toBeInstanceOf(Error);
    expect(seen.at(-1)?.type).toBe('content_block_delta');
  });

  it('the accumulating stream of the SDK raises when it was cut', async () => {
    const stream = once.messages.stream({ ...ASKED, model: 'fault-cut-8' });
    expect(await failureOf(stream.finalMessage())).toBeInstanceOf(Anthropic.AnthropicError);
  });
});
