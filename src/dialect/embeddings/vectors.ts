/** What is asked of a model that makes vectors, and what one of them is: whichever wire says so. */

import type { Wish } from '../conversation.ts';

export interface AskedVectors {
  readonly texts: readonly string[];
  readonly dimensions: Wish<number> | null;
  /** The caller wants them as bytes in base64, and not as numbers. */
  readonly isPacked: boolean;
}

/** What its answer needs to know of it. */
export interface WantedVectors {
  /** One for each text: whoever gets fewer takes them for those of other texts. */
  readonly count: number;
  readonly isPacked: boolean;
}

/** @returns null where it is none */
export function vectorOf(value: unknown): readonly number[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  return value.every((one) => typeof one === 'number') ? value : null;
}
