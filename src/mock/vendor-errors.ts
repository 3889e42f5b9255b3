import { GOOGLE_KEY_INVALID, googleError } from './google-errors.ts';
import { type BodyReply, dataEvent, namedEvent } from './reply.ts';

/** Whose error shape a caller reads: the dialect, and within the OpenAI dialect the vendor. */
export interface Voice {
  readonly dialect: 'openai' | 'anthropic';
  readonly vendor: string;
}

interface ErrorKind {
  readonly anthropic: string;
  readonly openai: string;
  readonly code: string | null;
}

const ERROR_KINDS: ReadonlyMap<number, ErrorKind> = new Map([
  [400, { anthropic: 'invalid_request_error', openai: 'invalid_request_error', code: null }],
  [
    401,
    { anthropic: 'authentication_error', openai: 'invalid_request_error', code: 'invalid_api_key' },
  ],
  [402, { anthropic: 'billing_error', openai: 'insufficient_quota', code: 'insufficient_quota' }],
  [403, { anthropic: 'permission_error', openai: 'invalid_request_error', code: null }],
  [404, { anthropic: 'not_found_error', openai: 'invalid_request_error', code: null }],
  [405, { anthropic: 'invalid_request_error', openai: 'invalid_request_error', code: null }],
  [413, { anthropic: 'request_too_large', openai: 'invalid_request_error', code: null }],
  [429, { anthropic: 'rate_limit_error', openai: 'requests', code: 'rate_limit_exceeded' }],
  [503, { anthropic: 'overloaded_error', openai: 'server_error', code: 'service_unavailable' }],
  [529, { anthropic: 'overloaded_error', openai: 'server_error', code: null }],
]);
const CLIENT_FAULT: ErrorKind = {
  anthropic: 'invalid_request_error',
  openai: 'invalid_request_error',
  code: null,
};
const SERVER_FAULT: ErrorKind = { anthropic: 'api_error', openai: 'server_error', code: null };

function kindOf(status: number): ErrorKind {
  return ERROR_KINDS.get(status) ?? (status < 500 ? CLIENT_FAULT : SERVER_FAULT);
}

/** How a vendor of the OpenAI dialect spells an error where it departs from OpenAI. */
type Spelling = (message: string, status: number, kind: ErrorKind, waitS: number | null) => object;

const openai: Spelling = (message, _status, kind) => ({
  error: { message, type: kind.openai, param: null, code: kind.code },
});

/** Seen in recorded error bodies; vendors without a row speak OpenAI's. */
const SPELLINGS: ReadonlyMap<string, Spelling> = new Map<string, Spelling>([
  ['azure', (message, status) => ({ error: { code: String(status), message } })],
  [
    'groq',
    (message, _status, kind) => ({
      error: { message, type: kind.openai, ...(kind.code === null ? {} : { code: kind.code }) },
    }),
  ],
  ['openrouter', (message, status) => ({ error: { message, code: status }, user_id: 'user_mock' })],
  [
    'perplexity',
    (message, status, kind) => ({ error: { message, type: kind.openai, code: status } }),
  ],
  // Its own wire, as the next one; on OpenAI's they speak like OpenAI.
  ['gemini', (message, status, _kind, waitS) => googleError(message, status, waitS)],
  ['ollama', (message) => ({ error: message })],
  ['xai', (message, _status, kind) => ({ code: kind.anthropic, error: message })],
]);

/** The JSON text of an error in the caller's dialect and its vendor's spelling. */
function vendorError(
  voice: Voice,
  status: number,
  message: string,
  kind: ErrorKind = kindOf(status),
  waitS: number | null = null,
): string {
  if (voice.dialect === 'anthropic') {
    const error = { type: kind.anthropic, message };
    return JSON.stringify({ type: 'error', error, request_id: 'req_mock' });
  }
  return JSON.stringify((SPELLINGS.get(voice.vendor) ?? openai)(message, status, kind, waitS));
}

/** @param waitS seconds behind which it may be tried again; null: nothing is said of that */
export function errorReply(
  voice: Voice,
  status: number,
  message: string,
  waitS: number | null = null,
): BodyReply {
  const body = vendorError(voice, status, message, kindOf(status), waitS);
  // Google says it in the body alone.
  const isTold = waitS !== null && voice.vendor !== 'gemini';
  return refusal(status, body, isTold ? ['retry-after', String(waitS)] : []);
}

function refusal(status: number, body: string, fields: readonly string[]): BodyReply {
  return { kind: 'body', status, contentType: 'application/json', body, fields, tokens: null };
}

/** What a vendor says to a key that it does not know: clients recognise these very words. */
export function wrongKey(voice: Voice): BodyReply {
  const anthropic = voice.dialect === 'anthropic';
  if (voice.vendor === 'gemini') return errorReply(voice, 400, GOOGLE_KEY_INVALID);
  return errorReply(voice, 401, anthropic ? 'invalid x-api-key' : 'Incorrect API key provided.');
}

/** What a vendor says to a model that it does not have. */
export function unknownModel(voice: Voice, model: string): BodyReply {
  const kind = { ...kindOf(404), code: 'model_not_found' };
  return refusal(404, vendorError(voice, 404, unknownWords(voice, model), kind), []);
}

function unknownWords({ dialect, vendor }: Voice, model: string): string {
  if (dialect === 'anthropic') return `model: ${model}`;
  if (vendor === 'gemini') return `models/${model} is not found for API version v1beta`;
  if (vendor === 'ollama') return `model '${model}' not found`;
  return `The model \`${model}\` does not exist.`;
}

/** What a vendor says to a prompt that does not fit. */
export function contextLength(voice: Voice): BodyReply {
  const message =
    voice.dialect === 'anthropic'
      ? 'prompt is too long: 208310 tokens > 200000 maximum'
      : "This model's maximum context length is 128000 tokens.";
  const kind = { ...kindOf(400), code: 'context_length_exceeded' };
  return refusal(400, vendorError(voice, 400, message, kind), []);
}

/** What a vendor says to a prompt that its filter refused. */
export function contentFilter(voice: Voice): BodyReply {
  const message = 'Your request was rejected by our safety system (content_policy_violation).';
  const kind = { ...kindOf(400), code: 'content_policy_violation' };
  return refusal(400, vendorError(voice, 400, message, kind), []);
}

const STREAM_FAILURE = 'The mock failed in the middle of the stream, as it was asked to';

/** The body of a 200 that holds nothing but an error. */
export function failureBody(voice: Voice): string {
  return vendorError(voice, voice.dialect === 'anthropic' ? 529 : 502, STREAM_FAILURE);
}

/** The event by which a vendor reports an error within a 200 stream. */
export function streamFailure(voice: Voice): string {
  const json = failureBody(voice);
  if (voice.vendor === 'ollama') return `${json}\n`;
  if (voice.vendor === 'gemini') return dataEvent(json, '\r\n');
  const named = voice.dialect === 'anthropic' || voice.vendor === 'groq';
  return named ? namedEvent('error', json) : dataEvent(json);
}
