/** Embeddings of OpenAI's callers at providers of another wire: the small sibling of conversations, with doors of its own. */

import { Buffer } from 'node:buffer';
import { Refusal, untranslatable } from '../losses.ts';
import type { TargetWire } from '../wires.ts';
import { geminiEmbeddingsPath, readGeminiEmbeddings, writeGeminiEmbeddings } from './gemini.ts';
import { readOllamaEmbeddings, writeOllamaEmbeddings } from './ollama.ts';
import { type EmbeddingsAnswer, readEmbeddingsRequest, writeEmbeddings } from './openai.ts';
import type { AskedVectors, Vectors } from './vectors.ts';

interface EmbeddingsDoors {
  readonly path: (model: string) => string;
  readonly write: (asked: AskedVectors, model: string) => object;
  readonly read: (text: string) => Vectors | null;
}

/** Wires that make vectors, and are no wire of OpenAI's. */
const TARGETS: Readonly<Partial<Record<TargetWire, EmbeddingsDoors>>> = {
  gemini: {
    path: geminiEmbeddingsPath,
    write: writeGeminiEmbeddings,
    read: readGeminiEmbeddings,
  },
  ollama: { path: () => '/embed', write: writeOllamaEmbeddings, read: readOllamaEmbeddings },
};

export interface WrittenEmbeddings {
  /** JSON in UTF-8. */
  readonly body: Buffer;
  /** Behind the prefix of the target's wire. */
  readonly path: string;
}

/** A request that was read: written as often as there are targets. */
export class ReadEmbeddings {
  readonly #asked: AskedVectors;

  private constructor(asked: AskedVectors) {
    this.#asked = asked;
  }

  /** @param body JSON in UTF-8, whole, in OpenAI's wire. @returns why it cannot be written for anybody */
  static of(body: Buffer): ReadEmbeddings | Refusal {
    try {
      return new ReadEmbeddings(readEmbeddingsRequest(body.toString()));
    } catch (refusal) {
      if (refusal instanceof Refusal) return refusal;
      throw refusal;
    }
  }

  /** Whether its caller wants bytes in base64, and no numbers. */
  get isPacked(): boolean {
    return this.#asked.isPacked;
  }

  /** @returns a refusal where the wire makes no vectors */
  writtenFor(to: TargetWire, model: string): WrittenEmbeddings | Refusal {
    const doors = TARGETS[to];
    if (doors === undefined) return untranslatable('input', 'its provider makes no vectors');
    const written = doors.write(this.#asked, model);
    return { body: Buffer.from(JSON.stringify(written)), path: doors.path(model) };
  }
}

/** A whole answer with a status of success. @returns null where it is none on its wire */
export function translateEmbeddings(
  from: TargetWire,
  body: Buffer,
  model: string,
  isPacked: boolean,
): EmbeddingsAnswer | null {
  const vectors = TARGETS[from]?.read(body.toString()) ?? null;
  return vectors === null ? null : writeEmbeddings(vectors, model, isPacked);
}
