/**
 * Which failure goes where: one table. `key` is another pool key of the same provider, `target` the next target of the
 * plan, `stop` the caller's own: told as it is. What a route's `fallback_on` does not name is `stop`.
 */

/** Words of `fallback_on`. The first four are on by default. */
export const FAILOVER_REASONS = [
  'rate_limit',
  'timeout',
  'server_error',
  'auth',
  'model_missing',
  'context_length',
  'refusal',
] as const;

export type FailoverReason = (typeof FAILOVER_REASONS)[number];

export const FAILOVER_DEFAULT: readonly FailoverReason[] = [
  'rate_limit',
  'timeout',
  'server_error',
  'auth',
];

/** What failed, as far as one attempt can tell. */
export interface Failed {
  readonly reason: FailoverReason;
  /** The pool key, not the model, is what is in the way: another key of the provider may do. */
  readonly ofKey: boolean;
  /** The model has no part in it (connect, TLS, names): counts against the provider as a whole. */
  readonly ofProvider: boolean;
  /** One more try in place is worth it: a single 5xx, a reset. */
  readonly again: boolean;
  /** The gateway itself was in the way: counts against nobody. */
  readonly ofNode: boolean;
}

const RATE_LIMIT: Failed = failed('rate_limit', { ofKey: true });
export const KEY_REFUSED: Failed = failed('auth', { ofKey: true });
const SERVER_ERROR: Failed = failed('server_error', { again: true });
const TIMEOUT: Failed = failed('timeout', {});
const MODEL_MISSING: Failed = failed('model_missing', {});
const CONTEXT_LENGTH: Failed = failed('context_length', {});
export const REFUSED: Failed = failed('refusal', {});
export const UNREACHABLE: Failed = failed('server_error', { ofProvider: true });
export const UNREACHABLE_IN_TIME: Failed = failed('timeout', { ofProvider: true });
/** Silence, pings or openings only, for longer than the route allows. */
export const NO_CONTENT_IN_TIME: Failed = TIMEOUT;
/** As much is under way with the provider as this node allows. */
export const NODE_AT_CAP: Failed = failed('server_error', { ofNode: true });
/** A reset, a cut, a broken framing, a stream that ends without content or whose first events are none. */
export const BROKEN: Failed = SERVER_ERROR;

/** Statuses of servers and of what stands before them; 520 to 524 are Cloudflare's, 529 is Anthropic's overload. */
const SERVER_STATUSES: ReadonlySet<number> = new Set([
  425, 500, 502, 503, 520, 521, 522, 523, 524, 529,
]);

/** Error bodies that say that money, not pace, has run out. */
const BILLING =
  /insufficient_quota|billing_error|credit balance is too low|exceeded your current quota|payment required/i;
const CONTEXT =
  /context_length_exceeded|context length|context window|prompt is too long|maximum context|too many (?:input )?tokens|input is too long|exceeds the maximum number of tokens/i;
const FILTER =
  /content_filter|content management policy|content_policy|ResponsibleAIPolicy|data_inspection_failed|safety system/i;
const MISSING =
  /model_not_found|does not exist|not_found_error|DeploymentNotFound|is not found for API version|no such model/i;

/**
 * @param status the provider's status
 * @param body the start of its body, as text
 * @returns null for what is the caller's own to hear: success, and every other 4xx
 */
export function failureOfStatus(status: number, body: string): Failed | null {
  if (status < 400) return null;
  if (status === 408 || status === 504) return TIMEOUT;
  if (status === 429) return BILLING.test(body) ? KEY_REFUSED : RATE_LIMIT;
  if (status === 401 || status === 402 || status === 403) {
    return status === 403 && FILTER.test(body) ? REFUSED : KEY_REFUSED;
  }
  if (SERVER_STATUSES.has(status)) return SERVER_ERROR;
  if (status === 404) return MISSING.test(body) || body === '' ? MODEL_MISSING : null;
  if (status === 400 || status === 413 || status === 422) {
    if (BILLING.test(body)) return KEY_REFUSED;
    if (CONTEXT.test(body)) return CONTEXT_LENGTH;
    if (FILTER.test(body)) return REFUSED;
    if (/model/i.test(body) && MISSING.test(body)) return MODEL_MISSING;
  }
  return null;
}

/** @param status what an error inside a 200 amounts to; 0 when nothing tells, which is a server's fault */
export function failureOfInband(status: number, code: string): Failed | null {
  return status === 0 ? SERVER_ERROR : failureOfStatus(status, code);
}

function failed(
  reason: FailoverReason,
  {
    ofKey = false,
    ofProvider = false,
    again = false,
    ofNode = false,
  }: Partial<Omit<Failed, 'reason'>>,
): Failed {
  return { reason, ofKey, ofProvider, again, ofNode };
}
