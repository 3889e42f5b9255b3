import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EVERY_TOOL } from '../../../src/mock/answers.ts';
import { type RunningMock, startMock } from '../../../src/mock/server.ts';

let mock: RunningMock;
beforeAll(async () => {
  mock = await startMock({ host: '127.0.0.1', port: 0, eventDelayMs: 0 });
});
afterAll(() => mock.close());

async function ask(path: string, fields: Readonly<Record<string, string>>, body: object) {
  const response = await fetch(mock.origin + path, {
    method: 'POST',
    headers: { ...fields, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

const CHAT = { model: 'm', messages: [{ role: 'user', content: 'Say it' }] };

describe('the mock refuses as the vendors do', () => {
  it('a key that says it is wrong, in either dialect', async () => {
    const openai = await ask('/v1/chat/completions', { authorization: 'Bearer sk-wrong' }, CHAT);
    expect(openai).toMatchObject({ status: 401, body: { error: { code: 'invalid_api_key' } } });
    const asked = { ...CHAT, max_tokens: 5 };
    const anthropic = await ask('/v1/messages', { 'x-api-key': 'sk-ant-wrong' }, asked);
    expect(anthropic).toMatchObject({
      status: 401,
      body: { type: 'error', error: { type: 'authentication_error' } },
    });
  });

  it('takes any other key', async () => {
    const { status } = await ask('/v1/chat/completions', { authorization: 'Bearer x' }, CHAT);
    expect(status).toBe(200);
  });

  it('a model that is asked for as unknown', async () => {
    const asked = { ...CHAT, model: 'fault-404' };
    const { status, body } = await ask(
      '/v1/chat/completions',
      { authorization: 'Bearer x' },
      asked,
    );
    expect(status).toBe(404);
    expect(body).toMatchObject({ error: { code: 'model_not_found' } });
    const tuned = await ask(
      '/v1/chat/completions',
      { authorization: 'Bearer x' },
      { ...CHAT, model: 'ft:gpt-4o:fault-404' },
    );
    expect(tuned.status).toBe(404);
  });
});

it("the mock's books have each answer that was sent whole, once", async () => {
  const books: unknown[] = [];
  const bookish = await startMock({
    host: '127.0.0.1',
    port: 0,
    eventDelayMs: 0,
    billed: ({ model }, tokens) => books.push([model, tokens.input, tokens.output]),
  });
  const say = async (model: string, stream: boolean): Promise<void> => {
    const response = await fetch(`${bookish.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer x' },
      body: JSON.stringify({ ...CHAT, model, stream }),
    });
    await response.text().catch(() => '');
  };
  await say('whole', false);
  await say('streamed', true);
  await say('fault-500', false);
  await say('fault-cut-2', true);
  await say('fault-short-length', false);
  const { tokens } = bookish.stats();
  await bookish.close();
  expect(books).toEqual([
    ['whole', 2, 20],
    ['streamed', 2, 20],
  ]);
  expect(tokens).toEqual({ input: 4, output: 40 });
});

it('a Hello is answered in sentences, as far as it may go', async () => {
  const hello = { model: 'm', messages: [{ role: 'user', content: 'Hello' }] };
  const said = async (body: object): Promise<unknown> => {
    const answer = await ask('/v1/chat/completions', { authorization: 'Bearer x' }, body);
    return (answer.body as { choices: readonly { message: { content: string } }[] }).choices[0]
      ?.message.content;
  };
  expect(await said(hello)).toMatch(/^Hello! I am the mock provider: .*\.$/);
  expect(await said({ ...hello, max_tokens: 3 })).toBe('Hello! I am');
});

describe('a fault', () => {
  const keyed = { authorization: 'Bearer x', 'content-type': 'application/json' };

  async function read(model: string, stream: boolean, fields: object = {}) {
    const response = await fetch(`${mock.origin}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...keyed, ...fields },
      body: JSON.stringify({ ...CHAT, model, stream }),
    });
    return { status: response.status, text: await response.text().catch(() => 'CUT') };
  }

  it.each([408, 425, 502, 529])('may be any status, %i as well', async (status) => {
    expect((await read(`fault-${status}`, true)).status).toBe(status);
  });

  it('that is no status of an error is none', async () => {
    expect((await read('fault-200', false)).status).toBe(200);
  });

  it.each([
    ['fault-empty', true, ''],
    ['fault-empty', false, ''],
    ['fault-cut-3', false, 'CUT'],
  ])('%s, streamed %s, leaves %j', async (model, stream, text) => {
    expect(await read(model, stream)).toEqual({ status: 200, text });
  });

  it.each([
    true,
    false,
  ])('that is an error inside a 200 holds nothing else, streamed %s', async (stream) => {
    const { status, text } = await read('fault-error-first', stream);
    expect(status).toBe(200);
    expect(text).toMatch(/^(?:data: )?\{"error":\{[^{}]*\}\}\s*$/);
  });

  it('that cuts JSON leaves half of it, in a framing that is whole', async () => {
    const { text } = await read('fault-cut-json', false);
    const sound = await read('fault-cut-json', false, { 'x-mock-faults': 'off' });
    expect(text).toBe(sound.text.slice(0, sound.text.length >> 1));
  });

  it('that flaps is down so often, then up so often, and so on', async () => {
    const seen: number[] = [];
    for (let n = 0; n < 6; n++) seen.push((await read('fault-flap-2', false)).status);
    expect(seen).toEqual([503, 503, 200, 200, 503, 503]);
  });

  it('is left out for whoever asks what the answer would have been', async () => {
    const { status, text } = await read('fault-503', false, { 'x-mock-faults': 'off' });
    expect([status, text.includes('"model":"fault-503"')]).toEqual([200, true]);
  });

  it.each([
    ['/v1/chat/completions', 1],
    ['/v1/responses', 4],
    ['/v1/messages', 3],
  ])('of %s that says no more than its opening stops behind %i events', async (path, count) => {
    const leaving = new AbortController();
    const response = await fetch(mock.origin + path, {
      method: 'POST',
      headers: { ...keyed, 'x-api-key': 'x' },
      body: JSON.stringify({
        ...CHAT,
        model: 'fault-role-only',
        stream: true,
        input: 'Say it',
        max_tokens: 9,
      }),
      signal: leaving.signal,
    });
    let text = '';
    for await (const piece of response.body ?? []) {
      text += Buffer.from(piece).toString();
      if (text.split('\n\n').length > count) break;
    }
    leaving.abort();
    expect(text.split('\n\n').length - 1).toBe(count);
  });

  it('that takes no prefill answers what is not one', async () => {
    const prefilled = [...CHAT.messages, { role: 'assistant', content: 'It' }];
    const asked = { ...CHAT, model: 'fault-no-prefill', messages: prefilled };
    expect((await ask('/v1/chat/completions', keyed, asked)).status).toBe(400);
    expect((await read('fault-no-prefill', false)).status).toBe(200);
  });
});

describe("Ollama's own wire", () => {
  const asked = { model: 'qwen3:8b', messages: [{ role: 'user', content: 'Say it' }] };
  const lines = async (body: object) => {
    const response = await fetch(`${mock.origin}/api/chat`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    const text = await response.text();
    const told = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    return { type: response.headers.get('content-type'), told };
  };

  it('is a stream of lines where nothing is said, needs no key, and ends with what it took', async () => {
    const { type, told } = await lines(asked);
    expect(type).toBe('application/x-ndjson');
    const text = told.map(({ message }) => message.content).join('');
    expect(text).toMatch(/^You said: Say it/);
    expect(told.slice(0, -1).every(({ done }) => done === false)).toBe(true);
    expect(told.at(-1)).toMatchObject({ done: true, done_reason: 'stop', prompt_eval_count: 2 });
    expect(await lines(asked)).toEqual({ type, told });
  });

  it('is one object where no stream is asked for, and has calls whole, with objects for arguments', async () => {
    const parameters = { type: 'object', properties: { zone: { type: 'string' } } };
    const tools = [{ type: 'function', function: { name: 'clock', parameters } }];
    const { status, body } = await ask('/api/chat', {}, { ...asked, tools, stream: false });
    expect([status, body]).toMatchObject([
      200,
      { done: true, message: { tool_calls: [{ function: { name: 'clock', arguments: {} } }] } },
    ]);
  });

  /** What an answer of Ollama's may have. */
  interface Told {
    readonly message: { readonly content: string; readonly thinking?: string };
    readonly eval_count: number;
    readonly embeddings: readonly (readonly number[])[];
  }
  const told = async (path: string, body: object) => (await ask(path, {}, body)).body as Told;

  it('thinks, keeps to a limit and to a schema as it is told to', async () => {
    const whole = { ...asked, stream: false };
    const thought = await told('/api/chat', { ...whole, think: 'low' });
    expect(thought.message.thinking).toMatch(/^Let me think/);
    const short = await told('/api/chat', { ...whole, options: { num_predict: 2 } });
    expect(short.eval_count).toBe(2);
    const format = { type: 'object', properties: { said: { type: 'string' } } };
    const formed = await told('/api/chat', { ...whole, format });
    expect(JSON.parse(formed.message.content)).toHaveProperty('said');
  });

  it('has an error that is a bare text', async () => {
    const unknown = await ask('/api/chat', {}, { ...asked, model: 'fault-404' });
    expect(unknown).toEqual({ status: 404, body: { error: "model 'fault-404' not found" } });
    const broken = await lines({ ...asked, model: 'fault-error-event' });
    expect(broken.told.at(-1)).toEqual({ error: expect.stringContaining('middle of the stream') });
  });

  it('has a vector for each text', async () => {
    const { embeddings } = await told('/api/embed', {
      model: 'm',
      input: ['a', 'b'],
      dimensions: 3,
    });
    expect(embeddings.map(({ length }) => length)).toEqual([3, 3]);
    expect(embeddings[0]).not.toEqual(embeddings[1]);
  });
});

describe('a prompt that has every tool called', () => {
  const schema = { type: 'object', properties: { x: { type: 'string' } } };
  const called = (name: string) => ({ type: 'function', function: { name, parameters: schema } });
  const body = {
    model: 'm',
    max_tokens: 9,
    messages: [{ role: 'user', content: EVERY_TOOL }],
    input: EVERY_TOOL,
    stream: false,
  };
  const contents = [{ role: 'user', parts: [{ text: EVERY_TOOL }] }];

  it.each([
    ['/v1/chat/completions', { ...body, tools: ['one', 'two'].map(called) }, /"id":"(call_\w+)"/g],
    [
      '/v1/messages',
      { ...body, tools: ['one', 'two'].map((name) => ({ name, input_schema: schema })) },
      /"id":"(toolu_\w+)"/g,
    ],
    [
      '/v1/responses',
      {
        ...body,
        tools: ['one', 'two'].map((name) => ({ type: 'function', name, parameters: schema })),
      },
      /"call_id":"(call_\w+)"/g,
    ],
    ['/api/chat', { ...body, tools: ['one', 'two'].map(called) }, /"id":"(call_\w+)"/g],
    [
      '/v1beta/models/gemini-3-flash:generateContent',
      {
        contents,
        tools: [
          {
            functionDeclarations: ['one', 'two'].map((name) => ({
              name,
              parametersJsonSchema: schema,
            })),
          },
        ],
      },
      null,
    ],
  ])('is answered at %s with a call of each, with an id of its own where the wire has ids', async (path, asked, ids) => {
    const { status, body: answer } = await ask(path, { authorization: 'Bearer x' }, asked);
    const text = JSON.stringify(answer);
    expect(status).toBe(200);
    const names = [...text.matchAll(/"name":"(one|two)"/g)].map(([, name]) => name);
    expect(names.slice(-2)).toEqual(['one', 'two']);
    if (ids !== null) expect(new Set(text.match(ids)).size).toBe(2);
    // Of parallel calls Gemini signs the first one alone.
    else expect(text.match(/"thoughtSignature"/g)).toHaveLength(1);
  });
});
