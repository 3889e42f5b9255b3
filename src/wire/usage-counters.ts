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
export interface Usage {
  readonly cache_creation_input_tokens?: unknown;
  readonly cache_read_input_tokens?: unknown;
  readonly cache_write_tokens?: unknown;
  readonly cachedContentTokenCount?: unknown;
  readonly cached_tokens?: unknown;
  readonly candidatesTokenCount?: unknown;
  readonly completion_tokens?: unknown;
  readonly completion_tokens_details?: unknown;
  readonly eval_count?: unknown;
  readonly input_tokens?: unknown;
  readonly input_tokens_details?: unknown;
  readonly output_tokens?: unknown;
  readonly output_tokens_details?: unknown;
  readonly audio_tokens?: unknown;
  readonly promptTokenCount?: unknown;
  readonly prompt_eval_count?: unknown;
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
  readonly total_tool_use_tokens?: unknown;
}

const NO_MEMBERS: Usage = {};

/**
 * The counters of a provider's usage object, whichever of the recorded shapes it has: OpenAI chat and Responses,
 * Anthropic, Gemini (generateContent and interactions), Cohere, Ollama. Of what it nests (Anthropic's `iterations`) nothing
 * is read here.
 * @returns null when it holds no counter
 */
export function usageCounts(usage: Usage): UsageCounts | null {
  const input = objectOf(usage.prompt_tokens_details) ?? objectOf(usage.input_tokens_details);
  const output = objectOf(usage.completion_tokens_details) ?? objectOf(usage.output_tokens_details);
  const cohere = objectOf(usage.tokens) ?? NO_MEMBERS;
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
    count(cohere.input_tokens) ??
    count(usage.prompt_eval_count);
  const outputTokens =
    count(usage.completion_tokens) ??
    count(usage.output_tokens) ??
    count(usage.candidatesTokenCount) ??
    count(usage.total_output_tokens) ??
    count(cohere.output_tokens) ??
    count(usage.eval_count);
  const counts = asTotalTells(usage, {
    inputTokens,
    outputTokens,
    cacheReadTokens:
      count(input?.cached_tokens) ??
      count(usage.cache_read_input_tokens) ??
      count(usage.prompt_cache_hit_tokens) ??
      count(usage.cached_tokens) ??
      count(usage.cachedContentTokenCount) ??
      count(usage.total_cached_tokens),
    cacheWriteTokens: count(input?.cache_write_tokens) ?? count(usage.cache_creation_input_tokens),
    reasoningTokens,
  });
  const some = counts.inputTokens ?? counts.outputTokens ?? reasoningTokens;
  return (some ?? counts.cacheReadTokens ?? counts.cacheWriteTokens) === null ? null : counts;
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

/** Every counter added up; what neither has stays null. */
export function summed(one: UsageCounts, other: UsageCounts): UsageCounts {
  return {
    inputTokens: plus(one.inputTokens, other.inputTokens),
    outputTokens: plus(one.outputTokens, other.outputTokens),
    cacheReadTokens: plus(one.cacheReadTokens, other.cacheReadTokens),
    cacheWriteTokens: plus(one.cacheWriteTokens, other.cacheWriteTokens),
    reasoningTokens: plus(one.reasoningTokens, other.reasoningTokens),
  };
}

function plus(one: number | null, other: number | null): number | null {
  return one === null ? other : one + (other ?? 0);
}

/**
 * A total is the sum of everything that is billed, and may tell more than its parts:
 * - it stands alone (Voyage, rerankers): then all of it is input;
 * - Mistral leaves audio out of the prompt's count, and names it beside it;
 * - what else it has is output: reasoning is counted beside the completion by xAI's chat API and Gemini, inside it by most
 *   (docs.x.ai/docs/guides/reasoning; ai.google.dev/api/generate-content), and left out by Gemini's OpenAI wire.
 */
function asTotalTells(usage: Usage, parts: UsageCounts): UsageCounts {
  const total = count(usage.total_tokens) ?? count(usage.totalTokenCount);
  if (total === null) return parts;
  const { inputTokens, outputTokens } = parts;
  // Gemini counts what its tools read in the total alone; it is no output.
  const tools = count(usage.toolUsePromptTokenCount) ?? count(usage.total_tool_use_tokens) ?? 0;
  const rest = total - (inputTokens ?? 0) - (outputTokens ?? 0) - tools;
  if (rest <= 0) return parts;
  if (inputTokens === null || (outputTokens === null && usage.promptTokenCount === undefined))
    return { ...parts, inputTokens: (inputTokens ?? 0) + rest };
  const audio = count(objectOf(usage.prompt_tokens_details)?.audio_tokens) ?? 0;
  const beside = rest >= audio && rest !== parts.reasoningTokens ? audio : 0;
  const written = (outputTokens ?? 0) + rest - beside;
  return {
    ...parts,
    inputTokens: inputTokens + beside,
    outputTokens: outputTokens === null && written === 0 ? null : written,
  };
}

export function count(value: unknown): number | null {
  // Nobody counts fractions of a token, and what is beyond 2^53 would stop every sum that it is added to.
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

export function objectOf(value: unknown): Usage | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
}
