import type { TargetWire } from '../../src/dialect/wires.ts';
import { type Dialect, REJECTIONS, type RejectionCode } from '../../src/rejection.ts';

/** Wires of the providers that routes lead to. */
export const WIRES = [
  'openai-chat',
  'anthropic-messages',
  'gemini',
  'ollama',
] as const satisfies readonly TargetWire[];
export type Wire = (typeof WIRES)[number];

/**
 * Whose key a call is made with: the caller's own, or a virtual key of the gateway; or with a virtual key on a route, which
 * leads to a provider of another wire than the client's.
 */
export type Lane = (typeof LANES)[number] | Wire;
export const LANES = ['byo', 'managed'] as const;

/** Whether a lane leads to the provider that the client is made for. */
export function isOwn(lane: Lane): lane is (typeof LANES)[number] {
  return lane === 'byo' || lane === 'managed';
}

/** One thing that a client is asked to do and that works. */
export interface Work {
  readonly says: string;
  /** Facts of answers that billed nothing: an error, a token count. */
  readonly unbilled: number;
  /** Facts of streams that were cut. */
  readonly estimated: number;
}

/** What the mock does to work that needs it, by its model's name. */
export const FAULTS: ReadonlyMap<string, string> = new Map([
  ['retry', 'fault-429-once'],
  ['cut-stream', 'fault-cut-6'],
]);

const work = (says: string, unbilled = 0, estimated = 0): Work => ({ says, unbilled, estimated });

/** What clients are asked to do, by the name that their programs know. */
export const WORKS = {
  chat: work('a chat answers, with its usage'),
  stream: work('a stream is the same text in pieces, with the usage asked for'),
  'plain-stream': work('a stream whose usage was not asked for tells none'),
  tools: work('a tool is called, and its result is answered'),
  parallel: work('two tools are called at once in a stream, and both results are answered'),
  reasoning: work('what was thought is shown, and comes back with the result of a tool'),
  storeless: work('a tool is called by a client that says that nothing is kept'),
  structured: work('structured output fits the schema'),
  vision: work('a picture arrives'),
  embeddings: work('embeddings come as floats'),
  responses: work('the Responses API answers, whole and streamed'),
  count: work('tokens of a prompt are counted', 1),
  retry: work('a 429 is retried as retry-after says', 1),
  'cut-stream': work('a stream that is cut raises', 0, 1),
} as const satisfies Record<string, Work>;

export type WorkName = keyof typeof WORKS;

/** One thing that a client is refused, with the status and code that its error must carry. */
export interface Failure {
  readonly name: string;
  readonly says: string;
  readonly lanes: readonly Lane[];
  readonly status: Readonly<Record<Dialect, number>>;
  /** The gateway's own row, or null where the provider refuses. */
  readonly rejection: RejectionCode | null;
  /** The provider's `error.code` (OpenAI) and `error.type` (Anthropic). */
  readonly told: Readonly<Record<Dialect, string | null>>;
  /** What the mock does to the call, by its model's name. */
  readonly fault: string | null;
  /** Calls until it must have come. */
  readonly attempts: number;
  /** Whether a provider was asked: that leaves a fact. */
  readonly isAsked: boolean;
  /** Asked for with the retries that the client has by itself: it must not make any. */
  readonly insists: boolean;
}

type Rest = Partial<Pick<Failure, 'lanes' | 'attempts' | 'insists' | 'isAsked'>>;

const refusal = (name: string, says: string, code: RejectionCode, rest: Rest = {}): Failure => ({
  lanes: LANES,
  attempts: 1,
  insists: false,
  isAsked: false,
  ...rest,
  name,
  says,
  status: { openai: REJECTIONS[code].status, anthropic: REJECTIONS[code].status },
  rejection: code,
  told: { openai: code, anthropic: REJECTIONS[code].anthropicType },
  fault: null,
});

const providerError = (
  name: string,
  code: number,
  fault: string | null,
  told: Failure['told'],
  lanes: readonly Lane[] = LANES,
): Failure => {
  const says = `a ${code} of the provider keeps its class`;
  // Whoever speaks OpenAI's wire knows no 529.
  const status = { openai: code === 529 ? 503 : code, anthropic: code };
  const usual = { rejection: null, attempts: 1, insists: false, isAsked: true };
  return { ...usual, name, says, lanes, status, told, fault };
};

const MANAGED: Rest = { lanes: ['managed'] };
/** The limit is one request a second: two calls in a row exceed it unless the machine stands still. */
const ATTEMPTS = 20;

/** What clients are refused. Every program makes these calls with its retries switched off, but for those that insist. */
export const FAILURES: readonly Failure[] = [
  providerError(
    'wrong-key',
    401,
    null,
    { openai: 'invalid_api_key', anthropic: 'authentication_error' },
    ['byo'],
  ),
  refusal('wrong-key', 'a virtual key that nobody signed', 'bad_key', MANAGED),
  refusal('no-key', 'no key at all', 'missing_key', { lanes: ['byo'] }),
  providerError('unknown-model', 404, 'fault-404', {
    openai: 'model_not_found',
    anthropic: 'not_found_error',
  }),
  providerError(
    'rate-limit',
    429,
    'fault-429',
    { openai: 'rate_limit_exceeded', anthropic: 'rate_limit_error' },
    [...LANES, ...WIRES],
  ),
  providerError(
    'bad-request',
    400,
    'fault-400',
    { openai: null, anthropic: 'invalid_request_error' },
    WIRES,
  ),
  providerError(
    'overloaded',
    529,
    'fault-529',
    { openai: null, anthropic: 'overloaded_error' },
    WIRES,
  ),
  refusal('pool-key', 'a pool key that the provider refuses', 'pool_key_rejected', {
    lanes: WIRES,
    isAsked: true,
  }),
  providerError('provider-500', 500, 'fault-500', { openai: null, anthropic: 'api_error' }),
  refusal('unknown-provider', 'a provider nobody knows', 'unknown_provider'),
  refusal('unreachable', 'a provider that refuses connections', 'upstream_unreachable'),
  refusal('too-large', 'a body over the limit', 'body_too_large'),
  refusal('guardrail', 'more requests than the guardrail lets through', 'rate_limited', {
    attempts: ATTEMPTS,
  }),
  refusal('no-pool-key', 'a provider without a pool key', 'no_pool_key', MANAGED),
  refusal('spent', 'a tenant whose budget is spent', 'spend_limit', MANAGED),
  refusal(
    'budget',
    'a budget that is used up: asked once, neither tried again nor waited for',
    'budget_exceeded',
    {
      ...MANAGED,
      insists: true,
    },
  ),
  refusal('cut-off', 'a tenant that is cut off', 'denied', MANAGED),
];
