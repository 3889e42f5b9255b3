/**
 * Every answer the gateway itself can give: one closed table. A rejection names a row; nothing else in the house
 * writes a status of its own. Which statuses the stock SDKs retry (408, 409, 429, 5xx) is why the rows have theirs.
 */

export type Dialect = 'openai' | 'anthropic';
export type Fault = 'client' | 'upstream' | 'gateway';

interface Row {
  readonly status: number;
  readonly reason: string;
  readonly fault: Fault;
  /** `error.type` in each dialect, from the vendors' error pages. */
  readonly openaiType: string;
  readonly anthropicType: string;
  /** Says what to do. A detail, where the row gets one, is appended. */
  readonly message: string;
  /** The connection cannot be used again: what follows on it cannot be trusted. */
  readonly closes: boolean;
  /** What a caller reads for a code, where rows differ by nothing but their status. */
  readonly toldAs: string | null;
}

const row = (
  status: number,
  reason: string,
  fault: Fault,
  types: readonly [openai: string, anthropic: string],
  message: string,
  closes = false,
  toldAs: string | null = null,
): Row => ({
  status,
  reason,
  fault,
  openaiType: types[0],
  anthropicType: types[1],
  message,
  closes,
  toldAs,
});

const INVALID = ['invalid_request_error', 'invalid_request_error'] as const;
const AUTH = ['authentication_error', 'authentication_error'] as const;
const UNPAID = ['insufficient_quota', 'billing_error'] as const;
const NO_BUDGET = 'The budget of this gateway key is used up.';
const UNAVAILABLE = ['server_error', 'overloaded_error'] as const;

// OpenAI: platform.openai.com/docs/guides/error-codes. Anthropic: docs.anthropic.com/en/api/errors.
export const REJECTIONS = {
  bad_request: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'The request cannot be forwarded safely.',
    true,
  ),
  not_followed: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'A gateway key cannot have an answer written behind the response: nobody would meter it. Send the request without that field, and stream the answer.',
  ),
  missing_key: row(
    401,
    'Unauthorized',
    'client',
    AUTH,
    'No API key was sent. Put your provider key or gateway key where your SDK puts it (Authorization: Bearer, or x-api-key).',
  ),
  bad_key: row(
    401,
    'Unauthorized',
    'client',
    AUTH,
    'This gateway key is not valid here. Check that all of it was copied and nothing else, or ask whoever runs the gateway for a new one.',
  ),
  untranslatable: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'No target of this name can be asked that: each speaks another API than the request.',
  ),
  guard_blocked: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'A guard of this gateway does not let it pass.',
    false,
    'content_filter',
  ),
  exceeds_limit: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'The request is larger than the whole limit: it would never be let through.',
  ),
  key_expired: row(
    401,
    'Unauthorized',
    'client',
    AUTH,
    'This gateway key has expired. Ask whoever runs the gateway for a new one.',
  ),
  spend_limit: row(
    402,
    'Payment Required',
    'client',
    UNPAID,
    'The budget behind this gateway key is used up. Ask whoever runs the gateway to raise it.',
  ),
  budget_exceeded: row(402, 'Payment Required', 'client', UNPAID, NO_BUDGET),
  // `budget_status`: for those whose clients know no 402.
  budget_exceeded_403: row(403, 'Forbidden', 'client', UNPAID, NO_BUDGET, false, 'budget_exceeded'),
  budget_exceeded_429: row(
    429,
    'Too Many Requests',
    'client',
    UNPAID,
    NO_BUDGET,
    false,
    'budget_exceeded',
  ),
  cost_limit: row(
    402,
    'Payment Required',
    'client',
    UNPAID,
    'The request may cost more than it is allowed to. Ask for fewer output tokens, send less, or raise the limit.',
  ),
  unpriced_model: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'The model has no price here, and its cost is limited. Ask for one that has, or whoever runs the gateway to write its price.',
  ),
  denied: row(
    403,
    'Forbidden',
    'client',
    ['permission_error', 'permission_error'],
    'This gateway key has been cut off. Ask whoever runs the gateway why.',
  ),
  model_not_allowed: row(
    403,
    'Forbidden',
    'client',
    ['permission_error', 'permission_error'],
    'This gateway key may not ask for this model.',
  ),
  unknown_provider: row(
    404,
    'Not Found',
    'client',
    ['invalid_request_error', 'not_found_error'],
    'The first path segment names no provider.',
  ),
  wrong_base_url: row(
    404,
    'Not Found',
    'client',
    ['invalid_request_error', 'not_found_error'],
    'The base URL is not right.',
  ),
  endpoint_not_managed: row(
    404,
    'Not Found',
    'client',
    ['invalid_request_error', 'not_found_error'],
    'A gateway key does not reach this endpoint: the provider key behind it is shared. Use a provider key of your own for it.',
  ),
  unknown_model: row(
    404,
    'Not Found',
    'client',
    ['invalid_request_error', 'not_found_error'],
    'No route and no provider has this name. Write a route, provider/model, or a model of the default provider.',
  ),
  state_not_found: row(
    404,
    'Not Found',
    'client',
    ['invalid_request_error', 'not_found_error'],
    'Nothing of this id was stored with this gateway key, or it is gone. What other keys stored cannot be reached.',
  ),
  state_elsewhere: row(
    400,
    'Bad Request',
    'client',
    INVALID,
    'What is stored at one account cannot be used at another one.',
  ),
  invalid_body: row(400, 'Bad Request', 'client', INVALID, 'The request body cannot be routed.'),
  method_not_allowed: row(
    405,
    'Method Not Allowed',
    'client',
    INVALID,
    'This method cannot be used here.',
  ),
  upload_timeout: row(
    408,
    'Request Timeout',
    'client',
    ['invalid_request_error', 'timeout_error'],
    'The request body stopped before its end, and nothing more of it came. Send it again.',
    true,
  ),
  not_settled: row(
    409,
    'Conflict',
    'client',
    INVALID,
    'What this response cost is not known yet: it is being looked at now. Delete it again in a moment; one that is still being written has to be cancelled first.',
  ),
  length_required: row(
    411,
    'Length Required',
    'client',
    INVALID,
    'A POST, PUT or PATCH needs Content-Length or Transfer-Encoding: chunked.',
    true,
  ),
  body_too_large: row(
    413,
    'Content Too Large',
    'client',
    ['invalid_request_error', 'request_too_large'],
    'The request body is larger than this gateway accepts.',
  ),
  upgrade_required: row(
    426,
    'Upgrade Required',
    'client',
    INVALID,
    'No WebSocket is relayed here. Send the request over HTTP.',
  ),
  rate_limited: row(
    429,
    'Too Many Requests',
    'client',
    ['rate_limit_error', 'rate_limit_error'],
    'Too many requests. Wait for as many seconds as retry-after says.',
  ),
  loop: row(
    429,
    'Too Many Requests',
    'client',
    ['rate_limit_error', 'rate_limit_error'],
    'This gateway key sends the same request again and again.',
  ),
  internal_error: row(
    500,
    'Internal Server Error',
    'gateway',
    ['server_error', 'api_error'],
    'The gateway failed. Retry, and report the request id if it happens again.',
  ),
  pool_key_rejected: row(
    502,
    'Bad Gateway',
    'upstream',
    ['server_error', 'api_error'],
    'The provider refused the key of this gateway, not yours. Whoever runs the gateway has to look after its pool key.',
  ),
  upstream_unreachable: row(
    502,
    'Bad Gateway',
    'upstream',
    ['server_error', 'api_error'],
    'The provider could not be reached or broke the connection before it answered. Retry.',
  ),
  no_pool_key: row(
    503,
    'Service Unavailable',
    'gateway',
    UNAVAILABLE,
    'The gateway has no key for this provider. Ask whoever runs the gateway to add one to pool_keys.',
  ),
  overloaded: row(
    503,
    'Service Unavailable',
    'gateway',
    UNAVAILABLE,
    'The gateway is at its limit. Retry shortly.',
  ),
  metering_unavailable: row(
    503,
    'Service Unavailable',
    'gateway',
    UNAVAILABLE,
    'The usage of gateway keys cannot be recorded just now, so they are not served. Retry later, and tell whoever runs the gateway.',
  ),
  no_target: row(
    503,
    'Service Unavailable',
    'upstream',
    UNAVAILABLE,
    'Nobody that this could go to takes it. Retry when retry-after says; without it a retry does not help.',
  ),
  draining: row(
    503,
    'Service Unavailable',
    'gateway',
    UNAVAILABLE,
    'This gateway instance is shutting down. Retry on a new connection.',
  ),
  upstream_timeout: row(
    504,
    'Gateway Timeout',
    'upstream',
    ['server_error', 'timeout_error'],
    'The provider did not answer in time.',
  ),
} as const satisfies Record<string, Row>;

export type RejectionCode = keyof typeof REJECTIONS;
export const REJECTION_CODES = Object.keys(REJECTIONS) as readonly RejectionCode[];

/** One rejection of one request: a row, and what only this request can say. */
export interface Rejection {
  readonly code: RejectionCode;
  /** Appended to the row's message; never holds a credential. */
  readonly detail: string;
  /** Whole field lines for this row (`allow`, `retry-after`), each ended by CRLF, or empty. */
  readonly fieldLines: string;
  /** Members of the error object beside the usual ones, as JSON without its braces, or empty. */
  readonly members: string;
}

/** A rejection without detail, made once at load. */
const BARE = Object.fromEntries(
  REJECTION_CODES.map((code) => [code, { code, detail: '', fieldLines: '', members: '' }]),
) as Readonly<Record<RejectionCode, Rejection>>;

/**
 * @param detail one sentence for the caller, appended to the row's message
 * @param members of the error object, as JSON without its braces
 */
export function rejection(
  code: RejectionCode,
  detail = '',
  fieldLines = '',
  members = '',
): Rejection {
  return detail === '' && fieldLines === '' ? BARE[code] : { code, detail, fieldLines, members };
}

/** What goes on the wire: status line and fields without their last CRLF, and the body. */
interface RenderedRejection {
  readonly head: string;
  readonly body: string;
  readonly closes: boolean;
}

interface Template {
  readonly head: string;
  readonly beforeMessage: string;
  readonly afterMessage: string;
  /** Behind the error object's last member. */
  readonly end: string;
}

function template(code: RejectionCode, dialect: Dialect): Template {
  const { status, reason, openaiType, anthropicType, message, toldAs } = REJECTIONS[code];
  const text = JSON.stringify(message).slice(0, -1);
  const head = `${status} ${reason}\r\ncontent-type: application/json\r\n`;
  return dialect === 'openai'
    ? {
        head,
        beforeMessage: `{"error":{"message":${text}`,
        afterMessage: `","type":"${openaiType}","param":null,"code":"${toldAs ?? code}"`,
        end: '}}',
      }
    : {
        head,
        beforeMessage: `{"type":"error","error":{"type":"${anthropicType}","message":${text}`,
        afterMessage: '"',
        end: '},"request_id":"',
      };
}

const templates = (dialect: Dialect): Readonly<Record<RejectionCode, Template>> =>
  Object.fromEntries(REJECTION_CODES.map((code) => [code, template(code, dialect)])) as Record<
    RejectionCode,
    Template
  >;

const TEMPLATES: Readonly<Record<Dialect, Readonly<Record<RejectionCode, Template>>>> = {
  openai: templates('openai'),
  anthropic: templates('anthropic'),
};

/**
 * The answer for one request, from the pre-rendered rows.
 * @param requestId goes into `x-sluice-request-id`, and into Anthropic's body
 */
export function renderRejection(
  rejected: Rejection,
  dialect: Dialect,
  requestId: string,
): RenderedRejection {
  const { head, beforeMessage, afterMessage, end } = TEMPLATES[dialect][rejected.code];
  const detail = rejected.detail === '' ? '' : ` ${JSON.stringify(rejected.detail).slice(1, -1)}`;
  const members = rejected.members === '' ? '' : `,${rejected.members}`;
  const rest = dialect === 'anthropic' ? `${end}${requestId}"}` : end;
  return {
    head: `${head}${rejected.fieldLines}x-sluice-request-id: ${requestId}`,
    body: `${beforeMessage}${detail}${afterMessage}${members}${rest}`,
    closes: REJECTIONS[rejected.code].closes,
  };
}

/** What a caller reads who has a part of an answer already: that it is one, and by whom it was cut. */
const CUT_BY: Readonly<Record<Fault, string>> = {
  client: 'The answer was cut in the middle: the gateway gave the request up.',
  upstream: 'The answer was cut in the middle: the provider broke the connection. It is not whole.',
  gateway: 'The answer was cut in the middle: the gateway failed. It is not whole.',
};
const CUT_BY_SILENCE =
  'The answer was cut in the middle: the provider stopped sending. It is not whole.';

/**
 * The event that goes before a cut on an event stream, in the shape that makes the dialect's stock SDK raise.
 * OpenAI SDKs throw on `data: {"error":…}`; Anthropic's on `event: error`. On the Responses wire, whose events have types and
 * numbers, it has both beside that (API reference, "Streaming events": `error`).
 * @param detail a sentence for the caller, or empty
 * @param members of the error object, as JSON without its braces
 * @param sequence the event's number on the Responses wire; null on every other one
 */
export function renderErrorEvent(
  code: RejectionCode,
  detail: string,
  dialect: Dialect,
  requestId: string,
  members = '',
  sequence: number | null = null,
): Buffer {
  const { fault, openaiType, anthropicType, toldAs } = REJECTIONS[code];
  const what = code === 'upstream_timeout' ? CUT_BY_SILENCE : CUT_BY[fault];
  const message = detail === '' ? what : `${what} ${detail}`;
  const more: object = members === '' ? {} : JSON.parse(`{${members}}`);
  if (dialect === 'anthropic')
    return namedError({
      type: 'error',
      error: { type: anthropicType, message, ...more },
      request_id: requestId,
    });
  const error = { message, type: openaiType, param: null, code: toldAs ?? code, ...more };
  if (sequence === null) return Buffer.from(`data: ${JSON.stringify({ error })}\n\n`);
  return namedError({
    type: 'error',
    code: error.code,
    message,
    param: null,
    error,
    sequence_number: sequence,
  });
}

function namedError(body: object): Buffer {
  return Buffer.from(`event: error\ndata: ${JSON.stringify(body)}\n\n`);
}
