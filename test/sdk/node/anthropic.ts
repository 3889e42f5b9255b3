/** @anthropic-ai/sdk. More of it, with the caller's own key: test/claims/sdk-anthropic.test.ts. */

import Anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import { readAnthropicError } from './anthropic-errors.ts';
import {
  type Ask,
  expect,
  expectCalls,
  expectPicture,
  expectRaised,
  expectSaid,
  PICTURE_BASE64,
  run,
  THOUGHT,
  type Used,
} from './contract.ts';

const WEATHER: Anthropic.Tool = {
  name: 'weather',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};
const CLOCK: Anthropic.Tool = {
  name: 'clock',
  input_schema: { type: 'object', properties: { zone: { type: 'string' } }, required: ['zone'] },
};
const Stone = z.object({ name: z.string(), weight: z.int(), colours: z.array(z.string()) });

const once = ({ url, key }: Ask): Anthropic =>
  new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const asked = ({ model, prompt }: Ask) => ({
  model,
  max_tokens: 40,
  messages: [{ role: 'user' as const, content: prompt }],
});
const used = (usage: Anthropic.Usage): Used => [usage.input_tokens, usage.output_tokens];
const textOf = ({ content }: { content: readonly Anthropic.ContentBlock[] }): string =>
  content.map((block) => (block.type === 'text' ? block.text : '')).join('');

async function chat(ask: Ask): Promise<readonly Used[]> {
  const answer = await once(ask).messages.create(asked(ask));
  expectSaid(ask, textOf(answer));
  return [used(answer.usage)];
}

async function stream(ask: Ask): Promise<readonly Used[]> {
  let text = '';
  const events = once(ask).messages.stream(asked(ask));
  events.on('text', (piece) => {
    text += piece;
  });
  const final = await events.finalMessage();
  expectSaid(ask, text);
  expect(text === textOf(final), final);
  return [used(final.usage)];
}

const callsOf = ({ content }: Anthropic.Message) =>
  content.filter((block) => block.type === 'tool_use');

/** What was said and what came of its calls, as the next request's last turns. */
function behind(answer: Anthropic.Message): Anthropic.MessageParam[] {
  const results = callsOf(answer).map(({ id }) => ({
    type: 'tool_result' as const,
    tool_use_id: id,
    content: 'Rain.',
  }));
  return [
    { role: 'assistant', content: answer.content },
    { role: 'user', content: results },
  ];
}

async function tools(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = { ...asked(ask), tools: [WEATHER] };
  const first = await client.messages.create(params);
  const [call] = callsOf(first);
  expect(call?.name === 'weather', first);
  const messages = [...params.messages, ...behind(first)];
  const second = await client.messages.stream({ ...params, messages }).finalMessage();
  expect(second.stop_reason === 'end_turn', second);
  return [used(first.usage), used(second.usage)];
}

async function parallel(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = { ...asked(ask), tools: [WEATHER, CLOCK] };
  const first = await client.messages.stream(params).finalMessage();
  expectCalls(callsOf(first).map(({ id, name, input }) => [id, name, input]));
  expect(first.stop_reason === 'tool_use', first);
  const messages = [...params.messages, ...behind(first)];
  const second = await client.messages.create({ ...params, messages });
  expect(textOf(second).startsWith('You said:'), second);
  return [used(first.usage), used(second.usage)];
}

const thoughtIn = ({ content }: Anthropic.Message): string =>
  content.map((block) => (block.type === 'thinking' ? block.thinking : '')).join('');

async function reasoning(ask: Ask): Promise<readonly Used[]> {
  const client = once(ask);
  const params = {
    ...asked(ask),
    max_tokens: 2_048,
    thinking: { type: 'enabled' as const, budget_tokens: 1_024 },
    tools: [WEATHER],
  };
  const first = await client.messages.create(params);
  expect(thoughtIn(first) === THOUGHT && callsOf(first).length === 1, first);
  const messages = [...params.messages, ...behind(first)];
  const second = await client.messages.stream({ ...params, messages }).finalMessage();
  expect(thoughtIn(second) === THOUGHT, second);
  expectSaid(ask, textOf(second));
  return [used(first.usage), used(second.usage)];
}

async function structured(ask: Ask): Promise<readonly Used[]> {
  const answer = await once(ask).messages.parse({
    ...asked(ask),
    max_tokens: 1_024,
    output_config: { format: zodOutputFormat(Stone) },
  });
  expect(Stone.safeParse(answer.parsed_output).success, answer);
  return [used(answer.usage)];
}

async function vision(ask: Ask): Promise<readonly Used[]> {
  const source = {
    type: 'base64' as const,
    media_type: 'image/png' as const,
    data: PICTURE_BASE64,
  };
  const answer = await once(ask).messages.create({
    ...asked(ask),
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
  expectPicture(textOf(answer));
  return [used(answer.usage)];
}

async function count(ask: Ask): Promise<readonly Used[]> {
  const { model, messages } = asked(ask);
  const { input_tokens } = await once(ask).messages.countTokens({ model, messages });
  expect(input_tokens > 0, input_tokens);
  return [];
}

async function retry(ask: Ask): Promise<readonly Used[]> {
  const client = new Anthropic({ baseURL: ask.url, apiKey: ask.key });
  const answer = await client.messages.create(asked(ask));
  expectSaid(ask, textOf(answer));
  return [used(answer.usage)];
}

async function cutStream(ask: Ask): Promise<readonly Used[]> {
  await expectRaised(
    () => once(ask).messages.stream(asked(ask)).finalMessage(),
    (error) => error instanceof Anthropic.AnthropicError,
  );
  return [];
}

await run(
  {
    chat,
    stream,
    tools,
    parallel,
    reasoning,
    structured,
    vision,
    count,
    retry,
    'cut-stream': cutStream,
  },
  chat,
  readAnthropicError,
);
