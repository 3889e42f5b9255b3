import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asciiJson } from '../../../src/settle/ascii-json.ts';

describe('asciiJson', () => {
  it('says the same in ASCII, and leaves alone what is ASCII', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        const json = JSON.stringify(value);
        const ascii = asciiJson(json);
        expect(JSON.parse(ascii)).toEqual(JSON.parse(json));
        expect(Buffer.byteLength(ascii)).toBe(ascii.length);
      }),
    );
    expect(asciiJson('{"a\\u00e4":[1e2, 1.0]}')).toBe('{"a\\u00e4":[1e2, 1.0]}');
    expect(asciiJson('"ä\ud83d\ude00"')).toBe('"\\u00e4\\ud83d\\ude00"');
  });
});
