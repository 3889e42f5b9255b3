import type Anthropic from '@anthropic-ai/sdk';
import type OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { Refusal } from '../../../src/dialect/losses.ts';
import { translateRequest } from '../../../src/dialect/translate.ts';
import type { CallerWire, TargetWire } from '../../../src/dialect/wires.ts';

// Every kind of content that a caller's wire has, at every place where it can stand, on the way to every other wire: it is
// carried, or named as lost, or the request is refused. The vendors' own types say which kinds there are.

type Json = Readonly<Record<string, unknown>>;

/** What each kind says: a translation that carries it has it in its body. */
const MARK = 'TWFya2VkIGhlcmU=';
/** The same in the text that it is base64 of. */
const PLAIN = 'Marked here';
const PICTURE = `data:image/png;base64,${MARK}`;
const FILES = {
  pdf: `data:application/pdf;base64,${MARK}`,
  text: `data:text/plain;base64,${MARK}`,
  zip: `data:application/zip;base64,${MARK}`,
};

type Kinds<Type extends string> = Readonly<Record<Type, readonly Json[]>>;

/** How many kinds of sound there are. */
const sounds = (type: string, name: string): readonly Json[] =>
  ['wav', 'mp3', 'flac'].map((format) => ({ type, [name]: { data: MARK, format } }));

const CHAT: Kinds<OpenAI.ChatCompletionContentPart['type'] | 'refusal' | 'video_url'> = {
  text: [{ type: 'text', text: PLAIN }],
  refusal: [{ type: 'refusal', refusal: PLAIN }],
  image_url: [
    { type: 'image_url', image_url: { url: PICTURE } },
    { type: 'image_url', image_url: { url: `https://example.com/${MARK}.png` } },
  ],
  input_audio: sounds('input_audio', 'input_audio'),
  file: [
    ...Object.values(FILES).map((data) => ({ type: 'file', file: { file_data: data } })),
    { type: 'file', file: { file_id: MARK } },
  ],
  video_url: [{ type: 'video_url', video_url: { url: `https://example.com/${MARK}.mp4` } }],
};

const CHAT_PLACES: Readonly<Record<string, (part: Json) => readonly Json[]>> = {
  'an instruction': (part) => [
    { role: 'system', content: [part] },
    { role: 'user', content: 'hi' },
  ],
  'a later instruction': (part) => [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: 'ho' },
    { role: 'developer', content: [part] },
    { role: 'user', content: 'hi' },
  ],
  "a user's turn": (part) => [{ role: 'user', content: [part] }],
  "an assistant's turn": (part) => [
    { role: 'user', content: 'hi' },
    { role: 'assistant', content: [part] },
    { role: 'user', content: 'go on' },
  ],
  'what a tool answered': (part) => [
    { role: 'user', content: 'hi' },
    {
      role: 'assistant',
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: 'c1', content: [part] },
  ],
};

const RESPONSES: Kinds<
  OpenAI.Responses.ResponseInputContent['type'] | 'input_audio' | 'output_text' | 'refusal'
> = {
  input_text: [{ type: 'input_text', text: PLAIN }],
  output_text: [{ type: 'output_text', text: PLAIN, annotations: [] }],
  refusal: [{ type: 'refusal', refusal: PLAIN }],
  input_image: [
    { type: 'input_image', image_url: PICTURE, detail: 'auto' },
    { type: 'input_image', file_id: MARK, detail: 'auto' },
  ],
  input_audio: sounds('input_audio', 'input_audio'),
  input_file: [
    ...Object.values(FILES).map((data) => ({ type: 'input_file', file_data: data })),
    { type: 'input_file', file_url: `https://example.com/${MARK}.pdf` },
    { type: 'input_file', file_id: MARK },
  ],
};

const RESPONSES_PLACES: Readonly<Record<string, (part: Json) => readonly Json[]>> = {
  'an instruction': (part) => [
    { role: 'developer', content: [part] },
    { role: 'user', content: 'hi' },
  ],
  "a user's turn": (part) => [{ role: 'user', content: [part] }],
  "an assistant's turn": (part) => [
    { role: 'user', content: 'hi' },
    { type: 'message', role: 'assistant', content: [part] },
    { role: 'user', content: 'go on' },
  ],
  'what a tool answered': (part) => [
    { role: 'user', content: 'hi' },
    { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c1', output: [part] },
  ],
  'what a tool of free text answered': (part) => [
    { role: 'user', content: 'hi' },
    { type: 'custom_tool_call', call_id: 'c1', name: 'look', input: 'x' },
    { type: 'custom_tool_call_output', call_id: 'c1', output: [part] },
  ],
};

/** A thought without a seal of its maker, and what nobody but OpenAI can open, go to nobody else: no loss that is told. */
type Item = Exclude<
  NonNullable<OpenAI.Responses.ResponseInputItem['type']>,
  'message' | 'reasoning'
>;

const item = (type: Item, more: Json = {}): readonly Json[] => [{ type, id: MARK, ...more }];

const ITEMS: Kinds<Item> = {
  additional_tools: item('additional_tools', { role: 'developer', tools: [] }),
  apply_patch_call: item('apply_patch_call', { call_id: 'p', status: 'completed' }),
  apply_patch_call_output: item('apply_patch_call_output', { call_id: 'p', output: PLAIN }),
  code_interpreter_call: item('code_interpreter_call', { code: PLAIN, outputs: [] }),
  compaction: item('compaction', { encrypted_content: MARK }),
  compaction_trigger: item('compaction_trigger'),
  computer_call: item('computer_call', { call_id: 'p', action: { type: 'screenshot' } }),
  computer_call_output: item('computer_call_output', { call_id: 'p', output: {} }),
  configuration_update: item('configuration_update', { reasoning: { effort: 'low' } }),
  custom_tool_call: item('custom_tool_call', { call_id: 'p', name: 'x', input: PLAIN }),
  custom_tool_call_output: item('custom_tool_call_output', { call_id: 'p', output: PLAIN }),
  file_search_call: item('file_search_call', { queries: [PLAIN], status: 'completed' }),
  function_call: item('function_call', { call_id: 'p', name: 'x', arguments: `{"a":"${PLAIN}"}` }),
  function_call_output: item('function_call_output', { call_id: 'p', output: PLAIN }),
  image_generation_call: item('image_generation_call', { result: MARK }),
  item_reference: item('item_reference'),
  local_shell_call: item('local_shell_call', { call_id: 'p', action: {} }),
  local_shell_call_output: item('local_shell_call_output', { output: PLAIN }),
  mcp_approval_request: item('mcp_approval_request', { name: 'x', arguments: '{}' }),
  mcp_approval_response: item('mcp_approval_response', { approve: true }),
  mcp_call: item('mcp_call', { name: 'x', arguments: '{}', output: PLAIN }),
  mcp_list_tools: item('mcp_list_tools', { server_label: 'x', tools: [] }),
  program: item('program', { code: PLAIN, call_id: 'p' }),
  program_output: item('program_output', { call_id: 'p', output: PLAIN }),
  shell_call: item('shell_call', { call_id: 'p', action: {} }),
  shell_call_output: item('shell_call_output', { call_id: 'p', output: [] }),
  tool_search_call: item('tool_search_call', { arguments: {} }),
  tool_search_output: item('tool_search_output', { tools: [] }),
  web_search_call: item('web_search_call', { action: { type: 'search', query: PLAIN } }),
};

/** Thoughts go back to their maker alone; a mark of which model went on with a turn holds nothing of it. */
type Block = Exclude<
  Anthropic.Beta.BetaContentBlockParam['type'] | 'tool_reference' | 'browser_state',
  'thinking' | 'redacted_thinking' | 'fallback'
>;

const block = (type: Block, more: Json = {}): readonly Json[] => [{ type, ...more }];
const used = { tool_use_id: 't1', content: [{ type: 'text', text: PLAIN }] };

const sources: readonly Json[] = [
  { type: 'base64', media_type: 'application/pdf', data: MARK },
  { type: 'text', media_type: 'text/plain', data: PLAIN },
  { type: 'url', url: `https://example.com/${MARK}.pdf` },
  { type: 'file', file_id: MARK },
  { type: 'content', content: PLAIN },
  { type: 'content', content: [{ type: 'text', text: PLAIN }] },
  {
    type: 'content',
    content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: MARK } }],
  },
];

const BLOCKS: Kinds<Block> = {
  text: block('text', { text: PLAIN }),
  image: [
    { type: 'image', source: { type: 'base64', media_type: 'image/png', data: MARK } },
    { type: 'image', source: { type: 'url', url: `https://example.com/${MARK}.png` } },
    { type: 'image', source: { type: 'file', file_id: MARK } },
  ],
  document: [
    ...sources.map((source) => ({ type: 'document', source })),
    { type: 'document', source: { type: 'text', data: 'x' }, context: PLAIN },
  ],
  search_result: block('search_result', {
    title: 'x',
    source: 'y',
    content: [{ type: 'text', text: PLAIN }],
  }),
  tool_use: block('tool_use', { id: 't2', name: 'look', input: { at: PLAIN } }),
  tool_result: block('tool_result', { tool_use_id: 't1', content: PLAIN }),
  server_tool_use: block('server_tool_use', { id: 't2', name: 'web_search', input: {} }),
  web_search_tool_result: block('web_search_tool_result', used),
  web_fetch_tool_result: block('web_fetch_tool_result', used),
  advisor_tool_result: block('advisor_tool_result', used),
  code_execution_tool_result: block('code_execution_tool_result', used),
  bash_code_execution_tool_result: block('bash_code_execution_tool_result', used),
  text_editor_code_execution_tool_result: block('text_editor_code_execution_tool_result', used),
  tool_search_tool_result: block('tool_search_tool_result', used),
  mcp_tool_use: block('mcp_tool_use', { id: 't2', name: 'x', server_name: 'y', input: {} }),
  mcp_tool_result: block('mcp_tool_result', used),
  mcp_tool_listing: block('mcp_tool_listing', { mcp_server_name: 'x', tools: [] }),
  container_upload: block('container_upload', { file_id: MARK }),
  compaction: block('compaction', { content: PLAIN }),
  tool_addition: block('tool_addition', { tool: { type: 'tool_reference', tool_name: 'x' } }),
  tool_removal: block('tool_removal', { tool: { type: 'tool_reference', tool_name: 'x' } }),
  tool_reference: block('tool_reference', { tool_name: 'x' }),
  browser_state: block('browser_state', { content: PLAIN }),
};

const BLOCK_PLACES: Readonly<Record<string, (part: Json) => Json>> = {
  'an instruction': (part) => ({ system: [part], messages: [{ role: 'user', content: 'hi' }] }),
  'a later instruction': (part) => ({
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'system', content: [part] },
    ],
  }),
  "a user's turn": (part) => ({ messages: [{ role: 'user', content: [part] }] }),
  "an assistant's turn": (part) => ({
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: [part] },
      { role: 'user', content: 'go on' },
    ],
  }),
  'what a tool answered': (part) => ({
    messages: [
      { role: 'user', content: 'hi' },
      { role: 'assistant', content: [{ type: 'tool_use', id: 't1', name: 'look', input: {} }] },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: 't1', content: [part] }] },
    ],
  }),
  'a document': (part) => ({
    messages: [
      {
        role: 'user',
        content: [{ type: 'document', source: { type: 'content', content: [part] } }],
      },
    ],
  }),
};

const MODELS: Readonly<Record<TargetWire, readonly string[]>> = {
  'openai-chat': ['gpt-4o', 'deepseek-chat'],
  'anthropic-messages': ['claude-sonnet-4-5', 'claude-opus-4-8'],
  gemini: ['gemini-2.5-flash', 'gemini-3-pro'],
  ollama: ['llama3.2'],
};

type Outcome = 'carried' | 'named' | 'refused' | 'lost';

function outcome(from: CallerWire, to: TargetWire, model: string, body: Json): Outcome {
  const target = { provider: 'x', model, asksForUsage: true };
  const whole = Buffer.from(JSON.stringify({ model, max_tokens: 9, ...body }));
  const request = translateRequest(from, to, whole, target);
  if (request instanceof Refusal) {
    expect(request.message.length).toBeGreaterThan(10);
    return 'refused';
  }
  const sent = request.body.toString();
  if (sent.includes(MARK) || sent.includes(PLAIN)) return 'carried';
  return request.dropped.length > 0 ? 'named' : 'lost';
}

interface Case {
  readonly name: string;
  readonly body: Json;
}

function casesOf(
  kinds: Kinds<string>,
  places: Readonly<Record<string, (part: Json) => Json>>,
): readonly Case[] {
  return Object.entries(places).flatMap(([place, at]) =>
    Object.entries(kinds).flatMap(([kind, parts]) =>
      parts.map((part, index) => ({ name: `${kind} ${index} in ${place}`, body: at(part) })),
    ),
  );
}

const inField = (
  field: string,
  places: Readonly<Record<string, (part: Json) => readonly Json[]>>,
) =>
  Object.fromEntries(
    Object.entries(places).map(([name, at]) => [name, (part: Json) => ({ [field]: at(part) })]),
  );

const CASES: Readonly<Record<CallerWire, readonly Case[]>> = {
  'openai-chat': casesOf(CHAT, inField('messages', CHAT_PLACES)),
  'openai-responses': [
    ...casesOf(RESPONSES, inField('input', RESPONSES_PLACES)),
    ...casesOf(ITEMS, {
      'a history': (one) => ({ input: [{ role: 'user', content: 'hi' }, one] }),
    }),
  ],
  'anthropic-messages': casesOf(BLOCKS, BLOCK_PLACES),
};

const PAIRS = (Object.keys(CASES) as CallerWire[]).flatMap((from) =>
  (Object.keys(MODELS) as TargetWire[])
    .filter((to) => to !== from)
    .flatMap((to) => MODELS[to].map((model) => [from, to, model] as const)),
);

describe.each(PAIRS)('%s to %s, %s', (from, to, model) => {
  test('nothing that a conversation holds is lost without a word', () => {
    const told = CASES[from].map(({ name, body }) => [name, outcome(from, to, model, body)]);
    expect(told.filter(([, became]) => became === 'lost')).toEqual([]);
    // The table itself can carry, name and refuse.
    const kinds = new Set(told.map(([, became]) => became));
    expect(kinds).toContain('carried');
    expect(kinds).toContain('refused');
  });
});

describe('what stands at every place alike', () => {
  const sound = CHAT.input_audio[0] ?? {};
  const heard = (place: string, to: TargetWire) => {
    const at = CHAT_PLACES[place] ?? (() => []);
    const model = MODELS[to][0] ?? '';
    return outcome('openai-responses', to, model, {
      input: at(sound).flatMap((message) =>
        message['role'] === 'tool'
          ? [{ type: 'function_call_output', call_id: 'c1', output: message['content'] }]
          : message['tool_calls'] === undefined
            ? [message]
            : [{ type: 'function_call', call_id: 'c1', name: 'look', arguments: '{}' }],
      ),
    });
  };

  test.each([
    ['openai-chat', 'carried'],
    ['gemini', 'carried'],
    ['anthropic-messages', 'refused'],
    ['ollama', 'refused'],
  ] as const)('a sound that a tool answered is for %s %s, like one that a user said', (to, became) => {
    expect([heard('what a tool answered', to), heard("a user's turn", to)]).toEqual([
      became,
      became,
    ]);
  });
});
