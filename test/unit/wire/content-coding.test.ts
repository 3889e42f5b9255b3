import { constants, deflateRawSync, deflateSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contentCoding, unpacker } from '../../../src/wire/content-coding.ts';
import { ZstdFrame } from '../../../src/wire/zstd-frame.ts';

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

describe('a Zstandard frame', () => {
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

  it('is whole with its last byte, and not before, over any cuts', () => {
    fc.assert(
      fc.property(packed, fc.array(fc.nat(4_000), { maxLength: 8 }), (frame, cuts) => {
        const walk = new ZstdFrame();
        let at = 0;
        for (const cut of [
          ...cuts.filter((one) => one < frame.length).toSorted((a, b) => a - b),
          frame.length,
        ]) {
          expect(walk.isWhole).toBe(false);
          walk.push(frame.subarray(at, cut));
          at = cut;
        }
        expect(walk.isWhole).toBe(true);
        for (const short of [1, 2, 5, frame.length >> 1, frame.length - 1]) {
          const broken = new ZstdFrame();
          broken.push(frame.subarray(0, Math.max(0, frame.length - short)));
          expect(broken.isWhole).toBe(false);
        }
      }),
    );
  });

  it('is none that begins otherwise', () => {
    const walk = new ZstdFrame();
    walk.push(Buffer.from('not packed at all, really'));
    walk.push(zstdCompressSync('x'));
    expect(walk.isWhole).toBe(false);
  });
});
