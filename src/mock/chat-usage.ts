import type { Counts } from './said.ts';

/** The JSON text of a vendor's usage object of the chat API. */
export type UsageSpelling = (counts: Counts) => string;

const core = (counts: Counts, completion = counts.output): string =>
  `"prompt_tokens":${counts.input},"completion_tokens":${completion},"total_tokens":${counts.input + counts.output}`;

const openaiCompletionDetails = (counts: Counts): string =>
  `"completion_tokens_details":{"reasoning_tokens":${counts.reasoning},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}`;

export const openaiUsage: UsageSpelling = (counts) =>
  `{${core(counts)},"prompt_tokens_details":{"cached_tokens":${counts.cached},"audio_tokens":0},${openaiCompletionDetails(counts)}}`;

/** xAI's `completion_tokens` leaves reasoning out; only the total tells. */
export const xaiUsage: UsageSpelling = (counts) =>
  `{${core(counts, counts.output - counts.reasoning)},"prompt_tokens_details":{"text_tokens":${counts.input},"audio_tokens":0,"image_tokens":0,"cached_tokens":${counts.cached}},${openaiCompletionDetails(counts)},"num_sources_used":0}`;

export const groqUsage: UsageSpelling = (counts) => {
  const details =
    counts.reasoning > 0
      ? `,"completion_tokens_details":{"reasoning_tokens":${counts.reasoning}}`
      : '';
  return `{"queue_time":0.0125,"prompt_tokens":${counts.input},"prompt_time":0.001,"completion_tokens":${counts.output},"completion_time":0.02,"total_tokens":${counts.input + counts.output},"total_time":0.021${details}}`;
};

export const mistralUsage: UsageSpelling = (counts) =>
  `{"prompt_tokens":${counts.input},"total_tokens":${counts.input + counts.output},"completion_tokens":${counts.output},"prompt_tokens_details":{"cached_tokens":${counts.cached}}}`;

export const deepseekUsage: UsageSpelling = (counts) => {
  const details =
    counts.reasoning > 0
      ? `,"completion_tokens_details":{"reasoning_tokens":${counts.reasoning}}`
      : '';
  return `{${core(counts)},"prompt_tokens_details":{"cached_tokens":${counts.cached}}${details},"prompt_cache_hit_tokens":${counts.cached},"prompt_cache_miss_tokens":${counts.input - counts.cached}}`;
};

export const plainUsage: UsageSpelling = (counts) =>
  `{${core(counts)},"prompt_tokens_details":{"cached_tokens":${counts.cached}}}`;

export const togetherUsage: UsageSpelling = (counts) =>
  `{${core(counts)},"cached_tokens":${counts.cached}}`;

export const openrouterUsage: UsageSpelling = (counts) =>
  `{${core(counts)},"cost":0.0000673,"is_byok":false,"prompt_tokens_details":{"cached_tokens":${counts.cached},"audio_tokens":0},"cost_details":{"upstream_inference_cost":null,"upstream_inference_prompt_cost":0.00001144,"upstream_inference_completions_cost":0.00005586},"completion_tokens_details":{"reasoning_tokens":${counts.reasoning},"image_tokens":0}}`;

export const perplexityUsage: UsageSpelling = (counts) =>
  `{${core(counts)},"search_context_size":"low","cost":{"input_tokens_cost":0,"output_tokens_cost":0,"total_cost":0}}`;

export const azureUsage: UsageSpelling = (counts) =>
  `{"completion_tokens":${counts.output},"completion_tokens_details":{"accepted_prediction_tokens":0,"audio_tokens":0,"reasoning_tokens":${counts.reasoning},"rejected_prediction_tokens":0},"prompt_tokens":${counts.input},"prompt_tokens_details":{"audio_tokens":0,"cached_tokens":${counts.cached}},"total_tokens":${counts.input + counts.output}}`;
