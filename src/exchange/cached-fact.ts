/** The fact of a request that was told another one's answer: nobody was asked, and it cost nothing. */

import type { Admitted } from '../admit/admission.ts';
import type { KeptAnswer } from '../cache/answer-store.ts';
import type { KeyIdentity } from '../keys/virtual-key.ts';
import type { EffectivePolicy } from '../policy/policy-table.ts';
import type { Cost } from '../prices/cost.ts';
import { roundedDecimalOf } from '../prices/money.ts';
import type { Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import { NO_TOOL_USES } from '../wire/billed-usage.ts';
import { traceId } from '../wire/trace-context.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';

const NOTHING_USED: UsageCounts = {
  inputTokens: null,
  outputTokens: null,
  cacheReadTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
};
const NOTHING_SPENT: Cost = {
  usd: '0',
  status: 'not_billed',
  reason: null,
  version: null,
  lines: null,
};
const NANO_DECIMALS = 9;

/** What was told again. */
export interface Telling {
  readonly isEventStream: boolean;
  /** Null: it was still being made, and what its own fact will say is not known. */
  readonly made: KeptAnswer['made'] | null;
  readonly ageSecs: number | null;
}

/** @param answer null: it was still being made */
export function tellingOf(answer: KeptAnswer | null, isEventStream: boolean): Telling {
  if (answer === null) return { isEventStream, made: null, ageSecs: null };
  const ageSecs = Math.max(0, Math.floor((Date.now() - answer.madeMs) / 1_000));
  return { isEventStream, made: answer.made, ageSecs };
}

/** Nano-dollars that its answer had cost; 0 = not known. */
export function savedNano({ made }: Telling): number {
  const usd = made?.costUsd ?? null;
  return usd === null ? 0 : (roundedDecimalOf(usd, NANO_DECIMALS) ?? 0);
}

/** @param model as it was asked for; null: the body did not say */
export function tellingFact(
  { admitted, identity, policy }: Told,
  model: string | null,
  { isEventStream, made, ageSecs }: Telling,
  settlement: Settlement,
): UsageFact {
  return {
    requestId: settlement.requestId,
    traceId: traceId(settlement.traceparent),
    dialect: admitted.dialect,
    tenantId: identity.tenantText,
    vpcId: identity.vpcText,
    keyId: identity.keyText,
    keyClass: policy.keyClass,
    policy: policy.name,
    provider: null,
    endpoint: admitted.path,
    model: made?.model ?? null,
    requestedModel: model,
    stream: isEventStream,
    counts: NOTHING_USED,
    lines: null,
    serviceTier: null,
    toolUses: NO_TOOL_USES,
    cost: NOTHING_SPENT,
    source: 'none',
    raw: null,
    upstreamStatus: null,
    outcome: 'cache_hit',
    bytesIn: settlement.bytesIn,
    bytesOut: settlement.bytesOut,
    ttfbMs: settlement.ttfbMs,
    durationMs: settlement.durationMs,
    lane: admitted.routed === null ? 'relay' : 'routed',
    route: made?.route ?? null,
    attempt: 1,
    final: true,
    targetModel: made?.targetModel ?? null,
    resumed: false,
    cache: { savedUsd: made?.costUsd ?? null, ageSecs },
  };
}

/** Who was told it. */
interface Told {
  readonly admitted: Admitted;
  readonly identity: KeyIdentity;
  readonly policy: EffectivePolicy;
}
