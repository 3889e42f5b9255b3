import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeptText } from '../../../src/dialect/kept-text.ts';

test('text that is kept in pieces is told unit by unit, wherever a piece ends, half characters too', () => {
  const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
  const piece = fc.string({ unit, maxLength: 2_000 });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const kept = new KeptText();
      for (const one of pieces) kept.append(one);
      const whole = pieces.join('');
      expect(kept.toString()).toBe(whole);
      expect(kept.length).toBe(whole.length);
    }),
  );
});

test('a character whose halves come in two pieces is one again', () => {
  const kept = new KeptText();
  for (const half of '🪨'.split('')) kept.append(half);
  expect(kept.toString()).toBe('🪨');
});

test('what was told stays as it was when more is kept', () => {
  const kept = new KeptText();
  kept.append('the river');
  const told = kept.toString();
  kept.append(' and the stone'.repeat(500));
  expect(told).toBe('the river');
  expect(kept.toString()).toBe(`the river${' and the stone'.repeat(500)}`);
});
