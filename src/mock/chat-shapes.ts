import {
  azureUsage,
  deepseekUsage,
  groqUsage,
  mistralUsage,
  openaiUsage,
  openrouterUsage,
  perplexityUsage,
  plainUsage,
  togetherUsage,
  type UsageSpelling,
  xaiUsage,
} from './chat-usage.ts';

/** Where a streamed chat answer tells its usage. */
type UsagePlace =
  /** a chunk of its own with `choices: []` */
  | 'own'
  /** the chunk with the finish reason */
  | 'finish'
  /** the finish chunk, and again in a chunk of its own */
  | 'finish-and-own'
  /** a chunk of its own whose choices are not empty */
  | 'trailing'
  /** every chunk, cumulative */
  | 'every';

/** One chunk of a stream, as JSON texts that a shape puts in its own order. */
export interface Chunk {
  readonly id: string;
  readonly created: number;
  /** JSON string. */
  readonly model: string;
  /** JSON list. */
  readonly choices: string;
  /** JSON object, 'null' where the vendor says so, or '' where the key is left out. */
  readonly usage: string;
  readonly place: 'first' | 'middle' | 'finish' | 'usage';
  /** Number of the chunk in its stream. */
  readonly at: number;
}

/** One choice of a chunk, as JSON texts. */
export interface Choice {
  readonly index: number;
  readonly delta: string;
  /** JSON string of the reason, or 'null'. */
  readonly finish: string;
  /** JSON string of this chunk's text. */
  readonly piece: string;
  /** All text of the answer so far. */
  readonly soFar: string;
}

/** How one vendor of the OpenAI dialect streams and answers chat completions. */
export interface ChatShape {
  readonly name: string;
  /** One line for `--help`. */
  readonly says: string;
  readonly lineEnd: '\n' | '\r\n';
  readonly done: boolean;
  readonly comments: readonly string[];
  readonly usagePlace: UsagePlace;
  /** True where usage is sent on a stream without `include_usage`. */
  readonly usageUnasked: boolean;
  /** `usage: null` in chunks without usage: never, always, or when `include_usage` is true. */
  readonly nullUsage: 'never' | 'always' | 'asked';
  /** The delta that opens the answer, '' where the first text does. */
  readonly openDelta: string;
  readonly textDelta: (piece: string) => string;
  readonly finishDelta: string;
  /** The delta of one reasoning piece; null where the vendor hides reasoning. */
  readonly thoughtDelta: ((piece: string) => string) | null;
  /** True where a tool call comes in one delta instead of in pieces. */
  readonly wholeToolCalls: boolean;
  readonly choice: (choice: Choice) => string;
  readonly chunk: (chunk: Chunk) => string;
  readonly usage: UsageSpelling;
  /** True where an unstreamed body has `usage` before `choices`. */
  readonly usageFirst: boolean;
}

const usageKey = (usage: string): string => (usage === '' ? '' : `,"usage":${usage}`);
const head = (chunk: Chunk): string =>
  `"id":"${chunk.id}","object":"chat.completion.chunk","created":${chunk.created},"model":${chunk.model}`;
/** Filler of a length that varies from chunk to chunk, as OpenAI pads against traffic analysis. */
const filler = (at: number): string => 'abcdefghijklmnop'.slice(0, 1 + ((at * 7) % 16));

const plain: ChatShape = {
  name: 'fireworks',
  says: 'usage in the finish chunk, unasked (no stream of it was recorded: an assumption)',
  lineEnd: '\n',
  done: true,
  comments: [],
  usagePlace: 'finish',
  usageUnasked: true,
  nullUsage: 'never',
  openDelta: '{"role":"assistant","content":""}',
  textDelta: (piece) => `{"content":${piece}}`,
  finishDelta: '{}',
  thoughtDelta: (piece) => `{"reasoning_content":${piece}}`,
  wholeToolCalls: false,
  choice: ({ index, delta, finish }) =>
    `{"index":${index},"delta":${delta},"logprobs":null,"finish_reason":${finish}}`,
  chunk: (chunk) => `{${head(chunk)},"choices":${chunk.choices}${usageKey(chunk.usage)}}`,
  usage: plainUsage,
  usageFirst: false,
};

const openai: ChatShape = {
  ...plain,
  name: 'openai',
  says: 'usage only with include_usage: null in every chunk, then a chunk with choices []; "obfuscation" after it',
  usagePlace: 'own',
  usageUnasked: false,
  nullUsage: 'asked',
  openDelta: '{"role":"assistant","content":"","refusal":null}',
  thoughtDelta: null,
  chunk: (chunk) =>
    `{${head(chunk)},"service_tier":"default","system_fingerprint":"fp_mock","choices":${chunk.choices}${usageKey(chunk.usage)},"obfuscation":"${filler(chunk.at)}"}`,
  usage: openaiUsage,
};

const CONTENT_FILTER =
  '{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":false,"severity":"safe"}}';

const azure: ChatShape = {
  ...openai,
  name: 'azure',
  says: 'as openai, but a first chunk with "model": "" and prompt_filter_results, and keys in alphabetical order',
  // The preamble is an event of its own in front of the answer, so it rides with the comments.
  comments: [
    `data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":${CONTENT_FILTER}}]}`,
  ],
  openDelta: '{"content":"","refusal":null,"role":"assistant"}',
  choice: ({ index, delta, finish }) =>
    `{"content_filter_results":{},"delta":${delta},"finish_reason":${finish},"index":${index},"logprobs":null}`,
  chunk: (chunk) =>
    `{"choices":${chunk.choices},"created":${chunk.created},"id":"${chunk.id}","model":${chunk.model},"obfuscation":"${filler(chunk.at)}","object":"chat.completion.chunk","service_tier":"default","system_fingerprint":null${usageKey(chunk.usage)}}`,
  usage: azureUsage,
};

const groqTail = (chunk: Chunk): string => {
  const request = `"x_groq":{"id":"req_${chunk.id.slice(-24)}"`;
  if (chunk.place === 'first') return `,${request}}`;
  if (chunk.place === 'finish') return `,${request},"usage":${chunk.usage}},"usage":${chunk.usage}`;
  return chunk.place === 'usage' ? `,"usage":${chunk.usage},"service_tier":"on_demand"` : '';
};

const groq: ChatShape = {
  ...plain,
  name: 'groq',
  says: 'unasked: finish chunk with usage and x_groq.usage, then a choices [] chunk; the first chunk has x_groq without usage',
  usagePlace: 'finish-and-own',
  thoughtDelta: (piece) => `{"reasoning":${piece},"channel":"analysis"}`,
  wholeToolCalls: true,
  chunk: (chunk) =>
    `{${head(chunk)},"system_fingerprint":"fp_mock","choices":${chunk.choices}${groqTail(chunk)}}`,
  usage: groqUsage,
};

const mistral: ChatShape = {
  ...plain,
  name: 'mistral',
  says: 'usage in the finish chunk, unasked; unstreamed bodies have usage before choices',
  finishDelta: '{"content":""}',
  thoughtDelta: (piece) =>
    `{"content":[{"type":"thinking","thinking":[{"type":"text","text":${piece}}]}]}`,
  wholeToolCalls: true,
  choice: ({ index, delta, finish }) =>
    `{"index":${index},"delta":${delta},"finish_reason":${finish}}`,
  chunk: (chunk) =>
    `{${head(chunk)},"choices":${chunk.choices}${usageKey(chunk.usage)}${chunk.place === 'first' ? '' : `,"p":"${filler(chunk.at)}"`}}`,
  usage: mistralUsage,
  usageFirst: true,
};

const deepseek: ChatShape = {
  ...plain,
  name: 'deepseek',
  says: 'usage in the finish chunk, unasked, with prompt_cache_hit_tokens; reasoning_content deltas',
  nullUsage: 'asked',
  finishDelta: '{"content":""}',
  thoughtDelta: (piece) => `{"content":null,"reasoning_content":${piece}}`,
  chunk: (chunk) =>
    `{${head(chunk)},"system_fingerprint":"fp_mock","choices":${chunk.choices}${usageKey(chunk.usage)}}`,
  usage: deepseekUsage,
};

const cerebras: ChatShape = {
  ...plain,
  name: 'cerebras',
  says: 'usage and time_info in the finish chunk, unasked; no [DONE]',
  done: false,
  openDelta: '{"role":"assistant"}',
  thoughtDelta: (piece) => `{"reasoning":${piece}}`,
  choice: ({ index, delta, finish }) =>
    `{"delta":${delta},${finish === 'null' ? '' : `"finish_reason":${finish},`}"index":${index}}`,
  chunk: (chunk) =>
    `{"id":"${chunk.id}","choices":${chunk.choices},"created":${chunk.created},"model":${chunk.model},"system_fingerprint":"fp_mock","object":"chat.completion.chunk"${usageKey(chunk.usage)}${chunk.place === 'finish' ? `,"time_info":{"queue_time":0.12,"prompt_time":0.02,"completion_time":0.04,"total_time":0.18,"created":${chunk.created}}` : ''}}`,
};

const together: ChatShape = {
  ...plain,
  name: 'together',
  says: 'usage (with cached_tokens at its root) in the finish chunk, null in the others, unasked; every choice repeats its text',
  nullUsage: 'always',
  openDelta: '',
  textDelta: (piece) => `{"token_id":16,"role":"assistant","content":${piece}}`,
  finishDelta: '{"token_id":128009,"role":"assistant","content":""}',
  thoughtDelta: (piece) => `{"token_id":17,"role":"assistant","content":"","reasoning":${piece}}`,
  choice: ({ index, delta, finish, piece }) =>
    `{"index":${index},"text":${piece},"logprobs":null,"finish_reason":${finish},"seed":null,"delta":${delta}}`,
  chunk: (chunk) =>
    `{"id":"${chunk.id}","object":"chat.completion.chunk","created":${chunk.created},"choices":${chunk.choices},"model":${chunk.model}${usageKey(chunk.usage)}}`,
  usage: togetherUsage,
};

const openrouter: ChatShape = {
  ...plain,
  name: 'openrouter',
  says: '": OPENROUTER PROCESSING" comments, unasked: a trailing chunk with non-empty choices carries usage and cost',
  comments: [': OPENROUTER PROCESSING', ': OPENROUTER PROCESSING'],
  usagePlace: 'trailing',
  textDelta: (piece) => `{"role":"assistant","content":${piece}}`,
  finishDelta: '{"role":"assistant","content":""}',
  thoughtDelta: (piece) =>
    `{"role":"assistant","content":"","reasoning":${piece},"reasoning_details":[{"type":"reasoning.text","text":${piece},"format":"unknown","index":0}]}`,
  choice: ({ index, delta, finish }) =>
    `{"index":${index},"delta":${delta},"finish_reason":${finish},"native_finish_reason":${finish},"logprobs":null}`,
  chunk: (chunk) =>
    `{"id":"${chunk.id}","provider":"Mock","model":${chunk.model},"object":"chat.completion.chunk","created":${chunk.created},"choices":${chunk.choices}${usageKey(chunk.usage)}}`,
  usage: openrouterUsage,
};

const xai: ChatShape = {
  ...plain,
  name: 'xai',
  says: 'usage in a choices [] chunk with include_usage; completion_tokens leaves reasoning out',
  usagePlace: 'own',
  usageUnasked: false,
  openDelta: '{"role":"assistant"}',
  // While it reasons, xAI sends empty deltas.
  thoughtDelta: () => '{}',
  wholeToolCalls: true,
  choice: ({ index, delta, finish }) =>
    `{"index":${index},"delta":${delta}${finish === 'null' ? '' : `,"finish_reason":${finish}`}}`,
  chunk: (chunk) =>
    `{${head(chunk)},"choices":${chunk.choices}${usageKey(chunk.usage)},"system_fingerprint":"fp_mock"}`,
  usage: xaiUsage,
};

const perplexity: ChatShape = {
  ...plain,
  name: 'perplexity',
  says: 'CRLF, cumulative usage near the front of every chunk, cumulative message, no [DONE]',
  lineEnd: '\r\n',
  done: false,
  usagePlace: 'every',
  openDelta: '',
  textDelta: (piece) => `{"role":"assistant","content":${piece}}`,
  finishDelta: '{"role":"assistant","content":""}',
  thoughtDelta: null,
  choice: ({ index, delta, finish, soFar }) =>
    `{"index":${index},"message":{"role":"assistant","content":${JSON.stringify(soFar)}},"delta":${delta}${finish === 'null' ? '' : `,"finish_reason":${finish}`}}`,
  chunk: (chunk) =>
    `{"id":"${chunk.id}","model":${chunk.model},"created":${chunk.created}${usageKey(chunk.usage)},"citations":["https://example.com/1"],"search_results":[{"title":"Mock","url":"https://example.com/1","date":"2026-01-02","last_updated":"2026-01-02","snippet":"A mock result","source":"web"}],"object":"chat.completion.${chunk.place === 'finish' ? 'done' : 'chunk'}","choices":${chunk.choices}}`,
  usage: perplexityUsage,
  usageFirst: true,
};

/** The shape of a request that names none. */
export const OPENAI_SHAPE: ChatShape = openai;

/** Every shape of the chat API, by the name a request asks for it. */
export const CHAT_SHAPES: ReadonlyMap<string, ChatShape> = new Map(
  [
    openai,
    azure,
    groq,
    mistral,
    deepseek,
    cerebras,
    together,
    openrouter,
    xai,
    perplexity,
    plain,
  ].map((shape) => [shape.name, shape]),
);
