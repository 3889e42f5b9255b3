import { constants, deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentCoding, unpacker } from '../../../src/wire/content-coding.ts';
import { ZstdFrames } from '../../../src/wire/zstd-frames.ts';

describe('how a request is packed', () => {
  it.each([
    [[], null],
    [['content-encoding', 'identity'], null],
    [['content-encoding', ''], null],
    [['content-encoding', 'gzip'], 'gzip'],
    [['content-encoding', ' X-GZip '], 'gzip'],
    [['content-encoding', 'BR, identity'], 'br'],
    [['content-type', 'gzip', 'content-encoding', 'zstd'], 'zstd'],
    [['content-encoding', 'deflate'], 'deflate'],
    [['content-encoding', 'gzip, gzip'], 'unknown'],
    [['content-encoding', 'gzip', 'content-encoding', 'br'], 'unknown'],
    [['content-encoding', 'compress'], 'unknown'],
    [['content-encoding', 'gzip;q=1'], 'unknown'],
  ] as const)('%j is %s', (fields, coding) => expect(contentCoding(fields)).toBe(coding));
});

it('deflate is unpacked with and without its wrapper', async () => {
  for (const packed of [deflateSync('{"a":1}'), deflateRawSync('{"a":1}')]) {
    const stream = unpacker('deflate', packed[0] ?? 0);
    stream.end(packed);
    expect(Buffer.concat(await stream.toArray()).toString()).toBe('{"a":1}');
  }
});

it('a zstd window is 8 MiB at most, whatever the frame asks for', async () => {
  for (const [windowLog, fits] of [
    [23, true],
    [24, false],
  ] as const) {
    const packed = zstdCompressSync(Buffer.alloc(2 ** 24 + 1), {
      params: { [constants.ZSTD_c_windowLog]: windowLog, [constants.ZSTD_c_contentSizeFlag]: 0 },
    });
    const stream = unpacker('zstd', 0);
    stream.end(packed);
    const read = stream.toArray().then(
      () => true,
      () => false,
    );
    expect(await read).toBe(fits);
  }
});

describe('Zstandard frames', () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes)),
    fc.nat(400_000).map((length) => Buffer.alloc(length, 'ab')),
  );
  const packed = fc
    .tuple(content, fc.integer({ min: -5, max: 19 }), fc.boolean(), fc.boolean())
    .map(([bytes, level, checksum, size]) =>
      zstdCompressSync(bytes, {
        params: {
          [constants.ZSTD_c_compressionLevel]: level,
          [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0,
          [constants.ZSTD_c_contentSizeFlag]: size ? 1 : 0,
        },
      }),
    );

  const skippable = fc
    .tuple(fc.nat(15), fc.uint8Array({ maxLength: 300 }))
    .map(([kind, content]) => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(0x184d2a50 + kind, 0);
      head.writeUInt32LE(content.length, 4);
      return Buffer.concat([head, content]);
    });
  const frames = fc.array(fc.oneof({ arbitrary: packed, weight: 2 }, skippable), {
    minLength: 1,
    maxLength: 4,
  });

  /** @returns where frames end, as they are found when the bytes come so cut */
  function endsOf(bytes: Buffer, cuts: readonly number[]): readonly [ZstdFrames, number[]] {
    const walk = new ZstdFrames();
    const ends: number[] = [];
    const to = [...cuts.filter((one) => one < bytes.length), bytes.length].sort((a, b) => a - b);
    let from = 0;
    for (const end of to) {
      const piece = bytes.subarray(from, end);
      for (let at = 0; at < piece.length; ) {
        const { count } = walk;
        at = walk.read(piece, at);
        if (walk.count > count) ends.push(from + at);
      }
      from = end;
    }
    return [walk, ends];
  }

  it('end where they end, over any cuts, and are whole there and nowhere else', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(4_000), { maxLength: 8 }), (some, cuts) => {
        const bytes = Buffer.concat(some);
        const [walk, ends] = endsOf(bytes, cuts);
        let sum = 0;
        expect(ends).toEqual(some.map(({ length }) => (sum += length)));
        expect(walk.isWhole).toBe(true);
        for (const short of [1, 2, 5, bytes.length >> 1, bytes.length - 1]) {
          const at = Math.max(0, bytes.length - short);
          expect(endsOf(bytes.subarray(0, at), cuts)[0].isWhole).toBe(ends.includes(at));
        }
      }),
    );
  });

  it('are none that begin otherwise, and none behind what is none', () => {
    for (const bytes of [
      Buffer.concat([Buffer.from('not packed at all, really'), zstdCompressSync('x')]),
      Buffer.concat([zstdCompressSync('x'), Buffer.from('more'), zstdCompressSync('x')]),
      Buffer.concat([zstdCompressSync('x'), Buffer.from('m')]),
      Buffer.alloc(0),
    ])
      expect(endsOf(bytes, [])[0].isWhole).toBe(false);
  });
});
