import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RunKind } from '../../../src/guard/guard.ts';
import {
  MOST_SEEN,
  MOST_VALUE_UNITS,
  MOST_VALUES,
  PLACEHOLDER_UNITS,
  PlaceholderMap,
} from '../../../src/guard/placeholder-map.ts';

/** Has an answer put back as it comes, in pieces that are cut at `cuts`. */
function restored(
  map: PlaceholderMap,
  text: string,
  cuts: readonly number[] = [],
  kind: RunKind = 'text',
): { readonly text: string; readonly held: number } {
  let out = '';
  let from = 0;
  let held = 0;
  const ends = [...new Set(cuts)].filter((at) => at > 0 && at < text.length).sort((a, b) => a - b);
  for (const end of [...ends, text.length]) {
    const piece = text.slice(from, end);
    const { edits, settledTo } = map.restored(piece, kind, end === text.length);
    let at = 0;
    for (const edit of edits) {
      out += piece.slice(at, edit.from) + edit.text;
      at = edit.to;
    }
    out += piece.slice(at, settledTo);
    from += settledTo;
    held = Math.max(held, end - from);
  }
  return { text: out, held };
}

describe('placeholders of an exchange', () => {
  test('the same value has the same one, another value or kind another', () => {
    const map = new PlaceholderMap();
    expect(map.mask('email', 'a@x.org')).toBe('[EMAIL_1]');
    expect(map.mask('email', 'b@x.org')).toBe('[EMAIL_2]');
    expect(map.mask('email', 'a@x.org')).toBe('[EMAIL_1]');
    expect(map.mask('ip', 'a@x.org')).toBe('[IP_1]');
    expect(map.mask('US SSN/', '1')).toBe('[US_SSN__1]');
    expect(map.mask('漢', '2')).toBe('[X__1]');
  });

  test('every cut of an answer puts the same back', () => {
    const map = new PlaceholderMap();
    map.mask('email', 'a@x.org');
    map.mask('secret', '"quoted\\');
    const answer =
      'To [EMAIL_1], \\[EMAIL\\_1\\], [EMAIL\\_1] [[SECRET_1]] [EMAIL_2] [EMAIL_1 [x](y) [';
    const whole = 'To a@x.org, a@x.org, a@x.org ["quoted\\] [EMAIL_2] [EMAIL_1 [x](y) [';
    expect(restored(map, answer).text).toBe(whole);
    for (let at = 1; at < answer.length; at++) {
      expect(restored(map, answer, [at]).text).toBe(whole);
    }
    const everywhere = Array.from({ length: answer.length }, (_, at) => at);
    expect(restored(map, answer, everywhere).text).toBe(whole);
    expect(restored(map, answer, everywhere).held).toBeLessThanOrEqual(PLACEHOLDER_UNITS);
  });

  test("within a call's arguments a backslash is data", () => {
    const map = new PlaceholderMap();
    map.mask('email', 'a@x.org');
    expect(restored(map, 'C:\\[EMAIL_1]', [], 'tool_args').text).toBe('C:\\a@x.org');
    expect(restored(map, '[EMAIL\\_1]', [], 'tool_args').text).toBe('[EMAIL\\_1]');
  });

  test('any answer in any pieces is what it is whole, and nothing but placeholders is changed', () => {
    const map = new PlaceholderMap();
    for (let i = 0; i < 12; i++) map.mask('email', `user${i}@x.org`);
    const part = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'[]\\_EMAIL 1'), maxLength: 12 }),
      fc.integer({ min: 0, max: 14 }).map((number) => `[EMAIL_${number}]`),
    );
    const answers = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(answers, fc.array(fc.nat({ max: 90 })), (answer, cuts) => {
        const whole = restored(map, answer).text;
        expect(restored(map, answer, cuts).text).toBe(whole);
        // In arguments only the exact form counts, which a plain replacement finds as well.
        const exact = answer.replaceAll(
          /\[EMAIL_([1-9]|1[0-2])\]/g,
          (_, n) => `user${n - 1}@x.org`,
        );
        expect(restored(map, answer, cuts, 'tool_args').text).toBe(exact);
      }),
      { numRuns: 2_000 },
    );
  });

  test('ordinary text is never held back', () => {
    const map = new PlaceholderMap();
    expect(map.restored('see [EMAIL_1', 'text', false).settledTo).toBe(12);
    map.mask('email', 'a@x.org');
    expect(map.restored('see a[i], [link](x) and', 'text', false).settledTo).toBe(23);
    expect(map.restored('see [EMA', 'text', false).settledTo).toBe(4);
  });

  test("what looks like a placeholder in the caller's own text is never one of ours", () => {
    const map = new PlaceholderMap();
    map.saw('the template has [EMAIL_1], \\[EMAIL\\_2\\] and [IP_1]');
    expect(map.mask('email', 'a@x.org')).toBe('[EMAIL_3]');
    expect(restored(map, '[EMAIL_1] \\[EMAIL\\_2\\] [EMAIL_3]').text).toBe(
      '[EMAIL_1] \\[EMAIL\\_2\\] a@x.org',
    );
  });

  test('what it keeps has an end: behind it nothing is masked, and what was stays', () => {
    const many = new PlaceholderMap();
    for (let i = 0; i < MOST_VALUES; i++) expect(many.mask('email', `${i}@x.org`)).not.toBeNull();
    expect(many.mask('email', 'one@more.org')).toBeNull();
    expect(many.mask('email', '7@x.org')).toBe('[EMAIL_8]');

    const large = new PlaceholderMap();
    expect(large.mask('secret', 'x'.repeat(MOST_VALUE_UNITS))).toBe('[SECRET_1]');
    expect(large.mask('secret', 'y')).toBeNull();

    const hostile = new PlaceholderMap();
    hostile.saw(Array.from({ length: MOST_SEEN + 2 }, (_, i) => `[A_${i}]`).join(''));
    expect(hostile.mask('email', 'a@x.org')).toBeNull();
    expect(hostile.isEmpty).toBe(true);
  });

  test('nothing prints what it holds', () => {
    const map = new PlaceholderMap();
    map.mask('email', 'a@x.org');
    const prints = [
      inspect(map, { depth: 9, showHidden: true }),
      JSON.stringify({ map }),
      `${map}`,
    ];
    expect(prints.join()).not.toContain('a@x.org');
    expect(prints[0]).toBe('***');
    expect(structuredClone({ ...map })).toEqual({});
  });

  test('of 100,000 exchanges two at once never see what the other one masked', () => {
    const answer = 'for [EMAIL_1] and [EMAIL_2] and [EMAIL_3]';
    let before = new PlaceholderMap();
    before.mask('email', 'n@x.org');
    for (let i = 0; i < 100_000; i++) {
      const map = new PlaceholderMap();
      map.mask('email', `a${i}@x.org`);
      // The one before goes on while this one is under way.
      const other = restored(before, answer, [5 + (i % 30)]).text;
      const own = restored(map, answer, [5 + (i % 29)]).text;
      if (own !== `for a${i}@x.org and [EMAIL_2] and [EMAIL_3]` || other.includes(`a${i}@`)) {
        throw new Error(`${i}: ${own} beside ${other}`);
      }
      before = map;
    }
    expect(before.isEmpty).toBe(false);
  });
});
