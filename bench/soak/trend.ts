/** Middle of a list; NaN of none. */
export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5);
}

/** @param share from 0 to 1; the nearest number at or above it */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Slope of a line through points, as the median of the slopes of all pairs (Theil and Sen): up to 29 % of the points may
 * be anything, a burst of the machine or of a garbage collection, without moving it. NaN of fewer than two.
 */
export function slope(points: readonly Point[]): number {
  const slopes: number[] = [];
  for (const [index, a] of points.entries()) {
    for (const b of points.slice(index + 1)) {
      if (b.x !== a.x) slopes.push((b.y - a.y) / (b.x - a.x));
    }
  }
  return median(slopes);
}
