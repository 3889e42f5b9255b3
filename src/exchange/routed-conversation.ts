/** What an answer says of its conversation: where its prompt is cached now, and whether the session breaks that cache. */

import type { Planner, Trial } from '../plan/planner.ts';
import type { PrefixWatch, WatchedTurn } from '../plan/prefix-watch.ts';
import type { PromptBreak } from '../plan/prompt-breaks.ts';
import type { Target } from '../plan/route-table.ts';
import type { WorkerMetrics } from '../settle/metrics.ts';
import type { UsageFact } from '../settle/usage-fact.ts';
import type { RequestReading } from './request-reading.ts';

/** What keeping conversations takes, for all of a worker. */
export interface ConversationContext {
  readonly planner: Planner;
  readonly prefixes: PrefixWatch;
  readonly metrics: WorkerMetrics;
  /** A session breaks its cache: whoever sends it can mend that. */
  brokeCache(broken: PromptBreak): void;
}

/** Who answered and said what that used has the prompt in its cache now. */
export function keepConversation(
  context: ConversationContext,
  { session, lifeMs, watched }: RequestReading,
  trial: Trial,
  fact: UsageFact,
): void {
  if (fact.source !== 'reported') return;
  const status = fact.upstreamStatus ?? 0;
  if (status < 200 || status >= 300) return;
  const { inputTokens, cacheReadTokens, cacheWriteTokens } = fact.counts;
  const isAnthropic = fact.dialect === 'anthropic';
  const inCache = (cacheReadTokens ?? 0) + (cacheWriteTokens ?? 0);
  // Anthropic counts what its cache had, and took, beside the input.
  const tokens = (inputTokens ?? 0) + (isAnthropic ? inCache : 0);
  if (session !== 0) context.planner.keep(trial, session, lifeMs, tokens);
  // Anthropic caches what is marked, others whatever is long enough.
  const cached = isAnthropic ? inCache : tokens;
  if (watched !== null) comparePrefix(context, watched, trial.target, fact, lifeMs, tokens, cached);
}

/** A session whose prompt begins otherwise time and again pays for all of it each time: its owner is told. */
function comparePrefix(
  context: ConversationContext,
  watched: WatchedTurn,
  target: Target,
  { counts, tenantId, keyId, requestedModel }: UsageFact,
  lifeMs: number,
  promptTokens: number,
  cachedTokens: number,
): void {
  const { prefixes, planner, metrics } = context;
  const broken = prefixes.answered(watched, {
    target: target.name,
    lifeMs,
    promptTokens,
    readTokens: counts.cacheReadTokens ?? 0,
    cachedTokens,
    lossPico: (lost) => planner.rereadPico(target, lost, promptTokens),
  });
  if (broken === null) return;
  metrics.promptCacheBroken();
  context.brokeCache({ ...broken, tenantId, keyId, model: requestedModel, target: target.name });
}
