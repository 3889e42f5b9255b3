/** openai for Node. More of it, with the caller's own key: test/claims/sdk-openai.test.ts. */

import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import {
  type Ask,
  expect,
  expectCalls,
  expectPicture,
  expectRaised,
  expectSaid,
  expectVectors,
  PICTURE_URL,
  run,
  THOUGHT,
  type Used,
} from './contract.ts';
import { readOpenAIError } from './openai-errors.ts';

const WEATHER: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const CLOCK: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'clock',
    parameters: { type: 'object', properties: { zone: { type: 'string' } }, required: ['zone'] },
  },
};
const Stone = z.object({ name: z.string(), weight: z.int(), colours: z.array(z.string()) });

const once = ({ url, key }: Ask): OpenAI =>
  new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const asked = ({ model, prompt }: Ask) => ({
  model,
  messages: [{ role: 'user' as const, content: prompt }],
});
const used = (usage: OpenAI.CompletionUsage | null | undefined): Used => [
  usage?.prompt_tokens ?? 0,
  usage?.completion_tokens ?? 0,
];

async function chat(ask: Ask): Promise<readonly Used[]> {
  const answer = await once(ask).chat.completions.create(asked(ask));
  expectSaid(ask, answer.choices[0]?.message.content);
  return [used(answer.usage)];
}

async function stream(ask: Ask): Promise<readonly Used[]> {
  const events = await once(ask).chat.completions.create({
    ...asked(ask),
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = '';
  let last: OpenAI.ChatCompletionChunk | null = null;
  for await (const chunk of events) {
    text += chunk.choices[0]?.delta.content ?? '';
    last = chunk;
  }
  expectSaid(ask, text);
  return [used(last?.usage)];
}

async function plainStream(ask: Ask): Promise<readonly Used[]> {
  const events = await once(ask).chat.completions.create({ ...asked(ask), stream: true });
  let text = '';
  for await (const chunk of events) {
    expect(chunk.choices.length === 1 && (chunk.usage ?? null) === null, chunk);
    text += chunk.choices[0]?.delta.content ?? '';
  }
  expectSaid(ask, text);
  return [null];
}

async function tools(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = { ...asked(ask), tools: [WEATHER] };
  const first = await client.chat.completions.create(params);
  const message = first.choices[0]?.message;
  const call = message?.tool_calls?.[0];
  expect(call?.type === 'function' && call.function.name === 'weather', call);
  expect(JSON.parse(call.function.arguments).city === 'mock', call);
  const result = { role: 'tool' as const, tool_call_id: call.id, content: 'Rain.' };
  const second = await client.chat.completions.create({
    ...params,
    messages: [...params.messages, ...(message ? [message] : []), result],
  });
  expectSaid(ask, second.choices[0]?.message.content);
  return [used(first.usage), used(second.usage)];
}

async function parallel(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = { ...asked(ask), tools: [WEATHER, CLOCK] };
  const streamed = client.chat.completions.stream({
    ...params,
    stream_options: { include_usage: true },
  });
  const first = await streamed.finalChatCompletion();
  const message = first.choices[0]?.message;
  const calls = (message?.tool_calls ?? []).filter((call) => call.type === 'function');
  expectCalls(calls.map(({ id, function: made }) => [id, made.name, JSON.parse(made.arguments)]));
  const results = calls.map(({ id }) => ({
    role: 'tool' as const,
    tool_call_id: id,
    content: 'Rain.',
  }));
  const second = await client.chat.completions.create({
    ...params,
    messages: [...params.messages, ...(message ? [message] : []), ...results],
  });
  expect(second.choices[0]?.message.content?.startsWith('You said:') === true, second);
  return [used(first.usage), used(second.usage)];
}

/** Not of OpenAI's own answers: what everybody else calls a thought on this wire. */
interface Thinks {
  readonly reasoning_content?: string;
}

async function reasoning(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = { ...asked(ask), tools: [WEATHER], reasoning_effort: 'low' as const };
  const first = await client.chat.completions.create(params);
  const message = first.choices[0]?.message;
  expect((message as Thinks | undefined)?.reasoning_content === THOUGHT, first);
  const results = (message?.tool_calls ?? []).map(({ id }) => ({
    role: 'tool' as const,
    tool_call_id: id,
    content: 'Rain.',
  }));
  const events = await client.chat.completions.create({
    ...params,
    messages: [...params.messages, ...(message ? [message] : []), ...results],
    stream: true,
    stream_options: { include_usage: true },
  });
  let thought = '';
  let text = '';
  let last: OpenAI.ChatCompletionChunk | null = null;
  for await (const chunk of events) {
    const delta = chunk.choices[0]?.delta;
    thought += (delta as Thinks | undefined)?.reasoning_content ?? '';
    text += delta?.content ?? '';
    last = chunk;
  }
  expect(thought === THOUGHT, thought);
  expectSaid(ask, text);
  return [used(first.usage), used(last?.usage)];
}

async function structured(ask: Ask): Promise<readonly Used[]> {
  const answer = await once(ask).chat.completions.parse({
    ...asked(ask),
    response_format: zodResponseFormat(Stone, 'stone'),
  });
  expect(Stone.safeParse(answer.choices[0]?.message.parsed).success, answer);
  return [used(answer.usage)];
}

async function vision(ask: Ask): Promise<readonly Used[]> {
  const picture = { type: 'image_url' as const, image_url: { url: PICTURE_URL } };
  const answer = await once(ask).chat.completions.create({
    model: ask.model,
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Describe.' }, picture] }],
  });
  expectPicture(answer.choices[0]?.message.content);
  return [used(answer.usage)];
}

async function embeddings(ask: Ask): Promise<readonly Used[]> {
  const input = ['the river', 'the stone'];
  const answer = await once(ask).embeddings.create({ model: ask.model, input });
  expectVectors(answer.data.map(({ embedding }) => embedding));
  return [[answer.usage.prompt_tokens, 0]];
}

async function responses(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = { model: ask.model, input: ask.prompt };
  const whole = await client.responses.create(params);
  expectSaid(ask, whole.output_text);
  const streamed = await client.responses.stream(params).finalResponse();
  expect(streamed.output_text === whole.output_text, streamed);
  return [whole, streamed].map(({ usage }) => [
    usage?.input_tokens ?? 0,
    usage?.output_tokens ?? 0,
  ]);
}

async function retry(ask: Ask): Promise<readonly Used[]> {
  const client = new OpenAI({ baseURL: ask.url, apiKey: ask.key });
  const answer = await client.chat.completions.create(asked(ask));
  expectSaid(ask, answer.choices[0]?.message.content);
  return [used(answer.usage)];
}

async function cutStream(ask: Ask): Promise<readonly Used[]> {
  const read = async (): Promise<void> => {
    const events = await once(ask).chat.completions.create({ ...asked(ask), stream: true });
    for await (const _ of events);
  };
  await expectRaised(read, (error) => error instanceof OpenAI.APIError);
  return [];
}

await run(
  {
    chat,
    stream,
    'plain-stream': plainStream,
    tools,
    parallel,
    reasoning,
    structured,
    vision,
    embeddings,
    responses,
    retry,
    'cut-stream': cutStream,
  },
  chat,
  readOpenAIError,
);
