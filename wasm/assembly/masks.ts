// Sixty-four bytes become one 64-bit mask, bit i for byte i. Two builds: 16-byte SIMD, and eight bytes
// at a time in plain integers. Nothing outside this file knows which one it runs on.

const LOW_BITS: u64 = 0x0101010101010101;
const HIGH_BITS: u64 = 0x8080808080808080;
const SEVEN_BITS: u64 = 0x7f7f7f7f7f7f7f7f;
/** Multiplying the top bits of eight bytes (moved down to bit 0) by this gathers them in the top byte. */
const GATHER: u64 = 0x0102040810204080;

// @ts-ignore: decorator
@inline
function gather(highBits: u64): u64 {
  return ((highBits >>> 7) * GATHER) >>> 56;
}

// @ts-ignore: decorator
@inline
function join(a: v128, b: v128, c: v128, d: v128): u64 {
  return (
    (i8x16.bitmask(a) as u32 as u64) |
    ((i8x16.bitmask(b) as u32 as u64) << 16) |
    ((i8x16.bitmask(c) as u32 as u64) << 32) |
    ((i8x16.bitmask(d) as u32 as u64) << 48)
  );
}

/** Bytes equal to `byte`. */
// @ts-ignore: decorator
@inline
export function equalMask(p: usize, byte: u8): u64 {
  if (ASC_FEATURE_SIMD) {
    const s = i8x16.splat(byte as i8);
    return join(
      i8x16.eq(v128.load(p), s),
      i8x16.eq(v128.load(p, 16), s),
      i8x16.eq(v128.load(p, 32), s),
      i8x16.eq(v128.load(p, 48), s),
    );
  } else {
    return equalUnderMask(p, 0, byte);
  }
}

/** Bytes that equal `byte` once the bits of `set` are set in them (one test for `[` and `{`). */
// @ts-ignore: decorator
@inline
export function equalWithMask(p: usize, set: u8, byte: u8): u64 {
  if (ASC_FEATURE_SIMD) {
    const o = i8x16.splat(set as i8);
    const s = i8x16.splat(byte as i8);
    return join(
      i8x16.eq(v128.or(v128.load(p), o), s),
      i8x16.eq(v128.or(v128.load(p, 16), o), s),
      i8x16.eq(v128.or(v128.load(p, 32), o), s),
      i8x16.eq(v128.or(v128.load(p, 48), o), s),
    );
  } else {
    return equalUnderMask(p, set, byte);
  }
}

function equalUnderMask(p: usize, set: u8, byte: u8): u64 {
  const o = (set as u64) * LOW_BITS;
  const s = (byte as u64) * LOW_BITS;
  let mask: u64 = 0;
  for (let i: u32 = 0; i < 64; i += 8) {
    const x = (load<u64>(p + i) | o) ^ s;
    // Exact per byte: no borrow can cross from one byte into the next.
    mask |= gather(~(((x & SEVEN_BITS) + SEVEN_BITS) | x | SEVEN_BITS)) << i;
  }
  return mask;
}

/** Bytes from `low` up to but not including `low + count`, as unsigned numbers; count is at most 127. */
// @ts-ignore: decorator
@inline
export function rangeMask(p: usize, set: u8, low: u8, count: u8): u64 {
  if (ASC_FEATURE_SIMD) {
    const o = i8x16.splat(set as i8);
    const l = i8x16.splat(low as i8);
    // "At most" is two instructions on x64, "less than" is four.
    const n = i8x16.splat((count - 1) as i8);
    return join(
      i8x16.le_u(i8x16.sub(v128.or(v128.load(p), o), l), n),
      i8x16.le_u(i8x16.sub(v128.or(v128.load(p, 16), o), l), n),
      i8x16.le_u(i8x16.sub(v128.or(v128.load(p, 32), o), l), n),
      i8x16.le_u(i8x16.sub(v128.or(v128.load(p, 48), o), l), n),
    );
  } else {
    return rangeUnderMask(p, set, low, count);
  }
}

function rangeUnderMask(p: usize, set: u8, low: u8, count: u8): u64 {
  const o = (set as u64) * LOW_BITS;
  // low and low + count are below 0x80 in every use, so seven-bit sums decide; bytes >= 0x80 are out.
  const fromLow = (0x80 - (low as u64)) * LOW_BITS;
  const fromEnd = (0x80 - (low as u64) - (count as u64)) * LOW_BITS;
  let mask: u64 = 0;
  for (let i: u32 = 0; i < 64; i += 8) {
    const x = load<u64>(p + i) | o;
    const seven = x & SEVEN_BITS;
    mask |= gather((seven + fromLow) & ~(seven + fromEnd) & ~x & HIGH_BITS) << i;
  }
  return mask;
}

/** Bytes that may follow a backslash (RFC 8259 §7), but for the quote: `/ \ b f n r t u`. */
// @ts-ignore: decorator
@inline
export function escapableMask(p: usize): u64 {
  if (ASC_FEATURE_SIMD) {
    return join(escapable(v128.load(p)), escapable(v128.load(p, 16)), escapable(v128.load(p, 32)), escapable(v128.load(p, 48)));
  } else {
    return (
      equalMask(p, 0x2f) | equalMask(p, 0x5c) | equalMask(p, 0x62) | equalMask(p, 0x66) | equalMask(p, 0x6e) |
      equalMask(p, 0x72) | equalMask(p, 0x74) | equalMask(p, 0x75)
    );
  }
}

// @ts-ignore: decorator
@inline
function escapable(v: v128): v128 {
  // The one byte of the set with that low nibble; r (0x72) shares its nibble with b and is asked for itself.
  const byLow = i8x16(0x01, 0, 0x62, 0, 0x74, 0x75, 0x66, 0, 0, 0, 0, 0, 0x5c, 0, 0x6e, 0x2f);
  const byte = i8x16.swizzle(byLow, v128.and(v, i8x16.splat(15)));
  return v128.or(i8x16.eq(v, byte), i8x16.eq(v, i8x16.splat(0x72)));
}

/** Hexadecimal digits in either case. */
// @ts-ignore: decorator
@inline
export function hexMask(p: usize): u64 {
  if (ASC_FEATURE_SIMD) {
    return join(hex(v128.load(p)), hex(v128.load(p, 16)), hex(v128.load(p, 32)), hex(v128.load(p, 48)));
  } else {
    return rangeMask(p, 0, 0x30, 10) | rangeMask(p, 0x20, 0x61, 6);
  }
}

// @ts-ignore: decorator
@inline
function hex(v: v128): v128 {
  const digit = i8x16.le_u(i8x16.sub(v, i8x16.splat(0x30)), i8x16.splat(9));
  const letter = i8x16.le_u(i8x16.sub(v128.or(v, i8x16.splat(0x20)), i8x16.splat(0x61)), i8x16.splat(5));
  return v128.or(digit, letter);
}

/** True when one of the 64 bytes is below 0x20. */
// @ts-ignore: decorator
@inline
export function hasControl(p: usize): bool {
  if (ASC_FEATURE_SIMD) {
    const least = i8x16.min_u(
      i8x16.min_u(v128.load(p), v128.load(p, 16)),
      i8x16.min_u(v128.load(p, 32), v128.load(p, 48)),
    );
    return v128.any_true(i8x16.le_u(least, i8x16.splat(0x1f)));
  } else {
    for (let i: u32 = 0; i < 64; i += 8) {
      const x = load<u64>(p + i);
      if ((x - 0x20 * LOW_BITS) & ~x & HIGH_BITS) return true;
    }
    return false;
  }
}

/** True when none of the 64 bytes can end or break a string: no quote, no backslash, no control byte. */
// @ts-ignore: decorator
@inline
export function isPlainText(p: usize): bool {
  if (ASC_FEATURE_SIMD) {
    const any = v128.or(
      v128.or(special(v128.load(p)), special(v128.load(p, 16))),
      v128.or(special(v128.load(p, 32)), special(v128.load(p, 48))),
    );
    return !v128.any_true(any);
  } else {
    for (let i: u32 = 0; i < 64; i += 8) {
      const x = load<u64>(p + i);
      const quote = x ^ (0x22 * LOW_BITS);
      const slash = x ^ (0x5c * LOW_BITS);
      // May be true for a byte above a hit only: enough for "is there any".
      const hit = ((x - 0x20 * LOW_BITS) & ~x) | ((quote - LOW_BITS) & ~quote) | ((slash - LOW_BITS) & ~slash);
      if (hit & HIGH_BITS) return false;
    }
    return true;
  }
}

// @ts-ignore: decorator
@inline
function special(v: v128): v128 {
  return v128.or(
    v128.or(i8x16.eq(v, i8x16.splat(0x22)), i8x16.eq(v, i8x16.splat(0x5c))),
    i8x16.le_u(v, i8x16.splat(0x1f)),
  );
}

/** Bit i of the result: how many bits up to and including i are set, modulo two. */
// @ts-ignore: decorator
@inline
export function parity(bits: u64): u64 {
  bits ^= bits << 1;
  bits ^= bits << 2;
  bits ^= bits << 4;
  bits ^= bits << 8;
  bits ^= bits << 16;
  return bits ^ (bits << 32);
}

/** Moves every mark that stands in a run of `run` to the first bit behind that run. */
// @ts-ignore: decorator
@inline
export function through(marks: u64, run: u64): u64 {
  return (marks + run) & ~run;
}
