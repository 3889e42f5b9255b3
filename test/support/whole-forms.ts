import type { TargetWire } from '../../src/dialect/wires.ts';

/** JSON of any shape. */
export type Json = Readonly<Record<string, unknown>>;

/**
 * The whole answer that a stream adds up to, on the stream's own wire: its texts joined, what came last of all that is said
 * again. Put together the slow way, knowing nothing of how the gateway does.
 * @returns null where the stream tells an error
 */
export function wholeForm(wire: TargetWire, stream: string): Json | null {
  const lines = stream.split(/\r?\n/);
  const texts =
    wire === 'ollama'
      ? lines.filter((line) => line !== '')
      : lines.filter((line) => /^data: ?\{/.test(line)).map((line) => line.replace(/^data: ?/, ''));
  const events = texts.map((text) => JSON.parse(text) as Json);
  if (events.some((event) => isObject(event['error']) || typeof event['error'] === 'string')) {
    return null;
  }
  return FORMS[wire](events);
}

const FORMS: Readonly<Record<TargetWire, (events: readonly Json[]) => Json>> = {
  'openai-chat': wholeChat,
  'anthropic-messages': wholeMessage,
  gemini: wholeCandidate,
  ollama: wholeLine,
};

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const listOf = (value: unknown): readonly Json[] =>
  Array.isArray(value) ? value.filter(isObject) : [];
const objectOf = (value: unknown): Json => (isObject(value) ? value : {});

/** The last value that is one. */
function last(values: readonly unknown[]): unknown {
  return values.findLast((value) => value !== undefined && value !== null);
}

function wholeChat(events: readonly Json[]): Json {
  const choices = events.flatMap(({ choices: all }) =>
    listOf(all).filter(({ index }) => (index ?? 0) === 0),
  );
  const message: Record<string, unknown> = { role: 'assistant', content: null };
  const calls: { index: unknown; id: unknown; name: string; input: string }[] = [];
  for (const { delta } of choices) {
    for (const [name, value] of Object.entries(objectOf(delta))) {
      if (name === 'tool_calls') for (const part of listOf(value)) joinCall(calls, part);
      else message[name] = name === 'role' ? value : joined(message[name], value);
    }
  }
  if (calls.length > 0) {
    message['tool_calls'] = calls.map(({ id, name, input }) => ({
      ...(id === undefined ? {} : { id }),
      type: 'function',
      function: { name, arguments: input },
    }));
  }
  const finish_reason = last(choices.map((choice) => choice['finish_reason'])) ?? null;
  const usage = last(events.map((event) => event['usage'] ?? objectOf(event['x_groq'])['usage']));
  const named = Object.assign({}, ...events.map(({ id, model }) => ({ id, model })));
  const service_tier = last(events.map((event) => event['service_tier']));
  return { ...named, usage, service_tier, choices: [{ index: 0, message, finish_reason }] };
}

function joinCall(
  calls: { index: unknown; id: unknown; name: string; input: string }[],
  part: Json,
): void {
  const { index, id } = part;
  const made = objectOf(part['function']);
  const input = typeof made['arguments'] === 'string' ? made['arguments'] : '';
  // Some vendors name no index: a new id is a new call then.
  const open =
    index === undefined || index === null
      ? calls.findLast((call) => id === undefined || call.id === id)
      : calls.find((call) => call.index === index);
  if (open === undefined) calls.push({ index, id, name: String(made['name'] ?? ''), input });
  else open.input += input;
}

function joined(before: unknown, value: unknown): unknown {
  if (value === null || value === undefined) return before;
  if (typeof before === 'string' && typeof value === 'string') return before + value;
  // Mistral's parts, behind which its text comes as a string.
  const list = (one: unknown): readonly unknown[] =>
    Array.isArray(one) ? one : [{ type: 'text', text: one }];
  if (Array.isArray(before) || (Array.isArray(value) && before)) {
    return [...list(before), ...list(value)];
  }
  return value;
}

function wholeMessage(events: readonly Json[]): Json {
  const start = objectOf(events.find(({ type }) => type === 'message_start')?.['message']);
  const blocks: Record<string, unknown>[] = [];
  const inputs: string[] = [];
  let message: Json = start;
  for (const event of events) {
    const at = Number(event['index']);
    const delta = objectOf(event['delta']);
    if (event['type'] === 'content_block_start') {
      blocks[at] = { ...objectOf(event['content_block']) };
    } else if (event['type'] === 'content_block_delta') {
      if (typeof delta['partial_json'] === 'string') {
        inputs[at] = (inputs[at] ?? '') + delta['partial_json'];
      }
      for (const name of ['text', 'thinking', 'signature'] as const) {
        const block = blocks[at];
        if (block !== undefined && typeof delta[name] === 'string') {
          block[name] = `${block[name] ?? ''}${delta[name]}`;
        }
      }
    } else if (event['type'] === 'message_delta') {
      const told = Object.entries(objectOf(event['usage'])).filter(([, value]) => value !== null);
      const usage = { ...objectOf(message['usage']), ...Object.fromEntries(told) };
      message = { ...message, ...delta, usage };
    }
  }
  const content = blocks.map((block, at) =>
    inputs[at] === undefined || inputs[at] === ''
      ? block
      : { ...block, input: JSON.parse(inputs[at]) },
  );
  return { ...message, content };
}

function wholeCandidate(events: readonly Json[]): Json {
  const candidates = events.flatMap((event) => listOf(event['candidates']).slice(0, 1));
  const parts = candidates.flatMap(({ content }) => listOf(objectOf(content)['parts']));
  const finishReason = last(candidates.map((candidate) => candidate['finishReason']));
  const content = { role: 'model', parts };
  return {
    ...Object.assign({}, ...events),
    usageMetadata: last(events.map((event) => event['usageMetadata'])),
    candidates: [{ content, index: 0, ...(finishReason === undefined ? {} : { finishReason }) }],
  };
}

function wholeLine(events: readonly Json[]): Json {
  const messages = events.map(({ message }) => objectOf(message));
  const text = (name: string): string => messages.map((one) => one[name] ?? '').join('');
  const tool_calls = messages.flatMap((one) => listOf(one['tool_calls']));
  return {
    ...events.at(-1),
    message: {
      role: 'assistant',
      content: text('content'),
      thinking: text('thinking'),
      ...(tool_calls.length > 0 ? { tool_calls } : {}),
    },
  };
}
