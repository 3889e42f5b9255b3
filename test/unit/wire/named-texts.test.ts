import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NamedTexts, type Place, TEXT_MAX_BYTES } from '../../../src/wire/named-texts.ts';
import { REQUEST_STATE, SEALED, TOOL_TYPE } from '../../../src/wire/state-places.ts';

type Told = readonly [place: string, text: string | null];

/** What is told of a body that comes in these pieces. */
function told(pieces: readonly Buffer[], root: Place = REQUEST_STATE): readonly Told[] {
  const all: Told[] = [];
  const texts = new NamedTexts(root, { onText: (place, text) => all.push([place, text]) });
  for (const piece of pieces) texts.push(piece);
  return all;
}

/** Without what kinds of tools there are. */
function toldOf(body: unknown): readonly Told[] {
  return told([Buffer.from(JSON.stringify(body))]).filter(([place]) => place !== TOOL_TYPE);
}

/** The same by way of `JSON.parse`. */
function expected(value: unknown, place: Place | null): readonly Told[] {
  if (place === null) return [];
  if (typeof value === 'string') return place.tells === null ? [] : [[place.tells, value]];
  if (Array.isArray(value)) return value.flatMap((one) => expected(one, place));
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    expected(inner, place.members.get(name) ?? place.others),
  );
}

/** Cut after each of these lengths, in turn. */
function cut(bytes: Buffer, lengths: readonly number[]): readonly Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(bytes.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

const NAMES = [
  'input',
  'content',
  'file_id',
  'file_ids',
  'tools',
  'container',
  'conversation',
  'id',
  'source',
  'previous_response_id',
  'messages',
  'output',
  'prompt',
  'variables',
  'x',
  'input_schema',
  'a"b\\',
];
const { body } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom('resp_1', '\\"', 'a\\', '{"file_id":"no"}', 1, null, true),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('body'),
  ),
  body: fc.dictionary(fc.constantFrom(...NAMES), tie('value'), { maxKeys: 5 }),
}));

describe('the texts at places of a body', () => {
  it('are those that JSON.parse finds there, over any cuts', () => {
    fc.assert(
      fc.property(
        body,
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        (value, lengths, isPretty) => {
          const bytes = Buffer.from(JSON.stringify(value, null, isPretty ? 2 : 0));
          expect(told(cut(bytes, lengths))).toEqual(
            expected(JSON.parse(bytes.toString()), REQUEST_STATE),
          );
        },
      ),
      { numRuns: 400 },
    );
  });

  it.each(['utf16le', 'utf16be', 'utf32le', 'utf32be'] as const)('are read in %s', (encoding) => {
    const text = '{"x":"≢ \\" \u2200","previous_response_id":"resp_1"}';
    const narrow = [...text].map((character) => character.codePointAt(0) ?? 0);
    const width = encoding.startsWith('utf16') ? 2 : 4;
    const bytes = Buffer.alloc(narrow.length * width);
    narrow.forEach((code, at) => {
      if (encoding === 'utf16le') bytes.writeUInt16LE(code, at * 2);
      else if (encoding === 'utf16be') bytes.writeUInt16BE(code, at * 2);
      else if (encoding === 'utf32le') bytes.writeUInt32LE(code, at * 4);
      else bytes.writeUInt32BE(code, at * 4);
    });
    expect(told([bytes])).toEqual([['previous_response_id', 'resp_1']]);
    expect(told(cut(bytes, [1]))).toEqual([['previous_response_id', 'resp_1']]);
    expect(told(cut(bytes, [5, 3]))).toEqual([['previous_response_id', 'resp_1']]);
  });

  it('are found under a name that is spelled with escapes, and told decoded', () => {
    const body =
      '{"previous\\u005fresponse_id":"resp\\u005f1","conv\\u0065rsation":{"\\u0069d":"c"}}';
    expect(told([Buffer.from(body)])).toEqual([
      ['previous_response_id', 'resp_1'],
      ['conversation', 'c'],
    ]);
  });

  it('are told once for each time that a name stands there', () => {
    const body = '{"previous_response_id":"mine","previous_response_id":"theirs"}';
    expect(told([Buffer.from(body)]).map(([, text]) => text)).toEqual(['mine', 'theirs']);
  });

  it('are read of what only lax parsers take', () => {
    const body = '{"temperature":NaN,"input":[],,"previous_response_id" : "resp_1"}';
    expect(told([Buffer.from(body)])).toEqual([['previous_response_id', 'resp_1']]);
  });

  it('are none of those in the arguments and schemas of own tools', () => {
    const own = { file_id: 'drive-7', previous_response_id: 'x', container: 'y' };
    expect(
      toldOf({
        metadata: own,
        tools: [{ type: 'function', parameters: { properties: own }, input_schema: own }],
        messages: [{ role: 'assistant', content: [{ type: 'tool_use', input: own }] }],
        input: [{ type: 'function_call', arguments: JSON.stringify(own) }],
      }),
    ).toEqual([]);
  });

  it("are found in every place of the vendors' references", () => {
    const file = (id: string) => ({ type: 'input_file', file_id: id });
    const found = toldOf({
      previous_response_id: 'resp_1',
      conversation: 'conv_1',
      container: { id: 'container_1' },
      input: [
        { role: 'user', content: [file('f1')] },
        { type: 'function_call_output', output: [file('f2')] },
      ],
      messages: [
        {
          content: [
            { type: 'document', source: { type: 'file', file_id: 'f3' } },
            { type: 'file', file: { file_id: 'f4' } },
          ],
        },
        {
          content: [
            { type: 'container_upload', file_id: 'f5' },
            { type: 'tool_result', content: [{ source: { file_id: 'f6' } }] },
          ],
        },
      ],
      tools: [
        { type: 'file_search', vector_store_ids: ['vs_1', 'vs_2'] },
        { type: 'code_interpreter', container: 'cntr_1' },
        { type: 'code_interpreter', container: { type: 'auto', file_ids: ['f7'] } },
        { type: 'image_generation', input_image_mask: { file_id: 'f8' } },
      ],
      prompt: { id: 'pmpt_1', variables: { any: file('f9') } },
    });
    expect(found.map(([, id]) => id)).toEqual([
      'resp_1',
      'conv_1',
      'container_1',
      'f1',
      'f2',
      'f3',
      'f4',
      'f5',
      'f6',
      'vs_1',
      'vs_2',
      'cntr_1',
      'f7',
      'f8',
      'f9',
    ]);
  });

  it('say what is sealed for the account that made it', () => {
    expect(
      toldOf({
        input: [{ type: 'reasoning', encrypted_content: 'gAAAA' }],
        messages: [
          {
            content: [
              { type: 'thinking', thinking: '…', signature: 'EqQ' },
              { type: 'redacted_thinking', data: 'EmM' },
            ],
          },
        ],
        contents: [{ parts: [{ thoughtSignature: 'CiQ' }] }],
      }).map(([place]) => place),
    ).toEqual([SEALED.openai, SEALED.anthropic, SEALED.anthropic, SEALED.gemini]);
  });

  it('are not lost behind a long text, wherever it is cut, however its backslashes lie', () => {
    for (let backslashes = 0; backslashes < 6; backslashes++) {
      const tail = `${'\\'.repeat(backslashes)}","previous_response_id":"no`;
      const text = `${'a'.repeat(40)}${tail}${'b'.repeat(40)}${tail}`;
      for (const name of ['input', 'instructions']) {
        const body = Buffer.from(
          JSON.stringify({ [name]: text, x: [text], previous_response_id: 'r' }),
        );
        for (let at = 1; at < body.length; at++) {
          const pieces = [body.subarray(0, at), body.subarray(at)];
          expect(told(pieces)).toEqual([['previous_response_id', 'r']]);
        }
      }
    }
  });

  it('is null for one that is longer than any id, and the next one is read again', () => {
    const long = 'x'.repeat(TEXT_MAX_BYTES + 1);
    expect(toldOf({ previous_response_id: long, conversation: 'c' })).toEqual([
      ['previous_response_id', null],
      ['conversation', 'c'],
    ]);
  });

  it('takes bounded memory of brackets without end', () => {
    const body = Buffer.from(`{"input":${'['.repeat(1_000_000)}`);
    expect(
      told([body, Buffer.from(']'.repeat(1_000_000)), Buffer.from(',"previous_response_id":"r"}')]),
    ).toEqual([['previous_response_id', 'r']]);
  });
});

/** A body for each place that tells something, as the references have it. */
function bodiesOf(place: Place): readonly unknown[] {
  const members = [...place.members].flatMap(([name, inner]) =>
    bodiesOf(inner).map((value) => ({ [name]: value })),
  );
  const others =
    place.others === null ? [] : bodiesOf(place.others).map((value) => ({ any: value }));
  return [...(place.tells === null ? [] : ['id']), ...members, ...others];
}

describe('each place there is', () => {
  const bodies = bodiesOf(REQUEST_STATE).map((body) => JSON.stringify(body));

  it('is found, with any character of any name on the way to it escaped, wherever the body is cut', () => {
    expect(bodies.length).toBeGreaterThan(40);
    for (const body of bodies) {
      for (const [, name = ''] of body.matchAll(/"(\w+)":/g)) {
        const at = body.indexOf(`"${name}":`) + 1;
        for (let letter = 0; letter < name.length; letter++) {
          const code = name.charCodeAt(letter).toString(16).padStart(4, '0');
          const spelled = `${name.slice(0, letter)}\\u${code}${name.slice(letter + 1)}`;
          const text = body.slice(0, at) + spelled + body.slice(at + name.length);
          expect(told([Buffer.from(text)]), text).toHaveLength(1);
        }
      }
      for (let length = 1; length < body.length; length++)
        expect(told(cut(Buffer.from(body), [length]))).toHaveLength(1);
    }
  });
});
