import type { JudgedRun } from '../guard.ts';

/** Texts of one request to a server: as many as OpenAI takes at once are far more. */
const BATCH_MAX_RUNS = 32;

/** And their UTF-16 units together: written as JSON in the worker's turn, some 0.3 ms. */
export const BATCH_MAX_UNITS = 262_144;

/** Requests for the texts of one call; more is more text than it is worth waiting for. */
export const BATCHES_MAX = 16;

/**
 * @returns which runs go together, the empty ones in none; null where a text is longer than a batch, or there are too many:
 *   a text that is cut could hide what spans the cut
 */
export function textBatches(runs: readonly JudgedRun[]): readonly (readonly number[])[] | null {
  const batches: number[][] = [];
  let units = Number.POSITIVE_INFINITY;
  for (const [at, { text }] of runs.entries()) {
    if (text.length === 0) continue;
    if (text.length > BATCH_MAX_UNITS) return null;
    let batch = batches.at(-1);
    units += text.length;
    if (batch === undefined || units > BATCH_MAX_UNITS || batch.length >= BATCH_MAX_RUNS) {
      if (batches.length >= BATCHES_MAX) return null;
      batch = [];
      batches.push(batch);
      units = text.length;
    }
    batch.push(at);
  }
  return batches;
}
