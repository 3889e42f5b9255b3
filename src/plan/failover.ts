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
  /**
   * Who has a part in it. `key`: the pool key, not the model, is in the way, it rests, and another key of the provider may
   * do. `provider`: the model has none (connect, TLS, names). `node`: the gateway itself; the provider was not reached.
   */
  readonly blames: 'key' | 'target' | 'provider' | 'request' | 'node';
  /** One more try in place is worth it: a single 5xx, a reset. */
  readonly again: boolean;
}

/** Every failure by its name; ARCHITECTURE.md prints it. */
export const FAILURES = {
  rate_limit: { reason: 'rate_limit', blames: 'key', again: false },
  key_refused: { reason: 'auth', blames: 'key', again: false },
  server_error: { reason: 'server_error', blames: 'target', again: true },
  unreadable: { reason: 'server_error', blames: 'target', again: false },
  timeout: { reason: 'timeout', blames: 'target', again: false },
  unreachable: { reason: 'server_error', blames: 'provider', again: false },
  unreachable_in_time: { reason: 'timeout', blames: 'provider', again: false },
  node_at_cap: { reason: 'server_error', blames: 'node', again: false },
  model_missing: { reason: 'model_missing', blames: 'target', again: false },
  context_length: { reason: 'context_length', blames: 'request', again: false },
  refusal: { reason: 'refusal', blames: 'request', again: false },
} as const satisfies Readonly<Record<string, Failed>>;

/** Statuses of servers and of what stands before them; 520 to 524 are Cloudflare's, 529 is Anthropic's overload. */
const SERVER_STATUSES: ReadonlySet<number> = new Set([
  425, 500, 502, 503, 520, 521, 522, 523, 524, 529,
]);

/** Error bodies that say that money, not pace, has run out. */
const BILLING =
  /insufficient_quota|billing_error|credit balance is too low|exceeded your current quota|payment required/i;
/**
 * The same where a caller can make a provider quote its own words ("Invalid value: 'insufficient_quota'"): a key would rest
 * for everybody. So only what stands at the place of a code, or begins the message; quotes in a quoted text are escaped.
 */
const BILLING_SAID =
  /"(?:code|type|status)"\s*:\s*"(?:insufficient_quota|billing_error)"|"message"\s*:\s*"(?:your credit balance is too low|you exceeded your current quota|payment required)/i;
const CONTEXT =
  /context_length_exceeded|context length|context window|prompt is too long|maximum context|too many (?:input )?tokens|input is too long|exceeds the maximum number of tokens/i;
const FILTER =
  /content_filter|content management policy|content_policy|ResponsibleAIPolicy|data_inspection_failed|safety system|requires moderation|input was flagged|flagged_input/i;
const MISSING =
  /model_not_found|does not exist|not_found_error|DeploymentNotFound|is not found for API version|no such model/i;

/** The same of a model: it would count against the target. */
const MISSING_SAID =
  /"(?:code|type|status)"\s*:\s*"(?:model_not_found|not_found_error|DeploymentNotFound)"|"message"\s*:\s*"(?:the )?(?:requested )?(?:model\b|no such model)[^"]*(?:does not exist|not found|is not found)/i;

/**
 * @param status the provider's status
 * @param body the start of its body, as text
 * @returns null for what is the caller's own to hear: success, and every other 4xx
 */
export function failureOfStatus(status: number, body: string): Failed | null {
  if (status < 400) return null;
  if (status === 408 || status === 504) return FAILURES.timeout;
  if (status === 429) return BILLING.test(body) ? FAILURES.key_refused : FAILURES.rate_limit;
  if (status === 401 || status === 402 || status === 403) {
    return status === 403 && isOfRequest(body) ? FAILURES.refusal : FAILURES.key_refused;
  }
  if (SERVER_STATUSES.has(status)) return FAILURES.server_error;
  if (status === 404) return MISSING.test(body) || body === '' ? FAILURES.model_missing : null;
  if (status === 400 || status === 413 || status === 422) {
    if (BILLING_SAID.test(body)) return FAILURES.key_refused;
    if (CONTEXT.test(body)) return FAILURES.context_length;
    if (FILTER.test(body)) return FAILURES.refusal;
    if (MISSING_SAID.test(body)) return FAILURES.model_missing;
  }
  return null;
}

/** @returns whether the body of a refusal speaks of what the caller wrote, not of a key */
export function isOfRequest(body: string): boolean {
  return FILTER.test(body);
}

/** Of an error inside a 200, how much is looked through for whom it means, in characters. */
const INBAND_READ_CHARACTERS = 16_384;

/**
 * @param status what an error inside a 200 amounts to; 0 when nothing tells, which is a server's fault
 * @param text what the error says: of a 403, whether the key is meant or what the caller wrote
 */
export function failureOfInband(status: number, code: string, text = ''): Failed | null {
  if (status === 403 && isOfRequest(text.slice(0, INBAND_READ_CHARACTERS))) return FAILURES.refusal;
  return status === 0 ? FAILURES.server_error : failureOfStatus(status, `"code":"${code}"`);
}
