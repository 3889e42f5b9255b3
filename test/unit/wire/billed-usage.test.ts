import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BilledUsage } from '../../../src/wire/billed-usage.ts';
import { summed, type UsageCounts } from '../../../src/wire/usage-counters.ts';

const NOTHING: UsageCounts = {
  inputTokens: null,
  outputTokens: null,
  cacheReadTokens: null,
  cacheWriteTokens: null,
  reasoningTokens: null,
};

const pass = (type: string, input: number, output: number, more = {}) => ({
  type,
  input_tokens: input,
  output_tokens: output,
  cache_read_input_tokens: 0,
  cache_creation_input_tokens: 0,
  ...more,
});

function billed(...reports: readonly object[]) {
  const usage = new BilledUsage();
  for (const report of reports) usage.report(report);
  return usage.billed('served');
}

describe('passes beside the root', () => {
  it('a compaction is a line of its own, and the counts are the sum', () => {
    const { counts, lines } = billed({
      input_tokens: 162,
      output_tokens: 11,
      cache_read_input_tokens: 7,
      iterations: [
        pass('compaction', 99_195, 81, { cache_read_input_tokens: 30 }),
        pass('message', 162, 11, { cache_read_input_tokens: 7 }),
      ],
    });
    expect(counts).toMatchObject({ inputTokens: 99_357, outputTokens: 92, cacheReadTokens: 37 });
    expect(lines?.map(({ model, kind }) => `${model} ${kind}`)).toEqual([
      'served message',
      'served compaction',
    ]);
  });

  it('two passes of an advisor are one line, under its model', () => {
    const advisor = (input: number) => pass('advisor_message', input, 5, { model: 'other' });
    const { counts, lines } = billed({
      input_tokens: 30,
      output_tokens: 3,
      iterations: [pass('message', 10, 1), advisor(100), pass('message', 20, 2), advisor(200)],
    });
    expect(lines?.[1]).toMatchObject({
      model: 'other',
      kind: 'advisor_message',
      counts: { inputTokens: 300, outputTokens: 10 },
    });
    expect(counts).toMatchObject({ inputTokens: 330, outputTokens: 13 });
  });

  it.each([
    ['passes of the message alone', [pass('message', 10, 1), pass('message', 20, 2)]],
    ['no pass', []],
    ['what is no pass', [null, 5, 'x', {}]],
    ['a pass that the root holds', [pass('message', 10, 1), pass('new_kind', 20, 2)]],
    ['a fallback in place of a message', [pass('message', 9, 9), pass('fallback_message', 30, 3)]],
    ['a fallback as a part of the root', [pass('message', 10, 1), pass('fallback_message', 20, 2)]],
  ])('%s: the root is all there is', (_, iterations) => {
    expect(billed({ input_tokens: 30, output_tokens: 3, iterations })).toMatchObject({
      counts: { inputTokens: 30, outputTokens: 3 },
      lines: null,
    });
  });

  it('a fallback that the root does not hold is billed beside it', () => {
    const iterations = [pass('message', 30, 3), pass('fallback_message', 50, 5, { model: 'f' })];
    expect(billed({ input_tokens: 30, output_tokens: 3, iterations }).counts).toMatchObject({
      inputTokens: 80,
      outputTokens: 8,
    });
  });

  it('are those of the last report that tells of passes, never the largest', () => {
    const report = (input: number) => ({
      input_tokens: 1,
      output_tokens: 1,
      iterations: [pass('message', 1, 1), pass('compaction', input, 1)],
    });
    expect(billed(report(500), report(100)).counts?.inputTokens).toBe(101);
    expect(billed(report(500), { output_tokens: 9 }).counts).toMatchObject({
      inputTokens: 501,
      outputTokens: 10,
    });
    expect(
      billed(report(500), { input_tokens: 1, output_tokens: 1, iterations: [] }).lines,
    ).toBeNull();
  });

  it('add up to the counts, and are at most 16, whatever the passes', () => {
    const kinds = fc.constantFrom('message', 'compaction', 'advisor_message', 'a', 'b', '');
    const passes = fc.array(
      fc
        .tuple(kinds, fc.nat(99), fc.nat(99), fc.option(fc.string({ maxLength: 3 })))
        .map(([type, input, output, model]) => pass(type, input, output, { model })),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(passes, fc.nat(9_999), (iterations, input) => {
        const { counts, lines } = billed({ input_tokens: input, output_tokens: 7, iterations });
        if (lines === null) return;
        expect(lines.length).toBeLessThanOrEqual(16);
        expect(lines.map((line) => line.counts).reduce(summed)).toEqual(counts);
        expect(counts?.inputTokens).toBe(
          input +
            iterations.reduce(
              (sum, one) => sum + (one.type === 'message' ? 0 : one.input_tokens),
              0,
            ),
        );
      }),
    );
  });
});

describe('a later report', () => {
  it('replaces an earlier one field by field, also with less', () => {
    const fields = fc.record(
      { input_tokens: fc.nat(), output_tokens: fc.nat(), cache_read_input_tokens: fc.nat() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(fields, { maxLength: 5 }), (reports) => {
        const last = (name: keyof (typeof reports)[number]): number | null =>
          reports.map((report) => report[name]).findLast((value) => value !== undefined) ?? null;
        expect(billed(...reports).counts ?? NOTHING).toEqual({
          ...NOTHING,
          inputTokens: last('input_tokens'),
          outputTokens: last('output_tokens'),
          cacheReadTokens: last('cache_read_input_tokens'),
        });
      }),
    );
  });
});

describe('the tier that served', () => {
  it.each([
    ['Anthropic', { input_tokens: 1, service_tier: 'priority' }, 'priority'],
    ['Gemini', { promptTokenCount: 1, serviceTier: 'standard' }, 'standard'],
    ['Vertex', { promptTokenCount: 1, trafficType: 'ON_DEMAND_FLEX' }, 'ON_DEMAND_FLEX'],
    ['nobody', { prompt_tokens: 1, service_tier: null }, null],
    ['an empty word', { prompt_tokens: 1, service_tier: '' }, null],
    ['a word without end', { prompt_tokens: 1, service_tier: 'x'.repeat(65) }, null],
  ])('is what %s says in its usage', (_, usage, tier) => {
    expect(billed(usage).serviceTier).toBe(tier);
  });

  it('is the last one that was told', () => {
    const usage = new BilledUsage();
    usage.tier('auto');
    usage.report({ input_tokens: 1 });
    usage.tier('default');
    usage.tier(null);
    expect(usage.billed(null).serviceTier).toBe('default');
  });
});

describe('uses of tools', () => {
  it.each([
    [
      'Anthropic',
      { input_tokens: 1, server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 } },
      { web_search: 2 },
    ],
    [
      'xAI',
      {
        input_tokens: 1,
        num_server_side_tools_used: 3,
        num_sources_used: 4,
        server_side_tool_usage_details: { web_search_calls: 2, mcp_calls: 1 },
      },
      { web_search: 2, mcp: 1, sources: 4 },
    ],
    ['Perplexity', { prompt_tokens: 1, num_search_queries: 5 }, { search: 5 }],
    ['Cohere', { tokens: { input_tokens: 1 }, billed_units: { search_units: 1 } }, { search: 1 }],
    ['nobody', { prompt_tokens: 1 }, {}],
  ])('are counted by %s', (_, usage, uses) => {
    expect(billed(usage).toolUses).toEqual(uses);
  });

  it("are OpenAI's tool_usage, and its image model's tokens are a line", () => {
    const usage = new BilledUsage();
    usage.calls({ web_search: 9, file_search: 1 });
    usage.report({ input_tokens: 10, output_tokens: 5, total_tokens: 15 });
    usage.toolUsage({
      web_search: { num_requests: 3 },
      image_gen: { input_tokens: 20, output_tokens: 400, total_tokens: 420 },
      'bad name': { num_requests: 3 },
    });
    const { counts, lines, toolUses } = usage.billed('m');
    expect(toolUses).toEqual({ web_search: 3, file_search: 1 });
    expect(counts).toMatchObject({ inputTokens: 30, outputTokens: 405 });
    expect(lines?.[1]).toMatchObject({ model: null, kind: 'image_gen' });
    usage.toolUsage({ web_search: { num_requests: 0 }, image_gen: { input_tokens: 0 } });
    expect(usage.billed('m')).toMatchObject({ counts: { inputTokens: 10 }, lines: null });
  });
});
