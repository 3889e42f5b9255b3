/** Models that a worker remembers: a name is at most 256 bytes, so that all of them take less than 1 MiB. */
export const RATIOS_MAX = 1_024;

/**
 * Requests that teach nothing: what is said in few words is mostly names of fields, and what is mostly pictures has
 * tokens that do not follow from its text.
 */
const LEARN_FROM_BYTES = 4_096;
const LEARN_TEXT_SHARE = 0.9;

/** Bytes a token that can be: below are counts of something else, above those of a cache that was left out. */
const RATIO_MIN = 1;
const RATIO_MAX = 16;

/** The weight of the latest request. */
const WEIGHT = 1 / 8;

/**
 * Whether anything is to be learned from a request: asked before its model is looked up.
 * @param requestBytes of the whole body
 * @param textBytes of it, without pictures, sound and files
 */
export function teaches(requestBytes: number, textBytes: number): boolean {
  return textBytes >= LEARN_FROM_BYTES && textBytes >= requestBytes * LEARN_TEXT_SHARE;
}

/**
 * How many bytes of a prompt's text a model's token has, learned from what providers report. One table a worker, bounded:
 * the model learned first is forgotten first, and who asks for one that is not known gets null.
 */
export class TokenRatios {
  readonly #ratios = new Map<string, number>();

  /** Models that were forgotten because the table is full. */
  forgotten = 0;

  /**
   * @param textBytes of a request that `teaches`
   * @param inputTokens all that the provider counted of the request, cached ones included
   */
  learn(model: string, textBytes: number, inputTokens: number): void {
    const seen = textBytes / inputTokens;
    if (!(seen >= RATIO_MIN && seen <= RATIO_MAX)) return;
    const known = this.#ratios.get(model);
    if (known === undefined && this.#ratios.size >= RATIOS_MAX) this.#forgetOne();
    this.#ratios.set(model, known === undefined ? seen : known + (seen - known) * WEIGHT);
  }

  /** @returns bytes of text a token; null when nothing was learned */
  of(model: string): number | null {
    return this.#ratios.get(model) ?? null;
  }

  #forgetOne(): void {
    const [oldest] = this.#ratios.keys();
    if (oldest !== undefined) this.#ratios.delete(oldest);
    this.forgotten++;
  }
}
