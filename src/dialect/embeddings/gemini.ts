import { isObject, type JsonObject, numberIn, objectIn } from '../json-values.ts';
import { type AskedVectors, vectorOf } from './vectors.ts';

export interface GeminiEmbedding {
  readonly model: string;
  readonly content: { readonly parts: readonly { readonly text: string }[] };
  readonly outputDimensionality?: number;
}

export interface GeminiEmbeddings {
  readonly requests: readonly GeminiEmbedding[];
}

/** Always a batch, also of one: two texts as two parts of one content would be one vector (ai.google.dev/api/embeddings). */
export function writeGeminiEmbeddings(
  { texts, dimensions }: AskedVectors,
  model: string,
): GeminiEmbeddings {
  return {
    requests: texts.map((text) => ({
      model: `models/${model}`,
      content: { parts: [{ text }] },
      ...(dimensions === null ? {} : { outputDimensionality: dimensions.value }),
    })),
  };
}

/** Where it is asked, behind the prefix of the API; the model is the caller's word, half a character too, and stays one segment. */
export function geminiEmbeddingsPath(model: string): string {
  return `/models/${encodeURIComponent(model.toWellFormed())}:batchEmbedContents`;
}

/** @param one of `embeddings`. @returns null where it is none */
export function geminiVector(one: unknown): readonly number[] | null {
  return isObject(one) ? vectorOf(one['values']) : null;
}

/** @param answer without its vectors. @returns null where it does not tell */
export function geminiTokens(answer: JsonObject): number | null {
  return numberIn(objectIn(answer, 'usageMetadata') ?? {}, 'promptTokenCount');
}
