import { type Dialect, REJECTIONS, type RejectionCode } from '../../src/rejection.ts';

/** Whose key a call is made with: the caller's own, or a virtual key of the gateway. */
export type Lane = 'byo' | 'managed';
export const LANES = ['byo', 'managed'] as const satisfies readonly Lane[];

/** One thing that a client is asked to do and that works. */
export interface Work {
  readonly says: string;
  /** Facts of answers that billed nothing: an error, a token count. */
  readonly unbilled: number;
  /** Facts of streams that were cut. */
  readonly estimated: number;
}

const work = (says: string, unbilled = 0, estimated = 0): Work => ({ says, unbilled, estimated });

/** What clients are asked to do, by the name that their programs know. */
export const WORKS = {
  chat: work('a chat answers, with its usage'),
  stream: work('a stream is the same text in pieces, with the usage asked for'),
  'plain-stream': work('a stream whose usage was not asked for tells none'),
  tools: work('a tool is called, and its result is answered'),
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
  readonly status: number;
  /** The gateway's own row, or null where the provider refuses. */
  readonly rejection: RejectionCode | null;
  /** The provider's `error.code` (OpenAI) and `error.type` (Anthropic). */
  readonly told: Readonly<Record<Dialect, string | null>>;
  /** What the mock does to the call, by its model's name. */
  readonly fault: string | null;
  /** Calls until it must have come. */
  readonly attempts: number;
  /** Asked for with the retries that the client has by itself: it must not make any. */
  readonly insists: boolean;
}

type Rest = Partial<Pick<Failure, 'lanes' | 'attempts' | 'insists'>>;

const refusal = (name: string, says: string, code: RejectionCode, rest: Rest = {}): Failure => ({
  lanes: LANES,
  attempts: 1,
  insists: false,
  ...rest,
  name,
  says,
  status: REJECTIONS[code].status,
  rejection: code,
  told: { openai: code, anthropic: REJECTIONS[code].anthropicType },
  fault: null,
});

const providerError = (
  name: string,
  status: number,
  fault: string | null,
  told: Failure['told'],
  lanes: readonly Lane[] = LANES,
): Failure => {
  const says = `a ${status} of the provider keeps its class`;
  return { name, says, lanes, status, rejection: null, told, fault, attempts: 1, insists: false };
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
  providerError('rate-limit', 429, 'fault-429', {
    openai: 'rate_limit_exceeded',
    anthropic: 'rate_limit_error',
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
