/** One value of interest in a JSON text: the member `name` of the object at the path `parent`. */
interface JsonPathRow {
  readonly parent: number;
  readonly name: string;
}

/**
 * Paths that one scan can watch, by their number. Names are ASCII of at most 30 bytes; the module has room for 8 tables of
 * at most 31 rows, because a scan names its paths by a bit each.
 */
export interface PathTable {
  /** Which of the module's tables it is. */
  readonly number: number;
  readonly rows: readonly JsonPathRow[];
}

/**
 * Of a request: model, stream, stream_options (OpenAI chat completions,
 * https://platform.openai.com/docs/api-reference/chat/create), and what would go on behind the answer: `background` (OpenAI
 * Responses), `deferred` (xAI chat, https://docs.x.ai/docs/guides/deferred-chat-completions); whether the answer is stored (`store`, OpenAI Responses);
 * and what its price depends on beside its size: how long the answer may be, in each vendor's spelling, how many there are, and the
 * tier (Gemini: https://ai.google.dev/api/generate-content; Ollama: https://github.com/ollama/ollama/blob/main/docs/api.md).
 */
export const REQUEST_PATH = {
  root: 0,
  model: 1,
  stream: 2,
  streamOptions: 3,
  includeUsage: 4,
  background: 5,
  deferred: 6,
  store: 7,
  maxTokens: 8,
  maxCompletionTokens: 9,
  maxOutputTokens: 10,
  n: 11,
  bestOf: 12,
  serviceTier: 13,
  speed: 14,
  inferenceGeo: 15,
  generationConfig: 16,
  generationMaxOutputTokens: 17,
  generationCandidateCount: 18,
  generationConfigSnake: 19,
  generationMaxOutputTokensSnake: 20,
  generationCandidateCountSnake: 21,
  options: 22,
  optionsNumPredict: 23,
} as const;

/**
 * Of a response: where providers put model and usage, one row for each place that recorded traffic shows (root; Anthropic's
 * `message`; `response` of the Responses API; Groq's `x_groq`; Cohere's `meta` and `delta`; Gemini's own names; Ollama's
 * counters at the root, https://github.com/ollama/ollama/blob/main/docs/api.md; Moonshot's in `choices`), and what is priced
 * beside tokens: the tier that served, and the uses of tools.
 */
export const RESPONSE_PATH = {
  root: 0,
  model: 1,
  serviceTier: 2,
  toolUsage: 3,
  choices: 4,
  usage: 5,
  usageMetadata: 6,
  modelVersion: 7,
  promptEvalCount: 8,
  error: 9,
  message: 10,
  messageModel: 11,
  messageUsage: 12,
  response: 13,
  responseModel: 14,
  responseUsage: 15,
  xGroq: 16,
  xGroqUsage: 17,
  type: 18,
  responseError: 19,
  meta: 20,
  responseMeta: 21,
  delta: 22,
  deltaUsage: 23,
  interaction: 24,
  interactionUsage: 25,
  evalCount: 26,
  responseServiceTier: 27,
  responseToolUsage: 28,
  object: 29,
} as const;

/**
 * Of a request that several targets or keys could answer: what names its conversation (OpenAI `prompt_cache_key`,
 * https://platform.openai.com/docs/guides/prompt-caching; Anthropic `metadata.user_id`,
 * https://docs.anthropic.com/en/api/messages), and where its parts stand.
 */
export const OUTLINE_PATH = {
  root: 0,
  promptCacheKey: 1,
  sessionId: 2,
  conversation: 3,
  conversationId: 4,
  metadata: 5,
  metadataSessionId: 6,
  metadataUserId: 7,
  system: 8,
  instructions: 9,
  tools: 10,
  messages: 11,
  input: 12,
  maxTokens: 13,
  maxCompletionTokens: 14,
  maxOutputTokens: 15,
  n: 16,
  audio: 17,
  responseFormat: 18,
  modalities: 19,
  logprobs: 20,
  topLogprobs: 21,
  outputFormat: 22,
  outputConfig: 23,
  thinking: 24,
} as const;

/**
 * Of a request whose answer may be told again: what makes a model say the same twice, in each vendor's spelling, and what lets an
 * answer depend on more than its request (OpenAI's stored responses, conversations and prompts, Anthropic's containers, searches).
 */
export const REPEAT_PATH = {
  root: 0,
  temperature: 1,
  seed: 2,
  n: 3,
  store: 4,
  background: 5,
  deferred: 6,
  previousResponseId: 7,
  conversation: 8,
  container: 9,
  prompt: 10,
  webSearchOptions: 11,
  plugins: 12,
  mcpServers: 13,
  generationConfig: 14,
  generationTemperature: 15,
  generationSeed: 16,
  generationCandidateCount: 17,
  generationConfigSnake: 18,
  generationTemperatureSnake: 19,
  generationSeedSnake: 20,
  generationCandidateCountSnake: 21,
  options: 22,
  optionsTemperature: 23,
  optionsSeed: 24,
  cachedContent: 25,
  model: 26,
  cachedContentSnake: 27,
  previousInteractionId: 28,
} as const;

const { streamOptions, generationConfig, generationConfigSnake, options } = REQUEST_PATH;
const { conversation, metadata } = OUTLINE_PATH;
const { root, message, response, xGroq, delta, interaction } = RESPONSE_PATH;

export const REQUEST_PATHS: PathTable = {
  number: 0,
  rows: [
    { parent: root, name: '' },
    { parent: root, name: 'model' },
    { parent: root, name: 'stream' },
    { parent: root, name: 'stream_options' },
    { parent: streamOptions, name: 'include_usage' },
    { parent: root, name: 'background' },
    { parent: root, name: 'deferred' },
    { parent: root, name: 'store' },
    { parent: root, name: 'max_tokens' },
    { parent: root, name: 'max_completion_tokens' },
    { parent: root, name: 'max_output_tokens' },
    { parent: root, name: 'n' },
    { parent: root, name: 'best_of' },
    { parent: root, name: 'service_tier' },
    { parent: root, name: 'speed' },
    { parent: root, name: 'inference_geo' },
    { parent: root, name: 'generationConfig' },
    { parent: generationConfig, name: 'maxOutputTokens' },
    { parent: generationConfig, name: 'candidateCount' },
    { parent: root, name: 'generation_config' },
    { parent: generationConfigSnake, name: 'max_output_tokens' },
    { parent: generationConfigSnake, name: 'candidate_count' },
    { parent: root, name: 'options' },
    { parent: options, name: 'num_predict' },
  ],
};

export const RESPONSE_PATHS: PathTable = {
  number: 1,
  rows: [
    { parent: root, name: '' },
    { parent: root, name: 'model' },
    { parent: root, name: 'service_tier' },
    { parent: root, name: 'tool_usage' },
    { parent: root, name: 'choices' },
    { parent: root, name: 'usage' },
    { parent: root, name: 'usageMetadata' },
    { parent: root, name: 'modelVersion' },
    { parent: root, name: 'prompt_eval_count' },
    { parent: root, name: 'error' },
    { parent: root, name: 'message' },
    { parent: message, name: 'model' },
    { parent: message, name: 'usage' },
    { parent: root, name: 'response' },
    { parent: response, name: 'model' },
    { parent: response, name: 'usage' },
    { parent: root, name: 'x_groq' },
    { parent: xGroq, name: 'usage' },
    { parent: root, name: 'type' },
    { parent: response, name: 'error' },
    { parent: root, name: 'meta' },
    { parent: response, name: 'meta' },
    { parent: root, name: 'delta' },
    { parent: delta, name: 'usage' },
    { parent: root, name: 'interaction' },
    { parent: interaction, name: 'usage' },
    { parent: root, name: 'eval_count' },
    { parent: response, name: 'service_tier' },
    { parent: response, name: 'tool_usage' },
    { parent: root, name: 'object' },
  ],
};

export const OUTLINE_PATHS: PathTable = {
  number: 2,
  rows: [
    { parent: root, name: '' },
    { parent: root, name: 'prompt_cache_key' },
    { parent: root, name: 'session_id' },
    { parent: root, name: 'conversation' },
    { parent: conversation, name: 'id' },
    { parent: root, name: 'metadata' },
    { parent: metadata, name: 'session_id' },
    { parent: metadata, name: 'user_id' },
    { parent: root, name: 'system' },
    { parent: root, name: 'instructions' },
    { parent: root, name: 'tools' },
    { parent: root, name: 'messages' },
    { parent: root, name: 'input' },
    { parent: root, name: 'max_tokens' },
    { parent: root, name: 'max_completion_tokens' },
    { parent: root, name: 'max_output_tokens' },
    { parent: root, name: 'n' },
    { parent: root, name: 'audio' },
    { parent: root, name: 'response_format' },
    { parent: root, name: 'modalities' },
    { parent: root, name: 'logprobs' },
    { parent: root, name: 'top_logprobs' },
    { parent: root, name: 'output_format' },
    { parent: root, name: 'output_config' },
    { parent: root, name: 'thinking' },
  ],
};

export const REPEAT_PATHS: PathTable = {
  number: 3,
  rows: [
    { parent: root, name: '' },
    { parent: root, name: 'temperature' },
    { parent: root, name: 'seed' },
    { parent: root, name: 'n' },
    { parent: root, name: 'store' },
    { parent: root, name: 'background' },
    { parent: root, name: 'deferred' },
    { parent: root, name: 'previous_response_id' },
    { parent: root, name: 'conversation' },
    { parent: root, name: 'container' },
    { parent: root, name: 'prompt' },
    { parent: root, name: 'web_search_options' },
    { parent: root, name: 'plugins' },
    { parent: root, name: 'mcp_servers' },
    { parent: root, name: 'generationConfig' },
    { parent: REPEAT_PATH.generationConfig, name: 'temperature' },
    { parent: REPEAT_PATH.generationConfig, name: 'seed' },
    { parent: REPEAT_PATH.generationConfig, name: 'candidateCount' },
    { parent: root, name: 'generation_config' },
    { parent: REPEAT_PATH.generationConfigSnake, name: 'temperature' },
    { parent: REPEAT_PATH.generationConfigSnake, name: 'seed' },
    { parent: REPEAT_PATH.generationConfigSnake, name: 'candidate_count' },
    { parent: root, name: 'options' },
    { parent: REPEAT_PATH.options, name: 'temperature' },
    { parent: REPEAT_PATH.options, name: 'seed' },
    { parent: root, name: 'cachedContent' },
    { parent: root, name: 'model' },
    { parent: root, name: 'cached_content' },
    { parent: root, name: 'previous_interaction_id' },
  ],
};

export const PATH_TABLES: readonly PathTable[] = [
  REQUEST_PATHS,
  RESPONSE_PATHS,
  OUTLINE_PATHS,
  REPEAT_PATHS,
];

/** The path of the object that holds the value at `path`. */
export function parentOf(table: PathTable, path: number): number {
  return table.rows[path]?.parent ?? root;
}

/** The bits of `paths` of one table, as `JsonScanner.scan` takes them. */
export function pathBits(...paths: readonly number[]): number {
  let bits = 0;
  for (const path of paths) bits |= 1 << path;
  return bits;
}
