import { describe, expect, it } from 'vitest';
import {
  CORK_BUDGET_BYTES,
  endSharesCork,
  FRAMING_BYTES,
  headLeavesAlone,
  isProbed,
  isShort,
  PROBE_FROM_BYTES,
  pieceBytes,
  SIZED_PIECE_BYTES,
  UNREAD_BYTES,
  type WritingProgress,
} from '../../../src/edge/writing-decisions.ts';

const progress = (over: Partial<WritingProgress> = {}): WritingProgress => ({
  size: 'chunked',
  headBytes: 0,
  bytesOut: 0,
  slow: false,
  mayBeLast: false,
  ...over,
});

describe('a piece', () => {
  it('and all that goes with it stay within one cork, whatever the head', () => {
    for (const headBytes of [0, 1, 300, 11_999, 12_000, 12_001, 32_000]) {
      const piece = pieceBytes(progress({ headBytes }), 1_000_000);
      const shared = headLeavesAlone(headBytes) ? 0 : headBytes;
      expect(piece + shared + FRAMING_BYTES).toBeLessThanOrEqual(CORK_BUDGET_BYTES);
      expect(piece).toBeGreaterThan(2_000);
    }
  });

  it('of a sized body is as large as one read of the upstream, the head notwithstanding', () => {
    const sized = progress({ size: 10_000_000, headBytes: 9_000 });
    expect(pieceBytes(sized, SIZED_PIECE_BYTES)).toBe(SIZED_PIECE_BYTES);
    expect(pieceBytes(sized, SIZED_PIECE_BYTES + 1)).toBe(SIZED_PIECE_BYTES);
  });

  it('is never empty: a chunk always comes to its end', () => {
    for (const slow of [false, true]) {
      for (const size of ['chunked', UNREAD_BYTES + 20_000] as const) {
        const now = progress({ size, slow, mayBeLast: true, bytesOut: UNREAD_BYTES });
        for (let rest = 20_000; rest > 0; rest -= pieceBytes(now, rest))
          expect(pieceBytes(now, rest)).toBeGreaterThan(0);
      }
    }
  });
});

describe('the last byte of a chunk waits for a cork of its own', () => {
  const behind = UNREAD_BYTES;
  it.each([
    ['a chunk that the kernel takes unread', { bytesOut: behind - 10, mayBeLast: true }, 10, false],
    ['one byte more', { bytesOut: behind - 9, mayBeLast: true }, 10, true],
    ['a small event in the middle of a stream', { bytesOut: behind }, 100, false],
    ['a large one', { bytesOut: behind }, PROBE_FROM_BYTES, true],
    ['any chunk of a client that was ever slow', { bytesOut: 0, slow: true }, 2, true],
    ['a single byte, which is alone anyway', { bytesOut: behind, slow: true }, 1, false],
    ['the middle of a sized body', { size: 200_000, bytesOut: behind, slow: true }, 9_000, false],
    ['its end', { size: behind + 9_000, bytesOut: behind, slow: true }, 9_000, true],
  ] as const)('%s', (_what, over, chunkBytes, probed) => {
    expect(isProbed(progress(over), chunkBytes)).toBe(probed);
    expect(pieceBytes(progress(over), chunkBytes)).toBe(probed ? chunkBytes - 1 : chunkBytes);
  });
});

describe('the end of a message shares the cork of its last piece', () => {
  it.each([
    ['in chunks, while the kernel takes all of it unread', { bytesOut: UNREAD_BYTES - 5 }, 5, true],
    ['not behind that', { bytesOut: UNREAD_BYTES - 4 }, 5, false],
    ['not where the client was slow', { slow: true }, 5, false],
    ['not where the head left alone', { headBytes: 12_001 }, 5, false],
    ['sized, where it is whole', { size: 5, headBytes: 200 }, 5, true],
    ['not where some of it has left', { size: 10, bytesOut: 5 }, 5, false],
    ['not where it is short', { size: 10, headBytes: 200 }, 5, false],
    ['not where it exceeds one cork', { size: 14_800, headBytes: 200 }, 14_800, false],
  ] as const)('%s', (_what, over, lastBytes, shares) => {
    expect(endSharesCork(progress(over), lastBytes)).toBe(shares);
  });
});

it('only a sized body can be short', () => {
  expect(isShort(progress({ size: 10, bytesOut: 9 }))).toBe(true);
  expect(isShort(progress({ size: 10, bytesOut: 10 }))).toBe(false);
  expect(isShort(progress({ bytesOut: 0 }))).toBe(false);
  expect(isShort(progress({ size: 'none' }))).toBe(false);
});
