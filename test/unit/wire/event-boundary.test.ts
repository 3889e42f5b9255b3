import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EventBoundary } from '../../../src/wire/event-boundary.ts';

/** Slow oracle: splits into lines as WHATWG HTML §9.2.6 does; a boundary is an end behind an empty line. */
function oracle(text: string): boolean {
  if (text === '') return true;
  const normal = text.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
  return normal.endsWith('\n\n') || normal === '\n';
}

const texts = fc
  .array(fc.constantFrom('\n', '\r', 'a', ':'), { maxLength: 12 })
  .map((parts) => parts.join(''));

it('every split of a stream gives the verdict of the oracle', () => {
  fc.assert(
    fc.property(texts, fc.nat(12), fc.nat(12), (text, first, second) => {
      const bytes = Buffer.from(text);
      const [from, to] = [Math.min(first, second), Math.max(first, second)];
      const boundary = new EventBoundary();
      for (const piece of [bytes.subarray(0, from), bytes.subarray(from, to), bytes.subarray(to)])
        boundary.push(piece);
      expect(boundary.atBoundary).toBe(oracle(text));
    }),
    { numRuns: 5_000 },
  );
});

it('a lone CR that may be half of a CRLF is not taken for two line ends', () => {
  const boundary = new EventBoundary();
  boundary.push(Buffer.from('data: 1\r'));
  expect(boundary.atBoundary).toBe(false);
  boundary.push(Buffer.from('\n'));
  expect(boundary.atBoundary).toBe(false);
  boundary.push(Buffer.from('\r\n'));
  expect(boundary.atBoundary).toBe(true);
});
