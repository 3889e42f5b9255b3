import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineBatch } from '../../../src/outlet/line-batch.ts';
import { until } from '../../support/conditions.ts';

/** Lengths around those at which a batch is full, or a line longer than one. */
const length = fc.oneof(fc.nat(200), fc.integer({ min: 120_000, max: 280_000 }));

describe('LineBatch', () => {
  it('loses no byte of any line, and splits none', () => {
    fc.assert(
      fc.property(fc.array(length, { maxLength: 12 }), (lengths) => {
        const sent: Uint8Array[] = [];
        const batch = new LineBatch((lines) => sent.push(lines));
        const lines = lengths.map((bytes, at) => String.fromCharCode(97 + at).repeat(bytes));
        for (const line of lines) batch.add(line);
        batch.flush();
        // Looked at when all was added: what was sent is nobody else's any more.
        const texts = sent.map((bytes) => Buffer.from(bytes).toString('latin1'));
        expect(texts.join('')).toBe(lines.map((line) => `${line}\n`).join(''));
        for (const text of texts) expect(text.endsWith('\n')).toBe(true);
      }),
    );
  });

  it('sends a line by itself, soon, and many of them together', async () => {
    const sent: Uint8Array[] = [];
    const batch = new LineBatch((lines) => sent.push(lines));
    for (let i = 0; i < 100; i++) batch.add('line');
    await until('the batch', () => sent.length > 0);
    expect(sent.map(({ length: bytes }) => bytes)).toEqual([500]);
  });
});
