/** What one attempt may cost, and did: between its metering and the budgets of its key. */

import type { Reservation } from '../budget/reservation.ts';
import type { SpendingQuestion } from '../budget/spending.ts';
import type { MeteredUsage, Metering } from '../meter/metering.ts';
import { type Cost, nanoOfCost } from '../prices/cost.ts';
import { type Rejection, rejection } from '../rejection.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { UsageCounts } from '../wire/usage-counters.ts';
import type { AttemptTarget } from './attempt-terms.ts';

/** Other bodies have every scan that the worker can make: no fault of this one's. */
const NOT_READ = rejection('overloaded', '', 'retry-after: 1\r\n');

/**
 * What is known of what a request may cost that is about to become whole. Told once: what was read of its body is let go of.
 * @returns null where nobody asks, or nothing is billed
 */
export function spendingQuestion(
  { managed, provider, routing }: AttemptTarget,
  metering: Metering | null,
  requestBytes: number,
): SpendingQuestion | Rejection | null {
  if (managed === null || metering === null || managed.policy.spending === null) return null;
  if (managed.metering === 'free') return null;
  const { requestReading, requestedModel, furtherModels } = metering;
  if (requestReading === 'unread' && requestBytes > 0) return NOT_READ;
  const ofBody = requestReading === 'sure' ? requestedModel : null;
  const isUnsure = furtherModels?.isUnsure === true;
  return {
    provider: provider.name,
    model: isUnsure ? null : (managed.pathModel ?? ofBody),
    further: furtherModels?.names ?? [],
    asked: metering.askedSpending(requestBytes),
    requestBytes,
    writes: managed.metering !== 'reports',
    chain: routing?.chain ?? null,
    mayMove: routing !== null,
    isUncapped: false,
  };
}

/**
 * The attempt has ended and was sent: what it cost where its provider said so, else the most that it can have used, and never more
 * than was reserved for what nobody reported.
 */
export function settleSpending(
  reservation: Reservation,
  usage: MeteredUsage,
  cost: Cost,
  durationMs: number,
  costOf: (usage: MeteredUsage) => Cost,
): void {
  if (usage.source !== 'estimated') {
    settleFollowed(reservation, usage, cost);
    return;
  }
  const most = nanoOfCost(costOf(highUsage(usage, durationMs)));
  reservation.settle(most === null ? null : Math.min(most, reservation.reserved));
}

/** The same of an answer that was followed to its end; where nobody knows that, all that was reserved counts. */
export function settleFollowed(
  reservation: Reservation,
  { source, counts }: Pick<UsageFact, 'source' | 'counts'>,
  cost: Cost,
): void {
  if (source === 'none') reservation.settle(0);
  else if (source === 'estimated') reservation.settle(null);
  else {
    const { outputTokens } = counts;
    if (outputTokens !== null && outputTokens > 0) reservation.learn(outputTokens);
    reservation.settle(nanoOfCost(cost) ?? (reservation.isPriced ? null : 0));
  }
}

/**
 * What a model may have written of which nothing was seen: a whole answer that nobody waited for, hidden thoughts. The fastest
 * services write so much (Groq and Cerebras publish more for small models); what was reserved bounds it.
 */
const HIDDEN_TOKENS_PER_MS = 0.3;

/** The same usage with its high numbers, as one model's single pass. */
function highUsage(usage: MeteredUsage, durationMs: number): MeteredUsage {
  const { inputTokens, outputTokens: seen } = usage.high;
  const hidden = seen <= 1 ? Math.ceil(durationMs * HIDDEN_TOKENS_PER_MS) : 0;
  const outputTokens = Math.max(seen, hidden);
  const counts: UsageCounts = {
    inputTokens,
    outputTokens,
    cacheReadTokens: null,
    cacheWriteTokens: null,
    reasoningTokens: null,
  };
  return { ...usage, counts, lines: null, details: null };
}
