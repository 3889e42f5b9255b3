/** What a request is going to cost at a model, and whether it fits: pure, from what it asks and what is known of the model. */

import type { RequestNeeds } from '../wire/request-needs.ts';
import type { ModelTraits } from './model-traits.ts';
import type { TokenRates } from './price-door.ts';

/** Bytes of text for a token, as most prompts have it; of pictures and files, where nobody says what they cost. */
const TEXT_BYTES_PER_TOKEN = 4;
const DATA_BYTES_PER_TOKEN = 512;

/**
 * The most that a prompt can have: of 105 recorded plain requests, bytes/3 + 800 is too low for 4, bytes/3 alone for 23
 * (tools add 350 to 600 tokens that nobody sees, random text reaches 0.74 tokens a byte).
 */
const HIGH_BYTES_PER_TOKEN = 3;
const HIGH_OVERHEAD_TOKENS = 800;
const HIGH_DATA_BYTES_PER_TOKEN = 64;

/** Above what was learned of a model: code and JSON have a quarter more tokens a byte than the prose beside them. */
const LEARNED_MARGIN = 1.25;

type PromptSize = Pick<RequestNeeds, 'textBytes' | 'dataBytes'>;

/** What an answer is taken to have that no limit was asked for. */
const OUTPUT_ASSUMED_TOKENS = 8_192;
/** A share of the limit, as answers mostly have it: what counts for an expected cost, and no more than this. */
const OUTPUT_SHARE = 0.25;
const OUTPUT_EXPECTED_TOKENS = 1_024;

/** Tokens of the prompt, as they are expected. */
export function inputTokens({ textBytes, dataBytes }: RequestNeeds): number {
  return Math.ceil(textBytes / TEXT_BYTES_PER_TOKEN + dataBytes / DATA_BYTES_PER_TOKEN);
}

/** Tokens of the prompt at most. */
export function inputTokensHigh(
  { textBytes, dataBytes }: PromptSize,
  { tokensPerByte }: ModelTraits,
): number {
  const text =
    tokensPerByte === null ? textBytes / HIGH_BYTES_PER_TOKEN : textBytes * tokensPerByte;
  return Math.ceil(text + dataBytes / HIGH_DATA_BYTES_PER_TOKEN) + HIGH_OVERHEAD_TOKENS;
}

/**
 * Tokens of a prompt that nobody counts, for a caller who asks: agents shorten their conversation by it, so that it errs
 * high. A low one lets a conversation outgrow its window.
 * @param bytesPerToken as it was learned of the model; null = nothing was
 */
export function countedTokens(
  size: PromptSize,
  traits: ModelTraits,
  bytesPerToken: number | null,
): number {
  if (bytesPerToken === null || traits.tokensPerByte !== null) return inputTokensHigh(size, traits);
  const text = (size.textBytes / bytesPerToken) * LEARNED_MARGIN;
  return Math.ceil(text + size.dataBytes / HIGH_DATA_BYTES_PER_TOKEN);
}

/** Tokens of the answer at most, all choices together. */
function outputTokensHigh(
  { outputTokens, choices }: RequestNeeds,
  { maxOutputTokens }: ModelTraits,
): number {
  const most = maxOutputTokens ?? Number.POSITIVE_INFINITY;
  return Math.min(outputTokens ?? OUTPUT_ASSUMED_TOKENS, most) * choices;
}

/**
 * What it will cost, as far as one can say, in pico-dollars.
 * @param warmTokens of the prompt that this model has cached; the others are written into its cache where it keeps one
 * @param caches false: the model caches nothing of this request
 */
export function expectedCost(
  needs: RequestNeeds,
  rates: TokenRates,
  warmTokens: number,
  caches: boolean,
): number {
  const tokens = inputTokens(needs);
  const warm = caches ? Math.min(warmTokens, tokens) : 0;
  const cold = caches ? Math.max(rates.input, rates.cacheWrite) : rates.input;
  const answer =
    Math.min(
      OUTPUT_EXPECTED_TOKENS,
      Math.ceil((needs.outputTokens ?? OUTPUT_ASSUMED_TOKENS) * OUTPUT_SHARE),
    ) * needs.choices;
  return Math.ceil(
    rates.perRequest + warm * rates.cacheRead + (tokens - warm) * cold + answer * rates.output,
  );
}

/** The most that it can cost, but for fees of the provider's own tools, in pico-dollars: what a limit is compared with. */
export function highestCost(needs: RequestNeeds, rates: TokenRates, traits: ModelTraits): number {
  const written = needs.marksCache ? Math.max(rates.input, rates.cacheWrite) : rates.input;
  return Math.ceil(
    rates.perRequest +
      inputTokensHigh(needs, traits) * written +
      outputTokensHigh(needs, traits) * rates.output,
  );
}

/** What a model cannot, or is not known to. */
export type Lack = 'context' | 'images' | 'tools' | 'json_schema' | 'audio' | 'choices';

/** @property isSaid the model is said not to; else nobody says that it can */
interface Unfit {
  readonly lack: Lack;
  readonly isSaid: boolean;
}

/**
 * What keeps a request from a model; null: it fits. What is said counts before what is not known.
 * @param takesChoices whether it answers `n` times at once
 */
export function unfitness(
  needs: RequestNeeds,
  traits: ModelTraits,
  takesChoices: boolean,
): Unfit | null {
  let unknown: Lack | null = null;
  for (const lack of LACKS) {
    const can = meets(lack, needs, traits, takesChoices);
    if (can === false) return { lack, isSaid: true };
    if (can === null) unknown ??= lack;
  }
  return unknown === null ? null : { lack: unknown, isSaid: false };
}

const LACKS: readonly Lack[] = ['images', 'tools', 'json_schema', 'audio', 'choices', 'context'];

/** @returns whether nothing of that is asked for, or the model has it; null = nobody says */
function meets(
  lack: Lack,
  needs: RequestNeeds,
  traits: ModelTraits,
  takesChoices: boolean,
): boolean | null {
  switch (lack) {
    case 'images':
      return needs.images ? traits.images : true;
    case 'tools':
      return needs.tools ? traits.tools : true;
    case 'json_schema':
      return needs.jsonSchema ? traits.jsonSchema : true;
    case 'audio':
      return needs.audio ? traits.audio : true;
    case 'choices':
      return needs.choices > 1 && !takesChoices ? null : true;
    case 'context': {
      const { contextTokens } = traits;
      return contextTokens === null ? null : inputTokensHigh(needs, traits) <= contextTokens;
    }
  }
}
