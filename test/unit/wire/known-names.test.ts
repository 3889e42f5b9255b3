import fc from 'fast-check';
import { expect, it } from 'vitest';
import { knownName } from '../../../src/wire/known-names.ts';

/** As it is asked for: somewhere in a body. */
const read = (literal: Buffer): string | null =>
  knownName(
    Buffer.concat([Buffer.from('{"m":'), literal, Buffer.from('}')]),
    5,
    5 + literal.length,
  );

it('of twenty thousand names that share its places, each is read as itself, the first time and again', () => {
  const wrong: string[] = [];
  for (let at = 0; at < 20_000; at++) {
    const name = `gpt-${at % 7_919}.${at % 13}`;
    const literal = Buffer.from(`"${name}"`);
    if (read(literal) !== name || read(literal) !== name) wrong.push(name);
  }
  expect(wrong).toEqual([]);
});

it('what it reads is what JSON.parse reads, and what has an escape or is not ASCII is left to that', () => {
  const literals = fc.oneof(
    fc.string({ maxLength: 80, unit: 'binary' }).map((text) => JSON.stringify(text)),
    fc.string({ maxLength: 80, unit: 'grapheme-ascii' }).map((text) => `"${text}"`),
  );
  fc.assert(
    fc.property(literals, (literal) => {
      const known = read(Buffer.from(literal));
      const isPlain = /^"[ !#-[\]-~]{0,64}"$/.test(literal);
      expect(known).toBe(isPlain ? JSON.parse(literal) : null);
    }),
    { numRuns: 300 },
  );
});

it.each(['"', '"gpt', '"a"b"', '"a\\"', '"a\u0000"'])('%j is no literal that it reads', (text) => {
  expect(knownName(Buffer.from(text), 0, text.length)).toBeNull();
});
