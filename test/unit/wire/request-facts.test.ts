import { describe, expect, it } from 'vitest';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { RequestFacts } from '../../../src/wire/request-facts.ts';
import { SpendingFields } from '../../../src/wire/spending-fields.ts';

const scanner = loadJsonScanner();

function read(chunks: readonly Buffer[]): RequestFacts {
  const facts = RequestFacts.open(scanner, new SpendingFields());
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

describe('how long an answer may be', () => {
  it.each([
    ['{"max_tokens":100}', 100, 1],
    ['{"model":"m","max_completion_tokens" : 4096 ,"n":2}', 4_096, 2],
    ['{"max_output_tokens":"64"}', 64, 1],
    ['{"max_tokens":5,"max_tokens":70,"max_completion_tokens":6}', 70, 1],
    ['{"max_tokens":1e3,"best_of":4,"n":2}', 1_000, 4],
    ['{"generationConfig":{"maxOutputTokens":9,"candidateCount":3}}', 9, 3],
    ['{"generation_config":{"max_output_tokens":9,"candidate_count":3}}', 9, 3],
    ['{"options":{"num_predict":12}}', 12, 1],
    ['{"max_tok\\u0065ns":8}', 8, 1],
    ['{"max_tokens":null}', null, 1],
    ['{"max_tokens":-1}', null, 1],
    ['{"metadata":{"max_tokens":5},"messages":[{"max_tokens":6}]}', null, 1],
  ])('%s', (body, outputTokens, choices) => {
    everywhere(body, ({ spending }) => {
      expect(spending).toMatchObject({ outputTokens, choices });
    });
  });

  it('the tier, the speed and the place that are asked for are read, and nothing that is no word', () => {
    everywhere('{"service_tier":"flex","speed":"fast","inference_geo":"us"}', ({ spending }) => {
      expect(spending).toMatchObject({ serviceTier: 'flex', speed: 'fast', inferenceGeo: 'us' });
    });
    everywhere('{"service_tier":{"a":1},"speed":7}', ({ spending }) =>
      expect(spending).toMatchObject({ serviceTier: null, speed: null }),
    );
  });
});
