/** Embeddings of OpenAI's callers at providers of another wire: the small sibling of conversations, with doors of its own. */

import { Buffer } from 'node:buffer';
import { EventData } from '../../wire/event-data.ts';
import { JsonElements } from '../../wire/json-elements.ts';
import { type JsonObject, measuredObject, withoutMark } from '../json-values.ts';
import { Refusal, untranslatable } from '../losses.ts';
import type { TargetWire } from '../wires.ts';
import {
  geminiEmbeddingsPath,
  geminiTokens,
  geminiVector,
  writeGeminiEmbeddings,
} from './gemini.ts';
import { ollamaTokens, writeOllamaEmbeddings } from './ollama.ts';
import {
  EMBEDDINGS_OPENING,
  embeddingsEnd,
  readEmbeddingsRequest,
  writeEmbedding,
} from './openai.ts';
import { type AskedVectors, vectorOf, type WantedVectors } from './vectors.ts';

interface EmbeddingsDoors {
  readonly path: (model: string) => string;
  readonly write: (asked: AskedVectors, model: string) => object;
  /** Of one of the answer's `embeddings`; null: it is none. */
  readonly vector: (one: unknown) => readonly number[] | null;
  /** Of the answer without its vectors: what all texts had; null: it does not tell. */
  readonly tokens: (answer: JsonObject) => number | null;
}

/** Wires that make vectors, and are no wire of OpenAI's. */
const TARGETS: Readonly<Partial<Record<TargetWire, EmbeddingsDoors>>> = {
  gemini: {
    path: geminiEmbeddingsPath,
    write: writeGeminiEmbeddings,
    vector: geminiVector,
    tokens: geminiTokens,
  },
  ollama: {
    path: () => '/embed',
    write: writeOllamaEmbeddings,
    vector: vectorOf,
    tokens: ollamaTokens,
  },
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
      return new ReadEmbeddings(readEmbeddingsRequest(withoutMark(body.toString())));
    } catch (refusal) {
      if (refusal instanceof Refusal) return refusal;
      throw refusal;
    }
  }

  get wanted(): WantedVectors {
    const { texts, isPacked } = this.#asked;
    return { count: texts.length, isPacked };
  }

  /** @returns a refusal where the wire makes no vectors */
  writtenFor(to: TargetWire, model: string): WrittenEmbeddings | Refusal {
    const doors = TARGETS[to];
    if (doors === undefined) return untranslatable('input', 'its provider makes no vectors');
    const written = doors.write(this.#asked, model);
    return { body: Buffer.from(JSON.stringify(written)), path: doors.path(model) };
  }
}

/** Of one vector, in bytes: 8,192 numbers of 24 characters are less. */
const VECTOR_MAX_BYTES = 1024 * 1024;

/**
 * An answer of vectors on its way to OpenAI's wire, each told in the turn in which its last byte came: all of them at once, read
 * and written, took a worker's other streams a second. What is told is whole only with its end, which says whether it is one.
 */
export class TranslatedVectors {
  readonly #doors: EmbeddingsDoors | null;
  readonly #model: string;
  readonly #wanted: WantedVectors;
  readonly #elements = new JsonElements('embeddings');
  readonly #data = new EventData(VECTOR_MAX_BYTES);
  #count = 0;
  #isBroken = false;
  #written = '';

  constructor(from: TargetWire, model: string, wanted: WantedVectors) {
    this.#doors = TARGETS[from] ?? null;
    this.#model = model;
    this.#wanted = wanted;
  }

  /** @param piece lent. @returns what it amounts to, perhaps nothing */
  push(piece: Buffer): Buffer {
    let at = this.#elements.begin(piece);
    while (at >= 0 && at < piece.length) {
      at = this.#elements.read(piece, at, this.#data);
      if (at >= 0) this.#tell();
    }
    this.#data.keep();
    return this.#taken();
  }

  /** @returns what comes last; null where all of it is no answer */
  end(): Buffer | null {
    const answer = measuredObject(withoutMark(this.#elements.rest ?? ''));
    if (answer === null || this.#isBroken || this.#count !== this.#wanted.count) return null;
    this.#written += embeddingsEnd(this.#model, this.#doors?.tokens(answer) ?? 0);
    return this.#taken();
  }

  #tell(): void {
    const text = this.#data.take();
    // The place between two of them is no element.
    if (text === '') return;
    const vector = text === null ? null : (this.#doors?.vector(parsed(text)) ?? null);
    if (vector === null || this.#count === this.#wanted.count) this.#isBroken = true;
    if (vector === null || this.#isBroken) return;
    this.#written += this.#count === 0 ? EMBEDDINGS_OPENING : ',';
    this.#written += JSON.stringify(writeEmbedding(vector, this.#count++, this.#wanted.isPacked));
  }

  #taken(): Buffer {
    const written = this.#written;
    this.#written = '';
    return Buffer.from(written);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
