/** curl, as the docs show it: what it sends, and what comes back to a shell. */

import { spawn } from 'node:child_process';
import {
  type Ask,
  type Call,
  expect,
  expectPicture,
  expectSaid,
  expectVectors,
  PICTURE_URL,
  type Refusal,
  run,
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

interface Message {
  readonly content: string | null;
  readonly tool_calls?: readonly {
    readonly id: string;
    readonly function: { readonly name: string; readonly arguments: string };
  }[];
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

interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string } }[];
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
    structured,
    vision,
    embeddings,
    'cut-stream': cutStream,
  },
  chat,
  read,
);
