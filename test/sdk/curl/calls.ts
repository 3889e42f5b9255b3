/** curl, as the docs show it: what it sends, and what comes back to a shell. */

import { spawn } from 'node:child_process';
import {
  type Ask,
  type Call,
  expect,
  expectCalls,
  expectPicture,
  expectSaid,
  expectVectors,
  PICTURE_URL,
  type Refusal,
  run,
  THOUGHT,
  type Used,
} from '../node/contract.ts';

interface Ran {
  /** curl's own: 0, or 18 for a body that ended too early. */
  readonly exit: number | null;
  readonly status: number;
  readonly body: string;
}

/** `curl -sS <url> -H … -d @-`: the body comes from stdin, as long ones must. */
async function curl(ask: Ask, path: string, body: object, options: readonly string[] = []) {
  const key = ask.key === '' ? [] : ['-H', `authorization: Bearer ${ask.key}`];
  const type = ['-H', 'content-type: application/json'];
  const argv = [...options, '-sS', ...key, ...type, '-w', '\n%{http_code}', '-d', '@-'];
  const child = spawn('curl', [...argv, `${ask.url}${path}`]);
  child.stdin.on('error', () => {});
  child.stdin.end(JSON.stringify(body));
  let printed = '';
  for await (const text of child.stdout.setEncoding('utf8')) printed += text;
  const exit = await new Promise<number | null>((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('exit', resolve);
  });
  const at = printed.lastIndexOf('\n');
  const ran: Ran = { exit, status: Number(printed.slice(at + 1)), body: printed.slice(0, at) };
  return ran;
}

class HttpError extends Error {
  readonly ran: Ran;

  constructor(ran: Ran) {
    super(`${ran.status}, exit ${ran.exit}: ${ran.body}`);
    this.ran = ran;
  }
}

interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

interface CalledTool {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: string };
}

interface Message {
  readonly content: string | null;
  /** What everybody but OpenAI calls a thought on this wire. */
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly CalledTool[];
}

interface Answer {
  readonly choices: readonly { readonly message: Message }[];
  readonly data: readonly { readonly embedding: readonly number[] }[];
  readonly usage: Usage;
}

async function ok(ask: Ask, path: string, body: object): Promise<Answer> {
  const ran = await curl(ask, path, body);
  if (ran.exit !== 0 || ran.status !== 200) throw new HttpError(ran);
  return JSON.parse(ran.body);
}

const asked = ({ model, prompt }: Ask) => ({
  model,
  messages: [{ role: 'user', content: prompt }],
});
const used = ({ prompt_tokens, completion_tokens }: Usage): Used => [
  prompt_tokens,
  completion_tokens,
];
const messageOf = ({ choices }: Answer): Message | undefined => choices[0]?.message;

const chat: Call = async (ask) => {
  const answer = await ok(ask, '/chat/completions', asked(ask));
  expectSaid(ask, messageOf(answer)?.content);
  return [used(answer.usage)];
};

/** `curl -N`, its lines read as server-sent events. */
async function streamed(ask: Ask, extra: object): Promise<readonly string[]> {
  const body = { ...asked(ask), stream: true, ...extra };
  const ran = await curl(ask, '/chat/completions', body, ['-N']);
  if (ran.exit !== 0 || ran.status !== 200) throw new HttpError(ran);
  return ran.body
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
}

interface Delta {
  readonly content?: string | null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly {
    readonly index: number;
    readonly id?: string;
    readonly function?: { readonly name?: string; readonly arguments?: string };
  }[];
}

interface Chunk {
  readonly choices: readonly { readonly delta: Delta }[];
  readonly usage?: Usage | null;
}

async function chunksOf(ask: Ask, extra: object): Promise<readonly Chunk[]> {
  const events = await streamed(ask, extra);
  expect(events.at(-1) === '[DONE]', events.at(-1));
  return events.slice(0, -1).map((event): Chunk => JSON.parse(event));
}

const textOf = (chunks: readonly Chunk[]): string =>
  chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');

const stream: Call = async (ask) => {
  const chunks = await chunksOf(ask, { stream_options: { include_usage: true } });
  expectSaid(ask, textOf(chunks));
  const usage = chunks.at(-1)?.usage;
  expect(usage !== null && usage !== undefined, chunks.at(-1));
  return [used(usage)];
};

const plainStream: Call = async (ask) => {
  const chunks = await chunksOf(ask, {});
  expectSaid(ask, textOf(chunks));
  expect(
    chunks.every((chunk) => chunk.choices.length === 1 && (chunk.usage ?? null) === null),
    chunks.at(-1),
  );
  return [null];
};

const tools: Call = async (ask) => {
  const { model, messages } = asked(ask);
  const parameters = { type: 'object', properties: { city: { type: 'string' } } };
  const offered = [{ type: 'function', function: { name: 'weather', parameters } }];
  const first = await ok(ask, '/chat/completions', { model, messages, tools: offered });
  const message = messageOf(first);
  const call = message?.tool_calls?.[0];
  expect(call?.function.arguments === '{"city":"mock"}', call);
  const result = { role: 'tool', tool_call_id: call.id, content: 'Rain.' };
  const turns = [...messages, message, result];
  const second = await ok(ask, '/chat/completions', { model, messages: turns, tools: offered });
  expectSaid(ask, messageOf(second)?.content);
  return [used(first.usage), used(second.usage)];
};

const offer = (name: string, argument: string) => ({
  type: 'function',
  function: {
    name,
    parameters: { type: 'object', properties: { [argument]: { type: 'string' } } },
  },
});
const BOTH = [offer('weather', 'city'), offer('clock', 'zone')];

/** The calls of a stream, their arguments put together by the place of each. */
function calledIn(chunks: readonly Chunk[]): readonly CalledTool[] {
  const calls: { id: string; name: string; input: string }[] = [];
  for (const { choices } of chunks)
    for (const { index, id, function: made } of choices[0]?.delta.tool_calls ?? []) {
      calls[index] ??= { id: '', name: '', input: '' };
      const call = calls[index];
      call.id += id ?? '';
      call.name += made?.name ?? '';
      call.input += made?.arguments ?? '';
    }
  return calls.map(({ id, name, input }) => ({
    id,
    type: 'function',
    function: { name, arguments: input },
  }));
}

const behind = (message: Message) => [
  message,
  ...(message.tool_calls ?? []).map(({ id }) => ({
    role: 'tool',
    tool_call_id: id,
    content: 'Rain.',
  })),
];

const USAGE_TOO = { stream_options: { include_usage: true } };

const parallel: Call = async (ask) => {
  const { model, messages } = asked(ask);
  const chunks = await chunksOf(ask, { tools: BOTH, ...USAGE_TOO });
  const calls = calledIn(chunks);
  expectCalls(calls.map(({ id, function: made }) => [id, made.name, JSON.parse(made.arguments)]));
  const message = { role: 'assistant', content: textOf(chunks) || null, tool_calls: calls };
  const turns = [...messages, ...behind(message)];
  const second = await ok(ask, '/chat/completions', { model, messages: turns, tools: BOTH });
  expect(messageOf(second)?.content?.startsWith('You said:') === true, second);
  const usage = chunks.at(-1)?.usage;
  expect(usage !== null && usage !== undefined, chunks.at(-1));
  return [used(usage), used(second.usage)];
};

const reasoning: Call = async (ask) => {
  const { model, messages } = asked(ask);
  const params = { model, tools: BOTH.slice(0, 1), reasoning_effort: 'low' };
  const first = await ok(ask, '/chat/completions', { ...params, messages });
  const message = messageOf(first);
  expect(message?.reasoning_content === THOUGHT, first);
  const turns = [...messages, ...behind(message)];
  const chunks = await chunksOf(ask, { ...params, messages: turns, ...USAGE_TOO });
  const thought = chunks.map(({ choices }) => choices[0]?.delta.reasoning_content ?? '').join('');
  expect(thought === THOUGHT, thought);
  expectSaid(ask, textOf(chunks));
  const usage = chunks.at(-1)?.usage;
  expect(usage !== null && usage !== undefined, chunks.at(-1));
  return [used(first.usage), used(usage)];
};

const structured: Call = async (ask) => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string' }, weight: { type: 'integer' } },
    required: ['name', 'weight'],
    additionalProperties: false,
  };
  const answer = await ok(ask, '/chat/completions', {
    ...asked(ask),
    response_format: { type: 'json_schema', json_schema: { name: 'stone', schema, strict: true } },
  });
  const made: { name: unknown; weight: unknown } = JSON.parse(messageOf(answer)?.content ?? '');
  expect(typeof made.name === 'string' && Number.isInteger(made.weight), made);
  return [used(answer.usage)];
};

const vision: Call = async (ask) => {
  const content = [
    { type: 'text', text: 'Describe.' },
    { type: 'image_url', image_url: { url: PICTURE_URL } },
  ];
  const body = { model: ask.model, messages: [{ role: 'user', content }] };
  const answer = await ok(ask, '/chat/completions', body);
  expectPicture(messageOf(answer)?.content);
  return [used(answer.usage)];
};

const embeddings: Call = async (ask) => {
  const input = ['the river', 'the stone'];
  const answer = await ok(ask, '/embeddings', { model: ask.model, input });
  expectVectors(answer.data.map(({ embedding }) => embedding));
  return [[answer.usage.prompt_tokens, 0]];
};

/** 18 is CURLE_PARTIAL_FILE: a shell sees that the stream was cut. */
const CURL_PARTIAL = 18;

const cutStream: Call = async (ask) => {
  try {
    await streamed(ask, {});
  } catch (error) {
    expect(error instanceof HttpError && error.ran.exit === CURL_PARTIAL, `${error}`);
    return [];
  }
  throw new Error('the cut stream ended as if whole');
};

function read(error: unknown): Refusal | null {
  if (!(error instanceof HttpError)) return null;
  const { status, body } = error.ran;
  return { detail: `HTTP ${status}`, status, code: JSON.parse(body).error.code };
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
    'cut-stream': cutStream,
  },
  chat,
  read,
);
