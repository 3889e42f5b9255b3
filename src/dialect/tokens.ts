import { replaced, type Usage, type UsageCounts, usageCounts } from '../wire/usage-counters.ts';
import { NO_TOKENS, type Tokens } from './answer.ts';
import { isObject } from './json-values.ts';

/** A later report replaces an earlier one field by field: Anthropic's falls to 0 at a compaction. */
export function reported(earlier: UsageCounts | null, usage: unknown): UsageCounts | null {
  const counts = isObject(usage) ? usageCounts(usage as Usage) : null;
  return counts === null ? earlier : replaced(earlier, counts);
}

/** @param cachesBeside whether what caches had to do with is counted beside the input (Anthropic), not within it */
export function tokensOf(counts: UsageCounts | null, cachesBeside: boolean): Tokens {
  if (counts === null) return NO_TOKENS;
  const cacheRead = counts.cacheReadTokens ?? 0;
  const cacheWrite = counts.cacheWriteTokens ?? 0;
  const input = counts.inputTokens ?? 0;
  return {
    fresh: cachesBeside ? input : Math.max(0, input - cacheRead - cacheWrite),
    cacheRead,
    cacheWrite,
    output: counts.outputTokens ?? 0,
    reasoning: counts.reasoningTokens,
  };
}
