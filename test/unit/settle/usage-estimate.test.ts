import { describe, expect, it } from 'vitest';
import { estimateUsage, highEstimate } from '../../../src/settle/usage-estimate.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { UsageReader } from '../../../src/wire/usage-reader.ts';
import { FIXTURES_MISSING, recordedBody, recordedResponses } from '../../support/fixtures.ts';
import { FORMATS, type RecordedUsage } from '../../support/recorded-usage.ts';

const UNKNOWN = { requestTextBytes: null, bytesPerToken: null };
const sent = {
  ...UNKNOWN,
  requestBytes: 10_000,
  requestTextBytes: 10_000,
  responseTextBytes: 800,
  answered: false,
};

describe('estimateUsage', () => {
  it('counts from what was relayed', () => {
    expect(estimateUsage(sent)).toEqual({ inputTokens: 1_186, outputTokens: 100 });
  });

  it('says nothing for a request that never was whole', () => {
    expect(estimateUsage({ ...sent, requestBytes: 0 }).inputTokens).toBe(0);
  });

  it('says at least one for a request that was sent, and for an answer that was given', () => {
    expect(
      estimateUsage({ ...UNKNOWN, requestBytes: 1, responseTextBytes: 0, answered: true }),
    ).toEqual({
      inputTokens: 1,
      outputTokens: 1,
    });
  });

  it('does not take images and audio for words', () => {
    expect(estimateUsage({ ...sent, requestBytes: 50_000_000 })).toEqual(estimateUsage(sent));
    const unread = { ...sent, requestBytes: 50_000_000, requestTextBytes: null };
    expect(estimateUsage(unread).inputTokens).toBeLessThanOrEqual(2_048);
  });

  it('counts a long prompt to its end', () => {
    const prompt = { ...sent, requestBytes: 600_000, requestTextBytes: 600_000 };
    expect(estimateUsage(prompt).inputTokens).toBe((600_000 - 512) / 8);
  });

  it('counts all of a prompt that is known to be text, and nothing of its pictures', () => {
    const long = { ...sent, requestBytes: 50_000_000, requestTextBytes: 640_512 };
    expect(estimateUsage(long).inputTokens).toBe(80_000);
  });

  it('goes by what was learned of the model', () => {
    const known = { ...sent, requestBytes: 640_000, requestTextBytes: 640_000, bytesPerToken: 4 };
    expect(estimateUsage(known).inputTokens).toBe(160_000);
  });

  it('has a high one beside it, which is never less', () => {
    const texts = [null, 0, 5_000, 10_000];
    for (const requestTextBytes of texts) {
      for (const bytesPerToken of [null, 1, 4, 16]) {
        const relayed = { ...sent, requestTextBytes, bytesPerToken };
        const low = estimateUsage(relayed);
        const high = highEstimate(relayed);
        expect(high.inputTokens).toBeGreaterThanOrEqual(low.inputTokens);
        expect(high.outputTokens).toBeGreaterThanOrEqual(low.outputTokens);
      }
    }
    expect(highEstimate({ ...sent, requestTextBytes: 10_000 }).inputTokens).toBe(5_000);
  });
});

describe('for recorded streams that report their usage', () => {
  const scanner = loadJsonScanner();
  const answered = (recordedResponses() as readonly RecordedUsage[]).filter(
    ({ format, usage }) => format === 'sse' && (usage['output_tokens'] ?? 0) > 0,
  );

  it('the estimate errs low for nearly all of them, and is more than nothing', (ctx) => {
    if (FIXTURES_MISSING !== null) ctx.skip(FIXTURES_MISSING);
    let low = 0;
    let nothing = 0;
    for (const entry of answered) {
      const reader = new UsageReader(scanner, FORMATS[entry.format]);
      reader.push(recordedBody(entry), true);
      reader.end();
      const { textBytes } = reader.reading();
      reader.release();
      const { outputTokens } = estimateUsage({
        ...UNKNOWN,
        requestBytes: 1_000,
        requestTextBytes: 1_000,
        responseTextBytes: textBytes,
        answered: false,
      });
      if (outputTokens <= (entry.usage['output_tokens'] ?? 0)) low++;
      if (outputTokens === 0) nothing++;
    }
    expect(answered.length).toBeGreaterThan(50);
    // What exceeds are texts that cost less than a token for eight bytes: repeated blanks, texts that are sent twice.
    expect(low / answered.length).toBeGreaterThan(0.95);
    expect(nothing / answered.length).toBeLessThan(0.25);
  });
});
