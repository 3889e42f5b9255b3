import { describe, expect, test } from 'vitest';
import { CAPTURE_MAX_BYTES, JsonCaptures } from '../../../src/wire/json-captures.ts';
import { pathBits, RESPONSE_PATH, RESPONSE_PATHS } from '../../../src/wire/json-paths.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import { everyByte } from '../../support/scanner-scan.ts';

const {
  model,
  usage,
  usageMetadata,
  messageUsage,
  responseModel,
  responseUsage,
  xGroqUsage,
  error,
} = RESPONSE_PATH;
const WANTED = pathBits(
  model,
  usage,
  usageMetadata,
  messageUsage,
  responseModel,
  responseUsage,
  xGroqUsage,
  error,
);

const KINDS = (['simd', 'scalar'] as const).flatMap((build) => [
  { build, lends: false, kind: 'copied' },
  { build, lends: true, kind: 'lent where they lie whole' },
]);

describe.each(KINDS)('captures of a response on $build, $kind,', ({ build, lends }) => {
  const scanner = loadJsonScanner(build);
  const captured = (text: string, cuts: readonly number[]): JsonCaptures => {
    const captures = JsonCaptures.open(scanner, RESPONSE_PATHS, WANTED);
    if (captures === undefined) throw new Error('no slot');
    const bytes = Buffer.from(text);
    let from = 0;
    for (const to of [...cuts, bytes.length]) {
      captures.push(bytes.subarray(from, to), lends);
      from = to;
    }
    captures.release();
    // They are still to be sent on.
    expect(bytes.toString()).toBe(text);
    return captures;
  };
  const everyCut = (text: string): readonly (readonly number[])[] => {
    const bytes = Buffer.from(text);
    return [everyByte(bytes), ...everyByte(bytes).map((at) => [at])];
  };

  test('hold the raw bytes of each wanted value at every cut', () => {
    const text =
      '{"model":"a\\u0062","usage" : {"n":[1, 2],"s":"}"} ,"message":{"usage":{"x":1}},' +
      '"response":{"usage":null,"model":"r","output":[{"usage":1}]},"x_groq":{"usage":-12.5}}';
    for (const cuts of everyCut(text)) {
      const captures = captured(text, cuts);
      expect(captures.isJson).toBe(true);
      const at = (path: number): string | undefined => captures.at(path)?.bytes.toString();
      expect(
        [model, usage, messageUsage, responseUsage, responseModel, xGroqUsage].map(at),
      ).toEqual(['"a\\u0062"', '{"n":[1, 2],"s":"}"}', '{"x":1}', 'null', '"r"', '-12.5']);
      expect(captures.at(error)).toBeUndefined();
      expect(captures.at(usageMetadata)).toBeUndefined();
    }
  });

  test('keep the last value of a path that comes twice', () => {
    const text = '{"usage":{"a":1111},"choices":[],"usage":{"a":2},"error":{}}';
    for (const cuts of everyCut(text)) {
      const captures = captured(text, cuts);
      expect(captures.at(usage)?.bytes.toString()).toBe('{"a":2}');
      expect(captures.at(usage)?.count).toBe(2);
      expect(captures.at(error)?.count).toBe(1);
    }
  });

  test('cut a value at their limit and say so', () => {
    const fits = `"${'x'.repeat(CAPTURE_MAX_BYTES - 2)}"`;
    for (const cuts of [[], [2_000, 2_001, 4_500], everyByte(Buffer.from(fits))]) {
      const whole = captured(`{"usage":${fits}}`, cuts).at(usage);
      expect([whole?.bytes.length, whole?.isTruncated]).toEqual([CAPTURE_MAX_BYTES, false]);
      const over = captured(`{"usage":${fits.slice(0, -1)}y"}`, cuts).at(usage);
      expect([over?.bytes.length, over?.isTruncated]).toEqual([CAPTURE_MAX_BYTES, true]);
    }
  });

  test('give no value that the end of the text cut off', () => {
    const text = '{"model":"m","usage":{"a":1},"usage":{"b":22';
    for (const cuts of [[], [5, 20], [40]]) {
      const captures = captured(text, cuts);
      expect(captures.isJson).toBe(false);
      expect(captures.at(usage)).toBeUndefined();
      expect(captures.at(model)?.text()).toBe('"m"');
    }
  });
});
