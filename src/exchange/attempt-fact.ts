/** What is told of an attempt that has ended: what it used, what that cost, and the fact of it. */

import type { KeyIdentity } from '../keys/virtual-key.ts';
import { type MeteredUsage, type Metering, unmetered } from '../meter/metering.ts';
import type { LimitGrant } from '../policy/limiter.ts';
import type { EffectivePolicy } from '../policy/policy-table.ts';
import { COST_UNKNOWN, type Cost } from '../prices/cost.ts';
import type { Settlement } from '../settle/settle.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import { traceId } from '../wire/trace-context.ts';
import type { AttemptContext, AttemptTarget } from './attempt-terms.ts';

type Dialect = UsageFact['dialect'];
type Used = Pick<UsageFact, 'counts' | 'model'>;

/** What is known of how an attempt was answered. */
interface Answered {
  /** Null when no head came. */
  readonly status: number | null;
  readonly isEventStream: boolean;
}

/**
 * @param who holds the key that was used
 * @param final no other attempt follows
 */
export function attemptFact(
  target: AttemptTarget,
  { tenantText, vpcText, keyText }: KeyIdentity,
  { keyClass, name: policy }: EffectivePolicy,
  usage: MeteredUsage,
  { status, isEventStream }: Answered,
  settlement: Settlement,
  final: boolean,
  cost: Cost,
): UsageFact {
  const { provider, path, routing } = target;
  return {
    requestId: settlement.requestId,
    traceId: traceId(settlement.traceparent),
    dialect: provider.dialect,
    tenantId: tenantText,
    vpcId: vpcText,
    keyId: keyText,
    keyClass,
    policy,
    provider: provider.name,
    endpoint: path,
    model: usage.model,
    requestedModel: routing?.requestedModel ?? usage.requestedModel,
    stream: usage.streamAsked || isEventStream,
    counts: usage.counts,
    lines: usage.lines,
    serviceTier: usage.serviceTier,
    toolUses: usage.toolUses,
    cost,
    source: usage.source,
    raw: usage.raw,
    upstreamStatus: status,
    outcome: settlement.outcome,
    bytesIn: settlement.bytesIn,
    bytesOut: settlement.bytesOut,
    ttfbMs: settlement.ttfbMs,
    durationMs: settlement.durationMs,
    lane: routing === null ? 'relay' : 'routed',
    route: routing?.route ?? null,
    attempt: routing?.attempt ?? 1,
    final,
    targetModel: routing?.targetModel ?? null,
    resumed: routing?.resumed ?? false,
    cache: null,
  };
}

/** @param atMs when it began, on the wall clock: a price that changes meanwhile is the next request's */
export function attemptCost(
  context: AttemptContext,
  { provider, managed, routing }: AttemptTarget,
  usage: MeteredUsage,
  atMs: number,
): Cost {
  try {
    return context.pricing.cost({
      provider: provider.name,
      model: usage.model,
      asked:
        routing === null
          ? (managed?.pathModel ?? usage.requestedModel)
          : modelOf(routing.targetModel),
      counts: usage.counts,
      details: usage.details,
      lines: usage.lines,
      serviceTier: usage.serviceTier,
      toolUses: usage.toolUses,
      source: usage.source,
      atMs,
    });
  } catch (error) {
    // What was used is told, whatever it cost.
    context.report(error);
    return COST_UNKNOWN;
  }
}

/** @param requestBytes of the body; 0 when it never came to its end, which no provider bills */
export function attemptUsage(
  context: AttemptContext,
  metering: Metering,
  requestBytes: number,
): MeteredUsage {
  try {
    return metering.finish(requestBytes);
  } catch (error) {
    // Whatever broke, what reached a provider is billed.
    context.report(error);
    return unmetered(requestBytes);
  }
}

/** Gives back what the limits of a key were asked for and was not used; once. */
export function settleLimits(grant: LimitGrant | null, used: Used, dialect: Dialect): void {
  grant?.settle(limitedTokens(used, dialect), used.model);
}

/** What counts to a limit on tokens: cached input does not, as with Anthropic (docs.claude.com/en/api/rate-limits). */
function limitedTokens({ counts }: Used, dialect: Dialect): number {
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens } = counts;
  const input = inputTokens ?? 0;
  const uncached =
    dialect === 'anthropic' ? input + (cacheWriteTokens ?? 0) : input - (cacheReadTokens ?? 0);
  return Math.max(0, uncached) + (outputTokens ?? 0);
}

/** @param target `provider/model`; no provider's name has a slash */
function modelOf(target: string): string {
  return target.slice(target.indexOf('/') + 1);
}
