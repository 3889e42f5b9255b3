/** openai for Node on the Responses API, which keeps nothing: what was said is said again. */

import OpenAI from 'openai';
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import {
  type Ask,
  expect,
  expectCalls,
  expectPicture,
  expectRaised,
  expectSaid,
  PICTURE_URL,
  run,
  THOUGHT,
  type Used,
} from './contract.ts';
import { readOpenAIError } from './openai-errors.ts';

type Item = OpenAI.Responses.ResponseInputItem;

const tool = (name: string, property: string): OpenAI.Responses.FunctionTool => ({
  type: 'function',
  name,
  parameters: {
    type: 'object',
    properties: { [property]: { type: 'string' } },
    required: [property],
    additionalProperties: false,
  },
  strict: true,
});
const WEATHER = tool('weather', 'city');
const CLOCK = tool('clock', 'zone');
const Stone = z.object({ name: z.string(), weight: z.int(), colours: z.array(z.string()) });

const once = ({ url, key }: Ask): OpenAI =>
  new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 });
const asked = ({ model, prompt }: Ask) => ({ model, input: prompt, store: false });
const used = ({ usage }: OpenAI.Responses.Response): Used => [
  usage?.input_tokens ?? 0,
  usage?.output_tokens ?? 0,
];
const callsOf = ({ output }: OpenAI.Responses.Response) =>
  output.filter((item) => item.type === 'function_call');

async function chat(ask: Ask): Promise<readonly Used[]> {
  const answer = await once(ask).responses.create(asked(ask));
  expectSaid(ask, answer.output_text);
  expect(answer.status === 'completed', answer);
  return [used(answer)];
}

async function stream(ask: Ask): Promise<readonly Used[]> {
  let text = '';
  const events = once(ask).responses.stream(asked(ask));
  events.on('response.output_text.delta', ({ delta }) => {
    text += delta;
  });
  const final = await events.finalResponse();
  expectSaid(ask, text);
  expect(final.output_text === text, final);
  return [used(final)];
}

/** What was said and what came of its calls, as the next request's input. */
function behind({ prompt }: Ask, answer: OpenAI.Responses.Response): Item[] {
  const results = callsOf(answer).map(
    ({ call_id }): Item => ({ type: 'function_call_output', call_id, output: 'Rain.' }),
  );
  // Its types let an output item be what no input item is.
  return [{ role: 'user', content: prompt }, ...(answer.output as Item[]), ...results];
}

async function tools(ask: Ask): Promise<readonly Used[]> {
  const params = { ...asked(ask), tools: [WEATHER] };
  const first = await once(ask).responses.create(params);
  const [call] = callsOf(first);
  expect(call?.name === 'weather' && JSON.parse(call.arguments).city === 'mock', first);
  const second = await once(ask).responses.create({ ...params, input: behind(ask, first) });
  expectSaid(ask, second.output_text);
  return [used(first), used(second)];
}

async function parallel(ask: Ask): Promise<readonly Used[]> {
  const params = { ...asked(ask), tools: [WEATHER, CLOCK] };
  const first = await once(ask).responses.stream(params).finalResponse();
  expectCalls(callsOf(first).map((call) => [call.call_id, call.name, JSON.parse(call.arguments)]));
  const second = await once(ask).responses.create({ ...params, input: behind(ask, first) });
  expect(second.output_text.startsWith('You said:'), second);
  return [used(first), used(second)];
}

function thoughtIn({ output }: OpenAI.Responses.Response): string {
  return output
    .flatMap((item) => (item.type === 'reasoning' ? item.summary.map(({ text }) => text) : []))
    .join('');
}

async function reasoning(ask: Ask): Promise<readonly Used[]> {
  const params = {
    ...asked(ask),
    reasoning: { effort: 'low', summary: 'auto' },
    include: ['reasoning.encrypted_content'],
    tools: [WEATHER],
  } satisfies OpenAI.Responses.ResponseCreateParamsNonStreaming;
  const first = await once(ask).responses.create(params);
  expect(thoughtIn(first) === THOUGHT && callsOf(first).length === 1, first);
  const second = await once(ask)
    .responses.stream({ ...params, input: behind(ask, first) })
    .finalResponse();
  expect(thoughtIn(second) === THOUGHT, second);
  expectSaid(ask, second.output_text);
  return [used(first), used(second)];
}

async function structured(ask: Ask): Promise<readonly Used[]> {
  const answer = await once(ask).responses.parse({
    ...asked(ask),
    text: { format: zodTextFormat(Stone, 'stone') },
  });
  expect(Stone.safeParse(answer.output_parsed).success, answer);
  return [used(answer)];
}

async function vision(ask: Ask): Promise<readonly Used[]> {
  const content = [
    { type: 'input_text' as const, text: 'Describe.' },
    { type: 'input_image' as const, image_url: PICTURE_URL, detail: 'auto' as const },
  ];
  const input = [{ role: 'user' as const, content }];
  const answer = await once(ask).responses.create({ ...asked(ask), input });
  expectPicture(answer.output_text);
  return [used(answer)];
}

async function retry(ask: Ask): Promise<readonly Used[]> {
  const client = new OpenAI({ baseURL: ask.url, apiKey: ask.key });
  const answer = await client.responses.create(asked(ask));
  expectSaid(ask, answer.output_text);
  return [used(answer)];
}

async function cutStream(ask: Ask): Promise<readonly Used[]> {
  await expectRaised(
    () => once(ask).responses.stream(asked(ask)).finalResponse(),
    (error) => error instanceof OpenAI.OpenAIError,
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
    retry,
    'cut-stream': cutStream,
  },
  chat,
  readOpenAIError,
);
