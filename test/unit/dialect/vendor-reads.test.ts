import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import type { AnswerSink } from '../../../src/dialect/answer.ts';
import { MessageAnswerReader } from '../../../src/dialect/anthropic-messages/answer-reader.ts';
import { readMessagesRequest } from '../../../src/dialect/anthropic-messages/request-reader.ts';
import { GeminiAnswerReader } from '../../../src/dialect/gemini/answer-reader.ts';
import { rawNumber } from '../../../src/dialect/json-values.ts';
import { Refusal } from '../../../src/dialect/losses.ts';
import { ChatAnswerReader } from '../../../src/dialect/openai-chat/answer-reader.ts';
import { readChatRequest } from '../../../src/dialect/openai-chat/request-reader.ts';
import { readResponsesRequest } from '../../../src/dialect/openai-responses/request-reader.ts';
import {
  CASES_MISSING,
  translationCases,
  upstreamAnswer,
} from '../../support/translation-cases.ts';
import { COUNTERS, READS } from './vendor-reads.ts';

// What a reader asks its wire for is what stands in a table that the vendors' own types check (`vendor-reads.ts`). Bodies that
// hold nearly everything are read while somebody looks on; then again and again, each time with one of their texts as another
// word of the reader's source, or with a member less: so each of its branches is walked, and each value that it knows shows.

type Json = Readonly<Record<string, unknown>>;
/** What is made of one body, as text. */
type Read = (text: string) => unknown;

interface Reader {
  readonly read: Read;
  readonly bodies: readonly Json[];
  /** Where it stands, in `src/dialect`. */
  readonly files: readonly string[];
}

const parse = JSON.parse;

/** As a value stands there; whoever asks for one of its members is written down. What is carried whole is not read. */
function watched(value: unknown, path: string, seen: Set<string>): unknown {
  if (typeof value !== 'object' || value === null || rawNumber(value) !== null) return value;
  /** Asked for by a list of all of its members: by nobody's name. */
  let listed: PropertyKey | null = null;
  return new Proxy(value, {
    getOwnPropertyDescriptor(of, name) {
      listed = name;
      return Reflect.getOwnPropertyDescriptor(of, name);
    },
    get(of, name, self) {
      if (name === 'toJSON') return () => of;
      const member: unknown = Reflect.get(of, name, self);
      if (typeof name === 'symbol' || typeof member === 'function') return member;
      if (Array.isArray(of)) return watched(member, path, seen);
      const at = path === '' ? name : `${path}.${name}`;
      if (listed !== name && name !== '') seen.add(at);
      listed = null;
      return watched(member, at, seen);
    },
  });
}

/** Looks on while bodies are read. */
class Watch {
  /** What was asked for of the last one. */
  seen = new Set<string>();
  readonly #read: Read;
  #text = '';
  readonly #looked = vi.spyOn(JSON, 'parse').mockImplementation((text, revive) => {
    const value: unknown = parse(text, revive);
    return text === this.#text ? watched(value, '', this.seen) : value;
  });

  constructor(read: Read) {
    this.#read = read;
  }

  /** @returns what came of it, as text */
  told(text: string): string {
    this.seen = new Set();
    this.#text = text;
    try {
      return JSON.stringify(this.#read(text));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return `${error.kind} ${error.message}`;
    }
  }

  end(): void {
    this.#looked.mockRestore();
  }
}

type Place = readonly (string | number)[];

function placesIn(value: unknown, at: Place = []): readonly Place[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([name, inner]) => placesIn(inner, [...at, name]))];
}

const MISSING = Symbol('missing');

function withValue(body: Json, place: Place, value: unknown): Json {
  // Parts that bodies share are to differ.
  const copy: Json = parse(JSON.stringify(body));
  let holder = copy as Record<string | number, unknown>;
  for (const step of place.slice(0, -1)) holder = holder[step] as Record<string | number, unknown>;
  const last = place.at(-1) ?? '';
  if (value === MISSING) delete holder[last];
  else holder[last] = value;
  return copy;
}

function valueAt(body: Json, place: Place): unknown {
  return place.reduce<unknown>((of, step) => (of as Record<string | number, unknown>)[step], body);
}

const pathOf = (place: Place): string =>
  place.filter((step) => typeof step === 'string' && !/^\d+$/.test(step)).join('.');

/** No wire knows it. As long as the word that it stands for: some texts are told by their length. */
const unknownLike = (word: string): string => 'q'.repeat(word.length);

const source = (file: string): string =>
  readFileSync(new URL(`../../../src/dialect/${file}`, import.meta.url), 'utf8');

/** In quotes, or one of several in a pattern. */
const WORD = /'([A-Za-z\d][\w.-]+)'|(?:\(\?:|\|)(\w+)(?=[|)])|^ {2}(\w+): \[/gm;

const wordsOf = (files: readonly string[]): readonly string[] => [
  ...new Set(
    files.flatMap((file) =>
      [...source(file).matchAll(WORD)].map(
        ([, quoted, listed, key]) => quoted ?? listed ?? key ?? '',
      ),
    ),
  ),
];

/** Usage is read by one part for all wires, whose members have a table of their own. */
function isCounter(path: string): boolean {
  const inside = /^(?:x_groq\.|message\.)?usage(?:Metadata)?\.(.*)/.exec(path)?.[1];
  return inside?.split('.').every((name) => COUNTERS.has(name)) ?? false;
}

/** What a reader asks of its wire: members, and `member=value` for each value of one that makes a difference. */
function readsOf({ read, bodies, files }: Reader): readonly string[] {
  const found = new Set<string>();
  const words = wordsOf(files);
  const watch = new Watch(read);
  const told = (json: Json): string => watch.told(JSON.stringify(json));
  const keep = (isNamed: (path: string) => boolean = () => true): void => {
    for (const path of watch.seen) if (isNamed(path) && !isCounter(path)) found.add(path);
  };
  for (const json of bodies) {
    told(json);
    keep();
    const asked = watch.seen;
    for (const place of placesIn(json).slice(1)) {
      const path = pathOf(place);
      if (!asked.has(path)) continue;
      told(withValue(json, place, MISSING));
      keep();
      // An error's words are those of all vendors, on any wire (`src/dialect/failures.ts`).
      if (typeof valueAt(json, place) !== 'string' || /(?:^|\.)error\./.test(path)) continue;
      const holder = pathOf(place.slice(0, -1));
      const others = new Map<number, string>();
      let isNamedByBody = false;
      for (const word of words) {
        const unknown = unknownLike(word);
        const other = others.get(word.length) ?? told(withValue(json, place, unknown));
        others.set(word.length, other);
        // A member whose name the body itself says.
        isNamedByBody ||= watch.seen.has(`${holder}.${unknown}`);
        const isKnown = told(withValue(json, place, word)) !== other.replaceAll(unknown, word);
        keep((name) => !isNamedByBody || !name.startsWith(`${holder}.${word}`));
        if (isKnown) found.add(`${path}=${word}`);
      }
    }
  }
  watch.end();
  return [...found].sort();
}

/** As a whole answer, as the first event of a stream, and as one in the midst of it. */
const answers =
  (
    AnswerReader: new (
      sink: AnswerSink,
    ) => {
      event(data: string, isError: boolean): void;
      whole(text: string): void;
      end(): void;
    },
    before: readonly Json[] = [],
    behind: readonly Json[] = [],
  ): Read =>
  (text) => {
    const told: unknown[] = [];
    const sink = new Proxy({} as AnswerSink, {
      get:
        (_of, name) =>
        (...said: unknown[]) =>
          told.push([name, ...said]),
    });
    new AnswerReader(sink).whole(text);
    for (const beginning of [[], before]) {
      const reader = new AnswerReader(sink);
      for (const event of beginning) reader.event(JSON.stringify(event), false);
      reader.event(text, false);
      for (const event of behind) reader.event(JSON.stringify(event), false);
      reader.end();
    }
    return told;
  };

const MARKS = { cache_control: { ttl: '1h' }, prompt_cache_breakpoint: { ttl: '12h' } };
const MARKED = { type: 'input_text', text: 'x', prompt_cache_breakpoint: { ttl: '12h' } };
const SCHEMA = { type: 'object', properties: { a: {} }, required: ['a'] };
const URL_OF_IT = 'https://example.com/it';
const DATA = 'data:text/plain;base64,eA==';
const CHAT_PART = {
  type: 'text',
  text: 'x',
  refusal: 'x',
  image_url: { url: URL_OF_IT, detail: 'low' },
  input_audio: { data: 'x', format: 'mp3' },
  file: { filename: 'x', file_data: DATA },
  ...MARKS,
};
const CHAT_CALL = {
  id: 'c',
  type: 'function',
  index: 0,
  function: { name: 'f', arguments: '{}' },
  extra_content: { google: { thought_signature: 'x' } },
  ...MARKS,
};
const CHAT_SAID = {
  role: 'assistant',
  content: [CHAT_PART],
  refusal: 'x',
  images: [{ image_url: { url: DATA } }],
  thinking_blocks: [{ type: 'redacted_thinking', data: 'x', signature: 'x', thinking: 'x' }],
  tool_calls: [CHAT_CALL],
  extra_content: { google: { thought_signature: 'x' } },
  ...MARKS,
};
const CHAT_REQUESTS: readonly Json[] = [
  {
    model: 'm',
    messages: [
      { role: 'system', content: 'x' },
      { role: 'user', content: [CHAT_PART], ...MARKS },
      {
        role: 'user',
        content: [
          { ...MARKED, type: 'text' },
          { ...CHAT_PART, type: 'image_url' },
        ],
      },
      CHAT_SAID,
      { role: 'assistant', reasoning_content: 'x' },
      { role: 'assistant', reasoning: 'x' },
      { role: 'tool', tool_call_id: 'c', content: [CHAT_PART], ...MARKS },
    ],
    tools: [
      {
        type: 'function',
        function: { name: 'f', description: 'x', parameters: SCHEMA, strict: true, ...MARKS },
        custom: { name: 'x' },
      },
    ],
    tool_choice: {
      type: 'allowed_tools',
      allowed_tools: { mode: 'required', tools: [{ type: 'function', function: { name: 'f' } }] },
      function: { name: 'f' },
      custom: { name: 'x' },
    },
    modalities: ['text'],
    response_format: {
      type: 'json_schema',
      schema: {},
      json_schema: { schema: {}, name: 'x', strict: true },
    },
    logprobs: true,
    top_logprobs: 1,
    verbosity: 'low',
    reasoning_effort: 'low',
    service_tier: 'auto',
    safety_identifier: 'x',
    stream_options: { include_usage: true },
  },
  { messages: [{ role: 'user', content: 'x' }], tool_choice: 'auto', user: 'x' },
  {
    messages: [{ role: 'user', content: 'x' }],
    tool_choice: { type: 'function', function: { name: 'f' } },
    tools: [
      { type: 'function', function: { name: 'f' }, ...MARKS },
      { type: 'function', function: { name: 'f' }, prompt_cache_breakpoint: { ttl: '12h' } },
      { type: 'custom', custom: { name: 'x' } },
    ],
  },
  {
    messages: [{ role: 'user', content: 'x' }],
    tool_choice: { type: 'custom', custom: { name: 'f' } },
  },
];

const RESPONSES_PART = {
  type: 'input_text',
  text: 'x',
  refusal: 'x',
  image_url: URL_OF_IT,
  detail: 'low',
  file_url: URL_OF_IT,
  file_data: DATA,
  filename: 'x',
  input_audio: { data: 'x', format: 'mp3' },
  ...MARKS,
};
const FILE = { type: 'input_file', file_data: DATA };
const PICTURE = { ...RESPONSES_PART, type: 'input_image' };
const CALL = { call_id: 'c', namespace: 'n', name: 'f', arguments: '{}', input: 'x' };
const RESPONSES_REQUESTS: readonly Json[] = [
  {
    model: 'm',
    instructions: 'x',
    input: [
      { type: 'message', role: 'user', content: [RESPONSES_PART] },
      {
        type: 'reasoning',
        summary: [{ type: 'summary_text', text: 'x' }],
        content: [{ type: 'reasoning_text', text: 'x' }],
        encrypted_content: 'x',
      },
      { type: 'function_call', ...CALL },
      { type: 'function_call_output', call_id: 'c', output: [RESPONSES_PART] },
      {
        type: 'function_call_output',
        call_id: 'c',
        output: [FILE, PICTURE, MARKED],
      },
      { role: 'user', content: [FILE, PICTURE, MARKED] },
    ],
    tools: [
      {
        type: 'function',
        name: 'f',
        description: 'x',
        parameters: SCHEMA,
        strict: true,
        format: { definition: 'x' },
      },
      {
        type: 'namespace',
        name: 'n',
        tools: [
          {
            type: 'custom',
            name: 'f',
            description: 'x',
            parameters: SCHEMA,
            strict: true,
            format: { definition: 'x' },
          },
        ],
      },
    ],
    tool_choice: {
      type: 'allowed_tools',
      mode: 'required',
      namespace: 'n',
      name: 'f',
      tools: [{ type: 'function', namespace: 'n', name: 'f' }],
    },
    text: {
      verbosity: 'low',
      format: { type: 'json_schema', schema: {}, name: 'x', strict: true },
    },
    reasoning: { effort: 'low' },
    include: ['message.output_text.logprobs'],
    service_tier: 'auto',
    truncation: 'auto',
    safety_identifier: 'x',
  },
  {
    input: 'x',
    tool_choice: 'auto',
    user: 'x',
    tools: [{ type: 'function', name: 'f', parameters: {} }],
  },
];

const SOURCE = {
  type: 'base64',
  data: 'x',
  media_type: 'text/plain',
  url: URL_OF_IT,
  content: 'x',
};
const BLOCK = {
  type: 'text',
  text: 'x',
  title: 'x',
  context: 'x',
  source: SOURCE,
  citations: { enabled: true },
  thinking: 'x',
  signature: 'x',
  data: 'x',
  content: [{ type: 'text', text: 'x', source: SOURCE }],
  id: 'x',
  name: 'x',
  input: {},
  tool_use_id: 'x',
  is_error: true,
  ...MARKS,
};
const MESSAGES_REQUESTS: readonly Json[] = [
  {
    model: 'm',
    max_tokens: 1,
    system: [BLOCK],
    messages: [
      { role: 'user', content: [BLOCK] },
      { role: 'assistant', content: [BLOCK] },
      {
        role: 'user',
        content: [
          {
            type: 'search_result',
            title: 'x',
            source: 'x',
            content: [{ type: 'text', text: 'x' }],
          },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'compaction', content: 'x' },
          { type: 'image', source: SOURCE },
          { type: 'document', source: SOURCE },
          { type: 'tool_result', tool_use_id: 'x', content: [{ type: 'image', source: SOURCE }] },
        ],
      },
      {
        role: 'user',
        content: [{ type: 'document', source: { type: 'content', content: [BLOCK] } }],
      },
    ],
    tools: [
      { type: 'custom', name: 'f', description: 'x', input_schema: SCHEMA, strict: true, ...MARKS },
    ],
    tool_choice: { type: 'tool', name: 'f', disable_parallel_tool_use: true },
    output_config: { effort: 'low', format: { type: 'json_schema', schema: {} } },
    thinking: { type: 'enabled', budget_tokens: 1 },
    service_tier: 'auto',
    metadata: { user_id: 'x' },
  },
  {
    max_tokens: 1,
    messages: [{ role: 'user', content: 'x' }],
    output_format: { type: 'json_schema', schema: {} },
  },
];

const USAGE = {
  prompt_tokens: 1,
  prompt_tokens_details: {},
  completion_tokens_details: {},
  total_tokens: 9,
};
const FAILED = {
  error: {
    message: 'x',
    detail: 'x',
    code: 'x',
    type: 'x',
    status: 'x',
    details: [{ retryDelay: '1s', reason: 'x' }],
  },
};
const DELTA = { ...CHAT_SAID, content: [{ ...CHAT_PART, thinking: [{ text: 'x' }] }] };
const CHOICE = { index: 0, finish_reason: 'stop', stop_reason: 'x', delta: DELTA, message: DELTA };
const CHAT_ANSWERS: readonly Json[] = [
  { id: 'x', model: 'm', service_tier: 'x', usage: USAGE, choices: [CHOICE] },
  {
    x_groq: { usage: USAGE },
    choices: [
      {
        delta: { reasoning_details: [{ text: 'x' }] },
        message: { reasoning_details: [{ text: 'x' }] },
      },
      { delta: { reasoning: 'x' }, message: { reasoning: 'x' } },
    ],
  },
  { choices: [], type: 'x', object: 'x' },
  { choices: [FAILED] },
  FAILED,
];

const MESSAGE = {
  id: 'x',
  model: 'm',
  content: [BLOCK],
  stop_reason: 'end_turn',
  stop_sequence: 'x',
  stop_details: { explanation: 'x' },
  usage: {
    service_tier: 'x',
    input_tokens: 1,
    input_tokens_details: {},
    output_tokens_details: {},
  },
};
const MESSAGE_ANSWERS: readonly Json[] = [
  { ...MESSAGE, type: 'message_start', message: MESSAGE },
  {
    type: 'content_block_start',
    index: 0,
    content_block: { ...BLOCK, input: { a: 1 } },
    usage: MESSAGE.usage,
    delta: {
      ...MESSAGE,
      type: 'text_delta',
      text: 'x',
      thinking: 'x',
      signature: 'x',
      partial_json: 'x',
    },
  },
  {
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'text_delta', text: 'x', thinking: 'x', signature: 'x', partial_json: 'x' },
  },
  { type: 'error', ...FAILED },
];
/** What has begun when an event comes: a block that is a call. */
const BEGUN: readonly Json[] = [
  { type: 'message_start', message: {} },
  {
    type: 'content_block_start',
    index: 0,
    content_block: { type: 'tool_use', id: 'x', name: 'f' },
  },
];

const GEMINI_ANSWERS: readonly Json[] = [
  {
    responseId: 'x',
    modelVersion: 'm',
    usageMetadata: { promptTokenCount: 1, serviceTier: 'x', totalTokenCount: 9 },
    promptFeedback: {},
    candidates: [
      {
        index: 0,
        finishReason: 'STOP',
        finishMessage: 'x',
        content: {
          parts: [
            {
              text: 'x',
              thought: true,
              thoughtSignature: 'x',
            },
            {
              text: 'x',
              thoughtSignature: 'x',
              inlineData: { mimeType: 'image/png', data: 'x' },
              functionCall: { id: 'x', name: 'f', args: {} },
            },
          ],
        },
      },
    ],
  },
  { promptFeedback: { blockReason: 'SAFETY', blockReasonMessage: 'x' } },
  FAILED,
];

const FAILURES = ['failures.ts', 'google-details.ts'];

const READERS = {
  chatRequest: {
    read: readChatRequest,
    bodies: CHAT_REQUESTS,
    files: [
      ...['request-reader', 'message-reader', 'cache-marks'].map(
        (name) => `openai-chat/${name}.ts`,
      ),
      'wishes.ts',
    ],
  },
  responsesRequest: {
    read: readResponsesRequest,
    bodies: RESPONSES_REQUESTS,
    files: [
      ...['request-reader', 'item-reader', 'tool-reader'].map(
        (name) => `openai-responses/${name}.ts`,
      ),
      'openai-chat/cache-marks.ts',
      'wishes.ts',
    ],
  },
  messagesRequest: {
    read: readMessagesRequest,
    bodies: MESSAGES_REQUESTS,
    files: [
      ...['request-reader', 'message-reader'].map((name) => `anthropic-messages/${name}.ts`),
      'wishes.ts',
    ],
  },
  chatAnswer: {
    read: answers(ChatAnswerReader),
    bodies: CHAT_ANSWERS,
    files: ['openai-chat/answer-reader.ts'],
  },
  messageAnswer: {
    read: answers(MessageAnswerReader, BEGUN, [{ type: 'content_block_stop', index: 0 }]),
    bodies: MESSAGE_ANSWERS,
    files: ['anthropic-messages/answer-reader.ts'],
  },
  geminiAnswer: {
    read: answers(GeminiAnswerReader),
    bodies: GEMINI_ANSWERS,
    files: ['gemini/answer-reader.ts'],
  },
};

type Name = keyof typeof READS;
const EACH = Object.entries(READERS) as readonly (readonly [Name, Reader])[];

test.each(EACH)('%s: what is read is what its table has, and all of that', (name, reader) => {
  expect(readsOf(reader)).toEqual(READS[name]);
});

/** As sources of readers spell that they want a member. */
const ASKED =
  /(?:(?:text|number|list|object)(?:In|At|Of)|flagAt|(?:number|stops)Wish|wished)\([\w.?! {}]+, '(\w+)'|[\w.)\]]\['(\w+)'\]/g;

test.each(
  EACH,
)('%s: no member that its source asks for is missing from its table', (name, reader) => {
  const sources = name.endsWith('Answer') ? [...reader.files, ...FAILURES] : reader.files;
  const asked = sources.flatMap((file) =>
    [...source(file).matchAll(ASKED)].map(([, called, indexed]) => called ?? indexed ?? ''),
  );
  const told = new Set(READS[name].map((line) => line.split('.').at(-1)));
  expect(asked.length).toBeGreaterThan(8);
  expect(asked.filter((member) => !told.has(member) && !COUNTERS.has(member))).toEqual([]);
});

const CALLERS: Partial<Record<Name, string>> = {
  chatRequest: 'openai-chat',
  responsesRequest: 'responses',
  messagesRequest: 'anthropic',
};
const TARGETS: Partial<Record<Name, string>> = {
  chatAnswer: 'openai-chat',
  messageAnswer: 'anthropic',
  geminiAnswer: 'gemini',
};

/** Of the golden cases, recorded ones among them: each request, and each answer or event of one. */
function goldenTexts(name: Name): readonly string[] {
  const cases = Object.values(CALLERS).flatMap((caller) =>
    Object.values(TARGETS).flatMap((target) => translationCases(caller, target)),
  );
  return cases.flatMap((one) => {
    if (one.inbound === CALLERS[name]) return [JSON.stringify(one.request_in.body)];
    if (one.upstream !== TARGETS[name] || one.response_upstream === undefined) return [];
    const answer = upstreamAnswer(one, 'tool').toString();
    const events = [...answer.matchAll(/^data: ?(.*)$/gm)].map(([, data = '']) => data);
    return events.length === 0 ? [answer] : events;
  });
}

test.each(EACH)('%s: of the golden cases nothing is read that its table has not', (name, {
  read,
}) => {
  if (CASES_MISSING !== null) return;
  const texts = goldenTexts(name);
  expect(texts.length).toBeGreaterThan(20);
  const told = new Set(READS[name]);
  const watch = new Watch(read);
  const untold = texts.flatMap((text) => {
    watch.told(text);
    return [...watch.seen].filter((path) => !told.has(path) && !isCounter(path));
  });
  watch.end();
  expect(untold).toEqual([]);
});
