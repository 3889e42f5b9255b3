import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { pathBits, RESPONSE_PATH, RESPONSE_PATHS } from '../../../src/wire/json-paths.ts';
import { loadJsonScanner, SCANS_MAX } from '../../../src/wire/json-scanner.ts';
import { isJsonByPlatform, JsonOracle, type Scanned } from '../../support/json-oracle.ts';
import { anyJsonLike, anyRequestLike } from '../../support/json-texts.ts';
import { requestFixtures } from '../../support/request-fixtures.ts';
import { everyByte, randomCuts, scanCut } from '../../support/scanner-scan.ts';

const EVERY_PATH = pathBits(...Object.values(RESPONSE_PATH));
/** Below this size every two-way cut is tried. */
const ALL_CUTS_MAX_BYTES = 32_768;
const SAMPLED_CUTS = 3_000;

const oracle = (bytes: Buffer): Scanned => new JsonOracle(bytes, RESPONSE_PATHS, EVERY_PATH).read();

const VALID = [
  ' \t\r\n{ "model" : "m" }\n',
  '{}',
  '[]',
  '"a string"',
  '12.5e-7',
  '-0',
  'null',
  '\ufeff{"model":"m"}',
  '{"mod\\u0065l":"m","str\\u0065am":true}',
  '{"\\u006dodel":"a","model":"b"}',
  '{"model":"a\\/b\\\\\\"c\\ud83d\\ude00"}',
  '{"\\ud83d\\ude00model":1,"model\\u0000":2,"mod\\u00e9l":3}',
  '{"a":"\\"model\\":\\"no\\"","b":["\\\\",{"model":"no"}],"model":"yes"}',
  '{"stream_options":{"include_usage":false,"x":{"include_usage":true}},"stream":true}',
  '{"message":{"model":"m","usage":{"a":[1,2]}},"x_groq":{"usage":{}},"error":null}',
  '{"response":{"usage":{"input_tokens":1},"model":"m"},"usageMetadata":{},"modelVersion":"v","id":1}',
  '{"message":[{"usage":1}],"response":"usage","x_groq":3,"usage":null,"usage":{"a":1}}',
  `${'['.repeat(900)}${']'.repeat(900)}`,
  `{"a":${'{"a":['.repeat(450)}1${']}'.repeat(450)},"model":"deep"}`,
  '{"a":[1,-2,3.5,4e5,5E+6,-7.25e-3,0,0.1,true,false,null,"x",[],{}]}',
];

const INVALID = [
  '',
  ' ',
  '{',
  '{"model":"m"',
  '{"model":"m"}x',
  '{"model":"m"},',
  '{"model":"m",}',
  '{"a":[1,]}',
  '{"a":[,1]}',
  '{"a":{"b"}}',
  '{"a":{"b":1,}}',
  '{"a":{"b":1 "c":2}}',
  '{"a":{,}}',
  '{"a":["b":1]}',
  '{"a":[1 2]}',
  '{"a":[}',
  '{"a":[1}}',
  '{"a":{"b":[]]}',
  '{"a":[01]}',
  '{"a":[1.]}',
  '{"a":[.5]}',
  '{"a":[1e]}',
  '{"a":[-]}',
  '{"a":[+1]}',
  '{"a":[tru]}',
  '{"a":[truee]}',
  '{"a":[nulll]}',
  '{"a":[falsy]}',
  '{"a":[NaN]}',
  '{"a":[1"b"]}',
  '{"a":["b"1]}',
  '{"a":["b""c"]}',
  '{"a":["\\x"]}',
  '{"a":["\\u12g4"]}',
  '{"a":["\\u12"]}',
  '{"a":["\n"]}',
  '{"a":"\u0001"}',
  '{"a":"\\u00"}',
  '{"\\x":1}',
  '{"\\u00zz":1}',
  '{"a"1}',
  '{1:2}',
  '{"a":1 "b":2}',
  '{"a":\u00a01}',
  "{'a':1}",
  '\ufeff\ufeff{}',
  '[1,2',
  '"open',
  'tru',
  '1.',
  '\\"',
];

/** Right and wrong spellings inside a string. */
const STRING_PIECES = [
  '\\u0123',
  '\\u012g',
  '\\u01g2',
  '\\u0g12',
  '\\ug012',
  '\\uABcd\\uefEF\\u0000',
  '\\u012\\u0123',
  '\\uabc:\\n',
  '\\u00`0',
  '\\U0123',
  '\\\\u012g',
  '\\\\\\u012g',
  '\\\\\\u012f',
  '\\x',
  '\\\\x',
  '\\\\\\x',
  '\\"\\/\\b\\f\\n\\r\\t\\\\',
  '\\v',
  "\\'",
  '\\0',
  '\\B',
  '\\\u00e9',
  '\u0000',
  '\u001f',
  '\n',
  '\u007f\u00e9\ud83d\ude00',
  `${'\\\\'.repeat(40)}`,
  `${'\\\\'.repeat(40)}\\q`,
  `${'\\"'.repeat(40)}`,
  '",5,"',
  '",x,"',
];

/** Right and wrong tokens where an array's item may stand. */
const TOKENS = [
  ...'true false null 0 -0 7 123 -45 0.5 1.25 -0.0 1e5 1E+5 2e-7 3.5e10 -1.5E-3 0e0 [] {}'.split(
    ' ',
  ),
  ...'tru truee True nul nulll fals falsee falsx 01 -01 00 - -- +1 .5 1. 1.e5 1e 1e+ 1ee5 1e5.5 1.2.3'.split(
    ' ',
  ),
  ...'-a 1a a1 1-2 1+2 0x1 NaN Infinity -Infinity e5 1e5e5 1e- [,] {,} [1,] {"a":1,} {"a"} {"a":} {1:1}'.split(
    ' ',
  ),
  ...['"', '"a" "b"', '1 2', '[] []', '1,', ',1', ':', '"a":1', '}', ']', '[', '{', '{]', '[}'],
  ...['{"a":1}', '{"a":[{"b":null}]}', '{"a" : -1.5 , "b":"c"}', '{"a":1 "b":2}', '{"a":"b":"c"}'],
  ...[
    '{"a",1}',
    '{"a":1:2}',
    '{"a":1,2}',
    '{[]:1}',
    '\\',
    '\u0001',
    '\u00e9',
    '\u00a0',
    "'a'",
    '/**/',
  ],
];

describe.each(['simd', 'scalar'] as const)('the %s build of the JSON scanner', (build) => {
  const scanner = loadJsonScanner(build);
  const scan = scanner.scan(RESPONSE_PATHS, EVERY_PATH);
  if (scan === undefined) throw new Error('no slot');
  afterAll(() => scan.release());

  test('is the build that was asked for', () => {
    expect(scanner.build).toBe(build);
  });

  test.each(VALID)('agrees with the oracle at every cut of %j', (text) => {
    const bytes = Buffer.from(text);
    const expected = oracle(bytes);
    expect(expected.isJson && isJsonByPlatform(bytes)).toBe(true);
    expect(scanCut(scan, bytes, everyByte(bytes))).toEqual(expected);
    for (let at = 0; at <= bytes.length; at++) {
      expect(scanCut(scan, bytes, [at])).toEqual(expected);
    }
  });

  test.each(INVALID)('says unknown to %j at every cut', (text) => {
    const bytes = Buffer.from(text);
    expect(oracle(bytes).isJson || isJsonByPlatform(bytes)).toBe(false);
    expect(scanCut(scan, bytes, everyByte(bytes)).isJson).toBe(false);
    for (let at = 0; at <= bytes.length; at++) {
      expect(scanCut(scan, bytes, [at]).isJson).toBe(false);
    }
  });

  test('agrees with the oracle on every split of every recorded request', (ctx) => {
    const fixtures = requestFixtures();
    if (fixtures.length === 0) ctx.skip('the folder ../shared/fixtures is absent');
    for (const { name, bytes } of fixtures) {
      const expected = oracle(bytes);
      expect(expected.isJson, name).toBe(isJsonByPlatform(bytes));
      const want = JSON.stringify(expected);
      const cuts = bytes.length <= ALL_CUTS_MAX_BYTES ? bytes.length : SAMPLED_CUTS;
      const differing: number[] = [];
      for (let i = 0; i <= cuts; i++) {
        const at = cuts === bytes.length ? i : Math.floor((i * bytes.length) / cuts);
        if (JSON.stringify(scanCut(scan, bytes, [at])) !== want) differing.push(at);
      }
      expect(differing, name).toEqual([]);
      expect(scanCut(scan, bytes, everyByte(bytes)), name).toEqual(expected);
      expect(scanCut(scan, bytes, randomCuts(bytes.length, 50)), name).toEqual(expected);
    }
  });

  test('agrees with the oracle and JSON.parse on random texts and cuts', () => {
    fc.assert(
      fc.property(
        fc.oneof(anyJsonLike, anyRequestLike),
        fc.array(fc.nat(), { maxLength: 8 }),
        (bytes, seeds) => {
          const expected = oracle(bytes);
          const cuts = seeds.map((n) => n % (bytes.length + 1)).sort((a, b) => a - b);
          expect(expected.isJson).toBe(isJsonByPlatform(bytes));
          expect(scanCut(scan, bytes, cuts)).toEqual(expected);
          expect(scanCut(scan, bytes, everyByte(bytes))).toEqual(expected);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test('judges an escape wherever it falls in a block, in every place a string may stand', () => {
    const wrong: string[] = [];
    for (const piece of STRING_PIECES) {
      for (let before = 0; before < 135; before++) {
        const text = `"${'x'.repeat(before)}${piece}${'y'.repeat(140)}"`;
        for (const json of [text, `{"a":${text},"model":"m"}`, `{"a":[${text}],"model":"m"}`]) {
          const bytes = Buffer.from(json);
          const cut = scanCut(scan, bytes, [before % 70]).isJson;
          const whole = scanCut(scan, bytes, []).isJson;
          const expected = isJsonByPlatform(bytes);
          if (whole !== expected || cut !== expected) wrong.push(json);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('judges a token wherever it falls in a block', () => {
    const wrong: string[] = [];
    for (const token of TOKENS) {
      for (let before = 0; before < 135; before++) {
        for (const filler of [' '.repeat(before), `"${'x'.repeat(before)}",`]) {
          const bytes = Buffer.from(`{"a":[${filler}${token}${' '.repeat(before % 3)}]}`);
          const expected = isJsonByPlatform(bytes);
          const cut = scanCut(scan, bytes, [before % 70]).isJson;
          if (scanCut(scan, bytes, []).isJson !== expected || cut !== expected) {
            wrong.push(bytes.toString());
          }
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('keeps interleaved scans apart', () => {
    const texts = VALID.map((text) => Buffer.from(text));
    const open = texts.map(() => scanner.scan(RESPONSE_PATHS, EVERY_PATH));
    const longest = Math.max(...texts.map(({ length }) => length));
    for (let at = 0; at < longest; at++) {
      texts.forEach((bytes, i) => {
        if (at < bytes.length) open[i]?.feed(bytes.subarray(at, at + 1), ignore);
      });
    }
    expect(open.map((one) => one?.isWhole)).toEqual(texts.map(() => true));
    for (const one of open) one?.release();
  });

  test('counts levels below the kept ones and finds what follows', () => {
    const levels = 100_000;
    const text = `{"a":${'[{"b":'.repeat(levels)}1${'}]'.repeat(levels)},"model":"m"}`;
    const bytes = Buffer.from(text);
    const told = scanCut(scan, bytes, [1_000, 6_200, 65_000, 600_011]);
    expect(told.isJson).toBe(true);
    expect(scan.isTooDeep).toBe(true);
    expect(told.events.filter(({ path }) => path === RESPONSE_PATH.model)).toEqual([
      { path: RESPONSE_PATH.model, kind: 'starts', at: text.lastIndexOf('"m"') },
      { path: RESPONSE_PATH.model, kind: 'ends', at: text.lastIndexOf('}') },
    ]);
    expect(scanCut(scan, bytes.subarray(0, bytes.length - 20), []).isJson).toBe(false);
  });

  test('checks kinds and commas on the last kept level and not below it', () => {
    const nest = (inner: string, levels: number): Buffer =>
      Buffer.from('['.repeat(levels) + inner + ']'.repeat(levels));
    expect(scanCut(scan, nest('1,,2', 1_024), []).isJson).toBe(false);
    expect(scan.isTooDeep).toBe(false);
    expect(scanCut(scan, nest('1,,2', 1_025), []).isJson).toBe(true);
    expect(scan.isTooDeep).toBe(true);
    expect(scanCut(scan, nest('[}', 1_024), []).isJson).toBe(true);
    expect(scanCut(scan, nest('[1]2', 1_024), []).isJson).toBe(false);
    expect(scanCut(scan, nest('"\\x"', 1_030), []).isJson).toBe(false);
  });

  test('takes chunks longer than one piece of module memory', () => {
    const filler = 'x\\n'.repeat(70_000);
    const bytes = Buffer.from(`{"a":["${filler}"],"b":"${filler}","model":"m","stream":true}`);
    expect(scanCut(scan, bytes, [])).toEqual(oracle(bytes));
    expect(scanCut(scan, bytes, [3, 65_539, 65_540])).toEqual(oracle(bytes));
  });

  test('memory stays flat over 2,000 texts of 64 KiB and gives slots back', () => {
    const bytes = Buffer.from(JSON.stringify({ model: 'm', messages: ['x'.repeat(65_400)] }));
    const before = scanner.memoryBytes;
    const openBefore = scanner.open;
    for (let i = 0; i < 2_000; i++) {
      const one = scanner.scan(RESPONSE_PATHS, EVERY_PATH);
      one?.feed(bytes, ignore);
      expect(one?.isWhole).toBe(true);
      one?.release();
      one?.release();
    }
    expect(scanner.memoryBytes).toBe(before);
    expect(scanner.open).toBe(openBefore);
  });

  test('refuses a scan beyond the bound and grows by 64 KiB steps up to it', () => {
    const own = loadJsonScanner(build);
    const scans = Array.from({ length: SCANS_MAX }, () => own.scan(RESPONSE_PATHS, EVERY_PATH));
    expect(scans.every((one) => one !== undefined)).toBe(true);
    expect(own.scan(RESPONSE_PATHS, EVERY_PATH)).toBeUndefined();
    expect(own.memoryBytes % 65_536).toBe(0);
    expect(own.memoryBytes).toBeLessThanOrEqual(8.2 * 1_048_576);
    const last = scans.at(-1);
    last?.feed(Buffer.from('{"model":"m"}'), ignore);
    expect(last?.isWhole).toBe(true);
    last?.release();
    expect(own.scan(RESPONSE_PATHS, EVERY_PATH)?.isWhole).toBe(false);
  });

  test('a released scan refuses bytes and remembers its verdict', () => {
    const one = scanner.scan(RESPONSE_PATHS, EVERY_PATH);
    one?.feed(Buffer.from('{}'), ignore);
    one?.release();
    expect(one?.isWhole).toBe(true);
    expect(() => one?.feed(Buffer.from('{}'), ignore)).toThrow('released');
  });
});

describe('loading the JSON scanner', () => {
  test('takes the SIMD build when nothing is asked for', () => {
    expect(loadJsonScanner('').build).toBe('simd');
  });

  test('refuses a value of AI_WASM that names no build', () => {
    expect(() => loadJsonScanner('avx')).toThrow('expected simd, scalar, or nothing');
  });
});

const ignore = { valueStarts: () => {}, valueEnds: () => {} };
