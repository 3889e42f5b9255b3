import fc from 'fast-check';

const NAMES = [
  'model',
  'stream',
  'stream_options',
  'include_usage',
  'usage',
  'message',
  'response',
  'x_groq',
  'error',
  'a',
  '',
];

const space = fc.constantFrom('', '', '', ' ', '\n  ', '\t', '\r\n', ' '.repeat(70));

/** One character of a string literal, written in one of its spellings. */
const stringPiece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'model', '{', '}', '[', ']', ',', ':', 'é', '😀') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('\\"', '\\\\', '\\/', '\\n', '\\u0065', '\\ud83d\\ude00'),
  },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 140 }).map((n) => 'x'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 70 }).map((n) => '\\\\'.repeat(n)) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }).map((n) => '\\u00e9'.repeat(n)) },
);
const stringText = fc.array(stringPiece, { maxLength: 6 }).map((pieces) => `"${pieces.join('')}"`);

const spelled = (name: string): fc.Arbitrary<string> =>
  fc.array(fc.boolean(), { minLength: name.length, maxLength: name.length }).map((isEscaped) => {
    const letters = [...name].map((letter, i) =>
      isEscaped[i] === true ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}` : letter,
    );
    return `"${letters.join('')}"`;
  });

const keyText = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...NAMES).map((name) => JSON.stringify(name)) },
  { weight: 1, arbitrary: fc.constantFrom(...NAMES).chain(spelled) },
  { weight: 1, arbitrary: stringText },
);

const scalarText = fc.oneof(
  fc.constantFrom(
    'true',
    'false',
    'null',
    '0',
    '-1',
    '12',
    '3.25',
    '-0.5e-7',
    '1E+30',
    '123456789',
  ),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
);

const { value } = fc.letrec<{ value: string; object: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthIdentifier: 'json' },
    scalarText,
    stringText,
    fc
      .tuple(fc.array(tie('value'), { maxLength: 6, depthIdentifier: 'json' }), space, space)
      .map(([items, before, after]) => `[${before}${items.join(`${after},${before}`)}${after}]`),
    tie('object'),
  ),
  object: fc
    .tuple(
      fc.array(fc.tuple(keyText, tie('value')), { maxLength: 6, depthIdentifier: 'json' }),
      space,
      space,
    )
    .map(([members, before, after]) => {
      const texts = members.map(([key, member]) => `${key}${after}:${before}${member}`);
      return `{${before}${texts.join(`${after},${before}`)}${after}}`;
    }),
}));

const text = fc.tuple(space, value, space).map((parts) => parts.join(''));

/** Bytes that make or break structure, and a few that do neither. */
const NOISE = '{}[],:"\\ \n\t0123456789.eE+-truefalsn\u0001xu/é';

/** JSON, or JSON with a few bytes replaced, taken out or put in. */
export const anyJsonLike: fc.Arbitrary<Buffer> = fc
  .tuple(
    text,
    fc.oneof(
      { weight: 1, arbitrary: fc.constant([]) },
      {
        weight: 1,
        arbitrary: fc.array(
          fc.tuple(
            fc.nat(),
            fc.nat(2),
            fc.constantFrom(...NOISE),
            fc.constantFrom('', '', '"', ','),
          ),
          { minLength: 1, maxLength: 2 },
        ),
      },
    ),
  )
  .map(([json, edits]) => {
    let broken = json;
    for (const [place, drop, byte, more] of edits) {
      const at = place % (broken.length + 1);
      broken = broken.slice(0, at) + byte + more + broken.slice(at + drop);
    }
    return Buffer.from(broken);
  });

const optionsText = fc.oneof(
  fc.constantFrom('null', 'null', '{}', '{ }', '0', '"x"', '[]', 'true', 'false'),
  fc
    .array(
      fc.oneof(
        fc
          .tuple(
            spelled('include_usage'),
            fc.constantFrom('true', 'false', 'null', '0', '"false"', '{}'),
          )
          .map(([key, said]) => `${key}:${said}`),
        fc.tuple(keyText, value).map(([key, said]) => `${key} : ${said}`),
      ),
      { maxLength: 3 },
    )
    .map((members) => `{${members.join(' , ')}}`),
);

const requestMember = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom('"stream":true', '"str\\u0065am": true', '"stream":false'),
  },
  { weight: 1, arbitrary: fc.constantFrom('"stream":null', '"stream":1', '"stream":"true"') },
  { weight: 2, arbitrary: fc.tuple(spelled('model'), stringText).map((pair) => pair.join(':')) },
  { weight: 3, arbitrary: optionsText.map((said) => `"stream_options":${said}`) },
  { weight: 1, arbitrary: optionsText.map((said) => `"stre\\u0061m_options"\n:\n${said}`) },
  { weight: 2, arbitrary: fc.tuple(keyText, value).map((pair) => pair.join(':')) },
);

/** Objects with the members that a chat request may have, in any order, repeated and respelled. */
export const anyRequestLike: fc.Arbitrary<Buffer> = fc
  .tuple(space, fc.array(requestMember, { maxLength: 7 }), space)
  .map(([before, members, after]) =>
    Buffer.from(`${before}{${before}${members.join(`${after},`)}${after}}${after}`),
  );
