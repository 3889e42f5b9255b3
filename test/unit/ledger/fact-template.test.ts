import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FactKind } from '../../../src/ledger/fact-kind.ts';
import { FactPartsWriter, readFactParts } from '../../../src/ledger/fact-parts.ts';
import { joinFact, splitFact, textParts } from '../../../src/ledger/fact-template.ts';
import { factLine, requestIdOf } from '../../support/facts.ts';

const words = { timeMs: Date.parse('2026-11-28T10:00:00.123Z'), requestId: requestIdOf(1) };

/** Through bytes and back. */
function again(line: string): string {
  const { template, parts } = splitFact(line);
  const bytes = new FactPartsWriter().write(parts, new Set());
  return joinFact(template, readFactParts(bytes, textParts(template), new Map()));
}

describe('a fact taken apart', () => {
  test('is the same line when it is put together again, whatever its texts hold', () => {
    const anyText = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom('":12,', 'a":1,"b', ':1,', 'x\\":1,', '"time":"x"', ',"cost_usd":"5"', '\\'),
    );
    fc.assert(
      fc.property(anyText, fc.json(), fc.nat(), (model, raw, input) => {
        const line = factLine({ ...words, model, requestedModel: model, raw, input });
        expect(again(line)).toBe(line);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    '":12,x',
    'a:12,y',
    'a\\":12,y',
    '\\":12',
    ':7}',
    '","output_tokens":9,"x":"',
    'm"',
  ])('a model named %j is nobody else, and moves no count', (model) => {
    const { template, parts } = splitFact(factLine({ ...words, model, input: 31, output: 7 }));
    const kind = new FactKind(template);
    expect(kind.group.model).toBe(model);
    expect(kind.counts(parts)).toMatchObject({ input: 31, output: 7 });
    const other = model.replace(/\d/, '8');
    if (other !== model)
      expect(splitFact(factLine({ ...words, model: other })).template).not.toBe(template);
  });

  test('facts of one kind have one template, though every number and id differs', () => {
    const one = splitFact(factLine({ ...words, input: 1, cost: '0.5', traceId: 'a'.repeat(32) }));
    const other = splitFact(
      factLine({
        ...words,
        timeMs: words.timeMs + 1,
        requestId: requestIdOf(2),
        input: 999_999,
        cost: '12.000000000001',
        traceId: 'b'.repeat(32),
      }),
    );
    expect(other.template).toBe(one.template);
  });

  test('numbers that a double changes, or that are written oddly, stay as they are', () => {
    for (const number of ['9007199254740993', '1e3', '0.10', '-5', '12345678901234567890', '1.0'])
      expect(again(factLine({ ...words, raw: `{"n":${number}}` }))).toContain(`{"n":${number}}`);
  });
});

describe('what a fact counts for', () => {
  test('what went in includes what was cached, whatever the dialect', () => {
    const asked = { ...words, input: 100, cacheRead: 60 };
    const inputOf = (line: string): number => {
      const { template, parts } = splitFact(line);
      return new FactKind(template).counts(parts).input;
    };
    expect(inputOf(factLine({ ...asked, dialect: 'openai' }))).toBe(100);
    expect(inputOf(factLine({ ...asked, dialect: 'anthropic' }))).toBe(160);
  });

  test('an answer is told by its status, what ended otherwise by how', () => {
    const statusOf = (line: string): string => new FactKind(splitFact(line).template).group.status;
    expect(statusOf(factLine({ ...words, status: 429 }))).toBe('429');
    expect(statusOf(factLine({ ...words, status: 200, outcome: 'client_gone' }))).toBe(
      'client_gone',
    );
    expect(statusOf(factLine({ ...words, status: null, outcome: 'timeout' }))).toBe('timeout');
  });
});
