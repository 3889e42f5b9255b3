/** What the plan asks of whoever knows prices and models: the one door to them. */

import type { ModelTraits } from './model-traits.ts';

/** What one size of request costs, in pico-dollars (1e-12 USD): for each token, and once. */
export interface TokenRates {
  readonly input: number;
  readonly output: number;
  /** Tokens that come from the prompt's cache, and that go into it. */
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly perRequest: number;
}

export interface PriceDoor {
  /**
   * @param inputTokens of the whole request: long ones have rates of their own
   * @returns null = unpriced, which is not the same as free
   */
  rates(provider: string, model: string, inputTokens: number): TokenRates | null;
  traits(provider: string, model: string): ModelTraits;
  /** Every model of a provider that has a price. */
  models(provider: string): readonly string[];
}

const UNKNOWN: ModelTraits = {
  contextTokens: null,
  maxOutputTokens: null,
  images: null,
  tools: null,
  jsonSchema: null,
  audio: null,
  continuesPrefix: null,
  tokensPerByte: null,
};

/** Knows nothing. */
export const NO_PRICES: PriceDoor = {
  rates: () => null,
  traits: () => UNKNOWN,
  models: () => [],
};

/**
 * The same door, where the configuration says more of models, or otherwise.
 * @param said by `provider/model`
 */
export function withTraits(door: PriceDoor, said: ReadonlyMap<string, ModelTraits>): PriceDoor {
  if (said.size === 0) return door;
  return {
    rates: (provider, model, inputTokens) => door.rates(provider, model, inputTokens),
    traits: (provider, model) => {
      const known = door.traits(provider, model);
      const own = said.get(`${provider}/${model}`);
      return own === undefined ? known : laidOver(own, known);
    },
    models: (provider) => door.models(provider),
  };
}

function laidOver(own: ModelTraits, known: ModelTraits): ModelTraits {
  return {
    contextTokens: own.contextTokens ?? known.contextTokens,
    maxOutputTokens: own.maxOutputTokens ?? known.maxOutputTokens,
    images: own.images ?? known.images,
    tools: own.tools ?? known.tools,
    jsonSchema: own.jsonSchema ?? known.jsonSchema,
    audio: own.audio ?? known.audio,
    continuesPrefix: own.continuesPrefix ?? known.continuesPrefix,
    tokensPerByte: own.tokensPerByte ?? known.tokensPerByte,
  };
}
