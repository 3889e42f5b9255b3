import { describe, expect, test } from 'vitest';
import type { Usage } from '../../../src/wire/usage-counters.ts';
import {
  NO_DETAILS,
  replacedDetails,
  summedDetails,
  usageDetails,
} from '../../../src/wire/usage-details.ts';

const details = (usage: object) => usageDetails(usage as Usage);

describe('what a price depends on beside the counters', () => {
  test.each([
    [
      'OpenAI chat',
      { prompt_tokens: 1, prompt_tokens_details: { cached_tokens: 1, audio_tokens: 0 } },
    ],
    ['Responses', { input_tokens: 1, input_tokens_details: { cached_tokens: 1 } }],
    ['Gemini', { promptTokenCount: 1, promptTokensDetails: [{ modality: 'TEXT', tokenCount: 1 }] }],
    ['a cost that is none', { prompt_tokens: 1, cost: '0.5' }],
    ['a cost below nothing', { prompt_tokens: 1, cost: -1 }],
    ['words that are none', { prompt_tokens: 1, speed: '', inference_geo: 'x'.repeat(65) }],
  ])('%s says nothing of it', (_, usage) => {
    expect(details(usage)).toBeNull();
  });

  test.each([
    [
      'Anthropic: lifetimes, place and speed',
      {
        input_tokens: 1,
        cache_read_input_tokens: 0,
        cache_creation: { ephemeral_5m_input_tokens: 2, ephemeral_1h_input_tokens: 3 },
        inference_geo: 'us',
        speed: 'fast',
      },
      {
        inputExcludesCache: true,
        cacheWrite5mTokens: 2,
        cacheWrite1hTokens: 3,
        geo: 'us',
        speed: 'fast',
      },
    ],
    [
      'OpenAI: audio and pictures, in and out, and cached audio',
      {
        prompt_tokens: 9,
        prompt_tokens_details: {
          audio_tokens: 2,
          image_tokens: 3,
          cached_tokens_details: { audio_tokens: 1, image_tokens: 2 },
        },
        completion_tokens_details: { audio_tokens: 4, image_tokens: 5 },
      },
      {
        audioInputTokens: 2,
        imageInputTokens: 3,
        imageCacheReadTokens: 2,
        audioCacheReadTokens: 1,
        audioOutputTokens: 4,
        imageOutputTokens: 5,
      },
    ],
    [
      'Gemini: the same, by modality',
      {
        promptTokensDetails: [
          { modality: 'AUDIO', tokenCount: 2 },
          { modality: 'IMAGE', tokenCount: 3 },
        ],
        cacheTokensDetails: [
          { modality: 'AUDIO', tokenCount: 1 },
          { modality: 'IMAGE', tokenCount: 2 },
        ],
        candidatesTokensDetails: [
          { modality: 'AUDIO', tokenCount: 4 },
          { modality: 'IMAGE', tokenCount: 5 },
        ],
      },
      {
        audioInputTokens: 2,
        imageInputTokens: 3,
        imageCacheReadTokens: 2,
        audioCacheReadTokens: 1,
        audioOutputTokens: 4,
        imageOutputTokens: 5,
      },
    ],
    ['OpenRouter: its cost', { prompt_tokens: 1, cost: 5.37e-6 }, { saidCost: 5.37e-6 }],
    [
      'Perplexity: its total',
      { prompt_tokens: 1, cost: { total_cost: 0.5, request_cost: 0.1 } },
      { saidCost: 0.5 },
    ],
    ['xAI: its ticks', { prompt_tokens: 1, cost_in_usd_ticks: 7 }, { saidCost: 7 }],
  ])('%s', (_, usage, said) => {
    expect(details(usage)).toEqual({ ...NO_DETAILS, ...said });
  });

  test('a later report replaces what it says, and leaves what it does not', () => {
    const opening = { ...NO_DETAILS, inputExcludesCache: true, cacheWrite1hTokens: 3, geo: 'us' };
    const later = { ...NO_DETAILS, cacheWrite1hTokens: 4, speed: 'fast' };
    expect(replacedDetails(opening, { ...NO_DETAILS, inputExcludesCache: true })).toEqual(opening);
    expect(replacedDetails(opening, null)).toBe(opening);
    expect(replacedDetails(opening, later)).toEqual({
      ...opening,
      cacheWrite1hTokens: 4,
      speed: 'fast',
    });
  });

  test('passes that are billed as one line add up', () => {
    const one = { ...NO_DETAILS, cacheWrite5mTokens: 3, geo: 'us' };
    expect(summedDetails(one, null)).toBe(one);
    expect(summedDetails(one, { ...NO_DETAILS, cacheWrite5mTokens: 4 })).toEqual({
      ...one,
      cacheWrite5mTokens: 7,
    });
  });
});
