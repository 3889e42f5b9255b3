import { type JsonObject, numberIn } from '../json-values.ts';
import type { AskedVectors } from './vectors.ts';

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

/** @param answer without its vectors. @returns null where it does not tell */
export function ollamaTokens(answer: JsonObject): number | null {
  return numberIn(answer, 'prompt_eval_count');
}
