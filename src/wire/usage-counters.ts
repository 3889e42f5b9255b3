/** Token counters of one response; null = not reported. */
export interface UsageCounts {
  readonly inputTokens: number | null;
  /** Everything that is billed as output, reasoning included. */
  readonly outputTokens: number | null;
  readonly cacheReadTokens: number | null;
  readonly cacheWriteTokens: number | null;
  /** A breakout of `outputTokens`. */
  readonly reasoningTokens: number | null;
}

/** Every member that any provider's usage object is read for. Read by name, not by a variable: that is twice as fast. */
interface Usage {
  readonly cache_creation_input_tokens?: unknown;
  readonly cache_read_input_tokens?: unknown;
  readonly cache_write_tokens?: unknown;
  readonly cachedContentTokenCount?: unknown;
  readonly cached_tokens?: unknown;
  readonly candidatesTokenCount?: unknown;
  readonly completion_tokens?: unknown;
  readonly completion_tokens_details?: unknown;
  readonly input_tokens?: unknown;
  readonly input_tokens_details?: unknown;
  readonly output_tokens?: unknown;
  readonly output_tokens_details?: unknown;
  readonly promptTokenCount?: unknown;
  readonly prompt_cache_hit_tokens?: unknown;
  readonly prompt_tokens?: unknown;
  readonly prompt_tokens_details?: unknown;
  readonly reasoning_tokens?: unknown;
  readonly thinking_tokens?: unknown;
  readonly thoughtsTokenCount?: unknown;
  readonly tokens?: unknown;
  readonly toolUsePromptTokenCount?: unknown;
  readonly totalTokenCount?: unknown;
  readonly total_cached_tokens?: unknown;
  readonly total_input_tokens?: unknown;
  readonly total_output_tokens?: unknown;
  readonly total_thought_tokens?: unknown;
  readonly total_tokens?: unknown;
}

/**
 * The counters of a provider's usage object, whichever of the recorded shapes it has: OpenAI chat and Responses,
 * Anthropic, Gemini (generateContent and interactions), Cohere. Only its root is read: what `iterations` nests are parts of the sum.
 * @param text the object as sent
 * @returns null when it holds no counter
 */
export function usageCounts(text: string): UsageCounts | null {
  const usage = parsedObject(text);
  if (usage === null) return null;
  const input = objectOf(usage.prompt_tokens_details) ?? objectOf(usage.input_tokens_details);
  const output = objectOf(usage.completion_tokens_details) ?? objectOf(usage.output_tokens_details);
  const cohere = objectOf(usage.tokens) ?? {};
  const reasoningTokens =
    count(output?.reasoning_tokens) ??
    count(output?.thinking_tokens) ??
    count(usage.reasoning_tokens) ??
    count(usage.thoughtsTokenCount) ??
    count(usage.total_thought_tokens) ??
    count(cohere.reasoning_tokens);
  const inputTokens =
    count(usage.prompt_tokens) ??
    count(usage.input_tokens) ??
    count(usage.promptTokenCount) ??
    count(usage.total_input_tokens) ??
    count(cohere.input_tokens);
  const counts: UsageCounts = {
    inputTokens,
    outputTokens: billedOutput(usage, cohere, inputTokens, reasoningTokens),
    cacheReadTokens:
      count(input?.cached_tokens) ??
      count(usage.cache_read_input_tokens) ??
      count(usage.prompt_cache_hit_tokens) ??
      count(usage.cached_tokens) ??
      count(usage.cachedContentTokenCount) ??
      count(usage.total_cached_tokens),
    cacheWriteTokens: count(input?.cache_write_tokens) ?? count(usage.cache_creation_input_tokens),
    reasoningTokens,
  };
  const { outputTokens, cacheReadTokens, cacheWriteTokens } = counts;
  const some = inputTokens ?? outputTokens ?? cacheReadTokens ?? cacheWriteTokens;
  return (some ?? reasoningTokens) === null ? null : counts;
}

/** A later report replaces an earlier one field by field; a field it does not have stays. */
export function replaced(earlier: UsageCounts | null, later: UsageCounts): UsageCounts {
  if (earlier === null) return later;
  return {
    inputTokens: later.inputTokens ?? earlier.inputTokens,
    outputTokens: later.outputTokens ?? earlier.outputTokens,
    cacheReadTokens: later.cacheReadTokens ?? earlier.cacheReadTokens,
    cacheWriteTokens: later.cacheWriteTokens ?? earlier.cacheWriteTokens,
    reasoningTokens: later.reasoningTokens ?? earlier.reasoningTokens,
  };
}

/**
 * Most providers count reasoning inside the completion; xAI's chat API and Gemini beside it. The total tells which: it
 * is the sum of everything that is billed (docs.x.ai/docs/guides/reasoning; ai.google.dev/api/generate-content).
 */
function billedOutput(
  usage: Usage,
  cohere: Usage,
  inputTokens: number | null,
  reasoningTokens: number | null,
): number | null {
  const said =
    count(usage.completion_tokens) ??
    count(usage.output_tokens) ??
    count(usage.candidatesTokenCount) ??
    count(usage.total_output_tokens) ??
    count(cohere.output_tokens);
  if (reasoningTokens === null || reasoningTokens === 0) return said;
  const total = count(usage.total_tokens) ?? count(usage.totalTokenCount);
  const beside = (inputTokens ?? 0) + (said ?? 0) + reasoningTokens;
  // Gemini counts what its tools read (toolUsePromptTokenCount) in the total alone.
  const rest = total === null ? -1 : total - beside - (count(usage.toolUsePromptTokenCount) ?? 0);
  return rest === 0 ? (said ?? 0) + reasoningTokens : said;
}

function count(value: unknown): number | null {
  // Nobody counts fractions of a token, and what is beyond 2^53 would stop every sum that it is added to.
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function objectOf(value: unknown): Usage | null {
  return isObject(value) ? value : null;
}

function parsedObject(text: string): Usage | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Usage {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
