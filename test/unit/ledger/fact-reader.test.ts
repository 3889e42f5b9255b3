import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FactReader } from '../../../src/ledger/fact-reader.ts';
import { splitFact } from '../../../src/ledger/fact-template.ts';
import { type FactWords, factLine, requestIdOf } from '../../support/facts.ts';

const NOON = Date.parse('2026-11-28T12:00:00Z');

const words = fc.record({
  timeMs: fc.nat({ max: 200_000 }).map((ms) => NOON + ms),
  requestId: fc.nat({ max: 0xffff }).map((number) => requestIdOf(number)),
  tenantId: fc.constantFrom('1', '2', '33'),
  keyId: fc.constantFrom('7', null),
  dialect: fc.constantFrom('openai' as const, 'anthropic' as const),
  model: fc.constantFrom('gpt-5-mini', null, '":12,', '","output_tokens":9,"x":"', 'm\\"'),
  attempt: fc.constantFrom(1, 2),
  status: fc.constantFrom(200, 429, null),
  input: fc.option(fc.nat(), { nil: null }),
  cacheRead: fc.option(fc.nat(), { nil: null }),
  output: fc.option(fc.nat({ max: 12 }), { nil: null }),
  cost: fc.constantFrom('0.01', '12', '0.000000000001', null),
  traceId: fc.constantFrom('a'.repeat(32), null),
  raw: fc.constantFrom(
    '{"prompt_tokens":100,"n":{"input_tokens":3}}',
    '{"prompt_tokens":1.5,"output_tokens":-7,"time":"12"}',
    '{"prompt_tokens":12345678901234567890}',
    '{"prompt_tokens":1e3,"n":[1,2]}',
    '{"cost_usd":"1\\"2"}',
    '{}',
  ),
}) satisfies fc.Arbitrary<FactWords>;

test('a line is the same fact whatever lines were read before it', () => {
  fc.assert(
    fc.property(fc.array(words, { minLength: 2, maxLength: 30 }), (facts) => {
      const reader = new FactReader();
      // The second time each kind is known.
      for (const fact of [...facts, ...facts]) {
        const line = factLine(fact);
        const read = reader.read(line);
        expect({ template: read?.kind.template, parts: read?.parts }).toEqual(splitFact(line));
        expect(read?.atMs).toBe(fact.timeMs);
      }
    }),
    { numRuns: 200 },
  );
});

test('facts of one kind have one kind', () => {
  const reader = new FactReader();
  const kinds = new Set(
    Array.from({ length: 50 }, (_, at) => {
      const fact = {
        timeMs: NOON + at,
        requestId: requestIdOf(at),
        input: at,
        cost: `0.${at + 1}`,
      };
      return reader.read(factLine(fact))?.kind;
    }),
  );
  expect(kinds.size).toBe(1);
});

test('what is no fact is none, behind facts too', () => {
  const reader = new FactReader();
  const line = factLine({ timeMs: NOON, requestId: requestIdOf(1) });
  for (const odd of ['', '{}', '{"event":"access"}', line.slice(0, -9), line.slice(9)]) {
    expect(reader.read(odd)).toBeNull();
    expect(reader.read(line)).not.toBeNull();
    expect(reader.read(odd)).toBeNull();
  }
  expect(reader.read(line.replace('2026-11-28T12:', '2026-11-28T99:'))).toBeNull();
});
