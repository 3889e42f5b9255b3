/**
 * What one event of an answer's stream means before any of it reached the client: is it only an opening, is it content
 * (a second answer would from here on be visible, or billed twice), is it an error inside a 200, or an end without
 * content. One table row a wire. Only events that are held are read here, so a whole parse costs nothing that lasts.
 *
 * Sources: platform.openai.com/docs/api-reference/chat/streaming and /responses-streaming,
 * docs.anthropic.com/en/docs/build-with-claude/streaming, ai.google.dev/api/generate-content.
 */

/** Whose stream it is. `openai-text` is the legacy completions endpoint. */
export type StreamWire =
  | 'openai-chat'
  | 'openai-text'
  | 'openai-responses'
  | 'anthropic-messages'
  | 'gemini';

/** What a provider says went wrong inside a 200. */
export interface InbandError {
  /** The HTTP status that says the same; 0 when nothing tells. */
  readonly status: number;
  /** The provider's own word for it, at most ERROR_CODE_CHARACTERS; for the log and the trail. */
  readonly code: string;
}

type EventMeaning =
  /** No content yet: held. */
  | { readonly kind: 'preamble' }
  | { readonly kind: 'content' }
  | { readonly kind: 'error'; readonly error: InbandError }
  /** The provider declined to answer: a content filter, a refusal, a block. */
  | { readonly kind: 'refusal' }
  /** The stream says that it is over. */
  | { readonly kind: 'end' }
  /** No JSON where JSON has to be. */
  | { readonly kind: 'malformed' };

/** Enough to recognise a provider's word, too little to carry somebody's text. */
const ERROR_CODE_CHARACTERS = 64;

const PREAMBLE: EventMeaning = { kind: 'preamble' };
const CONTENT: EventMeaning = { kind: 'content' };
const REFUSAL: EventMeaning = { kind: 'refusal' };
const END: EventMeaning = { kind: 'end' };
const MALFORMED: EventMeaning = { kind: 'malformed' };

type Json = Readonly<Record<string, unknown>>;

/**
 * @param event the event's name; empty when it has none
 * @param data its data, lines joined by LF; empty for a comment or a bare field
 */
export function meaningOf(wire: StreamWire, event: string, data: string): EventMeaning {
  if (data === '') return PREAMBLE;
  if (data.trim() === '[DONE]') return END;
  const parsed = parsedObject(data);
  if (parsed === null) return MALFORMED;
  return READERS[wire](parsed, event);
}

/**
 * What says that nothing of an answer follows: a marker, where the wire has one. Text cannot look like it: its quotes are
 * escaped.
 */
const LAST: Readonly<Record<StreamWire, RegExp>> = {
  'openai-chat': /^\s*\[DONE\]\s*$/,
  'openai-text': /^\s*\[DONE\]\s*$/,
  'openai-responses': /"type"\s*:\s*"response\.(?:completed|incomplete|failed)"/,
  'anthropic-messages': /"type"\s*:\s*"message_stop"/,
  gemini: /"finishReason"\s*:\s*"/,
};

/** @param data an event's data. @returns whether it is an answer's last event */
export function endsAnswer(wire: StreamWire, data: string): boolean {
  return LAST[wire].test(data);
}

/**
 * What says why an answer ended, in an event before its last one: a provider that never sends the marker behind it (and
 * some never do) has told everything.
 */
const FINISH: Readonly<Record<StreamWire, RegExp>> = {
  'openai-chat': /"finish_reason"\s*:\s*"/,
  'openai-text': /"finish_reason"\s*:\s*"/,
  'openai-responses': LAST['openai-responses'],
  'anthropic-messages': /"stop_reason"\s*:\s*"/,
  gemini: LAST.gemini,
};

/** @param data an event's data. @returns whether nothing but a marker has to follow */
export function finishesAnswer(wire: StreamWire, data: string): boolean {
  return FINISH[wire].test(data);
}

const READERS: Readonly<Record<StreamWire, (body: Json, event: string) => EventMeaning>> = {
  'openai-chat': chat,
  'openai-text': text,
  'openai-responses': responses,
  'anthropic-messages': messages,
  gemini,
};

// ---- OpenAI chat -----------------------------------------------------------------------------------------------------

/** Members of a delta in which content stands; vendors' additions included. */
const DELTA_CONTENT: readonly string[] = [
  'content',
  'refusal',
  'tool_calls',
  'function_call',
  'audio',
  'reasoning_content',
  'reasoning',
  'reasoning_details',
  'images',
  'annotations',
];

function chat(body: Json, event: string): EventMeaning {
  const error = errorOf(body, event);
  if (error !== null) return error;
  const choices = list(body['choices']);
  let meaning = PREAMBLE;
  for (const choice of choices) {
    const { delta, message, finish_reason: finish } = object(choice);
    const said = object(delta ?? message);
    if (DELTA_CONTENT.some((name) => holds(said[name]))) return CONTENT;
    if (finish === 'content_filter') meaning = REFUSAL;
    // A finish without a word is an answer too: an empty one, of a model that had nothing to say.
    else if (finish !== undefined && finish !== null && meaning === PREAMBLE) meaning = CONTENT;
  }
  return meaning;
}

function text(body: Json, event: string): EventMeaning {
  const error = errorOf(body, event);
  if (error !== null) return error;
  for (const choice of list(body['choices'])) {
    const { text: said, finish_reason: finish } = object(choice);
    if (holds(said)) return CONTENT;
    if (finish === 'content_filter') return REFUSAL;
    if (finish !== undefined && finish !== null) return CONTENT;
  }
  return PREAMBLE;
}

// ---- OpenAI responses ------------------------------------------------------------------------------------------------

const RESPONSES_PREAMBLE: ReadonlySet<string> = new Set([
  'response.created',
  'response.queued',
  'response.in_progress',
  'response.content_part.added',
  'response.reasoning_summary_part.added',
  'keepalive',
]);
const EMPTY_ITEMS: ReadonlySet<string> = new Set(['message', 'reasoning']);

function responses(body: Json, event: string): EventMeaning {
  const type = typeof body['type'] === 'string' ? body['type'] : event;
  if (type === 'error') return failure(object(body['error'] ?? body));
  const response = object(body['response']);
  if (type === 'response.failed') return failure(object(response['error']));
  if (type === 'response.incomplete') {
    const { reason } = object(response['incomplete_details']);
    return reason === 'content_filter' ? REFUSAL : CONTENT;
  }
  if (type === 'response.completed') return list(response['output']).length === 0 ? END : CONTENT;
  if (RESPONSES_PREAMBLE.has(type)) return PREAMBLE;
  if (type === 'response.output_item.added') {
    const item = object(body['item']);
    return EMPTY_ITEMS.has(String(item['type'])) && !holds(item['content']) ? PREAMBLE : CONTENT;
  }
  // Everything else is a delta, or the progress of a server's tool: side effects, and fees.
  return errorOf(body, event) ?? CONTENT;
}

// ---- Anthropic messages ----------------------------------------------------------------------------------------------

/** Blocks that open empty; every other one begins with something (a call, a hidden thought, a compaction). */
const EMPTY_BLOCKS: ReadonlyMap<string, string> = new Map([
  ['text', 'text'],
  ['thinking', 'thinking'],
]);

function messages(body: Json, event: string): EventMeaning {
  const type = typeof body['type'] === 'string' ? body['type'] : event;
  switch (type) {
    case 'error':
      return failure(object(body['error']));
    case 'message_start':
    case 'ping':
    case 'content_block_stop':
      return PREAMBLE;
    case 'content_block_start': {
      const block = object(body['content_block']);
      const member = EMPTY_BLOCKS.get(String(block['type']));
      return member !== undefined && !holds(block[member]) ? PREAMBLE : CONTENT;
    }
    case 'message_delta': {
      const { stop_reason: reason } = object(body['delta']);
      if (reason === 'refusal') return REFUSAL;
      if (reason === 'model_context_window_exceeded') return contextExceeded();
      return reason === undefined || reason === null ? PREAMBLE : CONTENT;
    }
    case 'message_stop':
      return END;
    default:
      return CONTENT;
  }
}

function contextExceeded(): EventMeaning {
  return { kind: 'error', error: { status: 400, code: 'context_length_exceeded' } };
}

// ---- Gemini ----------------------------------------------------------------------------------------------------------

/** Ends of a candidate that are the provider's decision about the content. */
const GEMINI_BLOCKS: ReadonlySet<string> = new Set([
  'SAFETY',
  'RECITATION',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
]);

function gemini(body: Json, event: string): EventMeaning {
  const error = errorOf(body, event);
  if (error !== null) return error;
  const candidates = list(body['candidates']);
  for (const candidate of candidates) {
    const { content, finishReason: finish } = object(candidate);
    for (const part of list(object(content)['parts'])) {
      const { text: said, thoughtSignature: _signature, thought: _thought, ...rest } = object(part);
      if (holds(said) || Object.values(rest).some(holds)) return CONTENT;
    }
    if (typeof finish !== 'string') continue;
    if (GEMINI_BLOCKS.has(finish)) return REFUSAL;
    // A call that the model spelled wrongly, or nothing at all: of use to nobody.
    return finish === 'MALFORMED_FUNCTION_CALL' || finish === 'STOP' ? END : CONTENT;
  }
  const { blockReason } = object(body['promptFeedback']);
  return candidates.length === 0 && blockReason !== undefined ? REFUSAL : PREAMBLE;
}

// ---- errors ----------------------------------------------------------------------------------------------------------

/** What the vendors' words for an error mean as a status; what is not listed is told by `status` or `code`. */
const STATUS_OF: ReadonlyMap<string, number> = new Map([
  ['overloaded_error', 529],
  ['overloaded', 529],
  ['engine_overloaded', 503],
  ['rate_limit_error', 429],
  ['rate_limit_exceeded', 429],
  ['too_many_requests', 429],
  ['RESOURCE_EXHAUSTED', 429],
  ['insufficient_quota', 402],
  ['billing_error', 402],
  ['timeout_error', 504],
  ['DEADLINE_EXCEEDED', 504],
  ['api_error', 500],
  ['server_error', 500],
  ['internal_error', 500],
  ['internal_server_error', 500],
  ['INTERNAL', 500],
  ['UNAVAILABLE', 503],
  ['service_unavailable', 503],
  ['authentication_error', 401],
  ['invalid_api_key', 401],
  ['UNAUTHENTICATED', 401],
  ['permission_error', 403],
  ['PERMISSION_DENIED', 403],
  ['not_found_error', 404],
  ['model_not_found', 404],
  ['context_length_exceeded', 400],
  ['invalid_request_error', 400],
  ['invalid_prompt', 400],
  ['INVALID_ARGUMENT', 400],
]);

function errorOf(body: Json, event: string): EventMeaning | null {
  const { error } = body;
  if (holds(error)) return failure(typeof error === 'string' ? { message: error } : object(error));
  return event === 'error' ? failure(body) : null;
}

/** @returns what a body's root `error` says; null when there is none */
export function meaningOfError(body: Json): InbandError | null {
  const meaning = errorOf(body, '');
  return meaning?.kind === 'error' ? meaning.error : null;
}

/**
 * @param text a JSON text that stands where an error does, of any wire
 * @returns what it says went wrong; null when it holds an answer as well, or no error
 */
export function inbandErrorIn(text: string): InbandError | null {
  const body = parsedObject(text);
  if (body === null) return null;
  const { choices, content, output, candidates, type, response } = body;
  if ([choices, content, output, candidates].some((member) => list(member).length > 0)) return null;
  const own = errorOf(body, type === 'error' ? 'error' : '');
  // Responses' `response.failed`.
  const meaning = own ?? errorOf(object(response), '');
  return meaning?.kind === 'error' ? meaning.error : null;
}

/** The word that tells most comes first: a code, then a type, then Google's status. */
function failure(error: Json): EventMeaning {
  const words = [error['code'], error['type'], error['status']];
  const numeric = words.map(Number).find((n) => Number.isInteger(n) && n >= 400 && n <= 599);
  const texts = words.filter((word): word is string => typeof word === 'string' && word !== '');
  const known = texts.map((word) => STATUS_OF.get(word)).find((status) => status !== undefined);
  const code = (texts[0] ?? String(numeric ?? 'error')).replace(/[^\w.-]/g, '_');
  return {
    kind: 'error',
    error: { status: numeric ?? known ?? 0, code: code.slice(0, ERROR_CODE_CHARACTERS) },
  };
}

// ---- JSON of unknown shape -------------------------------------------------------------------------------------------

function parsedObject(data: string): Json | null {
  try {
    const value: unknown = JSON.parse(data);
    // Gemini without `alt=sse` sends an array of what else are events.
    const first: unknown = Array.isArray(value) ? value[0] : value;
    return typeof first === 'object' && first !== null ? (first as Json) : null;
  } catch {
    return null;
  }
}

function object(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Json)
    : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Whether a member says anything: neither absent, null, an empty text, list nor object. */
function holds(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return false;
  if (Array.isArray(value)) return value.length > 0;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}
