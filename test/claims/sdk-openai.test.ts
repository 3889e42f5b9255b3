import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { patternBlock } from '../../src/mock/pattern.ts';
import { type RunningMock, startMock } from '../../src/mock/server.ts';
import { seededRandom, sha256 } from '../support/fixtures.ts';
import { authorities, type Gateway, startGateway } from '../support/gateway.ts';
import { type ScriptedUpstream, startUpstream } from '../support/scripted-upstream.ts';
import { drain, failureOf } from '../support/sdk-calls.ts';

const LIMIT_BYTES = 16 * 1_048_576;
const MESSAGES = [{ role: 'user' as const, content: 'What did the river say to the stone?' }];
const WEATHER = {
  name: 'weather',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

let mock: RunningMock;
let scripted: ScriptedUpstream;
let gateway: Gateway;
/** As an app has it, but for the base URL. */
let client: OpenAI;
/** Makes one attempt, so that the first failure is what the caller sees. */
let once: OpenAI;

beforeAll(async () => {
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
  scripted = await startUpstream(() => {});
  const rows = { openai: mock.port, groq: mock.port, mistral: scripted.port, xai: 9 };
  gateway = await startGateway({
    config: `workers = 1\naccess_log = true\nmax_request_body_bytes = ${LIMIT_BYTES}\n${authorities(rows)}`,
  });
  client = new OpenAI({ apiKey: 'sk-test', baseURL: `${gateway.origin}/v1` });
  once = client.withOptions({ maxRetries: 0 });
});
afterAll(async () => {
  await gateway.stop();
  await mock.close();
  await scripted.close();
});

describe('the stock openai SDK with only its base URL changed', () => {
  it('gets a chat completion', async () => {
    const answer = await client.chat.completions.create({ model: 'gpt-mock', messages: MESSAGES });
    expect(answer.choices[0]?.message.content).toMatch(/^You said: What did the river/);
    expect(answer.usage?.completion_tokens).toBeGreaterThan(0);
    expect(answer._request_id).toBe('req_mock');
  });

  it('gets the same text streamed, with the usage it asked for', async () => {
    const asked = { model: 'gpt-mock', messages: MESSAGES, max_completion_tokens: 40 };
    const whole = await client.chat.completions.create(asked);
    const chunks = await drain(
      client.chat.completions.create({
        ...asked,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(chunks.at(-1)?.usage).toMatchObject({ completion_tokens: 40 });
  });

  it('gets tool calls, whole and streamed', async () => {
    const tools = [{ type: 'function' as const, function: WEATHER }];
    const asked = { model: 'gpt-mock', messages: MESSAGES, tools };
    const { choices } = await client.chat.completions.create(asked);
    const call = choices[0]?.message.tool_calls?.[0];
    expect(call).toMatchObject({ type: 'function', function: { name: 'weather' } });
    const stream = client.chat.completions.stream(asked);
    const streamed = (await stream.finalChatCompletion()).choices[0]?.message.tool_calls?.[0];
    expect(streamed).toMatchObject({ function: call?.type === 'function' ? call.function : {} });
  });

  it('gets a response of the Responses API, whole and streamed', async () => {
    const asked = { model: 'gpt-mock', input: 'Say something.' };
    const whole = await client.responses.create(asked);
    expect(whole.output_text).toContain('Say something.');
    const events = await drain(client.responses.create({ ...asked, stream: true }));
    const last = events.at(-1);
    expect(last?.type).toBe('response.completed');
    const deltas = events.map((event) =>
      event.type === 'response.output_text.delta' ? event.delta : '',
    );
    expect(deltas.join('')).toBe(whole.output_text);
  });

  it('gets embeddings, which it asks for in base64', async () => {
    const { data } = await client.embeddings.create({ model: 'e', input: ['a', 'b'] });
    expect(data).toHaveLength(2);
    expect(data[0]?.embedding.every((value) => Number.isFinite(value))).toBe(true);
    expect(data[0]?.embedding).not.toEqual(data[1]?.embedding);
  });

  it('gets the list of models and one of them', async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toContain('gpt-mock');
    expect((await client.models.retrieve('gpt-mock')).id).toBe('gpt-mock');
  });

  it('uploads a file as multipart without a changed byte', async () => {
    const random = seededRandom(7);
    const content = Buffer.from(Uint8Array.from({ length: 3_000_000 }, () => random() * 256));
    const file = await toFile(content, 'batch.jsonl');
    const uploaded = await client.files.create({ file, purpose: 'batch' });
    expect(uploaded).toMatchObject({
      bytes: content.length,
      filename: 'batch.jsonl',
      purpose: 'batch',
      sha256: sha256(content),
    });
  });

  it('downloads audio without a changed byte', async () => {
    const bytes = 3_000_000;
    const speech = await client.audio.speech.create(
      { model: 'tts', voice: 'alloy', input: 'Hello.' },
      { headers: { 'x-mock-bytes': String(bytes) } },
    );
    expect(speech.headers.get('content-type')).toBe('audio/mpeg');
    const audio = Buffer.from(await speech.arrayBuffer());
    expect(sha256(audio)).toBe(sha256(patternBlock(bytes)));
  });

  it('sends an image of 5 MB base64 up and gets one down', async () => {
    const url = `data:image/png;base64,${patternBlock(3_750_000).toString('base64')}`;
    const picture = { type: 'image_url' as const, image_url: { url } };
    const seen = await client.chat.completions.create({
      model: 'gpt-mock',
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Describe.' }, picture] }],
    });
    expect(seen.choices[0]?.message.content).toContain('Describe.');
    await gateway.waitForLog(({ bytes_in }) => Number(bytes_in) > 5_000_000);

    const made = await client.images.generate({ prompt: 'A stone.', quality: 'high' });
    const image = made.data?.[0]?.b64_json ?? '';
    expect(image).toHaveLength(5_000_000);
    expect(image).toBe(patternBlock(3_750_000).toString('base64'));
  });

  it('reaches another provider under its path prefix', async () => {
    const groq = new OpenAI({ apiKey: 'gsk', baseURL: `${gateway.origin}/groq/openai/v1` });
    const answer = await groq.chat.completions.create({ model: 'groq/any', messages: MESSAGES });
    expect(answer.choices[0]?.message.content).toContain('You said');
    await gateway.waitForLog(({ provider }) => provider === 'groq');
  });

  it('gets both answers of a conversation on one kept connection', async () => {
    for (let turn = 0; turn < 5; turn++) {
      const answer = await client.chat.completions.create({
        model: 'gpt-mock',
        messages: [{ role: 'user', content: `Turn ${turn}` }],
      });
      expect(answer.choices[0]?.message.content).toContain(`Turn ${turn}`);
    }
  });
});

describe("errors of the provider surface as the SDK's own", () => {
  const chat = (sdk: OpenAI, model: string) =>
    sdk.chat.completions.create({ model, messages: MESSAGES });

  it('a 429 is a RateLimitError with its message and retry-after', async () => {
    const error = await failureOf(chat(once, 'fault-429'));
    expect(error).toBeInstanceOf(OpenAI.RateLimitError);
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', requestID: 'req_mock' });
    expect((error as InstanceType<typeof OpenAI.RateLimitError>).headers.get('retry-after')).toBe(
      '1',
    );
    expect(String(error)).toContain('The mock answers 429');
  });

  it('a 429 is retried after as long as retry-after says', async () => {
    const before = mock.stats().requests['chat/completions'] ?? 0;
    const beganMs = performance.now();
    const answer = await chat(client, 'fault-429-once');
    expect(answer.choices[0]?.message.content).toContain('You said');
    expect(mock.stats().requests['chat/completions']).toBe(before + 2);
    // retry-after says 1 s; without it the SDK would have waited at most half of that.
    expect(performance.now() - beganMs).toBeGreaterThan(900);
  });

  it.each(['fault-500', 'fault-503'])('%s is an InternalServerError', async (model) => {
    const error = await failureOf(chat(once, model));
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(String(error)).toContain('as it was asked to');
  });

  it('a body the provider refuses is a BadRequestError with its message', async () => {
    const asked = { model: 'gpt-mock' } as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const error = await failureOf(once.chat.completions.create(asked));
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
  });

  it('a path the provider does not have is a NotFoundError', async () => {
    const error = await failureOf(once.get('/nothing/here'));
    expect(error).toBeInstanceOf(OpenAI.NotFoundError);
    expect(String(error)).toContain('The mock has no GET');
  });

  it('an error event inside a stream is an APIError with its message', async () => {
    const seen: unknown[] = [];
    const stream = once.chat.completions.create({
      model: 'fault-error-event',
      messages: MESSAGES,
      stream: true,
    });
    expect(await failureOf(drain(stream, seen))).toBeInstanceOf(OpenAI.APIError);
    expect(seen.length).toBeGreaterThan(0);
  });
});

describe("rejections of the gateway surface as the SDK's own errors", () => {
  const CASES: readonly (readonly [
    what: string,
    options: () => object,
    raised: unknown,
    code: string,
  ])[] = [
    [
      'no key',
      () => ({ defaultHeaders: { Authorization: null } }),
      OpenAI.AuthenticationError,
      'missing_key',
    ],
    [
      'a gateway key nobody signed',
      () => ({ apiKey: 'bai_v1.7.AAAA.AAAA' }),
      OpenAI.AuthenticationError,
      'bad_key',
    ],
    [
      'a provider nobody knows',
      () => ({ baseURL: `${gateway.origin}/opanai/v1` }),
      OpenAI.NotFoundError,
      'unknown_provider',
    ],
    [
      'a provider that refuses connections',
      () => ({ baseURL: `${gateway.origin}/xai/v1` }),
      OpenAI.InternalServerError,
      'upstream_unreachable',
    ],
  ];
  it.each(CASES)('%s', async (_what, options, raised, code) => {
    const sdk = once.withOptions(options());
    const error = await failureOf(sdk.chat.completions.create({ model: 'm', messages: MESSAGES }));
    expect(error).toBeInstanceOf(raised);
    expect(error).toMatchObject({ code });
  });

  it('a body over the limit is a 413 that the SDK does not retry', async () => {
    const before = (await gateway.idle()).get('ai_requests_total');
    const content = 'x'.repeat(LIMIT_BYTES);
    const error = await failureOf(
      client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content }] }),
    );
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ status: 413, code: 'body_too_large' });
    expect((await gateway.idle()).get('ai_requests_total')).toBe(before + 1);
  });

  it('a reset before the head is retried and then an InternalServerError', async () => {
    const before = mock.stats().requests['chat/completions'] ?? 0;
    const sdk = client.withOptions({ maxRetries: 1 });
    const error = await failureOf(
      sdk.chat.completions.create({ model: 'fault-reset', messages: MESSAGES }),
    );
    expect(error).toBeInstanceOf(OpenAI.InternalServerError);
    expect(error).toMatchObject({ status: 502, code: 'upstream_unreachable' });
    expect(mock.stats().requests['chat/completions']).toBe(before + 2);
  });
});

describe('no cut answer is taken for a whole one', () => {
  const asked = (model: string) => ({ model, messages: MESSAGES });

  it('a sized body that stops short raises', async () => {
    const error = await failureOf(once.chat.completions.create(asked('fault-short-length')));
    expect(error).toBeInstanceOf(Error);
    expect(mock.stats().aborted).toBeGreaterThan(0);
  });

  it('a chunked JSON body without its end raises, even where it parses', async () => {
    scripted.script = async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: application/json']);
      await turn.chunk('{"id":"c","object":"chat.completion","choices":[]}');
      turn.socket.end();
    };
    const sdk = once.withOptions({ baseURL: `${gateway.origin}/mistral/v1` });
    const error = await failureOf(sdk.chat.completions.create(asked('m')));
    expect(error).toBeInstanceOf(Error);
  });

  it('a stream cut between two events raises the error that the gateway says', async () => {
    const seen: unknown[] = [];
    const call = once.chat.completions.create({ ...asked('fault-cut-3'), stream: true });
    const error = await failureOf(drain(call, seen));
    expect(seen).toHaveLength(3);
    expect(error).toBeInstanceOf(OpenAI.APIError);
    expect(error).toMatchObject({ code: 'upstream_unreachable' });
  });

  it('a stream cut inside an event raises, and the half event is never seen', async () => {
    const seen: unknown[] = [];
    const call = once.chat.completions.create({ ...asked('fault-cut-midevent-3'), stream: true });
    expect(await failureOf(drain(call, seen))).toBeInstanceOf(Error);
    expect(seen).toHaveLength(3);
  });

  it('a Responses stream that is cut raises', async () => {
    const seen: OpenAI.Responses.ResponseStreamEvent[] = [];
    const call = once.responses.create({ model: 'fault-cut-4', input: 'Hello', stream: true });
    expect(await failureOf(drain(call, seen))).toBeInstanceOf(OpenAI.APIError);
    expect(seen.some(({ type }) => type === 'response.completed')).toBe(false);
  });

  it('a binary download that is cut raises', async () => {
    scripted.script = async (turn) => {
      await turn.bodyDone();
      await turn.stream(['content-type: audio/mpeg']);
      await turn.chunk(patternBlock(100_000));
      turn.reset();
    };
    const sdk = once.withOptions({ baseURL: `${gateway.origin}/mistral/v1` });
    const speech = sdk.audio.speech.create({ model: 'tts', voice: 'alloy', input: 'Hello.' });
    expect(await failureOf(speech.then((response) => response.arrayBuffer()))).toBeInstanceOf(
      Error,
    );
  });
});
