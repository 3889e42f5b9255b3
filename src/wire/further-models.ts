/**
 * The models that a request names beside its `model`: a provider may answer with them, or ask them on the way. They are read
 * wherever some provider reads them, whichever one is asked: a field that means nothing there names nothing either.
 */

import type { Buffer } from 'node:buffer';
import { NamedTexts, type TextSink } from './named-texts.ts';
import { place } from './text-places.ts';

const MODEL = 'model';
const PRESET = 'preset';

const PLACES = place({
  // OpenRouter: asked when the first one fails (openrouter.ai/docs, model routing); `route` is only how.
  models: MODEL,
  // Anthropic: a list of requests that differ, or "default" (docs.claude.com, server-side fallback). Gateways: names.
  fallbacks: { '': MODEL, model: MODEL },
  // OpenAI's image_generation, Anthropic's advisor; OpenRouter's server tools have theirs among `parameters`.
  tools: { model: MODEL, parameters: { model: MODEL, models: MODEL } },
  // OpenRouter: several are asked, one of them judges.
  plugins: { model: MODEL, models: MODEL, analysis_models: MODEL },
  // OpenRouter: kept there under a name, models and all.
  preset: PRESET,
  // Groq's compound systems (console.groq.com/docs/compound).
  compound_custom: { models: { '*': MODEL } },
  // Gemini's batches (ai.google.dev/api/embeddings).
  requests: { model: MODEL },
});

/** Distinct names that are kept of one request. */
const NAMES_MAX = 32;
/** Nothing is put in. */
const NO_NAMES: string[] = [];

export class FurtherModels implements TextSink {
  readonly #texts = new NamedTexts(PLACES, this);
  /** Made for the first one: most requests name none. */
  #names: string[] = NO_NAMES;
  /** More names than are kept, or one that is longer than any. */
  isUnsure = false;

  /** Reads the body's next piece. */
  push(piece: Buffer): void {
    this.#texts.push(piece);
  }

  /** As the caller wrote them; a preset as it is named as a model: `@preset/NAME`. */
  get names(): readonly string[] {
    return this.#names;
  }

  onText(where: string, text: string | null): void {
    if (text === '') return;
    const name = text === null || where !== PRESET ? text : `@preset/${text}`;
    if (name === null) this.isUnsure = true;
    else if (this.#names.length === 0) this.#names = [name];
    else if (this.#names.includes(name)) return;
    else if (this.#names.length >= NAMES_MAX) this.isUnsure = true;
    else this.#names.push(name);
  }
}
