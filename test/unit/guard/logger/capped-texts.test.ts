import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RunKind } from '../../../../src/guard/guard.ts';
import { CappedTexts, HEAD_BYTES, TAIL_BYTES } from '../../../../src/guard/logger/capped-texts.ts';
import { maskedTexts, OVERLAP_UNITS } from '../../../../src/guard/logger/masked-texts.ts';
import { PiiDetector } from '../../../../src/guard/pii/pii-detector.ts';

const detector = new PiiDetector();
const MIB = 1_048_576;

/** What would be written of these texts, each in pieces of so many units. */
function logged(texts: readonly string[], pieceUnits: number, kind: RunKind = 'text') {
  const capped = new CappedTexts();
  for (const [run, text] of texts.entries())
    for (let at = 0; at < text.length; at += pieceUnits)
      capped.add(kind, run, text.slice(at, at + pieceUnits));
  return { capped, parts: maskedTexts(capped.texts(), detector, TAIL_BYTES) };
}

const written = (parts: readonly { readonly text: string }[]): string =>
  parts.map(({ text }) => text).join('');

describe('CappedTexts', () => {
  it('keeps a text that is short enough whole, however it came', () => {
    const unit = fc.constantFrom('a', 'ä', '😀', '\ud83d', '\n');
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit, maxLength: 40 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 50 }),
        (texts, pieceUnits) => {
          const { capped } = logged(texts, pieceUnits);
          const { parts, gap, bytes } = capped.texts();
          expect(parts.map(({ text }) => text)).toEqual(texts.filter((text) => text !== ''));
          expect(gap).toBeNull();
          expect(bytes).toBeGreaterThanOrEqual(Buffer.byteLength(texts.join('')));
        },
      ),
    );
  });

  it.each([
    1,
    7,
    3_000,
    4_096,
    5_000,
    MIB,
  ])('keeps the beginning and the end of a long one in pieces of %i units, and no more', (pieceUnits) => {
    const text = Array.from({ length: 40_000 }, (_, at) => `ä${at} `).join('');
    const { capped, parts } = logged([text], pieceUnits);
    const [head = '', tail = ''] = parts.map((part) => part.text);
    expect(parts).toHaveLength(2);
    expect(text.startsWith(head)).toBe(true);
    expect(text.endsWith(tail)).toBe(true);
    expect(Buffer.byteLength(head)).toBeLessThanOrEqual(HEAD_BYTES);
    expect(Buffer.byteLength(head)).toBeGreaterThan(HEAD_BYTES - 600);
    expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(TAIL_BYTES);
    expect(Buffer.byteLength(tail)).toBeGreaterThan(TAIL_BYTES - 4);
    expect(capped.texts().bytes).toBe(Buffer.byteLength(text));
  });

  it('holds a bounded part of what comes, in one piece or in a million', () => {
    const one = new CappedTexts();
    one.add('text', 0, 'x'.repeat(20 * MIB));
    const many = new CappedTexts();
    for (let i = 0; i < 300_000; i++) many.add('tool_args', i, 'ab');
    for (const { units } of [one, many])
      expect(units).toBeLessThanOrEqual(HEAD_BYTES + 2 * (TAIL_BYTES + OVERLAP_UNITS));
    expect(many.texts().parts.length).toBeLessThan(1_100);
  });

  it('tells the runs apart, in their order', () => {
    const capped = new CappedTexts();
    capped.add('system', 0, 'be ');
    capped.add('system', 0, 'kind');
    capped.add('prompt', 1, 'hello');
    expect(capped.texts().parts).toEqual([
      { kind: 'system', text: 'be kind' },
      { kind: 'prompt', text: 'hello' },
    ]);
  });
});

describe('maskedTexts', () => {
  const VALUES = [
    'ada.lovelace@analytical.example',
    '4111 1111 1111 1111',
    'DE89 3704 0044 0532 0130 00',
  ];

  it('names what a detector finds, and leaves the rest', () => {
    const { parts } = logged([`mail ${VALUES[0]} or pay ${VALUES[1]}.`, 'nothing'], 5);
    expect(parts.map(({ text }) => text)).toEqual(['mail [EMAIL] or pay [CARD].', 'nothing']);
  });

  it.each(
    VALUES,
  )('lets no part of %s out where a text is cut within it, on either side', (value) => {
    const least = value.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, 6);
    for (let shift = 0; shift <= value.length + 2; shift++) {
      // One of them over the end of what is kept of the beginning, others over every place where the end may begin.
      const filler = 'word '.repeat(HEAD_BYTES / 5).slice(0, HEAD_BYTES - shift - 1);
      const middle = ` ${value} `.repeat(
        Math.ceil((TAIL_BYTES + 2 * OVERLAP_UNITS) / value.length),
      );
      const { parts } = logged([`${filler} ${value} ${middle}${'end '.repeat(50)}`], 1_000);
      const text = written(parts);
      expect(text).not.toContain(value.slice(0, 6));
      expect(text).not.toContain(value.slice(-6));
      expect(text.replaceAll(/[^A-Za-z0-9]/g, '')).not.toContain(least);
    }
  });

  it('lets nothing of a private key out whose beginning was thrown away', () => {
    const key = `-----BEGIN PRIVATE KEY-----\n${'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n'.repeat(60)}-----END PRIVATE KEY-----\n`;
    for (const at of [0, 500, 1_000, 2_000, 3_000]) {
      const tail = 'tail '.repeat((TAIL_BYTES + OVERLAP_UNITS - at) / 5);
      const { parts } = logged([`${'head '.repeat(HEAD_BYTES)}${key}${tail}`], 100_000);
      expect(written(parts)).not.toContain('MIIEvQ');
    }
  });
});
