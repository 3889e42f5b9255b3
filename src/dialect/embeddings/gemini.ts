import { isObject, listIn, measuredObject, numberIn, objectIn } from '../json-values.ts';
import { type AskedVectors, type Vectors, vectorsOf } from './vectors.ts';

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

/** @returns null where the answer is none */
export function readGeminiEmbeddings(text: string): Vectors | null {
  const body = measuredObject(text);
  if (body === null) return null;
  const values = listIn(body, 'embeddings').map((one) => (isObject(one) ? one['values'] : null));
  const vectors = vectorsOf(values);
  if (vectors === null) return null;
  return {
    vectors,
    tokens: numberIn(objectIn(body, 'usageMetadata') ?? {}, 'promptTokenCount') ?? 0,
  };
}
