/** Bytes after which the pattern repeats: no power of two, so that a lost or doubled block shows. */
export const PATTERN_PERIOD_BYTES = 65_521;

/** The byte of binary answers at an offset. */
export function patternByte(offset: number): number {
  const at = offset % PATTERN_PERIOD_BYTES;
  return (at * 31 + (at >>> 8) * 7) & 0xff;
}

const PERIOD = Buffer.from(
  Uint8Array.from({ length: PATTERN_PERIOD_BYTES }, (_, offset) => patternByte(offset)),
);

/** The first `bytes` bytes of the pattern. */
export function patternBlock(bytes: number): Buffer {
  return bytes <= PATTERN_PERIOD_BYTES ? PERIOD.subarray(0, bytes) : Buffer.alloc(bytes, PERIOD);
}
