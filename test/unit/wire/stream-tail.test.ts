import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventBoundary, EventNumbers, endsStream } from '../../../src/wire/stream-tail.ts';
import { blocksOf } from '../../support/event-stream-oracle.ts';

describe('EventBoundary', () => {
  /** A boundary is the end of a block; a CR at the end has ended its line. */
  const oracle = (text: string): boolean => {
    const bytes = Buffer.from(text);
    return text === '' || blocksOf(bytes).at(-1)?.end === bytes.length;
  };
  const texts = fc
    .array(fc.constantFrom('\n', '\r', 'a', ':'), { maxLength: 12 })
    .map((parts) => parts.join(''));

  it('gives the verdict of the oracle at every split of a stream', () => {
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

  it('finds the end of the first event that ends in a piece, whatever came before it', () => {
    fc.assert(
      fc.property(texts, texts, (before, piece) => {
        const boundary = new EventBoundary();
        boundary.push(Buffer.from(`a${before}`));
        const end = boundary.pushToEnd(Buffer.from(piece));
        const upTo = (length: number): string => `a${before}${piece.slice(0, length)}`;
        const ends = Array.from(piece, (_, at) => at + 1).filter((length) => oracle(upTo(length)));
        // The second half of a line end goes with the first.
        const [first = -1] = ends;
        const isHalf = first > 0 && piece[first - 1] === '\r' && piece[first] === '\n';
        expect(end).toBe(isHalf ? first + 1 : first);
      }),
      { numRuns: 5_000 },
    );
  });

  it('does not take a lone CR that may be half of a CRLF for two line ends', () => {
    const boundary = new EventBoundary();
    boundary.push(Buffer.from('data: 1\r'));
    expect(boundary.atBoundary).toBe(false);
    boundary.push(Buffer.from('\n'));
    expect(boundary.atBoundary).toBe(false);
    boundary.push(Buffer.from('\r\n'));
    expect(boundary.atBoundary).toBe(true);
  });
});

describe('endsStream', () => {
  /** The same, in one line. */
  const oracle = (piece: string): boolean =>
    ['[DONE]', '"message_stop"}'].some((end) => piece.slice(-24).includes(end));

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

describe('EventNumbers', () => {
  const nextBehind = (...pieces: readonly string[]): number => {
    const numbers = new EventNumbers();
    for (const piece of pieces) numbers.push(Buffer.from(piece));
    return numbers.next;
  };
  const event = (number: number, text: string): string =>
    `event: x\ndata: ${JSON.stringify({ type: 'x', delta: text, sequence_number: number })}\n\n`;

  it('counts on from the last event that ends with its number, whatever its text says', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string(), { minLength: 1, maxLength: 5 }),
        fc.nat(1_000),
        (texts, first) => {
          const events = texts.map((text, at) =>
            event(first + at, `"sequence_number":7}\n\n${text}`),
          );
          expect(nextBehind(...events)).toBe(first + texts.length);
          expect(nextBehind(events.join(''))).toBe(first + texts.length);
        },
      ),
    );
  });

  it('is the number of pieces where events end with something else', () => {
    expect(nextBehind()).toBe(0);
    const pieces = [
      'data: {"sequence_number":9,"x":"y"}\n\n',
      ': 7}\n',
      'data: [DONE]\n\n',
      '}\n',
      '',
    ];
    expect(nextBehind(...pieces)).toBe(pieces.length);
    expect(nextBehind(`data: {"sequence_number":${'9'.repeat(40)}}\n\n`)).toBe(1);
  });
});
