import { listIn, measuredObject, numberIn } from '../json-values.ts';
import { type AskedVectors, type Vectors, vectorsOf } from './vectors.ts';

export interface OllamaEmbeddings {
  readonly model: string;
  readonly input: readonly string[];
  readonly dimensions?: number;
}

/** The body of `POST /api/embed` (docs.ollama.com/api/embed). */
export function writeOllamaEmbeddings(
  { texts, dimensions }: AskedVectors,
  model: string,
): OllamaEmbeddings {
  return {
    model,
    input: texts,
    ...(dimensions === null ? {} : { dimensions: dimensions.value }),
  };
}

/** @returns null where the answer is none */
export function readOllamaEmbeddings(text: string): Vectors | null {
  const body = measuredObject(text);
  const vectors = body === null ? null : vectorsOf(listIn(body, 'embeddings'));
  if (body === null || vectors === null) return null;
  return { vectors, tokens: numberIn(body, 'prompt_eval_count') ?? 0 };
}
