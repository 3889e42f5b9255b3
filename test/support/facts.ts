import type { Cost } from '../../src/prices/cost.ts';
import type { UsageFact } from '../../src/settle/usage-fact.ts';
import { usageFactLine } from './fact-line.ts';

/** What a generated fact says that tests look at. */
export interface FactWords {
  /** Milliseconds of the Unix epoch. */
  readonly timeMs: number;
  readonly requestId: string;
  readonly attempt?: number;
  readonly final?: boolean;
  readonly tenantId?: string;
  readonly keyId?: string | null;
  readonly provider?: string;
  readonly model?: string | null;
  readonly requestedModel?: string | null;
  readonly status?: number | null;
  readonly outcome?: UsageFact['outcome'];
  readonly dialect?: UsageFact['dialect'];
  readonly input?: number | null;
  readonly cacheRead?: number | null;
  readonly output?: number | null;
  /** USD; null: unpriced. */
  readonly cost?: string | null;
  readonly raw?: string | null;
  readonly traceId?: string | null;
}

const PRICED = { status: 'priced', reason: null, version: '2026-10-21', lines: null } as const;
const UNPRICED = {
  usd: null,
  status: 'unpriced',
  reason: 'unknown_model',
  version: null,
  lines: null,
} as const;

/** A line as a worker writes it, without its newline. */
export function factLine(words: FactWords): string {
  const { cost = '0.01' } = words;
  const fact: UsageFact = {
    requestId: words.requestId,
    traceId: words.traceId ?? null,
    dialect: words.dialect ?? 'openai',
    tenantId: words.tenantId ?? '42',
    vpcId: '99',
    keyId: words.keyId === undefined ? '7' : words.keyId,
    keyClass: 'application',
    policy: null,
    provider: words.provider ?? 'openai',
    endpoint: '/v1/chat/completions',
    model: words.model === undefined ? 'gpt-5-mini' : words.model,
    requestedModel: words.requestedModel ?? null,
    stream: true,
    counts: {
      inputTokens: words.input === undefined ? 100 : words.input,
      outputTokens: words.output === undefined ? 20 : words.output,
      cacheReadTokens: words.cacheRead ?? null,
      cacheWriteTokens: null,
      reasoningTokens: 3,
    },
    lines: null,
    serviceTier: 'default',
    toolUses: { web_search: 2 },
    cost: (cost === null ? UNPRICED : { usd: cost, ...PRICED }) as Cost,
    source: 'reported',
    raw:
      words.raw ??
      '{"prompt_tokens":100,"completion_tokens":20,"details":{"a":0.5,"b":-1,"c":[1,2]}}',
    upstreamStatus: words.status === undefined ? 200 : words.status,
    outcome: words.outcome ?? 'complete',
    bytesIn: 182,
    bytesOut: 9_214,
    ttfbMs: 411,
    durationMs: 2_873,
    lane: 'relay',
    route: null,
    attempt: words.attempt ?? 1,
    final: words.final ?? true,
    targetModel: null,
    resumed: false,
    cache: null,
  };
  const written = `"time":"${new Date(words.timeMs).toISOString()}"`;
  return usageFactLine(fact).replace(/"time":"[^"]*"/, written);
}

/** An id as a worker gives it. */
export function requestIdOf(number: number, worker = 1): string {
  return `req_${worker.toString(16).padStart(16, '0')}${number.toString(16).padStart(8, '0')}`;
}

export function linesOf(facts: readonly FactWords[]): Buffer {
  return Buffer.from(facts.map((fact) => `${factLine(fact)}\n`).join(''));
}
