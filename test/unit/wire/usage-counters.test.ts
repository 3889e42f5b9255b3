import { describe, expect, it } from 'vitest';
import { replaced, usageCounts } from '../../../src/wire/usage-counters.ts';

type Expected = readonly [
  input: number | null,
  output: number | null,
  cacheRead: number | null,
  cacheWrite: number | null,
  reasoning: number | null,
];

function counted(usage: unknown): Expected | null {
  const counts = usageCounts(typeof usage === 'string' ? JSON.parse(usage) : usage);
  if (counts === null) return null;
  const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens } = counts;
  return [inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens];
}

describe('usageCounts', () => {
  const SHAPES: readonly (readonly [string, unknown, Expected])[] = [
    [
      'OpenAI chat',
      {
        prompt_tokens: 100,
        completion_tokens: 50,
        total_tokens: 150,
        prompt_tokens_details: { cached_tokens: 64, audio_tokens: 0 },
        completion_tokens_details: { reasoning_tokens: 20, audio_tokens: 0 },
      },
      [100, 50, 64, null, 20],
    ],
    [
      'OpenAI Responses with cache writes',
      {
        input_tokens: 100,
        input_tokens_details: { cached_tokens: 10, cache_write_tokens: 7 },
        output_tokens: 50,
        output_tokens_details: { reasoning_tokens: 20 },
        total_tokens: 150,
      },
      [100, 50, 10, 7, 20],
    ],
    [
      'Anthropic, whose input does not include what the cache held',
      {
        input_tokens: 3,
        cache_creation_input_tokens: 400,
        cache_read_input_tokens: 500,
        output_tokens: 50,
        output_tokens_details: { thinking_tokens: 12 },
      },
      [3, 50, 500, 400, 12],
    ],
    [
      'xAI chat, whose reasoning is beside the completion',
      {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 115,
        completion_tokens_details: { reasoning_tokens: 100 },
      },
      [10, 105, null, null, 100],
    ],
    [
      'xAI with the same words, but reasoning inside',
      {
        prompt_tokens: 10,
        completion_tokens: 105,
        total_tokens: 115,
        completion_tokens_details: { reasoning_tokens: 100 },
      },
      [10, 105, null, null, 100],
    ],
    [
      'DeepSeek',
      {
        prompt_tokens: 10,
        completion_tokens: 5,
        total_tokens: 15,
        prompt_cache_hit_tokens: 8,
        prompt_cache_miss_tokens: 2,
      },
      [10, 5, 8, null, null],
    ],
    [
      'Gemini',
      {
        promptTokenCount: 10,
        candidatesTokenCount: 5,
        thoughtsTokenCount: 7,
        totalTokenCount: 22,
        cachedContentTokenCount: 4,
      },
      [10, 12, 4, null, 7],
    ],
    [
      'Cohere',
      {
        billed_units: { input_tokens: 1, output_tokens: 2 },
        tokens: { input_tokens: 9, output_tokens: 2 },
      },
      [9, 2, null, null, null],
    ],
    [
      'Gemini, whose tools read what is in the total alone',
      {
        promptTokenCount: 32,
        candidatesTokenCount: 41,
        thoughtsTokenCount: 47,
        toolUsePromptTokenCount: 2_395,
        totalTokenCount: 2_515,
      },
      [32, 88, null, null, 47],
    ],
    [
      'Gemini, whose last event leaves the candidates out',
      { promptTokenCount: 10, totalTokenCount: 10 },
      [10, null, null, null, null],
    ],
    [
      "Gemini's OpenAI wire, whose thinking is in the total alone",
      { prompt_tokens: 66, completion_tokens: 6, total_tokens: 100 },
      [66, 34, null, null, null],
    ],
    [
      'Mistral, whose audio is beside the prompt',
      {
        prompt_tokens: 9,
        completion_tokens: 201,
        total_tokens: 585,
        prompt_tokens_details: { cached_tokens: 0, audio_tokens: 375 },
      },
      [384, 201, 0, null, null],
    ],
    [
      'OpenAI audio, which is inside the prompt',
      {
        prompt_tokens: 100,
        completion_tokens: 5,
        total_tokens: 105,
        prompt_tokens_details: { audio_tokens: 80 },
      },
      [100, 5, null, null, null],
    ],
    ['a total alone', { total_tokens: 1_012 }, [1_012, null, null, null, null]],
    [
      'a total less than its parts',
      { prompt_tokens: 7, completion_tokens: 5, total_tokens: 3 },
      [7, 5, null, null, null],
    ],
    [
      'a completion and a total',
      { completion_tokens: 5, total_tokens: 15 },
      [10, 5, null, null, null],
    ],
    ['Ollama', { prompt_eval_count: 26, eval_count: 259 }, [26, 259, null, null, null]],
    ['embeddings', { prompt_tokens: 8, total_tokens: 8 }, [8, null, null, null, null]],
    [
      'embeddings of nothing, by their completion alone',
      { completion_tokens: 0, total_tokens: 0 },
      [null, 0, null, null, null],
    ],
    [
      'sound heard, and reasoning beside the completion',
      {
        prompt_tokens: 100,
        completion_tokens: 10,
        total_tokens: 150,
        prompt_tokens_details: { audio_tokens: 30 },
        completion_tokens_details: { reasoning_tokens: 40 },
      },
      [100, 50, null, null, 40],
    ],
    [
      'Gemini, which heard sound and wrote nothing',
      {
        promptTokenCount: 10,
        totalTokenCount: 40,
        prompt_tokens_details: { audio_tokens: 30 },
      },
      [40, null, null, null, null],
    ],
    [
      'zero, which is a report',
      { prompt_tokens: 0, completion_tokens: 0 },
      [0, 0, null, null, null],
    ],
  ];
  it.each(SHAPES)('reads %s', (_, usage, expected) => {
    expect(counted(usage)).toEqual(expected);
  });

  it.each([
    ['no counter', '{}'],
    ['counters that are no numbers', '{"prompt_tokens":"1","completion_tokens":null}'],
    ['negative ones', '{"prompt_tokens":-1}'],
    ['infinite ones', '{"prompt_tokens":1e999}'],
    ['fractions', '{"prompt_tokens":1.5}'],
    ['what no sum can hold', '{"prompt_tokens":1e300}'],
  ])('finds nothing in %s', (_, text) => {
    expect(counted(text)).toBe(null);
  });
});

describe('replaced', () => {
  it('takes the later report field by field, also when it is lower', () => {
    const earlier = usageCounts({ input_tokens: 25, cache_read_input_tokens: 9, output_tokens: 8 });
    const later = usageCounts({ output_tokens: 5 });
    if (earlier === null || later === null) throw new Error('no counts');
    expect(replaced(earlier, later)).toMatchObject({
      inputTokens: 25,
      cacheReadTokens: 9,
      outputTokens: 5,
    });
    expect(replaced(null, later)).toBe(later);
  });
});
