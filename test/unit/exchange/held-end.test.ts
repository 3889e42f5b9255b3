import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HeldEnd } from '../../../src/exchange/held-end.ts';

/** What came through, in pieces, and what is held at the end. */
function passed(pieces: readonly string[]) {
  const through: string[] = [];
  const end = new HeldEnd({
    push(piece) {
      through.push(piece.toString());
      return true;
    },
  });
  for (const piece of pieces) end.push(Buffer.from(piece));
  return { through, held: end.take().toString() };
}

describe('HeldEnd', () => {
  test('over any cuts nothing is lost or moved, nothing empty is passed on, and the last brace is held with the white space behind it', () => {
    const letter = fc.constantFrom('{', '}', '"', ' ', '\n', 'x');
    const piece = fc.array(letter, { maxLength: 6 }).map((letters) => letters.join(''));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const { through, held } = passed(pieces);
        const all = pieces.join('');
        expect(through.join('') + held).toBe(all);
        expect(through).not.toContain('');
        // What stands behind the last brace is never 64 bytes here: 12 pieces of 6 letters, mostly others.
        const end = /\}[ \n]*$/.exec(all)?.[0] ?? '';
        fc.pre(end.length <= 64);
        expect(held).toBe(end);
      }),
      { numRuns: 2_000 },
    );
  });

  test('more white space than an end of a line has is not waited for', () => {
    const space = ' '.repeat(40);
    expect(passed(['{}', space])).toEqual({ through: ['{'], held: `}${space}` });
    expect(passed(['{}', space, space])).toEqual({ through: ['{', `}${space}`, space], held: '' });
  });
});
