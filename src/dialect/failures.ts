/** What a provider's error amounts to, whichever wire said so. */

import { googleDetails } from './google-details.ts';
import { isObject, type JsonObject, objectIn, textIn } from './json-values.ts';

export type FailureKind =
  | 'invalid'
  | 'too_large'
  | 'context_length'
  | 'filtered'
  | 'authentication'
  | 'billing'
  | 'permission'
  | 'not_found'
  | 'model_missing'
  | 'rate_limit'
  | 'timeout'
  | 'overloaded'
  | 'server';

export interface Failure {
  readonly kind: FailureKind;
  /** The provider's own words, or ours where it had none that a program could read. */
  readonly message: string;
  /** As it was answered; null of an error inside an answer. */
  readonly status: number | null;
  /** When to try again, where the body says so (Google's does, and has no field for it). */
  readonly retryAfterSeconds?: number;
}

/** An answer that ended before its provider said that it was over. */
export const CUT: Failure = {
  kind: 'server',
  message: 'The provider ended the answer before it was complete.',
  status: null,
};

/** An answer that is none on its provider's wire. */
export const UNREADABLE: Failure = {
  kind: 'server',
  message: 'The provider sent what cannot be read as an answer.',
  status: null,
};

/** A whole answer that is larger than what is held of one. */
export const TOO_LARGE: Failure = {
  kind: 'server',
  message:
    "The answer is larger than this gateway can tell in another API than its provider's. Ask for a stream, or the provider by its own API.",
  status: null,
};

/** Longer words are cut: an error is told, not relayed. */
const MESSAGE_MAX_CHARS = 4_096;

/** In the vendors' words; agents compact their conversation on it. */
const TOO_LONG =
  /prompt is too long|context[_ ](?:length|window)|maximum context|maximum number of tokens|too many (?:input )?tokens/i;

const BY_STATUS: Readonly<Record<number, FailureKind>> = {
  401: 'authentication',
  402: 'billing',
  403: 'permission',
  404: 'not_found',
  408: 'timeout',
  413: 'too_large',
  429: 'rate_limit',
  503: 'overloaded',
  504: 'timeout',
  529: 'overloaded',
};

/** Codes and types of all vendors, tried in this order; an error inside a stream has nothing else. */
const BY_WORD: readonly (readonly [RegExp, FailureKind])[] = [
  [/context_length/, 'context_length'],
  [/insufficient_quota|billing/, 'billing'],
  [/content_filter|content_policy|moderation/, 'filtered'],
  [/rate_limit|^requests$|^tokens$|resource_exhausted/, 'rate_limit'],
  [/overloaded|unavailable/, 'overloaded'],
  [/invalid_api_key|authentication|unauthenticated/, 'authentication'],
  [/permission|forbidden/, 'permission'],
  // Whoever has the endpoint lacks the model (Anthropic has no other word for it).
  [/model_not_found|not_found_error/, 'model_missing'],
  [/not_found/, 'not_found'],
  [/timeout|deadline/, 'timeout'],
  [/too_large/, 'too_large'],
  [/^invalid_request|invalid_argument|tool_use_failed/, 'invalid'],
];

/**
 * @param status null of an error inside an answer
 * @param value the error's body, or the event that has it: `{error: {…}}`, `{type: "error", error}`, `{error: "…"}`, any of
 *   them in a list (Gemini), or none of them
 */
export function failureOf(status: number | null, value: unknown): Failure {
  const root = Array.isArray(value) ? value[0] : value;
  if (status === null && !saysError(root)) return UNREADABLE;
  const error = isObject(root) ? (objectIn(root, 'error') ?? root) : {};
  const told = isObject(root) ? (textIn(root, 'error') ?? messageOf(error)) : null;
  const message = (told ?? unread(status)).slice(0, MESSAGE_MAX_CHARS);
  const { retryAfterSeconds, isKeyInvalid } = googleDetails(error);
  // Google says 400 to a key that is none.
  const meant = isKeyInvalid && status === 400 ? 401 : status;
  const failure = { kind: kindOf(meant, error, message), message, status: meant };
  return retryAfterSeconds === null ? failure : { ...failure, retryAfterSeconds };
}

/** Else it is a success of some kind that nobody here knows. */
function saysError(root: unknown): boolean {
  if (!isObject(root)) return false;
  const { error, type, message, detail } = root;
  return (error ?? null) !== null || type === 'error' || (message ?? detail ?? null) !== null;
}

function messageOf(error: JsonObject): string | null {
  const message = textIn(error, 'message') ?? textIn(error, 'detail');
  return message === '' ? null : message;
}

function unread(status: number | null): string {
  return status === null ? UNREADABLE.message : `The provider answered with status ${status}.`;
}

function kindOf(status: number | null, error: JsonObject, message: string): FailureKind {
  const words = [error['code'], error['type'], error['status']].filter(
    (word): word is string => typeof word === 'string',
  );
  const isRequests = status === null || status === 400 || status === 413 || status === 422;
  if (isRequests && TOO_LONG.test(message)) return 'context_length';
  const told = BY_WORD.find(([word]) => words.some((text) => word.test(text.toLowerCase())))?.[1];
  const code = status ?? statusIn(error);
  // A status says more than a word, but for what two words tell apart.
  const isTold = told === 'model_missing' || told === 'billing' || told === 'filtered';
  if (code !== null && BY_STATUS[code] !== undefined && !isTold) return BY_STATUS[code];
  if (told !== undefined) return told;
  return code !== null && code >= 400 && code < 500 ? 'invalid' : 'server';
}

/** OpenRouter and Gemini put a status into `code`. */
function statusIn(error: JsonObject): number | null {
  const { code } = error;
  return typeof code === 'number' && code >= 400 && code < 600 ? code : null;
}
