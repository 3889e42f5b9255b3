import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endsStream } from '../../../src/wire/stream-end.ts';

/** The same, in one line. */
const oracle = (piece: string): boolean =>
  ['[DONE]', '"message_stop"}'].some((end) => piece.slice(-24).includes(end));

describe('endsStream', () => {
  it('knows the ends of chat streams and of messages, behind any line end', () => {
    for (const end of ['data: [DONE]', 'data:[DONE]', 'data: {"type":"message_stop"}']) {
      for (const lineEnd of ['', '\n', '\n\n', '\r\n\r\n']) {
        expect(endsStream(Buffer.from(`data: {}\n\n${end}${lineEnd}`))).toBe(true);
      }
    }
    expect(endsStream(Buffer.from('data: {"delta":"x"}\n\n'))).toBe(false);
  });

  it('agrees with a search of the last 24 characters', () => {
    const part = fc.constantFrom(
      '[DONE]',
      '[DONE',
      '"message_stop"}',
      '"message_stop"',
      '[',
      '"',
      '\n',
      ' ',
      'x',
      '}',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const piece = parts.join('');
        expect(endsStream(Buffer.from(piece, 'latin1'))).toBe(oracle(piece));
      }),
      { numRuns: 2_000 },
    );
  });
});
