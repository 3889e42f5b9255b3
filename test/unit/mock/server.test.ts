import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
