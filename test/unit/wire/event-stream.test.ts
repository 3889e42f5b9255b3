import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventStream, lastBlockStart } from '../../../src/wire/event-stream.ts';
import { type Block, blocksOf } from '../../support/event-stream-oracle.ts';
import {
  cutAroundNewlines,
  cutAtRandom,
  FIXTURES_MISSING,
  recordedBody,
  recordedResponses,
} from '../../support/fixtures.ts';

/** What the tokenizer makes of a stream that comes in these chunks. */
function tokenized(chunks: readonly Buffer[]): readonly Block[] {
  const whole = Buffer.concat(chunks);
  const stream = new EventStream();
  const blocks: Block[] = [];
  let before = 0;
  let data = '';
  const sink = {
    onData: (chunk: Buffer, from: number, to: number): void => {
      data += chunk.toString('latin1', from, to);
    },
  };
  for (const lent of chunks) {
    const chunk = Buffer.from(lent);
    let at = stream.begin(chunk);
    for (;;) {
      const end = stream.read(chunk, at, sink);
      if (end < 0) break;
      // A LF that the next chunk brings belongs to the CR that ended the block.
      const isSplit = end === chunk.length && chunk[end - 1] === CR && whole[before + end] === LF;
      blocks.push({ end: before + end + (isSplit ? 1 : 0), data, isError: stream.wasError });
      data = '';
      at = end;
    }
    before += chunk.length;
    chunk.fill(0xee);
  }
  return blocks;
}

const LF = 0x0a;
const CR = 0x0d;

/** As the tokenizer tells it: no data and empty data are the same to whoever reads it. */
const expected = (bytes: Buffer): readonly Block[] =>
  blocksOf(bytes).map((block) => ({ ...block, data: block.data ?? '' }));

const bytewise = (body: Buffer): readonly Buffer[] =>
  Array.from(body, (_, at) => body.subarray(at, at + 1));

const MARK = '\u00ef\u00bb\u00bf';
const streams = fc
  .array(
    fc.constantFrom(
      '\n',
      '\r\n',
      '\r',
      'data: {"a":1}',
      'data:',
      'data',
      'event: error',
      'event:error',
      'event',
      ': error',
      'id: 5',
      'retry: 9',
      'dat',
      ' data: x',
      'data : x',
      MARK,
      MARK.slice(0, 2),
      `data: ${'x'.repeat(60)}`,
    ),
    { maxLength: 24 },
  )
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

describe('EventStream', () => {
  it('tells the blocks of a whole stream at every pair of cuts', () => {
    fc.assert(
      fc.property(streams, fc.nat(), (bytes, seed) => {
        const right = expected(bytes);
        const first = seed % (bytes.length + 1);
        for (let second = first; second <= bytes.length; second++) {
          const cut = [
            bytes.subarray(0, first),
            bytes.subarray(first, second),
            bytes.subarray(second),
          ];
          expect(tokenized(cut)).toEqual(right);
        }
        expect(tokenized(bytewise(bytes))).toEqual(right);
      }),
      { numRuns: 600 },
    );
  });

  it('knows when nothing before matters to what follows', () => {
    fc.assert(
      fc.property(streams, (bytes) => {
        const stream = new EventStream();
        for (let at = stream.begin(bytes); at >= 0; at = stream.read(bytes, at, null));
        const next = Buffer.from('data: n\n\n');
        stream.begin(next);
        if (!stream.betweenEvents) return;
        expect(tokenized([bytes, next]).at(-1)?.data).toBe('n');
      }),
    );
  });

  it('ends what no blank line ended', () => {
    for (const end of ['', '\n', '\r']) {
      const stream = new EventStream();
      stream.read(Buffer.from(`data: {}\nevent: error${end}`), 0, null);
      expect(stream.wasError).toBe(false);
      stream.finish();
      expect(stream.wasError).toBe(true);
      expect(stream.betweenEvents).toBe(true);
    }
  });
});

describe('lastBlockStart', () => {
  it('is the start of a block, whatever the line ends', () => {
    fc.assert(
      fc.property(streams, (bytes) => {
        const starts = [0, ...blocksOf(bytes).map(({ end }) => end)];
        for (const from of starts) {
          for (let to = from; to <= bytes.length; to++) {
            // Between CR and LF of one line end nothing begins, but a reader that was cut there passes over the LF.
            if (bytes[to - 1] === CR && bytes[to] === LF) continue;
            expect(starts).toContain(lastBlockStart(bytes, from, to));
          }
        }
      }),
    );
  });

  it('is the last one where lines end with LF or CRLF', () => {
    const events = fc
      .array(fc.constantFrom('data: a\n\n', 'data: b\r\n\r\n', ': c\n\n', 'data: d\ndata: e\n\n'))
      .map((parts) => Buffer.from(parts.join('')));
    fc.assert(
      fc.property(events, fc.constantFrom('', 'data: open', 'data: open\n'), (whole, rest) => {
        const bytes = Buffer.concat([whole, Buffer.from(rest)]);
        expect(lastBlockStart(bytes, 0, bytes.length)).toBe(whole.length);
      }),
    );
  });
});

describe('recorded streams', () => {
  if (FIXTURES_MISSING !== null) it('are read', (ctx) => ctx.skip(FIXTURES_MISSING ?? ''));

  /** Streams up to this size are cut at every byte in turn; all are read byte by byte. */
  const EVERY_SPLIT_MAX_BYTES = 1_500;
  const recorded = recordedResponses().filter(({ format }) => format === 'sse');

  it('are the same blocks byte by byte, cut around every line end and at random', () => {
    for (const entry of recorded.filter(({ bytes }) => bytes <= 65_536)) {
      const body = recordedBody(entry);
      const right = tokenized([body]);
      for (const chunks of [
        bytewise(body),
        cutAroundNewlines(body),
        cutAtRandom(body, body.length),
      ])
        expect(tokenized(chunks), entry.file).toEqual(right);
    }
  });

  it('are the blocks of the oracle, at every split', () => {
    const short = recorded.filter(({ bytes }) => bytes <= EVERY_SPLIT_MAX_BYTES);
    for (const entry of short) {
      const body = recordedBody(entry);
      const right = expected(body);
      for (let at = 0; at <= body.length; at++)
        expect(tokenized([body.subarray(0, at), body.subarray(at)]), entry.file).toEqual(right);
    }
    if (FIXTURES_MISSING === null) expect(short.length).toBeGreaterThan(20);
  });
});
