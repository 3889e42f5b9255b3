/** What a series of measurements says, without pretending to more. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** @returns NaN for an empty list; the mean of the middle two for an even number of values */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1] ?? Number.NaN;
  if (sorted.length % 2 === 1) return upper;
  return ((sorted[sorted.length / 2 - 1] ?? Number.NaN) + upper) / 2;
}

/** Median, least and greatest: rounds are few, so nothing finer would mean anything. */
export function spread(numbers: readonly number[]): Spread {
  return { median: median(numbers), low: Math.min(...numbers), high: Math.max(...numbers) };
}

/** Median and quartiles, for rounds that are many. */
export function quartiles(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  return {
    median: median(sorted),
    low: percentile(sorted, 0.25),
    high: percentile(sorted, 0.75),
  };
}

/**
 * Nearest rank: the least value that at least `share` of all values do not exceed. Never interpolated, so it is one that
 * was measured.
 *
 * @param sorted ascending
 * @param share above 0, up to 1
 * @returns NaN for an empty list
 */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  // The epsilon keeps 0.07 * 100 = 7.000000000000001 at rank 7.
  const rank = Math.ceil(share * sorted.length - 1e-9);
  return sorted[Math.max(0, rank - 1)] ?? Number.NaN;
}

/** Round by round, because a machine that is busy for a while slows both sides of the same round. */
export function ratios(numbers: readonly number[], yardstick: readonly number[]): Spread {
  return spread(numbers.map((number, round) => number / (yardstick[round] ?? Number.NaN)));
}

/** Round by round, as `ratios`. */
export function differences(numbers: readonly number[], from: readonly number[]): Spread {
  return spread(numbers.map((number, round) => number - (from[round] ?? Number.NaN)));
}

/**
 * How a cost grows with a size: y is about x to the power of the result. 0 is flat, 1 is linear. The slope of the line
 * through the logarithms (least squares).
 *
 * @param points sizes from 1 up (0 counts as 1) and costs above 0
 */
export function growthExponent(points: readonly (readonly [size: number, cost: number])[]): number {
  const logs = points.map(([size, cost]) => [Math.log(Math.max(1, size)), Math.log(cost)] as const);
  const meanX = logs.reduce((sum, [x]) => sum + x, 0) / logs.length;
  const meanY = logs.reduce((sum, [, y]) => sum + y, 0) / logs.length;
  const across = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return across / logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}

/** The steepest growth between two neighbouring sizes: a line through everything would hide a bend at the end. */
export function steepestExponent(points: readonly (readonly [number, number])[]): number {
  const steps = points.slice(1).map((point, i) => growthExponent([points[i] ?? point, point]));
  return Math.max(...steps);
}
