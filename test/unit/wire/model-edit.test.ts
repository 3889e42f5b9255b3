import { Buffer } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { withModel } from '../../../src/wire/model-edit.ts';
import { MODELS_MAX, RequestFacts } from '../../../src/wire/request-facts.ts';

const scanner = loadJsonScanner();

function factsOf(body: Buffer, cuts: readonly number[]): RequestFacts {
  const facts = RequestFacts.open(scanner, null);
  if (facts === undefined) throw new Error('no scan is free');
  let at = 0;
  for (const cut of [...cuts, body.length]) {
    facts.push(body.subarray(at, cut));
    at = cut;
  }
  facts.release();
  return facts;
}

const edited = (body: Buffer, model: string, cuts: readonly number[] = []): Buffer =>
  withModel(body, factsOf(body, cuts).modelBounds, model);

const text = (body: string, model = 'gpt-4o', cuts: readonly number[] = []) =>
  edited(Buffer.from(body), model, cuts).toString();

describe('edited', () => {
  test.each([
    ['{"model":"chat","messages":[]}', '{"model":"gpt-4o","messages":[]}'],
    ['{ "model" : "chat" }', '{ "model" : "gpt-4o" }'],
    ['{"mod\\u0065l":"ch\\u0061t"}', '{"mod\\u0065l":"gpt-4o"}'],
    ['{"model":"a","n":1,"model":"chat"}', '{"model":"gpt-4o","n":1,"model":"gpt-4o"}'],
    [
      '{"metadata":{"model":"mine"},"model":"chat","tools":[{"model":"other"}]}',
      '{"metadata":{"model":"mine"},"model":"gpt-4o","tools":[{"model":"other"}]}',
    ],
    ['{"n":1}', '{"n":1}'],
    ['{"model":""}', '{"model":"gpt-4o"}'],
  ])('%s becomes %s', (body, wanted) => {
    expect(text(body)).toBe(wanted);
  });

  test('at every cut the same bytes come out, and none but the value differs', () => {
    const body =
      '{"messages":[{"role":"user","content":"é\\"model\\":\\"x\\""}],"model":"chat","n":2}';
    const wanted = body.replace('"chat"', '"anthropic/claude-sonnet-5"');
    for (let cut = 0; cut <= Buffer.byteLength(body); cut++)
      expect(text(body, 'anthropic/claude-sonnet-5', [cut])).toBe(wanted);
  });

  test('a model that stands last in 30 MB is found, and everything before it keeps its bytes (R5)', () => {
    const before = Buffer.concat([
      Buffer.from('{"input":"'),
      Buffer.alloc(30 * 1024 * 1024, 'x'),
      Buffer.from('","model":'),
    ]);
    const out = edited(Buffer.concat([before, Buffer.from('"chat"}')]), 'm', [65_536, 1_000_000]);
    expect(out.subarray(0, before.length).equals(before)).toBe(true);
    expect(out.subarray(before.length).toString()).toBe('"m"}');
  });

  test('what comes out parses to the same value but for the model, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom('a', 'model', 'stream', 'messages'),
          fc.jsonValue({ maxDepth: 3 }),
        ),
        fc.string(),
        (value, model) => {
          const out: unknown = JSON.parse(text(JSON.stringify(value), model));
          const wanted = 'model' in value ? { ...value, model } : value;
          expect(out).toEqual(JSON.parse(JSON.stringify(wanted)));
        },
      ),
    );
  });

  test('of more models than any client writes no more places are kept, and the number is told', () => {
    const body = `{${Array.from({ length: MODELS_MAX + 9 }, () => '"model":"a"').join(',')}}`;
    const facts = factsOf(Buffer.from(body), []);
    expect([facts.modelBounds.length, facts.modelCount]).toEqual([MODELS_MAX * 2, MODELS_MAX + 9]);
  });
});
