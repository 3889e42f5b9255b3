import { count, objectOf, type Usage } from './usage-counters.ts';

/**
 * What a usage object says beside its counters that a price depends on. Counts that are 0 were not told, or are none; each is
 * a part of the counter that its name says, but for `inputExcludesCache`.
 */
export interface UsageDetails {
  /** Cached tokens stand beside the input's count (Anthropic), not in it (everybody else). */
  readonly inputExcludesCache: boolean;
  readonly cacheWrite5mTokens: number;
  readonly cacheWrite1hTokens: number;
  readonly audioInputTokens: number;
  /** A part of the audio that came in, and of what was read from a cache. */
  readonly audioCacheReadTokens: number;
  readonly imageInputTokens: number;
  /** A part of the pictures that came in, and of what was read from a cache. */
  readonly imageCacheReadTokens: number;
  readonly audioOutputTokens: number;
  readonly imageOutputTokens: number;
  /** Where it was worked out, in the provider's word. */
  readonly geo: string | null;
  /** How fast it was asked to be, in the provider's word. */
  readonly speed: string | null;
  /** What the provider says that it cost, in a unit of its own. */
  readonly saidCost: number | null;
}

export const NO_DETAILS: UsageDetails = {
  inputExcludesCache: false,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  audioInputTokens: 0,
  audioCacheReadTokens: 0,
  imageInputTokens: 0,
  imageCacheReadTokens: 0,
  audioOutputTokens: 0,
  imageOutputTokens: 0,
  geo: null,
  speed: null,
  saidCost: null,
};

/** Members that are read here and for no counter. By name: the same members in the same order for each object. */
interface Detailed extends Usage {
  readonly cache_creation?: unknown;
  readonly inference_geo?: unknown;
  readonly speed?: unknown;
  readonly cost?: unknown;
  readonly cost_in_usd_ticks?: unknown;
  readonly promptTokensDetails?: unknown;
  readonly cacheTokensDetails?: unknown;
  readonly candidatesTokensDetails?: unknown;
}

interface Parts {
  readonly audio_tokens?: unknown;
  readonly image_tokens?: unknown;
  readonly cached_tokens_details?: unknown;
  readonly ephemeral_5m_input_tokens?: unknown;
  readonly ephemeral_1h_input_tokens?: unknown;
  readonly total_cost?: unknown;
  readonly modality?: unknown;
  readonly tokenCount?: unknown;
}

/** A word that a price depends on: longer ones are none. */
const WORD_MAX_CHARS = 64;
/** Kinds of content that one count is told by. */
const KINDS_MAX = 16;

/** @returns null where nothing of it is told, which is the rule */
export function usageDetails(usage: Usage): UsageDetails | null {
  const said: Detailed = usage;
  if (!mayTell(said)) return null;
  const input: Parts | null =
    objectOf(said.prompt_tokens_details) ?? objectOf(said.input_tokens_details);
  const output: Parts | null =
    objectOf(said.completion_tokens_details) ?? objectOf(said.output_tokens_details);
  const writes: Parts | null = objectOf(said.cache_creation);
  const cached: Parts | null = input === null ? null : objectOf(input.cached_tokens_details);
  const details: UsageDetails = {
    inputExcludesCache:
      said.prompt_tokens === undefined &&
      said.input_tokens_details === undefined &&
      (said.cache_read_input_tokens !== undefined ||
        said.cache_creation_input_tokens !== undefined),
    cacheWrite5mTokens: count(writes?.ephemeral_5m_input_tokens) ?? 0,
    cacheWrite1hTokens: count(writes?.ephemeral_1h_input_tokens) ?? 0,
    audioInputTokens: count(input?.audio_tokens) ?? ofKind(said.promptTokensDetails, 'AUDIO'),
    audioCacheReadTokens: count(cached?.audio_tokens) ?? ofKind(said.cacheTokensDetails, 'AUDIO'),
    imageInputTokens: count(input?.image_tokens) ?? ofKind(said.promptTokensDetails, 'IMAGE'),
    imageCacheReadTokens: count(cached?.image_tokens) ?? ofKind(said.cacheTokensDetails, 'IMAGE'),
    audioOutputTokens: count(output?.audio_tokens) ?? ofKind(said.candidatesTokensDetails, 'AUDIO'),
    imageOutputTokens: count(output?.image_tokens) ?? ofKind(said.candidatesTokensDetails, 'IMAGE'),
    geo: word(said.inference_geo),
    speed: word(said.speed),
    saidCost: costOf(said),
  };
  return isSome(details) ? details : null;
}

/** Whether anything that is read here is there: most small answers have none of it. */
function mayTell(said: Detailed): boolean {
  return (
    said.prompt_tokens_details !== undefined ||
    said.completion_tokens_details !== undefined ||
    said.input_tokens_details !== undefined ||
    said.output_tokens_details !== undefined ||
    said.cache_read_input_tokens !== undefined ||
    said.cache_creation_input_tokens !== undefined ||
    said.cache_creation !== undefined ||
    said.promptTokensDetails !== undefined ||
    said.cacheTokensDetails !== undefined ||
    said.candidatesTokensDetails !== undefined ||
    said.inference_geo !== undefined ||
    said.speed !== undefined ||
    said.cost !== undefined ||
    said.cost_in_usd_ticks !== undefined
  );
}

/** A later report replaces an earlier one, where it says something. */
export function replacedDetails(
  earlier: UsageDetails | null,
  later: UsageDetails | null,
): UsageDetails | null {
  if (earlier === null || later === null) return later ?? earlier;
  return {
    inputExcludesCache: later.inputExcludesCache || earlier.inputExcludesCache,
    cacheWrite5mTokens: later.cacheWrite5mTokens || earlier.cacheWrite5mTokens,
    cacheWrite1hTokens: later.cacheWrite1hTokens || earlier.cacheWrite1hTokens,
    audioInputTokens: later.audioInputTokens || earlier.audioInputTokens,
    audioCacheReadTokens: later.audioCacheReadTokens || earlier.audioCacheReadTokens,
    imageInputTokens: later.imageInputTokens || earlier.imageInputTokens,
    imageCacheReadTokens: later.imageCacheReadTokens || earlier.imageCacheReadTokens,
    audioOutputTokens: later.audioOutputTokens || earlier.audioOutputTokens,
    imageOutputTokens: later.imageOutputTokens || earlier.imageOutputTokens,
    geo: later.geo ?? earlier.geo,
    speed: later.speed ?? earlier.speed,
    saidCost: later.saidCost ?? earlier.saidCost,
  };
}

/** Of passes that are billed as one line. */
export function summedDetails(
  one: UsageDetails | null,
  other: UsageDetails | null,
): UsageDetails | null {
  if (one === null || other === null) return one ?? other;
  return {
    inputExcludesCache: one.inputExcludesCache || other.inputExcludesCache,
    cacheWrite5mTokens: one.cacheWrite5mTokens + other.cacheWrite5mTokens,
    cacheWrite1hTokens: one.cacheWrite1hTokens + other.cacheWrite1hTokens,
    audioInputTokens: one.audioInputTokens + other.audioInputTokens,
    audioCacheReadTokens: one.audioCacheReadTokens + other.audioCacheReadTokens,
    imageInputTokens: one.imageInputTokens + other.imageInputTokens,
    imageCacheReadTokens: one.imageCacheReadTokens + other.imageCacheReadTokens,
    audioOutputTokens: one.audioOutputTokens + other.audioOutputTokens,
    imageOutputTokens: one.imageOutputTokens + other.imageOutputTokens,
    geo: one.geo ?? other.geo,
    speed: one.speed ?? other.speed,
    saidCost: one.saidCost ?? other.saidCost,
  };
}

/** Gemini's counts by modality: a list of what was of each kind. */
function ofKind(list: unknown, kind: string): number {
  if (!Array.isArray(list)) return 0;
  let tokens = 0;
  for (const entry of list.slice(0, KINDS_MAX)) {
    const part: Parts | null = objectOf(entry);
    if (part?.modality === kind) tokens += count(part.tokenCount) ?? 0;
  }
  return tokens;
}

function costOf({ cost, cost_in_usd_ticks }: Detailed): number | null {
  const total: Parts | null = objectOf(cost);
  const value = cost_in_usd_ticks ?? (total === null ? cost : total.total_cost);
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null;
}

function word(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && value.length <= WORD_MAX_CHARS ? value : null;
}

function isSome(details: UsageDetails): boolean {
  return (
    details.inputExcludesCache ||
    details.geo !== null ||
    details.speed !== null ||
    details.saidCost !== null ||
    details.cacheWrite5mTokens +
      details.cacheWrite1hTokens +
      details.audioInputTokens +
      details.audioCacheReadTokens +
      details.imageInputTokens +
      details.imageCacheReadTokens +
      details.audioOutputTokens +
      details.imageOutputTokens >
      0
  );
}
