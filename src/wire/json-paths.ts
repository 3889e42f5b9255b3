/** One value of interest in a JSON text: the member `name` of the object at the path `parent`. */
interface JsonPathRow {
  readonly parent: number;
  readonly name: string;
}

/**
 * Paths that the scanner can report, by number. Requests: model, stream, stream_options (OpenAI chat completions,
 * https://platform.openai.com/docs/api-reference/chat/create). Responses: where providers put model and usage, one row
 * for each place that recorded traffic shows (root; Anthropic's `message`; `response` of the Responses API; Groq's
 * `x_groq`; Cohere's `meta` and `delta`; Gemini's own names).
 */
export const JSON_PATH = {
  root: 0,
  model: 1,
  stream: 2,
  streamOptions: 3,
  includeUsage: 4,
  usage: 5,
  usageMetadata: 6,
  modelVersion: 7,
  id: 8,
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
} as const;

const { root, streamOptions, message, response, xGroq, delta, interaction } = JSON_PATH;

/** The row of each path, by its number. Names are ASCII of at most 30 bytes; at most 31 rows fit in the module. */
export const JSON_PATH_ROWS: readonly JsonPathRow[] = [
  { parent: root, name: '' },
  { parent: root, name: 'model' },
  { parent: root, name: 'stream' },
  { parent: root, name: 'stream_options' },
  { parent: streamOptions, name: 'include_usage' },
  { parent: root, name: 'usage' },
  { parent: root, name: 'usageMetadata' },
  { parent: root, name: 'modelVersion' },
  { parent: root, name: 'id' },
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
];

/** The path of the object that holds the value at `path`. */
export function parentOf(path: number): number {
  return JSON_PATH_ROWS[path]?.parent ?? root;
}

/** The bits of `paths`, as `JsonScanner.scan` takes them. */
export function pathBits(...paths: readonly number[]): number {
  let bits = 0;
  for (const path of paths) bits |= 1 << path;
  return bits;
}
