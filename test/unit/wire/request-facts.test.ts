import { describe, expect, it } from 'vitest';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { RequestFacts } from '../../../src/wire/request-facts.ts';

const scanner = loadJsonScanner();

function read(chunks: readonly Buffer[]): RequestFacts {
  const facts = RequestFacts.open(scanner);
  if (facts === undefined) throw new Error('no scan is free');
  for (const chunk of chunks) facts.push(chunk);
  facts.release();
  return facts;
}

/** At every split. */
function everywhere(body: string, check: (facts: RequestFacts) => void): void {
  const bytes = Buffer.from(body);
  for (let at = 0; at <= bytes.length; at++)
    check(read([bytes.subarray(0, at), bytes.subarray(at)]));
  check(read(Array.from(bytes, (byte) => Buffer.from([byte]))));
}

describe('an answer behind the response', () => {
  it.each([
    ['background', '{"background":true}'],
    ['background', '{"model":"m","input":"x","background" : true }'],
    ['background', '{"backgr\\u006fund":true}'],
    ['background', '{"background":1}'],
    ['background', '{"background":"yes"}'],
    ['background', '{"background":true,"background":false}'],
    ['background', '{"background":false,"background":true}'],
    ['deferred', '{"stream":false,"deferred":true,"model":"m"}'],
    ['background', '{"background":true,"deferred":true,"stream":true}'],
  ])('is asked for as %s in %s', (name, body) => {
    everywhere(body, ({ goesOnAs }) => expect(goesOnAs).toBe(name));
  });

  it.each([
    '{}',
    '{"background":false}',
    '{"background":null,"deferred":0}',
    '{"deferred":"false"}',
    '{"tools":[{"type":"image_generation","background":true}]}',
    '{"metadata":{"background":true,"deferred":true}}',
    '{"input":"\\"background\\":true"}',
  ])('is not asked for in %s', (body) => {
    everywhere(body, ({ goesOnAs }) => expect(goesOnAs).toBeNull());
  });

  it('leaves stream and model as they are', () => {
    everywhere('{"background":false,"stream":true,"deferred":null,"model":"m"}', (facts) => {
      expect([facts.stream, facts.model]).toEqual(['true', 'm']);
    });
  });
});
