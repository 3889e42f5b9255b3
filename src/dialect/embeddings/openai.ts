import { Buffer } from 'node:buffer';
import { parsedObject } from '../json-values.ts';
import { malformed, untranslatable } from '../losses.ts';
import { numberWish } from '../wishes.ts';
import type { AskedVectors } from './vectors.ts';

/**
 * A body of `POST /v1/embeddings` (OpenAI API reference, "Embeddings").
 * @throws Refusal: it is none, or asks for what OpenAI's models alone understand
 */
export function readEmbeddingsRequest(text: string): AskedVectors {
  const body = parsedObject(text);
  if (body === null) throw malformed('body', 'it is no JSON object');
  return {
    texts: textsOf(body['input']),
    dimensions: numberWish(body, 'dimensions'),
    isPacked: body['encoding_format'] === 'base64',
  };
}

function textsOf(input: unknown): readonly string[] {
  if (typeof input === 'string') return [input];
  if (!Array.isArray(input) || input.length === 0)
    throw malformed('input', 'expected a text or a list of texts');
  return input.map((one: unknown) => {
    if (typeof one === 'string') return one;
    // Numbers of OpenAI's own vocabulary, one input or several.
    if (typeof one === 'number' || Array.isArray(one))
      throw untranslatable('input', 'token ids mean something else to every other model');
    throw malformed('input', 'expected a text or a list of texts');
  });
}

interface Embedding {
  readonly object: 'embedding';
  readonly index: number;
  /** Base64 where that was asked for: little-endian floats of 32 bits. */
  readonly embedding: readonly number[] | string;
}

/** What an answer of vectors begins with: as text, since it is told vector by vector. */
export const EMBEDDINGS_OPENING = '{"object":"list","data":[';

/** @param tokens of all texts */
export function embeddingsEnd(model: string, tokens: number): string {
  const usage = { prompt_tokens: tokens, total_tokens: tokens };
  return `],"model":${JSON.stringify(model)},"usage":${JSON.stringify(usage)}}`;
}

/** @param isPacked as base64, which OpenAI's SDKs ask for where their callers say nothing */
export function writeEmbedding(
  vector: readonly number[],
  index: number,
  isPacked: boolean,
): Embedding {
  return { object: 'embedding', index, embedding: isPacked ? packed(vector) : vector };
}

const FLOAT_BYTES = 4;

function packed(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * FLOAT_BYTES);
  for (const [at, value] of vector.entries()) bytes.writeFloatLE(value, at * FLOAT_BYTES);
  return bytes.toString('base64');
}
