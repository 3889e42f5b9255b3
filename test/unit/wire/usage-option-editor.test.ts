import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { pathBits, REQUEST_PATH, REQUEST_PATHS } from '../../../src/wire/json-paths.ts';
import { loadJsonScanner } from '../../../src/wire/json-scanner.ts';
import {
  editedLength,
  RESERVE_BYTES,
  UsageOptionEditor,
} from '../../../src/wire/usage-option-editor.ts';
import { JsonOracle } from '../../support/json-oracle.ts';
import { anyJsonLike, anyRequestLike } from '../../support/json-texts.ts';
import { requestFixtures } from '../../support/request-fixtures.ts';
import { everyByte } from '../../support/scanner-scan.ts';

interface Edited {
  readonly body: Buffer;
  readonly edited: boolean;
  readonly asked: boolean;
  readonly model: string | null;
  readonly stream: string;
  readonly isJson: boolean;
}

const MEMBER = '"include_usage":true';
const OPTIONS = `{${MEMBER}}`;

/** What the client sent (between `>` and `<`: nothing), what must go upstream, and whether the client had asked. */
const CASES: readonly (readonly [name: string, sent: string, upstream: string, asked: boolean])[] =
  [
    ['missing', '{"stream":true}', `{"stream":true,"stream_options":${OPTIONS}}`, false],
    [
      'missing, spaced',
      '{ "stream" : true } \n',
      `{ "stream" : true ,"stream_options":${OPTIONS}} \n`,
      false,
    ],
    ['asked', '{"stream":true,"stream_options":{"include_usage":true}}', '', true],
    ['asked first', '{"stream_options":{"include_usage":true},"stream":true}', '', true],
    ['asked, no stream', '{"stream_options":{"include_usage":true}}', '', false],
    ['no stream', '{"model":"m"}', '', false],
    ['empty object', '{}', '', false],
    ['stream false', '{"stream":false,"stream_options":{"include_usage":false}}', '', false],
    ['stream null', '{"stream":null}', '', false],
    ['stream 1', '{"stream":1}', `{"stream":1,"stream_options":${OPTIONS}}`, false],
    ['stream "yes"', '{"stream":"yes"}', `{"stream":"yes","stream_options":${OPTIONS}}`, false],
    ['stream 0', '{"stream":0}', '', false],
    ['stream "False"', '{"stream":"False","stream_options":null}', '', false],
    [
      'false',
      '{"stream":true,"stream_options":{"include_usage":false}}',
      '{"stream":true,"stream_options":{"include_usage":true }}',
      false,
    ],
    [
      'null inside',
      '{"stream":true,"stream_options":{"include_usage":null}}',
      '{"stream":true,"stream_options":{"include_usage":true}}',
      false,
    ],
    [
      'zero inside',
      '{"stream":true,"stream_options":{"include_usage":0}}',
      '{"stream":true,"stream_options":{"include_usage":true}}',
      false,
    ],
    [
      'string inside',
      '{"stream":true,"stream_options":{"include_usage":"false"}}',
      '{"stream":true,"stream_options":{"include_usage":true}}',
      false,
    ],
    [
      'object inside',
      '{"stream":true,"stream_options":{"include_usage":{"a":[1]}}}',
      '{"stream":true,"stream_options":{"include_usage":true}}',
      false,
    ],
    [
      'options empty',
      '{"stream":true,"stream_options":{}}',
      `{"stream":true,"stream_options":${OPTIONS}}`,
      false,
    ],
    [
      'options empty, spaced',
      '{"stream":true,"stream_options":{ }}',
      `{"stream":true,"stream_options":{ ${MEMBER}}}`,
      false,
    ],
    [
      'options without it',
      '{"stream":true,"stream_options":{"include_obfuscation":false}}',
      `{"stream":true,"stream_options":{"include_obfuscation":false,${MEMBER}}}`,
      false,
    ],
    [
      'options null',
      '{"stream":true,"stream_options":null}',
      `{"stream":true,"stream_options":${OPTIONS}}`,
      false,
    ],
    [
      'options false',
      '{"stream":true,"stream_options":false,"a":1}',
      `{"stream":true,"stream_options":${OPTIONS},"a":1}`,
      false,
    ],
    [
      'options array',
      '{"stream":true,"stream_options":["]",{}],"a":1}',
      `{"stream":true,"stream_options":["]",{}],"a":1,"stream_options":${OPTIONS}}`,
      false,
    ],
    ['options array that breaks', '{"stream":true,"stream_options":[1,2,}', '', false],
    [
      'options null before stream',
      '{"stream_options":null,"stream":true}',
      `{"stream_options":null,"stream":true,"stream_options":${OPTIONS}}`,
      false,
    ],
    ['options null, no stream', '{"stream_options":null,"stream":false}', '', false],
    [
      'options before stream',
      '{"stream_options":{"a":1},"stream":true}',
      `{"stream_options":{"a":1,${MEMBER}},"stream":true}`,
      false,
    ],
    [
      'false before stream',
      '{"stream_options":{"include_usage":false},"stream":true}',
      '{"stream_options":{"include_usage":true },"stream":true}',
      false,
    ],
    [
      'escaped keys',
      '{"str\\u0065am":true,"stream\\u005foptions":{"\\u0069nclude_usage":false}}',
      '{"str\\u0065am":true,"stream\\u005foptions":{"\\u0069nclude_usage":true }}',
      false,
    ],
    [
      'last options win',
      '{"stream":true,"stream_options":{"include_usage":true},"stream_options":{"a":1}}',
      `{"stream":true,"stream_options":{"include_usage":true},"stream_options":{"a":1,${MEMBER}}}`,
      false,
    ],
    [
      'last options ask',
      '{"stream":true,"stream_options":{"include_usage":false},"stream_options":{"include_usage":true}}',
      '{"stream":true,"stream_options":{"include_usage":true },"stream_options":{"include_usage":true}}',
      true,
    ],
    [
      'last member wins',
      '{"stream":true,"stream_options":{"include_usage":true,"include_usage":false}}',
      '{"stream":true,"stream_options":{"include_usage":true,"include_usage":true }}',
      false,
    ],
    [
      'stream last true',
      '{"stream":false,"stream_options":{"a":1},"stream":true}',
      `{"stream":false,"stream_options":{"a":1},"stream":true,"stream_options":${OPTIONS}}`,
      false,
    ],
    ['stream last false', '{"stream":true,"stream":false}', '', false],
    [
      'not at the root',
      '{"a":{"stream":true,"stream_options":null},"b":[{"stream":true}]}',
      '',
      false,
    ],
    ['in a string', '{"a":"\\"stream\\":true","b":"{\\"stream\\":true}"}', '', false],
    ['array root', '[{"stream":true}]', '', false],
    ['string root', '"stream"', '', false],
    ['invalid', '{"stream":true,,}', '', false],
    ['cut', '{"stream":true', '', false],
    ['not JSON', 'stream=true', '', false],
  ];

/** Feeds a body in chunks cut at `cuts` and gathers what goes upstream. */
const editCut = (editor: UsageOptionEditor, sent: Buffer, cuts: readonly number[]): Edited => {
  const pieces: Buffer[] = [];
  const sink = { push: (piece: Buffer) => pieces.push(piece) > 0 };
  let from = 0;
  for (const to of [...cuts, sent.length]) {
    const chunk = sent.subarray(from, to);
    editor.edit(chunk, sink);
    from = to;
  }
  editor.end(sink);
  editor.release();
  return {
    body: Buffer.concat(pieces),
    edited: editor.edited,
    asked: editor.clientAskedForUsage,
    model: editor.facts.model,
    stream: editor.facts.stream,
    isJson: editor.facts.isJson,
  };
};

const parsed = (bytes: Buffer): unknown => {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether some parser of note reads `stream` as true: lax ones take much for it, and none takes these for anything else. */
const mayStream = (sent: Record<string, unknown>): boolean => {
  const stream = sent['stream'];
  if (typeof stream === 'string') return !/^(?:0|off|f|false|n|no)$/i.test(stream);
  return 'stream' in sent && stream !== null && stream !== false && stream !== 0;
};

/** The client's body with the option set: what the provider must read. */
const withOption = (sent: unknown): unknown => {
  if (!isObject(sent) || !mayStream(sent)) return sent;
  const options = isObject(sent['stream_options']) ? sent['stream_options'] : {};
  return { ...sent, stream_options: { ...options, include_usage: true } };
};

describe.each(['simd', 'scalar'] as const)('the usage option editor on %s', (build) => {
  const scanner = loadJsonScanner(build);
  const open = (isSized: boolean): UsageOptionEditor => {
    const editor = UsageOptionEditor.open(scanner, isSized, null);
    if (editor === undefined) throw new Error('no slot');
    return editor;
  };
  afterAll(() => expect(scanner.open).toBe(0));

  test.each(CASES)('sends %s as expected at every cut', (_name, sent, upstream, asked) => {
    const bytes = Buffer.from(sent);
    const expected = upstream === '' ? sent : upstream;
    const cuts = [everyByte(bytes), ...Array.from({ length: bytes.length + 1 }, (_, at) => [at])];
    for (const cut of cuts) {
      const chunked = editCut(open(false), bytes, cut);
      expect(chunked.body.toString()).toBe(expected);
      expect(chunked.edited).toBe(upstream !== '');
      expect(chunked.asked).toBe(asked);
      const sized = editCut(open(true), bytes, cut);
      expect(sized.body.length).toBe(bytes.length + RESERVE_BYTES);
      expect(sized.body.toString().trimEnd()).toBe(expected.trimEnd());
    }
  });

  test('every recorded request parses to itself plus the option at any cut', (ctx) => {
    const fixtures = requestFixtures();
    if (fixtures.length === 0) ctx.skip('the folder ../shared/fixtures is absent');
    for (const { name, bytes } of fixtures) {
      const sent = parsed(bytes);
      const first = editCut(open(true), bytes, []);
      expect(first.body.length, name).toBe(editedLength(bytes.length));
      expect(parsed(first.body), name).toEqual(withOption(sent));
      const differing: number[] = [];
      const steps = Math.min(bytes.length, 2_000);
      for (let i = 0; i <= steps; i++) {
        const at = Math.floor((i * bytes.length) / steps);
        if (!editCut(open(true), bytes, [at]).body.equals(first.body)) differing.push(at);
      }
      expect(differing, name).toEqual([]);
      expect(editCut(open(true), bytes, everyByte(bytes)).body.equals(first.body), name).toBe(true);
      const model = isObject(sent) && typeof sent['model'] === 'string' ? sent['model'] : null;
      expect(first.model, name).toBe(model);
    }
  });

  test('random requests parse to themselves plus the option at the declared length', () => {
    fc.assert(
      fc.property(
        fc.oneof({ weight: 4, arbitrary: anyRequestLike }, anyJsonLike),
        fc.array(fc.nat(), { maxLength: 6 }),
        (bytes, seeds) => {
          const cuts = seeds.map((n) => n % (bytes.length + 1)).sort((a, b) => a - b);
          const sent = parsed(bytes);
          const result = editCut(open(true), bytes, cuts);
          expect(result.body.length).toBe(editedLength(bytes.length));
          expect(result.isJson).toBe(sent !== undefined);
          // What is no JSON stays so; where it was found out decides how much of a correction stands before it.
          if (!isObject(sent)) return;
          expect(editCut(open(true), bytes, everyByte(bytes)).body).toEqual(result.body);
          checkEdited(result, sent, bytes);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test('a body that repeats options cannot outgrow the reserve', () => {
    const forms = ['0', 'null', '{}', '{"a":1}', '{"include_usage":0,"include_usage":1}'];
    for (const form of forms) {
      const again = `"stream_options":${form},`.repeat(50);
      const bytes = Buffer.from(`{"stream":true,${again}"z":1}`);
      const { body } = editCut(open(true), bytes, []);
      expect(body.length).toBe(bytes.length + RESERVE_BYTES);
      expect(parsed(body)).toMatchObject({ z: 1, stream_options: { include_usage: true } });
    }
  });

  test('what is dropped for a correction comes back as padding', () => {
    const bytes = Buffer.from(`{"stream":true,"stream_options":"${'x'.repeat(20_000)}"}`);
    const { body } = editCut(open(true), bytes, [9_000]);
    expect(body.length).toBe(bytes.length + RESERVE_BYTES);
    expect(parsed(body)).toEqual({ stream: true, stream_options: { include_usage: true } });
  });

  test('an untouched chunk goes on as the very same buffer', () => {
    const chunk = Buffer.from('{"model":"m","messages":[');
    const seen: Buffer[] = [];
    const editor = open(false);
    editor.edit(chunk, { push: (piece) => seen.push(piece) > 0 });
    editor.release();
    expect(seen).toHaveLength(1);
    expect(seen[0]).toBe(chunk);
  });

  test('a sink that takes no more is reported', () => {
    const editor = open(true);
    expect(editor.edit(Buffer.from('{"stream":true}'), { push: () => false })).toBe(false);
    expect(editor.edit(Buffer.from(' '), { push: () => true })).toBe(true);
    expect(editor.end({ push: () => false })).toBe(false);
    editor.release();
  });

  test('an empty body stays empty', () => {
    expect(editedLength(0)).toBe(0);
    expect(editCut(open(true), Buffer.alloc(0), []).body.length).toBe(0);
  });

  test('a model longer than 256 bytes is cut and reported', () => {
    const read = (model: string, raw = JSON.stringify(model)) => {
      const editor = open(false);
      editor.edit(Buffer.from(`{"model":${raw}}`), { push: () => true });
      editor.release();
      return [editor.facts.model, editor.facts.isModelTruncated];
    };
    expect(read('m'.repeat(256))).toEqual(['m'.repeat(256), false]);
    expect(read('m'.repeat(257))).toEqual(['m'.repeat(256), true]);
    expect(read('m'.repeat(9_000))).toEqual(['m'.repeat(256), true]);
    expect(read(`${'m'.repeat(255)}é`)).toEqual(['m'.repeat(255), true]);
    expect(read('m'.repeat(256), `"${'\\u006d'.repeat(256)}"`)).toEqual(['m'.repeat(256), false]);
    expect(read('', `"${'\\u006d'.repeat(300)}"`)).toEqual(['m'.repeat(256), true]);
  });

  test('a model given twice is the last one and is reported', () => {
    const editor = open(false);
    editor.edit(Buffer.from('{"model":"a","x":1,"mod\\u0065l":"b"}'), { push: () => true });
    editor.release();
    expect(editor.facts.model).toBe('b');
    expect(editor.facts.modelCount).toBe(2);
    expect(editor.facts.modelOffset).toBe(32);
  });
});

/** `sent` is what JSON.parse reads, so that repeated keys are settled as a provider settles them. */
const checkEdited = (result: Edited, sent: Record<string, unknown>, bytes: Buffer): void => {
  const upstream = parsed(result.body);
  expect(isObject(upstream)).toBe(true);
  if (!isObject(upstream)) return;
  const options = sent['stream_options'];
  const asked = isObject(options) && options['include_usage'] === true;
  expect(result.asked).toBe(asked && mayStream(sent));
  const { stream_options: upstreamOptions, ...upstreamRest } = upstream;
  const { stream_options: _sentOptions, ...sentRest } = sent;
  expect(upstreamRest).toEqual(sentRest);
  if (!mayStream(sent)) {
    // A body that says `stream` twice may have been corrected while it said true.
    if (times(bytes, REQUEST_PATH.stream) > 1) return;
    // Only an option object that came while `stream` was still open may have been corrected.
    expect(isObject(upstreamOptions)).toBe(isObject(options));
    if (!result.edited) expect(upstream).toEqual(sent);
    return;
  }
  if (times(bytes, REQUEST_PATH.streamOptions) > 1 || times(bytes, REQUEST_PATH.stream) > 1) {
    expect(upstreamOptions).toMatchObject({ include_usage: true });
  } else {
    expect(upstreamOptions).toEqual({ ...(isObject(options) ? options : {}), include_usage: true });
  }
};

/** How often the value at `path` occurs. */
const times = (bytes: Buffer, path: number): number =>
  new JsonOracle(bytes, REQUEST_PATHS, pathBits(path))
    .read()
    .events.filter(({ kind }) => kind === 'starts').length;
