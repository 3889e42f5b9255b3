import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RoutedScene, type SceneWire, startRoutedScene } from '../support/routed-scene.ts';

// What is no request of the wire that it came on, for targets of every other wire: the caller's dialect says what was wrong,
// and no provider hears of it.

type Json = Readonly<Record<string, unknown>>;

let scene: RoutedScene;

beforeAll(async () => {
  scene = await startRoutedScene(
    ['groq', 'anthropic', 'gemini', 'ollama'],
    `[provider_wires]
groq = ["openai-chat"]
gemini = ["gemini"]
ollama = ["ollama"]
`,
    { ollama: [] },
  );
});
afterAll(async () => await scene.stop());

const TARGETS: Readonly<Record<SceneWire, readonly string[]>> = {
  chat: ['anthropic/claude-opus-4-5', 'gemini/gemini-2.5-flash', 'ollama/llama3.2'],
  responses: [
    'anthropic/claude-opus-4-5',
    'gemini/gemini-2.5-flash',
    'ollama/llama3.2',
    'groq/llama',
  ],
  messages: ['groq/llama', 'gemini/gemini-2.5-flash', 'ollama/llama3.2'],
};

/** A body, and the field that its refusal has to name. */
type Bad = readonly [what: string, body: Json, field: string];

const HI = [{ role: 'user', content: 'hi' }];
const chat = (more: Json): Json => ({ messages: HI, ...more });
const said = (content: unknown): Json => ({ messages: [{ role: 'user', content }] });
const claude = (more: Json): Json => ({ max_tokens: 9, messages: HI, ...more });
const claudeSaid = (content: unknown): Json => claude({ messages: [{ role: 'user', content }] });
const responses = (more: Json): Json => ({ input: 'hi', ...more });
const heard = (content: unknown): Json => ({ input: [{ role: 'user', content }] });

const SCHEMAS: readonly (readonly [what: string, schema: unknown, behind: string])[] = [
  ['is a text', 'object', ''],
  ['is a list', [], ''],
  ['is of a text', { type: 'string' }, '.type'],
  ['has a list of properties', { type: 'object', properties: [] }, '.properties'],
  ['has null for properties', { type: 'object', properties: null }, '.properties'],
  ['requires null', { type: 'object', required: null }, '.required'],
  ['has a property that is none', { properties: { at: 'text' } }, '.properties.at'],
  ['requires a text', { type: 'object', required: 'at' }, '.required'],
];

/** What every object of JavaScript has: a table that is one knows these names, too. */
const MEMBERS = ['constructor', 'toString', '__proto__'];

/** Stands for a number that no double holds. */
const ENDLESS = '1e400';

const BAD: Readonly<Record<SceneWire, readonly Bad[]>> = {
  chat: [
    ['a body of Anthropic’s without messages', { max_tokens: 9, system: 'x' }, 'messages'],
    ['a body of the Responses API', { input: 'hi' }, 'messages'],
    ['a body of Gemini’s', { contents: [{ parts: [{ text: 'hi' }] }] }, 'messages'],
    ['no answer at all', chat({ n: 0 }), 'n'],
    ['one answer and a half', chat({ n: 1.5 }), 'n'],
    ['an answer less', chat({ n: -1 }), 'n'],
    ['a tool of Anthropic’s', chat({ tools: [{ name: 'f', input_schema: {} }] }), 'tools[0]'],
    [
      'a custom tool of Anthropic’s',
      chat({ tools: [{ type: 'custom', name: 'f', input_schema: {} }] }),
      'tools[0]',
    ],
    [
      'a tool of the Responses API',
      chat({ tools: [{ type: 'function', name: 'f', parameters: {} }] }),
      'tools[0]',
    ],
    [
      'a picture of Anthropic’s',
      said([{ type: 'image', source: { type: 'url', url: 'https://x' } }]),
      'content[0]',
    ],
    ['no message', { messages: [] }, 'messages'],
    ['messages that are a text', { messages: 'hi' }, 'messages'],
    ['a message that is a text', { messages: ['hi'] }, 'messages[0]'],
    [
      'a role that does not exist',
      { messages: [{ role: 'model', content: 'x' }] },
      'messages[0].role',
    ],
    ['a role that is a number', { messages: [{ role: 7, content: 'x' }] }, 'messages[0].role'],
    ['no role', { messages: [{ content: 'x' }] }, 'messages[0].role'],
    ['content that is a number', said(7), 'messages[0].content'],
    ['a part that is a number', said([7]), 'messages[0].content[0]'],
    ['a part without its text', said([{ type: 'text' }]), 'messages[0].content[0].text'],
    [
      'an image that is no URL',
      said([{ type: 'image_url', image_url: { url: 'cat' } }]),
      'image_url',
    ],
    [
      'an image that is a file',
      said([{ type: 'image_url', image_url: { url: 'file:///x' } }]),
      'image_url',
    ],
    ['an image without a URL', said([{ type: 'image_url', image_url: {} }]), 'image_url'],
    ['a file that is no data', said([{ type: 'file', file: { file_data: 'x' } }]), 'file_data'],
    ['a sound without data', said([{ type: 'input_audio', input_audio: {} }]), 'input_audio'],
    ['tools that are no list', chat({ tools: {} }), 'tools'],
    ['a tool without a name', chat({ tools: [{ type: 'function', function: {} }] }), 'tools[0]'],
    ...SCHEMAS.map(
      ([what, parameters, behind]): Bad => [
        `a tool whose schema ${what}`,
        chat({ tools: [{ type: 'function', function: { name: 'f', parameters } }] }),
        `tools[0].function.parameters${behind}`,
      ],
    ),
    ['a tool choice that is a number', chat({ tool_choice: 7 }), 'tool_choice'],
    ['a tool choice that nobody knows', chat({ tool_choice: 'always' }), 'tool_choice'],
    [
      'calls that are no list',
      { messages: [{ role: 'assistant', tool_calls: { id: 'c' } }] },
      'messages[0].tool_calls',
    ],
    [
      'a call without an id',
      { messages: [{ role: 'assistant', tool_calls: [{ function: { name: 'f' } }] }] },
      'tool_calls[0].id',
    ],
    ['a result without a call', { messages: [{ role: 'tool', content: 'x' }] }, 'tool_call_id'],
    ['a temperature that is a text', chat({ temperature: 'hot' }), 'temperature'],
    ['a limit that is a text', chat({ max_tokens: '9' }), 'max_tokens'],
    ['stops that are numbers', chat({ stop: [1] }), 'stop'],
    ['a stream that is a text', chat({ stream: 'yes' }), 'stream'],
    ['a format that is a text', chat({ response_format: 'json' }), 'response_format'],
    [
      'a format without its schema',
      chat({ response_format: { type: 'json_schema' } }),
      'response_format.json_schema',
    ],
    [
      'a format of another vendor’s',
      chat({ response_format: { type: 'grammar' } }),
      'response_format',
    ],
    [
      'a format that does not say of which kind it is',
      chat({ response_format: { json_schema: { name: 'f', schema: { type: 'object' } } } }),
      'response_format.type',
    ],
    [
      'a tool choice that names nobody',
      chat({ tool_choice: { type: 'function', function: {} } }),
      'tool_choice',
    ],
    ['a limit without an end', chat({ max_tokens: ENDLESS }), 'max_tokens'],
    ['a temperature without an end', chat({ temperature: ENDLESS }), 'temperature'],
    ...MEMBERS.map(
      (type): Bad => [`a part of type ${type}`, said([{ type }]), 'messages[0].content[0].type'],
    ),
  ],
  responses: [
    ['a body of OpenAI’s chat', { messages: HI }, 'input'],
    ['a body of Gemini’s', { contents: [{ parts: [{ text: 'hi' }] }] }, 'input'],
    ['nothing to answer', { input: [] }, 'input'],
    ['an empty text', { input: '' }, 'input'],
    ['an input that is a number', { input: 7 }, 'input'],
    ['an item that is a text', { input: ['hi'] }, 'input[0]'],
    ['a role that does not exist', { input: [{ role: 'model', content: 'x' }] }, 'input[0].role'],
    ['an item of a kind that does not exist', { input: [{ type: 'thing' }] }, 'input[0].type'],
    ['content that is a number', heard(7), 'input[0].content'],
    ['a part of OpenAI’s chat', heard([{ type: 'image_url', image_url: {} }]), 'content[0]'],
    ['an image that is no URL', heard([{ type: 'input_image', image_url: 'cat' }]), 'image_url'],
    ['a file that is no data', heard([{ type: 'input_file', file_data: 'x' }]), 'file_data'],
    [
      'a result without a call',
      { input: [{ type: 'function_call_output', output: 'x' }] },
      'call_id',
    ],
    [
      'a call without a name',
      { input: [{ type: 'function_call', call_id: 'c', arguments: '{}' }] },
      'name',
    ],
    ['instructions that are a list', responses({ instructions: ['x'] }), 'instructions'],
    ['tools that are no list', responses({ tools: {} }), 'tools'],
    [
      'a tool of OpenAI’s chat',
      responses({ tools: [{ type: 'function', function: { name: 'f' } }] }),
      'tools[0].name',
    ],
    ['a tool of Anthropic’s', responses({ tools: [{ name: 'f', input_schema: {} }] }), 'tools[0]'],
    ...SCHEMAS.map(
      ([what, parameters, behind]): Bad => [
        `a tool whose schema ${what}`,
        responses({ tools: [{ type: 'function', name: 'f', parameters }] }),
        `tools[0].parameters${behind}`,
      ],
    ),
    ['a tool choice that is a number', responses({ tool_choice: 7 }), 'tool_choice'],
    ['a limit that is a text', responses({ max_output_tokens: '9' }), 'max_output_tokens'],
    ['a stream that is a text', responses({ stream: 'yes' }), 'stream'],
    ['a format of another vendor’s', responses({ text: { format: { type: 'x' } } }), 'text.format'],
    [
      'a format that does not say of which kind it is',
      responses({ text: { format: { name: 'f', schema: { type: 'object' } } } }),
      'text.format.type',
    ],
    [
      'a tool choice that names nobody',
      responses({ tool_choice: { type: 'function' } }),
      'tool_choice',
    ],
    ['a limit without an end', responses({ max_output_tokens: ENDLESS }), 'max_output_tokens'],
    ...MEMBERS.map((type): Bad => [`an item of type ${type}`, { input: [{ type }] }, 'input[0]']),
    ['reasoning that is a text', responses({ reasoning: 'high' }), 'reasoning'],
  ],
  messages: [
    ['a body of OpenAI’s chat', { messages: HI }, 'max_tokens'],
    ['a body of the Responses API', { input: 'hi', max_tokens: 9 }, 'messages'],
    ['a body of Gemini’s', { contents: [{ parts: [{ text: 'hi' }] }] }, 'messages'],
    [
      'a tool of OpenAI’s',
      claude({ tools: [{ type: 'function', function: { name: 'f' } }] }),
      'tools[0]',
    ],
    [
      'a picture of OpenAI’s',
      claudeSaid([{ type: 'image_url', image_url: { url: 'https://x' } }]),
      'content[0]',
    ],
    ['a tool’s role', claude({ messages: [{ role: 'tool', content: 'x' }] }), 'messages[0].role'],
    ['a role that does not exist', claude({ messages: [{ role: 'model', content: 'x' }] }), 'role'],
    ['no message', claude({ messages: [] }), 'messages'],
    ['content that is a number', claudeSaid(7), 'messages[0].content'],
    ['a block that is a text', claudeSaid(['hi']), 'messages[0].content[0]'],
    ['a text without its text', claudeSaid([{ type: 'text' }]), 'text'],
    [
      'an image that is no URL',
      claudeSaid([{ type: 'image', source: { type: 'url', url: 'cat' } }]),
      'source',
    ],
    [
      'an image that is a file',
      claudeSaid([{ type: 'image', source: { type: 'url', url: 'file:///x' } }]),
      'source',
    ],
    ['an image without a source', claudeSaid([{ type: 'image' }]), 'source'],
    [
      'a document that is no URL',
      claudeSaid([{ type: 'document', source: { type: 'url', url: 'x' } }]),
      'source',
    ],
    [
      'a call in a user’s turn',
      claudeSaid([{ type: 'tool_use', id: 't', name: 'f', input: {} }]),
      'content[0]',
    ],
    [
      'a thought in a user’s turn',
      claudeSaid([{ type: 'thinking', thinking: 'x', signature: 'y' }]),
      'content[0]',
    ],
    [
      'a hidden thought in a user’s turn',
      claudeSaid([{ type: 'redacted_thinking', data: 'x' }]),
      'content[0]',
    ],
    [
      'a result in an assistant’s turn',
      claude({
        messages: [{ role: 'assistant', content: [{ type: 'tool_result', tool_use_id: 't' }] }],
      }),
      'content[0]',
    ],
    ['a result without a call', claudeSaid([{ type: 'tool_result', content: 'x' }]), 'tool_use_id'],
    [
      'a picture in an instruction',
      claude({ system: [{ type: 'image', source: { type: 'url', url: 'https://x' } }] }),
      'system[0]',
    ],
    ['tools that are no list', claude({ tools: {} }), 'tools'],
    ['a tool without a name', claude({ tools: [{ input_schema: {} }] }), 'tools[0].name'],
    ['a tool without a schema', claude({ tools: [{ name: 'f' }] }), 'tools[0].input_schema'],
    ...SCHEMAS.map(
      ([what, schema, behind]): Bad => [
        `a tool whose schema ${what}`,
        claude({ tools: [{ name: 'f', input_schema: schema }] }),
        `tools[0].input_schema${behind}`,
      ],
    ),
    ['a tool choice that is a text', claude({ tool_choice: 'auto' }), 'tool_choice'],
    ['a tool choice that nobody knows', claude({ tool_choice: { type: 'x' } }), 'tool_choice'],
    ['a limit that is a text', claude({ max_tokens: '9' }), 'max_tokens'],
    ['stops that are numbers', claude({ stop_sequences: [1] }), 'stop_sequences'],
    ['a stream that is a text', claude({ stream: 'yes' }), 'stream'],
    ['thinking that is a text', claude({ thinking: 'on' }), 'thinking'],
    [
      'thinking without a budget',
      claude({ thinking: { type: 'enabled' } }),
      'thinking.budget_tokens',
    ],
    [
      'a format that is none',
      claude({ output_config: { format: { type: 'json_schema' } } }),
      'output_config.format',
    ],
    ['a tool choice that names nobody', claude({ tool_choice: { type: 'tool' } }), 'tool_choice'],
    ['a limit without an end', claude({ max_tokens: ENDLESS }), 'max_tokens'],
    ...MEMBERS.map(
      (type): Bad => [`a block of type ${type}`, claudeSaid([{ type }]), 'messages[0].content[0]'],
    ),
  ],
};

/** JSON has such numbers, and JavaScript has no way to write one. */
const written = (body: Json): string => JSON.stringify(body).replaceAll(`"${ENDLESS}"`, '1e400');

const CASES = (Object.keys(BAD) as SceneWire[]).flatMap((wire) =>
  TARGETS[wire].map((model) => [wire, model] as const),
);

describe.each(CASES)('on the wire of %s, for %s', (wire, model) => {
  test.each(
    BAD[wire],
  )('%s is a 400 that names it, and nobody is asked', async (_what, body, field) => {
    scene.plays({});
    const answer = await scene.ask('', { wire, body: written({ model, ...body }) });
    expect([answer.status, scene.asked, answer.facts]).toEqual([400, {}, []]);
    const told = JSON.parse(answer.text) as {
      type?: string;
      error: { type: string; message: string };
    };
    expect([told.type, told.error.type]).toEqual([
      wire === 'messages' ? 'error' : undefined,
      'invalid_request_error',
    ]);
    expect(told.error.message).toContain(field);
  });
});
