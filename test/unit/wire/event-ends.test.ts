import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventEnds } from '../../../src/wire/event-ends.ts';
import { lastEventEnd, nextEventEnd } from '../../../src/wire/sse-boundaries.ts';

/** Ends of events in a whole text: behind each line of no bytes. Slow, and easy to believe. */
function slowEnds(text: string): readonly number[] {
  const ends: number[] = [];
  let line = 0;
  for (let lf = text.indexOf('\n'); lf >= 0; lf = text.indexOf('\n', line)) {
    const content = text.slice(line, lf);
    if (content === '' || content === '\r') ends.push(lf + 1);
    line = lf + 1;
  }
  return ends;
}

function fastEnds(chunks: readonly Buffer[]): readonly number[] {
  const machine = new EventEnds();
  const ends: number[] = [];
  let before = 0;
  for (const chunk of chunks) {
    for (let at = machine.next(chunk, 0); at >= 0; at = machine.next(chunk, at)) {
      ends.push(before + at);
      if (at === chunk.length) break;
    }
    before += chunk.length;
  }
  return ends;
}

const text = fc
  .array(fc.constantFrom('\n', '\r\n', '\r', 'x', 'data: y', ':'), { maxLength: 20 })
  .map((parts) => parts.join(''));

describe('EventEnds', () => {
  it('finds the ends of a whole text at every pair of cuts', () => {
    fc.assert(
      fc.property(text, (whole) => {
        const bytes = Buffer.from(whole);
        const expected = slowEnds(whole);
        for (let a = 0; a <= bytes.length; a++) {
          for (let b = a; b <= bytes.length; b++) {
            const cut = [bytes.subarray(0, a), bytes.subarray(a, b), bytes.subarray(b)];
            expect(fastEnds(cut)).toEqual(expected);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('finds them byte by byte', () => {
    fc.assert(
      fc.property(text, (whole) => {
        const bytes = Array.from(Buffer.from(whole), (byte) => Buffer.from([byte]));
        expect(fastEnds(bytes)).toEqual(slowEnds(whole));
      }),
    );
  });
});

describe('in one chunk of events', () => {
  const events = fc
    .array(fc.constantFrom('data: a\n\n', 'data: b\r\n\r\n', ': c\n\n', 'data: d\ndata: e\n\n'))
    .map((parts) => parts.join(''));

  it('the last end and the next one are those of the whole text', () => {
    fc.assert(
      fc.property(events, fc.constantFrom('', 'data: open', 'data: open\n'), (whole, rest) => {
        const bytes = Buffer.from(whole + rest);
        const ends = slowEnds(whole);
        expect(lastEventEnd(bytes, 0, bytes.length)).toBe(ends.at(-1) ?? 0);
        let start = 0;
        for (const end of ends) {
          expect(nextEventEnd(bytes, start, bytes.length)).toBe(end);
          start = end;
        }
      }),
    );
  });
});
