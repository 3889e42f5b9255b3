import { SCALAR_START, scalarAfter, scalarIsWhole } from './grammar';
import { SCALAR } from './layout';
import { equalMask, equalWithMask, rangeMask, through } from './masks';

const TRUE: u32 = 0x65757274;
const NULL: u32 = 0x6c6c756e;
const FALS: u32 = 0x736c6166;
const LETTER_E: u8 = 0x65;

/**
 * Bits that show where a number or literal of a block is none, or 0. `scalars` are the bytes of all of them,
 * `starts` their first bytes. One that the block's edge cuts goes byte by byte through the table machine and on in
 * the next block; the others are settled at once.
 */
export function brokenScalars(s: usize, p: usize, scalars: u64, starts: u64, carried: bool, length: u32): u64 {
  let rest = scalars;
  if (carried) {
    const run = ctz(~scalars) as u32;
    const state = scalarAfter(load<u32>(s + SCALAR), p, run);
    store<u32>(s + SCALAR, state);
    if (run == length) return 0;
    if (!scalarIsWhole(state)) return 1;
    rest &= -1 << (run as u64);
  }
  if ((rest >>> (length - 1)) & 1) {
    const at = 63 - clz(starts);
    store<u32>(s + SCALAR, scalarAfter(SCALAR_START, p + (at as usize), length - (at as u32)));
    const before = ((1 as u64) << at) - 1;
    rest &= before;
    starts &= before;
  }
  const digits = rangeMask(p, 0, 0x30, 10);
  if (!(rest & ~digits)) return ((starts & equalMask(p, 0x30)) << 1) & rest;

  const minus = equalMask(p, 0x2d) & rest;
  let letters = starts & ~(digits | minus);
  while (letters) {
    const at = ctz(letters);
    letters &= letters - 1;
    const size = literalBytes(p + (at as usize));
    const run = (((1 as u64) << size) - 1) << at;
    // Neither shorter nor longer than the literal.
    if (!size || ((scalars >>> at) & (((1 as u64) << (size + 1)) - 1)) != ((1 as u64) << size) - 1) return (1 as u64) << at;
    rest &= ~run;
    starts &= ~run;
  }
  return rest & ~digits ? brokenNumbers(p, rest, starts, digits, minus) : ((starts & equalMask(p, 0x30)) << 1) & rest;
}

/** Length of the literal that begins at `p`, 0 when there is none. */
// @ts-ignore: decorator
@inline
function literalBytes(p: usize): u64 {
  const four = load<u32>(p);
  if (four == TRUE || four == NULL) return 4;
  return four == FALS && load<u8>(p, 4) == LETTER_E ? 5 : 0;
}

/** RFC 8259 §6, all numbers of a block in step: sign, integer, fraction, exponent, and then the end of the run. */
// @ts-ignore: decorator
@inline
function brokenNumbers(p: usize, rest: u64, starts: u64, digits: u64, minus: u64): u64 {
  const points = equalMask(p, 0x2e);
  const integers = (starts & ~minus) | ((starts & minus) << 1);
  const digitRuns = digits & rest;
  let broken = (integers & ~digitRuns) | (((integers & equalMask(p, 0x30)) << 1) & digitRuns);
  const afterInteger = through(integers, digitRuns);
  const fractions = (afterInteger & points) << 1;
  broken |= fractions & ~digitRuns;
  let ends = (afterInteger & ~points) | through(fractions, digitRuns);
  if (ends & rest) {
    const e = equalWithMask(p, 0x20, 0x65);
    const exponents = (ends & e) << 1;
    const signs = minus | equalMask(p, 0x2b);
    const powers = (exponents & ~signs) | ((exponents & signs) << 1);
    broken |= powers & ~digitRuns;
    ends = (ends & ~e) | through(powers, digitRuns);
  }
  return broken | (ends & rest);
}
