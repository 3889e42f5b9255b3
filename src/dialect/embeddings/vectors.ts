/** What is asked of a model that makes vectors, and what it answers: whichever wire says so. */

import type { Wish } from '../conversation.ts';

export interface AskedVectors {
  readonly texts: readonly string[];
  readonly dimensions: Wish<number> | null;
  /** The caller wants them as bytes in base64, and not as numbers. */
  readonly isPacked: boolean;
}

/** One vector for each text, in their order. */
export interface Vectors {
  readonly vectors: readonly (readonly number[])[];
  /** Of all texts; 0 where nobody counts. */
  readonly tokens: number;
}

/** @returns null where it is none */
export function vectorOf(value: unknown): readonly number[] | null {
  if (!Array.isArray(value) || value.length === 0) return null;
  return value.every((one) => typeof one === 'number') ? value : null;
}

/** @returns null where one of them is none, or there are none */
export function vectorsOf(values: readonly unknown[]): Vectors['vectors'] | null {
  const vectors = values.map(vectorOf).filter((vector) => vector !== null);
  return vectors.length === values.length && vectors.length > 0 ? vectors : null;
}
