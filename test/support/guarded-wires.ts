import { Buffer } from 'node:buffer';

/** A wire's stream of one run of text, as a provider writes it, and what a client reads of it. */
export interface GuardedWire {
  readonly name: string;
  readonly format: 'events' | 'lines' | 'elements';
  /** @param parts of one text, an event each */
  written(parts: readonly string[]): Buffer;
  /** The text that a client puts together; throws where an event is no JSON. */
  read(stream: string): string;
}

const sse = (events: readonly object[], name: (event: object) => string = () => '') =>
  events.map((event) => `${name(event)}data: ${JSON.stringify(event)}\n\n`).join('');

const typeOf = (event: object) => ('type' in event ? `event: ${event.type}\n` : '');

/** The data of each event, parsed. */
export function eventsOf(stream: string): readonly Record<string, never>[] {
  return stream
    .split(/\r?\n\r?\n/)
    .map((block) =>
      block
        .split(/\r?\n/)
        .filter((line) => line.startsWith('data:'))
        .map((line) => line.slice('data:'.length).trim())
        .join('\n'),
    )
    .filter((data) => data !== '' && data !== '[DONE]')
    .map((data) => JSON.parse(data));
}

type Found = { readonly [name: string]: Found } & readonly Found[] & string;

function joined(events: readonly unknown[], of: (event: Found) => unknown): string {
  return events
    .map((event) => {
      const text = of(event as Found);
      return typeof text === 'string' ? text : '';
    })
    .join('');
}

function chat(
  name: string,
  delta: (part: string) => object,
  of: (delta: Found) => unknown,
): GuardedWire {
  const chunk = (more: object, finish: string | null = null) => ({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'gpt-4o',
    choices: [{ delta: more, index: 0, logprobs: null, finish_reason: finish }],
    usage: null,
  });
  return {
    name,
    format: 'events',
    written: (parts) =>
      Buffer.from(
        `${sse([
          chunk({ role: 'assistant', content: '' }),
          ...parts.map((part) => chunk(delta(part))),
          chunk({}, 'stop'),
          { id: 'chatcmpl-1', choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } },
        ])}data: [DONE]\n\n`,
      ),
    read: (stream) =>
      joined(eventsOf(stream), (event) => {
        const found = event['choices']?.[0]?.['delta'];
        return found === undefined ? '' : of(found);
      }),
  };
}

function messages(
  name: string,
  block: object,
  delta: (part: string) => object,
  of: (delta: Found) => unknown,
): GuardedWire {
  return {
    name,
    format: 'events',
    written: (parts) =>
      Buffer.from(
        sse(
          [
            { type: 'message_start', message: { id: 'msg_1', role: 'assistant', content: [] } },
            { type: 'content_block_start', index: 0, content_block: block },
            { type: 'ping' },
            ...parts.map((part) => ({
              type: 'content_block_delta',
              index: 0,
              delta: delta(part),
            })),
            { type: 'content_block_stop', index: 0 },
            { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: {} },
            { type: 'message_stop' },
          ],
          typeOf,
        ),
      ),
    read: (stream) =>
      joined(eventsOf(stream), (event) =>
        event['type'] === 'content_block_delta' && event['delta'] !== undefined
          ? of(event['delta'])
          : '',
      ),
  };
}

function responses(name: string, type: string): GuardedWire {
  const at = { item_id: 'msg_1', output_index: 0, content_index: 0 };
  return {
    name,
    format: 'events',
    written: (parts) =>
      Buffer.from(
        sse(
          [
            { type: 'response.created', sequence_number: 0, response: { id: 'r', output: [] } },
            ...parts.map((delta, index) => ({
              type: `${type}.delta`,
              ...at,
              delta,
              sequence_number: index + 1,
            })),
            {
              type: `${type}.done`,
              ...at,
              [type.includes('arguments') ? 'arguments' : 'text']: parts.join(''),
            },
            { type: 'response.completed', response: { id: 'r', output: [] } },
          ],
          typeOf,
        ),
      ),
    read: (stream) =>
      joined(eventsOf(stream), (event) =>
        event['type'] === `${type}.delta` ? event['delta'] : '',
      ),
  };
}

const gemini = (isThought: boolean): GuardedWire => {
  const chunk = (text: string, finish: string | null) => ({
    candidates: [
      {
        content: { parts: [isThought ? { text, thought: true } : { text }], role: 'model' },
        ...(finish === null ? {} : { finishReason: finish }),
        index: 0,
      },
    ],
    usageMetadata: { promptTokenCount: 1 },
  });
  return {
    name: isThought ? 'gemini thought' : 'gemini text',
    format: 'events',
    written: (parts) =>
      Buffer.from(sse(parts.map((part, at) => chunk(part, at < parts.length - 1 ? null : 'STOP')))),
    read: (stream) =>
      joined(
        eventsOf(stream),
        (event) => event['candidates']?.[0]?.['content']?.['parts']?.[0]?.['text'],
      ),
  };
};

const geminiList: GuardedWire = {
  name: 'gemini list',
  format: 'elements',
  written: (parts) =>
    Buffer.from(
      `[${parts
        .map((text) =>
          JSON.stringify({ candidates: [{ content: { parts: [{ text }] }, index: 0 }] }),
        )
        .join('\n,\r\n')}]\n`,
    ),
  read: (stream) =>
    joined(
      JSON.parse(stream),
      (event) => event['candidates']?.[0]?.['content']?.['parts']?.[0]?.['text'],
    ),
};

const ollama = (member: 'content' | 'thinking'): GuardedWire => ({
  name: `ollama ${member}`,
  format: 'lines',
  written: (parts) =>
    Buffer.from(
      [
        ...parts.map((part) => ({
          model: 'llama',
          message: { role: 'assistant', [member]: part },
          done: false,
        })),
        { model: 'llama', message: { role: 'assistant', content: '' }, done: true },
      ]
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(''),
    ),
  read: (stream) =>
    joined(
      stream
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
      (line) => line['message']?.[member],
    ),
});

/** Runs of text, as they are told. */
export const TEXT_WIRES: readonly GuardedWire[] = [
  chat(
    'chat content',
    (content) => ({ content }),
    ({ content }) => content,
  ),
  chat(
    'chat refusal',
    (refusal) => ({ refusal }),
    ({ refusal }) => refusal,
  ),
  chat(
    'chat reasoning',
    (text) => ({ reasoning_content: text }),
    ({ reasoning_content: text }) => text,
  ),
  messages(
    'messages text',
    { type: 'text', text: '' },
    (text) => ({ type: 'text_delta', text }),
    ({ text }) => text,
  ),
  messages(
    'messages thinking',
    { type: 'thinking', thinking: '', signature: '' },
    (thinking) => ({ type: 'thinking_delta', thinking }),
    ({ thinking }) => thinking,
  ),
  responses('responses text', 'response.output_text'),
  responses('responses reasoning', 'response.reasoning_summary_text'),
  responses('responses refusal', 'response.refusal'),
  gemini(false),
  gemini(true),
  geminiList,
  ollama('content'),
  ollama('thinking'),
];

/** Runs of JSON: a call's arguments. */
export const SOURCE_WIRES: readonly GuardedWire[] = [
  chat(
    'chat arguments',
    (text) => ({ tool_calls: [{ index: 0, function: { arguments: text } }] }),
    (delta) => delta['tool_calls']?.[0]?.['function']?.['arguments'],
  ),
  messages(
    'messages arguments',
    { type: 'tool_use', id: 'toolu_1', name: 'mail', input: {} },
    (text) => ({ type: 'input_json_delta', partial_json: text }),
    (delta) => delta['partial_json'],
  ),
  responses('responses arguments', 'response.function_call_arguments'),
];
